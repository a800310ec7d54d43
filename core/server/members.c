#include "server/members.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "server/candidate.h"

/* What differs from the configuration. */
typedef struct member_change {
  struct member_change *next;
  enum { MEMBER_KEPT, MEMBER_ADDED, MEMBER_REMOVED } presence;
  int32_t weight;   /* 0: as configured */
  int32_t priority; /* of an added one */
  bool draining;
  neap_backend *backend; /* held while it is an added one: its name is not looked up again; or NULL */
  char *address;         /* behind the pool's name */
  char pool[];
} member_change;

struct neap_member_changes {
  neap_backends *backends;
  pthread_mutex_t lock; /* of the list; the control thread reads it without */
  member_change *first;
  uint64_t serial; /* grows with each change */
};

/* --- changes */

int neap_member_changes_create(neap_backends *backends, neap_member_changes **out) {
  neap_member_changes *changes = calloc(1, sizeof *changes);
  if (changes == NULL) return NEAP_ENOMEM;
  changes->backends = backends;
  pthread_mutex_init(&changes->lock, NULL);
  *out = changes;
  return 0;
}

static void free_change(neap_backends *backends, member_change *change) {
  if (change && change->backend) neap_backend_give(backends, change->backend);
  free(change);
}

static void free_changes(neap_backends *backends, member_change *first) {
  while (first) {
    member_change *next = first->next;
    free_change(backends, first);
    first = next;
  }
}

void neap_member_changes_destroy(neap_member_changes **changes) {
  if (*changes == NULL) return;
  free_changes((*changes)->backends, (*changes)->first);
  pthread_mutex_destroy(&(*changes)->lock);
  free(*changes);
  *changes = NULL;
}

static member_change *make_change(const char *pool, const char *address) {
  size_t pool_size = strlen(pool) + 1, address_size = strlen(address) + 1;
  member_change *change = calloc(1, sizeof *change + pool_size + address_size);
  if (change == NULL) return NULL;
  memcpy(change->pool, pool, pool_size);
  change->address = change->pool + pool_size;
  memcpy(change->address, address, address_size);
  return change;
}

static member_change *copy_change(const member_change *from) {
  member_change *copy = make_change(from->pool, from->address);
  if (copy == NULL) return NULL;
  copy->presence = from->presence;
  copy->weight = from->weight;
  copy->priority = from->priority;
  copy->draining = from->draining;
  if (from->backend) copy->backend = neap_backend_hold(from->backend);
  return copy;
}

static member_change *find_change(member_change *first, const char *pool, const char *address) {
  while (first && (strcmp(first->pool, pool) != 0 || strcmp(first->address, address) != 0))
    first = first->next;
  return first;
}

/* The list as it is now, for one who may be on another thread. */
static int copy_changes(neap_member_changes *changes, member_change **out, uint64_t *serial) {
  member_change **at = out;
  int code = 0;
  *out = NULL;
  pthread_mutex_lock(&changes->lock);
  *serial = changes->serial;
  for (const member_change *from = changes->first; from && code == 0; from = from->next) {
    member_change *copy = copy_change(from);
    if (copy == NULL) {
      code = NEAP_ENOMEM;
      break;
    }
    *at = copy;
    at = &copy->next;
  }
  pthread_mutex_unlock(&changes->lock);
  if (code == 0) return 0;
  free_changes(changes->backends, *out);
  *out = NULL;
  return code;
}

/* Takes `change` in, in the place of what was there for the same backend; one that changes nothing takes it
 * out. Control thread. */
static void put_change(neap_member_changes *changes, member_change *change) {
  pthread_mutex_lock(&changes->lock);
  changes->serial++;
  member_change **at = &changes->first, *old;
  while (*at && (strcmp((*at)->pool, change->pool) != 0 || strcmp((*at)->address, change->address) != 0))
    at = &(*at)->next;
  old = *at;
  member_change *rest = old ? old->next : NULL;
  if (change->presence == MEMBER_KEPT && change->weight == 0 && !change->draining) {
    *at = rest;
    free_change(changes->backends, change);
  } else {
    change->next = rest;
    *at = change;
  }
  pthread_mutex_unlock(&changes->lock);
  free_change(changes->backends, old);
}

