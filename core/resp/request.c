/* Requests, as a server reads them: "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", or a line of words typed by hand.
 *
 * Where Redis is lenient (a missing line feed after a length, junk behind a string), this is not: what is
 * between two requests could otherwise be read as one.
 */
#include "resp/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "resp/number.h"

enum { END = 2 };

static int refuse(neap_resp_request *request, int code, const char *fault) {
  request->fault = fault;
  return code;
}

static int refuse_byte(neap_resp_request *request, char byte) {
  snprintf(request->fault_text, sizeof request->fault_text, "Protocol error: expected '$', got '%c'", byte);
  return refuse(request, NEAP_ESYNTAX, request->fault_text);
}

void neap_resp_request_init(neap_resp_request *request, const neap_resp_limits *limits) {
  request->limits = limits;
  request->args = request->few;
  request->room = NEAP_RESP_ARGS_INLINE;
  neap_resp_request_reset(request);
}

void neap_resp_request_reset(neap_resp_request *request) {
  request->fault = NULL;
  request->at = request->searched = request->claimed = request->count = request->bulk_size = 0;
  request->in_array = request->in_bulk = false;
}

void neap_resp_request_fini(neap_resp_request *request) {
  if (request->args != request->few) free(request->args);
  request->args = request->few;
  request->room = NEAP_RESP_ARGS_INLINE;
}

/* Grows by what has arrived, never by what was announced. */
static bool add_arg(neap_resp_request *request, size_t from, size_t size) {
  if (request->count == request->room) {
    bool few = request->args == request->few;
    neap_resp_span *more = realloc(few ? NULL : request->args, 2 * request->room * sizeof *more);
    if (more == NULL) return false;
    if (few) memcpy(more, request->few, sizeof request->few);
    request->args = more;
    request->room *= 2;
  }
  request->args[request->count++] = (neap_resp_span){from, size};
  return true;
}

/* Where the line at `at` ends; 0: not there yet. */
static ssize_t find_end(neap_resp_request *request, const char *bytes, size_t size, char end_mark,
                        const char *too_long) {
  size_t from = NEAP_MAX(request->searched, request->at);
  const char *end = from < size ? memchr(bytes + from, end_mark, size - from) : NULL;
  request->searched = end ? (size_t)(end - bytes) : NEAP_MAX(from, size);
  if (request->searched - request->at > request->limits->line_bytes)
    return refuse(request, NEAP_ETOOLARGE, too_long);
  if (end == NULL) return 0;
  if (end_mark == '\n') return (ssize_t)(end - bytes);
  if (request->searched + 1 == size) return 0;
  if (end[1] != '\n') return refuse(request, NEAP_ESYNTAX, "Protocol error: a line has a wrong end");
  return (ssize_t)request->searched;
}

/* A number of few digits that is there with the end of its line, as nearly all are: where the next line
 * begins; 0: look closely. */
static inline size_t read_short(const char *bytes, size_t at, size_t size, int64_t *out) {
  enum { FEW = 6 };
  if (size - at < FEW + END) return 0;
  unsigned first = (unsigned char)bytes[at] - (unsigned)'0', digit;
  if (first > 9) return 0;
  int64_t number = first;
  size_t end = at + 1;
  for (; end < at + FEW && (digit = (unsigned char)bytes[end] - (unsigned)'0') <= 9; end++)
    number = number * 10 + digit;
  if (bytes[end] != '\r' || bytes[end + 1] != '\n' || (first == 0 && end > at + 1)) return 0;
  *out = number;
  return end + END;
}

/* The number in the line at `at`, which is left behind; 1, 0 or an error. */
static int take_length(neap_resp_request *request, const char *bytes, size_t size, const char *wrong,
                       const char *too_long, int64_t *out) {
  size_t next = read_short(bytes, request->at + 1, size, out);
  if (next > 0 && next - END - request->at <= request->limits->line_bytes) {
    request->at = next;
    return 1;
  }
  ssize_t end = find_end(request, bytes, size, '\r', too_long);
  if (end <= 0) return (int)end;
  if (!resp_read_number(bytes + request->at + 1, bytes + end, out))
    return refuse(request, NEAP_ESYNTAX, wrong);
  request->at = (size_t)end + END;
  return 1;
}

/* --- arrays of bulk strings */

static int take_head(neap_resp_request *request, const char *bytes, size_t size) {
  int64_t count;
  int got = take_length(request, bytes, size, "Protocol error: invalid multibulk length",
                        "Protocol error: too big mbulk count string", &count);
  if (got <= 0) return got;
  if (count > 0 && (uint64_t)count > request->limits->element_count)
    return refuse(request, NEAP_ETOOLARGE, "Protocol error: invalid multibulk length");
  request->claimed = count > 0 ? (size_t)count : 0;
  request->in_array = true;
  return 1;
}

