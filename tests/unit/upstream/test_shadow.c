#include "unit.h"

#include "base/base.h"
#include "upstream/upstream.h"

enum { MEMBERS = 3, DOWN_MS = 1000 };

static neap_host host;
static neap_registry *registry;
static neap_backends *backends;
static neap_pool_member members[MEMBERS];
static neap_pool *pool, *like;
static neap_pool_shadow *shadow;
static const neap_request_board request;

/* What a test knows of this policy: it picks the first that is up, fails when told to, and counts. */
static struct {
  bool fails;
  int observed, made;
} fake;
static neap_pick_board *fake_board; /* of the one that was made last: the shadow */

static int fake_create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                       neap_err *err) {
  (void)params, (void)param_count, (void)err;
  fake_board = env->pick;
  fake.made++;
  *self = &fake;
  return 0;
}

static void fake_destroy(void *self) {
  (void)self;
  fake.made--;
}

static int fake_observe(void *self, const neap_event *events, int n) {
  (void)self, (void)events;
  fake.observed += n;
  return 0;
}

static int fake_decide(void *self, neap_ask ask) {
  (void)self, (void)ask;
  if (fake.fails) return NEAP_EFAULT;
  fake_board->answer = NEAP_PICK_NONE;
  for (int32_t i = fake_board->count - 1; i >= 0; i--)
    if (fake_board->rows[i].barred == 0) fake_board->answer = i;
  return 0;
}

static const neap_policy_vt fake_vt = {.name = "fake",
                                       .domain = NEAP_BALANCE,
                                       .create = fake_create,
                                       .destroy = fake_destroy,
                                       .observe = fake_observe,
                                       .decide = fake_decide};

static int fake_open(void *user, neap_domain domain, const char *spec, const char *source,
                     const neap_policy_env *env, const neap_param *params, size_t param_count,
                     const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  (void)user, (void)domain, (void)source, (void)text_out;
  if (strcmp(spec, "fake") != 0) return neap_fail(err, NEAP_ENOTFOUND, "no %s", spec);
  *vt = &fake_vt;
  return fake_create(env, params, param_count, self, err);
}

static uint64_t clock_zero(void *user) {
  (void)user;
  return 0;
}

static neap_pool *make_pool(const char *balance) {
  neap_pool_options options = {.name = "app",
                               .members = members,
                               .member_count = MEMBERS,
                               .down_time_ms = DOWN_MS,
                               .balance = balance,
                               .registry = registry,
                               .host = &host,
                               .seed = 1};
  neap_pool *made;
  neap_err err;
  assert_int_equal(neap_pool_create(&options, &made, &err), 0);
  return made;
}

static int set_up(void **state) {
  (void)state;
  neap_host_complete(
      &(neap_host){.now_ms = clock_zero, .now_ns = clock_zero, .thread_cpu_ns = clock_zero, .seed = 1},
      &host);
  memset(&fake, 0, sizeof fake);
  if (neap_registry_create(&host, &registry) || neap_backends_create(&backends)) return -1;
  neap_registry_add(registry, &(neap_loader){.name = "fake", .open = fake_open});
  for (int i = 0; i < MEMBERS; i++) {
    char address[32];
    neap_err err;
    snprintf(address, sizeof address, "127.0.0.1:%d", 9001 + i);
    if (neap_backends_take(backends, address, &members[i].backend, &err)) return -1;
    members[i].weight = 1;
  }
  pool = make_pool("native:round_robin");
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  neap_pool_set_shadow(pool, NULL);
  neap_pool_shadow_destroy(&shadow);
  neap_pool_destroy(&pool);
  if (like) neap_pool_destroy(&like);
  for (int i = 0; i < MEMBERS; i++) neap_backend_give(backends, members[i].backend);
  neap_backends_destroy(&backends);
  neap_registry_destroy(&registry);
  return 0;
}

static int32_t pick(void) {
  neap_pool_ask ask = {.request = &request, .now_ms = 1};
  int32_t member = neap_pool_pick(pool, &ask);
  if (member >= 0) neap_pool_let_go(pool, member);
  return member;
}

