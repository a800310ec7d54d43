/* One request of the client of Redis: its bytes, and its end. */
#include "remote/redis_impl.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REDIRECTS_MAX = 5 };

/* --- slots */

/* CRC-16/XMODEM, half a byte at a time. */
static uint16_t crc16(const char *bytes, size_t size) {
  static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                     0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
  uint16_t crc = 0;
  for (size_t i = 0; i < size; i++) {
    uint8_t byte = (uint8_t)bytes[i];
    crc = (uint16_t)(crc << 4 ^ table[(crc >> 12 ^ byte >> 4) & 15]);
    crc = (uint16_t)(crc << 4 ^ table[(crc >> 12 ^ byte) & 15]);
  }
  return crc;
}

uint16_t neap_redis_slot(neap_view key) {
  const char *open = key.size > 0 ? memchr(key.ptr, '{', key.size) : NULL;
  if (open) {
    const char *end = key.ptr + key.size, *close = memchr(open + 1, '}', (size_t)(end - open - 1));
    if (close && close > open + 1) key = (neap_view){open + 1, (size_t)(close - open - 1)};
  }
  return crc16(key.ptr, key.size) % REDIS_SLOTS;
}

/* --- scripts */

void neap_redis_script_init(neap_redis_script *script, const char *text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  script->text = neap_view_of(text);
  neap_assert(EVP_Digest(text, script->text.size, digest, &size, EVP_sha1(), NULL) == 1 && size == 20);
  for (unsigned i = 0; i < size; i++) snprintf(script->sha1 + 2 * i, 3, "%02x", digest[i]);
}

/* "EVALSHA" and the hash, or "EVAL" and the text, as the beginning of a command. */
static size_t script_head_size(const neap_redis_request *request, neap_view name, neap_view what) {
  char head[NEAP_RESP_HEAD_MAX];
  return neap_resp_head(head, '*', request->arg_count + 2) + neap_resp_bulk_size(name.size) +
         neap_resp_bulk_size(what.size);
}

static size_t script_head_write(char *out, const neap_redis_request *request, neap_view name,
                                neap_view what) {
  size_t size = neap_resp_head(out, '*', request->arg_count + 2);
  size += neap_resp_bulk_write(out + size, name);
  return size + neap_resp_bulk_write(out + size, what);
}

/* --- birth and death */

static const neap_view evalsha = {"EVALSHA", 7}, eval = {"EVAL", 4};

static size_t bulks_size(const neap_redis_command *command) {
  size_t size = 0;
  for (size_t i = 0; i < command->count; i++) size += neap_resp_bulk_size(command->args[i].size);
  return size;
}

static void write_bytes(neap_redis_request *request, const neap_redis_command *command) {
  size_t size = request->args_at;
  if (request->script)
    script_head_write(request->bytes, request, evalsha, (neap_view){request->script->sha1, 40});
  else
    neap_resp_head(request->bytes, '*', command->count);
  for (size_t i = 0; i < command->count; i++)
    size += neap_resp_bulk_write(request->bytes + size, command->args[i]);
  request->size = size;
}

static void on_limit(neap_timer *timer);

int neap_redis_request_create(neap_redis *redis, const neap_redis_command *command, bool internal,
                              neap_redis_request **out) {
  char head[NEAP_RESP_HEAD_MAX];
  neap_redis_request shape = {.arg_count = command->count};
  size_t head_size = command->script ? script_head_size(&shape, evalsha, (neap_view){NULL, 40})
                                     : neap_resp_head(head, '*', command->count);
  size_t size = head_size + bulks_size(command);
  if (!internal && redis->info.bytes + size > redis->options.max_request_bytes) return NEAP_EBUSY;
  neap_redis_request *request = malloc(sizeof *request + size);
  if (request == NULL) return NEAP_ENOMEM;
  *request = (neap_redis_request){.home = redis,
                                  .done = command->done,
                                  .user = command->user,
                                  .script = command->script,
                                  .args_at = head_size,
                                  .arg_count = command->count,
                                  .slot = command->key.ptr ? neap_redis_slot(command->key) : REDIS_NO_SLOT,
                                  .internal = internal};
  request->bytes = request->own_bytes;
  redis_list_init(&request->link);
  neap_timer_init(&request->limit, on_limit);
  write_bytes(request, command);
  if (!internal) {
    redis->info.requests++;
    redis->info.bytes += request->size;
  }
  *out = request;
  return 0;
}

void neap_redis_request_detach(neap_redis_request *request) {
  redis_connection *connection = request->connection;
  if (connection) {
    if (connection->unsent == request) {
      bool last = request->link.next == &connection->queue;
      connection->unsent = last ? NULL : NEAP_CONTAINER_OF(request->link.next, neap_redis_request, link);
    }
    connection->queued--;
    request->connection = NULL;
  }
  redis_list_remove(&request->link);
}

void neap_redis_request_free(neap_redis_request *request) {
  neap_redis_request_detach(request);
  neap_timer_clear(&request->limit);
  if (!request->internal) {
    request->home->info.requests--;
    request->home->info.bytes -= request->size;
  }
  if (request->bytes != request->own_bytes) free(request->bytes);
  free(request);
}

/* --- the end */

