/* Responses made here: errors, and what routes answer themselves. */
#include "flow/acts.h"

#include <stdio.h>

enum { MESSAGE_MAX = 1024, HEAD_MAX = 4096 };

bool neap_answer_keep_alive(const neap_exchange *exchange) {
  return exchange->client_wants_keep_alive && exchange->request.head.keep_alive &&
         neap_body_is_over(exchange);
}

static neap_step deliver(neap_exchange *exchange, int status, const char *bytes, ssize_t size) {
  if (size < 0) { /* a head of ours that does not fit is ours to mend, and the client's to be cut off from */
    exchange->end = NEAP_END_TOO_LARGE;
    return NEAP_STEP_FINISH;
  }
  exchange->status = status;
  exchange->head = (neap_view){bytes, (size_t)size};
  exchange->source = FROM_HERE;
  return NEAP_STEP_DELIVER;
}

neap_step neap_answer_error(neap_exchange *exchange, int status, neap_end end) {
  exchange->end = end;
  const char *text = neap_reason_text(neap_exchange_reason(exchange));
  char *out = neap_arena_take(&exchange->arena, MESSAGE_MAX);
  if (out == NULL) return NEAP_STEP_FINISH;
  exchange->kept_alive = neap_answer_keep_alive(exchange);
  const neap_http_request *request = exchange->refusal ? NULL : &exchange->request;
  ssize_t size = neap_http_message_write(out, MESSAGE_MAX, request, status, neap_view_of(text),
                                         neap_exchange_wall_s(exchange), exchange->kept_alive);
  return deliver(exchange, status, out, size);
}

/* The answer as a backend would have sent it, so that everything that holds for responses holds for it. */
static bool parse_answer(neap_exchange *exchange, const neap_flow_answer *answer,
                         neap_http_response *response, neap_http_field *fields) {
  char *head = neap_arena_take(&exchange->arena, HEAD_MAX);
  if (head == NULL) return false;
  int size =
      snprintf(head, HEAD_MAX, "HTTP/1.1 %d %s\r\n", answer->status, neap_http_status_text(answer->status));
  if (answer->status != 204)
    size += snprintf(head + size, (size_t)(HEAD_MAX - size), "Content-Length: %zu\r\n", answer->body.size);
  const char *names[] = {"Content-Type", "Location"}, *values[] = {answer->content_type, answer->location};
  for (int i = 0; i < 2; i++)
    if (values[i] && size < HEAD_MAX)
      size += snprintf(head + size, (size_t)(HEAD_MAX - size), "%s: %s\r\n", names[i], values[i]);
  if (size < HEAD_MAX) size += snprintf(head + size, (size_t)(HEAD_MAX - size), "\r\n");
  if (size >= HEAD_MAX) return false;
  neap_http_response_init(response, fields, &neap_http_limits_default, exchange->request.method_id);
  const neap_flow_edits *own = neap_acts_response(exchange);
  return neap_http_response_parse(response, head, (size_t)size) > 0 &&
         neap_edits_apply(&exchange->route->response, &response->head) == 0 &&
         (own == NULL || neap_edits_apply(own, &response->head) == 0);
}

neap_step neap_answer_make(neap_exchange *exchange, const neap_flow_answer *answer) {
  neap_http_response response;
  neap_http_field *fields =
      neap_arena_take(&exchange->arena, neap_http_limits_default.field_count * sizeof *fields);
  const neap_flow_edits *own = neap_acts_response(exchange);
  size_t head = HEAD_MAX + NEAP_HTTP_HEAD_EXTRA + neap_edits_bytes(&exchange->route->response) +
                (own ? neap_edits_bytes(own) : 0);
  char *out = neap_arena_take(&exchange->arena, head + answer->body.size);
  if (fields == NULL || out == NULL || !parse_answer(exchange, answer, &response, fields))
    return neap_answer_error(exchange, 500, NEAP_END_TOO_LARGE);
  neap_http_reply reply = {.wall_s = neap_exchange_wall_s(exchange), .fwd = NEAP_HTTP_FWD_NONE};
  neap_http_reply_plan(&reply, &exchange->request, &response, neap_answer_keep_alive(exchange));
  ssize_t size = neap_http_response_write(out, head, &exchange->request, &response, &reply);
  if (size < 0) return neap_answer_error(exchange, 500, NEAP_END_TOO_LARGE);
  if (reply.framing != NEAP_HTTP_FRAMING_NONE && answer->body.size > 0) {
    memcpy(out + size, answer->body.ptr, answer->body.size);
    size += (ssize_t)answer->body.size;
  }
  exchange->kept_alive = reply.keep_alive;
  return deliver(exchange, answer->status, out, size);
}
