/* neap explain: what would be done with a request, and what was done with one.
 *
 * The decisions are made by a worker, with the steps, predicates and policies that its requests get
 * (flow/explain.c); why other routes do not match is found here, from the configuration. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "server/gateway.h"

enum { HEAD_ROOM = 16 << 10, ROUTES_SHOWN = 200, TEXT_ROOM = 64 << 10 };

typedef struct question {
  neap_task task; /* to the worker, and back */
  neap_gateway *gateway;
  neap_control_reply *reply;
  neap_worker *worker;
  uint32_t place; /* of the worker that is asked; id: they are asked in turn */
  char id[80];    /* "" where `head` is the question */
  char client[64];
  size_t size;
  json_t *answer;
  char head[HEAD_ROOM];
} question;

static void post_question(question *q);

/* --- why routes do not match */

static bool matches(const neap_match *match, const neap_request_board *board) {
  neap_routes *routes;
  neap_route_walk walk;
  if (neap_routes_create(&match, 1, &routes)) return false;
  neap_routes_find(routes, board, &walk);
  bool found = neap_routes_next(&walk) >= 0;
  neap_routes_destroy(&routes);
  return found;
}

/* The first part that fails, from the most specific on; NULL where all of it matches. */
static const char *mismatch(const neap_match *match, const neap_request_board *board) {
  neap_match rest = *match;
  if (matches(&rest, board)) return NULL;
  rest.query_count = 0;
  if (matches(&rest, board)) return "query";
  rest.header_count = 0;
  if (matches(&rest, board)) return "header";
  rest.method_count = 0;
  if (matches(&rest, board)) return "method";
  rest.path = NULL;
  rest.path_how = NEAP_PATH_ANY;
  return matches(&rest, board) ? "path" : "host";
}

/* The places of the rules that match in the order in which they are asked; -1 for those that do not. */
static void rank(const neap_loaded *loaded, const neap_request_board *board, int32_t *ranks) {
  neap_route_walk walk;
  int32_t rule, place = 0;
  for (size_t i = 0; i < loaded->config->route_count; i++) ranks[i] = -1;
  neap_routes_find(loaded->routes, board, &walk);
  while ((rule = neap_routes_next(&walk)) >= 0)
    if (ranks[rule] < 0) ranks[rule] = place++;
}

static json_t *other_routes(const neap_loaded *loaded, const neap_request_board *board, int32_t taken) {
  size_t count = loaded->config->route_count;
  int32_t *ranks = calloc(count + 1, sizeof *ranks);
  json_t *list = json_array();
  if (ranks) rank(loaded, board, ranks);
  for (size_t i = 0; ranks && i < NEAP_MIN(count, (size_t)ROUTES_SHOWN); i++) {
    const neap_config_route *route = &loaded->config->routes[i];
    if ((int32_t)i == taken) continue;
    const char *why = mismatch(&route->match, board);
    if (why == NULL) why = taken < 0 || ranks[i] < ranks[taken] ? "predicate" : "less specific";
    json_array_append_new(list,
                          json_pack("{s:o, s:s}", "route", neap_control_string(route->name), "why", why));
  }
  free(ranks);
  return list;
}

/* --- for people */

typedef struct page {
  char *text;
  size_t used;
} page;

__attribute__((format(printf, 2, 3))) static void put(page *out, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *at = out->text + out->used;
  int size = vsnprintf(at, TEXT_ROOM - out->used, format, list);
  va_end(list);
  if (size <= 0) return;
  out->used = NEAP_MIN(out->used + (size_t)size, (size_t)TEXT_ROOM - 1);
  bool ends = out->text[out->used - 1] == '\n' && format[strlen(format) - 1] == '\n';
  if (ends) out->text[out->used - 1] = '\0';
  neap_text_tame(at, 0); /* lines end where the page says so, not where a client's words do */
  if (ends) out->text[out->used - 1] = '\n';
}

static const char *word(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "-";
}

static void put_reason(page *out, const char *name, const json_t *reason) {
  if (reason) put(out, "%-9s %s: %s\n", name, word(reason, "code"), word(reason, "text"));
}

static void put_list(page *out, const json_t *list) {
  for (size_t i = 0; i < json_array_size(list); i++)
    put(out, "%s%s", i ? "," : "", json_string_value(json_array_get(list, i)));
}

static void put_tiers(page *out, const json_t *list) {
  if (json_array_size(list) == 0) return;
  put(out, "asks      ");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *one = json_array_get(list, i);
    put(out, "%s%s (breaker %s)", i ? ", then " : "", word(one, "tier"), word(one, "breaker"));
  }
  put(out, ", then a backend\n");
}

