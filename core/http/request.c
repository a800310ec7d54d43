/* The head of a request: request line, target, host, framing. */
#include "http/head.h"

#include "base/host.h"

enum { EMPTY_LINES_MAX = 4 }; /* before the request line: some clients send one after a body */

void neap_http_request_init(neap_http_request *request, neap_http_field *fields,
                            const neap_http_limits *limits) {
  const neap_http_slice none = {"", 0, 0}; /* so that no view is NULL */
  *request = (neap_http_request){
      .method = none, .target = none, .path = none, .query = none, .authority = none, .host = none};
  neap_http_head_init(&request->head, fields, limits, NEAP_HTTP_PHASE_EMPTY);
}

/* --- host -------------------------------------------------------------------------------------------- */

static bool ipv6_literal(const char *text, size_t size) {
  size_t colons = 0;
  if (size < 4 || text[0] != '[' || text[size - 1] != ']') return false;
  for (size_t i = 1; i < size - 1; i++) {
    char byte = neap_http_lower(text[i]);
    bool hex = neap_http_byte_is(byte, NEAP_HTTP_BYTE_DIGIT) || (byte >= 'a' && byte <= 'f');
    colons += byte == ':';
    if (!hex && byte != ':' && byte != '.') return false;
  }
  return colons >= 2;
}

/* Splits host[:port]; only names of DNS and addresses pass. A port may be empty, as in "a:"; the dot at the
 * end of a name makes no difference. */
static bool take_authority(neap_http_request *request, neap_http_slice authority) {
  const char *text = authority.ptr, *end = text + authority.size;
  const char *bracket = authority.size > 0 && *text == '[' ? memchr(text, ']', (size_t)authority.size) : NULL;
  size_t host = bracket ? (size_t)(bracket + 1 - text)
                        : neap_http_span(text, (size_t)authority.size, NEAP_HTTP_BYTE_HOST);
  uint64_t port = 0;
  if (host == 0 || (bracket && !ipv6_literal(text, host))) return false;
  if (text + host < end) {
    const char *digits = text + host + 1;
    if (text[host] != ':') return false;
    if (digits < end && (neap_http_number(digits, (size_t)(end - digits), 65535, &port) || port == 0))
      return false;
  }
  if (text[host - 1] == '.') host--;
  if (host == 0 || host > NEAP_HOST_MAX) return false;
  request->authority = authority;
  request->host = (neap_http_slice){text, (int32_t)host, 0};
  request->port = (int32_t)port;
  return true;
}

/* The authority of an absolute target replaces Host, which must be right all the same. */
static neap_http_reason check_host(neap_http_request *request) {
  const neap_http_field *host = neap_http_field_first(&request->head, NEAP_HTTP_ID_HOST);
  neap_http_request unused;
  if (!host) return request->head.version_minor > 0 ? NEAP_HTTP_REASON_HOST_MISSING : NEAP_HTTP_REASON_NONE;
  if (neap_http_field_next(&request->head, host)) return NEAP_HTTP_REASON_HOST_REPEATED;
  if (!take_authority(request->absolute ? &unused : request, host->value)) return NEAP_HTTP_REASON_HOST;
  return NEAP_HTTP_REASON_NONE;
}

/* --- request line ------------------------------------------------------------------------------------ */

