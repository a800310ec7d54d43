/* A client is
 *   1 reading   a head, then a body of the length that it states
 *   2 asking    a verb is under way; nothing more is read until its last line
 *   3 sending   the answer; then 1 again, or closed
 *   4 gone      closed while asking: kept until the last line, which nobody hears
 *
 * Bounds: CLIENTS_MAX clients, of which a newcomer closes the one whose last whole request is longest ago;
 * REQUEST_MAX bytes of head and body together, REQUEST_MS for them from the first byte on; IDLE_MS between
 * requests; STALL_MS to take an answer.
 */
#include "server/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "server/gateway.h"

enum {
  ADMIN_MAGIC = 0x4e61646d,
  CLIENTS_MAX = 64,
  REQUEST_MAX = 64 << 10,
  HEAD_MAX = 512,
  FIELDS = 100,
  TOKEN_MAX = 256,
  STALL_MS = 10000,
  REQUEST_MS = 5000,
  IDLE_MS = 60000
};

typedef struct admin_client {
  uint32_t magic;
  neap_admin *admin;
  struct admin_client *prev, *next;
  neap_stream *stream; /* NULL: gone */
  neap_timer stall;
  neap_control_reply reply;
  json_t *steps; /* what the verb has told so far */
  bool asking, keep, head_only;
  bool continued, inviting; /* a 100 was sent for this request; it is not with the kernel yet */
  size_t used;              /* of `in` */
  char *out;                /* being sent */
  neap_http_request request;
  neap_http_field fields[FIELDS];
  char in[REQUEST_MAX];
} admin_client;

struct neap_admin {
  neap_gateway *gateway;
  neap_listener *listener;
  admin_client *clients; /* the one that asked last is first */
  size_t client_count;
  bool closed; /* freed with the last client */
  char token[TOKEN_MAX + 1];
};

static void serve(admin_client *client);

/* --- life of a client */

static void link_first(admin_client *client) {
  client->prev = NULL;
  client->next = client->admin->clients;
  if (client->next) client->next->prev = client;
  client->admin->clients = client;
}

static void unlink_client(admin_client *client) {
  if (client->prev)
    client->prev->next = client->next;
  else
    client->admin->clients = client->next;
  if (client->next) client->next->prev = client->prev;
}

static void forget(admin_client *client) {
  neap_admin *admin = client->admin;
  unlink_client(client);
  json_decref(client->steps);
  free(client->out);
  client->magic = 0;
  free(client);
  if (--admin->client_count == 0 && admin->closed) free(admin);
}

static void close_client(admin_client *client) {
  neap_timer_clear(&client->stall);
  if (client->stream) neap_stream_close(&client->stream);
  if (!client->asking) forget(client);
}

/* Makes room: silent clients must not keep others out. */
static void close_oldest(neap_admin *admin) {
  admin_client *oldest = NULL;
  for (admin_client *client = admin->clients; client; client = client->next)
    if (!client->asking) oldest = client;
  if (oldest) close_client(oldest);
}

/* --- answers */

static void expect_request(admin_client *client) {
  neap_http_request_init(&client->request, client->fields, &neap_http_limits_default);
  client->continued = false;
  neap_timer_set(client->admin->gateway->loop, &client->stall, IDLE_MS);
}

static void sent(admin_client *client) {
  free(client->out);
  client->out = NULL;
  if (!client->keep) {
    neap_stream_linger(&client->stream, STALL_MS);
    close_client(client);
    return;
  }
  expect_request(client);
  neap_stream_reading(client->stream, true);
  serve(client);
}

/* Head and body in one piece. */
static void answer(admin_client *client, int status, const char *type, const char *body, size_t size) {
  char *out = malloc(HEAD_MAX + size);
  if (out == NULL || client->stream == NULL) {
    free(out);
    close_client(client);
    return;
  }
  int used = snprintf(
      out, HEAD_MAX,
      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\n%s%s\r\n",
      status, neap_http_status_text(status), type, size, status == 401 ? "WWW-Authenticate: Bearer\r\n" : "",
      client->keep ? "" : "Connection: close\r\n");
  if (!client->head_only) {
    memcpy(out + used, body, size);
    used += (int)size;
  }
  client->out = out;
  struct iovec piece = {out, (size_t)used};
  neap_timer_set(client->admin->gateway->loop, &client->stall, STALL_MS);
  int code = neap_stream_send(client->stream, &piece, 1);
  if (code == 0)
    sent(client);
  else if (code != NEAP_EBUSY)
    close_client(client);
}

