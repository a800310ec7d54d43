/* SIEVE: one list in order of arrival and a hand that goes from old to new, evicting what was not hit since
 * it last came by. Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024. 9 bytes per slot. It is also what
 * takes over when the guard has taken a policy out. */
#include <stdlib.h>

#include "policy/native.h"

enum { HEAD = 1, NEAR_PART = 32, NEAR_MOST = 256 };

typedef struct sieve {
  neap_link *links;
  int8_t *visited;
  int32_t hand;         /* next to look at; 0: start from the oldest */
  int32_t count, ahead; /* entries; those from the hand to the newest, as far as removals let one know */
  bool first;           /* of an ask: no victim yet */
  int32_t near;         /* of an ask: NEAR_PART times the distance that counts as near the newest */
  neap_column link_column, visited_column;
  neap_evict_board *board;
} sieve;

static int sieve_create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                        neap_err *err) {
  static const neap_native_param none[] = {{0}};
  int code = neap_native_params("sieve", none, params, param_count, err);
  if (code) return code;
  sieve *policy = calloc(1, sizeof *policy);
  if (policy == NULL) return NEAP_ENOMEM;
  if (neap_column_init(&policy->link_column, sizeof(neap_link), env->evict->slot_end)) goto fail_links;
  if (neap_column_init(&policy->visited_column, sizeof(int8_t), env->evict->slot_end)) goto fail_visited;
  policy->links = policy->link_column.base;
  policy->visited = policy->visited_column.base;
  policy->board = env->evict;
  neap_list_init(policy->links, HEAD);
  *self = policy;
  return 0;

fail_visited:
  neap_column_fini(&policy->link_column);
fail_links:
  free(policy);
  return NEAP_ENOMEM;
}

static void sieve_destroy(void *self) {
  sieve *policy = self;
  neap_column_fini(&policy->link_column);
  neap_column_fini(&policy->visited_column);
  free(policy);
}

static void sieve_hit(void *self, int32_t slot) {
  ((sieve *)self)->visited[slot] = 1;
}

static void sieve_update(void *self, int32_t slot, const neap_event *event) {
  (void)event;
  sieve_hit(self, slot);
}

static void sieve_insert(void *self, int32_t slot, const neap_event *event) {
  (void)event;
  sieve *policy = self;
  policy->visited[slot] = 0;
  policy->count++;
  policy->ahead++;
  neap_list_push(policy->links, HEAD, slot);
}

/* The neighbour towards the newest; past the newest the hand starts over from the oldest. */
static int32_t newer(const sieve *policy, int32_t slot) {
  int32_t prev = policy->links[slot].prev;
  return prev == HEAD ? 0 : prev;
}

static void sieve_remove(void *self, int32_t slot) {
  sieve *policy = self;
  if (policy->hand == slot) policy->hand = newer(policy, slot);
  policy->count--;
  neap_list_remove(policy->links, slot);
}

static int sieve_observe(void *self, const neap_event *events, int n) {
  static const neap_native_hooks hooks = {sieve_hit, sieve_insert, sieve_update, sieve_remove, NULL};
  return neap_native_observe(self, ((sieve *)self)->links, events, n, hooks);
}

/* Near the newest entry an ask gets one victim. What is evicted ahead of its time there had hardly the time
 * to be used, and past the newest the hand would start over, where others would have come in front of it. */
static bool must_wait(const sieve *policy) {
  return !policy->first && (int64_t)policy->ahead * NEAR_PART < policy->near;
}

static int32_t sieve_step(void *self) {
  sieve *policy = self;
  int32_t slot = policy->hand != 0 ? policy->hand : policy->links[HEAD].prev;
  if (slot == HEAD || must_wait(policy)) return -1;
  policy->hand = newer(policy, slot);
  policy->ahead = policy->hand != 0 && policy->ahead > 1 ? policy->ahead - 1 : policy->count;
  if (policy->visited[slot] == 0) {
    policy->first = false;
    policy->count--;
    neap_list_remove(policy->links, slot);
    return slot;
  }
  policy->visited[slot] = 0;
  return 0;
}

static int sieve_decide(void *self, neap_ask ask) {
  (void)ask;
  sieve *policy = self;
  policy->first = true;
  policy->near = NEAP_MIN(policy->count, NEAR_MOST * NEAR_PART);
  return neap_native_decide(policy, policy->board, sieve_step);
}

static int sieve_load(void *self, void *previous) {
  sieve *policy = self, *old = previous;
  int code = neap_column_take(&policy->link_column, &old->link_column);
  if (code) return code;
  policy->hand = old->hand;
  policy->count = old->count;
  policy->ahead = old->ahead;
  /* Only the bits are lost where the second move fails: the lists are whole. */
  neap_column_take(&policy->visited_column, &old->visited_column);
  return 0;
}

static void sieve_report(void *self, neap_policy_report *out) {
  (void)self;
  out->memory = sizeof(sieve);
  out->memory_per_slot = sizeof(neap_link) + sizeof(int8_t);
}

const neap_policy_vt neap_native_sieve = {
    .name = "sieve",
    .domain = NEAP_EVICT,
    .create = sieve_create,
    .destroy = sieve_destroy,
    .observe = sieve_observe,
    .decide = sieve_decide,
    .load = sieve_load,
    .report = sieve_report,
};
