/* A worker's VM: predicates of routes, and what becomes of those that fail. */
#include "worker.h"

/* One route with this predicate, on lines from 3. */
static void start_when(fixture *f, const char *when) {
  char text[4096];
  snprintf(text, sizeof text, START "neap.route { path = '/', pool = 'app', when = %s }", when);
  start(f, text);
}

static int ask(const char *when, const board *b) {
  fixture f;
  start_when(&f, when);
  int answer = neap_worker_when(f.worker, 0, &b->request);
  if (answer < 0) print_message("%s\n", neap_worker_fault(f.worker));
  stop(&f);
  return answer;
}

/* --- what a predicate can see --- */

static void test_predicates_see_the_request(void **state) {
  (void)state;
  static const char *const yes[] = {
      "function(req) return req.method == 'GET' end",
      "function(req) return 'GET' == req.method end",
      "function(req) return req.method ~= 'PUT' end",
      "function(req) return req.path:starts '/api/' end",
      "function(req) return req.path:ends 'users' end",
      "function(req) return req.path:contains '/v2/' end",
      "function(req) return req.path:contains '' end",
      "function(req) return req.path:eq '/api/v2/users' end",
      "function(req) return req.target:ends '&debug' end",
      "function(req) return req.query_string:starts 'id=' end",
      "function(req) return req.host == 'Example.com' end",
      "function(req) return req.client == '127.0.0.1' end",
      "function(req) local v = req:header 'x-VERSION' return v and v:eq 'beta-2' end",
      "function(req) return req:header 'x-none' == nil end",
      "function(req) return req:query 'id' == '7' end",
      "function(req) return req:query 'debug' == '' end",
      "function(req) return req:query 'none' == nil end",
      "function(req) return req:cookie 'group' == 'b' end",
      "function(req) return tostring(req.path) == '/api/v2/users' end",
      "function(req) return req.path:text():sub(1, 4) == '/api' end",
      "function(req) return #req.method == 3 end",
      "function(req) return req.method .. ' ' .. req.path == 'GET /api/v2/users' end",
      "function(req) return req:header('x-share'):number() == 42 end",
      "function(req) return req:header('x-version'):number() == nil end",
      "function(req) return req.path == req.path and req.path ~= req.host end",
      "function(req) return req.path:hash() == req.path:hash() and req.path:hash() ~= req.host:hash() end",
      "function(req) return tostring(req) == 'request' end",
      "function(req) for i = 1, 58 do req:header 'cookie' end return true end",
  };
  board b;
  sample(&b);
  for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
    int answer = ask(yes[i], &b);
    if (answer != 1) print_message("%s\n", yes[i]);
    assert_int_equal(answer, 1);
  }
}

static void test_false_and_nil_are_no(void **state) {
  (void)state;
  board b;
  sample(&b);
  assert_int_equal(ask("function() return false end", &b), 0);
  assert_int_equal(ask("function() end", &b), 0);
  assert_int_equal(ask("function(req) local v = req:header 'x-none' return v and v:eq 'x' end", &b), 0);
}

static void test_predicates_can_do_no_harm(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "function(req) return 1 end",
      "function(req) return 'yes' end",
      "function(req) return req.path end",
      "function(req) return req.pth == 'x' end",
      "function(req) return req.path:begins '/x' end",
      "function(req) return req.path:eq(5) end",
      "function(req) return req.path:eq(nil) end",
      "function(req) return req:header(nil) end",
      "function(req) return req:header {} end",
      "function(req) req.path = 'x' return true end",
      "function(req) req.path.index = 99 return true end",
      "function(req) return req.path.text({ index = 63 }) == '' end",
      "function(req) return req.path.text(99999999) == '' end",
      "function(req) return req.path.ptr ~= nil end",
      "function(req) return req.path + 1 ~= nil end",
      "function(req) return req.path[1] end",
      "function(req) for i = 1, 59 do req:header 'cookie' end return true end",
      "function(req) return tostring(nil .. req.path) end",
      "function(req) local f f = function() return f() + 1 end return f() end",
      "function(req) while true do end end",
      "function(req) local t = {} while true do t[#t + 1] = req.path:text() .. #t end end",
      "function(req) error {} end",
  };
  board b;
  sample(&b);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    fixture f;
    start_when(&f, wrong[i]);
    int answer = neap_worker_when(f.worker, 0, &b.request);
    if (answer >= 0) print_message("%s\n", wrong[i]);
    assert_true(answer < 0);
    if (strstr(neap_worker_fault(f.worker), "neap.lua:3: ") == NULL)
      print_message("%s: %s\n", wrong[i], neap_worker_fault(f.worker));
    assert_non_null(strstr(neap_worker_fault(f.worker), "neap.lua:3: "));
    stop(&f);
  }
}

