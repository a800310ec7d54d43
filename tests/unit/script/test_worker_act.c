/* Actions of routes in a worker's VM, and what becomes of those that fail. */
#include "worker.h"

static const neap_act_board *act(fixture *f, const char *body, const board *b, int expected) {
  char text[4096];
  const neap_act_board *decided;
  snprintf(text, sizeof text,
           START "neap.pool { name = 'beta', backends = 'd:1' }\n"
                 "neap.route { path = '/', pool = 'app', action = function(req, res) %s end }",
           body);
  start(f, text);
  int status = neap_worker_act(f->worker, 0, &b->request, &decided);
  if (status != expected) print_message("%s\n", neap_worker_fault(f->worker));
  assert_int_equal(status, expected);
  return decided;
}

static const char *text_on(const neap_act_board *decided, int what) {
  return decided->texts[what].size < 0 ? NULL : decided->text + decided->texts[what].at;
}

static void test_an_action_writes_on_the_board_and_nothing_stays_for_the_next(void **state) {
  (void)state;
  board b, other;
  sample(&b);
  board_set(&other, "GET", "h", "/");
  fixture f;
  const neap_act_board *decided =
      act(&f,
          "if not req:header 'x-version' then return end res:pool 'beta' res:path('/' .. req:query 'id') "
          "res:ttl '2s' res:bypass() res:tag(req.host) res:set_header('X-A', req:header 'x-share') "
          "res:remove_request_header 'cookie' res:respond(404, 'no', 'json')",
          &b, 0);
  assert_int_equal(decided->pool, 1);
  assert_string_equal(text_on(decided, NEAP_ACT_PATH), "/7");
  assert_string_equal(text_on(decided, NEAP_ACT_TAG), "Example.com");
  assert_string_equal(text_on(decided, NEAP_ACT_BODY), "no");
  assert_string_equal(text_on(decided, NEAP_ACT_TYPE), "application/json");
  assert_null(text_on(decided, NEAP_ACT_QUERY));
  assert_true(decided->ttl_ms == 2000 && decided->bypass == 1 && decided->status == 404);
  assert_int_equal(decided->edit_count, 2);
  assert_int_equal(decided->edits[0].change, NEAP_ACT_SET | NEAP_ACT_RESPONSE);
  assert_string_equal(decided->text + decided->edits[0].value, "42");
  assert_int_equal(decided->edits[1].change, NEAP_ACT_REMOVE);
  assert_int_equal(neap_worker_act(f.worker, 0, &other.request, &decided), 0);
  assert_int_equal(decided->pool, -1);
  assert_int_equal(decided->edit_count, 0);
  assert_null(text_on(decided, NEAP_ACT_PATH));
  stop(&f);
}

static void test_actions_that_give_what_may_not_be_fail(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "res:pool 'nowhere'",
      "res:pool(7)",
      "res:pool(nil)",
      "res:path 'x'",
      "res:path '/a b'",
      "res:path '/a?b'",
      "res:query 'a#b'",
      "res:query 'a\\nb'",
      "res:tag 'a\\0b'",
      "res:cache_key ''",
      "res:set_header('a b', 'c')",
      "res:set_header('', 'c')",
      "res:set_header('a', 'c\\rd')",
      "res:set_request_header('Transfer-Encoding', 'c')",
      "res:add_header(nil, 'c')",
      "res:set_header('a', {})",
      "res:respond(199)",
      "res:respond(200.5)",
      "res:respond()",
      "res:redirect '/a b'",
      "res:redirect('/', 400)",
      "res:ttl 'soon'",
      "res:ttl(-1)",
      "res:answer()",
      "res.pool = 1",
      "for i = 1, 33 do res:add_header('a', 'b') end",
      "for i = 1, 9 do res:tag(string.rep('x', 4000)) end",
      "local p = res.path p(nil, 'x')",
  };
  board b;
  sample(&b);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    fixture f;
    bool misspelt = strstr(wrong[i], "answer()") || strstr(wrong[i], "pool = 1");
    act(&f, wrong[i], &b, misspelt ? NEAP_EFAULT : NEAP_EINVAL);
    if (strncmp(neap_worker_fault(f.worker), "neap.lua:4: ", 12) != 0) print_message("%s\n", wrong[i]);
    assert_memory_equal(neap_worker_fault(f.worker), "neap.lua:4: ", 12);
    stop(&f);
  }
}

static void test_a_request_without_anything_reaches_an_action_as_nil_and_empty(void **state) {
  (void)state;
  const board nothing = {0};
  fixture f;
  const neap_act_board *decided =
      act(&f,
          "if not req:header 'a' and not req:query 'b' and not req:cookie 'c' and #req.path == 0 "
          "then res:tag('none' .. req.host .. tostring(req.client)) end",
          &nothing, 0);
  assert_string_equal(text_on(decided, NEAP_ACT_TAG), "none");
  stop(&f);
}

static void test_an_action_that_loops_is_stopped(void **state) {
  (void)state;
  board b;
  sample(&b);
  fixture f;
  act(&f, "while true do res:bypass() end", &b, NEAP_EFUEL);
  stop(&f);
}

/* --- what fails --- */

