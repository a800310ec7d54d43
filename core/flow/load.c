/* Load reports in the heads of responses. */
#include "flow/steps.h"

bool neap_load_report_of(const neap_http_head *head, neap_report *out) {
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_ENDPOINT_LOAD_METRICS);
  if (NEAP_LIKELY(field == NULL))
    field = neap_http_field_first(head, NEAP_HTTP_ID_ENDPOINT_LOAD_METRICS_JSON);
  if (NEAP_LIKELY(field == NULL)) return false;
  return neap_report_parse((neap_view){field->value.ptr, (size_t)field->value.size}, out);
}
