#include "loopback.h"

#include "upstream/backend.h"

enum { MEMBERS = 2, HOUR_MS = 3600000 };

static neap_host host;
static neap_backends *backends;
static neap_pool_member members[MEMBERS];
static int listening;
static neap_loop *loop;
static neap_keeper *keeper;
static char logged[2048];

static void keep_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

/* The first member listens, the second does not. */
static int set_up(void **state) {
  (void)state;
  logged[0] = '\0';
  neap_host_complete(&(neap_host){.log = keep_line,
                                  .now_ms = neap_clock_now_ms,
                                  .now_ns = neap_clock_now_ns,
                                  .thread_cpu_ns = neap_clock_thread_cpu_ns,
                                  .seed = 1},
                     &host);
  uint16_t ports[MEMBERS];
  listening = talk_listen(&ports[0]);
  close(talk_listen(&ports[1]));
  if (neap_backends_create(&backends) || neap_loop_create(&loop)) return -1;
  for (int i = 0; i < MEMBERS; i++) {
    char address[32];
    neap_err err;
    snprintf(address, sizeof address, "127.0.0.1:%u", ports[i]);
    members[i] = (neap_pool_member){.weight = 1};
    if (neap_backends_take(backends, address, &members[i].backend, &err)) return -1;
  }
  return neap_keeper_create(loop, &host, &keeper);
}

static int tear_down(void **state) {
  (void)state;
  neap_keeper_destroy(&keeper);
  neap_loop_destroy(&loop);
  for (int i = 0; i < MEMBERS; i++) neap_backend_give(backends, members[i].backend);
  neap_backends_destroy(&backends);
  close(listening);
  return 0;
}

static neap_care care_of(neap_probe_kind kind) {
  neap_care care = {.health = {.kind = kind,
                               .path = "/health",
                               .host = "",
                               .contains = "",
                               .status_from = {200},
                               .status_to = {299},
                               .status_count = 1,
                               .interval_ms = HOUR_MS,
                               .fast_interval_ms = HOUR_MS,
                               .timeout_ms = 5000,
                               .rise = 1,
                               .fall = 1}};
  care.health.key = neap_care_health_key(&care.health, "app");
  return care;
}

static uint64_t key; /* of the check that the tests look at */

static neap_keeper_pool pool_of(const char *name, const neap_care *care) {
  return (neap_keeper_pool){.name = name, .care = care, .members = members, .member_count = MEMBERS};
}

static void set(const neap_care *care) {
  const neap_keeper_pool one = pool_of("app", care);
  key = care->health.key;
  neap_keeper_set(keeper, &one, 1);
}

static neap_vitals_info vitals_by(int member, const neap_care *care) {
  neap_backend_info info;
  neap_backend_info_get(members[member].backend, care->health.key, neap_loop_now_ms(loop), &info);
  return info.vitals;
}

static neap_vitals_info vitals_of(int member) {
  neap_care care = {.health = {.key = key}};
  return vitals_by(member, &care);
}

static struct {
  neap_timer timer;
  uint64_t wanted, until_ms;
} wait;

static void look(neap_timer *timer) {
  bool there = true;
  for (int i = 0; i < MEMBERS; i++) there = there && vitals_of(i).probes >= wait.wanted;
  if (there || neap_loop_now_ms(loop) >= wait.until_ms)
    neap_loop_stop(loop);
  else
    neap_timer_set(loop, timer, 1);
}

/* Runs until each member has had so many probes, or the time is over. */
static void run_until(uint64_t probes, uint64_t limit_ms) {
  wait.wanted = probes;
  wait.until_ms = neap_loop_now_ms(loop) + limit_ms;
  neap_timer_init(&wait.timer, look);
  neap_timer_set(loop, &wait.timer, 1);
  neap_loop_run(loop);
}

