/* Who may: CORS and credentials. */
#include "flow/acts.h"

#include <stdio.h>

enum { CHALLENGE_MAX = 256 };

/* --- CORS */

static const neap_header_row *header_of(const neap_exchange *exchange, const char *name) {
  int32_t row = neap_request_header(&exchange->board, neap_view_of(name), 0);
  return row < 0 ? NULL : &exchange->board.headers[row];
}

/* "https://a.example", or "https://" with "*.example.com" after it for all below it. */
static bool matches(const char *wanted, neap_slice origin) {
  const char *star = strchr(wanted, '*');
  size_t size = strlen(wanted), have = (size_t)origin.size;
  if (star == NULL) return size == have && memcmp(wanted, origin.ptr, size) == 0;
  size_t head = (size_t)(star - wanted), tail = size - head - 1;
  return have > head + tail && memcmp(wanted, origin.ptr, head) == 0 &&
         memcmp(star + 1, origin.ptr + have - tail, tail) == 0 &&
         memchr(origin.ptr + head, '/', have - head) == NULL;
}

static bool is_allowed(const neap_cors *cors, neap_slice origin) {
  for (size_t i = 0; i < cors->origin_count; i++)
    if (matches(cors->origins[i], origin)) return true;
  return cors->any_origin;
}

static void set(neap_exchange *exchange, const char *name, const char *value) {
  if (value && value[0]) neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_SET, name, value);
}

static void remove_name(neap_exchange *exchange, const char *name) {
  neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_REMOVE, name, "");
}

static void allow(neap_exchange *exchange, const neap_cors *cors, neap_slice origin) {
  const char *copy = neap_acts_copy(exchange, (neap_view){origin.ptr, (size_t)origin.size});
  set(exchange, "Access-Control-Allow-Origin", cors->any_origin ? "*" : copy);
  if (cors->credentials) set(exchange, "Access-Control-Allow-Credentials", "true");
}

static neap_step answer_preflight(neap_exchange *exchange, const neap_cors *cors, bool allowed) {
  if (allowed) {
    const neap_header_row *asked = header_of(exchange, "access-control-request-headers");
    set(exchange, "Access-Control-Allow-Methods", cors->methods);
    set(exchange, "Access-Control-Max-Age", cors->max_age);
    if (cors->headers[0])
      set(exchange, "Access-Control-Allow-Headers", cors->headers);
    else if (asked)
      set(exchange, "Access-Control-Allow-Headers",
          neap_acts_copy(exchange, (neap_view){asked->value.ptr, (size_t)asked->value.size}));
  }
  return neap_answer_make(exchange, &(neap_flow_answer){.status = 204, .body = NEAP_BYTES("")});
}

neap_step neap_acts_cors(neap_exchange *exchange) {
  const neap_cors *cors = &exchange->route->actions->cors;
  const neap_header_row *origin = header_of(exchange, "origin");
  bool allowed = origin && is_allowed(cors, origin->value);
  bool preflight = origin && exchange->request.method_id == NEAP_HTTP_METHOD_OPTIONS &&
                   header_of(exchange, "access-control-request-method");
  /* What the backend says about it does not count, nor what was said to somebody else. */
  remove_name(exchange, "Access-Control-Allow-Origin");
  remove_name(exchange, "Access-Control-Allow-Credentials");
  if (!cors->any_origin) neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_ADD, "Vary", "Origin");
  if (allowed) allow(exchange, cors, origin->value);
  if (preflight) return answer_preflight(exchange, cors, allowed);
  if (allowed) set(exchange, "Access-Control-Expose-Headers", cors->expose);
  return NEAP_STEP_ROUTE;
}

/* --- credentials */

static neap_step challenge(neap_exchange *exchange, const neap_auth *auth, bool given) {
  char *text = neap_arena_take(&exchange->arena, CHALLENGE_MAX);
  if (text == NULL) return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  if (auth->scheme == NEAP_AUTH_BASIC)
    snprintf(text, CHALLENGE_MAX, "Basic realm=\"%s\", charset=\"UTF-8\"", auth->realm);
  else
    snprintf(text, CHALLENGE_MAX, "Bearer realm=\"%s\"%s", auth->realm,
             given ? ", error=\"invalid_token\"" : "");
  set(exchange, "WWW-Authenticate", text);
  set(exchange, "Cache-Control", "no-store");
  exchange->end = NEAP_END_UNAUTHORIZED;
  return neap_answer_make(exchange, &(neap_flow_answer){.status = 401,
                                                        .body = NEAP_BYTES("credentials are wanted\n"),
                                                        .content_type = "text/plain; charset=utf-8"});
}

neap_step neap_acts_auth(neap_exchange *exchange) {
  const neap_auth *auth = &exchange->route->actions->auth;
  char user[NEAP_AUTH_USER_MAX];
  bool given;
  if (!neap_auth_check(auth, neap_acts_rows(exchange, auth->table), &exchange->board, user, &given))
    return challenge(exchange, auth, given);
  neap_acts_edits **edits = &exchange->acts->request;
  if (!auth->forward && neap_acts_edit(exchange, edits, NEAP_ACTS_REMOVE, "Authorization", ""))
    return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  const char *name = auth->user_header[0] ? neap_acts_copy(exchange, neap_view_of(user)) : NULL;
  if (auth->user_header[0] &&
      (name == NULL || neap_acts_edit(exchange, edits, NEAP_ACTS_SET, auth->user_header, name)))
    return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  return NEAP_STEP_ROUTE;
}