static void test_forged_indexes_read_nothing(void **state) {
  (void)state;
  board b;
  sample(&b);
  assert_int_equal(ask("function(req) return req.path.eq({ index = 1e6 }, 'x') end", &b), 0);
  assert_int_equal(ask("function(req) return req.path.eq({ index = -7 }, '') end", &b), 1);
  assert_int_equal(
      ask("function(req) return req.path.hash({ index = 64 }) == req.path.hash({ index = -1 }) end", &b), 1);
}

static void test_kept_views_see_the_next_request_or_nothing(void **state) {
  (void)state;
  fixture f;
  board b, other;
  sample(&b);
  start(&f,
        START "local kept, version\n"
              "neap.route { path = '/a', pool = 'app', when = function(req)\n"
              "  kept, version = req, req:header 'x-version' return true end }\n"
              "neap.route { path = '/b', pool = 'app', when = function()\n"
              "  return kept.path == '/other' and version:eq '' and kept:header 'x-version' == nil end }");
  board_set(&other, "GET", "h", "/other");
  assert_int_equal(neap_worker_when(f.worker, 0, &b.request), 1);
  memset(&b, 0xee, sizeof b);
  assert_int_equal(neap_worker_when(f.worker, 1, &other.request), 1);
  stop(&f);
}

static void test_shipped_rules_are_predicates(void **state) {
  (void)state;
  board b, other;
  sample(&b);
  board_set(&other, "GET", "h", "/");
  assert_int_equal(ask("neap.rule 'canary' { header = 'X-Version', value = 'beta-2' }", &b), 1);
  assert_int_equal(ask("neap.rule 'canary' { header = 'X-Version', value = 'beta-2' }", &other), 0);
  assert_int_equal(ask("neap.rule 'canary' { share = 100, by = 'cookie:group' }", &b), 1);
}

/* --- faults --- */

static void test_fault_counts_as_no_and_is_told_with_its_line(void **state) {
  (void)state;
  fixture f;
  board b;
  sample(&b);
  neap_worker_counters counters;
  start_when(&f, "function(req)\n  local x = nil\n  return x.y\nend");
  logged[0] = 0;
  assert_int_equal(neap_worker_when(f.worker, 0, &b.request), NEAP_EFAULT);
  assert_string_equal(neap_worker_fault(f.worker), "neap.lua:5: attempt to index local 'x' (a nil value)");
  assert_non_null(strstr(logged, "route fault name=\"/\" generation=3 reason=NEAP_EFAULT"));
  assert_non_null(strstr(logged, "at=neap.lua:5: "));
  neap_worker_counters_get(f.worker, &counters);
  assert_int_equal(counters.asks, 1);
  assert_int_equal(counters.faults, 1);
  assert_int_equal(counters.trips, 0);
  stop(&f);
}

static void test_three_faults_in_a_row_trip_that_predicate_alone(void **state) {
  (void)state;
  fixture f;
  board good, bad;
  neap_worker_counters counters;
  board_set(&good, "GET", "h", "/good");
  board_set(&bad, "GET", "h", "/bad");
  start(&f, START "neap.route { path = '/a', pool = 'app', when = function(req)\n"
                  "  return req.path == '/good' or error 'no' end }\n"
                  "neap.route { path = '/b', pool = 'app', when = function() return true end }\n"
                  "neap.route { path = '/c', pool = 'app' }");
  for (int i = 0; i < 2; i++) assert_int_equal(neap_worker_when(f.worker, 0, &bad.request), NEAP_EFAULT);
  assert_int_equal(neap_worker_when(f.worker, 0, &good.request), 1); /* ends the row */
  for (int i = 0; i < 3; i++) assert_int_equal(neap_worker_when(f.worker, 0, &bad.request), NEAP_EFAULT);
  assert_int_equal(neap_worker_when(f.worker, 0, &good.request), NEAP_ESTATE);
  assert_int_equal(neap_worker_when(f.worker, 1, &good.request), 1);
  assert_int_equal(neap_worker_when(f.worker, 2, &good.request), 1); /* has none */
  neap_worker_counters_get(f.worker, &counters);
  assert_int_equal(counters.faults, 5);
  assert_int_equal(counters.trips, 1);
  stop(&f);
}

