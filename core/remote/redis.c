/* The client of Redis: its options, its servers, and the way of a request into it. */
#include "remote/redis_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REST_MS = 30 };

void neap_redis_log(neap_redis *redis, neap_log_level level, const char *format, ...) {
  const neap_host *host = redis->options.host;
  char line[1024];
  va_list args;
  if (host == NULL || host->log == NULL) return;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  for (char *c = line; *c; c++) /* names may be what a server said */
    if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
  host->log(host->user, level, line);
}

/* --- requests */

redis_server *neap_redis_first_server(const neap_redis *redis) {
  return redis_list_is_empty(&redis->servers) ? NULL
                                              : NEAP_CONTAINER_OF(redis->servers.next, redis_server, link);
}

/* Of a Cluster, for what has no key: one after the other would serve as well. */
static redis_server *any_server(neap_redis *redis) {
  redis_list *link = redis->servers.next;
  if (redis_list_is_empty(&redis->servers)) return NULL;
  for (uint64_t skip = neap_random_below(&redis->random, redis->info.servers); skip > 0; skip--)
    link = link->next;
  return NEAP_CONTAINER_OF(link, redis_server, link);
}

static redis_server *server_for(neap_redis *redis, const neap_redis_request *request) {
  if (redis->options.layout != NEAP_REDIS_CLUSTER) return neap_redis_first_server(redis);
  return request->slot == REDIS_NO_SLOT ? any_server(redis) : redis->slots[request->slot];
}

void neap_redis_route(neap_redis_request *request) {
  neap_redis *redis = request->home;
  redis_server *server = server_for(redis, request);
  if (server)
    neap_redis_server_take(server, request);
  else if (neap_redis_guide_is_hopeful(redis))
    neap_redis_rest(request);
  else
    neap_redis_refuse(request);
}

/* --- those that have to wait a little */

void neap_redis_rest(neap_redis_request *request) {
  neap_redis *redis = request->home;
  redis_list_append(&redis->resting, &request->link);
  neap_redis_guide_hurry(redis);
  if (!neap_timer_is_set(&redis->rest))
    neap_timer_set(redis->loop, &redis->rest, REST_MS + neap_random_below(&redis->random, REST_MS));
}

void neap_redis_wake(neap_redis *redis) {
  redis_list left;
  redis_list_move(&left, &redis->resting);
  while (!redis_list_is_empty(&left)) {
    neap_redis_request *request = NEAP_CONTAINER_OF(left.next, neap_redis_request, link);
    redis_list_remove(&request->link);
    neap_redis_route(request);
  }
}

static void on_rested(neap_timer *timer) {
  neap_redis_wake(NEAP_CONTAINER_OF(timer, neap_redis, rest));
}

void neap_redis_refuse(neap_redis_request *request) {
  redis_list_append(&request->home->refused, &request->link);
  neap_soon_set(request->home->loop, &request->home->refuse);
}

static void tell_refused(neap_soon *soon) {
  neap_redis *redis = NEAP_CONTAINER_OF(soon, neap_redis, refuse);
  redis_list left;
  redis_list_move(&left, &redis->refused);
  while (!redis_list_is_empty(&left))
    neap_redis_request_end(NEAP_CONTAINER_OF(left.next, neap_redis_request, link), NEAP_REDIS_DOWN,
                           redis->info.fault[0] ? redis->info.fault : "not connected");
}

int neap_redis_start(neap_redis *redis, const neap_redis_command *command, neap_redis_request **out) {
  neap_redis_request *request;
  if (command->count == 0 || command->done == NULL) return NEAP_EINVAL;
  int code = redis->info.requests < redis->options.max_requests
                 ? neap_redis_request_create(redis, command, false, &request)
                 : NEAP_EBUSY;
  if (code) {
    redis->info.refused += code == NEAP_EBUSY;
    return code;
  }
  redis->info.started++;
  neap_timer_set(redis->loop, &request->limit,
                 command->timeout_ms ? command->timeout_ms : redis->options.timeout_ms);
  if (out) *out = request;
  neap_redis_route(request);
  return 0;
}

/* --- addresses */

