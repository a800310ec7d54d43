/* The decide layer of balancing: a pool that belongs to a host, without connections and without a loop. */
#include "neap/balance.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/host.h"
#include "server/server.h"
#include "upstream/upstream.h"

enum { BALANCER_MAGIC = 0x4e626c63, FIELDS_MAX = 64, ADDRESS_MAX = 300, WEIGHT_MAX = 1000 };

/* What peers know together. */
typedef struct knowledge {
  neap_backends *backends;
  _Atomic uint32_t holders;
} knowledge;

struct neap_balancer {
  uint32_t magic;
  neap_engine *engine;
  knowledge *knowledge;
  neap_care care;
  neap_pool *pool;
  char *name, *policy;
};

/* For the registry. malloc'd. */
static char *spec_of(const char *name) {
  size_t size = strlen(name) + 64; /* an alias may be shorter than what it means */
  char *spec = malloc(size);
  if (spec) neap_policy_resolve(NEAP_BALANCE, name, spec, size);
  return spec;
}

/* --- life */

void neap_balancer_options_init(neap_balancer_options *options) {
  *options = (neap_balancer_options){
      .name = "balancer", .policy = "p2c", .down_time_ms = 5000, .eject_errors = 5, .eject_time_ms = 30000};
}

static knowledge *share(neap_balancer *peer) {
  if (peer) {
    neap_check_magic(peer, BALANCER_MAGIC);
    atomic_fetch_add(&peer->knowledge->holders, 1);
    return peer->knowledge;
  }
  knowledge *made = calloc(1, sizeof *made);
  if (made == NULL || neap_backends_create(&made->backends)) {
    free(made);
    return NULL;
  }
  made->holders = 1;
  return made;
}

static void forget(knowledge *of) {
  if (of == NULL || atomic_fetch_sub(&of->holders, 1) > 1) return;
  neap_backends_destroy(&of->backends);
  free(of);
}

static bool is_valid(const neap_balancer_backend *backend) {
  if (backend->address == NULL || backend->weight < 0 || backend->weight > WEIGHT_MAX) return false;
  size_t size = strlen(backend->address);
  return size > 0 && size <= ADDRESS_MAX && backend->max_in_flight >= 0;
}

static int join(neap_balancer *balancer, const neap_balancer_backend *backend) {
  if (!is_valid(backend)) return NEAP_EINVAL;
  neap_pool_member member = {.weight = backend->weight ? backend->weight : 1,
                             .limit = backend->max_in_flight};
  int code = neap_backends_name(balancer->knowledge->backends, backend->address, &member.backend);
  if (code) return code;
  code = neap_pool_join(balancer->pool, &member); /* which has a hold of its own */
  neap_backend_give(balancer->knowledge->backends, member.backend);
  return code;
}

