#include "unit.h"

#include <unistd.h>

#include "base/base.h"
#include "loop/loop.h"
#include "script/script.h"

static neap_host host;
static char told[8192];

static void tell(void *user, const char *line) {
  (void)user;
  size_t used = strlen(told);
  snprintf(told + used, sizeof told - used, "%s\n", line);
}

static int check_path(const char *path) {
  neap_host_complete(NULL, &host);
  host.now_ms = neap_clock_now_ms;
  host.now_ns = neap_clock_now_ns;
  host.thread_cpu_ns = neap_clock_thread_cpu_ns;
  told[0] = 0;
  return neap_script_check(&host, path, tell, NULL);
}

static char folder[] = "/tmp/neap-check-XXXXXX";

/* Checks `text` as the file "p.lua" of the scratch folder, which is the current one. */
static int check(const char *text) {
  FILE *file = fopen("p.lua", "w");
  fputs(text, file);
  fclose(file);
  return check_path("p.lua");
}

static void refuses(const char *text, const char *line) {
  assert_int_equal(check(text), NEAP_EINVAL);
  if (strstr(told, line) == NULL) fail_msg("%s\n  told: %s  not: %s", text, told, line);
}

#define EVICT "local policy = require 'neap.policy'\nlocal p = policy.evict { name = 'p' }\n"

static void test_shipped_policies_are_right_and_compile(void **state) {
  const char *const names[] = {"fifo", "lifo", "lru", "lfu", "ttl", "sieve", "s3fifo"};
  char path[700];
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++) {
    snprintf(path, sizeof path, "%s/policies/evict/%s.lua", (const char *)*state, names[i]);
    assert_int_equal(check_path(path), 0);
    assert_non_null(strstr(told, "ns per hit"));
    if (strstr(told, "warning") != NULL) fail_msg("%s", told);
  }
}

static void test_a_syntax_error_is_told_with_its_line(void **state) {
  (void)state;
  refuses(EVICT "function p.insert(s\nreturn p", "p.lua:4: error: ");
}

static void test_functions_that_are_none_are_told_all_at_once(void **state) {
  (void)state;
  refuses(EVICT "function p.inset() end\nfunction p.step() end\np.hti = 3\nreturn p",
          "p.lua:3: error: unknown function 'inset', did you mean 'insert'?");
  assert_non_null(strstr(told, "unknown function 'hti', did you mean 'hit'?"));
  assert_non_null(strstr(told, "the function insert is missing"));
}

static void test_a_policy_that_evicts_nothing_is_refused(void **state) {
  (void)state;
  refuses(EVICT "function p.insert() end\nfunction p.step() return false end\nreturn p",
          "evicting everything: it gives no victim, though entries are left");
}

static void test_a_wrong_victim_is_refused(void **state) {
  (void)state;
  refuses(EVICT "function p.insert() end\nfunction p.step() return 17 end\nreturn p",
          "a victim that is not live");
  refuses(EVICT "function p.insert() end\nfunction p.step() return 1e9 end\nreturn p",
          "a victim that is no slot");
  refuses(EVICT "function p.insert() end\nfunction p.step() return {} end\nreturn p",
          "p.lua:4: error: step gave a table and not a slot");
}

static void test_an_error_in_a_function_is_told_with_its_line(void **state) {
  (void)state;
  refuses(EVICT
          "function p.insert(s)\n  local x = nil + s\nend\nfunction p.step() return false end\nreturn p",
          "p.lua:4: error: attempt to perform arithmetic on a nil value");
}

