/* The keyring: keys in locked memory, read from text that is wiped as soon as it was read. */
#include "store/codec_impl.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/file.h"

enum { FILE_MAX = 64 << 10 };

typedef struct reader {
  const char *name;
  int line;
  neap_keyring *keyring;
  neap_err *err;
} reader;

static int fail_at(const reader *r, int code, const char *text) {
  return neap_fail(r->err, code, "%s:%d: error: %s", r->name, r->line, text);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static neap_view trim(neap_view text) {
  while (text.size > 0 && is_blank(text.ptr[0])) text.ptr++, text.size--;
  while (text.size > 0 && is_blank(text.ptr[text.size - 1])) text.size--;
  return text;
}

/* Takes the digits of an id and what parts it from the key. */
static bool read_id(neap_view *text, uint32_t *out) {
  uint64_t id = 0;
  size_t at = 0;
  for (; at < text->size && text->ptr[at] >= '0' && text->ptr[at] <= '9'; at++) {
    id = id * 10 + (uint64_t)(text->ptr[at] - '0');
    if (id > UINT32_MAX) return false;
  }
  if (id == 0 || at == text->size || !(is_blank(text->ptr[at]) || text->ptr[at] == ':')) return false;
  *text = trim((neap_view){text->ptr + at + 1, text->size - at - 1});
  *out = (uint32_t)id;
  return true;
}

/* Both decoders take the same time for every key of one length. */
static bool read_key(neap_view text, uint8_t *out) {
  size_t size = 0;
  if (text.size == 2 * NEAP_KEY_BYTES)
    return sodium_hex2bin(out, NEAP_KEY_BYTES, text.ptr, text.size, NULL, &size, NULL) == 0 &&
           size == NEAP_KEY_BYTES;
  static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                                 sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
  for (size_t i = 0; i < NEAP_COUNT_OF(variants); i++)
    if (sodium_base642bin(out, NEAP_KEY_BYTES, text.ptr, text.size, NULL, &size, NULL, variants[i]) == 0 &&
        size == NEAP_KEY_BYTES)
      return true;
  return false;
}

static int read_entry(reader *r, neap_view text) {
  neap_keyring *keyring = r->keyring;
  if (keyring->count == NEAP_KEYRING_MAX) return fail_at(r, NEAP_EINVAL, "more than 64 keys");
  neap_key *key = &keyring->keys[keyring->count];
  if (!read_id(&text, &key->id)) return fail_at(r, NEAP_ESYNTAX, "expected 'ID KEY', ID is 1..4294967295");
  if (neap_keyring_find(keyring, key->id)) return fail_at(r, NEAP_EINVAL, "this id stands here twice");
  if (!read_key(text, key->bytes))
    return fail_at(r, NEAP_ESYNTAX, "a key is 32 bytes, as 64 hex digits or in base64");
  if (sodium_is_zero(key->bytes, NEAP_KEY_BYTES)) return fail_at(r, NEAP_EINVAL, "the key is all zeros");
  keyring->count++;
  return 0;
}

/* One line: entries parted by ',' or ';'. */
static int read_line(reader *r, neap_view line) {
  line = trim(line);
  if (line.size > 0 && line.ptr[0] == '#') return 0;
  while (line.size > 0) {
    size_t size = 0;
    while (size < line.size && line.ptr[size] != ',' && line.ptr[size] != ';') size++;
    neap_view entry = trim((neap_view){line.ptr, size});
    int rc = entry.size ? read_entry(r, entry) : 0;
    if (rc) return rc;
    size_t step = NEAP_MIN(size + 1, line.size);
    line.ptr += step, line.size -= step;
  }
  return 0;
}

static int read_text(reader *r, neap_view text) {
  for (r->line = 1; text.size > 0; r->line++) {
    const char *end = memchr(text.ptr, '\n', text.size);
    size_t size = end ? (size_t)(end - text.ptr) : text.size;
    int rc = read_line(r, (neap_view){text.ptr, size});
    if (rc) return rc;
    size_t step = NEAP_MIN(size + 1, text.size);
    text.ptr += step, text.size -= step;
  }
  if (r->keyring->count == 0) return neap_fail(r->err, NEAP_EINVAL, "%s: error: no keys", r->name);
  return 0;
}

static neap_keyring *make(void) {
  neap_keyring *keyring = sodium_init() < 0 ? NULL : malloc(sizeof *keyring);
  if (keyring == NULL) return NULL;
  *keyring = (neap_keyring){.keys = sodium_malloc(NEAP_KEYRING_MAX * sizeof(neap_key))};
  atomic_init(&keyring->refs, 1);
  if (keyring->keys) return keyring;
  free(keyring);
  return NULL;
}

int neap_keyring_parse(neap_view text, const char *name, neap_keyring **out, neap_err *err) {
  neap_keyring *keyring = make();
  if (keyring == NULL) return neap_fail(err, NEAP_ENOMEM, "%s: error: no memory for keys", name);
  reader r = {.name = name, .keyring = keyring, .err = err};
  int rc = read_text(&r, text);
  if (rc) {
    neap_keyring_unref(&keyring);
    return rc;
  }
  sodium_mprotect_readonly(keyring->keys);
  *out = keyring;
  return 0;
}

/* Secrets are no secrets where others read them, and no keys where others write them. */
static const char *wrong_with(const struct stat *about) {
  if (about->st_uid != geteuid() && about->st_uid != 0) return "belongs to another user";
  if (about->st_mode & (S_IROTH | S_IWOTH | S_IXOTH)) return "others may read it: chmod o= it";
  if (about->st_mode & S_IWGRP) return "its group may write it: chmod g-w it";
  if (about->st_size > FILE_MAX) return "is larger than 64 KiB";
  return NULL;
}

static int read_file(FILE *file, const char *path, neap_keyring **out, neap_err *err) {
  struct stat about;
  if (fstat(fileno(file), &about)) return neap_fail(err, NEAP_EIO, "%s: error: %s", path, strerror(errno));
  const char *wrong = wrong_with(&about);
  if (wrong) return neap_fail(err, NEAP_EINVAL, "%s: error: %s", path, wrong);
  char *text = sodium_init() < 0 ? NULL : sodium_malloc(FILE_MAX);
  if (text == NULL) return neap_fail(err, NEAP_ENOMEM, "%s: error: no memory for keys", path);
  setvbuf(file, NULL, _IONBF, 0); /* no copy of it elsewhere */
  size_t size = fread(text, 1, FILE_MAX, file);
  int rc = ferror(file) ? neap_fail(err, NEAP_EIO, "%s: error: %s", path, strerror(errno))
                        : neap_keyring_parse((neap_view){text, size}, path, out, err);
  sodium_free(text); /* wipes */
  return rc;
}

int neap_keyring_open(const char *path, neap_keyring **out, neap_err *err) {
  FILE *file = neap_file_open(path);
  if (file == NULL) return neap_fail(err, NEAP_EIO, "%s: error: %s", path, strerror(errno));
  int rc = read_file(file, path, out, err);
  fclose(file);
  return rc;
}

int neap_keyring_from_env(const char *variable, neap_keyring **out, neap_err *err) {
  const char *text = getenv(variable);
  if (text == NULL) return neap_fail(err, NEAP_ENOTFOUND, "%s: error: not set", variable);
  return neap_keyring_parse(neap_view_of(text), variable, out, err);
}

neap_keyring *neap_keyring_ref(neap_keyring *keyring) {
  atomic_fetch_add_explicit(&keyring->refs, 1, memory_order_relaxed);
  return keyring;
}

void neap_keyring_unref(neap_keyring **keyring) {
  neap_keyring *k = *keyring;
  *keyring = NULL;
  if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1) return;
  sodium_free(k->keys); /* wipes */
  free(k);
}

uint32_t neap_keyring_current(const neap_keyring *keyring) {
  return keyring->keys[keyring->count - 1].id;
}

const neap_key *neap_keyring_find(const neap_keyring *keyring, uint32_t id) {
  for (uint32_t i = keyring->count; i-- > 0;) /* newest first: most records are of it */
    if (keyring->keys[i].id == id) return &keyring->keys[i];
  return NULL;
}