const char *neap_redis_guide_address(const neap_redis *redis, unsigned at) {
  bool cluster = redis->options.layout == NEAP_REDIS_CLUSTER;
  size_t index = at % (redis->address_count + (cluster ? redis->info.servers : 0));
  if (index < redis->address_count) return redis->addresses[index];
  redis_list *link = redis->servers.next;
  for (index -= redis->address_count; index > 0; index--) link = link->next;
  return NEAP_CONTAINER_OF(link, redis_server, link)->address;
}

const char *neap_redis_watch_address(const neap_redis *redis, unsigned at) {
  const redis_server *server = neap_redis_first_server(redis);
  if (redis->options.layout == NEAP_REDIS_CLUSTER) return neap_redis_guide_address(redis, at);
  return server ? server->address : NULL;
}

void neap_redis_info_get(const neap_redis *redis, neap_redis_info *out) {
  *out = redis->info;
}

/* --- options */

void neap_redis_options_init(neap_redis_options *options) {
  *options = (neap_redis_options){.layout = NEAP_REDIS_SINGLE,
                                  .connections = 2,
                                  .connect_timeout_ms = 1000,
                                  .timeout_ms = 1000,
                                  .stall_ms = 3000,
                                  .backoff_min_ms = 50,
                                  .backoff_max_ms = 2000,
                                  .max_requests = 65536,
                                  .max_request_bytes = 64u << 20,
                                  .max_reply_bytes = 64u << 20};
}

/* A path has no host that a certificate could hold. */
static int check_tls_name(const neap_redis_options *options, neap_err *err) {
  char host[256];
  for (size_t i = 0; options->tls && options->tls->server_name == NULL && options->addresses[i]; i++) {
    neap_redis_address_host(options->addresses[i], host);
    if (host[0] == '\0')
      return neap_fail(err, NEAP_EINVAL, "address \"%s\": TLS needs the name of the server",
                       options->addresses[i]);
  }
  return 0;
}

static int check_addresses(const neap_redis_options *options, neap_err *err) {
  size_t count = 0;
  if (options->addresses)
    for (; options->addresses[count]; count++) {
      int code = neap_redis_address_check(options->addresses[count], err);
      if (code) return code;
    }
  if (count == 0) return neap_fail(err, NEAP_EINVAL, "no address of Redis is given");
  if (count > NEAP_REDIS_ADDRESSES_MAX)
    return neap_fail(err, NEAP_EINVAL, "there may be %d addresses of Redis", NEAP_REDIS_ADDRESSES_MAX);
  if (options->layout == NEAP_REDIS_SINGLE && count > 1)
    return neap_fail(err, NEAP_EINVAL, "a single Redis has one address");
  return check_tls_name(options, err);
}

static int check_numbers(const neap_redis_options *options, neap_err *err) {
  if (options->connections < 1 || options->connections > NEAP_REDIS_CONNECTIONS_MAX)
    return neap_fail(err, NEAP_EINVAL, "connections to Redis must be 1 to %d", NEAP_REDIS_CONNECTIONS_MAX);
  if (options->connect_timeout_ms == 0 || options->timeout_ms == 0 || options->stall_ms == 0)
    return neap_fail(err, NEAP_EINVAL, "timeouts of Redis must be above 0");
  if (options->backoff_min_ms == 0 || options->backoff_min_ms > options->backoff_max_ms)
    return neap_fail(err, NEAP_EINVAL, "waits before connecting again must rise from above 0");
  if (options->max_requests == 0 || options->max_request_bytes == 0 || options->max_reply_bytes == 0)
    return neap_fail(err, NEAP_EINVAL, "limits of Redis must be above 0");
  if (options->layout == NEAP_REDIS_CLUSTER && options->database != 0)
    return neap_fail(err, NEAP_EINVAL, "a Cluster of Redis has no database but 0");
  if (options->user && options->password == NULL)
    return neap_fail(err, NEAP_EINVAL, "a user of Redis needs a password");
  if (options->layout == NEAP_REDIS_SENTINEL && options->group == NULL)
    return neap_fail(err, NEAP_EINVAL, "Sentinels must be asked for a group by its name");
  return 0;
}

