/* LRU and FIFO: one list, newest first; LRU moves what is hit to the front. 8 bytes per slot. */
#include <stdlib.h>

#include "policy/native.h"

enum { HEAD = 1 };

typedef struct queue_policy {
  neap_link *links;
  neap_column column;
  neap_evict_board *board;
} queue_policy;

static int queue_create(const neap_policy_env *env, const char *name, const neap_param *params,
                        size_t param_count, void **self, neap_err *err) {
  static const neap_native_param none[] = {{0}};
  int code = neap_native_params(name, none, params, param_count, err);
  if (code) return code;
  queue_policy *queue = calloc(1, sizeof *queue);
  if (queue == NULL) return NEAP_ENOMEM;
  if (neap_column_init(&queue->column, sizeof(neap_link), env->evict->slot_end)) {
    free(queue);
    return NEAP_ENOMEM;
  }
  queue->links = queue->column.base;
  queue->board = env->evict;
  neap_list_init(queue->links, HEAD);
  *self = queue;
  return 0;
}

static int lru_create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                      neap_err *err) {
  return queue_create(env, "lru", params, param_count, self, err);
}

static int fifo_create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                       neap_err *err) {
  return queue_create(env, "fifo", params, param_count, self, err);
}

static void queue_destroy(void *self) {
  queue_policy *queue = self;
  neap_column_fini(&queue->column);
  free(queue);
}

static void queue_insert(void *self, int32_t slot, const neap_event *event) {
  (void)event;
  neap_list_push(((queue_policy *)self)->links, HEAD, slot);
}

static void queue_remove(void *self, int32_t slot) {
  neap_list_remove(((queue_policy *)self)->links, slot);
}

static void queue_keep(void *self, int32_t slot) {
  (void)self, (void)slot;
}

static void queue_keep_updated(void *self, int32_t slot, const neap_event *event) {
  (void)self, (void)slot, (void)event;
}

static void lru_hit(void *self, int32_t slot) {
  neap_link *links = ((queue_policy *)self)->links;
  if (!neap_list_has(links, slot)) return;
  neap_list_remove(links, slot);
  neap_list_push(links, HEAD, slot);
}

static void lru_update(void *self, int32_t slot, const neap_event *event) {
  (void)event;
  lru_hit(self, slot);
}

static int lru_observe(void *self, const neap_event *events, int n) {
  static const neap_native_hooks hooks = {lru_hit, queue_insert, lru_update, queue_remove, NULL};
  return neap_native_observe(self, ((queue_policy *)self)->links, events, n, hooks);
}

static int fifo_observe(void *self, const neap_event *events, int n) {
  static const neap_native_hooks hooks = {queue_keep, queue_insert, queue_keep_updated, queue_remove, NULL};
  return neap_native_observe(self, ((queue_policy *)self)->links, events, n, hooks);
}

static int32_t queue_step(void *self) {
  neap_link *links = ((queue_policy *)self)->links;
  int32_t slot = links[HEAD].prev;
  if (slot == HEAD) return -1;
  neap_list_remove(links, slot);
  return slot;
}

static int queue_decide(void *self, neap_ask ask) {
  (void)ask;
  return neap_native_decide(self, ((queue_policy *)self)->board, queue_step);
}

static int queue_load(void *self, void *previous) {
  return neap_column_take(&((queue_policy *)self)->column, &((queue_policy *)previous)->column);
}

static void queue_report(void *self, neap_policy_report *out) {
  (void)self;
  out->memory = sizeof(queue_policy);
  out->memory_per_slot = sizeof(neap_link);
}

const neap_policy_vt neap_native_lru = {
    .name = "lru",
    .domain = NEAP_EVICT,
    .create = lru_create,
    .destroy = queue_destroy,
    .observe = lru_observe,
    .decide = queue_decide,
    .load = queue_load,
    .report = queue_report,
};

const neap_policy_vt neap_native_fifo = {
    .name = "fifo",
    .domain = NEAP_EVICT,
    .create = fifo_create,
    .destroy = queue_destroy,
    .observe = fifo_observe,
    .decide = queue_decide,
    .load = queue_load,
    .report = queue_report,
};