/* The policy is made when all are there: some choose by how many there are. */
static int make_pool(neap_balancer *balancer, const neap_balancer_options *options,
                     const neap_balancer_backend *backends, size_t count, neap_err *err) {
  neap_backends *known = balancer->knowledge->backends;
  const neap_host *host = neap_engine_host(balancer->engine);
  neap_pool_member *members = calloc(count + 1, sizeof *members);
  if (members == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = 0;
  size_t named = 0;
  for (; named < count && code == 0; named += code == 0) {
    const neap_balancer_backend *from = &backends[named];
    if (!is_valid(from))
      code = neap_fail(err, NEAP_EINVAL, "backend %zu: an address of 1 to %d bytes, a weight up to %d",
                       named + 1, ADDRESS_MAX, WEIGHT_MAX);
    else if (neap_backends_name(known, from->address, &members[named].backend))
      code = neap_fail(err, NEAP_ENOMEM, "out of memory");
    members[named].weight = from->weight ? from->weight : 1;
    members[named].limit = from->max_in_flight;
    for (size_t i = 0; i < named && code == 0; i++)
      if (members[i].backend == members[named].backend) {
        neap_backend_give(known, members[named].backend);
        code = neap_fail(err, NEAP_EEXIST, "backend '%s' is there twice", from->address);
      }
  }
  const neap_pool_options of = {.name = balancer->name,
                                .members = members,
                                .member_count = count,
                                .down_time_ms = options->down_time_ms,
                                .care = &balancer->care,
                                .balance = balancer->policy,
                                .params = options->params,
                                .param_count = options->param_count,
                                .registry = neap_engine_registry(balancer->engine),
                                .host = host,
                                .seed = host->seed ^ (uint64_t)(uintptr_t)balancer};
  if (code == 0) code = neap_pool_create(&of, &balancer->pool, err);
  while (named > 0) neap_backend_give(known, members[--named].backend);
  free(members);
  return code;
}

int neap_balancer_create(neap_engine *engine, const neap_balancer_options *options,
                         const neap_balancer_backend *backends, size_t count, neap_balancer **out,
                         neap_err *err) {
  neap_balancer *balancer = calloc(1, sizeof *balancer);
  if (balancer == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  balancer->magic = BALANCER_MAGIC;
  balancer->engine = engine;
  balancer->knowledge = share(options->peer);
  balancer->care = (neap_care){.eject = {.enabled = options->eject_errors > 0,
                                         .errors = options->eject_errors,
                                         .time_ms = options->eject_time_ms,
                                         .max_time_ms = 20 * options->eject_time_ms,
                                         .max_share = 0.5},
                               .slow_start_ms = options->slow_start_ms};
  balancer->name = strdup(options->name ? options->name : "balancer");
  balancer->policy = spec_of(options->policy ? options->policy : "p2c");
  int code = balancer->knowledge && balancer->name && balancer->policy
                 ? make_pool(balancer, options, backends, count, err)
                 : neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (code)
    neap_balancer_destroy(&balancer);
  else
    *out = balancer;
  return code;
}

void neap_balancer_destroy(neap_balancer **balancer_ptr) {
  neap_balancer *balancer = *balancer_ptr;
  if (balancer == NULL) return;
  neap_check_magic(balancer, BALANCER_MAGIC);
  *balancer_ptr = NULL;
  neap_pool_destroy(&balancer->pool);
  forget(balancer->knowledge);
  balancer->magic = 0;
  free(balancer->name);
  free(balancer->policy);
  free(balancer);
}

/* --- members */

int neap_balancer_add(neap_balancer *balancer, const neap_balancer_backend *backend) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  return join(balancer, backend);
}

int neap_balancer_remove(neap_balancer *balancer, const char *address) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  return neap_pool_leave(balancer->pool, address);
}

int neap_balancer_set_weight(neap_balancer *balancer, const char *address, int32_t weight) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  if (weight < 1 || weight > WEIGHT_MAX) return NEAP_EINVAL;
  return neap_pool_set_weight(balancer->pool, address, weight);
}

int neap_balancer_drain(neap_balancer *balancer, const char *address, int draining) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  return neap_pool_set_draining(balancer->pool, address, draining != 0);
}

/* --- picking */

static neap_slice slice(neap_view view) {
  return (neap_slice){.ptr = view.ptr ? view.ptr : "",
                      .size = (int32_t)NEAP_MIN(view.size, (size_t)INT32_MAX)};
}

/* As the gateway sees it: the same host gets the same backend, however it is spelt. */
static neap_slice host_of(neap_view from, char room[NEAP_HOST_MAX]) {
  size_t size = neap_host_name_size(from.ptr, from.size);
  if (size > NEAP_HOST_MAX) return slice(from);
  neap_host_lower(from.ptr, size, room);
  return (neap_slice){.ptr = room, .size = (int32_t)size};
}

