/* S3-FIFO: a small queue for newcomers, a main queue for what was hit again, a ghost list of what the small
 * one dropped. J. Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023; the details are
 * those of libCacheSim of October 2024, which the figures of the reference traces come from:
 *   - a ghost hit is settled at the MISS, before the evictions of that put grow the ghost list;
 *   - main gives a victim while it holds strictly more than its share, or small is empty;
 *   - a sweep of small goes on until it has found a victim or drained small.
 * 13 bytes per slot and 24 to 32 per ghost. */
#include <math.h>
#include <stdlib.h>

#include "policy/native.h"

enum { SMALL = 1, MAIN = 2, FREQ_MOST = 3 };

typedef struct s3fifo {
  neap_link *links;
  int32_t *size;
  int8_t *tag; /* hits, at most FREQ_MOST; IN_MAIN where the entry is there */
  double small_share, ghost_share, limit;
  double used[3];  /* by list */
  double promised; /* hash whose MISS was in the ghost list: its INSERT goes to main; 0: none */
  bool sweeping;   /* small, until a victim is found */
  neap_ghost *ghost;
  neap_column link_column, size_column, tag_column;
  const neap_entry_facts *facts;
  neap_evict_board *board;
} s3fifo;

enum { IN_MAIN = 4, FREQ_MASK = 3 };

/* What follows from the limit, which may change while the cache runs. */
static void s3fifo_fit(s3fifo *policy) {
  double limit = policy->board->limit, small = trunc(policy->small_share * limit);
  policy->limit = limit;
  policy->board->admit_max = small - 1 < 1 ? -1 : (int32_t)fmin(small - 1, INT32_MAX);
  neap_ghost_resize(policy->ghost, trunc(policy->ghost_share * limit));
}

static int s3fifo_columns(s3fifo *policy, int32_t slot_end) {
  if (neap_column_init(&policy->link_column, sizeof(neap_link), slot_end)) return NEAP_ENOMEM;
  if (neap_column_init(&policy->size_column, sizeof(int32_t), slot_end)) goto fail_size;
  if (neap_column_init(&policy->tag_column, sizeof(int8_t), slot_end)) goto fail_tag;
  if (neap_ghost_create(0, &policy->ghost)) goto fail_ghost;
  return 0;

fail_ghost:
  neap_column_fini(&policy->tag_column);
fail_tag:
  neap_column_fini(&policy->size_column);
fail_size:
  neap_column_fini(&policy->link_column);
  return NEAP_ENOMEM;
}

static int s3fifo_create(const neap_policy_env *env, const neap_param *params, size_t param_count,
                         void **self, neap_err *err) {
  double small = 0.1, ghost = 0.9;
  const neap_native_param known[] = {{"small", 0.001, 0.9, &small}, {"ghost", 0, 10, &ghost}, {0}};
  int code = neap_native_params("s3fifo", known, params, param_count, err);
  if (code) return code;
  s3fifo *policy = calloc(1, sizeof *policy);
  if (policy == NULL) return NEAP_ENOMEM;
  if (s3fifo_columns(policy, env->evict->slot_end)) {
    free(policy);
    return NEAP_ENOMEM;
  }
  policy->links = policy->link_column.base;
  policy->size = policy->size_column.base;
  policy->tag = policy->tag_column.base;
  policy->small_share = small;
  policy->ghost_share = ghost;
  policy->facts = env->facts;
  policy->board = env->evict;
  neap_list_init(policy->links, SMALL);
  neap_list_init(policy->links, MAIN);
  s3fifo_fit(policy);
  *self = policy;
  return 0;
}

static void s3fifo_destroy(void *self) {
  s3fifo *policy = self;
  neap_ghost_destroy(&policy->ghost);
  neap_column_fini(&policy->tag_column);
  neap_column_fini(&policy->size_column);
  neap_column_fini(&policy->link_column);
  free(policy);
}

static inline int list_of(const s3fifo *policy, int32_t slot) {
  return policy->tag[slot] & IN_MAIN ? MAIN : SMALL;
}

static void put(s3fifo *policy, int list, int32_t slot, int freq) {
  policy->tag[slot] = (int8_t)((list == MAIN ? IN_MAIN : 0) | freq);
  policy->used[list] += policy->size[slot];
  neap_list_push(policy->links, list, slot);
}

static void s3fifo_remove(void *self, int32_t slot) {
  s3fifo *policy = self;
  policy->used[list_of(policy, slot)] -= policy->size[slot];
  neap_list_remove(policy->links, slot);
}