static void test_wrong_declarations_are_told(void **state) {
  (void)state;
  refuses("local policy = require 'neap.policy'\npolicy.evict { nmae = 'x' }",
          "p.lua:2: error: policy.evict: unknown field 'nmae', did you mean 'name'?");
  refuses("local policy = require 'neap.policy'\npolicy.evict { name = 'x', slot = { a = 'int64' } }",
          "p.lua:2: error: slot.a: 'int64' is not a type");
  refuses(
      "local policy = require 'neap.policy'\npolicy.evict { name = 'x', slot = { ['a; void *b'] = 'int8' } }",
      "p.lua:2: error: slot: 'a; void *b' is not a name");
  refuses("local policy = require 'neap.policy'\npolicy.evict { name = 'x', params = { k = { default = 3, "
          "max = 2 } } }",
          "p.lua:2: error: params.k: the default must be a number from -inf to 2");
  refuses("local policy = require 'neap.policy'\nreturn {}",
          "the file must return what policy.evict gave it");
}

static void test_all_that_is_wrong_with_a_declaration_is_told_at_once(void **state) {
  (void)state;
  refuses(
      "local policy = require 'neap.policy'\nlocal p = policy.evict { name = 'x y', bogus = 1, state = 7,\n"
      "  slot = { a = 'int64', b = 'int8', c = 3 }, params = { k = 1, l = { default = 'x', min = {} } } }\n"
      "p.slot.a[3] = 1",
      "p.lua:2: error: params.k: must be a table of default, min, max, doc\n"
      "p.lua:2: error: params.l: min must be a number\n"
      "p.lua:2: error: policy.evict: name must be a word\n"
      "p.lua:2: error: policy.evict: state must be a table\n"
      "p.lua:2: error: policy.evict: unknown field 'bogus'\n"
      "p.lua:2: error: slot.a: 'int64' is not a type; there are int8, uint8, int16, uint16, int32, double\n"
      "p.lua:2: error: slot.c: '3' is not a type");
  refuses("local policy = require 'neap.policy'\npolicy.prefetch { name = 3, params = 4, nmae = 5 }",
          "p.lua:2: error: policy.prefetch: name must be a word\n"
          "p.lua:2: error: policy.prefetch: params must be a table\n"
          "p.lua:2: error: policy.prefetch: unknown field 'nmae', did you mean 'name'?\n");
  refuses("local policy = require 'neap.policy'\npolicy.balance { name = 'x', params = { k = {}, c = "
          "{ type = 'text', default = 'a', choices = { {} } } }, nmae = 5 }",
          "p.lua:2: error: params.c: choices must be a list of texts\n"
          "p.lua:2: error: params.k: needs a default\n"
          "p.lua:2: error: policy.balance: unknown field 'nmae', did you mean 'name'?\n");
}

static void test_a_trace_abort_in_a_hot_function_is_a_warning(void **state) {
  (void)state;
  int code = check(EVICT "local q = p:list()\nlocal f\n"
                         "function p.insert(s) q:push(s) end\n"
                         "function p.hit(s)\n  f = function() return f, s end\nend\n"
                         "function p.remove(s) q:remove(s) end\n"
                         "function p.step() return q:back() or false end\nreturn p");
  assert_int_equal(code, 0);
  if (strstr(told, "p.lua:7: warning: the compiler gave up") == NULL) fail_msg("%s", told);
}

static void test_a_file_that_is_not_there_is_told(void **state) {
  (void)state;
  assert_int_equal(check_path("nothing.lua"), NEAP_EIO);
  assert_string_equal(told, "nothing.lua: error: No such file or directory\n");
  assert_int_equal(check_path("."), NEAP_EIO);
}

