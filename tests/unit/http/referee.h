/* A second opinion: llhttp reads the same head. Whatever Neap's own parser accepts, llhttp must accept too,
 * and understand alike. The other way round does not hold: Neap refuses more. */
#ifndef NEAP_TESTS_HTTP_REFEREE_H
#define NEAP_TESTS_HTTP_REFEREE_H

#include <stdio.h>

#include <llhttp.h>

#include "http/http.h"

typedef struct referee {
  neap_http_slice start; /* target or phrase */
  int count;
  neap_http_field fields[NEAP_HTTP_FIELDS_MAX];
} referee;

static inline int referee_start(llhttp_t *parser, const char *at, size_t size) {
  ((referee *)parser->data)->start = (neap_http_slice){at, (int32_t)size, 0};
  return 0;
}

static inline int referee_name(llhttp_t *parser, const char *at, size_t size) {
  referee *seen = parser->data;
  seen->fields[seen->count] = (neap_http_field){.name = {at, (int32_t)size, 0}, .value = {at, 0, 0}};
  return 0;
}

static inline int referee_value(llhttp_t *parser, const char *at, size_t size) {
  referee *seen = parser->data;
  while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
    size--; /* it leaves white space at the end */
  seen->fields[seen->count].value = (neap_http_slice){at, (int32_t)size, 0};
  return 0;
}

static inline int referee_field(llhttp_t *parser) {
  ((referee *)parser->data)->count++;
  return 0;
}

static inline int referee_complete(llhttp_t *parser) {
  (void)parser;
  return HPE_PAUSED;
}

/* Reads one head. NULL, or why it is refused. */
static inline const char *referee_read(referee *seen, llhttp_t *parser, llhttp_type_t type, const char *head,
                                       size_t size) {
  static const llhttp_settings_t settings = {.on_url = referee_start,
                                             .on_status = referee_start,
                                             .on_header_field = referee_name,
                                             .on_header_value = referee_value,
                                             .on_header_value_complete = referee_field,
                                             .on_headers_complete = referee_complete};
  llhttp_init(parser, type, &settings);
  parser->data = seen;
  seen->count = 0;
  seen->start = (neap_http_slice){"", 0, 0};
  llhttp_errno_t code = llhttp_execute(parser, head, size);
  return code == HPE_PAUSED ? NULL : llhttp_get_error_reason(parser);
}

static inline bool referee_same(neap_http_slice a, neap_http_slice b) {
  return a.size == b.size && memcmp(a.ptr, b.ptr, (size_t)a.size) == 0;
}

/* NULL, or what the two understand differently. */
static inline const char *referee_compare(const referee *seen, const llhttp_t *parser,
                                          const neap_http_head *head) {
  if (seen->count != head->field_count) return "the number of fields";
  for (int32_t i = 0; i < head->field_count; i++) {
    if (!referee_same(seen->fields[i].name, head->fields[i].name)) return "a name";
    if (!referee_same(seen->fields[i].value, head->fields[i].value)) return "a value";
  }
  if (((parser->flags & F_CHUNKED) != 0) != (head->first[NEAP_HTTP_ID_TRANSFER_ENCODING] != 0))
    return "the coding";
  if (head->has_length && parser->content_length != head->content_length) return "the length";
  return NULL;
}

/* llhttp refuses a tab behind a length, which is white space like any other. */
static inline bool referee_reads_length(const neap_http_head *head) {
  int32_t place = head->first[NEAP_HTTP_ID_CONTENT_LENGTH];
  if (place == 0) return true;
  const char *end = head->fields[place - 1].value.ptr + head->fields[place - 1].value.size;
  return end[strspn(end, " ")] != '\t';
}

/* Of a response with both a coding and a length llhttp refuses some, by the order; here chunked wins. */
static inline bool referee_may_judge_response(const neap_http_response *response, const char *head) {
  const neap_http_head *fields = &response->head;
  bool coded = fields->first[NEAP_HTTP_ID_TRANSFER_ENCODING] != 0;
  bool measured = fields->first[NEAP_HTTP_ID_CONTENT_LENGTH] != 0;
  return response->interim_count == 0 && head[7] <= '1' && !(coded && measured) &&
         referee_reads_length(fields);
}

/* llhttp knows a list of methods and two versions, and has protocols of its own for some of the methods. */
static inline bool referee_may_judge(const neap_http_request *request) {
  return request->method_id != NEAP_HTTP_METHOD_OTHER && referee_reads_length(&request->head) &&
         (request->head.base == NULL || request->target.ptr[request->target.size + 8] <= '1');
}

static inline const char *referee_of_request(const neap_http_request *request, const char *head,
                                             size_t size) {
  referee seen;
  llhttp_t parser;
  if (!referee_may_judge(request)) return NULL;
  const char *refused = referee_read(&seen, &parser, HTTP_REQUEST, head, size);
  if (refused) return refused;
  if (!referee_same(seen.start, request->target)) return "the target";
  return referee_compare(&seen, &parser, &request->head);
}

static inline const char *referee_of_response(const neap_http_response *response, const char *head,
                                              size_t size) {
  referee seen;
  llhttp_t parser;
  if (!referee_may_judge_response(response, head)) return NULL;
  const char *refused = referee_read(&seen, &parser, HTTP_RESPONSE, head, size);
  if (refused) return refused;
  if (!referee_same(seen.start, response->phrase)) return "the phrase";
  if (parser.status_code != response->status) return "the status";
  return referee_compare(&seen, &parser, &response->head);
}

#endif
