/* One client: bytes in, requests run one after the other, replies out. While replies wait to be taken nothing
 * more is read: what a client may have the port hold is one batch of replies and what it sent with it. */
#include <stdio.h>
#include <stdlib.h>

#include "front/resp_impl.h"

enum { IN_LEAST = 4096 };

/* --- one request */

static void unknown_command(neap_port_call *call) {
  char text[512];
  neap_view name = neap_port_word(neap_port_arg(call, 0));
  int size = snprintf(text, sizeof text, "ERR unknown command '%.*s', with args beginning with: ",
                      (int)NEAP_MIN(name.size, (size_t)128), name.ptr);
  int begin = size;
  for (size_t i = 1; i < call->count && size - begin < 128; i++) {
    neap_view arg = neap_port_word(neap_port_arg(call, i));
    int most = 128 - (size - begin);
    size += snprintf(text + size, sizeof text - (size_t)size, "'%.*s' ",
                     (int)NEAP_MIN(arg.size, (size_t)most), arg.ptr);
  }
  neap_resp_put_error(call->out, (neap_view){text, (size_t)size});
}

/* The rest is for commands over tiers, which begin with it. */
static inline void call_init(neap_port_call *call, neap_port_client *client, const char *bytes) {
  call->client = client;
  call->front = client->front;
  call->keys = client->front->keys;
  call->out = &client->front->reply.out;
  call->bytes = bytes;
  call->count = client->request.count;
}

/* hot: */
bool neap_port_client_run(neap_port_client *client, const char *bytes) {
  neap_resp_front *front = client->front;
  neap_port_call call;
  call_init(&call, client, bytes);
  const neap_port_command *command = neap_port_command_find(&front->keys->commands, neap_port_arg(&call, 0));
  call.command = command;
  if (command == NULL) {
    unknown_command(&call);
  } else if (!neap_port_arity_fits(command, call.count)) {
    neap_port_put_errorf(&call, "ERR wrong number of arguments for '%s' command", command->name);
  } else if (!client->known && !(command->flags & NEAP_PORT_NO_AUTH)) {
    neap_port_put_error(&call, "NOAUTH Authentication required.");
  } else {
    if (command->flags & NEAP_PORT_WRITE) neap_port_settle(front);
    client->last = command;
    if (client->tracker) neap_port_track(&call);
    if (NEAP_UNLIKELY(front->port)) return neap_port_try(&call);
    command->run(&call);
  }
  return true;
}

/* Goes on with the request that waits, the first of `bytes`; how long it was, 0: it still waits. */
static size_t run_waiting(neap_port_client *client, const char *bytes) {
  neap_port_call call;
  call_init(&call, client, bytes);
  size_t used = *neap_port_errand_used(client->errand);
  call.command = client->last;
  if (!neap_port_run_over_tiers(&call)) return 0;
  neap_resp_request_reset(&client->request);
  return used;
}

/* --- what lies in memory */

static bool may_go_on(const neap_port_client *client) {
  return !client->sending && !client->ending && !client->broken && !client->errand;
}

/* Those that have not said who they are get smaller limits, and are told so. */
static const char *fault_of(const neap_port_client *client, ssize_t code) {
  const char *fault = client->request.fault;
  if (client->known || code != NEAP_ETOOLARGE) return fault;
  if (strcmp(fault, "Protocol error: invalid bulk length") == 0)
    return "Protocol error: unauthenticated bulk length";
  if (strcmp(fault, "Protocol error: invalid multibulk length") == 0)
    return "Protocol error: unauthenticated multibulk length";
  return fault;
}

static void refuse(neap_port_client *client, ssize_t code) {
  char text[128];
  client->ending = client->lingers = true;
  if (client->request.fault == NULL) return;
  int size = snprintf(text, sizeof text, "ERR %s", fault_of(client, code));
  neap_resp_put_error(&client->front->reply.out, (neap_view){text, (size_t)size});
}