static void answer_text(admin_client *client, int status, const char *text) {
  answer(client, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void on_stall(neap_timer *timer) {
  admin_client *client = NEAP_CONTAINER_OF(timer, admin_client, stall);
  if (client->asking) {
    neap_timer_set(client->admin->gateway->loop, timer, STALL_MS); /* it is we who take long */
  } else if (client->used > 0 && client->out == NULL && !client->inviting) {
    client->keep = client->head_only = false;
    neap_stream_reading(client->stream, false);
    answer_text(client, 408, "the request came too slowly\n");
  } else {
    close_client(client);
  }
}

/* The last line is the answer, with what came before as its "steps". */
static void on_line(neap_control_reply *reply, json_t *line, bool last) {
  admin_client *client = NEAP_CONTAINER_OF(reply, admin_client, reply);
  neap_check_magic(client, ADMIN_MAGIC);
  if (!last) {
    if (client->steps == NULL) client->steps = json_array();
    json_array_append_new(client->steps, line);
    return;
  }
  int status = json_is_true(json_object_get(line, "ok")) ? 200 : 409;
  json_object_del(line, "text"); /* for people at a terminal */
  if (client->steps) json_object_set_new(line, "steps", client->steps);
  client->steps = NULL;
  char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
  json_decref(line);
  client->asking = false;
  if (text)
    answer(client, status, "application/json", text, strlen(text));
  else
    close_client(client);
  free(text);
}

/* --- who may ask */

/* Takes as long whatever differs. */
static bool same_secret(neap_view given, const char *token) {
  size_t size = strlen(token);
  unsigned char differs = given.size != size;
  for (size_t i = 0; i < size; i++)
    differs |= (unsigned char)((i < given.size ? given.ptr[i] : 0) ^ token[i]);
  return !differs;
}

static neap_view field_of(const admin_client *client, const char *name) {
  const neap_http_head *head = &client->request.head;
  for (int32_t i = 0; i < head->field_count; i++) {
    const neap_http_slice *have = &head->fields[i].name;
    if (neap_http_same(have->ptr, (size_t)have->size, name, strlen(name)))
      return (neap_view){head->fields[i].value.ptr, (size_t)head->fields[i].value.size};
  }
  return NEAP_BYTES("");
}

static bool has_token(const admin_client *client) {
  neap_view given = field_of(client, "authorization");
  static const char scheme[] = "Bearer ";
  if (given.size < sizeof scheme - 1 ||
      !neap_http_same(given.ptr, sizeof scheme - 1, scheme, sizeof scheme - 1))
    return false;
  given.ptr += sizeof scheme - 1;
  given.size -= sizeof scheme - 1;
  return same_secret(given, client->admin->token);
}

/* A name that some page's own server may have pointed here is not ours. */
static bool is_own_host(const admin_client *client) {
  const neap_http_slice *host = &client->request.host;
  if (host->size == 0) return client->request.head.version_minor == 0;
  if (host->ptr[0] == '[' || neap_http_same(host->ptr, (size_t)host->size, "localhost", 9)) return true;
  for (int32_t i = 0; i < host->size; i++)
    if (host->ptr[i] != '.' && (host->ptr[i] < '0' || host->ptr[i] > '9')) return false;
  return true;
}

/* 0, or the status of the refusal. */
static int refuse(const admin_client *client, bool changes) {
  static const char json[] = "application/json";
  if (client->admin->token[0]) return has_token(client) ? 0 : 401;
  if (!is_own_host(client)) return 403;
  neap_view type = field_of(client, "content-type");
  bool is_json =
      type.size >= sizeof json - 1 && neap_http_same(type.ptr, sizeof json - 1, json, sizeof json - 1);
  return changes && !is_json ? 415 : 0;
}

/* --- verbs */

/* Verbs that only look: GET. */
static bool only_looks(const char *verb) {
  static const char *const verbs[] = {"backends", "config", "explain", "policies",
                                      "snapshot", "status", "verbs"};
  for (size_t i = 0; i < NEAP_COUNT_OF(verbs); i++)
    if (strcmp(verbs[i], verb) == 0) return true;
  return false;
}

static int hex_of(char c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Undoes %XX and "+"; `out` has room for the whole and a NUL. */
static void decode(const char *at, size_t size, char *out) {
  for (size_t i = 0; i < size; i++) {
    int high = at[i] == '%' && i + 2 < size ? hex_of(at[i + 1]) : -1;
    int low = high >= 0 ? hex_of(at[i + 2]) : -1;
    if (low > 0 || (low == 0 && high > 0)) {
      *out++ = (char)(high * 16 + low);
      i += 2;
    } else {
      *out++ = at[i] == '+' ? ' ' : at[i];
    }
  }
  *out = '\0';
}

/* Arguments of the query, then of the body, which wins. NULL: not JSON, or out of memory. */
static json_t *arguments_of(const admin_client *client, neap_view body) {
  const neap_http_slice *query = &client->request.query;
  json_t *args = json_object();
  char *text = malloc((size_t)query->size + 1);
  for (int32_t at = 0; text && at < query->size;) {
    const char *pair = query->ptr + at;
    const char *end = memchr(pair, '&', (size_t)(query->size - at));
    size_t size = end ? (size_t)(end - pair) : (size_t)(query->size - at);
    const char *equals = memchr(pair, '=', size);
    char name[64];
    if (equals && (size_t)(equals - pair) < sizeof name) {
      snprintf(name, sizeof name, "%.*s", (int)(equals - pair), pair);
      decode(equals + 1, size - (size_t)(equals - pair) - 1, text);
      json_object_set_new(args, name, neap_control_string(text));
    }
    at += (int32_t)size + 1;
  }
  free(text);
  if (body.size == 0) return args;
  json_t *given = json_loadb(body.ptr, body.size, JSON_REJECT_DUPLICATES, NULL);
  if (!json_is_object(given) || json_object_update(args, given)) {
    json_decref(args);
    args = NULL;
  }
  json_decref(given);
  return args;
}

static void ask_verb(admin_client *client, const char *verb, neap_view body) {
  json_t *args = arguments_of(client, body);
  if (args == NULL) {
    answer_text(client, 400, "the body is not a JSON object\n");
    return;
  }
  client->asking = true;
  neap_control_ask(client->admin->gateway, verb, args, &client->reply);
  json_decref(args);
}

static bool knows(const char *verb) {
  const neap_control_verb *known;
  for (size_t i = 0; (known = neap_control_verb_at(i)) != NULL; i++)
    if (strcmp(known->name, verb) == 0) return true;
  return false;
}

static void answer_metrics(admin_client *client) {
  neap_view accepts = field_of(client, "accept");
  bool open_metrics = memmem(accepts.ptr, accepts.size, "application/openmetrics-text", 28) != NULL;
  size_t size;
  char *text = neap_gateway_metrics(client->admin->gateway, open_metrics, &size);
  if (text)
    answer(client, 200, open_metrics ? NEAP_EXPOSE_OPEN : NEAP_EXPOSE_TEXT, text, size);
  else
    answer_text(client, 503, "out of memory\n");
  free(text);
}

static void dispatch(admin_client *client, neap_view body) {
  const neap_http_request *request = &client->request;
  char path[64] = "";
  bool post = request->method_id == NEAP_HTTP_METHOD_POST;
  bool get = request->method_id == NEAP_HTTP_METHOD_GET || request->method_id == NEAP_HTTP_METHOD_HEAD;
  client->head_only = request->method_id == NEAP_HTTP_METHOD_HEAD;
  if (request->path.size < (int32_t)sizeof path)
    snprintf(path, sizeof path, "%.*s", (int)request->path.size, request->path.ptr);
  bool is_verb = strncmp(path, "/v1/", 4) == 0 && knows(path + 4);
  bool changes = is_verb && !only_looks(path + 4);
  bool known = is_verb || strcmp(path, "/metrics") == 0;
  if (get && strcmp(path, "/healthz") == 0) {
    answer_text(client, 200, "ok\n");
    return;
  }
  if (get && strcmp(path, "/readyz") == 0) {
    bool ready = !client->admin->gateway->stopping;
    answer_text(client, ready ? 200 : 503, ready ? "ready\n" : "stopping\n");
    return;
  }
  int status = refuse(client, changes && post);
  if (status == 0 && !known) status = 404;
  if (status == 0 && (changes ? !post : !get && !post)) status = 405;
  if (status)
    answer_text(client, status,
                status == 401   ? "a token is needed: Authorization: Bearer TOKEN\n"
                : status == 403 ? "the Host must be an address or localhost\n"
                : status == 404 ? "see /metrics, /v1/status, /v1/verbs\n"
                : status == 405 ? "what changes something is asked by POST\n"
                                : "the type must be application/json\n");
  else if (is_verb)
    ask_verb(client, path + 4, body);
  else
    answer_metrics(client);
}

/* --- requests */

/* The body is waited for: says so to a client that waits to hear it. */
static void invite(admin_client *client) {
  static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
  client->continued = true;
  struct iovec piece = {(char *)(uintptr_t)line, sizeof line - 1};
  int code = neap_stream_send(client->stream, &piece, 1);
  client->inviting = code == NEAP_EBUSY;
  if (client->inviting)
    neap_stream_reading(client->stream, false);
  else if (code)
    close_client(client);
}

/* More is to come. */
static void wait_for_rest(admin_client *client, bool has_head) {
  if (client->used == REQUEST_MAX) {
    close_client(client);
  } else if (has_head) { /* it is read again with its body */
    bool waits = client->request.expect_continue && !client->continued;
    neap_http_request_init(&client->request, client->fields, &neap_http_limits_default);
    if (waits) invite(client);
  }
}

/* Answers the request that is there whole. */
static void serve(admin_client *client) {
  neap_http_head *head = &client->request.head;
  if (client->used == 0) return;
  ssize_t got = neap_http_request_parse(&client->request, client->in, client->used);
  size_t body = got > 0 && head->framing == NEAP_HTTP_FRAMING_LENGTH ? head->content_length : 0;
  bool is_chunked = got > 0 && head->framing == NEAP_HTTP_FRAMING_CHUNKED;
  bool too_large = got > 0 && body > REQUEST_MAX - (size_t)got;
  if (got >= 0 && !too_large && !is_chunked && (got == 0 || client->used < (size_t)got + body)) {
    wait_for_rest(client, got > 0);
    return;
  }
  neap_stream_reading(client->stream, false);
  client->keep = false;
  if (got < 0) {
    answer_text(client, neap_http_reason_status(head->reason), neap_http_reason_text(head->reason));
  } else if (too_large || is_chunked) {
    answer_text(client, too_large ? 413 : 411, "send a small body with its Content-Length\n");
  } else {
    /* What comes behind it is not read: pipelining is not for this. */
    client->keep = head->keep_alive && head->version_minor > 0 && client->used == (size_t)got + body;
    client->used = 0;
    unlink_client(client);
    link_first(client);
    dispatch(client, (neap_view){client->in + got, body});
  }
}

static void on_readable(void *user) {
  admin_client *client = user;
  neap_check_magic(client, ADMIN_MAGIC);
  ssize_t got = neap_stream_read(client->stream, client->in + client->used, REQUEST_MAX - client->used);
  if (got == NEAP_EBUSY) return;
  if (got <= 0) {
    close_client(client);
    return;
  }
  if (client->used == 0) neap_timer_set(client->admin->gateway->loop, &client->stall, REQUEST_MS);
  client->used += (size_t)got;
  serve(client);
}

static void on_sent(void *user) {
  admin_client *client = user;
  if (!client->inviting) {
    sent(client);
    return;
  }
  client->inviting = false;
  neap_stream_reading(client->stream, true);
}

static void on_failed(void *user) {
  close_client(user);
}

static const neap_stream_vt stream_vt = {
    .name = "admin", .readable = on_readable, .sent = on_sent, .failed = on_failed};

static void on_accepted(void *user, neap_stream *stream) {
  neap_admin *admin = user;
  if (admin->client_count >= CLIENTS_MAX) close_oldest(admin);
  admin_client *made = admin->client_count < CLIENTS_MAX ? calloc(1, sizeof *made) : NULL;
  if (made == NULL) {
    neap_stream_close(&stream);
    return;
  }
  made->magic = ADMIN_MAGIC;
  made->admin = admin;
  made->stream = stream;
  made->reply.line = on_line;
  link_first(made);
  admin->client_count++;
  neap_timer_init(&made->stall, on_stall);
  expect_request(made);
  neap_stream_own(stream, &stream_vt, made);
}

/* --- the listener */

int neap_admin_open(neap_gateway *gateway, int socket, neap_admin **out, neap_err *err) {
  neap_admin *admin = calloc(1, sizeof *admin);
  neap_address address;
  char text[NEAP_ADDRESS_TEXT] = "";
  if (admin) admin->gateway = gateway;
  if (neap_socket_address(socket, &address) == 0) neap_address_format(&address, text);
  if (admin == NULL || neap_listener_open(gateway->loop, socket, on_accepted, admin, &admin->listener)) {
    neap_socket_close(socket);
    free(admin);
    return neap_fail(err, NEAP_EIO, "cannot open the admin interface");
  }
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server admin address=%s", text);
  *out = admin;
  return 0;
}

void neap_admin_set_token(neap_admin *admin, const char *token) {
  snprintf(admin->token, sizeof admin->token, "%s", token);
}

void neap_admin_close(neap_admin **admin_ptr) {
  neap_admin *admin = *admin_ptr;
  if (admin == NULL) return;
  *admin_ptr = NULL;
  neap_listener_close(&admin->listener);
  admin->closed = true;
  admin->client_count++; /* holds it until the loop below is done */
  for (admin_client *client = admin->clients, *next; client; client = next) {
    next = client->next;
    if (client->stream) close_client(client);
  }
  if (--admin->client_count == 0) free(admin);
}
