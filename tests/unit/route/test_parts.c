/* Parts of a request as targets, as keys, and the filter of queries: what is written, encoded and refused. */
#include "unit.h"

#include "base/base.h"
#include "request_board.h"
#include "route/route.h"

#define PARTS(...)                                                                                           \
  (neap_parts) {                                                                                             \
    (const neap_part[]){__VA_ARGS__}, sizeof((const neap_part[]){__VA_ARGS__}) / sizeof(neap_part)           \
  }

static char written[512];

static const char *write(neap_parts parts, const board *b) {
  assert_true(neap_parts_bound(&parts, &b->request) < sizeof written);
  ssize_t size =
      neap_parts_write(&parts, NEAP_PARTS_PATH, &b->request, written, neap_parts_bound(&parts, &b->request));
  assert_true(size >= 0);
  written[size] = 0;
  return written;
}

static void make(board *b) {
  board_set(b, "GET", "example.com", "/api/users/7?id=a%20b&q=x/y");
  board_header(b, "X-User", "a/b c%");
  board_header(b, "Cookie", "s=1; id=u&v");
}

static void test_parts_of_the_target_stay_as_they_are_spelt(void **state) {
  (void)state;
  board b;
  make(&b);
  assert_string_equal(
      write(PARTS({NEAP_PART_TEXT, "/v2"}, {NEAP_PART_REST, "/api"}, {NEAP_PART_HOST, ""}), &b),
      "/v2/users/7example.com");
  neap_parts query = PARTS({NEAP_PART_QUERY, ""}, {NEAP_PART_TEXT, "&a"});
  written[neap_parts_write(&query, NEAP_PARTS_QUERY, &b.request, written, sizeof written)] = 0;
  assert_string_equal(written, "id=a%20b&q=x/y&a");
  neap_parts all = PARTS({NEAP_PART_TARGET, ""}, {NEAP_PART_HOST, ""}, {NEAP_PART_CLIENT, ""});
  written[neap_parts_write(&all, NEAP_PARTS_LOCATION, &b.request, written, sizeof written)] = 0;
  assert_string_equal(written, "/api/users/7?id=a%20b&q=x/yexample.com127.0.0.1");
}

static void test_what_clients_choose_freely_is_encoded(void **state) {
  (void)state;
  board b;
  make(&b);
  assert_string_equal(write(PARTS({NEAP_PART_HEADER, "x-user"}), &b), "a%2Fb%20c%25");
  assert_string_equal(write(PARTS({NEAP_PART_COOKIE, "id"}), &b), "u%26v");
  assert_string_equal(write(PARTS({NEAP_PART_PARAMETER, "id"}), &b), "a%20b");
  assert_string_equal(write(PARTS({NEAP_PART_PARAMETER, "q"}), &b), "x%2Fy");
  assert_string_equal(write(PARTS({NEAP_PART_HEADER, "no"}, {NEAP_PART_COOKIE, "no"}), &b), "");
}

static void test_a_prefix_is_stripped_where_it_is_whole_segments(void **state) {
  (void)state;
  board b;
  make(&b);
  assert_string_equal(write(PARTS({NEAP_PART_BELOW, "/api"}), &b), "/users/7");
  assert_string_equal(write(PARTS({NEAP_PART_BELOW, "/api/users/7"}), &b), "");
  assert_string_equal(write(PARTS({NEAP_PART_BELOW, "/ap"}), &b), "/api/users/7");
  assert_string_equal(write(PARTS({NEAP_PART_REST, "/ap"}), &b), "i/users/7");
  assert_string_equal(write(PARTS({NEAP_PART_BELOW, "/other"}), &b), "/api/users/7");
  assert_string_equal(write(PARTS({NEAP_PART_BELOW, ""}), &b), "/api/users/7");
}

static void test_nothing_is_written_past_the_end(void **state) {
  (void)state;
  board b;
  make(&b);
  neap_parts parts = PARTS({NEAP_PART_TEXT, "/"}, {NEAP_PART_HEADER, "x-user"}, {NEAP_PART_PATH, ""});
  ssize_t whole = neap_parts_write(&parts, NEAP_PARTS_PATH, &b.request, written, sizeof written);
  for (ssize_t room = 0; room < whole; room++) {
    char *exact = malloc((size_t)room + 1); /* the address sanitizer watches its end */
    assert_int_equal(neap_parts_write(&parts, NEAP_PARTS_PATH, &b.request, exact, (size_t)room), NEAP_ESMALL);
    free(exact);
  }
}

static const char *locate(neap_parts parts, const board *b) {
  ssize_t size =
      neap_parts_write_location(&parts, &b->request, written, neap_parts_bound(&parts, &b->request));
  assert_true(size >= 0);
  written[size] = 0;
  return written;
}

