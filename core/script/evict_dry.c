/* What a policy is led through before it is given out: a cache of a few hundred entries on paper. */
#include "script/evict.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/random.h"

enum {
  ENTRIES = 240,
  SLOT_END = NEAP_SLOT_FIRST + ENTRIES,
  ASKS_MAX = 64 * ENTRIES, /* for all entries to be evicted */
  STEPS = 4 * SLOT_END
};

typedef struct paper_entry {
  bool live;
  double size, expires_ms, hash;
} paper_entry;

typedef struct paper {
  neap_evict_board board;
  neap_entry_facts facts;
  paper_entry entries[SLOT_END];
  int live_count;
  neap_random random;
  const neap_policy_vt *vt;
  void *self;
  const char *doing; /* for messages */
  neap_err *err;
} paper;

/* --- facts: as odd as they may be --- */
static const paper_entry *entry_of(void *cache, int32_t slot) {
  return &((paper *)cache)->entries[slot];
}
static bool fact_evictable(void *cache, int32_t slot) {
  return entry_of(cache, slot)->live;
}
static int32_t fact_sample(void *cache) {
  (void)cache;
  return 0;
}
static double fact_size(void *cache, int32_t slot) {
  return entry_of(cache, slot)->live ? entry_of(cache, slot)->size : 0;
}
static double fact_zero(void *cache, int32_t slot) {
  (void)cache, (void)slot;
  return 0;
}
static double fact_expires(void *cache, int32_t slot) {
  return entry_of(cache, slot)->live ? entry_of(cache, slot)->expires_ms : 0;
}
static double fact_most(void *cache, int32_t slot) {
  return entry_of(cache, slot)->live ? 0x1p53 : 0;
}
static double fact_hash(void *cache, int32_t slot) {
  return entry_of(cache, slot)->live ? entry_of(cache, slot)->hash : 0;
}
static int32_t fact_key(void *cache, int32_t slot, char *out, int32_t capacity) {
  (void)cache, (void)slot;
  if (capacity > 0) *out = 0;
  return capacity > 0 ? 1 : 0;
}
static void fact_replay(void *cache, void (*tell)(void *user, const neap_event *events, int n), void *user) {
  (void)cache, (void)tell, (void)user;
}

/* --- telling and asking --- */
static int fail(paper *p, const char *text) {
  neap_policy_report report = {0};
  p->vt->report(p->self, &report);
  if (text == NULL) return neap_fail(p->err, NEAP_EPOLICY, "%s (dry run: %s)", report.fault, p->doing);
  return neap_fail(p->err, NEAP_EPOLICY, "%s: dry run: %s: %s", p->vt->name, p->doing, text);
}

static int tell(paper *p, int32_t kind, int32_t slot, double size, double hash) {
  neap_event *event = &p->board.events[0];
  event->what = (int32_t)((uint32_t)kind << NEAP_EVENT_SHIFT | (uint32_t)slot);
  event->size = (int32_t)size;
  event->hash = hash;
  return p->vt->observe(p->self, p->board.events, 1) ? fail(p, NULL) : 0;
}

static int insert(paper *p, int32_t slot) {
  static const double sizes[] = {0, 1, 100, 70000, INT32_MAX};
  paper_entry *entry = &p->entries[slot];
  uint64_t draw = neap_random_next(&p->random);
  *entry = (paper_entry){.live = true,
                         .size = sizes[draw % NEAP_COUNT_OF(sizes)],
                         .expires_ms = draw & 64 ? 0x1p53 : (double)(draw >> 40),
                         .hash = (double)(draw >> 50)}; /* few: some are the same */
  p->live_count++;
  p->board.used += entry->size;
  p->board.now_ms += 1;
  int code = tell(p, NEAP_EVENT_MISS, 0, draw & 128 ? entry->size : 0, entry->hash);
  return code ? code : tell(p, NEAP_EVENT_INSERT, slot, entry->size, entry->hash);
}

static void leave(paper *p, int32_t slot) {
  p->entries[slot].live = false;
  p->board.used -= p->entries[slot].size;
  p->live_count--;
}