/* --- the members of a generation */

static const neap_config_backend *find_configured(const neap_config_pool *pool, const char *address) {
  for (size_t i = 0; i < pool->backend_count; i++)
    if (strcmp(pool->backends[i].address, address) == 0) return &pool->backends[i];
  return NULL;
}

static void give(neap_gateway *gateway, neap_members *members) {
  for (size_t i = 0; i < members->count; i++) neap_backend_give(gateway->backends, members->list[i].backend);
  free(members->list);
  *members = (neap_members){.count = 0};
}

static int take(neap_gateway *gateway, neap_members *members, const char *address,
                const neap_config_backend *from, const member_change *change, neap_err *err) {
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

/* What the file says, and what was changed since. Nothing is left on failure. */
static int take_pool(neap_gateway *gateway, const neap_config_pool *pool, member_change *changes,
                     neap_members *members, neap_err *err) {
  size_t most = pool->backend_count;
  for (const member_change *change = changes; change; change = change->next) most++;
  members->list = calloc(most + 1, sizeof *members->list);
  if (members->list == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = 0;
  for (size_t i = 0; i < pool->backend_count && code == 0; i++) {
    const neap_config_backend *from = &pool->backends[i];
    const member_change *change = find_change(changes, pool->name, from->address);
    if (change == NULL || change->presence != MEMBER_REMOVED)
      code = take(gateway, members, from->address, from, change, err);
  }
  for (const member_change *change = changes; change && code == 0; change = change->next)
    if (change->presence == MEMBER_ADDED && strcmp(change->pool, pool->name) == 0 &&
        find_configured(pool, change->address) == NULL)
      code = take(gateway, members, change->address, NULL, change, err);
  if (code) give(gateway, members);
  return code;
}

/* Of every pool, by pool; *out is to be freed after give_all. */
static int take_all(neap_loaded *loaded, neap_members **out, uint64_t *serial, neap_err *err) {
  neap_gateway *gateway = loaded->gateway;
  size_t count = loaded->config->pool_count, done = 0;
  member_change *changes;
  neap_members *members = calloc(count + 1, sizeof *members);
  if (members == NULL || copy_changes(gateway->changes, &changes, serial)) {
    free(members);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  int code = 0;
  for (; done < count && code == 0; done += code == 0)
    code = take_pool(gateway, &loaded->config->pools[done], changes, &members[done], err);
  free_changes(gateway->backends, changes);
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

static const neap_pool_member *find_member(const neap_members *members, const neap_backend *backend) {
  for (size_t i = 0; i < members->count; i++)
    if (members->list[i].backend == backend) return &members->list[i];
  return NULL;
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
static int apply(neap_gateway *gateway, neap_err *err) {
  neap_loaded *canary = neap_candidate_canary(gateway);
  int code = apply_to(gateway, gateway->loaded, err);
  return code || canary == NULL ? code : apply_to(gateway, canary, err);
}

void neap_members_catch_up(neap_gateway *gateway) {
  neap_err err;
  const neap_loaded *canary = neap_candidate_canary(gateway);
  bool canary_knows = canary == NULL || canary->members_serial == gateway->changes->serial;
  if (gateway->loaded->members_serial == gateway->changes->serial && canary_knows) return;
  if (apply(gateway, &err))
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server member_changes_lost error=\"%s\"", err.text);
}

/* --- what sources find */

static const neap_config_pool *find_pool(const neap_gateway *gateway, const char *name) {
  const neap_config *config = gateway->loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, name) == 0) return &config->pools[i];
  return NULL;
}

static bool is_of_the_file(const neap_gateway *gateway, const char *pool, const char *address) {
  const neap_config_pool *found = find_pool(gateway, pool);
  return found && find_configured(found, address);
}

int neap_members_announce(neap_gateway *gateway, const char *pool, const neap_member_found *found,
                          neap_err *err) {
  if (is_of_the_file(gateway, pool, found->address)) return 0;
  member_change *change = make_change(pool, found->address);
  if (change == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = neap_backends_take(gateway->backends, found->address, &change->backend, err);
  if (code) {
    free(change); /* what cannot be used would spoil every change and reload after it */
    return code;
  }
  const member_change *now = find_change(gateway->changes->first, pool, found->address);
  change->presence = MEMBER_ADDED;
  change->weight = found->weight;
  change->priority = found->priority;
  change->draining = now && now->draining;
  put_change(gateway->changes, change);
  return 0;
}

void neap_members_withdraw(neap_gateway *gateway, const char *pool, const char *address) {
  const member_change *now = find_change(gateway->changes->first, pool, address);
  if (now == NULL || is_of_the_file(gateway, pool, address)) return;
  member_change *change = make_change(pool, address); /* that nothing is changed */
  if (change) put_change(gateway->changes, change);
}

/* --- changing */

/* What is asked for, and what it is about. */
typedef struct change_plan {
  neap_gateway *gateway;
  const neap_config_pool *pool;
  const neap_config_backend *configured; /* NULL: the file does not name it */
  const member_change *now;              /* NULL: nothing is changed */
  char address[320];                     /* in small letters */
} change_plan;

static int no_pool(const neap_config *config, const char *pool, neap_err *err) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, pool);
  for (size_t i = 0; i < config->pool_count; i++) neap_nearest_offer(&nearest, config->pools[i].name);
  if (nearest.name == NULL) return neap_fail(err, NEAP_ENOTFOUND, "there is no pool '%s'", pool);
  return neap_fail(err, NEAP_ENOTFOUND, "there is no pool '%s', did you mean '%s'?", pool, nearest.name);
}

static int plan(neap_gateway *gateway, const char *pool, const char *address, change_plan *out,
                neap_err *err) {
  const neap_config *config = gateway->loaded->config;
  size_t size = strlen(address);
  *out = (change_plan){.gateway = gateway};
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, pool) == 0) out->pool = &config->pools[i];
  if (out->pool == NULL) return no_pool(config, pool, err);
  if (size >= sizeof out->address) return neap_fail(err, NEAP_EINVAL, "the address is too long");
  for (size_t i = 0; i < size; i++) out->address[i] = (char)tolower((unsigned char)address[i]);
  out->configured = find_configured(out->pool, out->address);
  out->now = find_change(gateway->changes->first, pool, out->address);
  return 0;
}

