/* Replies: where a value ends, found once, and views of what is in it, taken as often as wanted.
 *
 * A value is a head line ("$5", "*2", ":17") and what it announces: bytes, or further values. Those that are
 * open form a stack of counts; nothing else is remembered.
 */
#include "resp/resp.h"

#include <string.h>

#include "base/base.h"
#include "resp/number.h"

const neap_resp_limits neap_resp_limits_default = {.total_bytes = 512u << 20,
                                                   .bulk_bytes = 512u << 20,
                                                   .line_bytes = 65536,
                                                   .element_count = 1 << 20,
                                                   .depth = 8};

enum { END = 2 }; /* "\r\n" */

static bool is_aggregate(char mark) {
  return mark == '*' || mark == '%' || mark == '~' || mark == '>' || mark == '|';
}

static int refuse(neap_resp_scan *scan, int code, const char *fault) {
  scan->fault = fault;
  return code;
}

void neap_resp_scan_init(neap_resp_scan *scan, const neap_resp_limits *limits) {
  neap_debug_assert(limits->depth <= NEAP_RESP_DEPTH_MAX);
  scan->limits = limits;
  scan->fault = NULL;
  scan->at = scan->searched = scan->bulk_end = scan->elements = 0;
  scan->depth = 0;
}

size_t neap_resp_scan_wanted(const neap_resp_scan *scan) {
  size_t line_end = NEAP_MAX(scan->at + 1, scan->searched + END);
  return NEAP_MAX(scan->bulk_end, line_end);
}

/* --- one head */

static bool is_number_text(const char *from, const char *to) {
  from += from < to && (*from == '-' || *from == '+');
  if (from == to) return false;
  for (; from < to; from++)
    if (*from < '0' || *from > '9') return false;
  return true;
}

/* "1", "-1.5", "1e-7", "inf", "nan": what a conversion will accept, not more. */
static bool is_double_text(const char *from, const char *to) {
  if (to - from == 3 && memcmp(from, "nan", 3) == 0) return true;
  from += from < to && (*from == '-' || *from == '+');
  if (to - from == 3 && memcmp(from, "inf", 3) == 0) return true;
  int digits = 0;
  while (from < to && *from >= '0' && *from <= '9') from++, digits++;
  from += from < to && *from == '.';
  while (from < to && *from >= '0' && *from <= '9') from++, digits++;
  if (digits == 0) return false;
  if (from == to) return true;
  return (*from == 'e' || *from == 'E') && is_number_text(from + 1, to);
}

/* What a line says that announces nothing. */
static bool is_plain(char mark, const char *from, const char *to) {
  int64_t number;
  switch (mark) {
  case '+':
  case '-': return memchr(from, '\n', (size_t)(to - from)) == NULL;
  case ':': return resp_read_number(from, to, &number);
  case '_': return from == to;
  case '#': return to - from == 1 && (*from == 't' || *from == 'f');
  case ',': return is_double_text(from, to);
  case '(': return is_number_text(from, to);
  default: return false;
  }
}

/* The value that has just ended may be the last of what is open, and so on. True: of everything. */
static bool close_value(neap_resp_scan *scan) {
  while (scan->depth > 0) {
    if (--scan->open[scan->depth - 1].left > 0) return false;
    if (scan->open[--scan->depth].attribute) return false; /* stands before a value, and is none */
  }
  return true;
}

/* 1: the value that began has ended. 0: it goes on. */
static int open_string(neap_resp_scan *scan, char mark, int64_t length, size_t next) {
  if (length == -1 && mark == '$') {
    scan->at = next;
    return 1;
  }
  if (length < 0 || (mark == '=' && length < 4))
    return refuse(scan, NEAP_ESYNTAX, "a wrong length of a string");
  if ((uint64_t)length > scan->limits->bulk_bytes || next + (size_t)length + END > scan->limits->total_bytes)
    return refuse(scan, NEAP_ETOOLARGE, "a string is too long");
  scan->bulk_end = next + (size_t)length + END;
  return 0;
}

