#include "base/url.h"

#include <string.h>

/* The last "@" before the path; NULL: there is none. Whoever forgot to escape a password may have "@", "?"
 * and
 * "#" in it: rather too much is hidden than too little. */
static const char *end_of_credentials(const char *authority) {
  const char *end = authority + strcspn(authority, "/ \t\r\n"), *at = NULL;
  for (const char *c = authority; c < end; c++)
    if (*c == '@') at = c;
  return at;
}

char *neap_url_mask(const char *text, char *out, size_t capacity) {
  static const char mask[] = "***";
  size_t size = 0;
  while (*text && size + 1 < capacity) {
    out[size++] = *text++;
    if (size < 3 || memcmp(out + size - 3, "://", 3) != 0) continue;
    const char *at = end_of_credentials(text);
    if (at == NULL) continue;
    for (const char *c = mask; *c && size + 1 < capacity; c++) out[size++] = *c;
    text = at;
  }
  out[size] = '\0';
  return out;
}
