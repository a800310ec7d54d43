/* Histories: operations in an array, their texts numbered; read from JSON lines. */
#include <jansson.h>
#include <stdlib.h>

#include "base/hash.h"
#include "sim/source.h"
#include "sim/verify_impl.h"

/* Texts by number, from 1; found by open addressing. */
typedef struct texts {
  char **items; /* each ends in NUL behind its size */
  size_t *sizes;
  uint32_t *slots; /* numbers; 0: free */
  uint32_t count, capacity, mask;
} texts;

struct neap_history {
  neap_op *ops;
  uint32_t count, capacity;
  texts names;    /* of clients, keys and values alike */
  uint8_t *roles; /* by number: which of them */
  uint32_t roles_capacity, keys, clients;
};

enum { ROLE_KEY = 1, ROLE_CLIENT = 2 };

const char *const neap_operation_kinds[] = {"get", "set", "delete", "cas", NULL};
const char *const neap_operation_results[] = {"ok", "refused", "fail", "unknown", NULL};

/* --- texts ---------------------------------------------------------------------------------------------- */

static uint32_t *slot_of(const texts *t, neap_view text) {
  uint32_t at = (uint32_t)neap_hash_bytes(text.ptr, text.size) & t->mask;
  for (;; at = (at + 1) & t->mask) {
    uint32_t number = t->slots[at];
    if (number == 0) return &t->slots[at];
    if (t->sizes[number] == text.size && memcmp(t->items[number], text.ptr, text.size) == 0)
      return &t->slots[at];
  }
}

/* Twice the room. */
static bool grow(texts *t) {
  uint32_t capacity = t->capacity ? t->capacity * 2 : 64;
  char **items = realloc(t->items, capacity * sizeof *items);
  if (items) t->items = items;
  size_t *sizes = realloc(t->sizes, capacity * sizeof *sizes);
  if (sizes) t->sizes = sizes;
  uint32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);
  if (items == NULL || sizes == NULL || slots == NULL) {
    free(slots);
    return false;
  }
  free(t->slots);
  t->slots = slots;
  t->mask = capacity * 2 - 1;
  t->capacity = capacity;
  for (uint32_t i = 1; i <= t->count; i++) *slot_of(t, (neap_view){t->items[i], t->sizes[i]}) = i;
  return true;
}

/* The number of a text; 0: no memory. */
static uint32_t number_of(texts *t, neap_view text) {
  if (t->count + 1 >= t->capacity && !grow(t)) return 0;
  uint32_t *slot = slot_of(t, text);
  if (*slot) return *slot;
  char *copy = malloc(text.size + 1);
  if (copy == NULL) return 0;
  if (text.size) memcpy(copy, text.ptr, text.size);
  copy[text.size] = 0;
  uint32_t number = ++t->count;
  t->items[number] = copy;
  t->sizes[number] = text.size;
  return *slot = number;
}

static neap_view text_of(const texts *t, uint32_t number) {
  return (neap_view){t->items[number], t->sizes[number]};
}

/* --- life ----------------------------------------------------------------------------------------------- */

int neap_history_create(neap_history **out) {
  neap_history *history = calloc(1, sizeof *history);
  if (history == NULL) return NEAP_ENOMEM;
  *out = history;
  return 0;
}

void neap_history_destroy(neap_history **history) {
  neap_history *h = *history;
  *history = NULL;
  if (h == NULL) return;
  for (uint32_t i = 1; i <= h->names.count; i++) free(h->names.items[i]);
  free(h->names.items), free(h->names.sizes), free(h->names.slots);
  free(h->roles);
  free(h->ops);
  free(h);
}

uint32_t neap_history_count(const neap_history *history) {
  return history->count;
}
uint32_t neap_history_keys(const neap_history *history) {
  return history->keys;
}
uint32_t neap_history_clients(const neap_history *history) {
  return history->clients;
}
const neap_op *neap_history_ops(const neap_history *history) {
  return history->ops;
}

