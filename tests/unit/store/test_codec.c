/* The codec as a whole: round trips of everything, and everything that has to be a miss. */
#include <malloc.h>

#include "codec_rig.h"

static const neap_record_tag two_tags[] = {{5, 1}, {UINT64_MAX, 70}};

static neap_record full_record(neap_view meta, neap_view body) {
  neap_record record = record_of(meta, body);
  record.stale_until_ms = UINT64_C(1790000360000);
  record.epoch = 3;
  record.cost_us = 1500;
  record.flags = NEAP_RECORD_HTTP;
  record.tags = two_tags;
  record.tag_count = 2;
  return record;
}

static void test_codec_gives_back_what_it_got(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 1023, 1024, 4095, 4096, 100000};
  for (neap_compression compression = 0; compression <= NEAP_COMPRESSION_LZ4; compression++)
    for (neap_cipher cipher = 0; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
      neap_codec *codec = codec_of(compression, cipher);
      for (size_t i = 0; i < NEAP_COUNT_OF(sizes); i++)
        for (int kind = 0; kind < 4; kind++) {
          size_t meta = kind < 2 ? 0 : NEAP_MIN(sizes[i], (size_t)200);
          char *bytes = kind % 2 ? make_noise(sizes[i], i) : make_text(sizes[i], i);
          neap_record in = full_record((neap_view){bytes, meta}, (neap_view){bytes + meta, sizes[i] - meta});
          neap_record out;
          neap_view envelope = sealed(codec, &in);
          assert_true(envelope.size <= neap_codec_envelope_max(codec));
          assert_int_equal(neap_codec_open(codec, in.ns, in.key, envelope, &out), NEAP_OPENED);
          assert_same_record(&in, &out);
          free_view(envelope);
          free(bytes);
        }
      neap_codec_destroy(&codec);
      assert_null(codec);
    }
}

/* The bytes of version 1, for ever: docs/envelope.md shows the same. */
static void test_envelope_bytes_never_change(void **state) {
  (void)state;
  static const unsigned char expected[] = {
      'N',  'e',  'a', 'p', 1, 0, 0, 1, 7, 0, 0, 0, 0,    0, 0, 0,          /* to version */
      0x10, 0x27, 0,   0,   0, 0, 0, 0,                                     /* created 10000 */
      0x70, 0x17, 1,   0,   0, 0, 0, 0,                                     /* expires 71536 */
      0,    0,    0,   0,   3, 0, 0, 0, 3, 0, 0, 0, 0x1e, 0, 0, 0,          /* sizes, fields */
      1,    0x10, 0,   9,   0, 0, 0, 0, 0, 0, 0, 2, 0,    0, 0, 0, 0, 0, 0, /* tag 9:2 */
      3,    8,    0,   4,   0, 0, 0, 0, 0, 0, 0,                            /* epoch 4 */
      'a',  'b',  'c'};
  static const neap_record_tag tag = {9, 2};
  neap_record record = {.ns = view("n"),
                        .key = view("k"),
                        .version = 7,
                        .created_ms = 10000,
                        .expires_ms = 71536,
                        .epoch = 4,
                        .flags = NEAP_RECORD_NEGATIVE,
                        .tags = &tag,
                        .tag_count = 1,
                        .body = view("abc")};
  neap_codec *codec = codec_of(NEAP_COMPRESSION_ZSTD, NEAP_CIPHER_NONE);
  neap_view bytes;
  assert_int_equal(neap_codec_seal(codec, &record, &bytes), 0);
  assert_int_equal(bytes.size, sizeof expected + 8);
  assert_memory_equal(bytes.ptr, expected, sizeof expected);
  assert_true(neap_envelope_get(bytes.ptr + sizeof expected, 8) == UINT64_C(0xe379d33726b549fa));
  neap_codec_destroy(&codec);
}

