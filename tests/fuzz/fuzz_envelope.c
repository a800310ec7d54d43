/* Envelopes: hostile bytes are a miss and nothing else; what is sealed comes back; no change to an encrypted
 * record is ever opened. The first byte chooses which of them, and the codec. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec_impl.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { CIPHERS = 3, COMPRESSIONS = 3, MAX_OBJECT = 1 << 16 };

static neap_codec *codecs[CIPHERS][COMPRESSIONS];
static const neap_view ns = {"pages", 5}, key = {"user:17", 7};

/* The same in every run: an id in the corpus stays the right one. */
static neap_dictionaries *train(void) {
  enum { SAMPLES = 400, SAMPLE_MAX = 120 };
  static char samples[SAMPLES * SAMPLE_MAX], trained[4096];
  size_t sizes[SAMPLES];
  char *at = samples;
  for (int i = 0; i < SAMPLES; i++)
    at += sizes[i] =
        (size_t)snprintf(at, SAMPLE_MAX, "{\"id\":%d,\"name\":\"user%d\",\"roles\":[\"%s\",\"field\"]}",
                         i * 7919, i * 31, i % 3 ? "reader" : "writer of the body");
  ptrdiff_t size = neap_dictionary_train(samples, sizes, SAMPLES, trained, sizeof trained);
  neap_dictionaries *set;
  neap_view dictionary = {trained, (size_t)size};
  neap_assert(size > 0 && neap_dictionaries_create(&dictionary, 1, 1, &set, NULL) == 0);
  return set;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  neap_dictionaries *dictionaries = train();
  neap_keyring *keyring;
  neap_err err;
  neap_assert(neap_keyring_parse(neap_view_of("1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), "keys",
                                 &keyring, &err) == 0);
  for (int cipher = 0; cipher < CIPHERS; cipher++)
    for (int compression = 0; compression < COMPRESSIONS; compression++) {
      neap_codec_options options = neap_codec_options_default;
      options.cipher = (neap_cipher)cipher;
      options.compression = (neap_compression)compression;
      options.compress_min = 1;
      options.max_object = MAX_OBJECT;
      options.accept_plain = true;
      neap_assert(neap_codec_create(&options, keyring, dictionaries, &codecs[cipher][compression], &err) ==
                  0);
    }
  return 0;
}

/* Opens a copy of exactly these bytes; what is opened is within bounds and can be read. */
static neap_opened open_exactly(neap_codec *codec, const char *bytes, size_t size) {
  static volatile char sink;
  char *exact = malloc(size + 1);
  neap_record record;
  if (exact == NULL) return NEAP_OPEN_NO_MEMORY;
  if (size) memcpy(exact, bytes, size);
  neap_opened opened = neap_codec_open(codec, ns, key, (neap_view){exact, size}, &record);
  if (opened == NEAP_OPENED) {
    neap_assert(record.meta.size + record.body.size <= MAX_OBJECT);
    neap_assert(record.tag_count <= NEAP_RECORD_TAGS_MAX);
    for (size_t i = 0; i < record.meta.size; i++) sink = (char)(sink ^ record.meta.ptr[i]);
    for (size_t i = 0; i < record.body.size; i++) sink = (char)(sink ^ record.body.ptr[i]);
  }
  free(exact);
  return opened;
}

/* Gives bytes that are an envelope the checksum that they should have, so that what is behind it is reached.
 */
static void open_with_checksum(neap_codec *codec, const char *bytes, size_t size) {
  neap_envelope envelope;
  neap_record record;
  neap_record_tag tags[NEAP_RECORD_TAGS_MAX];
  char aad[NEAP_ENVELOPE_FIXED + 4 + 5 + 4 + 7 + 4096], *copy = malloc(size + 1);
  if (copy == NULL) return;
  memcpy(copy, bytes, size);
  if (neap_envelope_read((neap_view){copy, size}, MAX_OBJECT, &envelope, &record, tags) == NEAP_OPENED &&
      envelope.cipher == NEAP_CIPHER_NONE && envelope.head_size <= 4096) {
    memcpy(aad, "\5\0\0\0pages\7\0\0\0user:17", 20);
    memcpy(aad + 20, copy, envelope.head_size);
    uint64_t sum = neap_envelope_sum(0, aad, 20 + envelope.head_size);
    sum = neap_envelope_sum_end(neap_envelope_sum(sum, envelope.payload, envelope.stored_size));
    neap_envelope_put(copy + (envelope.seal - copy), sum, NEAP_ENVELOPE_CHECKSUM);
    neap_opened opened = open_exactly(codec, copy, size);
    neap_assert(opened != NEAP_OPEN_CHECKSUM && opened != NEAP_OPEN_MALFORMED && opened != NEAP_OPEN_NEWER);
  }
  free(copy);
}

static neap_record record_of(const char *bytes, size_t size, neap_record_tag *tag) {
  char fields[32] = {0};
  size_t taken = NEAP_MIN(size, sizeof fields);
  if (taken) memcpy(fields, bytes, taken);
  bytes += taken, size -= taken;
  size_t meta = size ? (unsigned char)fields[0] * size / 256 : 0;
  *tag = (neap_record_tag){neap_envelope_get(fields + 1, 4), neap_envelope_get(fields + 5, 4)};
  return (neap_record){.ns = ns,
                       .key = key,
                       .version = neap_envelope_get(fields + 9, 8),
                       .created_ms = neap_envelope_get(fields + 17, 4),
                       .expires_ms = neap_envelope_get(fields + 21, 4),
                       .stale_until_ms = neap_envelope_get(fields + 25, 2),
                       .epoch = neap_envelope_get(fields + 27, 1),
                       .cost_us = (uint32_t)neap_envelope_get(fields + 28, 2),
                       .flags = (uint8_t)(fields[30] & 3),
                       .tags = tag,
                       .tag_count = (uint32_t)(fields[31] & 1),
                       .meta = {bytes, meta},
                       .body = {bytes + meta, size - meta}};
}

static bool same(neap_view a, neap_view b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.ptr, b.ptr, a.size) == 0);
}