uint32_t neap_history_texts(const neap_history *history) {
  return history->names.count;
}

static neap_operation_value value_of(const neap_history *h, uint32_t value) {
  if (value == NEAP_VALUE_ANY) return (neap_operation_value){.known = false};
  if (value == NEAP_VALUE_ABSENT) return (neap_operation_value){.known = true};
  return (neap_operation_value){.known = true, .text = text_of(&h->names, value)};
}

uint32_t neap_history_get(const neap_history *history, uint32_t index, neap_operation *out) {
  const neap_op *op = &history->ops[index];
  *out = (neap_operation){.kind = (neap_operation_kind)op->kind,
                          .result = (neap_operation_result)op->result,
                          .eventual = op->eventual,
                          .client = text_of(&history->names, op->client),
                          .key = text_of(&history->names, op->key),
                          .value = value_of(history, op->value),
                          .expect = value_of(history, op->expect),
                          .version = op->version,
                          .expect_version = op->expect_version,
                          .invoked = op->invoked,
                          .returned = op->returned};
  return op->line;
}

/* --- adding --------------------------------------------------------------------------------------------- */

static const char *wrong_with(const neap_operation *o) {
  bool cas = o->kind == NEAP_OPERATION_CAS, get = o->kind == NEAP_OPERATION_GET;
  if (o->result != NEAP_RESULT_UNKNOWN && o->returned < o->invoked) return "returns before it is invoked";
  if (o->result == NEAP_RESULT_REFUSED && !cas) return "only cas can be refused";
  if (cas && !o->expect.known && o->expect_version == 0) return "cas without 'expect' or 'expect_version'";
  if (!cas && (o->expect.known || o->expect_version)) return "'expect' is of cas only";
  if (get && o->result == NEAP_RESULT_OK && !o->value.known && o->version == 0)
    return "a get has a 'value' (null: there was nothing) or a 'version'";
  if ((o->kind == NEAP_OPERATION_SET || cas) && (!o->value.known || o->value.text.ptr == NULL))
    return "set and cas have a 'value', which is not null";
  if (o->kind == NEAP_OPERATION_DELETE && o->value.known && o->value.text.ptr) return "delete has no 'value'";
  if (o->eventual && !get) return "only a get is eventual";
  return NULL;
}

/* Marks what a text is used for, and counts the first time. */
static bool note_role(neap_history *h, uint32_t number, uint8_t role, uint32_t *count) {
  if (number >= h->roles_capacity) {
    uint32_t capacity = NEAP_MAX(number + 1, h->roles_capacity * 2);
    uint8_t *roles = realloc(h->roles, capacity);
    if (roles == NULL) return false;
    memset(roles + h->roles_capacity, 0, capacity - h->roles_capacity);
    h->roles = roles;
    h->roles_capacity = capacity;
  }
  if (!(h->roles[number] & role)) (*count)++;
  h->roles[number] |= role;
  return true;
}

static bool number_value(neap_history *h, neap_operation_value value, uint32_t *out) {
  *out = !value.known ? (uint32_t)NEAP_VALUE_ANY : NEAP_VALUE_ABSENT;
  if (!value.known || value.text.ptr == NULL) return true;
  return (*out = number_of(&h->names, value.text)) != 0;
}

static bool make_op(neap_history *h, const neap_operation *o, neap_op *out) {
  bool unknown = o->result == NEAP_RESULT_UNKNOWN;
  *out = (neap_op){.invoked = o->invoked,
                   .returned = unknown ? NEAP_NEVER : o->returned,
                   .version = o->version,
                   .expect_version = o->expect_version,
                   .kind = (uint8_t)o->kind,
                   .result = (uint8_t)o->result,
                   .eventual = o->eventual};
  out->client = number_of(&h->names, o->client);
  out->key = number_of(&h->names, o->key);
  if (!out->client || !out->key || !number_value(h, o->value, &out->value) ||
      !number_value(h, o->expect, &out->expect))
    return false;
  if (o->kind == NEAP_OPERATION_DELETE) out->value = NEAP_VALUE_ABSENT;
  return note_role(h, out->key, ROLE_KEY, &h->keys) && note_role(h, out->client, ROLE_CLIENT, &h->clients);
}

