/* Compression: where it pays and where it is not even tried, dictionaries and their ids, training. */
#include "codec_rig.h"

static neap_codec_stats stats_of(const neap_codec *codec) {
  neap_codec_stats stats;
  neap_codec_stats_get(codec, &stats);
  return stats;
}

static size_t sealed_size(neap_codec *codec, neap_view body) {
  neap_record record = record_of(view(""), body), out;
  neap_view bytes = sealed(codec, &record);
  size_t size = bytes.size;
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, bytes, &out), NEAP_OPENED);
  assert_same_record(&record, &out);
  free_view(bytes);
  return size;
}

enum { PLAIN_COST = NEAP_ENVELOPE_FIXED + NEAP_ENVELOPE_CHECKSUM };

static void test_compression_starts_at_its_size(void **state) {
  (void)state;
  for (neap_compression compression = NEAP_COMPRESSION_ZSTD; compression <= NEAP_COMPRESSION_LZ4;
       compression++) {
    neap_codec *codec = codec_of(compression, NEAP_CIPHER_NONE);
    char *text = make_text(50000, 1);
    assert_int_equal(sealed_size(codec, (neap_view){text, 1023}), PLAIN_COST + 1023);
    assert_true(sealed_size(codec, (neap_view){text, 1024}) < 800);
    assert_true(sealed_size(codec, (neap_view){text, 50000}) < 25000);
    neap_codec_stats stats = stats_of(codec);
    assert_int_equal(stats.sealed, 3);
    assert_int_equal(stats.compressed, 2);
    assert_int_equal(stats.opened, 3);
    assert_int_equal(stats.bytes_in, 1023 + 1024 + 50000);
    assert_true(stats.bytes_out < 30000);
    free(text);
    neap_codec_destroy(&codec);
  }
}

static void test_compression_leaves_raw_what_it_does_not_shrink(void **state) {
  (void)state;
  neap_codec *codec = codec_of(NEAP_COMPRESSION_ZSTD, NEAP_CIPHER_NONE);
  char *noise = make_noise(100000, 1), *text = make_text(4000, 2);
  assert_int_equal(sealed_size(codec, (neap_view){noise, 2000}), PLAIN_COST + 2000); /* tried */
  assert_int_equal(stats_of(codec).unrewarding, 1);
  assert_int_equal(sealed_size(codec, (neap_view){noise, 4096}), PLAIN_COST + 4096); /* probed */
  assert_int_equal(sealed_size(codec, (neap_view){noise, 100000}), PLAIN_COST + 100000);
  assert_int_equal(stats_of(codec).probed, 2);
  memcpy(text, "\x89PNG\r\n\x1a\n", 8); /* what it says it is decides */
  assert_int_equal(sealed_size(codec, (neap_view){text, 4000}), PLAIN_COST + 4000);
  assert_int_equal(stats_of(codec).probed, 3);
  neap_record record = record_of(view(""), (neap_view){text + 8, 3992});
  record.incompressible = true;
  neap_view bytes = sealed(codec, &record);
  assert_int_equal(bytes.size, PLAIN_COST + 3992);
  free_view(bytes);
  free(noise), free(text);
  neap_codec_destroy(&codec);
}

/* 10 % of text in noise saves less than the 12 % that are asked for. */
static void test_compression_saves_the_least_share_or_stays_raw(void **state) {
  (void)state;
  char *noise = make_noise(2000, 1), *text = make_text(2000, 2);
  memcpy(noise, text, 200);
  for (uint32_t percent = 1; percent <= 12; percent += 11) {
    neap_codec_options options = neap_codec_options_default;
    options.compression = NEAP_COMPRESSION_ZSTD;
    options.min_saving_percent = percent;
    neap_codec *codec = codec_with(&options, NULL, NULL);
    size_t size = sealed_size(codec, (neap_view){noise, 2000});
    if (percent == 1)
      assert_true(size < PLAIN_COST + 1980);
    else
      assert_int_equal(size, PLAIN_COST + 2000);
    neap_codec_destroy(&codec);
  }
  free(noise), free(text);
}

