/* Keyrings: what is read, what is refused and how it is said, who may read the file. */
#include <sys/stat.h>
#include <unistd.h>

#include "codec_rig.h"

#define BASE64_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static void test_keyring_last_key_encrypts_and_all_are_found(void **state) {
  (void)state;
  neap_keyring *keyring = keyring_of("# keys\r\n\n 1 " KEY_A "\r\n4294967295\t" KEY_B "\n");
  assert_int_equal(keyring->count, 2);
  assert_int_equal(neap_keyring_current(keyring), UINT32_MAX);
  const neap_key *key = neap_keyring_find(keyring, 1);
  assert_non_null(key);
  for (int i = 0; i < 32; i++) assert_int_equal(key->bytes[i], i);
  assert_null(neap_keyring_find(keyring, 2));
  neap_keyring_unref(&keyring);
  assert_null(keyring);
}

static void test_keyring_reads_base64_with_and_without_padding(void **state) {
  (void)state;
  neap_keyring *keyring = keyring_of(
      "1:" BASE64_A ", 2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8;"
      "3 //////////////////////////////////////////4=;\n4 --__--__--__--__--__--__--__--__--__--__AQI");
  assert_int_equal(keyring->count, 4);
  assert_memory_equal(keyring->keys[0].bytes, keyring->keys[1].bytes, NEAP_KEY_BYTES);
  assert_int_equal(keyring->keys[2].bytes[30], 0xff);
  assert_int_equal(keyring->keys[2].bytes[31], 0xfe);
  assert_int_equal(keyring->keys[3].bytes[0], 0xfb);
  assert_int_equal(keyring->keys[3].bytes[31], 2);
  neap_keyring_unref(&keyring);
}

static void refused(const char *text, int code, const char *said) {
  neap_keyring *keyring = NULL;
  neap_err err = {.text = ""};
  assert_int_equal(neap_keyring_parse(view(text), "keys", &keyring, &err), code);
  assert_null(keyring);
  if (strstr(err.text, said) == NULL) fail_msg("'%s' does not say '%s'", err.text, said);
  assert_null(strstr(err.text, "0102")); /* never part of a key */
}

static void test_keyring_refuses_with_the_line_and_never_quotes_a_key(void **state) {
  (void)state;
  refused("", NEAP_EINVAL, "keys: error: no keys");
  refused("# 1 " KEY_A, NEAP_EINVAL, "no keys");
  refused("1 " KEY_A "\n1 " KEY_B, NEAP_EINVAL, "keys:2: error: this id");
  refused("0 " KEY_A, NEAP_ESYNTAX, "keys:1: error: expected 'ID KEY'");
  refused("4294967296 " KEY_A, NEAP_ESYNTAX, "expected");
  refused("99999999999999999999999 " KEY_A, NEAP_ESYNTAX, "expected");
  refused("-1 " KEY_A, NEAP_ESYNTAX, "expected");
  refused(KEY_A, NEAP_ESYNTAX, "expected");
  refused("1", NEAP_ESYNTAX, "expected");
  refused("1 ", NEAP_ESYNTAX, "expected");
  refused("1 : " KEY_A, NEAP_ESYNTAX, "a key is 32 bytes");
  refused("1 " KEY_A "00", NEAP_ESYNTAX, "a key is 32 bytes");
  refused("1 00010203040506070809", NEAP_ESYNTAX, "a key is 32 bytes");
  refused("1 " BASE64_A "=", NEAP_ESYNTAX, "a key is 32 bytes");
  refused("\n\n1 zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", NEAP_ESYNTAX, "keys:3:");
  refused("1 0000000000000000000000000000000000000000000000000000000000000000", NEAP_EINVAL, "all zeros");
  char many[65 * 80], *at = many;
  for (int i = 1; i <= 65; i++) at += sprintf(at, "%d " KEY_A "\n", i);
  refused(many, NEAP_EINVAL, "keys:65: error: more than 64");
}

static void write_file(const char *path, const char *text, mode_t mode) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  assert_int_equal(chmod(path, mode), 0);
}

static void test_keyring_file_that_others_reach_is_refused(void **state) {
  (void)state;
  char path[] = "/tmp/neap-keyring-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  static const struct {
    mode_t mode;
    int rc;
  } cases[] = {{0600, 0},           {0400, 0},           {0640, 0},           {0644, NEAP_EINVAL},
               {0604, NEAP_EINVAL}, {0602, NEAP_EINVAL}, {0620, NEAP_EINVAL}, {0666, NEAP_EINVAL}};
  for (size_t i = 0; i < NEAP_COUNT_OF(cases); i++) {
    neap_keyring *keyring = NULL;
    neap_err err = {.text = ""};
    write_file(path, "5 " KEY_A "\n", cases[i].mode);
    assert_int_equal(neap_keyring_open(path, &keyring, &err), cases[i].rc);
    assert_true((keyring != NULL) == (cases[i].rc == 0));
    if (cases[i].rc) assert_non_null(strstr(err.text, path));
    if (keyring) assert_int_equal(neap_keyring_current(keyring), 5);
    neap_keyring_unref(&keyring);
    assert_int_equal(chmod(path, 0600), 0);
  }
  unlink(path);
}

static void test_keyring_that_is_no_file_is_an_error(void **state) {
  (void)state;
  neap_keyring *keyring = NULL;
  neap_err err = {.text = ""};
  assert_int_equal(neap_keyring_open("/nonexistent/keys", &keyring, &err), NEAP_EIO);
  assert_int_equal(neap_keyring_open("/tmp", &keyring, &err), NEAP_EIO);
  assert_int_equal(neap_keyring_open("/dev/zero", &keyring, &err), NEAP_EIO);
  assert_null(keyring);
}

static void test_keyring_comes_from_the_environment(void **state) {
  (void)state;
  neap_keyring *keyring = NULL;
  neap_err err = {.text = ""};
  unsetenv("KEYS_OF_TEST");
  assert_int_equal(neap_keyring_from_env("KEYS_OF_TEST", &keyring, &err), NEAP_ENOTFOUND);
  setenv("KEYS_OF_TEST", "1:" KEY_A ",2:" KEY_B, 1);
  assert_int_equal(neap_keyring_from_env("KEYS_OF_TEST", &keyring, &err), 0);
  assert_int_equal(neap_keyring_current(keyring), 2);
  neap_keyring_unref(&keyring);
  setenv("KEYS_OF_TEST", "1:abc", 1);
  assert_int_equal(neap_keyring_from_env("KEYS_OF_TEST", &keyring, &err), NEAP_ESYNTAX);
  assert_non_null(strstr(err.text, "KEYS_OF_TEST:1:"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keyring_last_key_encrypts_and_all_are_found),
      cmocka_unit_test(test_keyring_reads_base64_with_and_without_padding),
      cmocka_unit_test(test_keyring_refuses_with_the_line_and_never_quotes_a_key),
      cmocka_unit_test(test_keyring_file_that_others_reach_is_refused),
      cmocka_unit_test(test_keyring_that_is_no_file_is_an_error),
      cmocka_unit_test(test_keyring_comes_from_the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