static void count_end(neap_redis_request *request, neap_redis_end end) {
  neap_redis_info *info = &request->home->info;
  if (request->internal) return;
  switch (end) {
  case NEAP_REDIS_ERROR: info->errors++; /* fall through */
  case NEAP_REDIS_DONE: info->answered++; break;
  case NEAP_REDIS_LATE: info->late++; break;
  case NEAP_REDIS_LOST: info->lost++; break;
  case NEAP_REDIS_DOWN: info->refused++; break;
  }
}

static neap_redis_reply reply_without_value(const neap_redis_request *request, neap_redis_end end,
                                            const char *text) {
  return (neap_redis_reply){
      .end = end, .sent = request->sent, .text = text, .value = {.type = NEAP_RESP_NULL, .text = {"", 0}}};
}

/* Who is told finds the request gone: one more may be started in its place. */
static void finish(neap_redis_request *request, const neap_redis_reply *reply) {
  void (*done)(void *user, const neap_redis_reply *reply) = request->done;
  void *user = request->user;
  if (done) count_end(request, reply->end);
  neap_redis_request_free(request);
  if (done) done(user, reply);
}

void neap_redis_request_end(neap_redis_request *request, neap_redis_end end, const char *text) {
  const neap_redis_reply reply = reply_without_value(request, end, text);
  finish(request, &reply);
}

static void on_limit(neap_timer *timer) {
  neap_redis_request *request = NEAP_CONTAINER_OF(timer, neap_redis_request, limit);
  if (!request->sent) {
    neap_redis_request_end(request, NEAP_REDIS_LATE, "not sent in time");
    return;
  }
  const neap_redis_reply reply = reply_without_value(request, NEAP_REDIS_LATE, "not answered in time");
  void (*done)(void *user, const neap_redis_reply *reply) = request->done;
  request->done = NULL; /* it stays: its answer is still to come */
  count_end(request, NEAP_REDIS_LATE);
  done(request->user, &reply);
}

void neap_redis_cancel(neap_redis_request **request_ptr) {
  neap_redis_request *request = *request_ptr;
  if (request == NULL) return;
  *request_ptr = NULL;
  neap_timer_clear(&request->limit);
  request->done = NULL;
  if (!request->connection || !request->sent) neap_redis_request_free(request);
}

/* --- answers */

/* Puts the text of the script in the place of its hash. */
static bool take_script_along(neap_redis_request *request) {
  size_t head_size = script_head_size(request, eval, request->script->text);
  size_t rest = request->size - request->args_at;
  char *bytes = malloc(head_size + rest);
  if (bytes == NULL) return false;
  script_head_write(bytes, request, eval, request->script->text);
  memcpy(bytes + head_size, request->bytes + request->args_at, rest);
  if (!request->internal) request->home->info.bytes += head_size + rest - request->size;
  if (request->bytes != request->own_bytes) free(request->bytes);
  request->bytes = bytes;
  request->args_at = head_size;
  request->size = head_size + rest;
  return true;
}

static bool follow(neap_redis_request *request, const redis_connection *from, const neap_resp_value *value) {
  neap_redis *redis = request->home;
  redis_server *server;
  uint16_t slot;
  bool moved = neap_resp_is_error(value, "MOVED");
  if (request->redirects >= REDIRECTS_MAX ||
      !neap_redis_guide_moved(redis, from, value->text, &server, &slot))
    return false;
  request->redirects++;
  request->asking = !moved;
  redis->info.redirects++;
  if (moved) {
    redis->slots[slot] = server;
    neap_redis_guide_hurry(redis);
  }
  neap_redis_server_take(server, request);
  return true;
}

static bool try_script(neap_redis_request *request) {
  if (request->script == NULL || request->script_sent || !take_script_along(request)) return false;
  request->script_sent = true;
  request->home->info.reloads++;
  neap_redis_route(request);
  return true;
}

/* Redis has not carried it out, and it is on its way again. */
static bool ask_again(neap_redis_request *request, const redis_connection *from,
                      const neap_resp_value *value) {
  bool cluster = request->home->options.layout == NEAP_REDIS_CLUSTER;
  request->sent = request->asking = false;
  if (neap_resp_is_error(value, "NOSCRIPT")) return try_script(request);
  if (cluster && (neap_resp_is_error(value, "MOVED") || neap_resp_is_error(value, "ASK")))
    return follow(request, from, value);
  if (cluster && (neap_resp_is_error(value, "TRYAGAIN") || neap_resp_is_error(value, "CLUSTERDOWN"))) {
    neap_redis_rest(request); /* until its time is over */
    return true;
  }
  if (neap_resp_is_error(value, "READONLY")) neap_redis_guide_hurry(request->home); /* a primary no more */
  return false;
}

void neap_redis_request_answered(neap_redis_request *request, const redis_connection *from,
                                 const neap_resp_value *value) {
  if (request->done == NULL) {
    if (!request->internal) request->home->info.swallowed++;
    neap_redis_request_free(request);
    return;
  }
  if (value->type == NEAP_RESP_ERROR && ask_again(request, from, value)) return;
  bool error = value->type == NEAP_RESP_ERROR;
  const neap_redis_reply reply = {.end = error ? NEAP_REDIS_ERROR : NEAP_REDIS_DONE,
                                  .sent = true,
                                  .text = error ? "Redis answered with an error" : "answered",
                                  .value = *value};
  finish(request, &reply);
}
