#include "server/targets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum {
  WAYS = 4,
  ROW_SHARE = 320, /* bytes of memory for which there is a row */
  DIGITS_MAX = 15,
  KEY_MAX = 4096 /* of one text */
};

enum { HOST, TARGET, ENCODING, KEY, STORED, TEXTS };
_Static_assert(sizeof((neap_target){0}.sizes) / sizeof(uint16_t) == TEXTS, "a size for each");

struct neap_targets {
  neap_target *rows;
  size_t row_count; /* a multiple of WAYS, its WAYS-th a power of two */
  size_t count, hand;
  uint64_t memory, limit, stamp;
  neap_hash_key key;
  void (*gone)(void *user, neap_target *target);
  void *user;
};

int neap_targets_create(uint64_t memory, const neap_hash_key *key, neap_targets **out) {
  neap_targets *made = calloc(1, sizeof *made);
  if (made == NULL) return NEAP_ENOMEM;
  made->row_count = WAYS;
  while (made->row_count * 2 * ROW_SHARE <= memory) made->row_count *= 2;
  made->rows = calloc(made->row_count, sizeof *made->rows);
  if (made->rows == NULL) {
    free(made);
    return NEAP_ENOMEM;
  }
  made->memory = made->row_count * sizeof *made->rows;
  made->limit = memory;
  made->key = *key;
  *out = made;
  return 0;
}

void neap_targets_on_gone(neap_targets *targets, void (*gone)(void *user, neap_target *target), void *user) {
  targets->gone = gone;
  targets->user = user;
}

void neap_targets_destroy(neap_targets **targets) {
  if (*targets == NULL) return;
  for (size_t i = 0; i < (*targets)->row_count; i++) free((*targets)->rows[i].texts);
  free((*targets)->rows);
  free(*targets);
  *targets = NULL;
}

uint64_t neap_targets_memory(const neap_targets *targets) {
  return targets->memory;
}

uint64_t neap_targets_limit(const neap_targets *targets) {
  return targets->limit;
}

size_t neap_targets_count(const neap_targets *targets) {
  return targets->count;
}

/* --- texts */

static size_t texts_size(const neap_target *target) {
  size_t size = 0;
  for (int i = 0; i < TEXTS; i++) size += target->sizes[i];
  return size;
}

static neap_view text_of(const neap_target *target, int index) {
  const char *at = target->texts;
  for (int i = 0; i < index; i++) at += target->sizes[i];
  return (neap_view){at ? at : "", target->sizes[index]};
}

neap_view neap_target_host(const neap_target *target) {
  return text_of(target, HOST);
}

neap_view neap_target_target(const neap_target *target) {
  return text_of(target, TARGET);
}

neap_view neap_target_encoding(const neap_target *target) {
  return text_of(target, ENCODING);
}

neap_view neap_target_key(const neap_target *target) {
  return text_of(target, KEY);
}

neap_view neap_target_stored(const neap_target *target) {
  return text_of(target, target->sizes[STORED] > 0 ? STORED : KEY);
}

/* --- giving way */

static void forget(neap_targets *targets, neap_target *target) {
  if (targets->gone) targets->gone(targets->user, target);
  targets->memory -= texts_size(target);
  targets->count--;
  free(target->texts);
  *target = (neap_target){0};
}

/* Once around, what is not held gives way until `size` more bytes fit. */
static bool make_room(neap_targets *targets, size_t size, const neap_target *keep) {
  for (size_t i = 0; i < targets->row_count && targets->memory + size > targets->limit; i++) {
    neap_target *row = &targets->rows[targets->hand];
    targets->hand = (targets->hand + 1) % targets->row_count;
    if (row->hash != 0 && row->pins == 0 && row != keep) forget(targets, row);
  }
  return targets->memory + size <= targets->limit;
}

/* Other texts in the place of those that it has. False: they stay. */
static bool set_texts(neap_targets *targets, neap_target *target, const neap_view texts[TEXTS]) {
  size_t size = 0, old = texts_size(target);
  for (int i = 0; i < TEXTS; i++) {
    if (texts[i].size > KEY_MAX) return false;
    size += texts[i].size;
  }
  if (size > old && !make_room(targets, size - old, target)) return false;
  char *made = malloc(size + 1), *at = made;
  if (made == NULL) return false;
  for (int i = 0; i < TEXTS; i++) {
    if (texts[i].size > 0) memcpy(at, texts[i].ptr, texts[i].size);
    at += texts[i].size;
  }
  for (int i = 0; i < TEXTS; i++) target->sizes[i] = (uint16_t)texts[i].size;
  free(target->texts);
  target->texts = made;
  targets->memory += size;
  targets->memory -= old;
  return true;
}

static bool is_same(neap_view a, neap_view b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.ptr, b.ptr, a.size) == 0);
}

/* --- finding */

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