static bool is_member(const change_plan *of) {
  if (of->now && of->now->presence == MEMBER_REMOVED) return false;
  return of->configured != NULL || (of->now && of->now->presence == MEMBER_ADDED);
}

static int not_a_member(const change_plan *of, neap_err *err) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, of->address);
  for (size_t i = 0; i < of->pool->backend_count; i++)
    neap_nearest_offer(&nearest, of->pool->backends[i].address);
  const char *hint = nearest.name ? nearest.name : "";
  return neap_fail(err, NEAP_ENOTFOUND, "pool '%s' has no backend '%s'%s%s%s", of->pool->name, of->address,
                   *hint ? ", did you mean '" : "", hint, *hint ? "'?" : "");
}

/* A copy of what is changed so far, to be edited. */
static member_change *edit(const change_plan *of, neap_err *err) {
  member_change *change = of->now ? copy_change(of->now) : make_change(of->pool->name, of->address);
  if (change == NULL) neap_fail(err, NEAP_ENOMEM, "out of memory");
  return change;
}

/* Puts `change` into force, or back what was. */
static int change_to(const change_plan *of, member_change *change, neap_err *err) {
  neap_member_changes *changes = of->gateway->changes;
  member_change *back = edit(of, err);
  if (back == NULL) {
    free_change(of->gateway->backends, change);
    return NEAP_ENOMEM;
  }
  put_change(changes, change);
  int code = apply(of->gateway, err);
  if (code)
    put_change(changes, back);
  else
    free_change(of->gateway->backends, back);
  return code;
}