static void fill_board(const neap_balancer_request *request, neap_header_row *rows, char *host,
                       neap_request_board *out) {
  size_t count = NEAP_MIN(request->field_count, (size_t)FIELDS_MAX);
  for (size_t i = 0; i < count; i++)
    rows[i] = (neap_header_row){slice(request->fields[i].name), slice(request->fields[i].value)};
  *out = (neap_request_board){.method = slice(request->method),
                              .target = slice(request->path),
                              .path = slice(request->path),
                              .query = slice(request->query),
                              .host = host_of(request->host, host),
                              .client = slice(request->client),
                              .header_count = (int32_t)count,
                              .version_minor = 1,
                              .headers = rows};
}

/* Another thread's peer may have been quicker with the last place of a backend: then it is picked anew. */
static int pick(neap_balancer *balancer, const neap_pool_ask *ask, neap_pick *out) {
  for (;;) {
    int32_t member = neap_pool_pick(balancer->pool, ask);
    if (member == NEAP_PICK_WAIT) return NEAP_EBUSY;
    if (member < 0) return NEAP_ENOTFOUND;
    int32_t in_flight = neap_pool_begin(balancer->pool, member);
    if (in_flight == 0) {
      neap_pool_let_go(balancer->pool, member);
      continue;
    }
    *out = (neap_pick){.backend = member,
                       .in_flight = in_flight,
                       .address = neap_backend_address(neap_pool_backend(balancer->pool, member))};
    return 0;
  }
}

int neap_balancer_pick(neap_balancer *balancer, const neap_balancer_request *request, neap_pick *out) {
  static const neap_balancer_request nothing;
  neap_check_magic(balancer, BALANCER_MAGIC);
  if (request == NULL) request = &nothing;
  const neap_host *host = neap_engine_host(balancer->engine);
  neap_header_row rows[FIELDS_MAX];
  char name[NEAP_HOST_MAX];
  neap_request_board board;
  fill_board(request, rows, name, &board);
  neap_slice key = request->key.ptr ? slice(request->key) : board.client;
  neap_pool_ask ask = {.request = &board,
                       .key = (double)(neap_hash_bytes(key.ptr, (size_t)key.size) >> 11),
                       .now_ms = host->now_ms(host->user),
                       .tried = request->tried,
                       .tried_count = (int)NEAP_MIN(request->tried_count, (size_t)NEAP_TRIES_MAX)};
  return pick(balancer, &ask, out);
}

void neap_balancer_done(neap_balancer *balancer, neap_pick *pick, const neap_pick_outcome *outcome) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  const neap_host *host = neap_engine_host(balancer->engine);
  neap_pool *pool = balancer->pool;
  if (outcome) {
    uint64_t now_ms = host->now_ms(host->user);
    neap_pool_outcome of = {
        .in_flight = pick->in_flight, .status = outcome->status, .took_us = outcome->took_us};
    if (outcome->unreachable)
      neap_pool_unreachable(pool, pick->backend, &of, now_ms);
    else if (outcome->status == 0)
      neap_pool_failed(pool, pick->backend, &of, now_ms);
    else
      neap_pool_answered(pool, pick->backend, &of, now_ms);
  }
  neap_pool_end(pool, pick->backend);
  neap_pool_let_go(pool, pick->backend);
  *pick = (neap_pick){.backend = -1};
}

int neap_balancer_info_get(neap_balancer *balancer, const char *address, neap_balancer_info *out) {
  neap_check_magic(balancer, BALANCER_MAGIC);
  const neap_host *host = neap_engine_host(balancer->engine);
  const neap_pool_member *member = neap_pool_find(balancer->pool, address);
  if (member == NULL) return NEAP_ENOTFOUND;
  neap_backend_info info;
  neap_backend_info_get(member->backend, balancer->care.health.key, host->now_ms(host->user), &info);
  *out = (neap_balancer_info){.state = info.state,
                              .weight = member->weight,
                              .in_flight = info.in_flight,
                              .response_us = info.ewma_us,
                              .error_rate = info.error_rate,
                              .requests = info.requests,
                              .failures = info.failures};
  neap_backend_id_get(member->backend, out->id);
  return 0;
}
