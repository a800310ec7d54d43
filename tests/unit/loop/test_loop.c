#include "unit.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "loop/loop.h"

/* --- timers */

typedef struct rig {
  neap_loop *loop;
  neap_timer timers[4];
  int order[8], fired;
  uint64_t at_ms[8];
} rig;
static rig the;

static void note(neap_timer *timer) {
  the.order[the.fired] = (int)(timer - the.timers);
  the.at_ms[the.fired++] = neap_loop_now_ms(the.loop);
}
static void note_and_stop(neap_timer *timer) {
  note(timer);
  neap_loop_stop(the.loop);
}

static int set_up(void **state) {
  (void)state;
  the = (rig){0};
  for (int i = 0; i < 4; i++) neap_timer_init(&the.timers[i], note);
  return neap_loop_create(&the.loop);
}
static int tear_down(void **state) {
  (void)state;
  neap_loop_destroy(&the.loop);
  return 0;
}

static void test_timers_fire_in_order_and_never_early(void **state) {
  (void)state;
  uint64_t start_ms = neap_loop_now_ms(the.loop);
  neap_timer_init(&the.timers[0], note_and_stop);
  neap_timer_set(the.loop, &the.timers[0], 120);
  neap_timer_set(the.loop, &the.timers[1], 60);
  neap_timer_set(the.loop, &the.timers[2], 0);
  neap_loop_run(the.loop);
  assert_int_equal(the.fired, 3);
  assert_int_equal(the.order[0], 2);
  assert_int_equal(the.order[1], 1);
  assert_int_equal(the.order[2], 0);
  assert_true(the.at_ms[1] >= start_ms + 60);
  assert_true(the.at_ms[2] >= start_ms + 120);
}

static void test_a_timer_that_was_moved_fires_once_at_its_new_time(void **state) {
  (void)state;
  uint64_t start_ms = neap_loop_now_ms(the.loop);
  neap_timer_init(&the.timers[1], note_and_stop);
  neap_timer_set(the.loop, &the.timers[0], 20);
  neap_timer_set(the.loop, &the.timers[0], 90); /* later: stays in its slot until that comes */
  neap_timer_set(the.loop, &the.timers[1], 60000);
  neap_timer_set(the.loop, &the.timers[1], 150); /* earlier */
  neap_loop_run(the.loop);
  assert_int_equal(the.fired, 2);
  assert_int_equal(the.order[0], 0);
  assert_true(the.at_ms[0] >= start_ms + 90);
  assert_true(the.at_ms[1] >= start_ms + 150);
}

static void clear_next(neap_timer *timer) {
  note(timer);
  neap_timer_clear(&the.timers[1]);
}

static void test_a_timer_cleared_by_another_of_its_slot_does_not_fire(void **state) {
  (void)state;
  neap_timer_init(&the.timers[0], clear_next);
  neap_timer_init(&the.timers[2], note_and_stop);
  neap_timer_set(the.loop, &the.timers[0], 10);
  neap_timer_set(the.loop, &the.timers[1], 10);
  neap_timer_set(the.loop, &the.timers[2], 50);
  neap_loop_run(the.loop);
  assert_int_equal(the.fired, 2);
  assert_false(neap_timer_is_set(&the.timers[1]));
}

/* --- tasks */

typedef struct job {
  neap_task task;
  int number;
} job;
static job jobs[100];
static int done[100], done_count;

static void run_job(neap_task *task) {
  job *j = NEAP_CONTAINER_OF(task, job, task);
  done[done_count++] = j->number;
  if (done_count == 100) neap_loop_stop(the.loop);
}
static void *post_jobs(void *user) {
  (void)user;
  for (int i = 0; i < 100; i++) {
    jobs[i] = (job){.task.run = run_job, .number = i};
    neap_loop_post(the.loop, &jobs[i].task);
  }
  return NULL;
}

static void test_tasks_of_another_thread_run_in_order(void **state) {
  (void)state;
  pthread_t thread;
  done_count = 0;
  assert_int_equal(pthread_create(&thread, NULL, post_jobs, NULL), 0);
  neap_loop_run(the.loop);
  pthread_join(thread, NULL);
  for (int i = 0; i < 100; i++) assert_int_equal(done[i], i);
}

static void test_a_task_that_was_taken_back_does_not_run(void **state) {
  (void)state;
  done_count = 97;
  for (int i = 97; i < 100; i++) {
    jobs[i] = (job){.task.run = run_job, .number = i};
    neap_loop_post(the.loop, &jobs[i].task);
  }
  job last = {.task.run = run_job, .number = 5};
  neap_loop_post(the.loop, &last.task);
  assert_true(neap_loop_take_back(the.loop, &jobs[98].task)); /* in the middle */
  assert_true(neap_loop_take_back(the.loop, &last.task));     /* the last, behind which others come */
  assert_false(neap_loop_take_back(the.loop, &last.task));
  neap_loop_post(the.loop, &jobs[98].task);
  neap_loop_run(the.loop);
  assert_int_equal(done_count, 100);
  assert_int_equal(done[97], 97);
  assert_int_equal(done[98], 99);
  assert_int_equal(done[99], 98);
  assert_false(neap_loop_take_back(the.loop, &jobs[98].task));
}