static void test_probe_tells_noise_from_everything_that_compresses(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 200; seed++) {
    char *noise = make_noise(4096 + seed * 77, seed), *text = make_text(4096 + seed * 77, seed);
    neap_view as_noise = {noise, 4096 + seed * 77}, as_text = {text, 4096 + seed * 77};
    assert_true(neap_packer_probe(as_noise));
    assert_false(neap_packer_probe(as_text));
    for (size_t i = 0; i < as_noise.size; i++) noise[i] &= 0x7f; /* a bit less of entropy: 12.5 % to save */
    assert_false(neap_packer_probe(as_noise));
    free(noise), free(text);
  }
  assert_true(neap_packer_probe((neap_view){"RIFF....WEBP", 12}));
  assert_true(neap_packer_probe((neap_view){"\x1f\x8b\x08", 3}));
  assert_false(neap_packer_probe((neap_view){"\x1f", 1}));
  assert_false(neap_packer_probe((neap_view){"", 0}));
}

/* --- dictionaries ----------------------------------------------------------------------------------------
 */

enum { SAMPLES = 2000, SAMPLE_MAX = 300, CAPACITY = 16 << 10 };

typedef struct samples {
  char *bytes;
  size_t sizes[SAMPLES];
} samples;

static size_t make_sample(char *out, uint64_t n, const char *kind) {
  neap_random random = {n};
  uint64_t id = neap_random_below(&random, 1000000);
  return (size_t)snprintf(out, SAMPLE_MAX,
                          "{\"%s\":{\"id\":%llu,\"email\":\"user%llu@example.com\",\"active\":%s,"
                          "\"roles\":[\"reader\",\"%s\"],\"balance\":%llu,\"currency\":\"EUR\"}}",
                          kind, (unsigned long long)id, (unsigned long long)id, id % 3 ? "true" : "false",
                          id % 7 ? "writer" : "admin",
                          (unsigned long long)neap_random_below(&random, 100000));
}

static samples make_samples(const char *kind) {
  samples s = {.bytes = malloc(SAMPLES * SAMPLE_MAX)};
  char *at = s.bytes;
  for (int i = 0; i < SAMPLES; i++) at += s.sizes[i] = make_sample(at, (uint64_t)i, kind);
  return s;
}

/* A dictionary of `kind`, the caller's to free. */
static neap_view make_dictionary(const char *kind) {
  samples s = make_samples(kind);
  char *out = malloc(CAPACITY);
  ptrdiff_t size = neap_dictionary_train(s.bytes, s.sizes, SAMPLES, out, CAPACITY);
  free(s.bytes);
  assert_true(size > 0 && size <= CAPACITY);
  return (neap_view){out, (size_t)size};
}

static neap_dictionaries *set_of(const neap_view *dictionaries, size_t count) {
  neap_dictionaries *set;
  neap_err err = {.text = ""};
  if (neap_dictionaries_create(dictionaries, count, 3, &set, &err)) fail_msg("%s", err.text);
  return set;
}

static neap_codec *with_dictionaries(neap_dictionaries *set) {
  neap_codec_options options = neap_codec_options_default;
  options.compression = NEAP_COMPRESSION_ZSTD;
  return codec_with(&options, NULL, set);
}

static void test_dictionary_makes_small_values_small(void **state) {
  (void)state;
  neap_view trained = make_dictionary("user");
  neap_dictionaries *set = set_of(&trained, 1);
  neap_codec *with = with_dictionaries(set), *without = with_dictionaries(NULL);
  neap_dictionaries_unref(&set); /* the codec holds it */
  assert_null(set);
  char sample[SAMPLE_MAX];
  size_t size = make_sample(sample, 999999, "user"); /* none that it was trained with */
  neap_view body = {sample, size};
  assert_int_equal(sealed_size(without, body), PLAIN_COST + size);
  size_t small = sealed_size(with, body);
  assert_true(small - PLAIN_COST < size / 2);
  assert_int_equal(sealed_size(with, view("tiny")), PLAIN_COST + 4); /* below dictionary_min */
  char *text = make_text(20000, 1); /* above dictionary_max: without its id, so anybody can read it */
  neap_record record = record_of(view(""), (neap_view){text, 20000}), out;
  neap_view bytes = sealed(with, &record);
  assert_int_equal(neap_codec_open(without, record.ns, record.key, bytes, &out), NEAP_OPENED);
  free_view(bytes), free_view(trained);
  free(text);
  neap_codec_destroy(&with), neap_codec_destroy(&without);
}

