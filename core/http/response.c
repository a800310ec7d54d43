/* The head of an origin's response: status line, interim responses, framing. */
#include "http/head.h"

void neap_http_response_init(neap_http_response *response, neap_http_field *fields,
                             const neap_http_limits *limits, neap_http_method asked) {
  *response = (neap_http_response){.asked = asked};
  neap_http_head_init(&response->head, fields, limits, NEAP_HTTP_PHASE_START);
}

/* "HTTP/1.1 200 OK". Many origins leave out the space when there is no phrase. */
static neap_http_reason take_status_line(neap_http_response *response, neap_http_slice line) {
  uint64_t status = 0;
  if (line.size < 9 || line.ptr[8] != ' ') return NEAP_HTTP_REASON_START_LINE;
  neap_http_slice version = {line.ptr, 8, 0};
  neap_http_reason reason = neap_http_version_read(version, &response->head.version_minor);
  if (reason) return reason;
  if (line.size < 12 || neap_http_number(line.ptr + 9, 3, 999, &status) || status < 100)
    return NEAP_HTTP_REASON_STATUS;
  if (line.size > 12 && line.ptr[12] != ' ') return NEAP_HTTP_REASON_STATUS;
  response->status = (int32_t)status;
  response->phrase = (neap_http_slice){line.ptr + 12, 0, 0};
  if (line.size > 13) response->phrase = (neap_http_slice){line.ptr + 13, line.size - 13, 0};
  return NEAP_HTTP_REASON_NONE;
}

static int start(neap_http_response *response, const char *buffer, size_t size) {
  neap_http_slice line;
  int got = neap_http_head_line(&response->head, buffer, size, &line);
  if (got <= 0) return got;
  neap_http_reason reason = take_status_line(response, line);
  if (!reason && response->status == 101) reason = NEAP_HTTP_REASON_SWITCHED;
  if (reason) return neap_http_head_refuse(&response->head, reason);
  response->head.phase = NEAP_HTTP_PHASE_FIELDS;
  return 1;
}

static bool has_no_body(const neap_http_response *response) {
  return response->asked == NEAP_HTTP_METHOD_HEAD || response->status == 204 || response->status == 304;
}

/* With both a coding and a length, chunked wins, the length is dropped and the connection given up. A coding
 * that is not just "chunked" is refused: nobody asked for it, and nobody here could take it off. */
static neap_http_reason check_framing(neap_http_response *response) {
  neap_http_head *head = &response->head;
  bool coded = head->first[NEAP_HTTP_ID_TRANSFER_ENCODING] != 0;
  neap_http_reason reason = NEAP_HTTP_REASON_NONE;
  if (head->first[NEAP_HTTP_ID_CONTENT_LENGTH]) {
    reason = neap_http_head_length(head, &head->content_length);
    head->has_length = !coded && response->status != 204;
    head->keep_alive = head->keep_alive && !coded;
  }
  if (!reason && coded) reason = neap_http_head_coding(head);
  if (!head->has_length) head->content_length = 0;
  if (has_no_body(response))
    head->framing = NEAP_HTTP_FRAMING_NONE;
  else if (coded)
    head->framing = NEAP_HTTP_FRAMING_CHUNKED;
  else if (head->has_length)
    head->framing = NEAP_HTTP_FRAMING_LENGTH;
  else
    head->framing = NEAP_HTTP_FRAMING_CLOSE;
  if (head->framing == NEAP_HTTP_FRAMING_CLOSE) head->keep_alive = false;
  return reason;
}

static neap_http_reason check(neap_http_response *response) {
  neap_http_reason reason = neap_http_head_connection(&response->head);
  return reason ? reason : check_framing(response);
}

void neap_http_response_move(neap_http_response *response, const char *to) {
  neap_http_slice_move(&response->phrase, (uintptr_t)response->head.base, response->head.line, to);
  neap_http_head_move(&response->head, to);
}

ssize_t neap_http_response_parse(neap_http_response *response, const char *buffer, size_t size) {
  neap_http_head *head = &response->head;
  neap_assert(head->phase < NEAP_HTTP_PHASE_COMPLETE);
  if (head->base == NULL) head->base = buffer;
  if (head->base != buffer) neap_http_response_move(response, buffer);
  for (;;) {
    int got = 1;
    if (head->phase == NEAP_HTTP_PHASE_START) got = start(response, buffer, size);
    if (got > 0) got = neap_http_head_fields(head, buffer, size);
    if (got <= 0) return got;
    if (response->status >= 200) break;
    response->interim_count++;
    neap_http_head_restart(head);
  }
  neap_http_reason reason = check(response);
  if (reason) return neap_http_head_refuse(head, reason);
  head->phase = NEAP_HTTP_PHASE_COMPLETE;
  return (ssize_t)head->line;
}