static void test_every_backend_is_probed_at_once(void **state) {
  (void)state;
  neap_care care = care_of(NEAP_PROBE_TCP);
  set(&care);
  run_until(1, 10000);
  assert_int_equal(vitals_of(0).probed, NEAP_BACKEND_UP);
  assert_int_equal(vitals_of(1).probed, NEAP_BACKEND_DOWN);
  assert_int_equal(vitals_of(1).probe_failures, 1);
  assert_int_equal(vitals_of(1).transitions, 1);
  assert_true(vitals_of(0).checked_ms > 0);
  assert_non_null(strstr(logged, "upstream backend_down pool=app backend="));
}

static void test_a_new_list_with_the_same_rules_restarts_nothing(void **state) {
  (void)state;
  neap_care first = care_of(NEAP_PROBE_TCP), second = care_of(NEAP_PROBE_TCP);
  char path[] = "/health"; /* the same text elsewhere, as after a reload */
  second.health.path = path;
  set(&first);
  run_until(1, 10000);
  for (int i = 0; i < 10; i++) set(i % 2 ? &first : &second);
  run_until(2, 100);
  assert_int_equal(vitals_of(0).probes, 1);
  assert_int_equal(vitals_of(1).probes, 1);
  assert_int_equal(vitals_of(1).probed, NEAP_BACKEND_DOWN);
}

static void test_other_rules_are_asked_at_once_and_what_is_known_stays(void **state) {
  (void)state;
  neap_care first = care_of(NEAP_PROBE_TCP), second = first;
  second.health.rise = 3;
  second.health.key = neap_care_health_key(&second.health, "app");
  set(&first);
  run_until(1, 10000);
  set(&second);
  assert_int_equal(vitals_of(0).probed, NEAP_BACKEND_UP);
  run_until(2, 10000);
  assert_int_equal(vitals_of(0).probes, 2);
}

static void test_who_is_probed_no_more_is_not_known(void **state) {
  (void)state;
  neap_care care = care_of(NEAP_PROBE_TCP), none = care_of(NEAP_PROBE_NONE);
  set(&care);
  run_until(1, 10000);
  set(&none);
  assert_int_equal(vitals_of(1).probed, NEAP_BACKEND_UNKNOWN);
  set(&care); /* and is asked at once when it is probed again */
  run_until(2, 10000);
  assert_int_equal(vitals_of(1).probed, NEAP_BACKEND_DOWN);
}

/* A machine that accepts connections and says nothing is well for the one pool and not for the other. */
static void test_pools_with_other_rules_go_by_their_own_verdicts(void **state) {
  (void)state;
  neap_care tcp = care_of(NEAP_PROBE_TCP), http = care_of(NEAP_PROBE_HTTP), none = care_of(NEAP_PROBE_NONE);
  http.health.timeout_ms = 50;
  http.health.key = neap_care_health_key(&http.health, "pages");
  const neap_keeper_pool pools[] = {pool_of("app", &tcp), pool_of("pages", &http), pool_of("too", &tcp),
                                    pool_of("bare", &none)};
  neap_keeper_set(keeper, pools, 4);
  run_until(2, 10000);
  assert_int_equal(vitals_by(0, &tcp).probed, NEAP_BACKEND_UP);
  assert_int_equal(vitals_by(0, &http).probed, NEAP_BACKEND_DOWN);
  assert_int_equal(vitals_by(0, &none).probed, NEAP_BACKEND_UNKNOWN); /* nobody asks for it */
  assert_int_equal(vitals_by(0, &tcp).probes, 2);                     /* the same rules are asked once */
  neap_backend_row rows[2] = {{.weight = 1, .load = -1}, {.weight = 1, .load = -1}};
  const neap_care *cares[] = {&tcp, &http};
  for (int i = 0; i < 2; i++)
    neap_vitals_row(&members[0].backend->vitals, cares[i], 0, neap_loop_now_ms(loop), &rows[i]);
  assert_int_equal(rows[0].barred, 0);
  assert_int_equal(rows[1].barred, NEAP_BAR_SICK);

  neap_keeper_set(keeper, &pools[1], 1);
  assert_int_equal(vitals_by(0, &http).probed, NEAP_BACKEND_DOWN);
  neap_care other = http; /* and what a pool knows goes on with its new rules */
  other.health.rise = 7;
  other.health.key = neap_care_health_key(&other.health, "pages");
  const neap_keeper_pool next[] = {pool_of("app", &tcp), pool_of("pages", &other)};
  neap_keeper_set(keeper, next, 2);
  assert_int_equal(vitals_by(0, &tcp).probed, NEAP_BACKEND_UNKNOWN);
  assert_int_equal(vitals_by(0, &other).probed, NEAP_BACKEND_DOWN);
}