static void test_dictionary_that_is_not_there_is_a_miss(void **state) {
  (void)state;
  neap_view both[] = {make_dictionary("user"), make_dictionary("order")};
  neap_dictionaries *users = set_of(both, 1), *all = set_of(both, 2), *orders = set_of(both + 1, 1);
  assert_int_equal(neap_dictionaries_current(all), neap_dictionaries_current(orders));
  assert_int_not_equal(neap_dictionaries_current(all), neap_dictionaries_current(users));
  neap_codec *codec = with_dictionaries(users);
  char sample[SAMPLE_MAX];
  neap_record record = record_of(view(""), (neap_view){sample, make_sample(sample, 999999, "user")}), out;
  neap_view old = sealed(codec, &record);
  neap_codec_set_dictionaries(codec, all); /* the new one writes, both are read */
  neap_view new = sealed(codec, &record);
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, old, &out), NEAP_OPENED);
  assert_same_record(&record, &out);
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, new, &out), NEAP_OPENED);
  assert_same_record(&record, &out);
  neap_codec_set_dictionaries(codec, orders);
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, old, &out), NEAP_OPEN_NO_DICTIONARY);
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, new, &out), NEAP_OPENED);
  neap_codec_set_dictionaries(codec, NULL);
  assert_int_equal(neap_codec_open(codec, record.ns, record.key, new, &out), NEAP_OPEN_NO_DICTIONARY);
  assert_int_equal(misses(codec, NEAP_OPEN_NO_DICTIONARY), 2);
  free_view(old), free_view(new), free_view(both[0]), free_view(both[1]);
  neap_dictionaries_unref(&users), neap_dictionaries_unref(&all), neap_dictionaries_unref(&orders);
  neap_codec_destroy(&codec);
}

/* zstd gives up in the middle of a record where there is too little room, and then lets go of nothing unless
 * it is told to begin anew. */
static void test_dictionary_does_not_outlive_a_record_that_got_no_room(void **state) {
  (void)state;
  neap_view trained = make_dictionary("user");
  neap_dictionaries *set = set_of(&trained, 1);
  neap_codec *with = with_dictionaries(set), *without = with_dictionaries(NULL);
  samples s = make_samples("user");
  char *noise = make_noise(2000, 1);
  neap_view large = {s.bytes, 20000}; /* too large for the dictionary, though made of what it was made of */
  for (int i = 0; i < 2; i++) {
    assert_int_equal(sealed_size(with, (neap_view){noise, 2000}), PLAIN_COST + 2000);
    assert_int_equal(stats_of(with).unrewarding, i + 1);
    if (i == 1) { /* and now it is gone altogether */
      neap_codec_set_dictionaries(with, NULL);
      neap_dictionaries_unref(&set);
    }
    neap_record record = record_of(view(""), large), out;
    neap_view bytes = sealed(with, &record);
    assert_int_equal(neap_codec_open(without, record.ns, record.key, bytes, &out), NEAP_OPENED);
    assert_same_record(&record, &out);
    free_view(bytes);
  }
  free_view(trained);
  free(noise), free(s.bytes);
  neap_codec_destroy(&with), neap_codec_destroy(&without);
}

static void refused(const neap_view *dictionaries, size_t count, const char *said) {
  neap_dictionaries *set = NULL;
  neap_err err = {.text = ""};
  assert_int_equal(neap_dictionaries_create(dictionaries, count, 1, &set, &err), NEAP_EINVAL);
  assert_null(set);
  if (strstr(err.text, said) == NULL) fail_msg("'%s' does not say '%s'", err.text, said);
}