static void test_codec_takes_a_record_for_its_own_key_only(void **state) {
  (void)state;
  for (neap_cipher cipher = 0; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    neap_codec *codec = codec_of(NEAP_COMPRESSION_NONE, cipher);
    neap_record in = record_of(view(""), view("secret of 17")), out;
    in.ns = view("ab");
    in.key = view("cd");
    neap_view bytes = sealed(codec, &in);
    static const char *const others[][2] = {{"ab", "ce"}, {"ac", "cd"}, {"a", "bcd"}, {"abc", "d"},
                                            {"", "abcd"}, {"abcd", ""}, {"ab", ""},   {"ab", "cd "}};
    neap_opened reason = cipher ? NEAP_OPEN_FORGED : NEAP_OPEN_CHECKSUM;
    for (size_t i = 0; i < NEAP_COUNT_OF(others); i++)
      assert_int_equal(neap_codec_open(codec, view(others[i][0]), view(others[i][1]), bytes, &out), reason);
    assert_int_equal(misses(codec, reason), NEAP_COUNT_OF(others));
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, bytes, &out), NEAP_OPENED);
    free_view(bytes);
    neap_codec_destroy(&codec);
  }
}

static void test_codec_refuses_what_is_cut_or_longer(void **state) {
  (void)state;
  for (neap_cipher cipher = 0; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    neap_codec *codec = codec_of(NEAP_COMPRESSION_ZSTD, cipher);
    char *text = make_text(3000, 1);
    neap_record in = full_record(view("head"), (neap_view){text, 3000}), out;
    neap_view bytes = sealed(codec, &in);
    for (size_t size = 0; size < bytes.size; size++) {
      char *cut = malloc(size + 1);
      memcpy(cut, bytes.ptr, size);
      assert_int_equal(neap_codec_open(codec, in.ns, in.key, (neap_view){cut, size}, &out),
                       NEAP_OPEN_MALFORMED);
      free(cut);
    }
    char *longer = calloc(1, bytes.size + 1);
    memcpy(longer, bytes.ptr, bytes.size);
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, (neap_view){longer, bytes.size + 1}, &out),
                     NEAP_OPEN_MALFORMED);
    assert_int_equal(misses(codec, NEAP_OPEN_MALFORMED), bytes.size + 1);
    free(longer), free(text);
    free_view(bytes);
    neap_codec_destroy(&codec);
  }
}

/* The checksum, too, sees each single bit. */
static void test_codec_refuses_every_flipped_bit(void **state) {
  (void)state;
  for (neap_cipher cipher = 0; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++)
    for (neap_compression compression = 0; compression <= NEAP_COMPRESSION_LZ4; compression++) {
      neap_codec *codec = codec_of(compression, cipher);
      char *text = make_text(1500, 2);
      neap_record in = full_record(view("head"), (neap_view){text, 1500}), out = {.version = 12345};
      neap_view bytes = sealed(codec, &in);
      char *at = (char *)(uintptr_t)bytes.ptr;
      for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        at[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_not_equal(neap_codec_open(codec, in.ns, in.key, bytes, &out), NEAP_OPENED);
        at[bit / 8] ^= (char)(1 << bit % 8);
      }
      assert_int_equal(out.version, 12345); /* not touched */
      assert_int_equal(neap_codec_open(codec, in.ns, in.key, bytes, &out), NEAP_OPENED);
      free_view(bytes);
      free(text);
      neap_codec_destroy(&codec);
    }
}

static neap_opened open_changed(neap_codec *codec, const neap_record *record, size_t at, char value) {
  neap_view bytes = sealed(codec, record);
  neap_record out;
  ((char *)(uintptr_t)bytes.ptr)[at] = value;
  neap_opened opened = neap_codec_open(codec, record->ns, record->key, bytes, &out);
  free_view(bytes);
  return opened;
}

