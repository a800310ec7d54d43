/* The leaves behind Lua's request views. hot: everything but init. No index is trusted: it may come from a
 * table that a policy made up. */
#include "script/views.h"
#include "script/script.h"

#include <stddef.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "policy/policy.h"

_Static_assert(offsetof(neap_request_board, client) == (NEAP_VIEWS_FIXED - 1) * sizeof(neap_slice),
               "the six slices begin the request board, in the order of the views");
_Static_assert(sizeof(((neap_view_board *)0)->slices) == NEAP_VIEWS_MAX * sizeof(neap_slice),
               "NEAP_VIEWS_MAX");

/* --- finding --- */

/* The index of a new view of `slice`; NEAP_VIEWS_MAX when there are too many. */
static int32_t add(neap_view_board *board, neap_slice slice) {
  if (board->count >= NEAP_VIEWS_MAX) return NEAP_VIEWS_MAX;
  board->slices[board->count] = slice;
  return board->count++;
}

static int32_t find_header(neap_view_board *board, const char *name, int32_t size) {
  if (board->request == NULL) return -1;
  int32_t row = neap_request_header(board->request, (neap_view){name, (size_t)size}, 0);
  return row < 0 ? -1 : add(board, board->request->headers[row].value);
}

static int32_t find_query(neap_view_board *board, const char *name, int32_t size) {
  neap_slice found;
  if (board->request == NULL) return -1;
  return neap_request_query(board->request, (neap_view){name, (size_t)size}, &found) ? add(board, found) : -1;
}

static int32_t find_cookie(neap_view_board *board, const char *name, int32_t size) {
  neap_slice found;
  if (board->request == NULL) return -1;
  return neap_request_cookie(board->request, (neap_view){name, (size_t)size}, &found) ? add(board, found)
                                                                                      : -1;
}

/* --- looking --- */

static inline neap_slice at(const neap_view_board *board, int32_t view) {
  bool valid = view >= 0 && view < NEAP_VIEWS_MAX;
  return valid ? board->slices[view] : (neap_slice){.ptr = NULL, .size = 0};
}

/* Does the text stand in `have` at `from`? `have` is long enough; an empty text stands everywhere. */
static inline bool stands_at(neap_slice have, int32_t from, const char *text, int32_t size) {
  return size == 0 || memcmp(have.ptr + from, text, (size_t)size) == 0;
}

static int32_t same(const neap_view_board *board, int32_t view, const char *text, int32_t size) {
  neap_slice have = at(board, view);
  return have.size == size && stands_at(have, 0, text, size);
}

static int32_t starts(const neap_view_board *board, int32_t view, const char *text, int32_t size) {
  neap_slice have = at(board, view);
  return have.size >= size && stands_at(have, 0, text, size);
}

static int32_t ends(const neap_view_board *board, int32_t view, const char *text, int32_t size) {
  neap_slice have = at(board, view);
  return have.size >= size && stands_at(have, have.size - size, text, size);
}

static int32_t contains(const neap_view_board *board, int32_t view, const char *text, int32_t size) {
  neap_slice have = at(board, view);
  if (size == 0) return 1;
  return have.size >= size && memmem(have.ptr, (size_t)have.size, text, (size_t)size) != NULL;
}

static double hash(const neap_view_board *board, int32_t view) {
  neap_slice have = at(board, view);
  return (double)(neap_hash_bytes(have.ptr, (size_t)have.size) >> 11);
}

/* --- data tables --- */

static int32_t table_get(neap_view_board *board, int32_t table, int32_t view, const char *key, int32_t size) {
  const neap_table_reader *reader = board->tables;
  neap_slice wanted = view < 0 ? (neap_slice){.ptr = key, .size = size} : at(board, view), value;
  if (reader == NULL || board->request == NULL) return -1;
  return reader->get(reader->user, table, wanted, &value) ? add(board, value) : -1;
}

static int32_t table_draw(neap_view_board *board, int32_t table, double hash) {
  const neap_table_reader *reader = board->tables;
  neap_slice name;
  if (reader == NULL || board->request == NULL || !(hash >= 0 && hash < 0x1p53)) return -1;
  return reader->draw(reader->user, table, hash * 0x1p-53, &name) ? add(board, name) : -1;
}

/* --- the board --- */

void neap_views_init(neap_view_board *board) {
  *board = (neap_view_board){.header = find_header,
                             .query = find_query,
                             .cookie = find_cookie,
                             .same = same,
                             .starts = starts,
                             .ends = ends,
                             .contains = contains,
                             .hash = hash,
                             .mix = neap_hash_unit,
                             .table_get = table_get,
                             .table_draw = table_draw};
}

void neap_views_open(neap_view_board *board, const neap_request_board *request) {
  if (request == NULL) return;
  board->request = request;
  memcpy(board->slices, request, NEAP_VIEWS_FIXED * sizeof(neap_slice));
  board->count = NEAP_VIEWS_FIXED;
  board->made = board->refused = 0;
}

void neap_views_close(neap_view_board *board) {
  memset(board->slices, 0, (size_t)board->count * sizeof(neap_slice));
  board->request = NULL;
  board->count = 0;
}
