/* Data tables: what a line means, what each kind finds, what is refused on which line, and swaps beside
 * readers. */
#include "unit.h"

#include <pthread.h>

#include "base/base.h"
#include "request_board.h"
#include "route/route.h"

static neap_rows *make(neap_table_kind kind, const char *text) {
  neap_rows *rows = NULL;
  neap_err err = {0};
  int code = neap_rows_parse(kind, "t.csv", strdup(text), strlen(text), &rows, &err);
  if (code) print_message("%s\n", err.text);
  assert_int_equal(code, 0);
  return rows;
}

/* The value of a key, "-" where there is none. */
static const char *get(const neap_rows *rows, const char *key) {
  static char text[256];
  neap_slice value;
  if (!neap_rows_get(rows, slice_of(key), &value)) return "-";
  snprintf(text, sizeof text, "%.*s", value.size, value.ptr);
  return text;
}

static void refuse(neap_table_kind kind, const char *text, const char *expected) {
  neap_rows *rows = NULL;
  neap_err err = {0};
  assert_int_equal(neap_rows_parse(kind, "t.csv", strdup(text), strlen(text), &rows, &err), NEAP_EINVAL);
  assert_string_equal(err.text, expected);
}

static void test_lines(void **state) {
  (void)state;
  neap_rows *rows = make(
      NEAP_TABLE_MAP, "\xef\xbb\xbf# a comment\n\n a , b c \t\r\n\"x, y\" ,\"he said \"\"no\"\"\"\nempty,\n"
                      "  # another\nlast,1");
  assert_int_equal(neap_rows_count(rows), 4);
  assert_string_equal(get(rows, "a"), "b c");
  assert_string_equal(get(rows, "x, y"), "he said \"no\"");
  assert_string_equal(get(rows, "empty"), "");
  assert_string_equal(get(rows, "last"), "1");
  assert_string_equal(get(rows, ""), "-");
  assert_string_equal(get(rows, "A"), "-");
  assert_false(neap_rows_get(rows, (neap_slice){.ptr = NULL}, &(neap_slice){.ptr = NULL}));
  neap_rows_destroy(&rows);
  rows = make(NEAP_TABLE_SET, "");
  assert_int_equal(neap_rows_count(rows), 0);
  assert_string_equal(get(rows, "x"), "-");
  neap_rows_destroy(&rows);
}

static void test_the_longest_prefix_is_found(void **state) {
  (void)state;
  neap_rows *rows = make(NEAP_TABLE_PREFIX, "/api/,a\n/api/v2/,b\n/,c\n\"\",d\n");
  assert_string_equal(get(rows, "/api/v2/x"), "b");
  assert_string_equal(get(rows, "/api/v2"), "a");
  assert_string_equal(get(rows, "/ap"), "c");
  assert_string_equal(get(rows, "x"), "d");
  neap_rows_destroy(&rows);
}

static void test_the_longest_network_is_found(void **state) {
  (void)state;
  neap_rows *rows =
      make(NEAP_TABLE_NETWORK, "10.0.0.0/8,ten\n10.1.0.0/16,ten one\n10.1.2.3,host\n0.0.0.0/0,any\n"
                               "2001:db8::/32,doc\n::1,self\n10.1.2.77/28,odd\n");
  assert_string_equal(get(rows, "10.9.9.9"), "ten");
  assert_string_equal(get(rows, "10.1.9.9"), "ten one");
  assert_string_equal(get(rows, "10.1.2.3"), "host");
  assert_string_equal(get(rows, "10.1.2.64"), "odd");
  assert_string_equal(get(rows, "192.0.2.1"), "any");
  assert_string_equal(get(rows, "2001:db8:ffff::1"), "doc");
  assert_string_equal(get(rows, "::1"), "self");
  assert_string_equal(get(rows, "::2"), "-");
  static const char *const no_address[] = {"",  "10.1.2", "10.1.2.3.4",       "10.0.0.0/8",
                                           "x", ":",      "1:2:3:4:5:6:7:8:9"};
  for (size_t i = 0; i < NEAP_COUNT_OF(no_address); i++) assert_string_equal(get(rows, no_address[i]), "-");
  neap_rows_destroy(&rows);
}