static void put_candidates(page *out, const json_t *list) {
  if (list == NULL) return;
  put(out, "candidates            weight  in flight    ewma ms      score\n");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *one = json_array_get(list, i);
    const json_t *bars = json_object_get(one, "barred");
    put(out, "%s %-20s %5lld  %9lld %10.2f %10.2f%s",
        json_is_true(json_object_get(one, "picked")) ? "*" : " ", word(one, "backend"),
        (long long)json_integer_value(json_object_get(one, "weight")),
        (long long)json_integer_value(json_object_get(one, "in_flight")),
        json_real_value(json_object_get(one, "ewma_ms")), json_real_value(json_object_get(one, "score")),
        json_array_size(bars) ? "  barred: " : "");
    put_list(out, bars);
    put(out, "\n");
  }
}

static char *page_of(const json_t *answer) {
  page out = {.text = malloc(TEXT_ROOM)};
  if (out.text == NULL) return NULL;
  out.text[0] = '\0';
  const json_t *cache = json_object_get(answer, "cache"), *others = json_object_get(answer, "others");
  bool past = json_object_get(answer, "ago_ms") != NULL;
  if (past)
    put(&out, "request   %s %s%s, %.1f s ago, status %lld in %.2f ms\n", word(answer, "method"),
        word(answer, "host"), word(answer, "target"),
        (double)json_integer_value(json_object_get(answer, "ago_ms")) / 1e3,
        (long long)json_integer_value(json_object_get(answer, "status")),
        json_real_value(json_object_get(answer, "took_ms")));
  put(&out, "route     %s (generation %lld)\n", word(answer, "route"),
      (long long)json_integer_value(json_object_get(answer, "generation")));
  put(&out, "steps     ");
  put_list(&out, json_object_get(answer, "steps"));
  put(&out, "\n");
  const json_t *status = json_object_get(answer, "status");
  if (status && !past) put(&out, "answer    %lld\n", (long long)json_integer_value(status));
  put_reason(&out, "end", json_object_get(answer, "end"));
  if (past)
    put_reason(&out, "cache", cache);
  else if (cache)
    put(&out, "cache     %s: %s\n", word(cache, "result"), word(cache, "text"));
  if (cache && json_object_get(cache, "key"))
    put(&out, "key       %s (space %s)\n", word(cache, "key"), word(cache, "space"));
  if (json_object_get(answer, "tier")) put(&out, "tier      %s\n", word(answer, "tier"));
  put_tiers(&out, cache ? json_object_get(cache, "tiers") : NULL);
  put_reason(&out, "lookup", past ? json_object_get(answer, "lookup") : json_object_get(cache, "why"));
  put_reason(&out, "stored", json_object_get(answer, "stored"));
  if (json_object_get(answer, "pool")) put(&out, "pool      %s\n", word(answer, "pool"));
  if (json_object_get(answer, "policy")) put(&out, "policy    %s\n", word(answer, "policy"));
  if (json_is_true(json_object_get(answer, "waits")))
    put(&out, "waits     in the queue, until a backend is free\n");
  if (json_object_get(answer, "backend")) put(&out, "backend   %s\n", word(answer, "backend"));
  put_candidates(&out, json_object_get(answer, "candidates"));
  if (json_array_size(others)) put(&out, "other routes          why not\n");
  for (size_t i = 0; i < json_array_size(others); i++)
    put(&out, "  %-20s %s\n", word(json_array_get(others, i), "route"),
        word(json_array_get(others, i), "why"));
  if (out.used > 0) out.text[out.used - 1] = '\0'; /* whoever prints it ends the line */
  return out.text;
}

/* --- asking a worker */

/* Of a request that was read here as a worker reads it. */
static void add_others(question *q) {
  neap_http_field fields[100];
  neap_http_request request;
  neap_request_board board = {.client = {.ptr = q->client, .size = (int32_t)strlen(q->client)}};
  const neap_loaded *loaded = q->gateway->loaded;
  const json_t *rule = json_object_get(q->answer, "rule");
  neap_http_request_init(&request, fields, &neap_http_limits_default);
  if (neap_http_request_parse(&request, q->head, q->size) <= 0) return;
  if ((uint64_t)json_integer_value(json_object_get(q->answer, "generation")) != loaded->set->number) return;
  char first[512];
  neap_arena arena;
  neap_arena_init(&arena, first, sizeof first);
  if (neap_flow_board(&request, &arena, &board) == 0)
    json_object_set_new(q->answer, "others",
                        other_routes(loaded, &board, rule ? (int32_t)json_integer_value(rule) : -1));
  neap_arena_reset(&arena);
}

