/* May a request be answered from the cache; may a response be stored, and for how long. */
#include "http/caching.h"
#include "http/text.h"
#include "http/vary.h"

const neap_http_rules neap_http_rules_default = {
    .store_set_cookie = false, .heuristic_percent = 10, .heuristic_max_s = 3600};

static bool has(const neap_http_head *head, neap_http_id id) {
  return head->first[id] != 0;
}

/* --- lookup ------------------------------------------------------------------------------------------ */

neap_http_lookup neap_http_lookup_decide(const neap_http_request *request) {
  const neap_http_head *head = &request->head;
  if (request->method_id != NEAP_HTTP_METHOD_GET && request->method_id != NEAP_HTTP_METHOD_HEAD)
    return NEAP_HTTP_LOOKUP_METHOD;
  if (head->framing != NEAP_HTTP_FRAMING_NONE &&
      !(head->framing == NEAP_HTTP_FRAMING_LENGTH && head->content_length == 0))
    return NEAP_HTTP_LOOKUP_BODY;
  if (request->host.size == 0) return NEAP_HTTP_LOOKUP_NO_HOST;
  if (has(head, NEAP_HTTP_ID_RANGE)) return NEAP_HTTP_LOOKUP_RANGE;
  if (has(head, NEAP_HTTP_ID_IF_MATCH) || has(head, NEAP_HTTP_ID_IF_UNMODIFIED_SINCE) ||
      has(head, NEAP_HTTP_ID_IF_RANGE))
    return NEAP_HTTP_LOOKUP_CONDITION;
  return NEAP_HTTP_LOOKUP_USABLE;
}

/* Any method not known to be safe. */
bool neap_http_invalidates(neap_http_method method, int status) {
  static const bool safe[] = {[NEAP_HTTP_METHOD_OTHER] = false,
#define METHOD(NAME, is_safe) [NEAP_HTTP_METHOD_##NAME] = is_safe,
                              NEAP_HTTP_METHODS(METHOD)
#undef METHOD
  };
  return !safe[method] && status >= 200 && status < 400;
}

/* --- lifetime and age (RFC 9111, 4.2) ------------------------------------------------------------------ */

/* Statuses that may be kept without being told for how long (RFC 9110, 15.1), but for 206. */
static bool heuristic_status(int status) {
  switch (status) {
  case 200:
  case 203:
  case 204:
  case 300:
  case 301:
  case 308:
  case 404:
  case 405:
  case 410:
  case 414:
  case 501: return true;
  default: return false;
  }
}

static int read_date(const neap_http_head *head, neap_http_id id, int64_t now_s, int64_t *unix_s) {
  const neap_http_field *field = neap_http_field_first(head, id);
  if (!field) return NEAP_ENOTFOUND;
  return neap_http_date_read(field->value.ptr, (size_t)field->value.size, now_s, unix_s);
}

/* Expires, against Date. Unreadable or contradictory: 0, expired already. */
static int64_t expires_lifetime_s(const neap_http_head *head, int64_t date_s, int64_t now_s) {
  const neap_http_field *first = neap_http_field_first(head, NEAP_HTTP_ID_EXPIRES), *other = first;
  int64_t expires_s;
  while ((other = neap_http_field_next(head, other)))
    if (!neap_http_same(other->value.ptr, (size_t)other->value.size, first->value.ptr,
                        (size_t)first->value.size))
      return 0;
  if (read_date(head, NEAP_HTTP_ID_EXPIRES, now_s, &expires_s)) return 0;
  return NEAP_MIN(NEAP_MAX(expires_s - date_s, 0), (int64_t)NEAP_HTTP_DELTA_MAX);
}

/* Of a response that states none; -1: it is not kept. */
static int64_t unstated_lifetime_ms(const neap_http_response *response, const neap_http_control *control,
                                    const neap_http_rules *rules, int64_t date_s) {
  int64_t modified_s;
  if (!heuristic_status(response->status) && !control->is_public) return -1;
  if (rules->default_ms > 0) return (int64_t)rules->default_ms;
  if (rules->heuristic_percent == 0) return -1;
  if (read_date(&response->head, NEAP_HTTP_ID_LAST_MODIFIED, date_s, &modified_s) || modified_s >= date_s)
    return -1;
  int64_t guess_s = (date_s - modified_s) * rules->heuristic_percent / 100;
  return NEAP_MIN(guess_s, (int64_t)rules->heuristic_max_s) * 1000;
}

