/* LFU: the least hits first, and of those with as many the one that got there first. Counts live as long as
 * the entry; there is no ageing. 28 bytes per slot, O(log n) per hit. */
#include <stdlib.h>

#include "policy/native.h"

typedef struct lfu {
  neap_heap *heap; /* (hits, when it reached them) */
  double order;
  neap_evict_board *board;
} lfu;

static int lfu_create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                      neap_err *err) {
  static const neap_native_param none[] = {{0}};
  int code = neap_native_params("lfu", none, params, param_count, err);
  if (code) return code;
  lfu *policy = calloc(1, sizeof *policy);
  if (policy == NULL) return NEAP_ENOMEM;
  if (neap_heap_create(env->evict->slot_end, &policy->heap)) {
    free(policy);
    return NEAP_ENOMEM;
  }
  policy->board = env->evict;
  *self = policy;
  return 0;
}

static void lfu_destroy(void *self) {
  lfu *policy = self;
  neap_heap_destroy(&policy->heap);
  free(policy);
}

static void lfu_count(lfu *policy, int32_t slot) {
  if (!neap_heap_has(policy->heap, slot)) return;
  neap_heap_put(policy->heap, slot, neap_heap_key(policy->heap, slot) + 1, ++policy->order);
}

static int lfu_observe(void *self, const neap_event *events, int n) {
  lfu *policy = self;
  for (int i = 0; i < n; i++) {
    int32_t slot = events[i].what & NEAP_SLOT_MASK;
    switch (events[i].what >> NEAP_EVENT_SHIFT) {
    case NEAP_EVENT_HIT:
    case NEAP_EVENT_UPDATE: lfu_count(policy, slot); break;
    case NEAP_EVENT_INSERT: neap_heap_put(policy->heap, slot, 1, ++policy->order); break;
    case NEAP_EVENT_REMOVE: neap_heap_remove(policy->heap, slot); break;
    default: break;
    }
  }
  return 0;
}

static int32_t lfu_step(void *self) {
  lfu *policy = self;
  int32_t slot = neap_heap_min(policy->heap);
  if (slot == 0) return -1;
  neap_heap_remove(policy->heap, slot);
  return slot;
}

/* One victim per ask: mostly it is the newest entry, and a batch would keep that many of them, which changes
 * what LFU is (miss ratios by up to 19 points). */
static int lfu_decide(void *self, neap_ask ask) {
  (void)ask;
  ((lfu *)self)->board->want = 1;
  return neap_native_decide(self, ((lfu *)self)->board, lfu_step);
}

static int lfu_load(void *self, void *previous) {
  lfu *policy = self, *old = previous;
  neap_heap_swap(policy->heap, old->heap);
  policy->order = old->order;
  return 0;
}

static void lfu_report(void *self, neap_policy_report *out) {
  lfu *policy = self;
  out->memory = sizeof *policy + neap_heap_memory(policy->heap);
}

const neap_policy_vt neap_native_lfu = {
    .name = "lfu",
    .domain = NEAP_EVICT,
    .create = lfu_create,
    .destroy = lfu_destroy,
    .observe = lfu_observe,
    .decide = lfu_decide,
    .load = lfu_load,
    .report = lfu_report,
};