int neap_gateway_backend_add(neap_gateway *gateway, const char *pool, const char *address, int32_t weight,
                             neap_err *err) {
  change_plan of;
  int code = plan(gateway, pool, address, &of, err);
  if (code) return code;
  if (weight < 0 || weight > 1000) return neap_fail(err, NEAP_EINVAL, "a weight is 1 to 1000");
  if (is_member(&of))
    return neap_fail(err, NEAP_EEXIST, "pool '%s' has the backend '%s' already", pool, of.address);
  member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->presence = of.configured ? MEMBER_KEPT : MEMBER_ADDED;
  if (change->presence == MEMBER_ADDED &&
      (code = neap_backends_take(gateway->backends, of.address, &change->backend, err)) != 0) {
    free_change(gateway->backends, change);
    return code;
  }
  change->weight = weight;
  change->draining = false;
  return change_to(&of, change, err);
}

int neap_gateway_backend_remove(neap_gateway *gateway, const char *pool, const char *address, neap_err *err) {
  change_plan of;
  int code = plan(gateway, pool, address, &of, err);
  if (code) return code;
  if (!is_member(&of)) return not_a_member(&of, err);
  member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->presence = of.configured ? MEMBER_REMOVED : MEMBER_KEPT;
  change->weight = 0;
  change->draining = false;
  return change_to(&of, change, err);
}

int neap_gateway_backend_weight(neap_gateway *gateway, const char *pool, const char *address, int32_t weight,
                                neap_err *err) {
  change_plan of;
  int code = plan(gateway, pool, address, &of, err);
  if (code) return code;
  if (weight < 0 || weight > 1000)
    return neap_fail(err, NEAP_EINVAL, "a weight is 1 to 1000, or 0: as configured");
  if (!is_member(&of)) return not_a_member(&of, err);
  member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->weight = weight;
  return change_to(&of, change, err);
}

int neap_gateway_backend_drain(neap_gateway *gateway, const char *pool, const char *address, bool draining,
                               neap_err *err) {
  change_plan of;
  int code = plan(gateway, pool, address, &of, err);
  if (code) return code;
  if (!is_member(&of)) return not_a_member(&of, err);
  member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->draining = draining;
  return change_to(&of, change, err);
}

/* --- showing */

static uint32_t idle_of(const neap_gateway *gateway, const neap_backend *backend) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i])
      sum += neap_connections_kept(neap_worker_flow(gateway->workers[i])->connections, backend);
  return sum;
}

void neap_gateway_backends_each(neap_gateway *gateway,
                                void (*tell)(void *user, const neap_gateway_backend *backend), void *user) {
  const neap_loaded *loaded = gateway->loaded;
  uint64_t now_ms = neap_loop_now_ms(gateway->loop);
  for (size_t i = 0; i < loaded->config->pool_count; i++) {
    const neap_config_pool *pool = &loaded->config->pools[i];
    for (size_t j = 0; j < loaded->members[i].count; j++) {
      const neap_pool_member *member = &loaded->members[i].list[j];
      const char *address = neap_backend_address(member->backend);
      const member_change *change = find_change(gateway->changes->first, pool->name, address);
      char id[NEAP_BACKEND_ID];
      neap_gateway_backend shown = {.pool = pool->name,
                                    .address = address,
                                    .id = id,
                                    .weight = member->weight,
                                    .limit = member->limit,
                                    .draining = member->draining,
                                    .idle = idle_of(gateway, member->backend),
                                    .added = find_configured(pool, address) == NULL,
                                    .weight_changed = change && change->weight};
      neap_backend_id_get(member->backend, id);
      neap_backend_info_get(member->backend, pool->care.health.key, now_ms, &shown.info);
      tell(user, &shown);
    }
    for (const member_change *change = gateway->changes->first; change; change = change->next) {
      if (change->presence != MEMBER_REMOVED || strcmp(change->pool, pool->name) != 0) continue;
      if (find_configured(pool, change->address) == NULL) continue;
      neap_gateway_backend shown = {
          .pool = pool->name, .address = change->address, .id = "", .removed = true};
      tell(user, &shown);
    }
  }
}
