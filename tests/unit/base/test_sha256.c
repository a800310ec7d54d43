/* SHA-256 against the examples of FIPS 180-4 and its neighbours of one block. */
#include "unit.h"

#include "base/sha256.h"

static const char *digest(const char *text, size_t size, size_t step) {
  static char hex[65];
  uint8_t out[NEAP_SHA256_SIZE];
  neap_sha256 sha;
  neap_sha256_init(&sha);
  for (size_t at = 0; at < size; at += step)
    neap_sha256_add(&sha, text + at, size - at < step ? size - at : step);
  neap_sha256_end(&sha, out);
  for (int i = 0; i < NEAP_SHA256_SIZE; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
  return hex;
}

static void test_known_digests(void **state) {
  (void)state;
  const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  assert_string_equal(digest("", 0, 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert_string_equal(digest("abc", 3, 3),
                      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_string_equal(digest(two, 56, 56),
                      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  char *million = malloc(1000000);
  memset(million, 'a', 1000000);
  assert_string_equal(digest(million, 1000000, 1000),
                      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(million);
}

static void test_cuts_do_not_matter(void **state) {
  (void)state;
  char text[300], whole[65];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
  for (size_t size = 0; size < sizeof text; size += 13) {
    snprintf(whole, sizeof whole, "%s", digest(text, size, sizeof text));
    for (size_t step = 1; step < 130; step += 9) assert_string_equal(digest(text, size, step), whole);
  }
}

static void test_secrets_are_compared_whole(void **state) {
  (void)state;
  assert_true(neap_same_secret("abc", "abc", 3));
  assert_true(neap_same_secret("a", "b", 0));
  assert_false(neap_same_secret("abc", "abd", 3));
  assert_false(neap_same_secret("xbc", "abc", 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_digests),
      cmocka_unit_test(test_cuts_do_not_matter),
      cmocka_unit_test(test_secrets_are_compared_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