static void test_weights_draw_in_proportion(void **state) {
  (void)state;
  neap_rows *rows = make(NEAP_TABLE_WEIGHTS, "a,1\nb,0\nc,3\n");
  int counts[3] = {0};
  neap_slice name;
  for (int i = 0; i < 4000; i++) {
    assert_true(neap_rows_draw(rows, i / 4000.0, &name));
    counts[name.ptr[0] - 'a']++;
  }
  assert_int_equal(counts[0], 1000);
  assert_int_equal(counts[1], 0);
  assert_int_equal(counts[2], 3000);
  neap_rows_destroy(&rows);
  rows = make(NEAP_TABLE_WEIGHTS, "a,0\n");
  assert_false(neap_rows_draw(rows, 0.5, &name));
  neap_rows_destroy(&rows);
}

static void test_what_is_wrong_is_told_with_its_line(void **state) {
  (void)state;
  refuse(NEAP_TABLE_MAP, "a,1\nb\n", "t.csv:2: a row is a key, a comma and a value");
  refuse(NEAP_TABLE_MAP, "a,1\n\n#\na,2\n", "t.csv:4: the key is there twice");
  refuse(NEAP_TABLE_MAP, "a,1,2", "t.csv:1: there is a second comma: put the value in quotes");
  refuse(NEAP_TABLE_MAP, "\"a,1", "t.csv:1: a quote does not pair up");
  refuse(NEAP_TABLE_MAP, "\"a\"\"", "t.csv:1: a quote does not pair up");
  refuse(NEAP_TABLE_MAP, "\"a\"x,1", "t.csv:1: a quote does not pair up");
  refuse(NEAP_TABLE_MAP, ",1", "t.csv:1: the key is empty");
  refuse(NEAP_TABLE_MAP, "a,\x01", "t.csv:1: a control byte");
  refuse(NEAP_TABLE_SET, "a\nb,1", "t.csv:2: a row of a set is a key alone");
  refuse(NEAP_TABLE_NETWORK, "10.0.0.0/8\n10.0.0/8", "t.csv:2: write a network: 10.0.0.0/8, 2001:db8::/32");
  refuse(NEAP_TABLE_NETWORK, "10.0.0.0/33", "t.csv:1: write a network: 10.0.0.0/8, 2001:db8::/32");
  refuse(NEAP_TABLE_NETWORK, "10.0.0.0/", "t.csv:1: write a network: 10.0.0.0/8, 2001:db8::/32");
  refuse(NEAP_TABLE_NETWORK, "10.0.0.1/8\n10.0.0.2/8", "t.csv:2: the key is there twice");
  refuse(NEAP_TABLE_WEIGHTS, "a,1\nb,-1", "t.csv:2: write a weight: a number from 0");
  refuse(NEAP_TABLE_WEIGHTS, "a,nan", "t.csv:1: write a weight: a number from 0");
  refuse(NEAP_TABLE_WEIGHTS, "a,1x", "t.csv:1: write a weight: a number from 0");
}

static void test_rows_that_are_no_rates_are_told_with_their_line(void **state) {
  (void)state;
  static const char *const none[] = {"soon", "nan", "-1/s", "inf", "5/w", "", "\"\"", "1e10"};
  neap_err err = {0};
  neap_rows *rows = make(NEAP_TABLE_MAP, "# plans\na,0\nb,\"100/s\"\nc,2.5/m\nd,1e3/d\n");
  assert_int_equal(neap_rows_check_rates(rows, "t.csv", &err), 0);
  neap_rows_destroy(&rows);
  rows = make(NEAP_TABLE_MAP, "");
  assert_int_equal(neap_rows_check_rates(rows, "t.csv", &err), 0);
  neap_rows_destroy(&rows);
  for (size_t i = 0; i < NEAP_COUNT_OF(none); i++) {
    char text[64];
    snprintf(text, sizeof text, "# plans\n\"a\", 1/s\n\n\"b\",%s\nc,1\n", none[i]);
    rows = make(NEAP_TABLE_MAP, text);
    assert_int_equal(neap_rows_check_rates(rows, "t.csv", &err), NEAP_EINVAL);
    assert_string_equal(err.text, "t.csv:4: write a rate: \"10/s\", \"600/m\", \"1000/h\", \"1000/d\", or 0");
    neap_rows_destroy(&rows);
  }
}

