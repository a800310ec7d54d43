/* Paths of requests: one spelling for all that mean the same. The first line is a path without its "/"; what
 * is behind it chooses how it is spelt otherwise, a byte for each letter. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* In memory of exactly its size, so that a byte too many is seen. */
static char *exactly(size_t size) {
  char *memory = malloc(size ? size : 1);
  neap_assert(memory != NULL);
  return memory;
}

static bool is_same(neap_http_slice a, neap_http_slice b) {
  return a.size == b.size && memcmp(a.ptr, b.ptr, (size_t)a.size) == 0;
}

typedef size_t change(neap_http_slice path, char *out);

/* What `one` makes of a path: never longer, and the same once more. To be freed. */
static neap_http_slice changed(change *one, neap_http_slice path) {
  char *out = exactly((size_t)path.size), *again = exactly((size_t)path.size);
  neap_http_slice made = {.ptr = out, .size = (int32_t)one(path, out)};
  neap_assert(made.size > 0 && made.size <= path.size && out[0] == '/');
  neap_assert(is_same(made, (neap_http_slice){.ptr = again, .size = (int32_t)one(made, again)}));
  free(again);
  return made;
}

static void release(neap_http_slice path) {
  free((char *)(uintptr_t)path.ptr);
}

static bool has(neap_http_slice path, const char *text) {
  return memmem(path.ptr, (size_t)path.size, text, strlen(text)) != NULL;
}

/* As a route compares it: no spelling of a slash but "/", and never two of them. */
static void check_folded(neap_http_slice normal) {
  static const char *const slashes[] = {"//", "\\", "%2F", "%5C", "%2f", "%5c"};
  neap_http_slice folded = changed(neap_http_path_fold, normal);
  for (size_t i = 0; i < NEAP_COUNT_OF(slashes); i++) neap_assert(!has(folded, slashes[i]));
  release(folded);
}

static bool is_unreserved(char c) {
  return c != 0 &&
         (strchr("-._~", c) != NULL || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'));
}

static bool is_encoded(neap_http_slice path, int32_t at) {
  static const char digits[] = "0123456789abcdefABCDEF";
  return path.size - at > 2 && path.ptr[at] == '%' && path.ptr[at + 1] && strchr(digits, path.ptr[at + 1]) &&
         path.ptr[at + 2] && strchr(digits, path.ptr[at + 2]);
}

/* The same path in other letters: those that need no "%" have one, hex digits are small, dot segments are put
 * in. */
static neap_http_slice spelt(neap_http_slice path, const uint8_t *how, size_t how_size) {
  char *out = exactly(12 * (size_t)path.size);
  size_t used = 0;
  for (int32_t at = 0; at < path.size; at++) {
    uint8_t choice = how_size ? how[(size_t)at % how_size] : 0;
    char c = path.ptr[at];
    if (is_encoded(path, at)) {
      for (int i = 0; i < 3; i++, at += i < 3) {
        c = path.ptr[at];
        out[used++] = (char)(choice & 1 && c >= 'A' && c <= 'F' ? c | 0x20 : c);
      }
    } else if (is_unreserved(c) && choice & 1 && !(at > 0 && path.ptr[at - 1] == '%') &&
               !(at > 1 &&
                 path.ptr[at - 2] == '%')) { /* behind a "%" that stands for itself it would become one */
      const char *digits = choice & 2 ? "0123456789abcdef" : "0123456789ABCDEF";
      out[used++] = '%';
      out[used++] = digits[(uint8_t)c >> 4];
      out[used++] = digits[c & 15];
    } else {
      static const char *const segments[] = {"", "./", "x/../", "%2e/", "", "x/%2E./", "%61/%2e%2E/", ""};
      out[used++] = c;
      const char *more = segments[choice & 7];
      if (c != '/') continue;
      memcpy(out + used, more, strlen(more));
      used += strlen(more);
    }
  }
  return (neap_http_slice){.ptr = out, .size = (int32_t)used};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const uint8_t *line = size ? memchr(bytes, '\n', size) : NULL;
  size_t first = line ? (size_t)(line - bytes) : size, rest = line ? first + 1 : size;
  char *text = exactly(first + 1);
  text[0] = '/';
  if (first > 0) memcpy(text + 1, bytes, first);
  neap_http_slice path = {.ptr = text, .size = (int32_t)first + 1};
  neap_http_slice normal = changed(neap_http_path_normal, path);
  bool ambiguous = neap_http_path_is_ambiguous(path);
  neap_assert(ambiguous || !neap_http_path_has_dots(normal));
  check_folded(normal);
  if (!neap_http_path_is_odd(path)) neap_assert(is_same(path, normal)); /* so nobody need look at it */
  neap_http_slice other = spelt(path, bytes + rest, size - rest),
                  same = changed(neap_http_path_normal, other);
  neap_assert(is_same(normal, same));
  neap_assert(neap_http_path_is_ambiguous(other) == ambiguous);
  release(same);
  release(other);
  release(normal);
  free(text);
  return 0;
}
