#include "base/host.h"

#include <stdint.h>
#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGH (ONES * 0x80)

size_t neap_host_name_size(const char *host, size_t size) {
  const char *end = size == 0 ? NULL : memchr(host, host[0] == '[' ? ']' : ':', size);
  if (end) size = (size_t)(end - host) + (host[0] == '[');
  return size > 0 && host[size - 1] == '.' ? size - 1 : size;
}

/* Bit 7 of each byte that is one of A to Z. */
static inline uint64_t capitals(uint64_t word) {
  uint64_t low7 = word & ~HIGH;
  return ((low7 + ONES * (0x80 - 'A')) ^ (low7 + ONES * (0x7f - 'Z'))) & ~word & HIGH;
}

static inline bool is_capital(char c) {
  return (unsigned)c - 'A' < 26u;
}

bool neap_host_is_lower(const char *host, size_t size) {
  uint64_t found = 0, word;
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    memcpy(&word, host + at, 8);
    found |= capitals(word);
  }
  if (at < size && size >= 8) { /* the last eight, some of them once more */
    memcpy(&word, host + size - 8, 8);
    return (found | capitals(word)) == 0;
  }
  for (; at < size; at++) found |= is_capital(host[at]);
  return found == 0;
}

void neap_host_lower(const char *host, size_t size, char *out) {
  for (size_t at = 0; at < size; at++) out[at] = is_capital(host[at]) ? (char)(host[at] | 0x20) : host[at];
}