static neap_http_method method_of(neap_http_slice text) {
#define METHOD(NAME, safe)                                                                                   \
  if (neap_http_slice_is(text, #NAME)) return NEAP_HTTP_METHOD_##NAME;
  NEAP_HTTP_METHODS(METHOD)
#undef METHOD
  return NEAP_HTTP_METHOD_OTHER;
}

/* Splits what stands after the authority; `text` is empty, or starts with "/" or "?". */
static void take_path(neap_http_request *request, const char *text, const char *end) {
  const char *mark = memchr(text, '?', (size_t)(end - text));
  const char *path_end = mark ? mark : end;
  request->path = (neap_http_slice){text, (int32_t)(path_end - text), 0};
  if (path_end == text) {
    bool whole_server = request->method_id == NEAP_HTTP_METHOD_OPTIONS && !mark;
    request->path = (neap_http_slice){whole_server ? "*" : "/", 1, 0};
  }
  request->odd_path = neap_http_path_is_odd(request->path);
  request->has_query = mark != NULL;
  if (mark) request->query = (neap_http_slice){mark + 1, (int32_t)(end - mark - 1), 0};
}

static bool take_absolute(neap_http_request *request) {
  const char *text = request->target.ptr, *end = text + request->target.size;
  size_t size = (size_t)request->target.size;
  size_t scheme = size > 7 && neap_http_same(text, 7, "http://", 7)    ? 7
                  : size > 8 && neap_http_same(text, 8, "https://", 8) ? 8
                                                                       : 0;
  if (scheme == 0) return false;
  const char *path = text + scheme;
  while (path < end && *path != '/' && *path != '?') path++;
  neap_http_slice authority = {text + scheme, (int32_t)(path - text - (ptrdiff_t)scheme), 0};
  if (!take_authority(request, authority)) return false;
  request->absolute = true;
  take_path(request, path, end);
  return true;
}

static bool take_target(neap_http_request *request) {
  neap_http_slice target = request->target;
  size_t size = (size_t)target.size;
  if (size == 0 || neap_http_span(target.ptr, size, NEAP_HTTP_BYTE_TARGET) != size) return false;
  if (target.ptr[0] == '/') {
    take_path(request, target.ptr, target.ptr + size);
    return true;
  }
  if (neap_http_slice_is(target, "*") && request->method_id == NEAP_HTTP_METHOD_OPTIONS) {
    request->path = target;
    return true;
  }
  return take_absolute(request);
}

/* Exactly one space between the three parts. */
static neap_http_reason take_request_line(neap_http_request *request, neap_http_slice line) {
  const char *end = line.ptr + line.size;
  const char *first = memchr(line.ptr, ' ', (size_t)line.size);
  const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
  if (!second) return NEAP_HTTP_REASON_START_LINE;
  neap_http_slice version = {second + 1, (int32_t)(end - second - 1), 0};
  request->method = (neap_http_slice){line.ptr, (int32_t)(first - line.ptr), 0};
  request->target = (neap_http_slice){first + 1, (int32_t)(second - first - 1), 0};
  if (!neap_http_token(request->method)) return NEAP_HTTP_REASON_METHOD;
  neap_http_reason reason = neap_http_version_read(version, &request->head.version_minor);
  if (reason) return reason;
  request->method_id = method_of(request->method);
  if (request->method_id == NEAP_HTTP_METHOD_CONNECT || request->method_id == NEAP_HTTP_METHOD_TRACE)
    return NEAP_HTTP_REASON_METHOD_REFUSED;
  if (!take_target(request)) return NEAP_HTTP_REASON_TARGET;
  bool ambiguous = request->odd_path && neap_http_path_is_ambiguous(request->path);
  return ambiguous ? NEAP_HTTP_REASON_PATH : NEAP_HTTP_REASON_NONE;
}

/* Reads lines until the request line has been taken. 1, 0, NEAP_ESYNTAX as neap_http_head_line. */
static int start(neap_http_request *request, const char *buffer, size_t size) {
  neap_http_head *head = &request->head;
  neap_http_slice line;
  for (;;) {
    int got = neap_http_head_line(head, buffer, size, &line);
    if (got <= 0) return got;
    if (line.size > 0) break;
    if (head->line > EMPTY_LINES_MAX * 2) return neap_http_head_refuse(head, NEAP_HTTP_REASON_EMPTY_LINES);
  }
  neap_http_reason reason = take_request_line(request, line);
  if (reason) return neap_http_head_refuse(head, reason);
  head->phase = NEAP_HTTP_PHASE_FIELDS;
  return 1;
}

/* --- meaning ----------------------------------------------------------------------------------------- */

static neap_http_reason check_framing(neap_http_request *request) {
  neap_http_head *head = &request->head;
  bool coded = head->first[NEAP_HTTP_ID_TRANSFER_ENCODING] != 0;
  bool sized = head->first[NEAP_HTTP_ID_CONTENT_LENGTH] != 0;
  if (!coded && !sized) return NEAP_HTTP_REASON_NONE;
  if (coded) {
    neap_http_reason reason = neap_http_head_coding(head);
    head->framing = NEAP_HTTP_FRAMING_CHUNKED;
    return reason ? reason : sized ? NEAP_HTTP_REASON_LENGTH_AND_CODING : NEAP_HTTP_REASON_NONE;
  }
  head->framing = NEAP_HTTP_FRAMING_LENGTH;
  head->has_length = true;
  return neap_http_head_length(head, &head->content_length);
}

/* HTTP/1.0 knows no expectations: they are ignored, and dropped on the way to the origin. */
static neap_http_reason check_expectation(neap_http_request *request) {
  neap_http_head *head = &request->head;
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_EXPECT);
  if (!field || head->version_minor == 0) return NEAP_HTTP_REASON_NONE;
  for (; field; field = neap_http_field_next(head, field))
    if (!neap_http_slice_same(field->value, "100-continue")) return NEAP_HTTP_REASON_EXPECTATION;
  request->expect_continue = head->framing == NEAP_HTTP_FRAMING_CHUNKED || head->content_length > 0;
  return NEAP_HTTP_REASON_NONE;
}

static neap_http_reason check(neap_http_request *request) {
  neap_http_reason reason = check_host(request);
  if (!reason) reason = check_framing(request);
  if (!reason) reason = neap_http_head_connection(&request->head);
  if (!reason) reason = check_expectation(request);
  return reason;
}

void neap_http_request_move(neap_http_request *request, const char *to) {
  neap_http_slice *slices[] = {&request->method, &request->target,    &request->path,
                               &request->query,  &request->authority, &request->host};
  for (size_t i = 0; i < NEAP_COUNT_OF(slices); i++)
    neap_http_slice_move(slices[i], (uintptr_t)request->head.base, request->head.line, to);
  neap_http_head_move(&request->head, to);
}

ssize_t neap_http_request_parse(neap_http_request *request, const char *buffer, size_t size) {
  neap_http_head *head = &request->head;
  neap_assert(head->phase < NEAP_HTTP_PHASE_COMPLETE);
  if (head->base == NULL) head->base = buffer;
  if (head->base != buffer) neap_http_request_move(request, buffer);
  int got = 1;
  if (head->phase < NEAP_HTTP_PHASE_FIELDS) got = start(request, buffer, size);
  if (got > 0) got = neap_http_head_fields(head, buffer, size);
  if (got <= 0) return got;
  neap_http_reason reason = check(request);
  if (reason) return neap_http_head_refuse(head, reason);
  head->phase = NEAP_HTTP_PHASE_COMPLETE;
  return (ssize_t)head->line;
}