/* Runs what is there; returns how much of it is done. hot: */
static size_t run_all(neap_port_client *client, char *bytes, size_t size) {
  neap_resp_front *front = client->front;
  size_t at = 0;
  uint64_t done = 0;
  front->reply.out.version3 = client->version3;
  if (client->errand) {
    at = run_waiting(client, bytes);
    if (at == 0) return 0;
    done++;
  }
  if (client->pushes.size > 0 && !client->sending) {
    neap_resp_put_bytes(&front->reply.out, client->pushes.bytes, client->pushes.size);
    neap_resp_out_fini(&client->pushes);
  }
  while (may_go_on(client)) {
    ssize_t used = neap_resp_request_more(&client->request, bytes + at, size - at);
    if (used < 0) refuse(client, used);
    if (used <= 0) break;
    if (client->request.count > 0) {
      if (!neap_port_client_run(client, bytes + at)) {
        *neap_port_errand_used(client->errand) = (size_t)used;
        break;
      }
      done++;
    }
    neap_resp_request_reset(&client->request);
    at += (size_t)used;
    if (front->reply.out.size >= NEAP_PORT_BATCH_BYTES || front->reply.piece_count >= NEAP_STREAM_PIECES)
      neap_port_send(client);
  }
  if (!client->sending) neap_port_send(client);
  neap_port_settle(front);
  atomic_fetch_add_explicit(&front->keys->commands_run, done, memory_order_relaxed);
  return at;
}

static bool resize(neap_port_client *client, size_t room) {
  char *in = room > 0 ? realloc(client->in, room) : NULL;
  if (room > 0 && in == NULL) return false;
  if (room == 0) free(client->in);
  bool may = neap_port_client_hold(client, client->in_room, room);
  client->in = in;
  client->in_room = room;
  return may;
}

/* What is not done is kept for later. While nothing is read behind it, it stays where it is: a pipeline of
 * which each request waits is not moved for each. */
static void keep_rest(neap_port_client *client, bool own, const char *bytes, size_t size) {
  if (own && size > 0 && !may_go_on(client)) {
    client->in_from = (size_t)(bytes - client->in);
    client->in_size = size;
    return;
  }
  client->in_from = 0;
  if (!own && size > 0 && client->in_room < size)
    client->broken |= !resize(client, NEAP_MAX(size, (size_t)IN_LEAST));
  if (size > 0 && client->in_room >= size) memmove(client->in, bytes, size);
  client->in_size = size;
  if (client->in_room > 0 && size == 0) resize(client, 0);
}

/* Serves `size` bytes; may close the client. */
static void serve(neap_port_client *client, char *bytes, size_t size) {
  size_t done = run_all(client, bytes, size);
  bool own = bytes == neap_port_client_bytes(client);
  if (!own || done > 0 || client->in_from > 0) keep_rest(client, own, bytes + done, size - done);
  if (client->front->draining && done > 0) client->ending = true;
  if (client->broken || (client->ending && !client->sending && !client->errand)) {
    neap_port_client_close(client);
    return;
  }
  neap_stream_reading(client->stream, !client->sending && !client->ending && !client->errand);
  if (!client->sending) neap_port_client_wait(client);
}

void neap_port_client_resume(neap_port_client *client) {
  if (client->sending) return; /* then, when that is sent */
  serve(client, neap_port_client_bytes(client), client->in_size);
}

/* --- what the stream tells */

/* Room for more of what has half arrived: no more than twice what is there, whatever it claims to become. */
static bool make_room(neap_port_client *client) {
  return client->in_size < client->in_room || resize(client, NEAP_MAX(2 * client->in_room, (size_t)IN_LEAST));
}

static void on_readable(void *user) {
  neap_port_client *client = user;
  neap_check_magic(client, NEAP_PORT_CLIENT_MAGIC);
  char *to = neap_loop_scratch(client->front->loop);
  size_t room = NEAP_LOOP_SCRATCH;
  if (client->in_size > 0) {
    client->broken |= !make_room(client);
    to = client->in;
    room = client->in_room;
  }
  ssize_t got =
      client->broken ? 0 : neap_stream_read(client->stream, to + client->in_size, room - client->in_size);
  if (got > 0) {
    client->active_ms = neap_loop_now_ms(client->front->loop);
    if (client->in_size > 0) client->in_size += (size_t)got;
    serve(client, to, client->in_size > 0 ? client->in_size : (size_t)got);
  } else if (got != NEAP_EBUSY) {
    client->in_size = 0; /* half a request: there is nobody to tell */
    neap_port_client_close(client);
  }
}

static void on_sent(void *user) {
  neap_port_client *client = user;
  neap_check_magic(client, NEAP_PORT_CLIENT_MAGIC);
  if (neap_port_send_rest(client)) serve(client, neap_port_client_bytes(client), client->in_size);
}

static void on_failed(void *user) {
  neap_port_client *client = user;
  client->broken = true;
  neap_port_client_close(client);
}

const neap_stream_vt neap_port_stream_vt = {
    .name = "resp", .readable = on_readable, .sent = on_sent, .failed = on_failed};
