/* etcd: the values of all keys below a prefix, through etcd's JSON gateway (API v3).
 *
 *   1 read   POST /v3/kv/range: all keys, and the revision they are of
 *   2 watch  POST /v3/watch from the next revision on: the response never ends, a line per change
 *   3 a change, the end of the watch, or an error: read again, soon
 *
 * What a change says is not looked at: reading all of it anew cannot go wrong in the middle. */
#include "upstream/source_impl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/url.h"

enum {
  RANGE_MS = 5000,
  BODY_MAX = 4 << 20,
  SETTLE_MS = 20, /* changes that come together are read together */
  RETRY_MS = 500,
  RETRY_MOST_MS = 15000,
  WATCH_MS = 600000 /* a watch that says nothing is asked for anew: its connection may be dead */
};

typedef struct etcd_state {
  char *url;             /* without what follows the port */
  char *shown;           /* the same without credentials */
  char *key, *range_end; /* base64 */
  neap_fetch *fetch;     /* of reading or watching */
  uint64_t revision, retry_ms;
  bool created; /* the watch has been confirmed */
} etcd_state;

/* --- base64 */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encode(const char *bytes, size_t size) {
  char *out = malloc(4 * (size / 3 + 1) + 1), *at = out;
  for (size_t i = 0; out && i < size; i += 3) {
    uint32_t word = (uint32_t)(unsigned char)bytes[i] << 16;
    if (i + 1 < size) word |= (uint32_t)(unsigned char)bytes[i + 1] << 8;
    if (i + 2 < size) word |= (unsigned char)bytes[i + 2];
    *at++ = letters[word >> 18];
    *at++ = letters[word >> 12 & 63];
    *at++ = i + 1 < size ? letters[word >> 6 & 63] : '=';
    *at++ = i + 2 < size ? letters[word & 63] : '=';
  }
  if (out) *at = '\0';
  return out;
}

/* Into `out`, which has room for 3/4 of the text. How many bytes; -1: it is not base64. */
static ssize_t decode(const char *text, char *out) {
  uint32_t word = 0;
  int bits = 0;
  char *at = out;
  for (; *text && *text != '='; text++) {
    const char *letter = strchr(letters, *text);
    if (letter == NULL) return -1;
    word = word << 6 | (uint32_t)(letter - letters);
    bits += 6;
    if (bits >= 8) *at++ = (char)(word >> (bits -= 8));
  }
  return at - out;
}

/* --- what a key holds */

/* A whole number, or `absent` where there is none. */
static int read_field(const json_t *from, const char *name, long long absent, long long *out, neap_err *err) {
  const json_t *value = json_object_get(from, name);
  *out = absent;
  if (value == NULL) return 0;
  if (!json_is_integer(value)) return neap_fail(err, NEAP_EINVAL, "its %s is no whole number", name);
  *out = json_integer_value(value);
  return 0;
}

static int add_json(neap_backend_source_list *list, const json_t *from, neap_err *err) {
  const char *address = json_string_value(json_object_get(from, "address"));
  if (address == NULL) address = json_string_value(json_object_get(from, "host"));
  char line[NEAP_BACKEND_SOURCE_ADDRESS + 80];
  long long port, weight, priority;
  if (address == NULL || strpbrk(address, " \t\r\n")) return neap_fail(err, NEAP_EINVAL, "it has no address");
  if (read_field(from, "port", -1, &port, err) || read_field(from, "weight", 1, &weight, err) ||
      read_field(from, "priority", 0, &priority, err))
    return NEAP_EINVAL;
  bool bare = port >= 0 && address[0] != '[' && strchr(address, ':') != NULL; /* IPv6 */
  int size = port < 0 ? snprintf(line, sizeof line, "%s", address)
                      : snprintf(line, sizeof line, bare ? "[%s]:%lld" : "%s:%lld", address, port);
  if (size >= NEAP_BACKEND_SOURCE_ADDRESS) return neap_fail(err, NEAP_EINVAL, "its address is too long");
  snprintf(line + size, sizeof line - (size_t)size, " weight=%lld priority=%lld", weight, priority);
  return neap_backend_source_add_line(list, neap_view_of(line), err);
}

