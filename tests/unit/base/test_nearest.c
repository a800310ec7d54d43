#include "unit.h"

#include "base/nearest.h"

static void test_distance_counts_letters_added_lost_changed_and_swapped(void **state) {
  (void)state;
  assert_int_equal(neap_word_distance("", ""), 0);
  assert_int_equal(neap_word_distance("", "lru"), 3);
  assert_int_equal(neap_word_distance("sieve", "SIEVE"), 0);
  assert_int_equal(neap_word_distance("seive", "sieve"), 1);
  assert_int_equal(neap_word_distance("sive", "sieve"), 1);
  assert_int_equal(neap_word_distance("sieves", "sieve"), 1);
  assert_int_equal(neap_word_distance("kitten", "sitting"), 3);
  assert_int_equal(neap_word_distance("lru", "fifo"), 4);
}

static void test_distance_of_endless_words_is_bounded(void **state) {
  (void)state;
  char word[4096];
  memset(word, 'x', sizeof word);
  word[sizeof word - 1] = '\0';
  assert_int_equal(neap_word_distance(word, "y"), 64);
  assert_int_equal(neap_word_distance(word, word), 0);
}

static const char *nearest_of(const char *word) {
  static const char *const known[] = {"fifo", "lifo", "lru", "lfu", "sieve", "s3fifo"};
  neap_nearest nearest;
  neap_nearest_init(&nearest, word);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) neap_nearest_offer(&nearest, known[i]);
  return nearest.name;
}

static void test_only_near_words_are_suggested(void **state) {
  (void)state;
  assert_string_equal(nearest_of("seive"), "sieve");
  assert_string_equal(nearest_of("s3"), "s3fifo");
  assert_string_equal(nearest_of("fif"), "fifo");
  assert_string_equal(nearest_of("lrs"), "lru");
  assert_null(nearest_of("arc"));
  assert_null(nearest_of(""));
  assert_null(nearest_of("hyperbolic"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_distance_counts_letters_added_lost_changed_and_swapped),
      cmocka_unit_test(test_distance_of_endless_words_is_bounded),
      cmocka_unit_test(test_only_near_words_are_suggested),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
