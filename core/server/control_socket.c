/* The control socket: JSON lines from clients that may be slow, hostile or gone, on the control thread.
 *
 * A client is
 *   1 reading    its bytes gather until a line is whole; the end ends a line, too
 *   2 asking     one request is under way; nothing more is read until its last line
 *   3 gone       closed while asking: kept until the last line, which nobody hears
 *
 * What bounds a client: CLIENTS_MAX of them, a line of REQUEST_MAX, ANSWER_MAX bytes that it has not taken,
 * and STALL_MS without taking or sending what it should. */
#include "server/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/gateway.h"

enum {
  CLIENT_MAGIC = 0x4e63746c,
  CLIENTS_MAX = 64,
  REQUEST_MAX = 64 << 10,
  ANSWER_MAX = 32 << 20,
  STALL_MS = 10000,
  IDLE_MS = 600000
};

typedef struct buffer {
  char *bytes;
  size_t size, room;
} buffer;

typedef struct control_client {
  uint32_t magic;
  neap_control *control;
  struct control_client *prev, *next;
  neap_stream *stream; /* NULL: gone */
  neap_timer stall;
  neap_control_reply reply;
  bool asking; /* a request is under way */
  bool held;   /* on the stack: not to be freed */
  bool ending; /* has said its end: closed when all is sent */
  buffer request;
  buffer sending, waiting; /* with the stream; after that */
} control_client;

struct neap_control {
  neap_gateway *gateway;
  neap_local local;
  neap_listener *listener;
  control_client *clients;
  size_t client_count;
  bool closed; /* freed with the last client */
};

/* --- bytes */

static bool append(buffer *to, const char *bytes, size_t size) {
  if (to->size + size > to->room) {
    size_t room = NEAP_MAX(to->size + size, to->room * 2);
    char *grown = realloc(to->bytes, room);
    if (grown == NULL) return false;
    to->bytes = grown;
    to->room = room;
  }
  memcpy(to->bytes + to->size, bytes, size);
  to->size += size;
  return true;
}

static void drop(buffer *from, size_t size) {
  from->size -= size;
  memmove(from->bytes, from->bytes + size, from->size);
}

/* --- life of a client */

static void forget(control_client *client) {
  neap_control *control = client->control;
  if (client->prev)
    client->prev->next = client->next;
  else
    control->clients = client->next;
  if (client->next) client->next->prev = client->prev;
  free(client->request.bytes);
  free(client->sending.bytes);
  free(client->waiting.bytes);
  client->magic = 0;
  free(client);
  control->client_count--;
  if (control->closed && control->client_count == 0) free(control);
}

static void close_client(control_client *client) {
  neap_timer_clear(&client->stall);
  neap_stream_close(&client->stream);
  if (!client->asking && !client->held) forget(client);
}

static void watch(control_client *client) {
  bool owes = client->sending.size > 0 || client->request.size > 0;
  neap_timer_set(client->control->gateway->loop, &client->stall, owes ? STALL_MS : IDLE_MS);
}

static void on_stall(neap_timer *timer) {
  control_client *client = NEAP_CONTAINER_OF(timer, control_client, stall);
  if (client->asking && client->sending.size == 0)
    watch(client); /* it is we who take long */
  else
    close_client(client);
}

/* --- answers */

static void send_waiting(control_client *client) {
  while (client->sending.size == 0 && client->waiting.size > 0) {
    buffer next = client->waiting;
    client->waiting = client->sending;
    client->sending = next;
    struct iovec piece = {next.bytes, next.size};
    int code = neap_stream_send(client->stream, &piece, 1);
    if (code == 0) client->sending.size = 0;
    if (code != NEAP_EIO) continue;
    close_client(client);
    return;
  }
  if (client->ending && !client->asking && client->sending.size == 0)
    close_client(client);
  else
    watch(client);
}

static void on_sent(void *user) {
  control_client *client = user;
  client->sending.size = 0;
  send_waiting(client);
}

static void serve(control_client *client);

static void on_line(neap_control_reply *reply, json_t *line, bool last) {
  control_client *client = NEAP_CONTAINER_OF(reply, control_client, reply);
  neap_check_magic(client, CLIENT_MAGIC);
  char *text =
      client->stream ? json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(line);
  bool fits = text && client->waiting.size + strlen(text) < ANSWER_MAX &&
              append(&client->waiting, text, strlen(text)) && append(&client->waiting, "\n", 1);
  free(text);
  bool held = client->held;
  client->held = true;
  if (last) client->asking = false;
  if (fits)
    send_waiting(client);
  else
    close_client(client);
  client->held = held;
  serve(client);
}
/* --- requests */

static void ask(control_client *client, const char *line, size_t size) {
  json_error_t where;
  json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, &where);
  const char *verb = json_string_value(json_object_get(request, "verb"));
  const json_t *args = json_object_get(request, "args");
  client->asking = true;
  neap_stream_reading(client->stream, false);
  if (request == NULL)
    neap_control_fail(&client->reply, "not JSON: %s", where.text);
  else if (verb == NULL || (args && !json_is_object(args)))
    neap_control_fail(&client->reply, "write {\"verb\":\"status\",\"args\":{}}");
  else
    neap_control_ask(client->control->gateway, verb, args, &client->reply);
  json_decref(request);
}