static void test_balance_policies_are_asked_odd_questions(void **state) {
  (void)state;
  assert_int_equal(check("local p = { name = 'p' }\nfunction p.pick(_, pool)\n"
                         "for i = 1, pool.count do if pool[i].up then return i end end end\nreturn p"),
                   0);
  assert_non_null(strstr(told, "ns per pick"));
  refuses("local p = { name = 'p' }\nfunction p.pick() return 1 end\nreturn p",
          "p.lua:2: error: pick must give a backend's number");
  assert_int_equal(
      check("local policy = require 'neap.policy'\n"
            "local p = policy.balance { name = 'p' }\n"
            "local seen = 0\n"
            "function p.pick(_, pool)\n"
            "  if pool.may_wait and seen % 2 == 1 then return pool.wait end\n"
            "  for i = 1, pool.count do if pool[i].up then return i end end\n"
            "end\n"
            "function p.done(backend, outcome)\n"
            "  seen = seen + (outcome.ok and backend.in_flight or outcome.status + outcome.took_us)\n"
            "end\n"
            "function p.joined(backend, pool) seen = seen + backend.share + pool.waiting end\n"
            "return p"),
      0);
  refuses("local p = { name = 'p' }\nfunction p.pick() return 'wait' end\nreturn p",
          "error: waits where that is no answer");
  refuses("local p = { name = 'p' }\n"
          "function p.pick(_, pool) return pool.count > 0 and pool[1].up and 1 or nil end\n"
          "function p.done(_, outcome) return outcome.stauts end\nreturn p",
          "error: an outcome has no \"stauts\"");
}

static void test_checks_of_probes_are_asked_about_answers_with_nothing_in_them(void **state) {
  (void)state;
  refuses(
      "local neap = require 'neap' neap.listen { http = ':8080' } neap.route { path = '/', pool = 'app' }\n"
      "neap.pool { name = 'app', backends = 'a:1', health = { check = function(reply)\n"
      "  return reply:header 'content-type':eq 'application/json'\n"
      "end } }\n",
      "p.lua:3: error: attempt to index");
}

static void test_configurations_are_checked_with_the_policies_they_name(void **state) {
  (void)state;
  FILE *file = fopen("mine.lua", "w");
  fputs(EVICT "function p.insert() end\nfunction p.step() return 17 end\nreturn p", file);
  fclose(file);
  static const char base[] =
      "local neap = require 'neap'\nneap.listen { http = '127.0.0.1:0' }\n"
      "neap.pool { name = 'a', backends = { '127.0.0.1:9' } }\nneap.route { path = '/', pool = 'a' }\n";
  char text[600];
  assert_int_equal(check(base), 0);
  snprintf(text, sizeof text, "%sneap.cache { evict = 'mine.lua' }\n", base);
  assert_int_equal(check(text), NEAP_EINVAL);
  assert_non_null(strstr(told, "mine.lua:1: error: "));
  snprintf(text, sizeof text, "%sneap.cache { evcit = 'sieve' }\nneap.pol {}\n", base);
  assert_int_equal(check(text), NEAP_EINVAL);
  assert_non_null(strstr(told, "p.lua:"));
  remove("mine.lua");
}

static char start[512];

static int enter(void **state) {
  if (getcwd(start, sizeof start) == NULL || mkdtemp(folder) == NULL || chdir(folder) != 0) return -1;
  *state = start;
  return 0;
}

static int leave(void **state) {
  (void)state;
  remove("p.lua");
  return chdir(start) != 0 || rmdir(folder) != 0 ? -1 : 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shipped_policies_are_right_and_compile),
      cmocka_unit_test(test_a_syntax_error_is_told_with_its_line),
      cmocka_unit_test(test_functions_that_are_none_are_told_all_at_once),
      cmocka_unit_test(test_a_policy_that_evicts_nothing_is_refused),
      cmocka_unit_test(test_a_wrong_victim_is_refused),
      cmocka_unit_test(test_an_error_in_a_function_is_told_with_its_line),
      cmocka_unit_test(test_wrong_declarations_are_told),
      cmocka_unit_test(test_all_that_is_wrong_with_a_declaration_is_told_at_once),
      cmocka_unit_test(test_a_trace_abort_in_a_hot_function_is_a_warning),
      cmocka_unit_test(test_a_file_that_is_not_there_is_told),
      cmocka_unit_test(test_balance_policies_are_asked_odd_questions),
      cmocka_unit_test(test_checks_of_probes_are_asked_about_answers_with_nothing_in_them),
      cmocka_unit_test(test_configurations_are_checked_with_the_policies_they_name),
  };
  return cmocka_run_group_tests(tests, enter, leave);
}