static bool make_room(neap_history *h) {
  if (h->count < h->capacity) return true;
  uint32_t capacity = h->capacity ? h->capacity * 2 : 256;
  neap_op *ops = realloc(h->ops, capacity * sizeof *ops);
  if (ops == NULL) return false;
  h->ops = ops;
  h->capacity = capacity;
  return true;
}

int neap_history_add(neap_history *history, const neap_operation *operation, uint32_t line, neap_err *err) {
  const char *wrong = wrong_with(operation);
  if (wrong) return neap_fail(err, NEAP_EINVAL, "%s", wrong);
  if (history->count == NEAP_HISTORY_OPERATIONS_MAX)
    return neap_fail(err, NEAP_ETOOLARGE, "more than %d operations", NEAP_HISTORY_OPERATIONS_MAX);
  neap_op op;
  if (!make_room(history) || !make_op(history, operation, &op))
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  op.line = line;
  history->ops[history->count++] = op;
  return 0;
}

/* --- reading -------------------------------------------------------------------------------------------- */

typedef struct reader {
  neap_history *history;
  neap_source *source;
  uint32_t line;
  neap_err *err;
  char numbers[4][24]; /* texts of what was written as a number */
} reader;

static int fail_at(reader *r, int code, const char *text) {
  return neap_fail(r->err, code, "%s:%u: error: %s", neap_source_name(r->source), r->line, text);
}

/* A text, or an integer, which is taken for its digits. */
static bool as_text(json_t *json, char *number, neap_view *out) {
  if (json_is_integer(json)) {
    snprintf(number, sizeof(((reader *)0)->numbers[0]), "%lld", (long long)json_integer_value(json));
    *out = neap_view_of(number);
    return true;
  }
  if (!json_is_string(json)) return false;
  *out = (neap_view){json_string_value(json), json_string_length(json)};
  return true;
}

static bool as_value(json_t *json, char *number, neap_operation_value *out) {
  if (json == NULL) return true;
  out->known = true;
  return json_is_null(json) || as_text(json, number, &out->text);
}

static bool as_count(json_t *json, uint64_t *out) {
  if (json == NULL || json_is_null(json)) return true;
  if (!json_is_integer(json) || json_integer_value(json) < 0) return false;
  *out = (uint64_t)json_integer_value(json);
  return true;
}

/* Index in a list of names; -1: none of them. */
static int as_word(json_t *json, const char *const *words) {
  const char *text = json_string_value(json);
  for (int i = 0; text && words[i]; i++)
    if (strcmp(text, words[i]) == 0) return i;
  return -1;
}

static const char *read_fields(reader *r, json_t *json, neap_operation *o) {
  static const char *const modes[] = {"strong", "eventual", NULL};
  int kind = as_word(json_object_get(json, "op"), neap_operation_kinds);
  int result = as_word(json_object_get(json, "result"), neap_operation_results);
  json_t *mode = json_object_get(json, "mode");
  int eventual = mode ? as_word(mode, modes) : 0;
  if (kind < 0) return "'op' is get, set, delete or cas";
  if (result < 0) return "'result' is ok, refused, fail or unknown";
  if (eventual < 0) return "'mode' is strong or eventual";
  o->kind = (neap_operation_kind)kind;
  o->result = (neap_operation_result)result;
  o->eventual = eventual;
  if (!as_text(json_object_get(json, "client"), r->numbers[0], &o->client))
    return "'client' is a text or a number";
  if (!as_text(json_object_get(json, "key"), r->numbers[3], &o->key)) return "'key' is a text or a number";
  if (!as_value(json_object_get(json, "value"), r->numbers[1], &o->value) ||
      !as_value(json_object_get(json, "expect"), r->numbers[2], &o->expect))
    return "values are texts, integers or null";
  if (!as_count(json_object_get(json, "version"), &o->version) ||
      !as_count(json_object_get(json, "expect_version"), &o->expect_version))
    return "versions are integers from 0";
  json_t *invoked = json_object_get(json, "invoke"), *returned = json_object_get(json, "return");
  if (!json_is_integer(invoked) || !as_count(invoked, &o->invoked)) return "'invoke' is nanoseconds";
  if (!as_count(returned, &o->returned) || (!json_is_integer(returned) && result != NEAP_RESULT_UNKNOWN))
    return "'return' is nanoseconds";
  return NULL;
}

