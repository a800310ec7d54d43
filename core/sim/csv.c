/* The csv format: `time,key,size` per line, three integers. A first line with these names is let pass, and so
 * are blanks around numbers, empty lines, and lines that end with CR LF. */
#include "sim/trace.h"

#include <ctype.h>
#include <string.h>

#include "base/base.h"

enum {
  LINE_MAX_SIZE = 512, /* three integers, generously blank */
  QUOTE_SIZE = 48      /* of a bad line, in its error */
};

static bool csv_fits(const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (!isprint((unsigned char)bytes[i]) && memchr("\t\r\n", bytes[i], 3) == NULL) return false;
  return true;
}

/* The parsers below take the place where something should stand and return the place behind it, or NULL. They
 * never pass the '\0' that ends every span. */

static const char *skip_blanks(const char *p) {
  while (*p == ' ' || *p == '\t') p++;
  return p;
}

static const char *parse_magnitude(const char *p, uint64_t *out) {
  if ((unsigned)(*p - '0') > 9) return NULL;
  uint64_t value = 0;
  for (unsigned digit; (digit = (unsigned)(*p - '0')) <= 9; p++)
    if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value))
      return NULL;
  *out = value;
  return p;
}

/* An integer of -2^63 .. 2^64 - 1, as the 64 bits it has in two's complement. */
static const char *parse_integer(const char *p, uint64_t *out, bool *negative) {
  *negative = *p == '-';
  p = parse_magnitude(p + *negative, out);
  if (p == NULL || (*negative && *out > (uint64_t)INT64_MAX + 1)) return NULL;
  if (*negative) *out = -*out;
  return p;
}

static const char *parse_comma(const char *p) {
  p = skip_blanks(p);
  return *p == ',' ? skip_blanks(p + 1) : NULL;
}

static const char *parse_end(const char *p) {
  p = skip_blanks(p);
  if (*p == '\r') p++;
  return *p == '\n' ? p + 1 : NULL;
}

/* Parses the line at *cursor and moves it on: NULL, or what is wrong. */
static const char *parse_line(const char **cursor, neap_trace_request *out) {
  bool negative;
  uint64_t time, size;
  const char *p = parse_integer(skip_blanks(*cursor), &time, &negative);
  if (p == NULL || (!negative && time > INT64_MAX)) return "time must be an integer of 64 bits";
  if ((p = parse_comma(p)) == NULL) return "time must be followed by a comma";
  if ((p = parse_integer(p, &out->key, &negative)) == NULL) return "key must be an integer of 64 bits";
  if ((p = parse_comma(p)) == NULL) return "key must be followed by a comma";
  if ((p = parse_magnitude(p, &size)) == NULL || size > UINT32_MAX)
    return "size must be an integer from 0 to 4294967295";
  if ((p = parse_end(p)) == NULL) return "size must end the line: expected time,key,size";
  out->time = (int64_t)time;
  out->size = (uint32_t)size;
  *cursor = p;
  return NULL;
}

/* Moves past a line that holds `word` and blanks, without regard to case: NULL when it does not. */
static const char *parse_words(const char *p, const char *word) {
  for (; *word; p++) {
    if (*p == ' ' || *p == '\t') continue;
    if (tolower((unsigned char)*p) != *word++) return NULL;
  }
  return parse_end(p);
}

static int bad_line(neap_source *source, uint64_t line, const char *text, neap_err *err) {
  const char *at = neap_source_span(source)->at;
  int size = 0;
  while (size < QUOTE_SIZE && isprint((unsigned char)at[size])) size++;
  return neap_fail(err, NEAP_ESYNTAX, "%s:%llu: error: %s, in '%.*s'", neap_source_name(source),
                   (unsigned long long)line, text, size, at);
}

/* Ends the last line where its newline is missing, so that all lines end alike. `line`: its copy. */
static void end_last_line(const neap_span *span, char *line) {
  size_t size = (size_t)(span->end - span->at);
  memcpy(line, span->at, size);
  line[size] = '\n';
  line[size + 1] = '\0';
}

static int csv_read(neap_source *source, uint64_t *line, neap_trace_request *request, neap_err *err) {
  neap_span *span = neap_source_span(source);
  char last[LINE_MAX_SIZE + 2];
  for (;;) {
    if (NEAP_UNLIKELY(span->end - span->at < LINE_MAX_SIZE)) {
      int rc = neap_source_fill(source, LINE_MAX_SIZE, err);
      if (rc) return rc;
      if (span->at == span->end) return 0;
    }
    ++*line;
    const char *start = span->at;
    bool unended =
        span->end - start < LINE_MAX_SIZE && memchr(start, '\n', (size_t)(span->end - start)) == NULL;
    if (NEAP_UNLIKELY(unended)) {
      end_last_line(span, last);
      start = last;
    }
    const char *next = start;
    const char *wrong = parse_line(&next, request);
    if (NEAP_UNLIKELY(wrong != NULL)) {
      next = parse_end(start);
      if (next == NULL && *line == 1) next = parse_words(start, "time,key,size");
      if (next == NULL) return bad_line(source, *line, wrong, err);
    }
    span->at = NEAP_MIN(span->at + (next - start), span->end);
    if (wrong == NULL) return 1;
  }
}

const neap_trace_format_vt neap_trace_csv = {.name = "csv", .fits = csv_fits, .read = csv_read};
