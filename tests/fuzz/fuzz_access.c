/* What routes read of requests that strangers send: parts in templates, keys and limits, query filters,
 * credentials, and the lines of data tables. The first byte chooses; the rest is the input, in lines. 0
 * parts: path, query, header, cookie    1 credentials: the header, then a stored digest    2.. a table's
 * lines */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { LINES = 4 };

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

/* Splits `text` in place; what is missing is empty. */
static void split(char *text, neap_slice lines[LINES]) {
  for (int i = 0; i < LINES; i++) lines[i] = slice_of("");
  for (int i = 0; i < LINES && text; i++) lines[i] = slice_of(strsep(&text, "\n"));
}

/* In memory of exactly its size, so that a byte too many is seen. */
static char *exactly(size_t size) {
  char *memory = malloc(size ? size : 1);
  neap_assert(memory != NULL);
  return memory;
}

static void check_written(const neap_parts *parts, const neap_request_board *request) {
  size_t bound = neap_parts_bound(parts, request);
  char *out = exactly(bound);
  ssize_t size = neap_parts_write(parts, NEAP_PARTS_PATH, request, out, bound);
  neap_assert(size >= 0 && (size_t)size <= bound);
  for (ssize_t i = 0; i < size; i++) /* what is not of the target itself is safe in one */
    neap_assert(strchr("%-._~", out[i]) != NULL || (out[i] >= '0' && out[i] <= '9') ||
                ((out[i] | 0x20) >= 'a' && (out[i] | 0x20) <= 'z'));
  for (ssize_t room = 0; room < size && room < 64; room++)
    neap_assert(neap_parts_write(parts, NEAP_PARTS_PATH, request, out, (size_t)room) == NEAP_ESMALL);
  free(out);
}

static void check_filter(neap_slice query) {
  static const char *const names[] = {"utm_*", "a", "*"};
  for (size_t count = 0; count <= 3; count++) {
    neap_key_rule keep = {.names = names, .name_count = count, .query = NEAP_QUERY_KEEP}, drop = keep;
    drop.query = NEAP_QUERY_DROP;
    char *out = exactly((size_t)query.size);
    size_t kept = neap_query_filter(&keep, query, out), dropped = neap_query_filter(&drop, query, out);
    neap_assert(kept <= (size_t)query.size && dropped <= (size_t)query.size);
    if (count == 3) neap_assert(dropped == 0);
    free(out);
  }
}

static void fuzz_parts(char *text) {
  neap_slice lines[LINES];
  split(text, lines);
  const neap_header_row rows[] = {{slice_of("X-A"), lines[2]}, {slice_of("Cookie"), lines[3]}};
  const neap_request_board request = {
      .method = lines[2], .path = lines[0], .query = lines[1], .headers = rows, .header_count = 2};
  const neap_part free_ones[] = {{NEAP_PART_HEADER, "x-a"},
                                 {NEAP_PART_COOKIE, "id"},
                                 {NEAP_PART_PARAMETER, "id"},
                                 {NEAP_PART_METHOD, ""}};
  check_written(&(neap_parts){free_ones, NEAP_COUNT_OF(free_ones)}, &request);
  const neap_part part = {NEAP_PART_BELOW, "/api"};
  neap_slice rest = neap_part_find(&part, &request);
  neap_assert(rest.size <= request.path.size);
  check_filter(lines[1]);
  double rate = -1;
  if (neap_limit_rate(lines[0], &rate)) neap_assert(rate >= 0 && rate <= 1e9);
  neap_parts_hash(&(neap_parts){free_ones, NEAP_COUNT_OF(free_ones)}, &request, 1);
}

static void fuzz_credentials(char *text) {
  neap_slice lines[LINES];
  split(text, lines);
  char user[NEAP_AUTH_USER_MAX];
  bool given;
  const neap_header_row rows[] = {{slice_of("authorization"), lines[0]},
                                  {slice_of("Authorization"), lines[2]}};
  const neap_match_field users[] = {{"joe", lines[1].ptr}};
  for (int scheme = NEAP_AUTH_BASIC; scheme <= NEAP_AUTH_BEARER; scheme++) {
    neap_auth auth = {.users = users, .user_count = 1};
    auth.scheme = scheme;
    neap_request_board request = {.headers = rows, .header_count = 1};
    if (neap_auth_check(&auth, NULL, &request, user, &given)) neap_assert(given && strcmp(user, "joe") == 0);
    request.header_count = 2; /* two of them are never believed */
    neap_assert(!neap_auth_check(&auth, NULL, &request, user, &given));
  }
}

static void fuzz_table(neap_table_kind kind, const char *text, size_t size) {
  char *copy = exactly(size);
  memcpy(copy, text, size);
  neap_rows *rows;
  neap_err err;
  if (neap_rows_parse(kind, "t", copy, size, &rows, &err)) return;
  char *probe = exactly(size);
  memcpy(probe, text, size);
  for (size_t at = 0; at < size && at < 256; at++) {
    neap_slice value = {.ptr = NULL}, key = {.ptr = probe + at, .size = (int32_t)(size - at)};
    const char *stop = memchr(probe + at, ',', size - at);
    if (neap_rows_get(rows, key, &value)) neap_assert(value.size >= 0 && (size_t)value.size <= size);
    if (stop) key.size = (int32_t)(stop - key.ptr);
    if (neap_rows_get(rows, key, &value)) neap_assert(value.size >= 0 && (size_t)value.size <= size);
  }
  neap_slice name;
  if (neap_rows_draw(rows, 0.999999, &name)) neap_assert((size_t)name.size <= size);
  free(probe);
  neap_rows_destroy(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0) return 0;
  char *text = malloc(size);
  if (text == NULL) return 0;
  memcpy(text, bytes + 1, size - 1);
  text[size - 1] = 0;
  int choice = bytes[0] % (2 + NEAP_TABLE_KIND_COUNT);
  if (choice == 0)
    fuzz_parts(text);
  else if (choice == 1)
    fuzz_credentials(text);
  else
    fuzz_table((neap_table_kind)(choice - 2), text, size - 1);
  free(text);
  return 0;
}