/* Answers the requests that are there whole, one after the other. */
static void serve(control_client *client) {
  char *end;
  if (client->held) return;
  client->held = true;
  while (client->stream && !client->asking && client->request.size > 0 &&
         (end = memchr(client->request.bytes, '\n', client->request.size)) != NULL) {
    size_t size = (size_t)(end - client->request.bytes);
    ask(client, client->request.bytes, size);
    drop(&client->request, size + 1);
  }
  client->held = false;
  if (client->asking) return;
  if (client->stream == NULL)
    forget(client);
  else if (client->request.size > REQUEST_MAX)
    close_client(client);
  else
    neap_stream_reading(client->stream, !client->ending);
}

static void on_readable(void *user) {
  control_client *client = user;
  neap_check_magic(client, CLIENT_MAGIC);
  char *scratch = neap_loop_scratch(client->control->gateway->loop);
  ssize_t got = neap_stream_read(client->stream, scratch, NEAP_LOOP_SCRATCH);
  if (got == NEAP_EBUSY) return;
  if (got > 0 && append(&client->request, scratch, (size_t)got)) {
    watch(client);
    serve(client);
    return;
  }
  client->ending = true;
  if (got == 0 && client->request.size > 0 && append(&client->request, "\n", 1))
    serve(client); /* a last line that the end of the stream ends; closed when it is answered */
  else if (got == 0 && client->sending.size > 0)
    neap_stream_reading(client->stream, false);
  else
    close_client(client);
}

static void on_failed(void *user) {
  close_client(user);
}

static const neap_stream_vt stream_vt = {
    .name = "control", .readable = on_readable, .sent = on_sent, .failed = on_failed};

static void on_accepted(void *user, neap_stream *stream) {
  neap_control *control = user;
  control_client *made = control->client_count < CLIENTS_MAX ? calloc(1, sizeof *made) : NULL;
  if (made == NULL) {
    neap_stream_close(&stream);
    return;
  }
  *made = (control_client){.magic = CLIENT_MAGIC,
                           .control = control,
                           .next = control->clients,
                           .stream = stream,
                           .reply = {.line = on_line}};
  if (made->next) made->next->prev = made;
  control->clients = made;
  control->client_count++;
  neap_timer_init(&made->stall, on_stall);
  watch(made);
  neap_stream_own(stream, &stream_vt, made);
}

/* --- the socket */

int neap_control_open(neap_gateway *gateway, const neap_local *local, neap_control **out, neap_err *err) {
  neap_control *control = calloc(1, sizeof *control);
  int code = NEAP_ENOMEM;
  if (control) {
    *control = (neap_control){.gateway = gateway, .local = *local};
    code = neap_listener_open(gateway->loop, local->socket, on_accepted, control, &control->listener);
  }
  if (code) {
    neap_local_remove(local);
    neap_socket_close(local->socket);
    free(control);
    return neap_fail(err, code, "cannot open the control socket: %s", neap_strerror(code));
  }
  *out = control;
  return 0;
}

void neap_control_close(neap_control **control_ptr, bool now) {
  neap_control *control = *control_ptr;
  if (control == NULL) return;
  *control_ptr = NULL;
  neap_local_remove(&control->local);
  neap_listener_close(&control->listener);
  control->closed = true;
  control->client_count++; /* holds it until the loop below is done */
  for (control_client *client = control->clients, *next; client; client = next) {
    next = client->next;
    client->ending = true;
    if (client->stream && (now || (!client->asking && client->sending.size == 0))) close_client(client);
  }
  if (--control->client_count == 0) free(control);
}

const char *neap_control_path(const neap_control *control) {
  return control->local.path;
}

int neap_control_set_mode(neap_control *control, uint32_t mode) {
  return chmod(control->local.path, mode) ? NEAP_EIO : 0;
}

/* --- where it is */

static const char *variable(const char *const *environment, const char *name) {
  size_t size = strlen(name);
  for (; environment && *environment; environment++)
    if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
      return (*environment)[size + 1] ? *environment + size + 1 : NULL;
  return NULL;
}

bool neap_control_place(const char *config, const char *const *environment, size_t place, char *out,
                        size_t size) {
  const char *slash = strrchr(config, '/'), *base = slash ? slash + 1 : config;
  size_t length = strlen(base), folder = slash ? (size_t)(slash - config) : 0;
  if (length > 4 && strcmp(base + length - 4, ".lua") == 0) length -= 4;
  const char *run = variable(environment, "RUNTIME_DIRECTORY");
  const char *user = variable(environment, "XDG_RUNTIME_DIR");
  int used = -1;
  switch (place) {
  case 0:
    if (run) used = snprintf(out, size, "%.*s/%.*s.sock", (int)strcspn(run, ":"), run, (int)length, base);
    break;
  case 1:
    used = snprintf(out, size, "%.*s%s%.*s.sock", (int)folder, config, slash ? "/" : "", (int)length, base);
    break;
  case 2: used = snprintf(out, size, "/run/neap/%.*s.sock", (int)length, base); break;
  case 3:
    if (user) used = snprintf(out, size, "%s/neap-%.*s.sock", user, (int)length, base);
    break;
  }
  return used > 0 && (size_t)used < size;
}
