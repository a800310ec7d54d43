/* The route table against the precedence that route.h promises, and against a naive matcher that tries every
 * rule on random requests. */
#include "unit.h"

#include "request_board.h"
#include "route/route.h"

/* --- a table of rules in a line each --- */

static neap_routes *make(const neap_match *rules, size_t count) {
  const neap_match *pointers[64];
  for (size_t i = 0; i < count; i++) pointers[i] = &rules[i];
  neap_routes *routes = NULL;
  assert_int_equal(neap_routes_create(pointers, count, &routes), 0);
  return routes;
}

#define MAKE(rules) make(rules, sizeof(rules) / sizeof(rules)[0])
#define EXACT(p)    .path_how = NEAP_PATH_EXACT, .path = (p)
#define PREFIX(p)   .path_how = NEAP_PATH_PREFIX, .path = (p)
#define BELOW(p)    .path_how = NEAP_PATH_BELOW, .path = (p)

static const char *const GET[] = {"GET"}, *const GET_HEAD[] = {"GET", "HEAD"}, *const PURGE[] = {"PURGE"};

/* All rules that match, in order, as text: "2 0 1". */
static const char *walk_all(const neap_routes *routes, const board *b) {
  static char text[512];
  neap_route_walk walk;
  size_t size = 0;
  text[0] = 0;
  neap_routes_find(routes, &b->request, &walk);
  for (int32_t rule; (rule = neap_routes_next(&walk)) >= 0;)
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%d", size ? " " : "", rule);
  assert_int_equal(neap_routes_next(&walk), -1);
  return text;
}

static const char *ask(const neap_routes *routes, const char *method, const char *host, const char *target) {
  board b;
  board_set(&b, method, host, target);
  return walk_all(routes, &b);
}

static void test_exact_comes_before_longer_prefix_before_shorter(void **state) {
  (void)state;
  const neap_match rules[] = {{0}, {PREFIX("/a")}, {PREFIX("/a/b")}, {EXACT("/a/b")}, {BELOW("/a")}};
  neap_routes *routes = MAKE(rules);
  assert_string_equal(ask(routes, "GET", "h", "/a/b"), "3 2 4 1 0");
  assert_string_equal(ask(routes, "GET", "h", "/a/bc"), "2 4 1 0");
  assert_string_equal(ask(routes, "GET", "h", "/a"), "4 1 0");
  assert_string_equal(ask(routes, "GET", "h", "/ab"), "1 0");
  assert_string_equal(ask(routes, "GET", "h", "/"), "0");
  assert_string_equal(ask(routes, "OPTIONS", "h", "*"), "0");
  assert_string_equal(ask(routes, "GET", "h", ""), "0");
  neap_routes_destroy(&routes);
  assert_null(routes);
}

static void test_hosts_come_before_paths(void **state) {
  (void)state;
  const neap_match rules[] = {{EXACT("/x")},
                              {.host = "*.example.com"},
                              {.host = "api.example.com"},
                              {.host = "*.eu.example.com"},
                              {.host = "[::1]"}};
  neap_routes *routes = MAKE(rules);
  assert_string_equal(ask(routes, "GET", "api.example.com", "/x"), "2 1 0");
  assert_string_equal(ask(routes, "GET", "a.eu.example.com", "/x"), "3 1 0");
  assert_string_equal(ask(routes, "GET", "eu.example.com", "/x"), "1 0");
  assert_string_equal(ask(routes, "GET", "example.com", "/x"), "0");
  assert_string_equal(ask(routes, "GET", ".example.com", "/x"), "0");
  assert_string_equal(ask(routes, "GET", "notexample.com", "/x"), "0");
  assert_string_equal(ask(routes, "GET", "api.example.com.evil.org", "/x"), "0");
  assert_string_equal(ask(routes, "GET", "[::1]", "/x"), "4 0");
  assert_string_equal(ask(routes, "GET", "", "/x"), "0");
  assert_string_equal(ask(routes, "GET", "[", "/x"), "0");
  neap_routes_destroy(&routes);
}

static void test_host_longer_than_any_name_matches_no_host_rule(void **state) {
  (void)state;
  const neap_match rules[] = {{.host = "*.a"}, {0}};
  neap_routes *routes = MAKE(rules);
  char host[400];
  memset(host, 'b', sizeof host);
  memcpy(host + sizeof host - 3, ".a", 3);
  assert_string_equal(ask(routes, "GET", host, "/"), "1");
  assert_string_equal(ask(routes, "GET", host + 200, "/"), "0 1");
  neap_routes_destroy(&routes);
}