static void test_codec_counts_a_newer_version_as_a_miss(void **state) {
  (void)state;
  neap_codec *codec = codec_of(NEAP_COMPRESSION_ZSTD, NEAP_CIPHER_XCHACHA20_POLY1305);
  neap_record in = full_record(view("head"), view("body"));
  assert_int_equal(open_changed(codec, &in, 4, 2), NEAP_OPEN_NEWER);         /* format */
  assert_int_equal(open_changed(codec, &in, 4, (char)255), NEAP_OPEN_NEWER); /* format */
  assert_int_equal(open_changed(codec, &in, 4, 0), NEAP_OPEN_MALFORMED);     /* there was never a 0 */
  assert_int_equal(open_changed(codec, &in, 5, 3), NEAP_OPEN_NEWER);         /* compression */
  assert_int_equal(open_changed(codec, &in, 6, 3), NEAP_OPEN_NEWER);         /* cipher */
  assert_int_equal(open_changed(codec, &in, 7, 4), NEAP_OPEN_NEWER);         /* flags */
  assert_int_equal(open_changed(codec, &in, 46, 1), NEAP_OPEN_NEWER);        /* reserved */
  assert_int_equal(misses(codec, NEAP_OPEN_NEWER), 6);
  neap_record out;
  assert_int_equal(neap_codec_open(codec, in.ns, in.key, view("Neap\x02 whatever comes then"), &out),
                   NEAP_OPEN_NEWER);
  neap_codec_destroy(&codec);
}

/* An envelope put together by hand, with a right checksum. */
static neap_opened open_fields(neap_codec *codec, neap_view fields, neap_record *out) {
  neap_view ns = view("n"), key = view("k");
  static char bytes[70000], aad[70000];
  memset(bytes, 0, NEAP_ENVELOPE_FIXED);
  memcpy(bytes, "Neap\x01", 5);
  neap_envelope_put(bytes + 36, 4, 4);
  neap_envelope_put(bytes + 40, 4, 4);
  neap_envelope_put(bytes + 44, fields.size, 2);
  memcpy(bytes + 48, fields.ptr, fields.size);
  size_t head = 48 + fields.size;
  memcpy(bytes + head, "body", 4);
  memcpy(aad, "\1\0\0\0n\1\0\0\0k", 10);
  memcpy(aad + 10, bytes, head);
  uint64_t sum = neap_envelope_sum(neap_envelope_sum(0, aad, 10 + head), bytes + head, 4);
  neap_envelope_put(bytes + head + 4, neap_envelope_sum_end(sum), 8);
  return neap_codec_open(codec, ns, key, (neap_view){bytes, head + 12}, out);
}

#define FIELDS(text) ((neap_view){text, sizeof text - 1})

