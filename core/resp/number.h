/* Decimal numbers as the protocol writes them: no blanks, no "+", no leading zeros. */
#ifndef NEAP_RESP_NUMBER_H
#define NEAP_RESP_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "0", "17", "-3"; false where it is anything else or does not fit. */
static inline bool resp_read_number(const char *from, const char *to, int64_t *out) {
  bool negative = from < to && *from == '-';
  from += negative;
  if (from == to || to - from > 19 || (*from == '0' && (to - from > 1 || negative))) return false;
  uint64_t number = 0; /* 19 digits fit */
  for (; from < to; from++) {
    if (*from < '0' || *from > '9') return false;
    number = number * 10 + (uint64_t)(*from - '0');
  }
  if (number > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - number) : (int64_t)number;
  return true;
}

/* Digits of `number`, at most 20. */
static inline size_t resp_write_number(char *out, uint64_t number) {
  char digits[20];
  size_t count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  for (size_t i = 0; i < count; i++) out[i] = digits[count - 1 - i];
  return count;
}

static inline size_t resp_digits(uint64_t number) {
  size_t count = 1;
  while (number >= 10) number /= 10, count++;
  return count;
}

#endif