static void test_more_conditions_come_first_then_declaration(void **state) {
  (void)state;
  const neap_match_field beta[] = {{"X-Group", "beta"}, {"x-user", NULL}}, debug[] = {{"debug", "1"}};
  const neap_match rules[] = {
      {.conditional = false},
      {.conditional = true},
      {.queries = debug, .query_count = 1},
      {.headers = beta, .header_count = 1},
      {.headers = beta, .header_count = 2},
      {.methods = GET_HEAD, .method_count = 2},
      {.methods = GET, .method_count = 1, .conditional = false},
  };
  neap_routes *routes = MAKE(rules);
  board b;
  board_set(&b, "GET", "h", "/?a=2&debug=1");
  board_header(&b, "x-GROUP", "beta");
  assert_string_equal(walk_all(routes, &b), "5 6 3 2 1 0");
  board_header(&b, "X-User", "");
  assert_string_equal(walk_all(routes, &b), "5 6 4 3 2 1 0");
  b.headers[0].value = slice_of("BETA");
  assert_string_equal(walk_all(routes, &b), "5 6 2 1 0");
  neap_routes_destroy(&routes);
}

static void test_methods_are_case_sensitive_and_may_be_any_word(void **state) {
  (void)state;
  const neap_match rules[] = {{.methods = PURGE, .method_count = 1}, {.methods = GET, .method_count = 1}};
  neap_routes *routes = MAKE(rules);
  assert_string_equal(ask(routes, "PURGE", "h", "/"), "0");
  assert_string_equal(ask(routes, "GET", "h", "/"), "1");
  assert_string_equal(ask(routes, "get", "h", "/"), "");
  assert_string_equal(ask(routes, "POST", "h", "/"), "");
  neap_routes_destroy(&routes);
}

static void test_second_header_of_a_name_counts_too(void **state) {
  (void)state;
  const neap_match_field tag[] = {{"tag", "b"}};
  const neap_match rules[] = {{.headers = tag, .header_count = 1}};
  neap_routes *routes = MAKE(rules);
  board b;
  board_set(&b, "GET", "h", "/");
  board_header(&b, "Tag", "a");
  assert_string_equal(walk_all(routes, &b), "");
  board_header(&b, "Tag", "b");
  assert_string_equal(walk_all(routes, &b), "0");
  neap_routes_destroy(&routes);
}

static void test_empty_table_matches_nothing(void **state) {
  (void)state;
  neap_routes *routes = make(NULL, 0);
  assert_string_equal(ask(routes, "GET", "h", "/"), "");
  neap_routes_destroy(&routes);
  neap_routes_destroy(&routes);
}

static void test_matches_that_mean_nothing_are_refused(void **state) {
  (void)state;
  const neap_match_field unnamed[] = {{"", "x"}};
  static char longest[5001];
  memset(longest, '/', sizeof longest - 1);
  const neap_match wrong[] = {
      {EXACT("a")},
      {EXACT("")},
      {EXACT(NULL)},
      {BELOW("/a/")},
      {EXACT(longest)},
      {.path = "/a"},
      {.host = ""},
      {.host = "*."},
      {.host = "a.*.b"},
      {.host = "Example.com"},
      {.host = "a:80"},
      {.headers = unnamed, .header_count = 1},
      {.queries = unnamed, .query_count = 1},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const neap_match *pointer = &wrong[i];
    neap_routes *routes = NULL;
    assert_int_equal(neap_routes_create(&pointer, 1, &routes), NEAP_EINVAL);
    assert_null(routes);
  }
}

static void test_more_methods_than_the_table_holds_are_refused(void **state) {
  (void)state;
  static char names[65][16];
  const char *methods[65];
  for (int i = 0; i < 65; i++) {
    snprintf(names[i], sizeof names[i], "M%d", i);
    methods[i] = names[i];
  }
  neap_match match = {.methods = methods, .method_count = 64};
  const neap_match *pointer = &match;
  neap_routes *routes = NULL;
  assert_int_equal(neap_routes_create(&pointer, 1, &routes), 0);
  assert_string_equal(ask(routes, "M63", "h", "/"), "0");
  neap_routes_destroy(&routes);
  match.method_count = 65;
  assert_int_equal(neap_routes_create(&pointer, 1, &routes), NEAP_EINVAL);
}

