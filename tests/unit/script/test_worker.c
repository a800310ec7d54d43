/* A worker's VM: predicates of routes, inline balance policies, and what becomes of those that fail. */
#include "unit.h"

#include "../route/request_board.h"
#include "loop/loop.h"
#include "script/script.h"

static char logged[4096];

static void keep_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static neap_host host;

static int set_up(void **state) {
  (void)state;
  const neap_host wanted = {.log = keep_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  logged[0] = 0;
  return 0;
}

/* --- a configuration and its worker --- */

typedef struct fixture {
  neap_config *config;
  neap_worker_vm *worker;
} fixture;

static void start(fixture *f, const char *text) {
  char *report;
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
  int status = neap_config_load(&host, &source, 3, &f->config, &report);
  if (status) print_message("%s\n", report ? report : "");
  free(report);
  assert_int_equal(status, 0);
  neap_err err;
  status = neap_worker_vm_create(f->config, &host, NULL, &f->worker, &err);
  if (status) print_message("%s\n", err.text);
  assert_int_equal(status, 0);
}

static void stop(fixture *f) {
  neap_worker_vm_destroy(&f->worker);
  neap_config_destroy(&f->config);
}

#define START                                                                                                \
  "local neap = require 'neap' neap.listen { http = ':8080' }\n"                                             \
  "neap.pool { name = 'app', backends = { 'a:1', 'b:2', 'c:3' } }\n"

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

static void sample(board *b) {
  board_set(b, "GET", "Example.com", "/api/v2/users?id=7&debug");
  board_header(b, "X-Version", "beta-2");
  board_header(b, "Cookie", "a=1; group=b");
  board_header(b, "X-Share", "42");
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

/* A client that sends what `res` refuses takes the action out for nobody. */
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
  };
  board good, bad;
  board_set(&good, "GET", "h", "/good");
  board_set(&bad, "GET", "h", "/bad");
  board_header(&bad, "X-Bad", "no path, no number");
  board_header(&bad, "X-Number", "99");
  board_header(&bad, "X-Large", "32768");
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
    char text[1024];
    fixture f;
    const neap_act_board *out;
    neap_worker_counters counters;
    snprintf(text, sizeof text,
             START "neap.route { path = '/', pool = 'app', action = function(req, res)\n"
                   "  if req.path == '/bad' then %s end res:tag 'x' end }",
             actions[i]);
    start(&f, text);
    logged[0] = 0;
    for (int j = 0; j < 5; j++)
      assert_int_equal(neap_worker_act(f.worker, 0, &bad.request, &out), NEAP_EINVAL);
    assert_int_equal(neap_worker_act(f.worker, 0, &good.request, &out), 0);
    neap_worker_counters_get(f.worker, &counters);
    assert_true(counters.refused == 5 && counters.faults == 0 && counters.trips == 0);
    const char *line = strstr(logged, "route value_refused name=\"/\" generation=3 reason=NEAP_EINVAL");
    assert_non_null(line);
    assert_non_null(strstr(line, "at=neap.lua:4: "));
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

/* --- inline balance policies --- */

typedef struct picking {
  neap_backend_row rows[3];
  neap_pick_board board;
  neap_policy *policy;
} picking;

static void open_pick(picking *p, fixture *f) {
  memset(p, 0, sizeof *p);
  p->board.count = 3;
  p->board.rows = p->rows;
  p->board.random2 = 2;
  for (int i = 0; i < 3; i++) p->rows[i] = (neap_backend_row){.weight = i + 1, .ewma_us = 10};
  const neap_policy_env env = {.host = &host, .generation = 3, .pick = &p->board};
  neap_err err;
  int status = neap_policy_open(neap_worker_registry(f->worker), NEAP_BALANCE, f->config->pools[0].balance,
                                f->config->pools[0].source, &env, NULL, 0, &p->policy, &err);
  if (status) print_message("%s\n", err.text);
  assert_int_equal(status, 0);
}

static int32_t pick(picking *p, const board *b) {
  p->board.request = &b->request;
  neap_policy_decide(p->policy, NEAP_ASK_PICK);
  return p->board.answer;
}

#define INLINE(body)                                                                                         \
  "local neap = require 'neap' neap.listen { http = ':8080' } neap.route { path = '/', pool = 'app' }\n"     \
  "neap.pool { name = 'app', backends = { 'a:1', 'b:2', 'c:3' }, balance = function(req, pool)\n" body       \
  " end }"

static void test_inline_function_picks(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(&f, INLINE("if req.path:starts '/api' then return 2 end return pool.random2"));
  assert_string_equal(f.config->pools[0].balance, "inline:app");
  open_pick(&p, &f);
  assert_int_equal(pick(&p, &b), 1);
  board_set(&b, "GET", "h", "/");
  assert_int_equal(pick(&p, &b), 2);
  neap_policy_close(&p.policy);
  stop(&f);
}

static void test_pool_view_shows_what_the_engine_knows(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(
      &f,
      INLINE("local one = pool[1]\n"
             "if pool.count == 3 and #pool == 3 and one.weight == 1 and one.in_flight == 4 and one.up\n"
             "  and one.ewma_us == 10 and one.error_rate == 0.5 and not one.tried and pool[2].tried\n"
             "  and not pool[2].up and not pool[3].up and pool.random1 == 1 and pool.random2 == 3\n"
             "  and pool.key == 99 and pool.now_ms == 5 and one.index == 1 and tostring(one) == 'backend 1'\n"
             "then return 1 end"));
  open_pick(&p, &f);
  p.rows[0].in_flight = 4;
  p.rows[0].error_rate = 0.5;
  p.rows[1].barred |= NEAP_BAR_TRIED;
  p.rows[2].barred |= NEAP_BAR_DOWN;
  p.board.key = 99;
  p.board.now_ms = 5;
  assert_int_equal(pick(&p, &b), 0);
  neap_policy_counters counters;
  neap_policy_counters_get(p.policy, &counters);
  assert_int_equal(counters.fallbacks, 0);
  neap_policy_close(&p.policy);
  stop(&f);
}

static void test_wrong_picks_are_answered_by_the_guard(void **state) {
  (void)state;
  static const char *const wrong[] = {"return 4",
                                      "return 0",
                                      "return -1",
                                      "return 1e300",
                                      "return 0/0",
                                      "return 'x'",
                                      "return true",
                                      "return pool[4]",
                                      "return pool[0]",
                                      "return pool[1.5].weight",
                                      "return pool.cuont",
                                      "return pool[1].wieght",
                                      "pool[1].weight = 5 return 1",
                                      "pool[1].index = 5 return 1",
                                      "pool.count = 9 return 1",
                                      "return 2",
                                      "error 'no'",
                                      "while true do end"};
  board b;
  sample(&b);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char text[1024];
    fixture f;
    picking p;
    neap_policy_counters counters;
    snprintf(text, sizeof text, INLINE("%s"), wrong[i]);
    start(&f, text);
    open_pick(&p, &f);
    p.rows[1].barred |= NEAP_BAR_DOWN;
    int32_t answer = pick(&p, &b);
    assert_true(answer == 0 || answer == 2);
    neap_policy_counters_get(p.policy, &counters);
    if (counters.fallbacks != 1) print_message("%s\n", wrong[i]);
    assert_int_equal(counters.fallbacks, 1);
    neap_policy_close(&p.policy);
    stop(&f);
  }
}

