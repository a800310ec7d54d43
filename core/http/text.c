/* Byte classes, tokens, numbers, lists. */
#include "http/text.h"

#include <endian.h>

#define T NEAP_HTTP_BYTE_TOKEN
#define G NEAP_HTTP_BYTE_TARGET
#define H NEAP_HTTP_BYTE_HOST
#define D NEAP_HTTP_BYTE_DIGIT

const uint8_t neap_http_bytes[256] = {
    ['!'] = T | G,
    ['"'] = G,
    ['$' ... '\''] = T | G,
    ['('] = G,
    [')'] = G,
    ['*'] = T | G,
    ['+'] = T | G,
    [','] = G,
    ['-'] = T | G | H,
    ['.'] = T | G | H,
    ['/'] = G,
    ['0' ... '9'] = T | G | H | D,
    [':' ... '@'] = G,
    ['A' ... 'Z'] = T | G | H,
    ['['] = G,
    ['\\'] = G,
    [']'] = G,
    ['^'] = T | G,
    ['_'] = T | G | H,
    ['`'] = T | G,
    ['a' ... 'z'] = T | G | H,
    ['{'] = G,
    ['|'] = T | G,
    ['}'] = G,
    ['~'] = T | G | H,
    ['#'] = T, /* a fragment has no place in a request */
};

neap_http_slice neap_http_trim(const char *begin, const char *end) {
  while (begin < end && neap_http_blank(*begin)) begin++;
  while (end > begin && neap_http_blank(end[-1])) end--;
  return (neap_http_slice){begin, (int32_t)(end - begin), 0};
}

size_t neap_http_span(const char *text, size_t size, int classes) {
  size_t i = 0;
  while (i < size && neap_http_byte_is(text[i], classes)) i++;
  return i;
}

/* Of the eight bytes in `word`, the high bit of each that is below 0x20 or 0x7f. A borrow can also mark bytes
 * of higher value than the first hit, never of lower. */
static uint64_t control_bits(uint64_t word) {
  const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
  uint64_t del = word ^ (0x7f * ones);
  return (((word - 0x20 * ones) & ~word) | ((del - ones) & ~del)) & high;
}

size_t neap_http_plain_span(const char *text, size_t size) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    memcpy(&word, text + i, 8);
    uint64_t bits = control_bits(le64toh(word)); /* the first byte is the lowest */
    if (bits) return i + (size_t)__builtin_ctzll(bits) / 8;
  }
  while (i < size && (uint8_t)text[i] >= 0x20 && text[i] != 0x7f) i++;
  return i;
}

bool neap_http_same(const char *a, size_t a_size, const char *b, size_t b_size) {
  if (a_size != b_size) return false;
  for (size_t i = 0; i < a_size; i++)
    if (neap_http_lower(a[i]) != neap_http_lower(b[i])) return false;
  return true;
}

int neap_http_number(const char *text, size_t size, uint64_t max, uint64_t *out) {
  uint64_t number = 0;
  bool large = false;
  if (size == 0) return NEAP_ESYNTAX;
  for (size_t i = 0; i < size; i++) {
    if (!neap_http_byte_is(text[i], NEAP_HTTP_BYTE_DIGIT)) return NEAP_ESYNTAX;
    uint64_t digit = (uint64_t)(text[i] - '0');
    large = large || number > (max - digit) / 10;
    if (!large) number = number * 10 + digit;
  }
  if (large) return NEAP_ETOOLARGE;
  *out = number;
  return 0;
}

/* The end of the list member that starts at `at`: the next comma outside quotes, or `end`. */
static const char *member_end(const char *at, const char *end) {
  bool quoted = false;
  for (; at < end; at++) {
    if (quoted && *at == '\\' && at + 1 < end)
      at++;
    else if (*at == '"')
      quoted = !quoted;
    else if (*at == ',' && !quoted)
      break;
  }
  return at;
}

bool neap_http_list_next(neap_http_slice value, const char **cursor, neap_http_slice *member) {
  const char *end = value.ptr + value.size;
  while (*cursor < end) {
    const char *stop = member_end(*cursor, end);
    neap_http_slice found = neap_http_trim(*cursor, stop);
    *cursor = stop < end ? stop + 1 : end;
    if (found.size == 0) continue;
    *member = found;
    return true;
  }
  return false;
}
