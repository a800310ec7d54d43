/* What may stand in a header, a log line or a terminal: bytes that are no control bytes. */
#ifndef NEAP_BASE_PLAIN_H
#define NEAP_BASE_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

static inline bool neap_plain_text(const char *text, int32_t size) {
  for (int32_t i = 0; i < size; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
  return true;
}

#endif