static void test_envelope_fields_are_canonical(void **state) {
  (void)state;
  neap_codec *codec = codec_of(NEAP_COMPRESSION_NONE, NEAP_CIPHER_NONE);
  neap_record out;
  assert_int_equal(open_fields(codec, FIELDS(""), &out), NEAP_OPENED);
  assert_int_equal(open_fields(codec, FIELDS("\4\4\0\1\0\0\0"), &out), NEAP_OPENED);
  assert_int_equal(out.cost_us, 1);
  /* unknown ones: below 128 change the meaning, from there on they do not */
  assert_int_equal(open_fields(codec, FIELDS("\x80\2\0hi"), &out), NEAP_OPENED);
  assert_int_equal(open_fields(codec, FIELDS("\x80\0\0\xff\1\0!"), &out), NEAP_OPENED);
  assert_int_equal(open_fields(codec, FIELDS("\6\1\0!"), &out), NEAP_OPEN_NEWER);
  assert_int_equal(open_fields(codec, FIELDS("\x7f\0\0"), &out), NEAP_OPEN_NEWER);
  static const neap_view wrong[] = {
      FIELDS("\4"),                                    /* cut */
      FIELDS("\4\4"),                                  /* cut */
      FIELDS("\4\4\0\1\0\0"),                          /* cut */
      FIELDS("\4\xff\xff\1\0\0\0"),                    /* beyond the end */
      FIELDS("\4\3\0\1\0\0"),                          /* of another size */
      FIELDS("\4\4\0\0\0\0\0"),                        /* zero */
      FIELDS("\4\4\0\1\0\0\0\4\4\0\1\0\0\0"),          /* twice */
      FIELDS("\4\4\0\1\0\0\0\3\x8\0\1\0\0\0\0\0\0\0"), /* not ascending */
      FIELDS("\0\0\0"),                                /* type 0 */
      FIELDS("\5\4\0\1\0\0\0"),                        /* a dictionary for what is raw */
      FIELDS("\1\0\0"),                                /* no tags */
      FIELDS("\1\x8\0\1\0\0\0\0\0\0\0"),               /* half a tag */
      FIELDS("\1\x20\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* a tag twice */
      FIELDS("\1\x20\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), /* descending */
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(wrong); i++)
    assert_int_equal(open_fields(codec, wrong[i], &out), NEAP_OPEN_MALFORMED);
  char *many = calloc(1, 3 + 65 * 16);
  many[0] = 1;
  neap_envelope_put(many + 1, 65 * 16, 2);
  for (int i = 0; i < 65; i++) many[3 + i * 16] = (char)i;
  assert_int_equal(open_fields(codec, (neap_view){many, 3 + 65 * 16}, &out), NEAP_OPEN_NEWER);
  neap_envelope_put(many + 1, 64 * 16, 2);
  assert_int_equal(open_fields(codec, (neap_view){many, 3 + 64 * 16}, &out), NEAP_OPENED);
  assert_int_equal(out.tag_count, 64);
  assert_int_equal(out.tags[63].hash, 63);
  free(many);
  neap_codec_destroy(&codec);
}

/* --- keys ------------------------------------------------------------------------------------------------
 */

static void test_codec_reads_with_any_key_and_writes_with_the_last(void **state) {
  (void)state;
  for (neap_cipher cipher = NEAP_CIPHER_XCHACHA20_POLY1305; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    neap_codec_options options = neap_codec_options_default;
    options.cipher = cipher;
    neap_codec *codec = codec_with(&options, keyring_of("1 " KEY_A), NULL);
    neap_record in = record_of(view("h"), view("body")), out;
    neap_view by_a = sealed(codec, &in);

    neap_keyring *both = keyring_of("1 " KEY_A "\n2 " KEY_B);
    assert_int_equal(neap_codec_set_keyring(codec, both), 0);
    neap_keyring_unref(&both);
    neap_view by_b = sealed(codec, &in);
    assert_int_equal(neap_envelope_get(by_b.ptr + NEAP_ENVELOPE_FIXED, 4), 2);
    for (int i = 0; i < 2; i++) { /* back and forth, so that nothing derived from the one serves the other */
      assert_int_equal(neap_codec_open(codec, in.ns, in.key, by_a, &out), NEAP_OPENED);
      assert_same_record(&in, &out);
      assert_int_equal(neap_codec_open(codec, in.ns, in.key, by_b, &out), NEAP_OPENED);
      assert_same_record(&in, &out);
    }

    neap_keyring *only_b = keyring_of("2 " KEY_B);
    assert_int_equal(neap_codec_set_keyring(codec, only_b), 0);
    neap_keyring_unref(&only_b);
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, by_a, &out), NEAP_OPEN_NO_KEY);
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, by_b, &out), NEAP_OPENED);

    neap_keyring *imposter = keyring_of("1 " KEY_B); /* the id of one, the bytes of the other */
    assert_int_equal(neap_codec_set_keyring(codec, imposter), 0);
    neap_keyring_unref(&imposter);
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, by_a, &out), NEAP_OPEN_FORGED);
    assert_int_equal(neap_codec_set_keyring(codec, NULL), NEAP_EINVAL);
    free_view(by_a), free_view(by_b);
    neap_codec_destroy(&codec);
  }
}

/* A keyring may come to lie where one was that is gone: what was derived from the old keys must not serve. */
static void test_codec_forgets_keys_of_a_keyring_that_went(void **state) {
  (void)state;
  neap_codec_options options = neap_codec_options_default;
  options.cipher = NEAP_CIPHER_XAES_256_GCM;
  neap_codec *codec = codec_with(&options, keyring_of("1 " KEY_A), NULL);
  neap_record in = record_of(view(""), view("body")), out;
  for (int i = 0; i < 8; i++) {
    const char *text = i % 2 ? "1 " KEY_A : "1 " KEY_B;
    free_view(sealed(codec, &in)); /* derives from the keyring before */
    for (int j = 0; j < 2; j++) {  /* one between them, so that its place becomes free */
      neap_keyring *next = keyring_of(j ? text : "2 " KEY_A);
      assert_int_equal(neap_codec_set_keyring(codec, next), 0);
      neap_keyring_unref(&next);
    }
    neap_codec *other = codec_with(&options, keyring_of(text), NULL);
    neap_view bytes = sealed(codec, &in);
    assert_int_equal(neap_codec_open(other, in.ns, in.key, bytes, &out), NEAP_OPENED);
    free_view(bytes);
    neap_codec_destroy(&other);
  }
  neap_codec_destroy(&codec);
}