/* --- addresses */

static void test_addresses_are_read_and_written(void **state) {
  (void)state;
  static const struct {
    const char *text, *formatted;
  } good[] = {
      {"127.0.0.1:8080", "127.0.0.1:8080"},
      {"[::1]:80", "[::1]:80"},
      {":80", "0.0.0.0:80"},
      {"*:0", "0.0.0.0:0"},
      {"1.2.3.4:65535", "1.2.3.4:65535"},
  };
  char text[NEAP_ADDRESS_TEXT];
  neap_err err;
  for (size_t i = 0; i < NEAP_COUNT_OF(good); i++) {
    neap_address address;
    assert_int_equal(neap_address_parse(good[i].text, &address, &err), 0);
    neap_address_format(&address, text);
    assert_string_equal(text, good[i].formatted);
  }
}

static void test_malformed_addresses_are_refused_with_a_sentence(void **state) {
  (void)state;
  static const char *const bad[] = {"",       "127.0.0.1", "127.0.0.1:",   "127.0.0.1:65536", "127.0.0.1:-1",
                                    "::1:80", "[::1:80",   "127.0.0.1:8x", "127.0.0.1: 80",   "]:80"};
  for (size_t i = 0; i < NEAP_COUNT_OF(bad); i++) {
    neap_address address;
    neap_err err = {0};
    if (neap_address_parse(bad[i], &address, &err) != NEAP_EINVAL) fail_msg("\"%s\" was accepted", bad[i]);
    assert_true(strstr(err.text, "address") != NULL);
  }
}

static void test_an_address_in_use_is_refused_unless_it_is_ours(void **state) {
  (void)state;
  neap_address address;
  neap_err err;
  int first, second, third;
  assert_int_equal(neap_address_parse("127.0.0.1:0", &address, &err), 0);
  assert_int_equal(neap_listen_socket(&address, false, &first, &err), 0);
  assert_int_equal(neap_socket_address(first, &address), 0);
  assert_int_equal(neap_listen_socket(&address, false, &second, &err), NEAP_EIO);
  assert_true(strstr(err.text, "Address already in use") != NULL);
  assert_int_equal(neap_listen_socket(&address, true, &third, &err), 0);
  neap_socket_close(first);
  neap_socket_close(third);
}

/* --- soon */

static neap_soon soons[3];
static char soon_order[16];
static void note_soon(neap_soon *soon) {
  strcat(soon_order, (char[]){(char)('a' + (soon - soons)), '\0'});
  if (soon == &soons[0]) neap_soon_set(the.loop, &soons[1]);
}
static void note_turn(void *user) {
  (void)user;
  strcat(soon_order, "t");
}
static void set_soons(neap_timer *timer) {
  (void)timer;
  neap_soon_set(the.loop, &soons[2]);
  neap_soon_set(the.loop, &soons[0]);
  neap_soon_set(the.loop, &soons[2]);
  strcat(soon_order, "|");
  neap_timer_set(the.loop, &the.timers[1], 1000); /* a poll that must not be waited for */
}
static void stop_loop(neap_soon *soon) {
  note_soon(soon);
  neap_loop_stop(the.loop);
}

static void test_what_is_set_soon_is_done_before_the_loop_waits(void **state) {
  (void)state;
  neap_soon_init(&soons[0], note_soon);
  neap_soon_init(&soons[1], stop_loop);
  neap_soon_init(&soons[2], note_soon);
  soon_order[0] = '\0';
  neap_loop_on_turn(the.loop, note_turn, NULL);
  neap_timer_init(&the.timers[0], set_soons);
  neap_timer_set(the.loop, &the.timers[0], 0);
  uint64_t start_ms = neap_loop_now_ms(the.loop);
  neap_loop_run(the.loop);
  assert_true(neap_loop_now_ms(the.loop) < start_ms + 900);
  assert_string_equal(strchr(soon_order, '|'), "|cabt"); /* one set by another in the same turn, none twice */
  neap_soon_set(the.loop, &soons[1]);
  neap_soon_clear(&soons[1]);
  neap_soon_clear(&soons[1]);
  assert_null(soons[1].next);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_is_set_soon_is_done_before_the_loop_waits, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_timers_fire_in_order_and_never_early, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_timer_that_was_moved_fires_once_at_its_new_time, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_a_timer_cleared_by_another_of_its_slot_does_not_fire, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_tasks_of_another_thread_run_in_order, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_task_that_was_taken_back_does_not_run, set_up, tear_down),
      cmocka_unit_test(test_addresses_are_read_and_written),
      cmocka_unit_test(test_malformed_addresses_are_refused_with_a_sentence),
      cmocka_unit_test(test_an_address_in_use_is_refused_unless_it_is_ours),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
