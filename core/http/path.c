/* Paths of requests in one spelling. What a route allows and what the backend serves must be the same path:
 * so dot segments are carried out, letters that need no "%" have none, and what backends read in more than
 * one way is refused or compared as the wider of its readings. */
#include "http/head.h"

static uint64_t load(const char *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* The high bit of each byte that is `c`, and at most of some above the first such. */
static uint64_t bytes_that_are(uint64_t word, char c) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  uint64_t differ = word ^ ones * (uint8_t)c;
  return (differ - ones) & ~differ & ones * 0x80;
}

static bool is_odd_at(const char *at, const char *end) {
  bool pair = *at == '/' && at + 1 < end && (at[1] == '/' || at[1] == '.');
  return pair || *at == '%' || *at == '\\';
}

bool neap_http_path_is_odd(neap_http_slice path) {
  const char *at = path.ptr, *end = at + path.size;
  for (; end - at > 8; at += 8) { /* a word, and the next byte of each of its bytes */
    uint64_t word = load(at), next = load(at + 1);
    uint64_t dot_or_slash =
        bytes_that_are(next | UINT64_C(0x0101010101010101), '/'); /* they differ in bit 0 */
    uint64_t pair = bytes_that_are(word, '/') & dot_or_slash;
    if (NEAP_LIKELY((pair | bytes_that_are(word, '%') | bytes_that_are(word, '\\')) == 0)) continue;
    for (int i = 0; i < 8; i++)
      if (is_odd_at(at + i, end)) return true;
  }
  for (; at < end; at++)
    if (is_odd_at(at, end)) return true;
  return false;
}

/* --- one letter */

static int hex(char c) {
  if (neap_http_byte_is(c, NEAP_HTTP_BYTE_DIGIT)) return c - '0';
  c = neap_http_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Letters that mean the same with "%" and without (RFC 3986, 2.3). */
static bool is_unreserved(int c) {
  return c == '-' || c == '.' || c == '_' || c == '~' || (c >= '0' && c <= '9') ||
         ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* What stands at `at`: the byte of a "%41" (three bytes), -1 where there is none. */
static int encoded_at(const char *at, const char *end) {
  if (*at != '%' || end - at < 3 || hex(at[1]) < 0 || hex(at[2]) < 0) return -1;
  return hex(at[1]) << 4 | hex(at[2]);
}

/* --- the normal spelling */

/* Would `c` make an encoding of a "%" before it that stands for itself? "%%36%31" must not become "%61",
 * which would be another path for whoever reads it next. */
static bool completes(const char *out, size_t used, int c) {
  if (hex((char)c) < 0) return false;
  return out[used - 1] == '%' || (used > 1 && out[used - 2] == '%' && hex(out[used - 1]) >= 0);
}

/* Copies the letters up to the next "/". Returns where it ends in `out`. */
static size_t put_segment(const char **at, const char *end, char *out, size_t used) {
  while (*at < end && **at != '/') {
    int c = encoded_at(*at, end);
    if (c < 0) {
      out[used++] = *(*at)++;
      continue;
    }
    if (is_unreserved(c) && !completes(out, used, c)) {
      out[used++] = (char)c;
    } else {
      out[used++] = '%';
      out[used++] = "0123456789ABCDEF"[c >> 4];
      out[used++] = "0123456789ABCDEF"[c & 15];
    }
    *at += 3;
  }
  return used;
}

size_t neap_http_path_normal(neap_http_slice path, char *out) {
  const char *at = path.ptr, *end = at + path.size;
  size_t used = 0;
  while (at < end) {
    size_t slash = used, size;
    out[used++] = *at++;
    used = put_segment(&at, end, out, used);
    size = used - slash - 1;
    bool one = size == 1 && out[slash + 1] == '.', two = size == 2 && memcmp(out + slash + 1, "..", 2) == 0;
    if (!one && !two) continue;
    used = slash;
    while (two && used > 0 && out[--used] != '/') continue;
    if (at == end) out[used++] = '/';
  }
  return used;
}

/* --- as routes compare it */

/* Bytes of what stands at `at` and may be taken for a "/"; 0: none. */
size_t neap_http_path_slash(const char *at, const char *end) {
  int c = encoded_at(at, end);
  return *at == '/' || *at == '\\' ? 1 : c == '/' || c == '\\' ? 3 : 0;
}

size_t neap_http_path_fold(neap_http_slice path, char *out) {
  const char *at = path.ptr, *end = at + path.size;
  size_t used = 0;
  while (at < end) {
    size_t slash = neap_http_path_slash(at, end);
    if (slash == 0)
      out[used++] = *at++;
    else if (used == 0 || out[used - 1] != '/')
      out[used++] = '/';
    at += slash;
  }
  return used;
}

/* A dot segment is carried out by everybody where it stands between slashes. Some backends see one too beside
 * "%2F", "%5C" and "\", or where ";" follows. `all`: is there one of either kind? */
static bool has_dots(neap_http_slice path, bool all) {
  const char *at = path.ptr, *end = at + path.size;
  size_t dots = 0;
  bool only_dots = true, plain = true; /* of this segment; its beginning is a "/" */
  while (at < end) {
    size_t slash = neap_http_path_slash(at, end);
    int c = encoded_at(at, end);
    bool dot_segment = only_dots && dots > 0 && dots <= 2;
    if (slash > 0) {
      bool is_plain = *at == '/';
      if (dot_segment && (all || !(plain && is_plain))) return true;
      plain = is_plain, only_dots = true, dots = 0;
      at += slash;
      continue;
    }
    if (dot_segment && (*at == ';' || c == ';')) return true;
    if (*at == '.' || c == '.')
      dots++;
    else
      only_dots = false;
    at += c < 0 ? 1 : 3;
  }
  return only_dots && dots > 0 && dots <= 2 && (all || !plain);
}

bool neap_http_path_is_ambiguous(neap_http_slice path) {
  return has_dots(path, false);
}

bool neap_http_path_has_dots(neap_http_slice path) {
  return has_dots(path, true);
}
