/* One connection to a Redis: looked up, connected, signed in, ready; lost, and after a pause tried again.
 *
 *   CLOSED -> LOOKING_UP -> CONNECTING -> SIGNING_IN -> READY
 *               ^  any of these fails: PAUSING, which ends with the next attempt
 */
#include "remote/redis_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void attempt(redis_connection *connection);
static void sign_in(redis_connection *connection);

/* --- the end of an attempt */

/* What was sent is lost, the rest finds another way. */
static void clear_queue(redis_connection *connection) {
  redis_list left;
  redis_list_move(&left, &connection->queue);
  connection->unsent = NULL;
  connection->queued = 0;
  for (redis_list *link = left.next; link != &left; link = link->next)
    NEAP_CONTAINER_OF(link, neap_redis_request, link)->connection = NULL;
  while (!redis_list_is_empty(&left)) { /* whoever is told may cancel others */
    neap_redis_request *request = NEAP_CONTAINER_OF(left.next, neap_redis_request, link);
    redis_list_remove(&request->link);
    request->asking = false; /* it starts over */
    if (request->sent || request->internal)
      neap_redis_request_end(request, NEAP_REDIS_LOST, connection->fault);
    else
      neap_redis_route(request);
  }
}

static void stop(redis_connection *connection) {
  neap_redis_wire_close(connection);
  neap_lookup_cancel(&connection->lookup);
  neap_timer_clear(&connection->timer);
  neap_soon_clear(&connection->flush);
  neap_soon_clear(&connection->begin);
}

/* Doubles with every failure; half of it is random, so that not everybody comes back at once. The first
 * attempt after a connection that was of use follows soon. */
static uint64_t pause_ms(redis_connection *connection) {
  const neap_redis_options *options = &connection->home->options;
  uint64_t pause = options->backoff_min_ms;
  for (unsigned i = 1; i < connection->failures && pause < options->backoff_max_ms; i++) pause *= 2;
  pause = NEAP_MIN(pause, options->backoff_max_ms);
  if (connection->failures == 0) pause /= 4;
  return pause / 2 + neap_random_below(&connection->home->random, pause / 2 + 1);
}

static void note_fault(redis_connection *connection, const char *fault) {
  neap_redis *redis = connection->home;
  bool known = connection->failures > 1 && strcmp(connection->fault, fault) == 0;
  snprintf(connection->fault, sizeof connection->fault, "%s", fault);
  snprintf(redis->info.fault, sizeof redis->info.fault, "%s", fault);
  redis->info.failures++;
  if (!known)
    neap_redis_log(redis, NEAP_LOG_WARN, "redis lost server=%s use=%s error=\"%s\"", connection->address,
                   connection->use->name, fault);
}

void neap_redis_connection_fail(redis_connection *connection, const char *format, ...) {
  char fault[REDIS_FAULT];
  va_list args;
  va_start(args, format);
  vsnprintf(fault, sizeof fault, format, args);
  va_end(args);
  for (char *c = fault; *c; c++) /* it may hold what a server said */
    if ((unsigned char)*c < ' ' || *c == '"' || *c == 127) *c = '?';
  bool useful = connection->state == REDIS_READY &&
                (connection->answered || neap_loop_now_ms(connection->home->loop) - connection->ready_ms >=
                                             connection->home->options.backoff_max_ms);
  connection->failures = useful ? 0 : NEAP_MIN(connection->failures + 1, 1000u);
  if (connection->state == REDIS_READY) connection->home->info.ready -= connection->use->serves;
  stop(connection);
  note_fault(connection, fault);
  connection->state = REDIS_PAUSING;
  neap_timer_set(connection->home->loop, &connection->timer, pause_ms(connection));
  clear_queue(connection);
  connection->use->lost(connection);
}

/* --- attempts */

static void connect_to(redis_connection *connection, const neap_address *address) {
  connection->state = REDIS_CONNECTING;
  neap_redis_wire_connect(connection, address);
}

static void on_looked_up(void *user, const neap_lookup_reply *reply) {
  redis_connection *connection = user;
  neap_address address;
  connection->lookup = NULL;
  if (reply->code) {
    neap_redis_connection_fail(connection, "cannot look up the name: %s", reply->text);
    return;
  }
  const neap_found *found = &reply->found[connection->failures % reply->count];
  if (neap_address_parse(found->address, &address, NULL) == 0) connect_to(connection, &address);
}

static void look_up(redis_connection *connection) {
  char host[256];
  neap_redis_address_host(connection->address, host);
  uint16_t port = (uint16_t)strtoul(strrchr(connection->address, ':') + 1, NULL, 10);
  connection->state = REDIS_LOOKING_UP;
  if (connection->home->resolver == NULL ||
      neap_lookup_start(connection->home->resolver, NEAP_LOOKUP_ADDRESSES, host, port, on_looked_up,
                        connection, &connection->lookup))
    neap_redis_connection_fail(connection, "cannot look up the name");
}