/* Misspelt fields would silently weaken what is proved. */
static const char *unknown_field(json_t *json) {
  static const char *const fields[] = {"client",         "op",     "key",    "value",  "expect", "version",
                                       "expect_version", "invoke", "return", "result", "mode",   "note"};
  const char *name;
  json_t *value;
  json_object_foreach(json, name, value) {
    size_t i = 0;
    while (i < NEAP_COUNT_OF(fields) && strcmp(fields[i], name) != 0) i++;
    if (i == NEAP_COUNT_OF(fields)) return name;
  }
  return NULL;
}

static int read_object(reader *r, json_t *json) {
  if (!json_is_object(json)) return fail_at(r, NEAP_ESYNTAX, "not an object");
  const char *unknown = unknown_field(json);
  if (unknown)
    return neap_fail(r->err, NEAP_ESYNTAX, "%s:%u: error: unknown field '%.40s'", neap_source_name(r->source),
                     r->line, unknown);
  neap_operation operation = {.invoked = 0};
  const char *wrong = read_fields(r, json, &operation);
  if (wrong) return fail_at(r, NEAP_ESYNTAX, wrong);
  neap_err inner;
  int rc = neap_history_add(r->history, &operation, r->line, &inner);
  return rc ? fail_at(r, rc, inner.text) : 0;
}

static int read_line(reader *r, const char *text, size_t size) {
  while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == ' ')) size--;
  if (size == 0) return 0;
  json_error_t error;
  json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
  if (json == NULL) return fail_at(r, NEAP_ESYNTAX, error.text);
  int rc = read_object(r, json);
  json_decref(json);
  return rc;
}

static int read_lines(reader *r) {
  neap_span *span = neap_source_span(r->source);
  for (r->line = 1;; r->line++) {
    int rc = neap_source_fill(r->source, NEAP_HISTORY_LINE_MAX + 1, r->err);
    if (rc) return rc;
    size_t size = (size_t)(span->end - span->at);
    if (size == 0) return 0;
    const char *end = memchr(span->at, '\n', size);
    size_t line = end ? (size_t)(end - span->at) : size;
    if (line > NEAP_HISTORY_LINE_MAX) return fail_at(r, NEAP_ESYNTAX, "the line is longer than 60 KiB");
    rc = read_line(r, span->at, line);
    if (rc) return rc;
    span->at += end ? line + 1 : line;
  }
}

/* Takes the source, if `rc` says that there is one. */
static int read_source(neap_history *history, neap_source *source, int rc, neap_err *err) {
  if (rc) return rc;
  reader r = {.history = history, .source = source, .err = err};
  rc = read_lines(&r);
  neap_source_close(&source);
  return rc;
}

int neap_history_read(neap_history *history, const char *path, neap_err *err) {
  neap_source *source = NULL;
  int rc = neap_source_open(path, &source, err);
  return read_source(history, source, rc, err);
}

int neap_history_read_stream(neap_history *history, FILE *stream, const char *name, neap_err *err) {
  neap_source *source = NULL;
  int rc = neap_source_open_stream(stream, name, &source, err);
  return read_source(history, source, rc, err);
}