static int open_aggregate(neap_resp_scan *scan, char mark, int64_t length, size_t next) {
  if (mark == '>' && scan->depth > 0) return refuse(scan, NEAP_ESYNTAX, "a push message inside a value");
  if (length < 0 && !(mark == '*' && length == -1))
    return refuse(scan, NEAP_ESYNTAX, "a wrong count of elements");
  scan->at = next;
  if (length <= 0) return mark != '|'; /* an attribute without pairs is nothing */
  size_t limit = scan->limits->element_count - scan->elements, each = mark == '%' || mark == '|' ? 2 : 1;
  if ((uint64_t)length > limit / each) return refuse(scan, NEAP_ETOOLARGE, "too many elements");
  if (scan->depth >= NEAP_MIN(scan->limits->depth, (unsigned)NEAP_RESP_DEPTH_MAX))
    return refuse(scan, NEAP_ETOOLARGE, "arrays lie too deep in each other");
  scan->elements += (size_t)length * each;
  scan->open[scan->depth].left = (size_t)length * each;
  scan->open[scan->depth++].attribute = mark == '|';
  return 0;
}

static int open_value(neap_resp_scan *scan, const char *bytes, size_t line_end) {
  char mark = bytes[scan->at];
  const char *from = bytes + scan->at + 1, *to = bytes + line_end;
  size_t next = line_end + END;
  int64_t length;
  if (mark == '$' || mark == '!' || mark == '=' || is_aggregate(mark)) {
    if (!resp_read_number(from, to, &length)) return refuse(scan, NEAP_ESYNTAX, "a length is no number");
    return is_aggregate(mark) ? open_aggregate(scan, mark, length, next)
                              : open_string(scan, mark, length, next);
  }
  if (!is_plain(mark, from, to)) return refuse(scan, NEAP_ESYNTAX, "this is not the protocol of Redis");
  scan->at = next;
  return 1;
}

/* --- lines */

static bool is_mark(char c) {
  return c != '\0' && strchr("+-:$*_#,(!=%~>|", c) != NULL;
}

/* Where the line at `at` ends, or 0 where its end is not there yet. */
static ssize_t find_end(neap_resp_scan *scan, const char *bytes, size_t size) {
  if (scan->at == size) return 0;
  if (!is_mark(bytes[scan->at])) return refuse(scan, NEAP_ESYNTAX, "this is not the protocol of Redis");
  size_t from = NEAP_MAX(scan->searched, scan->at + 1);
  const char *end = from < size ? memchr(bytes + from, '\r', size - from) : NULL;
  scan->searched = end ? (size_t)(end - bytes) : size;
  if (scan->searched - scan->at > scan->limits->line_bytes)
    return refuse(scan, NEAP_ETOOLARGE, "a line is too long");
  if (end == NULL || scan->searched + 1 == size) return 0;
  if (end[1] != '\n') return refuse(scan, NEAP_ESYNTAX, "a line has a wrong end");
  if (scan->searched + END > scan->limits->total_bytes)
    return refuse(scan, NEAP_ETOOLARGE, "a value is too long");
  return (ssize_t)scan->searched;
}

/* The string under way: 1 when it is whole. */
static int end_string(neap_resp_scan *scan, const char *bytes, size_t size) {
  if (size < scan->bulk_end) return 0;
  if (memcmp(bytes + scan->bulk_end - END, "\r\n", END) != 0)
    return refuse(scan, NEAP_ESYNTAX, "a string has a wrong end");
  scan->at = scan->bulk_end;
  scan->bulk_end = 0;
  return 1;
}

ssize_t neap_resp_scan_more(neap_resp_scan *scan, const char *bytes, size_t size) {
  for (;;) {
    int ended;
    if (scan->bulk_end > 0) {
      ended = end_string(scan, bytes, size);
      if (ended == 0) return 0;
    } else {
      ssize_t line_end = find_end(scan, bytes, size);
      if (line_end <= 0) return line_end;
      ended = open_value(scan, bytes, (size_t)line_end);
    }
    if (ended < 0) return ended;
    if (ended && close_value(scan)) return (ssize_t)scan->at;
  }
}

/* --- walking: the bytes are known to be well formed */