static int check_answer(paper *p) {
  const neap_evict_board *board = &p->board;
  if (board->victim_count < 0 || board->victim_count > board->want)
    return fail(p, "more victims than were asked for");
  for (int32_t i = 0; i < board->victim_count; i++) {
    int32_t slot = board->victims[i];
    if (slot < NEAP_SLOT_FIRST || slot >= SLOT_END) return fail(p, "a victim that is no slot");
    if (!p->entries[slot].live) return fail(p, "a victim that is not live, or named twice");
    leave(p, slot);
  }
  return 0;
}

static int ask(paper *p, int32_t want, int32_t candidate_size) {
  neap_evict_board *board = &p->board;
  board->want = want;
  board->steps = STEPS;
  board->candidate_size = candidate_size;
  board->candidate_hash = candidate_size > 0 ? (double)(neap_random_next(&p->random) >> 11) : 0;
  board->victim_count = board->refused = board->calls = 0;
  if (p->vt->decide(p->self, NEAP_ASK_VICTIMS)) return fail(p, NULL);
  return check_answer(p);
}

/* --- what it is led through --- */
static int empty(paper *p) {
  int code = ask(p, 8, 100);
  if (code == 0) code = tell(p, NEAP_EVENT_TICK, 0, 0, 0);
  return code ? code : tell(p, NEAP_EVENT_MISS, 0, 0, 12345);
}

static int filled(paper *p) {
  int code = 0;
  for (int32_t slot = NEAP_SLOT_FIRST; slot < SLOT_END && code == 0; slot++) code = insert(p, slot);
  return code;
}

static int used(paper *p) {
  int code = 0;
  for (int i = 0; i < 4 * ENTRIES && code == 0; i++) {
    uint64_t draw = neap_random_next(&p->random);
    int32_t slot = NEAP_SLOT_FIRST + (int32_t)(draw % ENTRIES);
    paper_entry *entry = &p->entries[slot];
    if (!entry->live) {
      code = insert(p, slot);
    } else if (draw >> 60 == 0) {
      leave(p, slot);
      code = tell(p, NEAP_EVENT_REMOVE, slot, 0, 0);
    } else if (draw >> 60 == 1) {
      p->board.used += 7 - entry->size;
      entry->size = 7;
      code = tell(p, NEAP_EVENT_UPDATE, slot, 7, entry->hash);
    } else if (draw >> 60 == 2) {
      code = ask(p, 1 + (int32_t)(draw >> 32 & 31), draw & 256 ? 100 : 0);
    } else {
      code = tell(p, NEAP_EVENT_HIT, slot, 0, 0);
    }
  }
  return code;
}

static int removed(paper *p) {
  int code = 0;
  for (int32_t slot = NEAP_SLOT_FIRST; slot < SLOT_END && code == 0; slot++) {
    if (!p->entries[slot].live) continue;
    leave(p, slot);
    code = tell(p, NEAP_EVENT_REMOVE, slot, 0, 0);
  }
  return code ? code : ask(p, 8, 0);
}

/* Shrinking to nothing: every entry must come out, whatever the policy thinks of it. */
static int emptied(paper *p) {
  int code = filled(p);
  p->board.limit = 0;
  for (int asks = 0; code == 0 && p->live_count > 0; asks++) {
    if (asks == ASKS_MAX) return fail(p, "it gives no victim, though entries are left");
    code = ask(p, 16, 0);
  }
  p->board.limit = ENTRIES * 100.0;
  return code ? code : ask(p, 1, 1);
}

static int lead(paper *p) {
  static const struct {
    const char *doing;
    int (*act)(paper *p);
  } acts[] = {{"an empty cache", empty},        {"filling", filled},
              {"use, updates, removals", used}, {"removing everything", removed},
              {"evicting everything", emptied}, {"a second life", used},
              {"removing everything", removed}};
  int code = 0;
  for (size_t i = 0; i < NEAP_COUNT_OF(acts) && code == 0; i++) {
    p->doing = acts[i].doing;
    code = acts[i].act(p);
  }
  return code;
}