/* -1: nothing says; 0: stale from the start. */
static int64_t lifetime_ms(const neap_http_response *response, const neap_http_control *control,
                           const neap_http_rules *rules, int64_t date_s, int64_t now_s) {
  if (control->bad_age) return 0;
  if (control->s_maxage >= 0) return control->s_maxage * 1000;
  if (control->max_age >= 0) return control->max_age * 1000;
  if (has(&response->head, NEAP_HTTP_ID_EXPIRES))
    return expires_lifetime_s(&response->head, date_s, now_s) * 1000;
  return unstated_lifetime_ms(response, control, rules, date_s);
}

/* The Age received: its first list member, when that is a number. */
static uint64_t received_age_s(const neap_http_head *head) {
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_AGE);
  neap_http_slice member;
  uint64_t age = 0;
  if (!field) return 0;
  const char *cursor = field->value.ptr;
  if (!neap_http_list_next(field->value, &cursor, &member)) return 0;
  int failed = neap_http_number(member.ptr, (size_t)member.size, NEAP_HTTP_DELTA_MAX, &age);
  return failed == NEAP_ETOOLARGE ? NEAP_HTTP_DELTA_MAX : age;
}

static uint64_t initial_age_ms(const neap_http_head *head, const neap_http_times *times, int64_t date_s) {
  uint64_t apparent_ms = times->wall_s > date_s ? (uint64_t)(times->wall_s - date_s) * 1000 : 0;
  uint64_t delay_ms = times->response_ms - NEAP_MIN(times->request_ms, times->response_ms);
  return NEAP_MAX(apparent_ms, received_age_s(head) * 1000 + delay_ms);
}

/* --- storing (RFC 9111, 3) ----------------------------------------------------------------------------- */

/* Everything that forbids, whatever the lifetime. */
static neap_http_store forbidden(const neap_http_request *request, const neap_http_response *response,
                                 const neap_http_rules *rules, const neap_http_control *control,
                                 bool shareable) {
  bool understood = *neap_http_status_text(response->status) != 0;
  if (request->method_id != NEAP_HTTP_METHOD_GET) return NEAP_HTTP_STORE_METHOD;
  if (neap_http_lookup_decide(request) != NEAP_HTTP_LOOKUP_USABLE) return NEAP_HTTP_STORE_REQUEST;
  if (response->status == 206 || response->status == 304) return NEAP_HTTP_STORE_STATUS;
  if (control->must_understand && !understood) return NEAP_HTTP_STORE_STATUS;
  if (control->no_store && !control->must_understand) return NEAP_HTTP_STORE_NO_STORE;
  if (control->is_private) return NEAP_HTTP_STORE_PRIVATE;
  if (control->no_cache) return NEAP_HTTP_STORE_NO_CACHE;
  if (has(&request->head, NEAP_HTTP_ID_AUTHORIZATION) && !shareable) return NEAP_HTTP_STORE_AUTHORIZATION;
  if (has(&response->head, NEAP_HTTP_ID_SET_COOKIE) && !rules->store_set_cookie)
    return NEAP_HTTP_STORE_SET_COOKIE;
  return NEAP_HTTP_STORE_YES;
}

/* Vary: YES, or VARY when it cannot be answered for. */
static neap_http_store decide_vary(const neap_http_head *head, bool *vary) {
  neap_http_vary names;
  if (neap_http_vary_read(&names, head)) return NEAP_HTTP_STORE_VARY;
  *vary = names.count > 0;
  return NEAP_HTTP_STORE_YES;
}

void neap_http_store_decide(neap_http_decision *out, const neap_http_request *request,
                            const neap_http_response *response, const neap_http_rules *rules,
                            const neap_http_times *times) {
  neap_http_control control;
  int64_t date_s, lifetime;
  neap_http_control_read(&response->head, &control);
  *out = (neap_http_decision){0};
  out->shareable = control.is_public || control.s_maxage >= 0 || control.must_revalidate;
  out->store = forbidden(request, response, rules, &control, out->shareable);
  if (!out->store) out->store = decide_vary(&response->head, &out->vary);
  if (out->store) return;
  if (read_date(&response->head, NEAP_HTTP_ID_DATE, times->wall_s, &date_s)) date_s = times->wall_s;
  lifetime = lifetime_ms(response, &control, rules, date_s, times->wall_s);
  out->store = lifetime < 0 ? NEAP_HTTP_STORE_NO_LIFETIME : NEAP_HTTP_STORE_STALE;
  if (lifetime <= 0) return;
  out->lifetime_ms = (uint64_t)lifetime;
  out->age_ms = initial_age_ms(&response->head, times, date_s);
  if (out->lifetime_ms <= out->age_ms) return;
  out->ttl_ms = out->lifetime_ms - out->age_ms;
  out->store = NEAP_HTTP_STORE_YES;
}