static neap_view take_line(neap_resp_cursor *cursor) {
  const char *from = cursor->at, *end = memchr(from, '\r', (size_t)(cursor->end - from));
  neap_assert(end != NULL);
  cursor->at = end + END;
  return (neap_view){from, (size_t)(end - from)};
}

static neap_view take_string(neap_resp_cursor *cursor, char mark, int64_t length) {
  neap_view text = {cursor->at, (size_t)length};
  neap_assert((size_t)(cursor->end - cursor->at) >= text.size + END);
  cursor->at += text.size + END;
  if (mark == '=') text.ptr += 4, text.size -= 4; /* "txt:" */
  return text;
}

static void skip(neap_resp_cursor *cursor, size_t count) {
  for (size_t left = count; left > 0; left--) {
    neap_view line = take_line(cursor);
    int64_t length = 0;
    char mark = line.ptr[0];
    if (mark == '$' || mark == '!' || mark == '=' || is_aggregate(mark))
      resp_read_number(line.ptr + 1, line.ptr + line.size, &length);
    if (length <= 0 && !(length == 0 && (mark == '$' || mark == '!'))) {
      left += mark == '|';
      continue;
    }
    if (!is_aggregate(mark))
      take_string(cursor, mark, length);
    else
      left += (size_t)length * (mark == '%' || mark == '|' ? 2 : 1) + (mark == '|');
  }
}

static neap_resp_type aggregate_type(char mark) {
  return mark == '%'   ? NEAP_RESP_MAP
         : mark == '~' ? NEAP_RESP_SET
         : mark == '>' ? NEAP_RESP_PUSH
                       : NEAP_RESP_ARRAY;
}

static void take_aggregate(neap_resp_cursor *cursor, char mark, int64_t length, neap_resp_value *out) {
  if (length < 0) return; /* "*-1" */
  out->type = aggregate_type(mark);
  out->count = (size_t)length * (mark == '%' ? 2 : 1);
  out->elements.at = cursor->at;
  skip(cursor, out->count);
  out->elements.end = cursor->at;
}

static void take_plain(char mark, neap_view text, neap_resp_value *out) {
  out->text = text;
  switch (mark) {
  case '+': out->type = NEAP_RESP_STRING; break;
  case '-': out->type = NEAP_RESP_ERROR; break;
  case ',': out->type = NEAP_RESP_DOUBLE; break;
  case '(': out->type = NEAP_RESP_BIG; break;
  case ':':
    out->type = NEAP_RESP_INTEGER;
    resp_read_number(text.ptr, text.ptr + text.size, &out->integer);
    break;
  case '#':
    out->type = NEAP_RESP_BOOLEAN;
    out->integer = text.ptr[0] == 't';
    break;
  default: break; /* "_" */
  }
}

bool neap_resp_next(neap_resp_cursor *cursor, neap_resp_value *out) {
  *out = (neap_resp_value){.type = NEAP_RESP_NULL, .text = {"", 0}};
  for (;;) {
    if (cursor->at == cursor->end) return false;
    neap_view line = take_line(cursor), rest = {line.ptr + 1, line.size - 1};
    char mark = line.ptr[0];
    int64_t length = 0;
    if (mark != '$' && mark != '!' && mark != '=' && !is_aggregate(mark)) {
      take_plain(mark, rest, out);
      return true;
    }
    resp_read_number(rest.ptr, rest.ptr + rest.size, &length);
    if (mark == '|') {
      skip(cursor, (size_t)length * 2);
      continue;
    }
    if (is_aggregate(mark)) {
      take_aggregate(cursor, mark, length, out);
    } else if (length >= 0) {
      out->type = mark == '!' ? NEAP_RESP_ERROR : NEAP_RESP_STRING;
      out->text = take_string(cursor, mark, length);
    }
    return true;
  }
}

bool neap_resp_integer(neap_view text, int64_t *out) {
  return resp_read_number(text.ptr, text.ptr + text.size, out);
}

bool neap_resp_is_error(const neap_resp_value *value, const char *code) {
  size_t size = strlen(code);
  return value->type == NEAP_RESP_ERROR && value->text.size >= size &&
         memcmp(value->text.ptr, code, size) == 0 &&
         (value->text.size == size || value->text.ptr[size] == ' ');
}