static void round_trip(neap_codec *codec, const char *bytes, size_t size) {
  neap_record_tag tag;
  neap_record in = record_of(bytes, size, &tag), out;
  neap_view envelope;
  neap_assert(neap_codec_seal(codec, &in, &envelope) == 0);
  neap_assert(neap_codec_open(codec, ns, key, envelope, &out) == NEAP_OPENED);
  neap_assert(same(in.meta, out.meta) && same(in.body, out.body) && in.version == out.version);
  neap_assert(in.expires_ms == out.expires_ms && in.stale_until_ms == out.stale_until_ms);
  neap_assert(in.epoch == out.epoch && in.cost_us == out.cost_us && in.flags == out.flags);
  neap_assert(in.created_ms == out.created_ms && in.tag_count == out.tag_count);
  if (in.tag_count) neap_assert(out.tags[0].hash == tag.hash && out.tags[0].epoch == tag.epoch);
}

/* Changes bytes of a good record: pairs of where and how. */
static void change(neap_codec *codec, const char *bytes, size_t size, bool encrypted) {
  neap_record in = {.ns = ns, .key = key, .version = 1, .body = neap_view_of("the body of this record")};
  neap_view envelope;
  char good[256], changed[256];
  neap_assert(neap_codec_seal(codec, &in, &envelope) == 0 && envelope.size <= sizeof good);
  memcpy(good, envelope.ptr, envelope.size);
  memcpy(changed, good, envelope.size);
  for (size_t i = 0; i + 1 < size; i += 2) changed[(unsigned char)bytes[i] % envelope.size] ^= bytes[i + 1];
  bool differs = memcmp(good, changed, envelope.size) != 0;
  neap_opened opened = open_exactly(codec, changed, envelope.size);
  neap_assert(differs || opened == NEAP_OPENED);
  /* 64 bits of checksum keep out accidents, not a fuzzer with time: only a cipher promises */
  if (differs && encrypted && changed[6]) neap_assert(opened != NEAP_OPENED);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0 || size > MAX_OBJECT) return 0;
  unsigned how = bytes[0], cipher = how / 4 % CIPHERS;
  neap_codec *codec = codecs[cipher][how / 4 / CIPHERS % COMPRESSIONS];
  const char *rest = (const char *)bytes + 1;
  switch (how % 4) {
  case 0: open_exactly(codec, rest, size - 1); break;
  case 1: open_with_checksum(codec, rest, size - 1); break;
  case 2: round_trip(codec, rest, size - 1); break;
  default: change(codec, rest, size - 1, cipher != NEAP_CIPHER_NONE); break;
  }
  return 0;
}
