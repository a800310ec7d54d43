/* Commands and replies as they are written. */
#include "unit.h"

#include "base/base.h"
#include "resp/resp.h"

static neap_resp_out out;

static void expect_out(const char *text) {
  assert_false(out.failed);
  if (!neap_view_is((neap_view){out.bytes, out.size}, text))
    fail_msg("\"%.*s\" is not \"%s\"", (int)out.size, out.bytes, text);
  out.size = 0;
}

static void test_a_command_is_an_array_of_strings(void **state) {
  (void)state;
  const neap_view args[] = {{"SET", 3}, {"k\0y", 3}, {NULL, 0}, {"0123456789", 10}};
  static const char wanted[] = "*4\r\n$3\r\nSET\r\n$3\r\nk\0y\r\n$0\r\n\r\n$10\r\n0123456789\r\n";
  char text[128];
  size_t size = neap_resp_command_size(args, 4);
  assert_int_equal(size, sizeof wanted - 1);
  assert_int_equal(neap_resp_command_write(text, args, 4), size);
  assert_memory_equal(text, wanted, size);
}

static void test_heads_hold_the_largest_number(void **state) {
  (void)state;
  char text[NEAP_RESP_HEAD_MAX];
  assert_int_equal(neap_resp_head(text, '$', UINT64_MAX), 23);
  assert_memory_equal(text, "$18446744073709551615\r\n", 23);
  assert_int_equal(neap_resp_head(text, '*', 0), 4);
}

static void test_replies_suit_the_version(void **state) {
  (void)state;
  for (int version3 = 0; version3 < 2; version3++) {
    neap_resp_out_init(&out, 1000);
    out.version3 = version3;
    neap_resp_put_string(&out, "OK");
    neap_resp_put_error(&out, neap_view_of("ERR a\r\nb"));
    neap_resp_put_integer(&out, INT64_MIN);
    neap_resp_put_integer(&out, 12);
    neap_resp_put_bulk(&out, (neap_view){"a\0b", 3});
    assert_memory_equal(out.bytes, "+OK\r\n-ERR a  b\r\n:-9223372036854775808\r\n:12\r\n$3\r\na\0b\r\n",
                        out.size);
    out.size = 0;
    neap_resp_put_array(&out, 2);
    neap_resp_put_null(&out);
    neap_resp_put_boolean(&out, true);
    neap_resp_put_map(&out, 3);
    neap_resp_put_set(&out, 4);
    neap_resp_put_push(&out, 5);
    expect_out(version3 ? "*2\r\n_\r\n#t\r\n%3\r\n~4\r\n>5\r\n" : "*2\r\n$-1\r\n:1\r\n*6\r\n*4\r\n*5\r\n");
    neap_resp_out_fini(&out);
  }
}

static void test_a_buffer_never_outgrows_its_limit(void **state) {
  (void)state;
  neap_resp_out_init(&out, 1000);
  char body[1001] = "";
  neap_resp_put_bulk(&out, (neap_view){body, 900});
  assert_false(out.failed);
  size_t size = out.size;
  neap_resp_put_bulk(&out, (neap_view){body, 100});
  assert_true(out.failed);
  neap_resp_put_string(&out, "OK"); /* would fit, but something is missing before it */
  assert_int_equal(out.size, size);
  assert_true(out.room <= 1000);
  neap_resp_out_fini(&out);
  neap_resp_out_init(&out, 1000);
  neap_resp_put_bulk(&out, (neap_view){body, SIZE_MAX - 8});
  assert_true(out.failed);
  assert_null(out.bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_command_is_an_array_of_strings),
      cmocka_unit_test(test_heads_hold_the_largest_number),
      cmocka_unit_test(test_replies_suit_the_version),
      cmocka_unit_test(test_a_buffer_never_outgrows_its_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