static void attempt(redis_connection *connection) {
  neap_address address;
  neap_timer_set(connection->home->loop, &connection->timer, connection->home->options.connect_timeout_ms);
  connection->version3 = connection->answered = false;
  int code = neap_redis_address_read(connection->address, &address);
  if (code == 0)
    connect_to(connection, &address);
  else if (code == NEAP_EBUSY)
    look_up(connection);
  else
    neap_redis_connection_fail(connection, "the address is wrong");
}

void neap_redis_connection_connected(redis_connection *connection) {
  connection->state = REDIS_SIGNING_IN;
  sign_in(connection);
}

/* --- signing in: HELLO, or AUTH and CLIENT SETNAME for those who do not know it; SELECT; ROLE */

static void become_ready(redis_connection *connection) {
  neap_redis_info *info = &connection->home->info;
  connection->state = REDIS_READY;
  connection->ready_ms = neap_loop_now_ms(connection->home->loop);
  neap_timer_clear(&connection->timer);
  info->connects++;
  info->ready += connection->use->serves;
  snprintf(info->server, sizeof info->server, "%.95s", connection->address);
  neap_redis_log(connection->home, NEAP_LOG_INFO, "redis connected server=%s use=%s protocol=%d",
                 connection->address, connection->use->name, connection->version3 ? 3 : 2);
  connection->use->ready(connection);
}

/* False where it has come to nothing: told in `what`. */
static bool went_well(redis_connection *connection, const neap_redis_reply *reply, const char *what) {
  if (reply->end == NEAP_REDIS_DONE) return true;
  if (reply->end == NEAP_REDIS_ERROR)
    neap_redis_connection_fail(connection, "%s: %.*s", what,
                               (int)NEAP_MIN(reply->value.text.size, (size_t)100), reply->value.text.ptr);
  return false; /* LOST: the connection says why */
}

static void on_role(void *user, const neap_redis_reply *reply) {
  redis_connection *connection = user;
  neap_resp_value role;
  if (!went_well(connection, reply, "cannot ask for the role")) return;
  neap_resp_cursor elements = reply->value.elements;
  if (reply->value.type == NEAP_RESP_ARRAY && neap_resp_next(&elements, &role) &&
      neap_view_is(role.text, "master"))
    become_ready(connection);
  else
    neap_redis_connection_fail(connection, "it is no primary");
}

static void check_role(redis_connection *connection) {
  const neap_view args[] = {neap_view_of("ROLE")};
  if (!connection->primary_only)
    become_ready(connection);
  else
    neap_redis_connection_ask(connection, args, 1, on_role, connection);
}

static void on_select(void *user, const neap_redis_reply *reply) {
  if (went_well(user, reply, "cannot select the database")) check_role(user);
}

static void select_database(redis_connection *connection) {
  char number[16];
  snprintf(number, sizeof number, "%u", connection->database);
  const neap_view args[] = {neap_view_of("SELECT"), neap_view_of(number)};
  if (connection->database == 0)
    check_role(connection);
  else
    neap_redis_connection_ask(connection, args, 2, on_select, connection);
}

/* Old servers know no names, Sentinels neither: that is no reason not to use them. */
static void on_named(void *user, const neap_redis_reply *reply) {
  if (reply->end != NEAP_REDIS_LOST) select_database(user);
}

static void set_name(redis_connection *connection) {
  const char *name = connection->home->options.client_name;
  if (name == NULL) {
    select_database(connection);
    return;
  }
  const neap_view args[] = {neap_view_of("CLIENT"), neap_view_of("SETNAME"), neap_view_of(name)};
  neap_redis_connection_ask(connection, args, 3, on_named, connection);
}

static void on_auth(void *user, const neap_redis_reply *reply) {
  if (went_well(user, reply, "cannot sign in")) set_name(user);
}

static void sign_in_by_auth(redis_connection *connection) {
  neap_view args[3] = {neap_view_of("AUTH")};
  size_t count = 1;
  if (connection->sign_in_password == NULL) {
    set_name(connection);
    return;
  }
  if (connection->sign_in_user) args[count++] = neap_view_of(connection->sign_in_user);
  args[count++] = neap_view_of(connection->sign_in_password);
  neap_redis_connection_ask(connection, args, count, on_auth, connection);
}

static void on_hello(void *user, const neap_redis_reply *reply) {
  redis_connection *connection = user;
  bool known = reply->end == NEAP_REDIS_DONE;
  if (reply->end == NEAP_REDIS_ERROR &&
      (neap_resp_is_error(&reply->value, "ERR") || neap_resp_is_error(&reply->value, "NOPROTO"))) {
    sign_in_by_auth(connection);
    return;
  }
  if (!known) {
    went_well(connection, reply, "cannot sign in");
    return;
  }
  connection->version3 = reply->value.type == NEAP_RESP_MAP;
  select_database(connection);
}