/* --- the model: every rule tried, the matching ones sorted --- */

static bool ends_with(const char *text, const char *tail) {
  size_t a = strlen(text), b = strlen(tail);
  return a > b && strcmp(text + a - b, tail) == 0;
}

static bool model_matches(const neap_match *rule, const board *b, const char *host, const char *path) {
  if (rule->host && rule->host[0] == '*' && !ends_with(host, rule->host + 1)) return false;
  if (rule->host && rule->host[0] != '*' && strcmp(host, rule->host) != 0) return false;
  size_t size = rule->path ? strlen(rule->path) : 0;
  bool begins = rule->path && strncmp(path, rule->path, size) == 0;
  if (rule->path_how == NEAP_PATH_EXACT && (!begins || path[size])) return false;
  if (rule->path_how == NEAP_PATH_PREFIX && !begins) return false;
  if (rule->path_how == NEAP_PATH_BELOW && (!begins || (path[size] && path[size] != '/'))) return false;
  if (rule->method_count && strncmp(rule->methods[0], b->request.method.ptr, 3) != 0) return false;
  for (size_t i = 0; i < rule->header_count; i++)
    if (b->request.header_count == 0 || strcmp(rule->headers[i].value, b->headers[0].value.ptr) != 0)
      return false;
  return true;
}

static int host_rank(const neap_match *rule) {
  return rule->host == NULL ? 0 : rule->host[0] == '*' ? (int)strlen(rule->host) : 1000;
}

static int path_rank(const neap_match *rule) {
  int size = rule->path ? (int)strlen(rule->path) : 0;
  return rule->path_how == NEAP_PATH_EXACT ? 100000 : 2 * size + (rule->path_how == NEAP_PATH_BELOW);
}

/* Whether rule `a` comes before rule `b`, both of which match. */
static bool model_before(const neap_match *rules, int a, int b) {
  const neap_match *x = &rules[a], *y = &rules[b];
  if (host_rank(x) != host_rank(y)) return host_rank(x) > host_rank(y);
  if (path_rank(x) != path_rank(y)) return path_rank(x) > path_rank(y);
  if (!x->method_count != !y->method_count) return x->method_count > 0;
  if (x->header_count != y->header_count) return x->header_count > y->header_count;
  if (x->conditional != y->conditional) return x->conditional;
  return a < b;
}

static const char *model(const neap_match *rules, int count, const board *b, const char *host,
                         const char *path) {
  static char text[512];
  int found[64], n = 0;
  for (int i = 0; i < count; i++) {
    if (!model_matches(&rules[i], b, host, path)) continue;
    int at = n++;
    for (; at > 0 && model_before(rules, i, found[at - 1]); at--) found[at] = found[at - 1];
    found[at] = i;
  }
  size_t size = 0;
  text[0] = 0;
  for (int i = 0; i < n; i++)
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%d", i ? " " : "", found[i]);
  return text;
}

static uint32_t draw(uint64_t *seed, uint32_t below) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*seed >> 33) % below;
}

/* Paths over a tiny alphabet, so that they share beginnings and ends. */
static const char *random_path(uint64_t *seed, char *out, bool slash_ends) {
  int size = 1 + (int)draw(seed, 7);
  out[0] = '/';
  for (int i = 1; i < size; i++) out[i] = "ab/\xc3"[draw(seed, 4)];
  if (!slash_ends && out[size - 1] == '/') out[size++] = 'a';
  out[size] = 0;
  return out;
}

static const char *const HOSTS[] = {"a.b", "c.a.b", "*.b", "*.a.b", "*.c.a.b", "x"};

static void random_rule(uint64_t *seed, neap_match *rule, char *path) {
  static const neap_match_field one[] = {{"h", "1"}}, two[] = {{"h", "2"}};
  memset(rule, 0, sizeof *rule);
  rule->path_how = (neap_match_path)draw(seed, 4);
  if (rule->path_how != NEAP_PATH_ANY)
    rule->path = random_path(seed, path, rule->path_how != NEAP_PATH_BELOW);
  if (draw(seed, 2)) rule->host = HOSTS[draw(seed, 6)];
  if (draw(seed, 4) == 0) rule->methods = GET, rule->method_count = 1;
  if (draw(seed, 4) == 0) rule->headers = draw(seed, 2) ? one : two, rule->header_count = 1;
  rule->conditional = draw(seed, 4) == 0;
}

