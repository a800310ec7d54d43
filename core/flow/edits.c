/* A route's changes to the fields of a head. Framing and hop-by-hop fields are not theirs to change: the
 * configuration refuses them, and the writers make them anew anyway. */
#include "flow/steps.h"

static void drop_name(neap_http_head *head, const char *name) {
  size_t size = strlen(name);
  int32_t kept = 0;
  for (int32_t i = 0; i < head->field_count; i++) {
    const neap_http_slice *have = &head->fields[i].name;
    if (!neap_http_same(have->ptr, (size_t)have->size, name, size)) head->fields[kept++] = head->fields[i];
  }
  head->field_count = kept;
}

static int add(neap_http_head *head, const char *name, neap_view value) {
  if ((uint32_t)head->field_count >= head->limits->field_count) return NEAP_ETOOLARGE;
  neap_http_id id = neap_http_id_of(name, strlen(name));
  head->fields[head->field_count++] = (neap_http_field){
      .name = {.ptr = name, .size = (int32_t)strlen(name), .id = (int32_t)id},
      .value = {.ptr = value.ptr, .size = (int32_t)value.size},
  };
  return 0;
}

static int add_field(neap_http_head *head, const neap_match_field *field) {
  return add(head, field->name, neap_view_of(field->value));
}

int neap_edits_add(neap_http_head *head, const char *name, neap_view value) {
  int code = add(head, name, value);
  neap_edits_index(head);
  return code;
}

void neap_edits_index(neap_http_head *head) {
  memset(head->first, 0, sizeof head->first);
  for (int32_t i = head->field_count - 1; i >= 0; i--)
    head->first[head->fields[i].name.id] = (uint8_t)(i + 1);
}

int neap_edits_apply(const neap_flow_edits *edits, neap_http_head *head) {
  if (!neap_edits_any(edits)) return 0;
  for (size_t i = 0; i < edits->remove_count; i++) drop_name(head, edits->remove[i]);
  for (size_t i = 0; i < edits->set_count; i++) drop_name(head, edits->set[i].name);
  int code = 0;
  for (size_t i = 0; i < edits->set_count && code == 0; i++) code = add_field(head, &edits->set[i]);
  for (size_t i = 0; i < edits->add_count && code == 0; i++) code = add_field(head, &edits->add[i]);
  neap_edits_index(head);
  return code;
}

static size_t fields_bytes(const neap_match_field *fields, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++)
    bytes += strlen(fields[i].name) + strlen(fields[i].value) + sizeof ": \r\n";
  return bytes;
}

size_t neap_edits_bytes(const neap_flow_edits *edits) {
  return fields_bytes(edits->set, edits->set_count) + fields_bytes(edits->add, edits->add_count);
}
