/* Changes of pools' members: those that sources find, those that are asked for, and how members are shown. */
#include <ctype.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "server/candidate.h"
#include "server/member_changes.h"

/* --- what sources find */

static const neap_config_pool *find_pool(const neap_gateway *gateway, const char *name) {
  const neap_config *config = gateway->loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, name) == 0) return &config->pools[i];
  return NULL;
}

static bool is_of_the_file(const neap_gateway *gateway, const char *pool, const char *address) {
  const neap_config_pool *found = find_pool(gateway, pool);
  return found && neap_members_configured(found, address);
}

int neap_members_announce(neap_gateway *gateway, const char *pool, const neap_member_found *found,
                          neap_err *err) {
  if (is_of_the_file(gateway, pool, found->address)) return 0;
  neap_member_change *change = neap_member_change_make(pool, found->address);
  if (change == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = neap_backends_take(gateway->backends, found->address, &change->backend, err);
  if (code) {
    free(change); /* what cannot be used would spoil every change and reload after it */
    return code;
  }
  const neap_member_change *now = neap_member_list_find(&gateway->changes->list, pool, found->address);
  change->presence = NEAP_MEMBER_ADDED;
  change->weight = found->weight;
  change->priority = found->priority;
  change->draining = now && now->draining;
  neap_member_changes_put(gateway->changes, change);
  return 0;
}

void neap_members_withdraw(neap_gateway *gateway, const char *pool, const char *address) {
  const neap_member_change *now = neap_member_list_find(&gateway->changes->list, pool, address);
  if (now == NULL || is_of_the_file(gateway, pool, address)) return;
  neap_member_change *change = neap_member_change_make(pool, address); /* that nothing is changed */
  if (change) neap_member_changes_put(gateway->changes, change);
}

/* --- changing */

/* What is asked for, and what it is about. */
typedef struct change_plan {
  neap_gateway *gateway;
  const neap_config_pool *pool;
  const neap_config_backend *configured; /* NULL: the file does not name it */
  const neap_member_change *now;         /* NULL: nothing is changed */
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
  out->configured = neap_members_configured(out->pool, out->address);
  out->now = neap_member_list_find(&gateway->changes->list, pool, out->address);
  return 0;
}

static bool is_member(const change_plan *of) {
  if (of->now && of->now->presence == NEAP_MEMBER_REMOVED) return false;
  return of->configured != NULL || (of->now && of->now->presence == NEAP_MEMBER_ADDED);
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
static neap_member_change *edit(const change_plan *of, neap_err *err) {
  neap_member_change *change =
      of->now ? neap_member_change_copy(of->now) : neap_member_change_make(of->pool->name, of->address);
  if (change == NULL) neap_fail(err, NEAP_ENOMEM, "out of memory");
  return change;
}

/* Puts `change` into force, or back what was. */
static int change_to(const change_plan *of, neap_member_change *change, neap_err *err) {
  neap_member_changes *changes = of->gateway->changes;
  neap_member_change *back = edit(of, err);
  if (back == NULL) {
    neap_member_change_free(of->gateway->backends, change);
    return NEAP_ENOMEM;
  }
  neap_member_changes_put(changes, change);
  int code = neap_members_apply(of->gateway, err);
  if (code)
    neap_member_changes_put(changes, back);
  else
    neap_member_change_free(of->gateway->backends, back);
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
  neap_member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->presence = of.configured ? NEAP_MEMBER_KEPT : NEAP_MEMBER_ADDED;
  if (change->presence == NEAP_MEMBER_ADDED &&
      (code = neap_backends_take(gateway->backends, of.address, &change->backend, err)) != 0) {
    neap_member_change_free(gateway->backends, change);
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
  neap_member_change *change = edit(&of, err);
  if (change == NULL) return NEAP_ENOMEM;
  change->presence = of.configured ? NEAP_MEMBER_REMOVED : NEAP_MEMBER_KEPT;
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
  neap_member_change *change = edit(&of, err);
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
  neap_member_change *change = edit(&of, err);
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
      const neap_member_change *change = neap_member_list_find(&gateway->changes->list, pool->name, address);
      char id[NEAP_BACKEND_ID];
      neap_gateway_backend shown = {.pool = pool->name,
                                    .address = address,
                                    .id = id,
                                    .weight = member->weight,
                                    .limit = member->limit,
                                    .draining = member->draining,
                                    .idle = idle_of(gateway, member->backend),
                                    .added = neap_members_configured(pool, address) == NULL,
                                    .weight_changed = change && change->weight};
      neap_backend_id_get(member->backend, id);
      neap_backend_info_get(member->backend, pool->care.health.key, now_ms, &shown.info);
      tell(user, &shown);
    }
    for (const neap_member_change *change = gateway->changes->list.first; change; change = change->next) {
      if (change->presence != NEAP_MEMBER_REMOVED || strcmp(change->pool, pool->name) != 0) continue;
      if (neap_members_configured(pool, change->address) == NULL) continue;
      neap_gateway_backend shown = {
          .pool = pool->name, .address = change->address, .id = "", .removed = true};
      tell(user, &shown);
    }
  }
}