/* Whoever can write to Redis must not get past encryption by leaving it out. */
static void test_codec_that_encrypts_refuses_plain_records(void **state) {
  (void)state;
  neap_codec *plain = codec_of(NEAP_COMPRESSION_NONE, NEAP_CIPHER_NONE);
  neap_codec *strict = codec_of(NEAP_COMPRESSION_NONE, NEAP_CIPHER_XCHACHA20_POLY1305);
  neap_codec_options options = neap_codec_options_default;
  options.cipher = NEAP_CIPHER_XAES_256_GCM;
  options.accept_plain = true;
  neap_codec *lenient = codec_with(&options, keyring_of("7 " KEY_A), NULL);
  neap_record in = record_of(view(""), view("body")), out;
  neap_view bytes = sealed(plain, &in), encrypted = sealed(strict, &in);
  assert_int_equal(neap_codec_open(strict, in.ns, in.key, bytes, &out), NEAP_OPEN_PLAIN);
  assert_int_equal(neap_codec_open(lenient, in.ns, in.key, bytes, &out), NEAP_OPENED);
  assert_int_equal(neap_codec_open(lenient, in.ns, in.key, encrypted, &out), NEAP_OPENED); /* any cipher */
  assert_int_equal(neap_codec_open(plain, in.ns, in.key, encrypted, &out), NEAP_OPENED);
  assert_int_equal(neap_codec_set_keyring(plain, NULL), 0);
  assert_int_equal(neap_codec_open(plain, in.ns, in.key, encrypted, &out), NEAP_OPEN_NO_KEY);
  free_view(bytes), free_view(encrypted);
  neap_codec_destroy(&plain), neap_codec_destroy(&strict), neap_codec_destroy(&lenient);
}

static void test_codec_never_seals_twice_alike(void **state) {
  (void)state;
  for (neap_cipher cipher = NEAP_CIPHER_XCHACHA20_POLY1305; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    neap_codec *codec = codec_of(NEAP_COMPRESSION_NONE, cipher);
    neap_record in = record_of(view(""), view("the same text every time"));
    neap_view a = sealed(codec, &in), b = sealed(codec, &in);
    assert_int_equal(a.size, b.size);
    size_t nonce = NEAP_ENVELOPE_FIXED + 4;
    for (size_t half = 0; half < 24; half += 12)
      assert_memory_not_equal(a.ptr + nonce + half, b.ptr + nonce + half, 12);
    assert_memory_not_equal(a.ptr + nonce + 24, b.ptr + nonce + 24, in.body.size);
    assert_null(memmem(a.ptr, a.size, "same text", 9));
    assert_null(memmem(a.ptr, a.size, "user:17", 7)); /* nor does the key lie there */
    free_view(a), free_view(b);
    neap_codec_destroy(&codec);
  }
}

/* --- bounds ----------------------------------------------------------------------------------------------
 */

static void test_codec_refuses_objects_above_its_limit_both_ways(void **state) {
  (void)state;
  neap_codec_options options = neap_codec_options_default;
  options.compression = NEAP_COMPRESSION_ZSTD;
  options.max_object = 1 << 20;
  neap_codec *large = codec_with(&options, NULL, NULL);
  options.max_object = 10000;
  neap_codec *small = codec_with(&options, NULL, NULL);
  char *zeros = calloc(1, 1 << 20); /* a bomb: a megabyte in less than a hundred bytes */
  neap_record in = record_of(view(""), (neap_view){zeros, 1 << 20}), out;
  neap_view bytes = sealed(large, &in), none;
  assert_true(bytes.size < 200);
  assert_int_equal(neap_codec_open(large, in.ns, in.key, bytes, &out), NEAP_OPENED);
  assert_int_equal(neap_codec_open(small, in.ns, in.key, bytes, &out), NEAP_OPEN_TOO_LARGE);
  assert_int_equal(neap_codec_seal(small, &in, &none), NEAP_ETOOLARGE);
  in.body.size = 9999, in.meta = view("12");
  assert_int_equal(neap_codec_seal(small, &in, &none), NEAP_ETOOLARGE);
  in.body.size = 9998;
  assert_int_equal(neap_codec_seal(small, &in, &none), 0);
  free_view(bytes);
  free(zeros);
  neap_codec_destroy(&large), neap_codec_destroy(&small);
}

