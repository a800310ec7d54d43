/* Commands about keys, whatever they hold. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "front/resp_handlers.h"

enum { SCAN_COUNT = 10, SCAN_EMPTY = 10 }; /* buckets looked at for each key asked for, at most */

static bool is_there(neap_port_call *call, size_t i) {
  return neap_port_look(call, neap_port_arg(call, i), false) != NULL;
}

/* Whether no argument before the i-th is the same. `seats`: a table of arguments by hash. */
static bool is_first(neap_port_call *call, uint32_t *seats, size_t mask, size_t i) {
  neap_view key = neap_port_arg(call, i);
  size_t seat = neap_hash_bytes(key.ptr, key.size) & mask;
  for (; seats[seat]; seat = (seat + 1) & mask) {
    neap_view other = neap_port_arg(call, seats[seat]);
    if (other.size == key.size && memcmp(other.ptr, key.ptr, key.size) == 0) return false;
  }
  seats[seat] = (uint32_t)i;
  return true;
}

/* What could not be asked for is deleted all the same. A key that is named twice is there once. */
static void delete_everywhere(neap_port_call *call) {
  int64_t count = 0;
  size_t room = 4;
  while (room < 2 * call->count) room *= 2;
  uint32_t *seats = calloc(room, sizeof *seats);
  if (seats == NULL) {
    neap_port_put_failure(call, NEAP_ENOMEM);
    return;
  }
  call->tolerant = true;
  for (size_t i = 1; i < call->count; i++) {
    bool there = is_there(call, i);
    count += is_first(call, seats, room - 1, i) && there;
  }
  free(seats);
  neap_port_write_all(call);
  neap_resp_put_integer(call->out, count);
}

void neap_port_del(neap_port_call *call) {
  int64_t count = 0;
  if (call->front->port) {
    delete_everywhere(call);
    return;
  }
  for (size_t i = 1; i < call->count; i++) {
    neap_view key = neap_port_arg(call, i);
    neap_port_lock(call->keys, key);
    count += neap_port_remove(call, key);
    neap_port_unlock(call->keys, key);
  }
  neap_resp_put_integer(call->out, count);
}

void neap_port_exists(neap_port_call *call) {
  int64_t count = 0;
  neap_port_borrow(call->front);
  for (size_t i = 1; i < call->count; i++) count += is_there(call, i);
  neap_resp_put_integer(call->out, count);
}

void neap_port_touch(neap_port_call *call) {
  int64_t count = 0;
  neap_port_borrow(call->front);
  for (size_t i = 1; i < call->count; i++)
    count += neap_port_look(call, neap_port_arg(call, i), true) != NULL;
  neap_resp_put_integer(call->out, count);
}

void neap_port_type(neap_port_call *call) {
  neap_port_borrow(call->front);
  neap_resp_put_string(call->out, is_there(call, 1) ? "string" : "none");
}

void neap_port_dbsize(neap_port_call *call) {
  neap_cache_stats stats;
  neap_cache_stats_get(call->keys->cache, &stats);
  neap_resp_put_integer(call->out, (int64_t)stats.entries);
}

/* Both are done before the answer: nothing is left to be done later. */
void neap_port_flush(neap_port_call *call) {
  bool knows =
      call->count == 1 ||
      (call->count == 2 && (neap_port_arg_is(call, 1, "sync") || neap_port_arg_is(call, 1, "async")));
  if (!knows) {
    neap_port_put_syntax_error(call);
    return;
  }
  if (call->front->port) {
    neap_port_clear(call);
    neap_port_put_ok(call);
    return;
  }
  neap_port_lock_all(call->keys);
  neap_cache_clear(call->keys->cache);
  neap_port_changed_all(call);
  neap_port_unlock_all(call->keys);
  neap_port_put_ok(call);
}

/* --- patterns */

typedef struct glob {
  const char *at, *end;
} glob;

/* "[a-z]" and the like against `c`; moves behind it. The closing bracket may be missing. */
static bool glob_class(glob *pattern, char letter) {
  unsigned char c = (unsigned char)letter;
  const char *at = pattern->at + 1, *end = pattern->end;
  bool not = at < end && *at == '^', found = false;
  at += not ;
  for (; at < end && *at != ']'; at++) {
    if (*at == '\\' && at + 1 < end) {
      found |= (unsigned char)*++at == c;
    } else if (end - at >= 3 && at[1] == '-') {
      unsigned char from = (unsigned char)at[0], to = (unsigned char)at[2];
      found |= c >= NEAP_MIN(from, to) && c <= NEAP_MAX(from, to);
      at += 2;
    } else {
      found |= (unsigned char)*at == c;
    }
  }
  pattern->at = at < end ? at + 1 : end;
  return found != not ;
}

