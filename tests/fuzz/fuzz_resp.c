/* Any bytes as a reply and as requests: at once and in pieces alike, what was found whole is walked to its
 * end, and a request that was read is read again as it is written. The first byte says how, and which limits
 * hold.
 */
#include <stdlib.h>

#include "base/base.h"
#include "resp/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const neap_resp_limits narrow = {
    .total_bytes = 200, .bulk_bytes = 40, .line_bytes = 24, .element_count = 12, .depth = 3};

/* --- replies */

static ssize_t scan_in_pieces(neap_resp_scan *scan, const char *text, size_t size, size_t step) {
  ssize_t got = 0;
  for (size_t end = step; got == 0; end += step) {
    size_t there = NEAP_MIN(end, size);
    char *copy = malloc(there);
    memcpy(copy, text, there);
    got = neap_resp_scan_more(scan, copy, there);
    neap_assert(got <= (ssize_t)there);
    neap_assert(got != 0 || neap_resp_scan_wanted(scan) > there);
    free(copy);
    if (there == size) break;
  }
  return got;
}

static size_t walk(neap_resp_cursor cursor, size_t depth) {
  size_t count = 0, sum = 0;
  const char *from = cursor.at;
  for (neap_resp_value value; neap_resp_next(&cursor, &value); count++) {
    neap_assert(value.text.size == 0 ||
                (value.text.ptr > from && value.text.ptr + value.text.size < cursor.end));
    if (value.type < NEAP_RESP_ARRAY) continue;
    neap_assert(depth < NEAP_RESP_DEPTH_MAX);
    sum = walk(value.elements, depth + 1);
    neap_assert(sum == value.count);
  }
  neap_assert(cursor.at == cursor.end);
  return count;
}

static void check_reply(const neap_resp_limits *limits, const char *text, size_t size, size_t step) {
  neap_resp_scan whole, pieces;
  neap_resp_scan_init(&whole, limits);
  neap_resp_scan_init(&pieces, limits);
  ssize_t got = neap_resp_scan_more(&whole, text, size);
  neap_assert(scan_in_pieces(&pieces, text, size, step) == got);
  if (got < 0) neap_assert(whole.fault != NULL && strcmp(whole.fault, pieces.fault) == 0);
  if (got <= 0) return;
  neap_assert((size_t)got <= limits->total_bytes);
  neap_assert(walk((neap_resp_cursor){text, text + got}, 0) == 1);
}

/* --- requests */

static ssize_t read_in_pieces(neap_resp_request *request, char **text, size_t size, size_t step) {
  ssize_t got = 0;
  char *last = NULL;
  for (size_t end = step; got == 0; end += step) {
    size_t there = NEAP_MIN(end, size);
    char *copy = malloc(there);
    memcpy(copy, *text, there);
    got = neap_resp_request_more(request, copy, there);
    free(last);
    last = copy;
    if (there == size) break;
  }
  free(*text);
  *text = last;
  return got;
}

static void read_again(const neap_resp_request *request, const char *text) {
  neap_resp_request again;
  neap_view *args = malloc(request->count * sizeof *args + 1);
  for (size_t i = 0; i < request->count; i++) args[i] = neap_resp_request_arg(request, text, i);
  size_t size = neap_resp_command_size(args, request->count);
  char *written = malloc(size);
  neap_assert(neap_resp_command_write(written, args, request->count) == size);
  neap_resp_request_init(&again, &neap_resp_limits_default);
  neap_assert(neap_resp_request_more(&again, written, size) == (ssize_t)size);
  neap_assert(again.count == request->count);
  for (size_t i = 0; i < request->count; i++) {
    neap_view arg = neap_resp_request_arg(&again, written, i);
    neap_assert(arg.size == args[i].size && memcmp(arg.ptr, args[i].ptr, arg.size) == 0);
  }
  neap_resp_request_fini(&again);
  free(written);
  free(args);
}

/* Returns the length of the request, or what else came of it. */
static ssize_t check_request(const neap_resp_limits *limits, const char *bytes, size_t size, size_t step) {
  neap_resp_request whole, pieces;
  char *text = malloc(size), *copy = malloc(size);
  memcpy(text, bytes, size);
  memcpy(copy, bytes, size);
  neap_resp_request_init(&whole, limits);
  neap_resp_request_init(&pieces, limits);
  ssize_t got = neap_resp_request_more(&whole, text, size);
  neap_assert(read_in_pieces(&pieces, &copy, size, step) == got);
  if (got < 0) neap_assert(whole.fault != NULL && strcmp(whole.fault, pieces.fault) == 0);
  neap_assert(got < 0 || whole.count == pieces.count);
  neap_assert(whole.count <= limits->element_count);
  for (size_t i = 0; got > 0 && i < whole.count; i++) {
    neap_view a = neap_resp_request_arg(&whole, text, i), b = neap_resp_request_arg(&pieces, copy, i);
    neap_assert(a.size == b.size && memcmp(a.ptr, b.ptr, a.size) == 0);
  }
  if (got > 0) read_again(&whole, text);
  neap_resp_request_fini(&whole);
  neap_resp_request_fini(&pieces);
  free(text);
  free(copy);
  return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size < 2) return 0;
  const neap_resp_limits *limits = bytes[0] & 1 ? &narrow : &neap_resp_limits_default;
  size_t step = 1 + (bytes[0] >> 2) % 16;
  const char *text = (const char *)bytes + 1;
  size--;
  if (bytes[0] & 2) {
    check_reply(limits, text, size, step);
    return 0;
  }
  for (ssize_t got = 1; got > 0 && size > 0; text += got, size -= (size_t)got)
    if ((got = check_request(limits, text, size, step)) <= 0) break;
  return 0;
}
