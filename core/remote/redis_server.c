/* The connections to one Redis, and the requests that wait for one of them. */
#include "remote/redis_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- choosing */

/* The same key goes over the same connection, as long as that stands: what is sent in a row is done in that
 * row. */
static redis_connection *choose(redis_server *server, const neap_redis_request *request) {
  redis_connection *best = NULL;
  if (request->slot != REDIS_NO_SLOT) {
    redis_connection *own = &server->connections[request->slot % server->count];
    if (redis_connection_is_ready(own)) return own;
  }
  for (unsigned i = 0; i < server->count; i++) {
    redis_connection *one = &server->connections[i];
    if (redis_connection_is_ready(one) && (best == NULL || one->queued < best->queued)) best = one;
  }
  return best;
}

static bool is_hopeful(const redis_server *server) {
  for (unsigned i = 0; i < server->count; i++)
    if (redis_connection_is_hopeful(&server->connections[i])) return true;
  return false;
}

void neap_redis_server_take(redis_server *server, neap_redis_request *request) {
  redis_connection *connection = choose(server, request);
  if (connection)
    neap_redis_connection_queue(connection, request);
  else if (is_hopeful(server))
    redis_list_append(&server->waiting, &request->link);
  else
    neap_redis_refuse(request);
}

/* --- what becomes of connections */

static void take_waiting(redis_server *server) {
  redis_list left;
  redis_list_move(&left, &server->waiting);
  while (!redis_list_is_empty(&left)) {
    neap_redis_request *request = NEAP_CONTAINER_OF(left.next, neap_redis_request, link);
    redis_list_remove(&request->link);
    neap_redis_server_take(server, request);
  }
}

static void on_ready(redis_connection *connection) {
  take_waiting(connection->user);
}

static void on_lost(redis_connection *connection) {
  neap_redis_guide_hurry(connection->home);
  take_waiting(connection->user); /* to another, or nowhere */
}

static const redis_use use = {.name = "requests", .serves = true, .ready = on_ready, .lost = on_lost};

void neap_redis_server_make_primary(redis_server *server) {
  for (unsigned i = 0; i < server->count; i++) server->connections[i].primary_only = true;
}

void neap_redis_server_move(redis_server *server, const char *address) {
  snprintf(server->address, sizeof server->address, "%s", address);
  for (unsigned i = 0; i < server->count; i++) {
    neap_redis_connection_close(&server->connections[i]);
    neap_redis_connection_open(&server->connections[i], address);
  }
}

void neap_redis_server_retire(redis_server *server) {
  redis_list left;
  for (unsigned i = 0; i < server->count; i++) neap_redis_connection_close(&server->connections[i]);
  redis_list_move(&left, &server->waiting);
  while (!redis_list_is_empty(&left)) {
    neap_redis_request *request = NEAP_CONTAINER_OF(left.next, neap_redis_request, link);
    redis_list_remove(&request->link);
    neap_redis_route(request);
  }
  neap_redis_server_destroy(server);
}

/* --- birth and death */

int neap_redis_server_create(neap_redis *redis, const char *address, redis_server **out) {
  unsigned count = redis->options.connections;
  redis_server *server = calloc(1, sizeof *server + count * sizeof *server->connections);
  if (server == NULL) return NEAP_ENOMEM;
  server->home = redis;
  server->count = count;
  snprintf(server->address, sizeof server->address, "%s", address);
  redis_list_init(&server->waiting);
  redis_list_append(&redis->servers, &server->link);
  for (unsigned i = 0; i < count; i++) {
    neap_redis_connection_init(&server->connections[i], redis, &use, server);
    neap_redis_connection_open(&server->connections[i], address);
  }
  redis->info.wanted += count;
  redis->info.servers++;
  *out = server;
  return 0;
}

void neap_redis_server_destroy(redis_server *server) {
  for (unsigned i = 0; i < server->count; i++) neap_redis_connection_fini(&server->connections[i]);
  while (!redis_list_is_empty(&server->waiting))
    neap_redis_request_free(NEAP_CONTAINER_OF(server->waiting.next, neap_redis_request, link));
  server->home->info.wanted -= server->count;
  server->home->info.servers--;
  redis_list_remove(&server->link);
  free(server);
}