/* Tables in which everything is found. */
static bool get_row(void *user, int32_t table, neap_slice key, neap_slice *value) {
  (void)user, (void)table;
  *value = key;
  return true;
}

static bool draw_row(void *user, int32_t table, double number, neap_slice *name) {
  (void)user, (void)table, (void)number;
  *name = (neap_slice){.ptr = "a", .size = 1};
  return true;
}

static const neap_table_reader full = {NULL, get_row, draw_row};

/* A client that sends what `res` refuses takes the action out for nobody; nor does one that makes it
 * want too much. */
static void test_values_that_are_refused_take_no_action_out(void **state) {
  (void)state;
  static const char *const actions[] = {
      "res:path(req:header 'x-bad')",
      "res:path(req:header('x-bad'):text())",
      "res:query(req:header 'x-bad')",
      "res:redirect(req:header 'x-bad')",
      "res:pool(req:header 'x-bad')",
      "res:ttl(req:header('x-bad'):text())",
      "res:respond(req:header('x-number'):number())",
      "res:set_header(req:header('x-bad'):text(), 'x')",
      "res:set_header('x', string.rep('x', req:header('x-large'):number()))",
      "for i = 1, 33 do res:add_header('x', req:header 'x-bad') end",
      "res:set_request_header('x', req:header 'x-none')",
      "res:tag(req:header 'x-none')",
      "for i = 1, req:header('x-number'):number() do req:header 'x-bad' end",
      "for i = 1, #req:header 'x-bad' * 4 do res:tag(names:get 'a') end",
      "for i = 1, #req:header 'x-bad' * 4 do weights:draw(req.path) end",
      "res:tag(string.rep('x', req:header('x-million'):number()))",
      "string.find(string.rep(req:header('x-bad'):text(), 60000), 'no')",
      "string.find(string.rep('x', 60000), string.rep(req.host .. '', 20))",
  };
  board good, bad;
  board_set(&good, "GET", "h", "/good");
  board_set(&bad, "GET", "h", "/bad");
  board_header(&bad, "X-Bad", "no path, no number");
  board_header(&bad, "X-Number", "99");
  board_header(&bad, "X-Large", "32768");
  board_header(&bad, "X-Million", "1048577");
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
    char text[1024];
    fixture f;
    const neap_act_board *out;
    neap_worker_counters counters;
    snprintf(text, sizeof text,
             START "local names = neap.table { name = 'names', rows = { a = 'b' } }\n"
                   "local weights = neap.table { name = 'w', kind = 'weights', rows = { a = 1 } }\n"
                   "neap.route { path = '/', pool = 'app', action = function(req, res)\n"
                   "  if req.path == '/bad' then %s end res:tag 'x' end }",
             actions[i]);
    start(&f, text);
    neap_worker_read_tables(f.worker, &full);
    logged[0] = 0;
    for (int j = 0; j < 5; j++)
      assert_int_equal(neap_worker_act(f.worker, 0, &bad.request, &out), NEAP_EINVAL);
    assert_int_equal(neap_worker_act(f.worker, 0, &good.request, &out), 0);
    neap_worker_counters_get(f.worker, &counters);
    assert_true(counters.refused == 5 && counters.faults == 0 && counters.trips == 0);
    const char *line = strstr(logged, "route value_refused name=\"/\" generation=3 reason=NEAP_EINVAL");
    assert_non_null(line);
    assert_non_null(strstr(line, "at=neap.lua:6: "));
    assert_null(strstr(line + 10, "value_refused")); /* one line a second */
    stop(&f);
  }
}

static void test_faults_of_an_action_still_take_it_out(void **state) {
  (void)state;
  fixture f;
  board b, bad;
  const neap_act_board *out;
  board_set(&b, "GET", "h", "/");
  board_set(&bad, "GET", "h", "/bad");
  start(&f, START
        "neap.route { path = '/', pool = 'app', when = function() error 'no' end,\n"
        "  action = function(req, res) if req.path == '/bad' then res:path 'x' end local x x.y = 1 end }");
  for (int i = 0; i < 3; i++) {
    assert_int_equal(neap_worker_act(f.worker, 0, &bad.request, &out), NEAP_EINVAL);
    assert_int_equal(neap_worker_when(f.worker, 0, &b.request),
                     NEAP_EFAULT); /* not taken for a refused value */
    assert_int_equal(neap_worker_act(f.worker, 0, &b.request, &out), NEAP_EFAULT);
  }
  assert_int_equal(neap_worker_act(f.worker, 0, &b.request, &out), NEAP_ESTATE);
  assert_int_equal(neap_worker_when(f.worker, 0, &b.request), NEAP_ESTATE);
  stop(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_action_writes_on_the_board_and_nothing_stays_for_the_next),
      cmocka_unit_test(test_actions_that_give_what_may_not_be_fail),
      cmocka_unit_test(test_a_request_without_anything_reaches_an_action_as_nil_and_empty),
      cmocka_unit_test(test_an_action_that_loops_is_stopped),
      cmocka_unit_test(test_values_that_are_refused_take_no_action_out),
      cmocka_unit_test(test_faults_of_an_action_still_take_it_out),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
