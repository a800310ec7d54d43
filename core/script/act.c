/* The leaves behind `res`: they copy texts to the board, and refuse what could break a message or a log. hot.
 */
#include "script/act.h"

#include <stdbool.h>
#include <strings.h>

#include "base/base.h"
#include "base/plain.h"

enum { TEXTS = sizeof(((neap_act_board *)0)->texts) / sizeof(neap_act_text) };
enum { EDITS = sizeof(((neap_act_board *)0)->edits) / sizeof(neap_act_edit) };
enum { ROOM = sizeof(((neap_act_board *)0)->text) };

/* --- what may stand where */

/* Bytes of a target: printable ASCII, without `but`. */
static bool is_target(const char *text, int32_t size, const char *but) {
  for (int32_t i = 0; i < size; i++)
    if (text[i] <= 0x20 || text[i] == 0x7f || strchr(but, text[i]) != NULL) return false;
  return true;
}

/* "//a" and "/\\a": a path of a request must not become another host. */
static bool leaves_host(const char *text, int32_t size) {
  return text[0] == '\\' || (size > 1 && text[0] == '/' && (text[1] == '/' || text[1] == '\\'));
}

static bool may_stand(int32_t what, const char *text, int32_t size) {
  switch (what) {
  case NEAP_ACT_PATH: return size > 0 && text[0] == '/' && is_target(text, size, "?#");
  case NEAP_ACT_QUERY: return is_target(text, size, "#");
  case NEAP_ACT_LOCATION: return size > 0 && is_target(text, size, "") && !leaves_host(text, size);
  case NEAP_ACT_KEY: return size > 0;
  case NEAP_ACT_BODY: return true;
  default: return neap_plain_text(text, size);
  }
}

/* The letters of tokens, by bits: "!#$%&'*+-.^_`|~", digits, letters. */
static bool is_token(const char *name, int32_t size) {
  static const uint64_t letters[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
  for (int32_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)name[i];
    if (c >= 128 || !(letters[c >> 6] >> (c & 63) & 1)) return false;
  }
  return size > 0;
}

/* What frames a message or belongs to one connection is the engine's: as lua/neap/schema.lua has it. */
static bool is_framing(const char *name, int32_t size) {
#define NAME(text)                                                                                           \
  { text, sizeof(text) - 1 }
  static const struct {
    const char *text;
    int32_t size;
  } names[] = {NAME("host"),
               NAME("expect"),
               NAME("connection"),
               NAME("keep-alive"),
               NAME("proxy-connection"),
               NAME("te"),
               NAME("trailer"),
               NAME("transfer-encoding"),
               NAME("content-length"),
               NAME("upgrade")};
#undef NAME
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    if (names[i].size == size && strncasecmp(names[i].text, name, (size_t)size) == 0) return true;
  return false;
}

/* --- the board */

/* Where the text now lies, ended by NUL; -1: there is no room. */
static int32_t keep(neap_act_board *board, const char *text, int32_t size) {
  if (size < 0 || size >= ROOM - board->used) return -1;
  int32_t at = board->used;
  memcpy(board->text + at, text, (size_t)size);
  board->text[at + size] = '\0';
  board->used += size + 1;
  return at;
}

static int32_t put(neap_act_board *board, int32_t what, const char *text, int32_t size) {
  if (what < 0 || what >= TEXTS || !may_stand(what, text, size)) return NEAP_ACT_BAD_TEXT;
  int32_t at = keep(board, text, size);
  if (at < 0) return NEAP_ACT_FULL;
  board->texts[what] = (neap_act_text){at, size};
  return NEAP_ACT_OK;
}

static int32_t edit(neap_act_board *board, int32_t change, const char *name, int32_t name_size,
                    const char *value, int32_t value_size) {
  if (!is_token(name, name_size) || is_framing(name, name_size)) return NEAP_ACT_BAD_NAME;
  if (!neap_plain_text(value, value_size)) return NEAP_ACT_BAD_TEXT;
  if (board->edit_count < 0 || board->edit_count >= EDITS) return NEAP_ACT_FULL;
  int32_t name_at = keep(board, name, name_size), value_at = keep(board, value, value_size);
  if (name_at < 0 || value_at < 0) return NEAP_ACT_FULL;
  board->edits[board->edit_count++] = (neap_act_edit){change, name_at, value_at};
  return NEAP_ACT_OK;
}

static neap_slice slice_at(const neap_view_board *views, int32_t view) {
  bool valid = view >= 0 && view < NEAP_VIEWS_MAX && views->slices[view].ptr != NULL;
  return valid ? views->slices[view] : (neap_slice){.ptr = ""};
}

static int32_t put_view(neap_act_board *board, int32_t what, const neap_view_board *views, int32_t view) {
  neap_slice text = slice_at(views, view);
  return put(board, what, text.ptr, text.size);
}

static int32_t edit_view(neap_act_board *board, int32_t change, const char *name, int32_t name_size,
                         const neap_view_board *views, int32_t view) {
  neap_slice value = slice_at(views, view);
  return edit(board, change, name, name_size, value.ptr, value.size);
}

void neap_act_clear(neap_act_board *board) {
  board->pool = -1;
  board->status = board->bypass = board->edit_count = board->used = board->refused = 0;
  board->ttl_ms = -1;
  for (int i = 0; i < TEXTS; i++) board->texts[i].size = -1;
}

void neap_act_init(neap_act_board *board) {
  *board = (neap_act_board){.put = put, .edit = edit, .put_view = put_view, .edit_view = edit_view};
  neap_act_clear(board);
}
