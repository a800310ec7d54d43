#include "base/decimal.h"

#include <stdbool.h>
#include <stddef.h>

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

const char *neap_decimal_read(const char *text, double *out) {
  double whole = 0, part = 0, unit = 1;
  const char *at = text;
  for (; is_digit(*at); at++) whole = whole * 10 + (*at - '0');
  if (*at == '.' && is_digit(at[1]))
    for (at++; is_digit(*at); at++) {
      if (unit > 1e17) continue; /* beyond what a double can tell */
      part = part * 10 + (*at - '0');
      unit *= 10;
    }
  if (at == text) return NULL;
  *out = whole + part / unit;
  return at;
}
