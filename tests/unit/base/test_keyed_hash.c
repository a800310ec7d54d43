#include "unit.h"

#include "base/keyed_hash.h"
#include "base/random.h"

static neap_hash_key key_of(uint64_t seed) {
  neap_random random = {seed};
  return (neap_hash_key){neap_random_next(&random), neap_random_next(&random), neap_random_next(&random)};
}

static void test_keyed_hash_every_byte_and_the_length_count(void **state) {
  (void)state;
  neap_hash_key key = key_of(1);
  char text[100];
  memset(text, 'x', sizeof text);
  for (size_t size = 0; size < sizeof text; size++) {
    uint64_t hash = neap_keyed_hash(&key, text, size);
    assert_int_equal(hash, neap_keyed_hash(&key, text, size));
    assert_int_not_equal(hash, neap_keyed_hash(&key, text, size + 1));
    for (size_t i = 0; i < size; i++) {
      text[i] ^= 1;
      assert_int_not_equal(hash, neap_keyed_hash(&key, text, size));
      text[i] ^= 1;
    }
  }
}

static void test_keyed_hash_depends_on_its_key(void **state) {
  (void)state;
  neap_hash_key a = key_of(1), b = key_of(2);
  assert_int_not_equal(neap_keyed_hash(&a, "moon", 4), neap_keyed_hash(&b, "moon", 4));
  assert_int_not_equal(neap_keyed_hash(&a, "", 0), neap_keyed_hash(&b, "", 0));
}

static void test_keyed_hash_same_sees_every_bit(void **state) {
  (void)state;
  char a[70], b[70];
  for (size_t size = 0; size < sizeof a; size++) {
    memset(a, 'k', sizeof a), memset(b, 'k', sizeof b);
    b[size] = 'x'; /* behind the end: of no account */
    assert_true(neap_hash_same(a, b, size));
    b[size] = 'k';
    for (size_t bit = 0; bit < size * 8; bit++) {
      b[bit / 8] ^= (char)(1 << bit % 8);
      assert_false(neap_hash_same(a, b, size));
      b[bit / 8] ^= (char)(1 << bit % 8);
    }
  }
}

/* Keys that count up are what users have: each bit of the hash flips for half of the steps, and buckets fill
 * evenly. */
static void test_keyed_hash_spreads_counting_keys(void **state) {
  (void)state;
  enum { KEYS = 1 << 16, BUCKETS = 1 << 10 };
  neap_hash_key key = key_of(3);
  static unsigned low[BUCKETS], high[BUCKETS];
  unsigned flips[64] = {0};
  uint64_t last = 0;
  for (uint64_t i = 0; i < KEYS; i++) {
    uint64_t hash = neap_keyed_hash(&key, (const char *)&i, sizeof i);
    low[hash % BUCKETS]++;
    high[hash >> 54]++;
    for (int bit = 0; bit < 64; bit++) flips[bit] += (hash ^ last) >> bit & 1;
    last = hash;
  }
  for (int bit = 0; bit < 64; bit++) assert_in_range(flips[bit], KEYS * 48 / 100, KEYS * 52 / 100);
  double chi_low = 0, chi_high = 0;
  for (int i = 0; i < BUCKETS; i++) {
    chi_low += (low[i] - 64.0) * (low[i] - 64.0) / 64;
    chi_high += (high[i] - 64.0) * (high[i] - 64.0) / 64;
  }
  assert_true(chi_low > 800 && chi_low < 1250); /* 1023 +- 5 standard deviations of 45 */
  assert_true(chi_high > 800 && chi_high < 1250);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keyed_hash_every_byte_and_the_length_count),
      cmocka_unit_test(test_keyed_hash_depends_on_its_key),
      cmocka_unit_test(test_keyed_hash_same_sees_every_bit),
      cmocka_unit_test(test_keyed_hash_spreads_counting_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
