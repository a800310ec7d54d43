/* What the tests of the codec stand on: keyrings, records, bodies by kind, codecs with one line of options.
 */
#ifndef NEAP_TESTS_STORE_CODEC_RIG_H
#define NEAP_TESTS_STORE_CODEC_RIG_H

#include <stdlib.h>

#include "base/base.h"
#include "base/random.h"
#include "store/codec_impl.h"
#include "unit.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef"

static inline neap_view view(const char *text) {
  return neap_view_of(text);
}

static inline neap_keyring *keyring_of(const char *text) {
  neap_keyring *keyring;
  neap_err err = {.text = ""};
  if (neap_keyring_parse(view(text), "keys", &keyring, &err)) fail_msg("%s", err.text);
  return keyring;
}

/* Takes the caller's reference to `keyring`, which may be NULL. */
static inline neap_codec *codec_with(const neap_codec_options *options, neap_keyring *keyring,
                                     neap_dictionaries *dictionaries) {
  neap_codec *codec;
  neap_err err = {.text = ""};
  if (neap_codec_create(options, keyring, dictionaries, &codec, &err)) fail_msg("%s", err.text);
  neap_keyring_unref(&keyring);
  return codec;
}

static inline neap_codec *codec_of(neap_compression compression, neap_cipher cipher) {
  neap_codec_options options = neap_codec_options_default;
  options.compression = compression;
  options.cipher = cipher;
  options.max_object = 1 << 20;
  return codec_with(&options, keyring_of("7 " KEY_A), NULL);
}

/* Text that compresses: words by chance. */
static inline char *make_text(size_t size, uint64_t seed) {
  static const char *const words[] = {"moon ", "tide ", "water ", "low ", "high ", "neap ", "spring ", "\n"};
  neap_random random = {seed};
  char *text = malloc(size + 8);
  assert_non_null(text);
  for (size_t at = 0; at < size;) {
    const char *word = words[neap_random_below(&random, NEAP_COUNT_OF(words))];
    size_t n = NEAP_MIN(strlen(word), size - at);
    memcpy(text + at, word, n);
    at += n;
  }
  return text;
}

static inline char *make_noise(size_t size, uint64_t seed) {
  neap_random random = {seed};
  char *noise = malloc(size + 8);
  assert_non_null(noise);
  for (size_t at = 0; at < size; at++) noise[at] = (char)neap_random_next(&random);
  return noise;
}

static inline neap_record record_of(neap_view meta, neap_view body) {
  return (neap_record){.ns = view("pages"),
                       .key = view("user:17"),
                       .version = UINT64_C(1790000000000001),
                       .created_ms = UINT64_C(1790000000000),
                       .expires_ms = UINT64_C(1790000060000),
                       .meta = meta,
                       .body = body};
}

/* Seals into memory of exactly the envelope's size, so that reading beyond it shows. The caller's to free. */
static inline neap_view sealed(neap_codec *codec, const neap_record *record) {
  neap_view bytes;
  assert_int_equal(neap_codec_seal(codec, record, &bytes), 0);
  char *copy = malloc(bytes.size);
  assert_non_null(copy);
  memcpy(copy, bytes.ptr, bytes.size);
  return (neap_view){copy, bytes.size};
}

static inline void free_view(neap_view bytes) {
  free((void *)(uintptr_t)bytes.ptr);
}

static inline void assert_same_bytes(neap_view a, neap_view b) {
  assert_int_equal(a.size, b.size);
  if (a.size) assert_memory_equal(a.ptr, b.ptr, a.size);
}

static inline void assert_same_record(const neap_record *a, const neap_record *b) {
  assert_same_bytes(a->ns, b->ns);
  assert_same_bytes(a->key, b->key);
  assert_same_bytes(a->meta, b->meta);
  assert_same_bytes(a->body, b->body);
  assert_true(a->version == b->version && a->created_ms == b->created_ms && a->expires_ms == b->expires_ms);
  assert_true(a->stale_until_ms == b->stale_until_ms && a->epoch == b->epoch && a->cost_us == b->cost_us);
  assert_int_equal(a->flags, b->flags);
  assert_int_equal(a->tag_count, b->tag_count);
  for (uint32_t i = 0; i < a->tag_count; i++)
    assert_true(a->tags[i].hash == b->tags[i].hash && a->tags[i].epoch == b->tags[i].epoch);
}

static inline uint64_t misses(const neap_codec *codec, neap_opened reason) {
  neap_codec_stats stats;
  neap_codec_stats_get(codec, &stats);
  return stats.misses[reason];
}

#endif