uint64_t neap_targets_hash(const neap_targets *targets, neap_view host, neap_view target) {
  char text[256];
  size_t size = NEAP_MIN(host.size, sizeof text);
  for (size_t i = 0; i < size; i++) text[i] = lower(host.ptr[i]);
  uint64_t hash = neap_keyed_hash(&targets->key, text, size);
  hash = neap_hash_mix(hash ^ targets->key.b, neap_keyed_hash(&targets->key, target.ptr, target.size));
  return hash >> 11 ? hash : hash | 1u << 11;
}

static neap_target *set_of(const neap_targets *targets, uint64_t hash) {
  return &targets->rows[(hash >> 11) % (targets->row_count / WAYS) * WAYS];
}

static neap_target *find(neap_targets *targets, uint64_t hash, int shift) {
  neap_target *set = set_of(targets, hash);
  for (int i = 0; i < WAYS; i++)
    if (set[i].hash != 0 && set[i].hash >> shift == hash >> shift) {
      set[i].used = ++targets->stamp;
      return &set[i];
    }
  return NULL;
}

neap_target *neap_targets_find(neap_targets *targets, uint64_t hash) {
  return find(targets, hash, 0);
}

neap_target *neap_targets_find_short(neap_targets *targets, double hash) {
  if (!(hash >= 1 && hash < 0x1p53) || hash != floor(hash)) return NULL;
  return find(targets, (uint64_t)hash << 11, 11);
}

/* A free row, or that of the set which was used longest ago. NULL: all are held. */
static neap_target *free_row(neap_targets *targets, uint64_t hash) {
  neap_target *set = set_of(targets, hash), *oldest = NULL;
  for (int i = 0; i < WAYS; i++) {
    if (set[i].hash == 0) return &set[i];
    if (set[i].pins == 0 && (oldest == NULL || set[i].used < oldest->used)) oldest = &set[i];
  }
  if (oldest) forget(targets, oldest);
  return oldest;
}

neap_target *neap_targets_note(neap_targets *targets, neap_view host, neap_view target, neap_view encoding) {
  uint64_t hash = neap_targets_hash(targets, host, target);
  neap_target *row = find(targets, hash, 0);
  if (row != NULL) {
    const neap_view texts[TEXTS] = {text_of(row, HOST), text_of(row, TARGET), encoding, text_of(row, KEY),
                                    text_of(row, STORED)};
    if (encoding.size > 0 && !is_same(encoding, text_of(row, ENCODING))) set_texts(targets, row, texts);
    return row;
  }
  row = free_row(targets, hash);
  if (row == NULL) return NULL;
  const neap_view texts[TEXTS] = {host, target, encoding, {"", 0}, {"", 0}};
  if (!set_texts(targets, row, texts)) return NULL;
  row->hash = hash;
  row->used = ++targets->stamp;
  targets->count++;
  return row;
}

void neap_targets_set_keys(neap_targets *targets, neap_target *target, neap_view key, neap_view stored) {
  if (is_same(key, text_of(target, KEY)) && is_same(stored, text_of(target, STORED))) return;
  const neap_view texts[TEXTS] = {text_of(target, HOST), text_of(target, TARGET), text_of(target, ENCODING),
                                  key, stored};
  set_texts(targets, target, texts);
}

void neap_targets_move(neap_targets *to, neap_targets **from) {
  for (size_t i = 0; i < (*from)->row_count; i++) {
    neap_target *old = &(*from)->rows[i];
    if (old->hash == 0) continue;
    neap_target *row =
        neap_targets_note(to, neap_target_host(old), neap_target_target(old), neap_target_encoding(old));
    if (row == NULL) {
      if (to->gone) to->gone(to->user, old);
      continue;
    }
    neap_targets_set_keys(to, row, text_of(old, KEY), text_of(old, STORED));
    row->size = old->size, row->asked_ms = old->asked_ms, row->barred_ms = old->barred_ms;
    row->pins = old->pins, row->shelved = old->shelved;
  }
  neap_targets_destroy(from);
}

/* --- numbers */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool neap_target_number_of(neap_view target, neap_target_number *out) {
  size_t end = target.size;
  while (end > 0 && !is_digit(target.ptr[end - 1])) end--;
  size_t at = end;
  while (at > 0 && is_digit(target.ptr[at - 1])) at--;
  if (at == end || end - at > DIGITS_MAX) return false;
  *out = (neap_target_number){.at = at, .size = end - at};
  for (size_t i = at; i < end; i++) out->value = out->value * 10 + (target.ptr[i] - '0');
  return true;
}

ssize_t neap_target_renumber(neap_view target, double number, char *out, size_t capacity) {
  neap_target_number old;
  if (!neap_target_number_of(target, &old)) return NEAP_EINVAL;
  if (!(number >= 0 && number < 1e15) || number != floor(number)) return NEAP_EINVAL;
  bool padded = old.size > 1 && target.ptr[old.at] == '0';
  int size = snprintf(out, capacity, "%.*s%0*llu%.*s", (int)old.at, target.ptr, padded ? (int)old.size : 1,
                      (unsigned long long)number, (int)(target.size - old.at - old.size),
                      target.ptr + old.at + old.size);
  return size < 0 || (size_t)size >= capacity ? NEAP_ESMALL : size;
}
