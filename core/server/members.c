#include "server/members.h"

#include <stdlib.h>

#include "server/candidate.h"
#include "server/member_changes.h"

/* --- the members of a generation */

const neap_config_backend *neap_members_configured(const neap_config_pool *pool, const char *address) {
  for (size_t i = 0; i < pool->backend_count; i++)
    if (strcmp(pool->backends[i].address, address) == 0) return &pool->backends[i];
  return NULL;
}

static void give(neap_gateway *gateway, neap_members *members) {
  for (size_t i = 0; i < members->count; i++) neap_backend_give(gateway->backends, members->list[i].backend);
  free(members->list);
  free(members->sorted);
  *members = (neap_members){.count = 0};
}

static int take(neap_gateway *gateway, neap_members *members, const char *address,
                const neap_config_backend *from, const neap_member_change *change, neap_err *err) {
  neap_pool_member member = {.weight = 1};
  int code = neap_backends_take(gateway->backends, address, &member.backend, err);
  if (code) return code;
  if (from) {
    member.weight = from->weight;
    member.priority = from->priority;
    member.limit = from->limit;
    neap_backend_set_id(member.backend, from->id);
  }
  if (change && from == NULL) member.priority = change->priority;
  if (change && change->weight) member.weight = change->weight;
  if (change) member.draining = change->draining;
  members->list[members->count++] = member;
  return 0;
}

static int by_backend(const void *a, const void *b) {
  uintptr_t x = (uintptr_t)(*(neap_pool_member *const *)a)->backend;
  uintptr_t y = (uintptr_t)(*(neap_pool_member *const *)b)->backend;
  return (x > y) - (x < y);
}

static void sort(neap_members *members) {
  for (size_t i = 0; i < members->count; i++) members->sorted[i] = &members->list[i];
  qsort(members->sorted, members->count, sizeof(neap_pool_member *), by_backend);
}

static const neap_pool_member *find_member(const neap_members *members, neap_backend *backend) {
  const neap_pool_member wanted = {.backend = backend}, *key = &wanted;
  if (members->count == 0) return NULL;
  neap_pool_member **found =
      bsearch(&key, members->sorted, members->count, sizeof(neap_pool_member *), by_backend);
  return found ? *found : NULL;
}