/* One letter of the pattern, no "*", against `c`; moves behind it. */
static bool glob_one(glob *pattern, char c) {
  if (*pattern->at == '[') return glob_class(pattern, c);
  bool any = *pattern->at == '?';
  if (*pattern->at == '\\' && pattern->at + 1 < pattern->end) pattern->at++;
  bool same = any || *pattern->at == c;
  pattern->at++;
  return same;
}

/* What the last "*" stands for grows until the rest fits: one step back is enough, so that no pattern takes
 * longer than its length times the text's. */
bool neap_port_glob(neap_view wanted, neap_view text) {
  glob pattern = {wanted.ptr, wanted.ptr + wanted.size}, star = {NULL, pattern.end};
  const char *at = text.ptr, *end = at + text.size, *star_at = at;
  while (at < end) {
    glob next = pattern;
    if (pattern.at < pattern.end && *pattern.at == '*') {
      star.at = ++pattern.at;
      star_at = at;
    } else if (pattern.at < pattern.end && glob_one(&next, *at)) {
      pattern = next;
      at++;
    } else if (star.at) {
      pattern = star;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (pattern.at < pattern.end && *pattern.at == '*') pattern.at++;
  return pattern.at == pattern.end;
}

bool neap_port_glob_word(neap_view pattern, const char *word) {
  char small[64];
  if (pattern.size >= sizeof small) return false;
  for (size_t i = 0; i < pattern.size; i++) small[i] = (char)tolower((unsigned char)pattern.ptr[i]);
  return neap_port_glob((neap_view){small, pattern.size}, neap_view_of(word));
}

/* --- SCAN */

typedef struct scan {
  neap_view match;
  bool matches, strings; /* strings: keys of that type are wanted, as all are */
  int64_t count;
  neap_resp_out found;
  size_t keys;
} scan;

static void on_key(void *user, const neap_entry *entry) {
  scan *walk = user;
  neap_view key = neap_entry_key(entry);
  if (!walk->strings || (walk->matches && !neap_port_glob(walk->match, key))) return;
  neap_resp_put_bulk(&walk->found, key);
  walk->keys++;
}

static bool scan_option(neap_port_call *call, size_t i, scan *walk) {
  if (neap_port_arg_is(call, i, "count")) {
    if (!neap_port_arg_integer(call, i + 1, &walk->count)) return false;
    if (walk->count >= 1) return true;
  } else if (neap_port_arg_is(call, i, "match")) {
    walk->match = neap_port_arg(call, i + 1);
    walk->matches = !neap_view_is(walk->match, "*");
    return true;
  } else if (neap_port_arg_is(call, i, "type")) {
    walk->strings = neap_port_arg_is(call, i + 1, "string");
    return true;
  }
  neap_port_put_syntax_error(call);
  return false;
}

static bool read_cursor(neap_port_call *call, uint64_t *out) {
  neap_view arg = neap_port_arg(call, 1);
  char text[64], *end;
  bool fits = arg.size < sizeof text && !(arg.size > 0 && isspace((unsigned char)arg.ptr[0]));
  if (fits) {
    memcpy(text, arg.ptr, arg.size);
    text[arg.size] = '\0';
    errno = 0;
    *out = strtoull(text, &end, 10); /* as Redis: with a sign, too */
    fits = end == text + arg.size && errno == 0;
  }
  if (!fits) neap_port_put_error(call, "ERR invalid cursor");
  return fits;
}

void neap_port_scan(neap_port_call *call) {
  scan walk = {.strings = true, .count = SCAN_COUNT};
  uint64_t cursor;
  char text[24];
  if (!read_cursor(call, &cursor)) return;
  for (size_t i = 2; i < call->count; i += 2) {
    if (i + 1 == call->count) {
      neap_port_put_syntax_error(call);
      return;
    }
    if (!scan_option(call, i, &walk)) return;
  }
  neap_resp_out_init(&walk.found, call->out->max);
  int64_t buckets = walk.count > INT64_MAX / SCAN_EMPTY ? INT64_MAX : walk.count * SCAN_EMPTY;
  do cursor = neap_store_scan(call->keys->cache, cursor, on_key, &walk);
  while (cursor != 0 && (int64_t)walk.keys < walk.count && --buckets > 0);
  call->out->failed |= walk.found.failed;
  snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
  neap_resp_put_array(call->out, 2);
  neap_port_put_text(call, text);
  neap_resp_put_array(call->out, walk.keys);
  neap_resp_put_bytes(call->out, walk.found.bytes, walk.found.size);
  neap_resp_out_fini(&walk.found);
}