static void random_request(uint64_t *seed, board *b, const char *host, char *path) {
  board_set(b, draw(seed, 2) ? "GET" : "PUT", host, random_path(seed, path, true));
  if (draw(seed, 2)) board_header(b, "H", draw(seed, 2) ? "1" : "2");
}

static void test_table_and_naive_matcher_agree_on_random_requests(void **state) {
  (void)state;
  static const char *const hosts[] = {"a.b", "c.a.b", "d.c.a.b", "z.b", "x", "y", "b"};
  uint64_t seed = 7;
  uint64_t matched = 0;
  for (int round = 0; round < 400; round++) {
    neap_match rules[48];
    char paths[48][16], path[16];
    int count = 1 + (int)draw(&seed, 48);
    for (int i = 0; i < count; i++) random_rule(&seed, &rules[i], paths[i]);
    neap_routes *routes = make(rules, (size_t)count);
    for (int i = 0; i < 200; i++) {
      board b;
      const char *host = hosts[draw(&seed, 7)];
      random_request(&seed, &b, host, path);
      const char *expected = model(rules, count, &b, host, path);
      matched += expected[0] != 0;
      assert_string_equal(walk_all(routes, &b), expected);
    }
    neap_routes_destroy(&routes);
  }
  assert_true(matched > 40000); /* the requests are about the rules */
}

/* --- keys --- */

static double key_of(const board *b, neap_match_key key, const char *name) {
  return neap_route_key(key, name, &b->request);
}

static void test_key_is_the_hash_of_the_named_part(void **state) {
  (void)state;
  board a, b;
  board_set(&a, "GET", "h", "/p?q=1");
  board_set(&b, "POST", "other", "/p?q=2");
  board_header(&a, "Cookie", "x=1; sid=7");
  board_header(&b, "X-User", "u");
  board_header(&b, "cookie", "sid=7");
  double path = key_of(&a, NEAP_KEY_PATH, "");
  assert_true(path == key_of(&b, NEAP_KEY_PATH, "") && path >= 0 && path < 9007199254740992.0);
  assert_true(key_of(&a, NEAP_KEY_QUERY, "") != key_of(&b, NEAP_KEY_QUERY, ""));
  assert_true(key_of(&a, NEAP_KEY_HOST, "") != key_of(&b, NEAP_KEY_HOST, ""));
  assert_true(key_of(&a, NEAP_KEY_CLIENT, "") == key_of(&b, NEAP_KEY_CLIENT, ""));
  assert_true(key_of(&a, NEAP_KEY_COOKIE, "sid") == key_of(&b, NEAP_KEY_COOKIE, "sid"));
  assert_true(key_of(&a, NEAP_KEY_HEADER, "x-user") != key_of(&b, NEAP_KEY_HEADER, "x-user"));
  board_set(&a, "GET", "h", "/p?user=7&page=1");
  board_set(&b, "GET", "h", "/q?page=2&user=7");
  assert_true(key_of(&a, NEAP_KEY_QUERY, "user") == key_of(&b, NEAP_KEY_QUERY, "user"));
  assert_true(key_of(&a, NEAP_KEY_QUERY, "page") != key_of(&b, NEAP_KEY_QUERY, "page"));
  board_set(&b, "GET", "h", "/");
  assert_true(key_of(&b, NEAP_KEY_COOKIE, "sid") == key_of(&b, NEAP_KEY_QUERY, "")); /* absent is empty */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_comes_before_longer_prefix_before_shorter),
      cmocka_unit_test(test_hosts_come_before_paths),
      cmocka_unit_test(test_host_longer_than_any_name_matches_no_host_rule),
      cmocka_unit_test(test_more_conditions_come_first_then_declaration),
      cmocka_unit_test(test_methods_are_case_sensitive_and_may_be_any_word),
      cmocka_unit_test(test_second_header_of_a_name_counts_too),
      cmocka_unit_test(test_empty_table_matches_nothing),
      cmocka_unit_test(test_matches_that_mean_nothing_are_refused),
      cmocka_unit_test(test_more_methods_than_the_table_holds_are_refused),
      cmocka_unit_test(test_table_and_naive_matcher_agree_on_random_requests),
      cmocka_unit_test(test_key_is_the_hash_of_the_named_part),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