static void test_backend_view_that_was_kept_is_checked_against_the_pool(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(&f, "local kept\n" INLINE("kept = kept or pool[3] return kept.weight > 0 and 1 or 2"));
  open_pick(&p, &f);
  assert_int_equal(pick(&p, &b), 0);
  p.board.count = 2;
  p.board.random2 = 1;
  assert_in_range(pick(&p, &b), 0, 1);
  assert_non_null(strstr(neap_policy_fault(p.policy), "this backend has left the pool"));
  neap_policy_close(&p.policy);
  stop(&f);
}

/* --- actions --- */

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
      cmocka_unit_test(test_values_that_are_refused_take_no_action_out),
      cmocka_unit_test(test_faults_of_an_action_still_take_it_out),
      cmocka_unit_test(test_memory_bomb_takes_out_every_predicate_of_the_vm),
      cmocka_unit_test(test_file_that_yields_something_else_each_time_is_refused),
      cmocka_unit_test(test_inline_function_picks),
      cmocka_unit_test(test_pool_view_shows_what_the_engine_knows),
      cmocka_unit_test(test_wrong_picks_are_answered_by_the_guard),
      cmocka_unit_test(test_backend_view_that_was_kept_is_checked_against_the_pool),
      cmocka_unit_test(test_an_action_writes_on_the_board_and_nothing_stays_for_the_next),
      cmocka_unit_test(test_actions_that_give_what_may_not_be_fail),
      cmocka_unit_test(test_a_request_without_anything_reaches_an_action_as_nil_and_empty),
      cmocka_unit_test(test_an_action_that_loops_is_stopped),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