static bool copy_text(neap_redis *redis, const char **text) {
  if (*text == NULL) return true;
  char *copy = strdup(*text);
  if (copy == NULL) return false;
  redis->texts[redis->text_count++] = copy;
  *text = copy;
  return true;
}

static bool copy_texts(neap_redis *redis) {
  neap_redis_options *options = &redis->options;
  const char **const texts[] = {&options->group,
                                &options->user,
                                &options->password,
                                &options->sentinel_user,
                                &options->sentinel_password,
                                &options->client_name};
  for (size_t i = 0; i < NEAP_COUNT_OF(texts); i++)
    if (!copy_text(redis, texts[i])) return false;
  for (const char *const *address = options->addresses; *address; address++) {
    redis->addresses[redis->address_count] = *address;
    if (!copy_text(redis, &redis->addresses[redis->address_count++])) return false;
  }
  options->addresses = redis->addresses;
  return true;
}

/* --- birth and death */

static int start_tls(neap_redis *redis, neap_err *err) {
  const neap_redis_tls *tls = redis->options.tls;
  if (tls == NULL) return 0;
  redis->options.tls = NULL; /* borrowed until now */
  redis->tls_name = tls->server_name;
  if (!copy_text(redis, &redis->tls_name)) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  const neap_tls_options options = {
      .ca_file = tls->ca_file, .certificate_file = tls->certificate_file, .key_file = tls->key_file};
  return neap_tls_client_create(&options, &redis->tls, err);
}

/* Names may come up later, from Sentinels or a Cluster, whatever the addresses are. */
static int start(neap_redis *redis) {
  redis_server *server;
  int code = neap_resolver_create(redis->loop, NULL, &redis->resolver);
  if (code) return code;
  return redis->options.layout == NEAP_REDIS_SINGLE
             ? neap_redis_server_create(redis, redis->addresses[0], &server)
             : neap_redis_guide_create(redis);
}

int neap_redis_create(neap_loop *loop, const neap_redis_options *options, neap_redis **out, neap_err *err) {
  int code = check_addresses(options, err);
  if (code == 0) code = check_numbers(options, err);
  if (code) return code;
  neap_redis *redis = calloc(1, sizeof *redis);
  if (redis == NULL) return NEAP_ENOMEM;
  redis->loop = loop;
  redis->options = *options;
  redis->random.state = options->seed;
  redis->limits = neap_resp_limits_default;
  redis->limits.total_bytes = redis->limits.bulk_bytes = options->max_reply_bytes;
  redis_list_init(&redis->servers);
  redis_list_init(&redis->refused);
  redis_list_init(&redis->resting);
  redis_list_init(&redis->watches);
  neap_timer_init(&redis->rest, on_rested);
  neap_soon_init(&redis->refuse, tell_refused);
  code = start_tls(redis, err);
  if (code == 0) {
    code = copy_texts(redis) ? start(redis) : NEAP_ENOMEM;
    if (code) neap_fail(err, code, "%s", neap_strerror(code));
  }
  if (code) {
    neap_redis_destroy(&redis);
    return code;
  }
  *out = redis;
  return 0;
}

static void free_all(redis_list *requests) {
  while (!redis_list_is_empty(requests))
    neap_redis_request_free(NEAP_CONTAINER_OF(requests->next, neap_redis_request, link));
}

void neap_redis_destroy(neap_redis **redis_ptr) {
  neap_redis *redis = *redis_ptr;
  if (redis == NULL) return;
  *redis_ptr = NULL;
  neap_redis_watches_close(redis);
  neap_redis_guide_destroy(redis);
  while (!redis_list_is_empty(&redis->servers))
    neap_redis_server_destroy(NEAP_CONTAINER_OF(redis->servers.next, redis_server, link));
  free_all(&redis->refused);
  free_all(&redis->resting);
  neap_soon_clear(&redis->refuse);
  neap_timer_clear(&redis->rest);
  neap_resolver_destroy(&redis->resolver);
  neap_tls_client_destroy(&redis->tls);
  for (size_t i = 0; i < redis->text_count; i++) free(redis->texts[i]);
  free(redis);
}