static void sign_in(redis_connection *connection) {
  const char *name = connection->home->options.client_name;
  neap_view args[7] = {neap_view_of("HELLO"), neap_view_of("3")};
  size_t count = 2;
  if (connection->home->options.version2) {
    sign_in_by_auth(connection);
    return;
  }
  if (connection->sign_in_password) {
    args[count++] = neap_view_of("AUTH");
    args[count++] = neap_view_of(connection->sign_in_user ? connection->sign_in_user : "default");
    args[count++] = neap_view_of(connection->sign_in_password);
  }
  if (name) {
    args[count++] = neap_view_of("SETNAME");
    args[count++] = neap_view_of(name);
  }
  neap_redis_connection_ask(connection, args, count, on_hello, connection);
}

/* --- the oldest request, and other timers */

static void check_oldest(redis_connection *connection) {
  neap_redis *redis = connection->home;
  if (redis_list_is_empty(&connection->queue)) return; /* set again with the next */
  const neap_redis_request *oldest = NEAP_CONTAINER_OF(connection->queue.next, neap_redis_request, link);
  uint64_t now_ms = neap_loop_now_ms(redis->loop), stall_ms = redis->options.stall_ms;
  uint64_t due_ms = (oldest->sent ? oldest->sent_ms : now_ms) + stall_ms;
  if (now_ms >= due_ms)
    neap_redis_connection_fail(connection, "no answer for %llu ms",
                               (unsigned long long)(now_ms - oldest->sent_ms));
  else
    neap_timer_set(redis->loop, &connection->timer, due_ms - now_ms);
}

static void on_timer(neap_timer *timer) {
  redis_connection *connection = NEAP_CONTAINER_OF(timer, redis_connection, timer);
  switch (connection->state) {
  case REDIS_CLOSED: break;
  case REDIS_PAUSING: attempt(connection); break;
  case REDIS_LOOKING_UP:
  case REDIS_CONNECTING: neap_redis_connection_fail(connection, "not connected in time"); break;
  case REDIS_SIGNING_IN: neap_redis_connection_fail(connection, "not signed in in time"); break;
  case REDIS_READY: check_oldest(connection); break;
  }
}

/* --- requests */

static void on_flush(neap_soon *soon) {
  neap_redis_wire_flush(NEAP_CONTAINER_OF(soon, redis_connection, flush));
}

static void on_asking(void *user, const neap_redis_reply *reply) {
  (void)user, (void)reply; /* what comes of it, the request behind it is told */
}

void neap_redis_connection_queue(redis_connection *connection, neap_redis_request *request) {
  static const neap_view asking[] = {{"ASKING", 6}};
  neap_redis *redis = connection->home;
  if (request->asking && !neap_redis_connection_ask(connection, asking, 1, on_asking, NULL)) {
    neap_redis_route(request); /* the connection has just failed */
    return;
  }
  redis_list_append(&connection->queue, &request->link);
  connection->queued++;
  request->connection = connection;
  if (connection->unsent == NULL) connection->unsent = request;
  neap_soon_set(redis->loop, &connection->flush);
  if (connection->state == REDIS_READY && !neap_timer_is_set(&connection->timer))
    neap_timer_set(redis->loop, &connection->timer, redis->options.stall_ms);
}

bool neap_redis_connection_ask(redis_connection *connection, const neap_view *args, size_t count,
                               void (*done)(void *user, const neap_redis_reply *reply), void *user) {
  neap_redis_request *request;
  const neap_redis_command command = {.args = args, .count = count, .done = done, .user = user};
  if (neap_redis_request_create(connection->home, &command, true, &request)) {
    neap_redis_connection_fail(connection, "out of memory");
    return false;
  }
  neap_redis_connection_queue(connection, request);
  return true;
}

/* --- birth and death */

static void on_begin(neap_soon *soon) {
  attempt(NEAP_CONTAINER_OF(soon, redis_connection, begin));
}

void neap_redis_connection_init(redis_connection *connection, neap_redis *redis, const redis_use *use,
                                void *user) {
  *connection = (redis_connection){.home = redis,
                                   .use = use,
                                   .user = user,
                                   .sign_in_user = redis->options.user,
                                   .sign_in_password = redis->options.password,
                                   .database = redis->options.database};
  neap_timer_init(&connection->timer, on_timer);
  neap_soon_init(&connection->flush, on_flush);
  neap_soon_init(&connection->begin, on_begin);
  redis_list_init(&connection->queue);
}

void neap_redis_connection_open(redis_connection *connection, const char *address) {
  neap_assert(connection->state == REDIS_CLOSED);
  snprintf(connection->address, sizeof connection->address, "%s", address);
  connection->failures = 0;
  connection->state = REDIS_PAUSING;
  neap_soon_set(connection->home->loop, &connection->begin); /* never from within this call */
}

static void leave(redis_connection *connection) {
  if (connection->state == REDIS_READY) connection->home->info.ready -= connection->use->serves;
  connection->state = REDIS_CLOSED;
  stop(connection);
}

void neap_redis_connection_close(redis_connection *connection) {
  leave(connection);
  snprintf(connection->fault, sizeof connection->fault, "the server is not asked any more");
  clear_queue(connection);
}

void neap_redis_connection_fini(redis_connection *connection) {
  leave(connection);
  while (!redis_list_is_empty(&connection->queue))
    neap_redis_request_free(NEAP_CONTAINER_OF(connection->queue.next, neap_redis_request, link));
}