static void test_more_different_rules_than_there_is_room_for_are_told(void **state) {
  (void)state;
  enum { MANY = NEAP_CHECKS_MAX + 2 };
  neap_care cares[MANY];
  neap_keeper_pool pools[MANY];
  for (int round = 0; round < 2; round++) {
    for (uint32_t i = 0; i < MANY; i++) {
      cares[i] = care_of(NEAP_PROBE_TCP);
      cares[i].health.rise = 10 * (uint32_t)round + i + 1;
      cares[i].health.key = neap_care_health_key(&cares[i].health, "app");
      pools[i] = pool_of("app", &cares[i]);
    }
    logged[0] = '\0';
    neap_keeper_set(keeper, pools, MANY);
    assert_non_null(strstr(logged, "upstream probe_lost pool=app backend=127.0.0.1:"));
    run_until(NEAP_CHECKS_MAX * (uint64_t)(round + 1), 10000);
    assert_int_equal(vitals_by(0, &cares[0]).probed, NEAP_BACKEND_UP);
    assert_int_equal(vitals_by(0, &cares[MANY - 1]).probed, NEAP_BACKEND_UP); /* as the others say */
    assert_int_equal(vitals_by(1, &cares[MANY - 1]).probed, NEAP_BACKEND_DOWN);
  }
}

static void test_what_makes_a_check_another_changes_its_key(void **state) {
  (void)state;
  neap_care care = care_of(NEAP_PROBE_HTTP);
  neap_care_health rules = care.health, same = rules;
  char path[] = "/health";
  same.path = path;
  uint64_t own = neap_care_health_key(&rules, "a");
  assert_int_equal(neap_care_health_key(&same, "b"), own);
  same.path = "/healthz";
  assert_int_not_equal(neap_care_health_key(&same, "a"), own);
  same = rules, same.host = "/health", same.path = "";
  assert_int_not_equal(neap_care_health_key(&same, "a"), own);
  same = rules, same.status_to[0] = 300;
  assert_int_not_equal(neap_care_health_key(&same, "a"), own);
  same = rules, same.rise = rules.timeout_ms, same.timeout_ms = rules.rise;
  assert_int_not_equal(neap_care_health_key(&same, "a"), own);
  same = rules, same.scripted = true; /* a function is its pool's own */
  assert_int_not_equal(neap_care_health_key(&same, "a"), neap_care_health_key(&same, "b"));
  same.kind = NEAP_PROBE_NONE;
  assert_int_equal(neap_care_health_key(&same, "a"), 0);
}

static void test_it_can_go_while_probes_are_under_way(void **state) {
  (void)state;
  neap_care http = care_of(NEAP_PROBE_HTTP), tcp = care_of(NEAP_PROBE_TCP);
  set(&http); /* nobody answers: the fetch is under way until it is destroyed */
  run_until(1, 50);
  set(&tcp);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_every_backend_is_probed_at_once),
      TEST(test_a_new_list_with_the_same_rules_restarts_nothing),
      TEST(test_other_rules_are_asked_at_once_and_what_is_known_stays),
      TEST(test_who_is_probed_no_more_is_not_known),
      TEST(test_pools_with_other_rules_go_by_their_own_verdicts),
      TEST(test_more_different_rules_than_there_is_room_for_are_told),
      TEST(test_what_makes_a_check_another_changes_its_key),
      TEST(test_it_can_go_while_probes_are_under_way),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
