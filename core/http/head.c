/* Lines and fields of a head, read in place. */
#include "http/head.h"

const neap_http_limits neap_http_limits_default = {
    .line_bytes = 8 << 10,
    .field_bytes = 16 << 10,
    .head_bytes = 32 << 10,
    .field_count = 100,
    .extension_bytes = 1 << 10,
    .trailer_bytes = 8 << 10,
};

void neap_http_head_init(neap_http_head *head, neap_http_field *fields, const neap_http_limits *limits,
                         int phase) {
  neap_assert(limits->field_count >= 1 && limits->field_count <= NEAP_HTTP_FIELDS_MAX);
  *head = (neap_http_head){.fields = fields, .limits = limits, .phase = (uint8_t)phase};
}

int neap_http_head_refuse(neap_http_head *head, neap_http_reason reason) {
  head->phase = NEAP_HTTP_PHASE_REFUSED;
  head->reason = reason;
  return NEAP_ESYNTAX;
}

/* --- lines ------------------------------------------------------------------------------------------- */

/* The control byte at `at` ends the line, or is a reason to refuse. As neap_http_head_line. */
static int line_stop(neap_http_head *head, const char *buffer, size_t size, uint32_t at,
                     neap_http_slice *line) {
  head->cursor = at;
  if (buffer[at] == '\n') return neap_http_head_refuse(head, NEAP_HTTP_REASON_LINE_END);
  if (buffer[at] != '\r') return neap_http_head_refuse(head, NEAP_HTTP_REASON_CONTROL_BYTE);
  if (at + 1 == size) return 0;
  if (buffer[at + 1] != '\n') return neap_http_head_refuse(head, NEAP_HTTP_REASON_LINE_END);
  *line = (neap_http_slice){buffer + head->line, (int32_t)(at - head->line), 0};
  head->line = head->cursor = at + 2;
  return 1;
}

int neap_http_head_line(neap_http_head *head, const char *buffer, size_t size, neap_http_slice *line) {
  const neap_http_limits *limits = head->limits;
  bool first = head->phase != NEAP_HTTP_PHASE_FIELDS;
  uint64_t longest = head->line + (uint64_t)(first ? limits->line_bytes : limits->field_bytes);
  uint64_t room = limits->head_bytes < 2 ? 0 : limits->head_bytes - 2; /* of the head, but for this CR LF */
  uint64_t last = NEAP_MIN(longest, room);                             /* offset: here it must have ended */
  uint64_t stop = NEAP_MIN(size, last + 1);
  while (head->cursor < stop) {
    uint32_t at = head->cursor + (uint32_t)neap_http_plain_span(buffer + head->cursor, stop - head->cursor);
    head->cursor = at;
    if (at == stop) break;
    if (buffer[at] != '\t') return line_stop(head, buffer, size, at, line);
    head->cursor = at + 1;
  }
  if (head->cursor <= last) return 0;
  if (room < longest) return neap_http_head_refuse(head, NEAP_HTTP_REASON_HEAD_TOO_LONG);
  return neap_http_head_refuse(head, first ? NEAP_HTTP_REASON_START_LINE_TOO_LONG
                                           : NEAP_HTTP_REASON_FIELD_TOO_LONG);
}

/* --- fields ------------------------------------------------------------------------------------------ */

static neap_http_reason take_field(neap_http_head *head, neap_http_slice line) {
  if (neap_http_blank(line.ptr[0])) return NEAP_HTTP_REASON_FOLDED;
  size_t size = neap_http_span(line.ptr, (size_t)line.size, NEAP_HTTP_BYTE_TOKEN);
  if (size == 0 || size == (size_t)line.size || line.ptr[size] != ':') return NEAP_HTTP_REASON_FIELD_NAME;
  if (head->field_count == (int32_t)head->limits->field_count) return NEAP_HTTP_REASON_FIELD_COUNT;
  neap_http_id id = neap_http_id_of(line.ptr, size);
  neap_http_field *field = &head->fields[head->field_count++];
  field->name = (neap_http_slice){line.ptr, (int32_t)size, (int32_t)id};
  field->value = neap_http_trim(line.ptr + size + 1, line.ptr + line.size);
  if (head->first[id] == 0) head->first[id] = (uint8_t)head->field_count;
  return NEAP_HTTP_REASON_NONE;
}

int neap_http_head_fields(neap_http_head *head, const char *buffer, size_t size) {
  for (;;) {
    neap_http_slice line;
    int got = neap_http_head_line(head, buffer, size, &line);
    if (got <= 0) return got;
    if (line.size == 0) return 1;
    neap_http_reason reason = take_field(head, line);
    if (reason) return neap_http_head_refuse(head, reason);
  }
}