static int take_bulk_head(neap_resp_request *request, const char *bytes, size_t size) {
  int64_t length;
  if (request->at == size) return 0;
  if (bytes[request->at] != '$') return refuse_byte(request, bytes[request->at]);
  int got = take_length(request, bytes, size, "Protocol error: invalid bulk length",
                        "Protocol error: too big bulk count string", &length);
  if (got <= 0) return got;
  if (length < 0) return refuse(request, NEAP_ESYNTAX, "Protocol error: invalid bulk length");
  if ((uint64_t)length > request->limits->bulk_bytes ||
      request->at + (size_t)length + END > request->limits->total_bytes)
    return refuse(request, NEAP_ETOOLARGE, "Protocol error: invalid bulk length");
  request->bulk_size = (size_t)length;
  request->in_bulk = true;
  return 1;
}

static int take_bulk(neap_resp_request *request, const char *bytes, size_t size) {
  size_t end = request->at + request->bulk_size;
  if (size < end + END) return 0;
  if (bytes[end] != '\r' || bytes[end + 1] != '\n')
    return refuse(request, NEAP_ESYNTAX, "Protocol error: a string has a wrong end");
  if (!add_arg(request, request->at, request->bulk_size)) return refuse(request, NEAP_ENOMEM, NULL);
  request->at = end + END;
  request->in_bulk = false;
  return 1;
}

static ssize_t read_array(neap_resp_request *request, const char *bytes, size_t size) {
  int got = 1;
  if (!request->in_array) got = take_head(request, bytes, size);
  while (got > 0 && request->count < request->claimed) {
    if (!request->in_bulk) got = take_bulk_head(request, bytes, size);
    if (got > 0) got = take_bulk(request, bytes, size);
  }
  return got > 0 ? (ssize_t)request->at : got;
}

/* --- lines of words */

static int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' || c == '\0';
}

/* What "\..." within double quotes stands for; moves `*at` to its last byte. */
static char unescape(const char *bytes, size_t end, size_t *at) {
  static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
  size_t next = *at + 1;
  if (bytes[next] == 'x' && next + 2 < end && hex(bytes[next + 1]) >= 0 && hex(bytes[next + 2]) >= 0) {
    *at = next + 2;
    return (char)(hex(bytes[next + 1]) * 16 + hex(bytes[next + 2]));
  }
  *at = next;
  const char *known = bytes[next] ? strchr(from, bytes[next]) : NULL;
  return known ? to[known - from] : bytes[next];
}

/* Unquotes to `*to` from behind the quote at `*at`. The closing one must end the word. */
static bool take_quoted(char *bytes, size_t end, size_t *at, size_t *to) {
  char quote = bytes[(*at)++];
  for (; *at < end && bytes[*at] != quote; (*at)++) {
    char c = bytes[*at];
    if (c == '\\' && *at + 1 < end) {
      if (quote == '"')
        c = unescape(bytes, end, at);
      else if (bytes[*at + 1] == '\'')
        c = bytes[++*at];
    }
    bytes[(*to)++] = c;
  }
  if (*at >= end) return false;
  (*at)++;
  return *at == end || is_blank(bytes[*at]);
}

static int take_word(neap_resp_request *request, char *bytes, size_t end) {
  size_t from = request->at, to = from, at = from;
  while (at < end && !is_blank(bytes[at])) {
    if (bytes[at] != '"' && bytes[at] != '\'')
      bytes[to++] = bytes[at++];
    else if (!take_quoted(bytes, end, &at, &to))
      return refuse(request, NEAP_ESYNTAX, "Protocol error: unbalanced quotes in request");
  }
  if (request->count >= request->limits->element_count)
    return refuse(request, NEAP_ETOOLARGE, "Protocol error: too many words");
  if (!add_arg(request, from, to - from)) return refuse(request, NEAP_ENOMEM, NULL);
  request->at = at;
  return 0;
}

static ssize_t read_line(neap_resp_request *request, char *bytes, size_t size) {
  ssize_t end = find_end(request, bytes, size, '\n', "Protocol error: too big inline request");
  if (end <= 0 && !(end == 0 && size > 0 && bytes[0] == '\n')) return end;
  for (;;) {
    while (request->at < (size_t)end && is_blank(bytes[request->at])) request->at++;
    if (request->at == (size_t)end) return end + 1;
    int code = take_word(request, bytes, (size_t)end);
    if (code) return code;
  }
}

ssize_t neap_resp_request_more(neap_resp_request *request, char *bytes, size_t size) {
  if (size == 0) return 0;
  return request->in_array || bytes[0] == '*' ? read_array(request, bytes, size)
                                              : read_line(request, bytes, size);
}
