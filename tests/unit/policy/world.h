/* A small cache for tests of policies: slots, entries, the board, and the facts that the guard reads. */
#ifndef NEAP_TESTS_POLICY_WORLD_H
#define NEAP_TESTS_POLICY_WORLD_H

#include "base/base.h"
#include "base/random.h"
#include "loop/loop.h"
#include "policy/policy.h"
#include "script/script.h"

enum { WORLD_SLOTS = 4096 };

typedef struct world_entry {
  bool live, pinned;
  double size, hash, expires_ms;
} world_entry;

typedef struct world {
  neap_host host;
  neap_registry *registry;
  neap_evict_board board;
  neap_entry_facts facts;
  neap_policy_env env;
  neap_policy *policy;
  world_entry entries[WORLD_SLOTS];
  int32_t slot_end, live;
  neap_random random;
  int samples; /* victims taken by sampling */
  char log[8192];
} world;

static inline world_entry *world_at(void *cache, int32_t slot) {
  return &((world *)cache)->entries[slot];
}
static inline bool world_evictable(void *cache, int32_t slot) {
  return world_at(cache, slot)->live && !world_at(cache, slot)->pinned;
}
static inline int32_t world_sample(void *cache) {
  world *w = cache;
  for (int i = 0; i < 16 * WORLD_SLOTS; i++) {
    int32_t slot =
        NEAP_SLOT_FIRST + (int32_t)neap_random_below(&w->random, (uint64_t)(w->slot_end - NEAP_SLOT_FIRST));
    if (!world_evictable(w, slot)) continue;
    w->samples++;
    return slot;
  }
  return 0;
}
static inline double world_size(void *cache, int32_t slot) {
  return world_at(cache, slot)->live ? world_at(cache, slot)->size : 0;
}
static inline double world_hash(void *cache, int32_t slot) {
  return world_at(cache, slot)->live ? world_at(cache, slot)->hash : 0;
}
static inline double world_expires(void *cache, int32_t slot) {
  return world_at(cache, slot)->live ? world_at(cache, slot)->expires_ms : 0;
}
static inline double world_zero(void *cache, int32_t slot) {
  (void)cache, (void)slot;
  return 0;
}
static inline int32_t world_key(void *cache, int32_t slot, char *out, int32_t capacity) {
  (void)cache;
  return NEAP_MIN(snprintf(out, (size_t)capacity, "key-%d", slot), capacity - 1);
}
static inline neap_event world_event(int32_t kind, int32_t slot, double size, double hash) {
  return (neap_event){.what = (int32_t)((uint32_t)kind << NEAP_EVENT_SHIFT | (uint32_t)slot),
                      .size = (int32_t)size,
                      .hash = hash};
}
static inline void world_replay(void *cache, void (*tell)(void *user, const neap_event *events, int n),
                                void *user) {
  world *w = cache;
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w->slot_end; slot++) {
    if (!w->entries[slot].live) continue;
    neap_event event = world_event(NEAP_EVENT_INSERT, slot, w->entries[slot].size, w->entries[slot].hash);
    tell(user, &event, 1);
  }
}
static inline void world_log(void *user, neap_log_level level, const char *line) {
  world *w = user;
  (void)level;
  size_t used = strlen(w->log);
  snprintf(w->log + used, sizeof w->log - used, "%s\n", line);
}

static inline void world_init(world *w, int32_t entries) {
  memset(w, 0, sizeof *w);
  const neap_host host = {.user = w,
                          .log = world_log,
                          .now_ms = neap_clock_now_ms,
                          .now_ns = neap_clock_now_ns,
                          .thread_cpu_ns = neap_clock_thread_cpu_ns,
                          .seed = 1};
  neap_host_complete(&host, &w->host);
  assert_int_equal(neap_registry_create(&w->host, &w->registry), 0);
  neap_script_register(w->registry, &w->host);
  w->slot_end = NEAP_SLOT_FIRST + entries;
  w->board.slot_end = w->slot_end;
  w->board.limit = entries;
  w->random.state = 42;
  w->facts = (neap_entry_facts){.cache = w,
                                .evictable = world_evictable,
                                .sample = world_sample,
                                .size = world_size,
                                .cost = world_zero,
                                .created_ms = world_zero,
                                .expires_ms = world_expires,
                                .last_access_ms = world_zero,
                                .access_count = world_zero,
                                .version = world_zero,
                                .hash = world_hash,
                                .key = world_key,
                                .replay = world_replay};
  w->env =
      (neap_policy_env){.host = &w->host, .seed = 7, .generation = 3, .evict = &w->board, .facts = &w->facts};
}

static inline int world_open_with(world *w, const char *spec, const char *source, const neap_param *params,
                                  size_t count, neap_err *err) {
  return neap_policy_open(w->registry, NEAP_EVICT, spec, source, &w->env, params, count, &w->policy, err);
}

static inline void world_open(world *w, const char *spec, const char *source) {
  neap_err err = {0};
  if (world_open_with(w, spec, source, NULL, 0, &err)) fail_msg("%s: %s", spec, err.text);
}

static inline void world_fini(world *w) {
  neap_policy_close(&w->policy);
  neap_registry_destroy(&w->registry);
}

static inline void world_tell(world *w, int32_t kind, int32_t slot, double size, double hash) {
  w->board.events[0] = world_event(kind, slot, size, hash);
  neap_policy_observe(w->policy, w->board.events, 1);
}

static inline void world_insert(world *w, int32_t slot, double size, double hash) {
  w->entries[slot] = (world_entry){.live = true, .size = size, .hash = hash, .expires_ms = 0x1p53};
  w->live++;
  w->board.used += size;
  world_tell(w, NEAP_EVENT_INSERT, slot, size, hash);
}

static inline void world_gone(world *w, int32_t slot) {
  w->board.used -= w->entries[slot].size;
  w->entries[slot].live = false;
  w->live--;
}

/* Asks, checks what the guard promises, and evicts the victims. */
static inline int32_t world_ask(world *w, int32_t want, int32_t candidate_size) {
  w->board.want = want;
  w->board.steps = 64 * want + 2 * w->slot_end;
  w->board.candidate_size = candidate_size;
  w->board.candidate_hash = 0;
  neap_policy_decide(w->policy, NEAP_ASK_VICTIMS);
  assert_in_range(w->board.victim_count, 0, want);
  for (int32_t i = 0; i < w->board.victim_count; i++) {
    int32_t slot = w->board.victims[i];
    assert_in_range(slot, NEAP_SLOT_FIRST, w->slot_end - 1);
    assert_true(world_evictable(w, slot));
    world_gone(w, slot);
  }
  return w->board.victim_count;
}

#endif
