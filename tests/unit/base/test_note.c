#include "unit.h"

#include <pthread.h>

#include "base/note.h"

static void test_the_newest_text_is_read_and_long_ones_are_cut(void **state) {
  (void)state;
  static neap_note note;
  char text[NEAP_NOTE_TEXT], longer[2 * NEAP_NOTE_TEXT];
  uint64_t at_ms = 7;
  assert_false(neap_note_read(&note, &at_ms, text));
  assert_int_equal(at_ms, 7);
  neap_note_write(&note, 1, "first, which is the longer one");
  neap_note_write(&note, 2, "second");
  assert_true(neap_note_read(&note, &at_ms, text));
  assert_int_equal(at_ms, 2);
  assert_string_equal(text, "second");
  memset(longer, 'x', sizeof longer);
  longer[sizeof longer - 1] = '\0';
  neap_note_write(&note, 3, longer);
  assert_true(neap_note_read(&note, &at_ms, text));
  assert_int_equal(strlen(text), NEAP_NOTE_TEXT - 1);
}

enum { WRITES = 20000 };

static void *write_many(void *user) {
  char text[300];
  for (int i = 0; i < WRITES; i++) {
    memset(text, 'a' + i % 26, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    neap_note_write(user, (uint64_t)(i % 26), text);
  }
  return NULL;
}

static void test_no_reader_sees_half_a_text(void **state) {
  (void)state;
  static neap_note note;
  pthread_t thread;
  char text[NEAP_NOTE_TEXT];
  uint64_t at_ms = 0;
  neap_note_write(&note, 0, "a");
  assert_int_equal(pthread_create(&thread, NULL, write_many, &note), 0);
  for (int i = 0; i < WRITES; i++) {
    if (!neap_note_read(&note, &at_ms, text)) continue;
    for (char *c = text; *c; c++) assert_int_equal(*c, 'a' + at_ms);
  }
  pthread_join(thread, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_newest_text_is_read_and_long_ones_are_cut),
      cmocka_unit_test(test_no_reader_sees_half_a_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