/* Answers of the predicate to /bad, which the client makes want too much, and then to /good. */
static void check_too_much(const char *bad_part, int expected, int afterwards) {
  char text[512];
  fixture f;
  board good, bad;
  neap_worker_counters counters;
  board_set(&good, "GET", "h", "/good");
  board_set(&bad, "GET", "h", "/bad?million=1048577&text=0123456789abcdef");
  snprintf(text, sizeof text, "function(req)\n  if req.path == '/bad' then %s end return true end", bad_part);
  start_when(&f, text);
  for (int i = 0; i < 3; i++) {
    int answer = neap_worker_when(f.worker, 0, &bad.request);
    if (answer != expected) print_message("%s: %s\n", bad_part, neap_worker_fault(f.worker));
    assert_int_equal(answer, expected);
  }
  assert_non_null(strstr(neap_worker_fault(f.worker), "neap.lua:4: "));
  assert_int_equal(neap_worker_when(f.worker, 0, &good.request), afterwards);
  neap_worker_counters_get(f.worker, &counters);
  assert_int_equal(counters.refused, expected == NEAP_EINVAL ? 3 : 0);
  assert_int_equal(counters.trips, afterwards == 1 ? 0 : 1);
  stop(&f);
}

static void test_a_request_that_wants_too_much_takes_no_predicate_out(void **state) {
  (void)state;
  check_too_much("for i = 1, 59 do req:query 'text' end", NEAP_EINVAL, 1);
  check_too_much("string.rep('x', req:query('million'):number())", NEAP_EINVAL, 1);
  check_too_much("string.rep('x', #req:query 'text' * 65537)", NEAP_EINVAL, 1);
  check_too_much("string.find(string.rep('x', 1000000), req:query('text'):text())", NEAP_EINVAL, 1);
  check_too_much("local s = req.host .. 'x' s:rep(1000000)", NEAP_EINVAL, 1);
}

static void test_texts_that_are_too_long_without_the_request_are_faults(void **state) {
  (void)state;
  check_too_much("string.rep('x', 1048577)", NEAP_EFAULT, NEAP_ESTATE);
  check_too_much("string.rep('x', 1000000):find('xx')", NEAP_EFAULT, NEAP_ESTATE);
  check_too_much("local long = #req.path > 1 and 'x' or '' error(long)", NEAP_EFAULT, NEAP_ESTATE);
  check_too_much("req:query('none'):text()", NEAP_EFAULT, NEAP_ESTATE);
  check_too_much("string.rep('x', req:query('text'):number())", NEAP_EFAULT, NEAP_ESTATE); /* of nil */
}

static void test_memory_bomb_takes_out_every_predicate_of_the_vm(void **state) {
  (void)state;
  fixture f;
  board b;
  sample(&b);
  start(&f, START "neap.route { path = '/a', pool = 'app', when = function()\n"
                  "  local t = {} for i = 1, 1e9 do t[i] = { i } end end }\n"
                  "neap.route { path = '/b', pool = 'app', when = function() return true end }\n");
  int status = NEAP_EFUEL;
  for (int i = 0; i < 2 && status == NEAP_EFUEL; i++) status = neap_worker_when(f.worker, 0, &b.request);
  assert_true(status == NEAP_EMEMCAP || status == NEAP_EFUEL);
  if (status == NEAP_EMEMCAP) assert_int_equal(neap_worker_when(f.worker, 1, &b.request), NEAP_ESTATE);
  stop(&f);
}

static void test_file_that_yields_something_else_each_time_is_refused(void **state) {
  (void)state;
  /* The address of a table is the nearest thing to chance in the sandbox; two VMs that live at the same time
   * cannot both have the one that the check saw. */
  static const char text[] = START "neap.route { path = '/', pool = 'app', name = tostring({}) }";
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = sizeof text - 1};
  char *report;
  neap_err err = {0};
  neap_worker_vm *first = NULL, *second = NULL;
  neap_config *config = NULL;
  assert_int_equal(neap_config_load(&host, &source, 1, &config, &report), 0);
  int a = neap_worker_vm_create(config, &host, NULL, &first, &err);
  int b = neap_worker_vm_create(config, &host, NULL, &second, &err);
  assert_true(a == NEAP_ESTATE || b == NEAP_ESTATE);
  assert_string_equal(err.text, "neap.lua: yields another configuration each time it runs");
  neap_worker_vm_destroy(&first);
  neap_worker_vm_destroy(&second);
  neap_config_destroy(&config);
  free(report);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_predicates_see_the_request),
      cmocka_unit_test(test_false_and_nil_are_no),
      cmocka_unit_test(test_predicates_can_do_no_harm),
      cmocka_unit_test(test_forged_indexes_read_nothing),
      cmocka_unit_test(test_kept_views_see_the_next_request_or_nothing),
      cmocka_unit_test(test_shipped_rules_are_predicates),
      cmocka_unit_test(test_fault_counts_as_no_and_is_told_with_its_line),
      cmocka_unit_test(test_three_faults_in_a_row_trip_that_predicate_alone),
      cmocka_unit_test(test_a_request_that_wants_too_much_takes_no_predicate_out),
      cmocka_unit_test(test_texts_that_are_too_long_without_the_request_are_faults),
      cmocka_unit_test(test_memory_bomb_takes_out_every_predicate_of_the_vm),
      cmocka_unit_test(test_file_that_yields_something_else_each_time_is_refused),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
