/* Threads with a codec each share keyrings and dictionaries, replace them at different times, and read what
 * the others wrote; somebody else looks at the counts. */
#include <pthread.h>

#include "codec_rig.h"

enum { THREADS = 4, ROUNDS = 1500, SIZES = 5 };

typedef struct shared {
  neap_keyring *keyrings[2]; /* of the same keys, another one last */
  neap_dictionaries *dictionaries;
  pthread_mutex_t lock;
  neap_view mailbox; /* the last envelope of any thread */
  size_t mailbox_size;
  const char *text;
  neap_codec *watched; /* one of theirs; under the lock */
} shared;

static void *work(void *user) {
  shared *s = user;
  neap_codec_options options = neap_codec_options_default;
  options.compression = NEAP_COMPRESSION_ZSTD;
  options.cipher = NEAP_CIPHER_XAES_256_GCM;
  neap_codec *codec = codec_with(&options, neap_keyring_ref(s->keyrings[0]), s->dictionaries);
  pthread_mutex_lock(&s->lock);
  s->watched = codec;
  pthread_mutex_unlock(&s->lock);
  static const size_t sizes[SIZES] = {30, 200, 900, 4000, 20000};
  for (int i = 0; i < ROUNDS; i++) {
    if (i % 7 == 0) neap_codec_set_keyring(codec, s->keyrings[i / 7 % 2]);
    if (i % 11 == 0) neap_codec_set_dictionaries(codec, s->dictionaries);
    neap_record in = record_of(view(""), (neap_view){s->text, sizes[i % SIZES]}), out;
    neap_view mine = sealed(codec, &in);
    pthread_mutex_lock(&s->lock);
    neap_view others = s->mailbox;
    size_t size = s->mailbox_size;
    s->mailbox = mine;
    s->mailbox_size = in.body.size;
    pthread_mutex_unlock(&s->lock);
    if (others.ptr == NULL) continue;
    neap_assert(neap_codec_open(codec, in.ns, in.key, others, &out) == NEAP_OPENED);
    neap_assert(out.body.size == size && memcmp(out.body.ptr, s->text, size) == 0);
    free_view(others);
  }
  neap_codec_stats stats;
  neap_codec_stats_get(codec, &stats);
  neap_assert(stats.sealed == ROUNDS && stats.compressed > 0);
  pthread_mutex_lock(&s->lock);
  if (s->watched == codec) s->watched = NULL;
  pthread_mutex_unlock(&s->lock);
  neap_codec_destroy(&codec);
  return NULL;
}

static void watch(shared *s) {
  pthread_mutex_lock(&s->lock);
  neap_codec_stats stats;
  if (s->watched) {
    neap_codec_stats_get(s->watched, &stats);
    assert_true(stats.sealed <= ROUNDS);
  }
  pthread_mutex_unlock(&s->lock);
}

static neap_dictionaries *trained_on(const char *text) {
  static char out[4096];
  size_t sizes[200];
  for (int i = 0; i < 200; i++) sizes[i] = 100;
  ptrdiff_t size = neap_dictionary_train(text, sizes, 200, out, sizeof out);
  neap_view dictionary = {out, (size_t)size};
  neap_dictionaries *set;
  neap_err err;
  assert_true(size > 0);
  assert_int_equal(neap_dictionaries_create(&dictionary, 1, 1, &set, &err), 0);
  return set;
}

static void test_codecs_of_threads_share_keys_and_dictionaries(void **state) {
  (void)state;
  char *text = make_text(20000, 1);
  shared s = {.keyrings = {keyring_of("1 " KEY_A "\n2 " KEY_B), keyring_of("2 " KEY_B "\n1 " KEY_A)},
              .dictionaries = trained_on(text),
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .text = text};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &s), 0);
  for (int i = 0; i < 2000; i++) watch(&s);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  free_view(s.mailbox);
  neap_keyring_unref(&s.keyrings[0]), neap_keyring_unref(&s.keyrings[1]);
  neap_dictionaries_unref(&s.dictionaries);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_codecs_of_threads_share_keys_and_dictionaries)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