static int add_value(neap_backend_source_list *list, neap_view value, neap_err *err) {
  const char *first = value.ptr;
  while (first < value.ptr + value.size && (*first == ' ' || *first == '\n')) first++;
  if (first == value.ptr + value.size || *first != '{') return neap_backend_source_add_line(list, value, err);
  json_t *json = json_loadb(value.ptr, value.size, 0, NULL);
  int code = json ? add_json(list, json, err) : neap_fail(err, NEAP_EINVAL, "it is not JSON");
  json_decref(json);
  return code;
}

static void key_name(const json_t *pair, char *out, size_t capacity) {
  const char *key = json_string_value(json_object_get(pair, "key"));
  char bytes[512];
  ssize_t size = key && strlen(key) < sizeof bytes ? decode(key, bytes) : -1;
  snprintf(out, capacity, "%.*s", size > 0 ? (int)size : 1, size > 0 ? bytes : "?");
}

/* Adds what one key says. A key that means nothing spoils the whole answer. */
static int add_pair(neap_backend_source_list *list, const json_t *pair, neap_err *err) {
  const char *value = json_string_value(json_object_get(pair, "value"));
  if (value == NULL) value = ""; /* etcd leaves empty ones out */
  char *bytes = malloc(strlen(value) + 1);
  if (bytes == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  ssize_t size = decode(value, bytes);
  neap_err why = {0};
  int code = size < 0 ? neap_fail(&why, NEAP_EINVAL, "it is not base64")
                      : add_value(list, (neap_view){bytes, (size_t)size}, &why);
  free(bytes);
  if (code == 0) return 0;
  char key[128];
  key_name(pair, key, sizeof key);
  return neap_fail(err, code, "key %s: %s", key, why.text);
}

/* --- reading and watching */

static void read_keys(neap_backend_source *source);

static void again_in(neap_backend_source *source, uint64_t delay_ms) {
  neap_timer_set(source->options.loop, &source->timer, delay_ms);
}

static void back_off(neap_backend_source *source) {
  etcd_state *state = source->state;
  state->retry_ms = NEAP_MIN(NEAP_MAX(2 * state->retry_ms, (uint64_t)RETRY_MS), (uint64_t)RETRY_MOST_MS);
  again_in(source, state->retry_ms);
}

static int post(neap_backend_source *source, const char *path, const char *body, uint64_t timeout_ms,
                void (*done)(void *user, const neap_fetch_reply *reply),
                bool (*piece)(void *user, neap_view bytes)) {
  etcd_state *state = source->state;
  static const char *const fields[] = {"Content-Type: application/json", NULL};
  char url[600];
  snprintf(url, sizeof url, "%s%s", state->url, path);
  const neap_fetch_request request = {.url = url,
                                      .body = neap_view_of(body),
                                      .fields = fields,
                                      .timeout_ms = timeout_ms,
                                      .body_max = BODY_MAX,
                                      .done = done,
                                      .piece = piece,
                                      .user = source};
  return neap_fetch_start(source->options.fetcher, &request, &state->fetch);
}

/* The first line confirms the watch; any other is a change, or says that the watch is no more. */
static bool on_watched(void *user, neap_view bytes) {
  etcd_state *state = ((neap_backend_source *)user)->state;
  bool confirmed = memmem(bytes.ptr, bytes.size, "\"created\":true", 14) != NULL;
  bool plain = !state->created && confirmed && memmem(bytes.ptr, bytes.size, "\"events\"", 8) == NULL &&
               memmem(bytes.ptr, bytes.size, "\"canceled\":true", 15) == NULL;
  state->created = state->created || confirmed;
  return plain;
}

static void on_watch_ended(void *user, const neap_fetch_reply *reply) {
  neap_backend_source *source = user;
  etcd_state *state = source->state;
  state->fetch = NULL;
  if (reply->end == NEAP_FETCH_CUT && state->created)
    again_in(source, SETTLE_MS);
  else
    back_off(source);
}

static void watch(neap_backend_source *source) {
  etcd_state *state = source->state;
  char body[2048];
  snprintf(body, sizeof body,
           "{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"start_revision\":\"%llu\"}}",
           state->key, state->range_end, (unsigned long long)state->revision + 1);
  state->created = false;
  if (post(source, "/v3/watch", body, WATCH_MS, on_watch_ended, on_watched)) back_off(source);
}

static int read_answer(neap_backend_source *source, neap_view body, neap_backend_source_list *list,
                       neap_err *err) {
  etcd_state *state = source->state;
  json_t *json = json_loadb(body.ptr, body.size, 0, NULL);
  const json_t *header = json_object_get(json, "header"), *pairs = json_object_get(json, "kvs");
  const char *revision = json_string_value(json_object_get(header, "revision"));
  int code = 0;
  if (revision == NULL) code = neap_fail(err, NEAP_EINVAL, "this is no answer of etcd");
  for (size_t i = 0; i < json_array_size(pairs) && code == 0; i++)
    code = add_pair(list, json_array_get(pairs, i), err);
  if (revision) state->revision = strtoull(revision, NULL, 10);
  json_decref(json);
  return code;
}

static void on_read(void *user, const neap_fetch_reply *reply) {
  neap_backend_source *source = user;
  etcd_state *state = source->state;
  state->fetch = NULL;
  if (reply->end != NEAP_FETCH_DONE || reply->status != 200) {
    const char *text = reply->end == NEAP_FETCH_DONE ? "the answer is an error" : reply->text;
    if (neap_backend_source_fail(source, "%s: %s (status %d)", state->shown, text, reply->status))
      back_off(source);
    return;
  }
  neap_backend_source_list list = {0};
  neap_err err = {0};
  bool here;
  if (read_answer(source, reply->body, &list, &err)) {
    neap_backend_source_list_fini(&list);
    here = neap_backend_source_fail(source, "%s: %s", state->shown, err.text);
  } else {
    state->retry_ms = 0;
    here = neap_backend_source_tell(source, &list);
  }
  if (here) watch(source); /* a wrong value may be put right */
}

static void read_keys(neap_backend_source *source) {
  etcd_state *state = source->state;
  char body[2048];
  snprintf(body, sizeof body, "{\"key\":\"%s\",\"range_end\":\"%s\"}", state->key, state->range_end);
  if (post(source, "/v3/kv/range", body, RANGE_MS, on_read, NULL)) back_off(source);
}

/* --- life */

/* "http://host:port/prefix": where the prefix begins; NULL where there is none. */
static const char *prefix_of(const char *rest) {
  const char *host = strncmp(rest, "http://", 7) == 0    ? rest + 7
                     : strncmp(rest, "https://", 8) == 0 ? rest + 8
                                                         : NULL;
  const char *prefix = host ? strchr(host, '/') : NULL;
  return prefix && prefix > host && prefix[1] ? prefix : NULL;
}

static int check(const char *rest, neap_err *err) {
  const char *prefix = prefix_of(rest);
  if (prefix == NULL || strlen(prefix) > 512 || prefix - rest > 512)
    return neap_fail(err, NEAP_EINVAL, "write etcd:http://host:2379/prefix");
  return 0;
}

/* The key just behind all that begin with the prefix. */
static char *encode_end(const char *prefix) {
  size_t size = strlen(prefix);
  char *end = strdup(prefix), *out = NULL;
  if (end) {
    end[size - 1] = (char)(end[size - 1] + 1); /* never 0xff: the configuration is UTF-8 */
    out = encode(end, size);
  }
  free(end);
  return out;
}

static int start(neap_backend_source *source, const char *rest, neap_err *err) {
  etcd_state *state = source->state = calloc(1, sizeof *state);
  if (state == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  const char *prefix = prefix_of(rest);
  state->url = strndup(rest, (size_t)(prefix - rest));
  state->key = encode(prefix, strlen(prefix));
  state->range_end = encode_end(prefix);
  size_t room = (size_t)(prefix - rest) + 4; /* the mask may be longer than what it hides */
  state->shown = malloc(room);
  if (state->url == NULL || state->shown == NULL || state->key == NULL || state->range_end == NULL)
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  neap_url_mask(state->url, state->shown, room);
  again_in(source, 0);
  return 0;
}

static void stop(neap_backend_source *source) {
  etcd_state *state = source->state;
  if (state == NULL) return;
  neap_fetch_cancel(&state->fetch);
  free(state->url);
  free(state->shown);
  free(state->key);
  free(state->range_end);
  free(state);
}

const neap_backend_source_vt neap_backend_source_etcd = {
    .name = "etcd", .start = start, .stop = stop, .again = read_keys, .check = check};