void neap_http_head_restart(neap_http_head *head) {
  head->field_count = 0;
  memset(head->first, 0, sizeof head->first);
  head->phase = NEAP_HTTP_PHASE_START;
}

const neap_http_field *neap_http_field_next(const neap_http_head *head, const neap_http_field *field) {
  const neap_http_field *end = head->fields + head->field_count;
  for (const neap_http_field *next = field + 1; next < end; next++)
    if (next->name.id == field->name.id) return next;
  return NULL;
}

const neap_http_field *neap_http_field_find(const neap_http_head *head, const char *name, size_t size) {
  for (int32_t i = 0; i < head->field_count; i++) {
    const neap_http_field *field = &head->fields[i];
    if (neap_http_same(field->name.ptr, (size_t)field->name.size, name, size)) return field;
  }
  return NULL;
}

/* --- moving ------------------------------------------------------------------------------------------ */

/* In integers, since the old buffer may be freed already. */
void neap_http_slice_move(neap_http_slice *slice, uintptr_t from, size_t size, const char *to) {
  uintptr_t offset = (uintptr_t)slice->ptr - from;
  if (offset < size) slice->ptr = to + offset;
}

void neap_http_head_move(neap_http_head *head, const char *to) {
  uintptr_t from = (uintptr_t)head->base;
  for (int32_t i = 0; i < head->field_count; i++) {
    neap_http_slice_move(&head->fields[i].name, from, head->line, to);
    neap_http_slice_move(&head->fields[i].value, from, head->line, to);
  }
  head->base = to;
}

/* --- what both kinds of head mean -------------------------------------------------------------------- */

neap_http_reason neap_http_version_read(neap_http_slice text, int32_t *minor) {
  const char *p = text.ptr;
  if (text.size != 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.' ||
      !neap_http_byte_is(p[5], NEAP_HTTP_BYTE_DIGIT) || !neap_http_byte_is(p[7], NEAP_HTTP_BYTE_DIGIT))
    return NEAP_HTTP_REASON_START_LINE;
  if (p[5] != '1') return NEAP_HTTP_REASON_VERSION;
  *minor = p[7] == '0' ? 0 : 1; /* a later 1.x is spoken to as 1.1 */
  return NEAP_HTTP_REASON_NONE;
}

/* The last member of a list decides; "chunked" anywhere else, or twice, never comes from a sane sender. */
static neap_http_reason odd_coding(neap_http_slice value) {
  neap_http_slice member = {0};
  int chunked = 0, count = 0;
  for (const char *cursor = value.ptr; neap_http_list_next(value, &cursor, &member); count++)
    chunked += neap_http_slice_same(member, "chunked");
  bool last = count > 0 && neap_http_slice_same(member, "chunked");
  return last && chunked == 1 && count > 1 ? NEAP_HTTP_REASON_CODING_UNKNOWN : NEAP_HTTP_REASON_CODING;
}

neap_http_reason neap_http_head_coding(const neap_http_head *head) {
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_TRANSFER_ENCODING);
  if (head->version_minor == 0) return NEAP_HTTP_REASON_CODING_VERSION;
  if (neap_http_field_next(head, field)) return NEAP_HTTP_REASON_CODING;
  if (neap_http_slice_same(field->value, "chunked")) return NEAP_HTTP_REASON_NONE;
  return odd_coding(field->value);
}

neap_http_reason neap_http_head_length(const neap_http_head *head, uint64_t *length) {
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_CONTENT_LENGTH);
  if (neap_http_field_next(head, field)) return NEAP_HTTP_REASON_LENGTH_REPEATED;
  if (neap_http_number(field->value.ptr, (size_t)field->value.size, NEAP_HTTP_LENGTH_MAX, length))
    return NEAP_HTTP_REASON_LENGTH;
  return NEAP_HTTP_REASON_NONE;
}

neap_http_reason neap_http_head_connection(neap_http_head *head) {
  bool close = false, keep = false;
  int count = 0;
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_CONNECTION);
  for (; field; field = neap_http_field_next(head, field)) {
    neap_http_slice option;
    for (const char *cursor = field->value.ptr; neap_http_list_next(field->value, &cursor, &option);) {
      if (++count > NEAP_HTTP_CONNECTION_OPTIONS_MAX) return NEAP_HTTP_REASON_CONNECTION;
      close = close || neap_http_slice_same(option, "close");
      keep = keep || neap_http_slice_same(option, "keep-alive");
    }
  }
  head->keep_alive = !close && (head->version_minor > 0 || keep);
  return NEAP_HTTP_REASON_NONE;
}