static void answer(question *q) {
  if (q->answer == NULL) {
    if (q->id[0])
      neap_control_fail(q->reply, "no request %.64s among the newest %d of each worker", q->id, NEAP_RECENT);
    else
      neap_control_fail(q->reply, "out of memory");
  } else {
    if (q->id[0] == '\0') add_others(q);
    char *text = page_of(q->answer);
    if (text) json_object_set_new(q->answer, "text", neap_control_string(text));
    free(text);
    neap_control_done(q->reply, q->answer);
  }
  free(q);
}

static void on_answer(neap_task *task) {
  question *q = NEAP_CONTAINER_OF(task, question, task);
  q->place++;
  if (q->answer == NULL && q->id[0])
    post_question(q); /* the next one may know */
  else
    answer(q);
}

/* On the worker. */
static void on_question(neap_task *task) {
  question *q = NEAP_CONTAINER_OF(task, question, task);
  neap_flow *flow = neap_worker_flow(q->worker);
  if (q->id[0])
    q->answer = neap_flow_recall(flow, q->id);
  else
    q->answer = neap_flow_explain(flow, q->head, q->size, neap_view_of(q->client));
  q->task.run = on_answer;
  neap_loop_post(q->gateway->loop, &q->task);
}

static void post_question(question *q) {
  neap_gateway *gateway = q->gateway;
  while (q->place < NEAP_WORKERS_MAX && !gateway->serving[q->place]) q->place++;
  if (q->place == NEAP_WORKERS_MAX) {
    answer(q);
    return;
  }
  q->worker = gateway->workers[q->place];
  q->task.run = on_question;
  neap_loop_post(neap_worker_loop(q->worker), &q->task);
}

/* --- the question */

static bool add_line(question *q, const char *format, const char *a, const char *b) {
  int size = snprintf(q->head + q->size, HEAD_ROOM - q->size, format, a, b);
  if (size < 0 || (size_t)size >= HEAD_ROOM - q->size) return false;
  q->size += (size_t)size;
  return true;
}

/* Fields as an object, or as a text of lines "Name: value". */
static bool add_headers(question *q, const json_t *headers) {
  const char *name, *lines = json_string_value(headers);
  json_t *value;
  if (lines) {
    while (*lines) {
      size_t size = strcspn(lines, "\r\n");
      char line[4096];
      if (size >= sizeof line) return false;
      snprintf(line, sizeof line, "%.*s", (int)size, lines);
      if (size > 0 && !add_line(q, "%s%s\r\n", line, "")) return false;
      lines += size + strspn(lines + size, "\r\n");
    }
    return true;
  }
  json_object_foreach((json_t *)(uintptr_t)headers, name,
                      value) if (!json_is_string(value) || strpbrk(name, "\r\n") ||
                                 strpbrk(json_string_value(value), "\r\n") ||
                                 !add_line(q, "%s: %s\r\n", name, json_string_value(value))) return false;
  return true;
}

static bool is_plain(const char *text) {
  for (; *text; text++)
    if ((unsigned char)*text <= ' ' || *text == 0x7f) return false;
  return true;
}

void neap_control_explain(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *id = neap_control_text_or_none(args, "id");
  const char *path = neap_control_text_or_none(args, "path"), *host = neap_control_text_or_none(args, "host");
  const char *method = neap_control_text_or_none(args, "method"),
             *client = neap_control_text_or_none(args, "client");
  const json_t *headers = neap_control_any(args, "headers");
  if (id && (*id == '\0' || json_object_size(args->object) > 1))
    neap_control_args_fail(args, "id names one request that was: it stands alone");
  if (!neap_control_args_end(args)) return;
  question *q = calloc(1, sizeof *q);
  if (q == NULL) {
    neap_control_fail(reply, "out of memory");
    return;
  }
  q->gateway = gateway;
  q->reply = reply;
  if (path == NULL) path = "/";
  if (host == NULL) host = "localhost";
  if (method == NULL) method = "GET";
  snprintf(q->id, sizeof q->id, "%s", id ? id : "");
  snprintf(q->client, sizeof q->client, "%s", client ? client : "127.0.0.1");
  bool made = is_plain(path) && is_plain(host) && is_plain(method) &&
              add_line(q, "%s %s HTTP/1.1\r\n", method, path) && add_line(q, "Host: %s%s\r\n", host, "") &&
              add_headers(q, headers) && add_line(q, "%s%s", "\r\n", "");
  if (made) {
    post_question(q);
    return;
  }
  free(q);
  neap_control_fail(reply, "the request is malformed, or larger than 16 KB");
}
