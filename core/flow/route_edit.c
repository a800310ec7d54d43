/* Changes to the heads of one exchange, beside those that its route makes of all. */
#include "flow/acts.h"

#include <stdio.h>

char *neap_acts_copy(neap_exchange *exchange, neap_view text) {
  char *copy = neap_arena_take(&exchange->arena, text.size + 1);
  if (copy == NULL) return NULL;
  if (text.size > 0) memcpy(copy, text.ptr, text.size);
  copy[text.size] = '\0';
  return copy;
}

static neap_acts_edits *prepare(neap_exchange *exchange, neap_acts_edits **edits) {
  if (*edits) return *edits;
  neap_acts_edits *made = neap_arena_take(&exchange->arena, sizeof *made);
  if (made == NULL) return NULL;
  made->edits = (neap_flow_edits){.remove = made->remove, .set = made->set, .add = made->add};
  return *edits = made;
}

int neap_acts_edit(neap_exchange *exchange, neap_acts_edits **edits, neap_acts_change change,
                   const char *name, const char *value) {
  neap_acts_edits *to = prepare(exchange, edits);
  if (to == NULL) return NEAP_ENOMEM;
  size_t *count = change == NEAP_ACTS_SET   ? &to->edits.set_count
                  : change == NEAP_ACTS_ADD ? &to->edits.add_count
                                            : &to->edits.remove_count;
  if (*count == NEAP_ACTS_FIELDS_MAX) return NEAP_ETOOLARGE;
  if (change == NEAP_ACTS_REMOVE)
    to->remove[*count] = name;
  else
    (change == NEAP_ACTS_SET ? to->set : to->add)[*count] = (neap_match_field){name, value};
  ++*count;
  return 0;
}

/* --- on a stored head */

static bool is_edited(const neap_flow_edits *edits, const char *line, size_t size) {
  const char *colon = memchr(line, ':', size);
  if (colon == NULL)
    return false; /* the status line of HTTP/1.1 has none before its end, or one in the phrase */
  size_t name = (size_t)(colon - line);
  for (size_t i = 0; i < edits->remove_count; i++)
    if (neap_http_same(line, name, edits->remove[i], strlen(edits->remove[i]))) return true;
  for (size_t i = 0; i < edits->set_count; i++)
    if (neap_http_same(line, name, edits->set[i].name, strlen(edits->set[i].name))) return true;
  return false;
}

/* Copies the lines that stay. */
static size_t filter(const neap_flow_edits *route, const neap_flow_edits *own, neap_view head, char *out) {
  size_t used = 0;
  for (const char *at = head.ptr, *end = at + head.size; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t size = (size_t)((stop ? stop + 1 : end) - at);
    if (!is_edited(route, at, size) && !is_edited(own, at, size)) {
      memcpy(out + used, at, size);
      used += size;
    }
    at += size;
  }
  return used;
}

/* Those that `later` does not change again. */
static size_t put_fields(const neap_match_field *fields, size_t count, const neap_flow_edits *later,
                         char *out, size_t capacity) {
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    size_t size =
        (size_t)snprintf(out + used, capacity - used, "%s: %s\r\n", fields[i].name, fields[i].value);
    if (!is_edited(later, out + used, size)) used += size;
  }
  return used;
}

static size_t put_lines(const neap_flow_edits *edits, const neap_flow_edits *later, char *out,
                        size_t capacity) {
  size_t used = put_fields(edits->set, edits->set_count, later, out, capacity);
  return used + put_fields(edits->add, edits->add_count, later, out + used, capacity - used);
}

int neap_acts_lines(neap_exchange *exchange, neap_view *head, neap_view *added) {
  static const neap_flow_edits none = {0};
  const neap_flow_edits *route = &exchange->route->response, *own = neap_acts_response(exchange);
  if (own == NULL) own = &none;
  size_t capacity = neap_edits_bytes(route) + neap_edits_bytes(own) + 1;
  char *lines = neap_arena_take(&exchange->arena, capacity);
  char *kept = neap_arena_take(&exchange->arena, head->size);
  if (lines == NULL || kept == NULL) return NEAP_ENOMEM;
  *head = (neap_view){kept, filter(route, own, *head, kept)};
  size_t size = put_lines(route, own, lines, capacity);
  size += put_lines(own, &none, lines + size, capacity - size);
  *added = (neap_view){lines, size};
  return 0;
}
