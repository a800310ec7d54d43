#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t neap_utf8_size(const void *bytes, size_t size) {
  const uint8_t *text = bytes;
  uint8_t first = text[0], low = 0x80, high = 0xbf;
  size_t length = first < 0x80   ? 1
                  : first < 0xc2 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf5 ? 4
                                 : 0;
  if (length < 2) return length;
  if (length > size) return 0;
  if (first == 0xe0)
    low = 0xa0;
  else if (first == 0xed)
    high = 0x9f;
  else if (first == 0xf0)
    low = 0x90;
  else if (first == 0xf4)
    high = 0x8f;
  if (text[1] < low || text[1] > high) return 0;
  for (size_t i = 2; i < length; i++)
    if (text[i] < 0x80 || text[i] > 0xbf) return 0;
  return length;
}

/* Of a well-formed sequence: C0, DEL, C1; U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
static bool is_control(const uint8_t *at, size_t size) {
  if (size == 1) return at[0] < 0x20 || at[0] == 0x7f;
  if (size == 2) return at[0] == 0xc2 && at[1] < 0xa0;
  if (size != 3 || at[0] != 0xe2) return false;
  if (at[1] == 0x80) return at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae);
  return at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9;
}

void neap_text_tame(char *text, char kept) {
  uint8_t *at = (uint8_t *)text, *end = at + strlen(text);
  while (at < end) {
    size_t size = neap_utf8_size(at, (size_t)(end - at));
    if (size == 0 || (is_control(at, size) && *at != (uint8_t)kept)) memset(at, '?', size = size ? size : 1);
    at += size;
  }
}