static void s3fifo_hit(void *self, int32_t slot) {
  s3fifo *policy = self;
  if ((policy->tag[slot] & FREQ_MASK) < FREQ_MOST) policy->tag[slot]++;
}

static void s3fifo_update(void *self, int32_t slot, const neap_event *event) {
  s3fifo *policy = self;
  policy->used[list_of(policy, slot)] += event->size - policy->size[slot];
  policy->size[slot] = event->size;
  s3fifo_hit(policy, slot);
}

static void s3fifo_miss(void *self, const neap_event *event) {
  s3fifo *policy = self;
  if (neap_ghost_take(policy->ghost, event->hash) >= 0) policy->promised = event->hash;
}

static void s3fifo_insert(void *self, int32_t slot, const neap_event *event) {
  s3fifo *policy = self;
  int list = SMALL;
  if (policy->promised != 0 && policy->promised == event->hash) {
    policy->promised = 0;
    list = MAIN;
  }
  policy->size[slot] = event->size;
  put(policy, list, slot, 0);
}

static int s3fifo_observe(void *self, const neap_event *events, int n) {
  static const neap_native_hooks hooks = {s3fifo_hit, s3fifo_insert, s3fifo_update, s3fifo_remove,
                                          s3fifo_miss};
  return neap_native_observe(self, ((s3fifo *)self)->links, events, n, hooks);
}

static int32_t step_main(s3fifo *policy, int32_t slot) {
  int freq = policy->tag[slot] & FREQ_MASK;
  s3fifo_remove(policy, slot);
  if (freq == 0) return slot;
  put(policy, MAIN, slot, freq - 1);
  return 0;
}

static int32_t step_small(s3fifo *policy, int32_t slot) {
  int freq = policy->tag[slot] & FREQ_MASK;
  s3fifo_remove(policy, slot);
  policy->sweeping = freq >= 2;
  if (policy->sweeping) {
    put(policy, MAIN, slot, 0);
    return 0;
  }
  neap_ghost_add(policy->ghost, policy->facts->hash(policy->facts->cache, slot), policy->size[slot]);
  return slot;
}

static int32_t s3fifo_step(void *self) {
  s3fifo *policy = self;
  int32_t small = policy->links[SMALL].prev, main = policy->links[MAIN].prev;
  if (small == SMALL) {
    policy->sweeping = false;
    return main == MAIN ? -1 : step_main(policy, main);
  }
  /* The share is of what is held now: limits may count more than entries. In whole numbers this says that
   * main holds strictly more than its share. */
  double held = policy->used[SMALL] + policy->used[MAIN];
  if (!policy->sweeping && main != MAIN && policy->used[SMALL] + 1 <= policy->small_share * held)
    return step_main(policy, main);
  return step_small(policy, small);
}

static int s3fifo_decide(void *self, neap_ask ask) {
  (void)ask;
  s3fifo *policy = self;
  if (policy->limit != policy->board->limit) s3fifo_fit(policy);
  return neap_native_decide(self, policy->board, s3fifo_step);
}

static int s3fifo_load(void *self, void *previous) {
  s3fifo *policy = self, *old = previous;
  int code = neap_column_take(&policy->size_column, &old->size_column);
  if (code == 0) code = neap_column_take(&policy->tag_column, &old->tag_column);
  if (code == 0) code = neap_column_take(&policy->link_column, &old->link_column);
  if (code) return code;
  neap_ghost_swap(policy->ghost, old->ghost);
  policy->used[SMALL] = old->used[SMALL];
  policy->used[MAIN] = old->used[MAIN];
  policy->promised = old->promised;
  policy->sweeping = old->sweeping;
  s3fifo_fit(policy);
  return 0;
}

static void s3fifo_report(void *self, neap_policy_report *out) {
  s3fifo *policy = self;
  out->memory = sizeof *policy + neap_ghost_memory(policy->ghost);
  out->memory_per_slot = sizeof(neap_link) + sizeof(int32_t) + sizeof(int8_t);
}

const neap_policy_vt neap_native_s3fifo = {
    .name = "s3fifo",
    .domain = NEAP_EVICT,
    .create = s3fifo_create,
    .destroy = s3fifo_destroy,
    .observe = s3fifo_observe,
    .decide = s3fifo_decide,
    .load = s3fifo_load,
    .report = s3fifo_report,
};