/* What the file says, and what was changed since. Nothing is left on failure. */
static int take_pool(neap_gateway *gateway, const neap_config_pool *pool, const neap_member_list *changes,
                     neap_members *members, neap_err *err) {
  size_t most = pool->backend_count;
  for (const neap_member_change *change = changes->first; change; change = change->next) most++;
  members->list = calloc(most + 1, sizeof *members->list);
  members->sorted = calloc(most + 1, sizeof(neap_pool_member *));
  if (members->list == NULL || members->sorted == NULL) {
    give(gateway, members);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  int code = 0;
  for (size_t i = 0; i < pool->backend_count && code == 0; i++) {
    const neap_config_backend *from = &pool->backends[i];
    const neap_member_change *change = neap_member_list_find(changes, pool->name, from->address);
    if (change == NULL || change->presence != NEAP_MEMBER_REMOVED)
      code = take(gateway, members, from->address, from, change, err);
  }
  for (const neap_member_change *change = changes->first; change && code == 0; change = change->next)
    if (change->presence == NEAP_MEMBER_ADDED && strcmp(change->pool, pool->name) == 0 &&
        neap_members_configured(pool, change->address) == NULL)
      code = take(gateway, members, change->address, NULL, change, err);
  if (code)
    give(gateway, members);
  else
    sort(members);
  return code;
}

/* Of every pool, by pool; *out is to be freed after give_all. */
static int take_all(neap_loaded *loaded, neap_members **out, uint64_t *serial, neap_err *err) {
  neap_gateway *gateway = loaded->gateway;
  size_t count = loaded->config->pool_count, done = 0;
  neap_member_list changes;
  neap_members *members = calloc(count + 1, sizeof *members);
  if (members == NULL || neap_member_changes_copy(gateway->changes, &changes, serial)) {
    free(members);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  int code = 0;
  for (; done < count && code == 0; done += code == 0)
    code = take_pool(gateway, &loaded->config->pools[done], &changes, &members[done], err);
  neap_member_list_fini(gateway->backends, &changes);
  if (code) {
    while (done > 0) give(gateway, &members[--done]);
    free(members);
    return code;
  }
  *out = members;
  return 0;
}

static void give_all(neap_loaded *loaded, neap_members *members) {
  for (size_t i = 0; members && i < loaded->config->pool_count; i++) give(loaded->gateway, &members[i]);
  free(members);
}

int neap_members_take(neap_loaded *loaded, neap_err *err) {
  return take_all(loaded, &loaded->members, &loaded->members_serial, err);
}

void neap_members_give(neap_loaded *loaded) {
  give_all(loaded, loaded->members);
  loaded->members = NULL;
}

/* --- on the workers */

/* One change on its way to one worker. It concerns the generation in force when it was posted; the task that
 * retires that one can only come after it. */
typedef struct member_order {
  neap_task task;
  struct member_order *next; /* before it is posted */
  uint32_t place;            /* of the worker */
  neap_loaded_part *part;
  size_t pool;
  enum { ORDER_JOIN, ORDER_LEAVE, ORDER_WEIGHT, ORDER_DRAIN } what;
  neap_pool_member member; /* its backend is held */
} member_order;

static int carry_out(const member_order *order, neap_pool *pool) {
  const neap_pool_member *member = &order->member;
  const char *address = neap_backend_address(member->backend);
  switch (order->what) {
  case ORDER_JOIN: return neap_pool_join(pool, member);
  case ORDER_LEAVE: return neap_pool_leave(pool, address);
  case ORDER_WEIGHT: return neap_pool_set_weight(pool, address, member->weight);
  case ORDER_DRAIN: return neap_pool_set_draining(pool, address, member->draining);
  }
  return NEAP_EINVAL;
}

static void on_order(neap_task *task) {
  member_order *order = NEAP_CONTAINER_OF(task, member_order, task);
  neap_gateway *gateway = order->part->loaded->gateway;
  int code = carry_out(order, order->part->generation.pools[order->pool]);
  if (code)
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server member_change_failed backend=%s error=\"%s\"",
                     neap_backend_address(order->member.backend), neap_strerror(code));
  neap_backend_give(gateway->backends, order->member.backend);
  free(order);
}

static void free_orders(neap_gateway *gateway, member_order *orders) {
  while (orders) {
    member_order *next = orders->next;
    neap_backend_give(gateway->backends, orders->member.backend);
    free(orders);
    orders = next;
  }
}

static void post_orders(neap_gateway *gateway, member_order *orders) {
  while (orders) {
    member_order *order = orders;
    orders = order->next;
    neap_loop_post(neap_worker_loop(gateway->workers[order->place]), &order->task);
  }
}

/* One for each worker that has a part of it, at the end of the list. */
static int add_orders(neap_loaded *loaded, member_order ***end, size_t pool, int what,
                      const neap_pool_member *member) {
  for (uint32_t i = 0; i < loaded->part_count; i++) {
    if (loaded->parts[i].loaded == NULL) continue;
    member_order *order = calloc(1, sizeof *order);
    neap_err err;
    if (order == NULL) return NEAP_ENOMEM;
    order->task.run = on_order;
    order->place = i;
    order->part = &loaded->parts[i];
    order->pool = pool;
    order->what = what;
    order->member = *member;
    if (neap_backends_take(loaded->gateway->backends, neap_backend_address(member->backend),
                           &order->member.backend, &err)) {
      free(order);
      return NEAP_ENOMEM;
    }
    **end = order;
    *end = &order->next;
  }
  return 0;
}

/* From what a pool has to what it is to have. */
static int compare(neap_loaded *loaded, size_t pool, const neap_members *has, const neap_members *wants,
                   member_order ***end) {
  int code = 0;
  for (size_t i = 0; i < has->count && code == 0; i++)
    if (find_member(wants, has->list[i].backend) == NULL)
      code = add_orders(loaded, end, pool, ORDER_LEAVE, &has->list[i]);
  for (size_t i = 0; i < wants->count && code == 0; i++) {
    const neap_pool_member *now = &wants->list[i], *before = find_member(has, now->backend);
    if (before == NULL) {
      code = add_orders(loaded, end, pool, ORDER_JOIN, now);
      continue;
    }
    if (before->weight != now->weight) code = add_orders(loaded, end, pool, ORDER_WEIGHT, now);
    if (code == 0 && before->draining != now->draining)
      code = add_orders(loaded, end, pool, ORDER_DRAIN, now);
  }
  return code;
}

static void count_missing(neap_gateway *gateway, const char *pool, const neap_members *of,
                          const neap_members *in, bool joined) {
  for (size_t i = 0; of && i < of->count; i++)
    if (in == NULL || find_member(in, of->list[i].backend) == NULL)
      neap_tallies_member(gateway->tallies, pool, joined);
}

/* For metrics: who left a pool and who joined it. NULL: there was, or is, no such pool. */
static void count_members(neap_gateway *gateway, const char *pool, const neap_members *had,
                          const neap_members *has) {
  count_missing(gateway, pool, had, has, false);
  count_missing(gateway, pool, has, had, true);
}

static const neap_members *members_of(const neap_loaded *loaded, const char *pool) {
  for (size_t i = 0; loaded && i < loaded->config->pool_count; i++)
    if (strcmp(loaded->config->pools[i].name, pool) == 0) return &loaded->members[i];
  return NULL;
}

void neap_members_count(neap_gateway *gateway, const neap_loaded *before, const neap_loaded *now) {
  for (size_t i = 0; i < now->config->pool_count; i++) {
    const char *pool = now->config->pools[i].name;
    count_members(gateway, pool, members_of(before, pool), &now->members[i]);
  }
  for (size_t i = 0; before && i < before->config->pool_count; i++) {
    const char *pool = before->config->pools[i].name;
    if (members_of(now, pool) == NULL) count_members(gateway, pool, &before->members[i], NULL);
  }
}

/* Makes a generation what it is to be, on every worker or on none. */
static int apply_to(neap_gateway *gateway, neap_loaded *loaded, neap_err *err) {
  neap_members *wants;
  uint64_t serial;
  member_order *orders = NULL, **end = &orders;
  int code = take_all(loaded, &wants, &serial, err);
  if (code) return code;
  for (size_t i = 0; i < loaded->config->pool_count && code == 0; i++)
    code = compare(loaded, i, &loaded->members[i], &wants[i], &end);
  if (code) {
    free_orders(gateway, orders);
    give_all(loaded, wants);
    return neap_fail(err, code, "%s", neap_strerror(code));
  }
  post_orders(gateway, orders);
  for (size_t i = 0; loaded == gateway->loaded && i < loaded->config->pool_count; i++)
    count_members(gateway, loaded->config->pools[i].name, &loaded->members[i], &wants[i]);
  neap_members *had = loaded->members;
  loaded->members = wants;
  loaded->members_serial = serial;
  neap_loaded_keep(gateway->loaded, neap_candidate_canary(gateway));
  give_all(loaded, had);
  return 0;
}

/* That which is in force, and a canary. */
int neap_members_apply(neap_gateway *gateway, neap_err *err) {
  neap_loaded *canary = neap_candidate_canary(gateway);
  int code = apply_to(gateway, gateway->loaded, err);
  return code || canary == NULL ? code : apply_to(gateway, canary, err);
}

void neap_members_catch_up(neap_gateway *gateway) {
  neap_err err;
  const neap_loaded *canary = neap_candidate_canary(gateway);
  bool canary_knows = canary == NULL || canary->members_serial == gateway->changes->serial;
  if (gateway->loaded->members_serial == gateway->changes->serial && canary_knows) return;
  if (neap_members_apply(gateway, &err))
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server member_changes_lost error=\"%s\"", err.text);
}