static void cast_shadow(const char *balance) {
  neap_err err;
  like = make_pool(balance);
  assert_int_equal(neap_pool_shadow_create(like, &shadow, &err), 0);
  neap_pool_set_shadow(pool, shadow);
}

static neap_pool_shadow_sum sum_of(void) {
  neap_pool_shadow_sum sum = {0};
  neap_pool_shadow_gather(shadow, &sum);
  return sum;
}

static neap_pool_shadow_share share_of(int member) {
  neap_pool_shadow_share share, found = {0};
  double id = neap_backend_id(neap_backend_address(members[member].backend));
  for (size_t i = 0; neap_pool_shadow_share_at(shadow, i, &share); i++)
    if (share.id == id) found = share;
  return found;
}

static void test_a_twin_agrees_on_every_pick(void **state) {
  (void)state;
  neap_pool_destroy(&pool);
  pool = make_pool("native:p2c");
  cast_shadow("native:p2c");
  for (int i = 0; i < 100; i++) pick();
  assert_int_equal(sum_of().asked, 100);
  assert_int_equal(sum_of().agreed, 100);
}

static void test_what_it_says_is_counted_and_not_followed(void **state) {
  (void)state;
  cast_shadow("fake");
  int got[MEMBERS] = {0};
  for (int i = 0; i < 30; i++) got[pick()]++;
  for (int i = 0; i < MEMBERS; i++) assert_int_equal(got[i], 10);
  assert_int_equal(sum_of().asked, 30);
  assert_int_equal(sum_of().agreed, 10);
  assert_int_equal(share_of(0).would_be, 30);
  assert_int_equal(share_of(0).picks, 10);
  assert_int_equal(share_of(2).would_be, 0);
  assert_int_equal(share_of(2).picks, 10);
}

static void test_it_is_told_what_the_policy_is_told(void **state) {
  (void)state;
  cast_shadow("fake");
  pick(); /* that they joined */
  fake.observed = 0;
  neap_pool_begin(pool, 1);
  neap_pool_answered(pool, 1, &(neap_pool_outcome){1, 200, 100}, 1);
  neap_pool_end(pool, 1);
  pick();
  assert_int_equal(fake.observed, 2); /* sent, done */
}

static void test_one_that_fails_rests_and_the_pool_goes_on(void **state) {
  (void)state;
  cast_shadow("fake");
  fake.fails = true;
  int got[MEMBERS] = {0};
  for (int i = 0; i < 30; i++) got[pick()]++;
  for (int i = 0; i < MEMBERS; i++) assert_int_equal(got[i], 10);
  assert_int_equal(sum_of().asked, 0);
  assert_true(sum_of().rests);
  assert_in_range(sum_of().failed, 1, 10);
  fake.fails = false;
  pick();
  assert_int_equal(sum_of().asked, 0); /* until it is ended */
}

static void test_members_may_come_and_go_beside_it(void **state) {
  (void)state;
  cast_shadow("fake");
  pick();
  assert_int_equal(neap_pool_leave(pool, "127.0.0.1:9001"), 0);
  for (int i = 0; i < 10; i++) pick();
  assert_int_equal(share_of(1).would_be, 10);
  for (int i = 0; i < 70; i++) {
    char address[32];
    neap_err err;
    neap_pool_member member = {.weight = 1};
    snprintf(address, sizeof address, "127.0.0.1:%d", 9100 + i);
    assert_int_equal(neap_backends_take(backends, address, &member.backend, &err), 0);
    assert_int_equal(neap_pool_join(pool, &member), 0);
    neap_backend_give(backends, member.backend);
  }
  for (int i = 0; i < 100; i++) pick();
  assert_int_equal(sum_of().asked, 111);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_twin_agrees_on_every_pick, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_it_says_is_counted_and_not_followed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_it_is_told_what_the_policy_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_one_that_fails_rests_and_the_pool_goes_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_members_may_come_and_go_beside_it, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