static void test_dictionaries_refuse_what_is_none(void **state) {
  (void)state;
  neap_view good = make_dictionary("user");
  neap_view twice[] = {good, good};
  neap_view text = view("just text is no dictionary with an id, though zstd would take it");
  refused(&text, 1, "dictionary 1 is not one of zstd");
  refused(twice, 2, "dictionary 2 is given twice");
  refused(NULL, 0, "no dictionaries");
  char *damaged = malloc(good.size);
  memcpy(damaged, good.ptr, good.size);
  memset(damaged + 8, 0xff, 100); /* its tables */
  neap_view as_damaged = {damaged, good.size};
  refused(&as_damaged, 1, "dictionary 1 cannot be used");
  char *large = calloc(1, NEAP_CODEC_DICTIONARY_BYTES_MAX + 1);
  memcpy(large, good.ptr, good.size);
  neap_view as_large = {large, NEAP_CODEC_DICTIONARY_BYTES_MAX + 1};
  refused(&as_large, 1, "larger than 1 MiB");
  neap_view many[NEAP_CODEC_DICTIONARIES_MAX + 1];
  char *copies = malloc(NEAP_COUNT_OF(many) * good.size);
  for (size_t i = 0; i < NEAP_COUNT_OF(many); i++) {
    many[i] = (neap_view){copies + i * good.size, good.size};
    memcpy(copies + i * good.size, good.ptr, good.size);
    copies[i * good.size + 4] ^= (char)i; /* ids that differ */
  }
  refused(many, NEAP_COUNT_OF(many), "more than 8");
  neap_dictionaries *set = set_of(many, NEAP_CODEC_DICTIONARIES_MAX);
  neap_dictionaries_unref(&set);
  free(damaged), free(large), free(copies);
  free_view(good);
}

static void test_training_needs_enough_to_learn_from(void **state) {
  (void)state;
  samples s = make_samples("user");
  char out[CAPACITY];
  assert_int_equal(neap_dictionary_train(s.bytes, s.sizes, 7, out, sizeof out), NEAP_EINVAL);
  assert_int_equal(neap_dictionary_train(s.bytes, s.sizes, 0, out, sizeof out), NEAP_EINVAL);
  assert_int_equal(neap_dictionary_train(s.bytes, s.sizes, SAMPLES, out, 255), NEAP_EINVAL);
  size_t empty[SAMPLES] = {0}, huge[SAMPLES];
  assert_int_equal(neap_dictionary_train(s.bytes, empty, SAMPLES, out, sizeof out), NEAP_EINVAL);
  for (int i = 0; i < SAMPLES; i++) huge[i] = SIZE_MAX / 4;
  assert_int_equal(neap_dictionary_train(s.bytes, huge, SAMPLES, out, sizeof out), NEAP_EINVAL);
  free(s.bytes);
}

/* More than is looked at: evenly spread ones of both halves are learned from. */
static void test_training_is_bounded_and_looks_at_all_parts(void **state) {
  (void)state;
  enum { MANY = 200000 };
  char *bytes = malloc((size_t)MANY * SAMPLE_MAX), *at = bytes, out[CAPACITY];
  size_t *sizes = malloc(MANY * sizeof *sizes);
  for (int i = 0; i < MANY; i++)
    at += sizes[i] = make_sample(at, (uint64_t)i, i < MANY / 2 ? "first_half" : "second_half");
  assert_true(at - bytes > NEAP_CODEC_SAMPLES_MAX + (4 << 20));
  ptrdiff_t size = neap_dictionary_train(bytes, sizes, MANY, out, sizeof out);
  assert_true(size > 0);
  assert_non_null(memmem(out, (size_t)size, "first_half", 10));
  assert_non_null(memmem(out, (size_t)size, "second_half", 11));
  free(bytes), free(sizes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_compression_starts_at_its_size),
      cmocka_unit_test(test_compression_leaves_raw_what_it_does_not_shrink),
      cmocka_unit_test(test_compression_saves_the_least_share_or_stays_raw),
      cmocka_unit_test(test_probe_tells_noise_from_everything_that_compresses),
      cmocka_unit_test(test_dictionary_makes_small_values_small),
      cmocka_unit_test(test_dictionary_that_is_not_there_is_a_miss),
      cmocka_unit_test(test_dictionary_does_not_outlive_a_record_that_got_no_room),
      cmocka_unit_test(test_dictionaries_refuse_what_is_none),
      cmocka_unit_test(test_training_needs_enough_to_learn_from),
      cmocka_unit_test(test_training_is_bounded_and_looks_at_all_parts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