static void test_what_stands_in_a_query_adds_no_parameter(void **state) {
  (void)state;
  board b;
  board_set(&b, "GET", "h", "/u/a&admin=1;x?q=1");
  neap_parts rest =
      PARTS({NEAP_PART_TEXT, "name="}, {NEAP_PART_REST, "/u/"}, {NEAP_PART_TEXT, "&"}, {NEAP_PART_QUERY, ""});
  ssize_t size = neap_parts_write(&rest, NEAP_PARTS_QUERY, &b.request, written, sizeof written);
  written[size] = 0;
  assert_string_equal(written, "name=a%26admin%3D1%3Bx&q=1");
  board_set(&b, "GET", "h", "/u/x?../a?b");
  assert_string_equal(write(PARTS({NEAP_PART_TEXT, "/x/"}, {NEAP_PART_QUERY, ""}), &b), "/x/..%2Fa%3Fb");
}

static void test_a_redirect_stays_where_it_was_written_for(void **state) {
  (void)state;
  static const struct {
    const char *first, *target, *last, *wanted;
  } rows[] = {
      {"/", "/old///evil.example/x", "", "/evil.example/x"},
      {"/", "/old/\\\\evil.example", "", "/evil.example"},
      {"/", "/old/%2Fevil", "", "/%2Fevil"},
      {"", "/old//evil.example", "", "/evil.example"},
      {"", "/oldhttps://evil.example", "", "/https://evil.example"},
      {"https://a.example", "/old.evil.example/x", "", "https://a.example/.evil.example/x"},
      {"https://a.example", "/old@evil.example", "", "https://a.example/@evil.example"},
      {"https://a.example", "/old/x", "", "https://a.example/x"},
      {"https://a.example", "/old", "", "https://a.example"},
      {"/new", "/old/x", "?", "/new/x"},
      {"/new?to=", "/old/x&y=1", "", "/new?to=%2Fx%26y%3D1"},
      {"//cdn.example/", "/oldx", "", "//cdn.example/x"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    board b;
    board_set(&b, "GET", "h", rows[i].target);
    neap_part list[] = {
        {NEAP_PART_TEXT, rows[i].first}, {NEAP_PART_REST, "/old"}, {NEAP_PART_TEXT, rows[i].last}};
    bool first = rows[i].first[0] != 0;
    neap_parts parts = {list + !first, (size_t)2 + first};
    assert_string_equal(locate(parts, &b), rows[i].wanted);
  }
  board b;
  board_set(&b, "GET", "h", "//evil?q=/&r");
  assert_string_equal(locate(PARTS({NEAP_PART_TARGET, ""}), &b), "/evil?q=/&r");
  assert_string_equal(locate(PARTS({NEAP_PART_TEXT, "https://a"}, {NEAP_PART_TARGET, ""}), &b),
                      "https://a//evil?q=/&r");
}

static void test_a_key_tells_values_absence_and_order_apart(void **state) {
  (void)state;
  board b;
  make(&b);
  neap_parts one = PARTS({NEAP_PART_HEADER, "x-user"}, {NEAP_PART_COOKIE, "s"});
  neap_parts two = PARTS({NEAP_PART_COOKIE, "s"}, {NEAP_PART_HEADER, "x-user"});
  neap_parts none = PARTS({NEAP_PART_HEADER, "x-user"}, {NEAP_PART_COOKIE, "no"});
  uint64_t hash = neap_parts_hash(&one, &b.request, 1);
  assert_int_equal(hash, neap_parts_hash(&one, &b.request, 1));
  assert_int_not_equal(hash, neap_parts_hash(&two, &b.request, 1));
  assert_int_not_equal(hash, neap_parts_hash(&none, &b.request, 1));
  assert_int_not_equal(hash, neap_parts_hash(&one, &b.request, 2));
}

static const char *filter(int query, const char *const *names, size_t count, const char *text) {
  neap_key_rule rule = {.names = names, .name_count = count};
  rule.query = query;
  written[neap_query_filter(&rule, slice_of(text), written)] = 0;
  return written;
}

static void test_queries_are_filtered_by_name(void **state) {
  (void)state;
  static const char *const names[] = {"utm_*", "id"};
  assert_string_equal(filter(NEAP_QUERY_DROP, names, 2, "a=1&utm_x=2&id=3&idx&utm_"), "a=1&idx");
  assert_string_equal(filter(NEAP_QUERY_KEEP, names, 2, "a=1&utm_x=2&id=3&idx&id"), "utm_x=2&id=3&id");
  assert_string_equal(filter(NEAP_QUERY_ALL, names, 2, "&a&&b="), "&a&&b=");
  assert_string_equal(filter(NEAP_QUERY_KEEP, names, 2, ""), "");
  assert_string_equal(filter(NEAP_QUERY_DROP, names, 0, "=&="), "=&=");
  assert_string_equal(filter(NEAP_QUERY_DROP, names, 2, "utm_a&id=1"), "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts_of_the_target_stay_as_they_are_spelt),
      cmocka_unit_test(test_what_clients_choose_freely_is_encoded),
      cmocka_unit_test(test_a_prefix_is_stripped_where_it_is_whole_segments),
      cmocka_unit_test(test_nothing_is_written_past_the_end),
      cmocka_unit_test(test_what_stands_in_a_query_adds_no_parameter),
      cmocka_unit_test(test_a_redirect_stays_where_it_was_written_for),
      cmocka_unit_test(test_a_key_tells_values_absence_and_order_apart),
      cmocka_unit_test(test_queries_are_filtered_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