static int open_paper(paper **out, const neap_script_text *source, const neap_host *host,
                      const neap_param *params, size_t param_count, neap_err *err) {
  paper *p = calloc(1, sizeof *p);
  if (p == NULL) return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  p->board.slot_end = SLOT_END;
  p->board.limit = ENTRIES * 100.0;
  p->random.state = 1;
  p->err = err;
  p->facts = (neap_entry_facts){.cache = p,
                                .evictable = fact_evictable,
                                .sample = fact_sample,
                                .size = fact_size,
                                .cost = fact_zero,
                                .created_ms = fact_zero,
                                .expires_ms = fact_expires,
                                .last_access_ms = fact_zero,
                                .access_count = fact_most,
                                .version = fact_most,
                                .hash = fact_hash,
                                .key = fact_key,
                                .replay = fact_replay};
  const neap_policy_env env = {.host = host, .seed = 1, .evict = &p->board, .facts = &p->facts};
  int code = neap_evict_create(source, &env, params, param_count, &p->vt, &p->self, err);
  if (code)
    free(p);
  else
    *out = p;
  return code;
}

static void close_paper(paper *p) {
  p->vt->destroy(p->self);
  free(p);
}

int neap_evict_dry_run(const neap_script_text *source, const neap_host *host, const neap_param *params,
                       size_t param_count, neap_err *err) {
  paper *p;
  int code = open_paper(&p, source, host, params, param_count, err);
  if (code) return code;
  code = lead(p);
  close_paper(p);
  return code;
}

/* --- measuring --- */
enum { ROUNDS = 3000, WARM_ROUNDS = 1000, HITS = 128, PUTS = 16 };

static int run_hits(paper *p) {
  for (int i = 0; i < HITS; i++)
    p->board.events[i].what = NEAP_SLOT_FIRST + (int32_t)neap_random_below(&p->random, ENTRIES);
  return p->vt->observe(p->self, p->board.events, HITS) ? fail(p, NULL) : 0;
}

/* As a cache that is full: misses, victims, and new entries in their slots. */
static int run_puts(paper *p) {
  for (int i = 0; i < PUTS; i++)
    p->board.events[i] = (neap_event){.what = NEAP_EVENT_MISS << NEAP_EVENT_SHIFT, .hash = i};
  if (p->vt->observe(p->self, p->board.events, PUTS)) return fail(p, NULL);
  int code = ask(p, PUTS, 1);
  if (code) return code;
  for (int32_t i = 0; i < p->board.victim_count; i++) {
    paper_entry *entry = &p->entries[p->board.victims[i]];
    *entry = (paper_entry){.live = true, .size = 1, .expires_ms = 0x1p53, .hash = (double)i};
    p->live_count++;
    p->board.events[i] = (neap_event){
        .what = NEAP_EVENT_INSERT << NEAP_EVENT_SHIFT | p->board.victims[i], .size = 1, .hash = entry->hash};
  }
  return p->vt->observe(p->self, p->board.events, p->board.victim_count) ? fail(p, NULL) : 0;
}

static int run_hot(paper *p, const neap_host *host, neap_evict_cost *out) {
  uint64_t hit_ns = 0, put_ns = 0;
  int code = filled(p);
  for (int i = 0; i < ROUNDS && code == 0; i++) {
    uint64_t start = host->thread_cpu_ns(host->user);
    code = run_hits(p);
    uint64_t middle = host->thread_cpu_ns(host->user);
    if (code == 0) code = run_puts(p);
    if (i < WARM_ROUNDS) continue;
    hit_ns += middle - start;
    put_ns += host->thread_cpu_ns(host->user) - middle;
  }
  out->hit_ns = (double)hit_ns / ((double)(ROUNDS - WARM_ROUNDS) * HITS);
  out->put_ns = (double)put_ns / ((double)(ROUNDS - WARM_ROUNDS) * PUTS);
  return code;
}

int neap_evict_measure(const neap_script_text *source, const neap_host *host, const neap_param *params,
                       size_t param_count,
                       void (*abort)(void *user, const char *place, int count, int code, int detail),
                       void *user, neap_evict_cost *out, neap_err *err) {
  paper *p;
  int code = open_paper(&p, source, host, params, param_count, err);
  if (code) return code;
  p->doing = "running hot";
  code = run_hot(p, host, out);
  if (code == 0) neap_vm_each_abort(neap_evict_vm(p->self), abort, user);
  close_paper(p);
  return code;
}