/* A frame that unpacks to more, or less, than its envelope says, with a checksum that is right. */
static void test_codec_unpacks_to_exactly_what_is_declared(void **state) {
  (void)state;
  for (neap_compression compression = NEAP_COMPRESSION_ZSTD; compression <= NEAP_COMPRESSION_LZ4;
       compression++)
    for (int declared = 1999; declared <= 2001; declared++) {
      neap_codec *codec = codec_of(compression, NEAP_CIPHER_NONE);
      neap_packer *packer;
      assert_int_equal(neap_packer_create(&packer), 0);
      char *text = make_text(2000, 3), bytes[4096] = "Neap\x01", aad[4096] = "\0\0\0\0\0\0\0";
      size_t size = neap_packer_pack(packer, compression, 1, NULL, (neap_view){text, 2000}, bytes + 48, 2000);
      assert_true(size > 0);
      bytes[5] = (char)compression;
      neap_envelope_put(bytes + 36, (uint64_t)declared, 4);
      neap_envelope_put(bytes + 40, size, 4);
      memcpy(aad + 8, bytes, 48);
      uint64_t sum = neap_envelope_sum(neap_envelope_sum(0, aad, 56), bytes + 48, size);
      neap_envelope_put(bytes + 48 + size, neap_envelope_sum_end(sum), 8);
      neap_record out;
      assert_int_equal(neap_codec_open(codec, view(""), view(""), (neap_view){bytes, 56 + size}, &out),
                       declared == 2000 ? NEAP_OPENED : NEAP_OPEN_INFLATE);
      free(text);
      neap_packer_destroy(&packer);
      neap_codec_destroy(&codec);
    }
}

static void test_codec_gives_back_memory_of_large_records(void **state) {
  (void)state;
  neap_codec_options options = neap_codec_options_default;
  options.cipher = NEAP_CIPHER_XCHACHA20_POLY1305;
  neap_codec *codec = codec_with(&options, keyring_of("7 " KEY_A), NULL);
  char *noise = make_noise(20 << 20, 4);
  neap_record in = record_of(view("h"), (neap_view){noise, 20 << 20}), out;
  size_t before = mallinfo2().hblkhd; /* large blocks; 0 with a sanitizer's allocator */
  for (int i = 0; i < 2; i++, in.body.size = 10) {
    neap_view bytes = sealed(codec, &in);
    assert_int_equal(neap_codec_open(codec, in.ns, in.key, bytes, &out), NEAP_OPENED);
    assert_same_record(&in, &out);
    free_view(bytes);
  }
  assert_true(mallinfo2().hblkhd <= before);
  free(noise);
  neap_codec_destroy(&codec);
}