static void test_many_rows_are_all_found(void **state) {
  (void)state;
  enum { ROWS = 100000 };
  char *text = malloc(ROWS * 24), *at = text, key[24], value[24];
  neap_rows *rows = NULL;
  for (int i = 0; i < ROWS; i++) at += sprintf(at, "key-%d,%d\n", i, i * 7);
  assert_int_equal(neap_rows_parse(NEAP_TABLE_MAP, "t", text, (size_t)(at - text), &rows, NULL), 0);
  for (int i = 0; i < ROWS; i++) {
    snprintf(key, sizeof key, "key-%d", i);
    snprintf(value, sizeof value, "%d", i * 7);
    assert_string_equal(get(rows, key), value);
  }
  assert_string_equal(get(rows, "key-100000"), "-");
  neap_rows_destroy(&rows);
}

/* --- swaps */

enum { READERS = 3, SWAPS = 300 };

typedef struct stage {
  neap_table table;
  neap_table_readers readers;
  _Atomic bool over;
} stage;

typedef struct part {
  stage *on;
  uint32_t place;
} part;

static void *read_on(void *user) {
  const part *p = user;
  uint64_t found = 0;
  while (!atomic_load_explicit(&p->on->over, memory_order_relaxed)) {
    neap_slice value;
    neap_table_enter(&p->on->readers, p->place);
    const neap_rows *rows = neap_table_rows(&p->on->table);
    if (!neap_rows_get(rows, slice_of("b"), &value) || value.size != 2 || value.ptr[0] != value.ptr[1])
      abort();
    neap_table_leave(&p->on->readers, p->place);
    found++;
  }
  return NULL;
}

static void test_readers_see_the_old_rows_or_the_new_and_never_freed_ones(void **state) {
  (void)state;
  stage *on = aligned_alloc(64, sizeof *on);
  memset(on, 0, sizeof *on);
  atomic_store(&on->readers.epoch, 1);
  atomic_store(&on->table.rows, make(NEAP_TABLE_MAP, "a,1\nb,00\n"));
  part parts[READERS];
  pthread_t threads[READERS];
  for (uint32_t i = 0; i < READERS; i++) {
    parts[i] = (part){on, i};
    assert_int_equal(pthread_create(&threads[i], NULL, read_on, &parts[i]), 0);
  }
  for (int i = 0; i < SWAPS; i++) {
    char text[32];
    snprintf(text, sizeof text, "a,1\nb,%d%d\n", i % 10, i % 10);
    neap_table_swap(&on->table, &on->readers, make(NEAP_TABLE_MAP, text));
  }
  atomic_store(&on->over, true);
  for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
  neap_rows *rows = atomic_load(&on->table.rows);
  neap_rows_destroy(&rows);
  free(on);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines),
      cmocka_unit_test(test_the_longest_prefix_is_found),
      cmocka_unit_test(test_the_longest_network_is_found),
      cmocka_unit_test(test_weights_draw_in_proportion),
      cmocka_unit_test(test_what_is_wrong_is_told_with_its_line),
      cmocka_unit_test(test_rows_that_are_no_rates_are_told_with_their_line),
      cmocka_unit_test(test_many_rows_are_all_found),
      cmocka_unit_test(test_readers_see_the_old_rows_or_the_new_and_never_freed_ones),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
