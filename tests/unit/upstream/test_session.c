/* Sessions: signed cookies and the table. */
#include "unit.h"

#include "base/base.h"
#include "upstream/session.h"

enum { MEMBERS = 3, TIMEOUT_S = 1000, NOW_S = 1700000000 };

static neap_backends *backends;
static neap_sessions *sessions;
static neap_pool_member members[MEMBERS];
static const char *const old_secret[] = {"an old secret of mine"};
static const char *const both_secrets[] = {"a new secret of mine", "an old secret of mine"};

static neap_session_options options_of(const char *const *secrets, size_t count) {
  return (neap_session_options){.kind = NEAP_SESSION_COOKIE,
                                .cookie = "sid",
                                .secrets = secrets,
                                .secret_count = count,
                                .timeout_ms = TIMEOUT_S * 1000};
}

static neap_session *open_session(const char *pool, const char *const *secrets, size_t count) {
  neap_session_options options = options_of(secrets, count);
  neap_session *session;
  neap_err err;
  assert_int_equal(neap_session_create(pool, &options, sessions, &session, &err), 0);
  return session;
}

static int set_up(void **state) {
  (void)state;
  if (neap_backends_create(&backends) ||
      neap_sessions_create((const uint8_t[NEAP_SESSION_SECRET]){1}, &sessions))
    return -1;
  for (int i = 0; i < MEMBERS; i++) {
    char address[32];
    neap_err err;
    snprintf(address, sizeof address, "127.0.0.1:%d", 9001 + i);
    if (neap_backends_take(backends, address, &members[i].backend, &err)) return -1;
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  for (int i = 0; i < MEMBERS; i++) neap_backend_give(backends, members[i].backend);
  neap_backends_destroy(&backends);
  neap_sessions_destroy(&sessions);
  return 0;
}

/* What a client would send back. */
static const char *value_for(neap_session *session, int32_t member, int64_t wall_s) {
  static char field[NEAP_SESSION_COOKIE_MAX];
  ssize_t size = neap_session_write(session, members[member].backend, wall_s, field, sizeof field);
  assert_true(size > 0);
  assert_int_equal(strncmp(field, "sid=", 4), 0);
  *strchr(field, ';') = '\0';
  return field + 4;
}

static int32_t read_at(neap_session *session, const char *value, int64_t wall_s, bool *renew) {
  *renew = false;
  return neap_session_read(session, neap_view_of(value), wall_s, members, MEMBERS, renew);
}

static void test_a_cookie_leads_back_to_its_backend(void **state) {
  (void)state;
  neap_session *session = open_session("app", NULL, 0);
  bool renew;
  for (int32_t i = 0; i < MEMBERS; i++) {
    assert_int_equal(read_at(session, value_for(session, i, NOW_S), NOW_S + 50, &renew), i);
    assert_false(renew);
  }
  neap_session_destroy(&session);
}

static void test_the_field_has_its_attributes_and_no_address(void **state) {
  (void)state;
  neap_session_options options = options_of(NULL, 0);
  options.secure = true;
  neap_session *session;
  neap_err err;
  char field[NEAP_SESSION_COOKIE_MAX];
  assert_int_equal(neap_session_create("app", &options, sessions, &session, &err), 0);
  ssize_t size = neap_session_write(session, members[0].backend, NOW_S, field, sizeof field);
  assert_int_equal(size, strlen(field));
  assert_non_null(strstr(field, "; Path=/; Max-Age=1000; HttpOnly; SameSite=Lax; Secure"));
  assert_null(strstr(field, "9001"));
  assert_int_equal(neap_session_write(session, members[0].backend, NOW_S, field, 40), NEAP_ESMALL);
  neap_session_destroy(&session);
}

static void test_a_cookie_is_renewed_when_a_tenth_of_its_time_is_over_and_ends(void **state) {
  (void)state;
  neap_session *session = open_session("app", NULL, 0);
  bool renew;
  char value[64];
  snprintf(value, sizeof value, "%s", value_for(session, 1, NOW_S));
  assert_int_equal(read_at(session, value, NOW_S + 100, &renew), 1);
  assert_false(renew);
  assert_int_equal(read_at(session, value, NOW_S + 101, &renew), 1);
  assert_true(renew);
  assert_int_equal(read_at(session, value, NOW_S + TIMEOUT_S, &renew), 1);
  assert_int_equal(read_at(session, value, NOW_S + TIMEOUT_S + 1, &renew), -1);
  assert_int_equal(read_at(session, value, NOW_S - 300, &renew), 1); /* another gateway's clock */
  assert_int_equal(read_at(session, value, NOW_S - 301, &renew), -1);
  neap_session_destroy(&session);
}

static void test_no_changed_byte_is_believed(void **state) {
  (void)state;
  neap_session *session = open_session("app", NULL, 0);
  bool renew;
  char value[64];
  snprintf(value, sizeof value, "%s", value_for(session, 2, NOW_S));
  size_t size = strlen(value);
  for (size_t i = 0; i < size; i++) {
    for (int flip = 1; flip < 256; flip <<= 1) {
      char before = value[i];
      value[i] = (char)(before ^ flip);
      if (value[i] == '\0') {
        value[i] = before;
        continue;
      }
      assert_int_equal(read_at(session, value, NOW_S, &renew), -1);
      value[i] = before;
    }
  }
  value[size - 1] = '\0';
  assert_int_equal(read_at(session, value, NOW_S, &renew), -1);
  assert_int_equal(read_at(session, "", NOW_S, &renew), -1);
  neap_session_destroy(&session);
}

static void test_a_cookie_is_for_one_pool(void **state) {
  (void)state;
  neap_session *app = open_session("app", NULL, 0), *other = open_session("other", NULL, 0);
  bool renew;
  assert_int_equal(read_at(other, value_for(app, 0, NOW_S), NOW_S, &renew), -1);
  neap_session_destroy(&app);
  neap_session_destroy(&other);
}

static void test_secrets_are_rotated(void **state) {
  (void)state;
  neap_session *before = open_session("app", old_secret, 1), *after = open_session("app", both_secrets, 2);
  neap_session *alone = open_session("app", both_secrets, 1), *random = open_session("app", NULL, 0);
  bool renew;
  char value[64];
  snprintf(value, sizeof value, "%s", value_for(before, 1, NOW_S));
  assert_int_equal(read_at(after, value, NOW_S, &renew), 1);
  assert_true(renew); /* by the new secret */
  assert_int_equal(read_at(alone, value, NOW_S, &renew), -1);
  assert_int_equal(read_at(random, value, NOW_S, &renew), -1);
  snprintf(value, sizeof value, "%s", value_for(after, 1, NOW_S));
  assert_int_equal(read_at(alone, value, NOW_S, &renew), 1);
  assert_int_equal(read_at(before, value, NOW_S, &renew), -1);
  neap_session_destroy(&before);
  neap_session_destroy(&after);
  neap_session_destroy(&alone);
  neap_session_destroy(&random);
}

static void test_a_backend_that_left_is_not_found_and_its_place_is_not_mistaken(void **state) {
  (void)state;
  neap_session *session = open_session("app", NULL, 0);
  bool renew;
  neap_err err;
  char value[64];
  snprintf(value, sizeof value, "%s", value_for(session, 0, NOW_S));
  assert_int_equal(read_at(session, value, NOW_S, &renew), 0);
  neap_backend_give(backends, members[0].backend);
  assert_int_equal(neap_backends_take(backends, "127.0.0.1:9009", &members[0].backend, &err), 0);
  assert_int_equal(read_at(session, value, NOW_S, &renew), -1);
  assert_int_equal(read_at(session, value_for(session, 0, NOW_S), NOW_S, &renew), 0);
  neap_session_destroy(&session);
}

static void test_the_table_remembers_until_the_timeout(void **state) {
  (void)state;
  assert_int_equal(neap_session_table_find(sessions, 5, 0, 100), 0);
  neap_session_table_keep(sessions, 5, 77, 10);
  assert_int_equal(neap_session_table_find(sessions, 5, 110, 100), 77);
  assert_int_equal(neap_session_table_find(sessions, 5, 111, 100), 0);
  neap_session_table_keep(sessions, 5, 78, 120);
  assert_int_equal(neap_session_table_find(sessions, 5, 121, 100), 78);
}

static void test_a_full_table_forgets_the_stalest(void **state) {
  (void)state;
  enum { FAR = 1 << 20 }; /* more than it holds, in one set and in all */
  for (uint64_t i = 1; i <= FAR; i++) neap_session_table_keep(sessions, i, i, i);
  uint64_t kept = 0;
  for (uint64_t i = 1; i <= FAR; i++) kept += neap_session_table_find(sessions, i, FAR, FAR) == i;
  assert_int_equal(kept, NEAP_SESSION_TABLE);
  assert_int_equal(neap_session_table_find(sessions, FAR, FAR, FAR), FAR);
  assert_int_equal(neap_session_table_find(sessions, 1, FAR, FAR), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_cookie_leads_back_to_its_backend, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_the_field_has_its_attributes_and_no_address, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_cookie_is_renewed_when_a_tenth_of_its_time_is_over_and_ends,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_no_changed_byte_is_believed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_cookie_is_for_one_pool, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_secrets_are_rotated, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_backend_that_left_is_not_found_and_its_place_is_not_mistaken,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_the_table_remembers_until_the_timeout, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_full_table_forgets_the_stalest, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