static void test_codec_refuses_wrong_records_and_options(void **state) {
  (void)state;
  neap_codec *codec = codec_of(NEAP_COMPRESSION_NONE, NEAP_CIPHER_NONE), *none = NULL;
  static const neap_record_tag descending[] = {{5, 1}, {4, 1}}, twice[] = {{5, 1}, {5, 2}};
  neap_record good = record_of(view("h"), view("b"));
  neap_view bytes;
  neap_record wrong[7] = {good, good, good, good, good, good, good};
  wrong[0].flags = 128;
  wrong[1].tags = descending, wrong[1].tag_count = 2;
  wrong[2].tags = twice, wrong[2].tag_count = 2;
  wrong[3].tags = two_tags, wrong[3].tag_count = NEAP_RECORD_TAGS_MAX + 1;
  wrong[4].key.size = NEAP_CODEC_KEY_MAX + 1;
  wrong[5].ns.size = NEAP_CODEC_KEY_MAX + 1;
  wrong[6].tag_count = 1; /* without tags */
  for (size_t i = 0; i < NEAP_COUNT_OF(wrong); i++)
    assert_int_equal(neap_codec_seal(codec, &wrong[i], &bytes), NEAP_EINVAL);
  neap_codec_destroy(&codec);

  neap_err err;
  neap_codec_options options = neap_codec_options_default;
  options.cipher = NEAP_CIPHER_XCHACHA20_POLY1305;
  assert_int_equal(neap_codec_create(&options, NULL, NULL, &none, &err), NEAP_EINVAL); /* no keyring */
  options = neap_codec_options_default, options.compression = 3;
  assert_int_equal(neap_codec_create(&options, NULL, NULL, &none, &err), NEAP_EINVAL);
  options = neap_codec_options_default, options.compression = NEAP_COMPRESSION_ZSTD, options.level = 20;
  assert_int_equal(neap_codec_create(&options, NULL, NULL, &none, &err), NEAP_EINVAL);
  options = neap_codec_options_default, options.max_object = 0;
  assert_int_equal(neap_codec_create(&options, NULL, NULL, &none, &err), NEAP_EINVAL);
  options = neap_codec_options_default, options.min_saving_percent = 100;
  assert_int_equal(neap_codec_create(&options, NULL, NULL, &none, &err), NEAP_EINVAL);
  assert_null(none);
}

/* Keys of every kind of byte and the largest size. */
static void test_codec_takes_any_bytes_as_a_key(void **state) {
  (void)state;
  char *noise = make_noise(2 * NEAP_CODEC_KEY_MAX, 5);
  for (neap_cipher cipher = 0; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    neap_codec *codec = codec_of(NEAP_COMPRESSION_NONE, cipher);
    neap_record in = record_of(view(""), view("b")), out;
    neap_view keys[] = {FIELDS("a\nb"), FIELDS("\0"), FIELDS("../../x"), {noise, NEAP_CODEC_KEY_MAX}};
    for (size_t i = 0; i < NEAP_COUNT_OF(keys); i++) {
      in.key = keys[i];
      in.ns = (neap_view){noise + NEAP_CODEC_KEY_MAX, NEAP_CODEC_KEY_MAX};
      neap_view bytes = sealed(codec, &in);
      assert_int_equal(neap_codec_open(codec, in.ns, in.key, bytes, &out), NEAP_OPENED);
      assert_same_record(&in, &out);
      free_view(bytes);
    }
    neap_codec_destroy(&codec);
  }
  free(noise);
}

static void test_codec_reasons_have_names_and_sentences(void **state) {
  (void)state;
  assert_string_equal(neap_opened_name(NEAP_OPENED), "ok");
  for (int i = 1; i < NEAP_OPEN_REASONS; i++) {
    assert_true(strlen(neap_opened_name((neap_opened)i)) > 1);
    assert_true(strlen(neap_opened_text((neap_opened)i)) > 10);
  }
  assert_string_equal(neap_opened_name(NEAP_OPEN_REASONS), "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_codec_gives_back_what_it_got),
      cmocka_unit_test(test_envelope_bytes_never_change),
      cmocka_unit_test(test_codec_takes_a_record_for_its_own_key_only),
      cmocka_unit_test(test_codec_refuses_what_is_cut_or_longer),
      cmocka_unit_test(test_codec_refuses_every_flipped_bit),
      cmocka_unit_test(test_codec_counts_a_newer_version_as_a_miss),
      cmocka_unit_test(test_envelope_fields_are_canonical),
      cmocka_unit_test(test_codec_reads_with_any_key_and_writes_with_the_last),
      cmocka_unit_test(test_codec_forgets_keys_of_a_keyring_that_went),
      cmocka_unit_test(test_codec_that_encrypts_refuses_plain_records),
      cmocka_unit_test(test_codec_never_seals_twice_alike),
      cmocka_unit_test(test_codec_refuses_objects_above_its_limit_both_ways),
      cmocka_unit_test(test_codec_unpacks_to_exactly_what_is_declared),
      cmocka_unit_test(test_codec_gives_back_memory_of_large_records),
      cmocka_unit_test(test_codec_refuses_wrong_records_and_options),
      cmocka_unit_test(test_codec_takes_any_bytes_as_a_key),
      cmocka_unit_test(test_codec_reasons_have_names_and_sentences),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
