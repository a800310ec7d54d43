/* Sources: what their texts mean, and files that change. DNS and etcd are tested end to end. */
#include "unit.h"

#include <unistd.h>

#include "upstream/source_impl.h"

static neap_backend_source_list lines(const char *text, int wanted) {
  neap_backend_source_list list = {0};
  neap_err err = {0};
  int code = neap_backend_source_add_line(&list, neap_view_of(text), &err);
  if (code != wanted) fail_msg("'%s': %d %s", text, code, err.text);
  return list;
}

static void test_a_line_is_an_address_with_weight_and_priority(void **state) {
  (void)state;
  neap_backend_source_list list = lines("  Host.Example:80  weight=7\tpriority=3 # a note", 0);
  assert_int_equal(list.count, 1);
  assert_string_equal(list.members[0].address, "host.example:80");
  assert_int_equal(list.members[0].weight, 7);
  assert_int_equal(list.members[0].priority, 3);
  neap_backend_source_list_fini(&list);
  list = lines("a:80 backup", 0);
  assert_int_equal(list.members[0].priority, 15);
  neap_backend_source_list_fini(&list);
  list = lines("[::1]:65535\r", 0);
  assert_string_equal(list.members[0].address, "[::1]:65535");
  assert_int_equal(list.members[0].weight, 1);
  neap_backend_source_list_fini(&list);
}

static void test_empty_lines_and_notes_say_nothing(void **state) {
  (void)state;
  const char *const empty[] = {"", "   ", "# 127.0.0.1:80", "\r"};
  for (size_t i = 0; i < NEAP_COUNT_OF(empty); i++) {
    neap_backend_source_list list = lines(empty[i], 0);
    assert_int_equal(list.count, 0);
    neap_backend_source_list_fini(&list);
  }
}

static void test_other_lines_are_refused(void **state) {
  (void)state;
  const char *const bad[] = {"127.0.0.1",
                             ":80",
                             "a:0",
                             "a:65536",
                             "a:99999999999999",
                             "a:80x",
                             "a b:80",
                             "a/b:80",
                             "a:80 weight=0",
                             "a:80 weight=1001",
                             "a:80 weight=",
                             "a:80 weight=-1",
                             "a:80 priority=16",
                             "a:80 wieght=2",
                             "a:80 2",
                             "\x01:80"};
  for (size_t i = 0; i < NEAP_COUNT_OF(bad); i++) {
    neap_backend_source_list list = lines(bad[i], NEAP_EINVAL);
    assert_int_equal(list.count, 0);
    neap_backend_source_list_fini(&list);
  }
}

static void test_a_nul_is_part_of_no_address(void **state) {
  (void)state;
  neap_backend_source_list list = {0};
  neap_err err;
  assert_int_equal(neap_backend_source_add_line(&list, (neap_view){"a\0b:80", 6}, &err), NEAP_EINVAL);
  assert_int_equal(list.count, 0);
}

static void test_specs(void **state) {
  (void)state;
  const char *const good[] = {"dns:app.example.com:80", "srv:_http._tcp.app.example.com",
                              "file:/etc/backends", "etcd:http://127.0.0.1:2379/services/app/"};
  const char *const bad[] = {"",
                             "dns",
                             "dns:",
                             "dns:name",
                             "dns:name:0",
                             "dns:name:70000",
                             "dns:a b:80",
                             "srv:",
                             "srv:a b",
                             "file:",
                             "etcd:",
                             "etcd:http://host:2379",
                             "etcd:http://host:2379/",
                             "etcd:ftp://host/a",
                             "consul:x"};
  neap_err err;
  for (size_t i = 0; i < NEAP_COUNT_OF(good); i++)
    assert_int_equal(neap_backend_source_check(good[i], &err), 0);
  for (size_t i = 0; i < NEAP_COUNT_OF(bad); i++)
    assert_int_equal(neap_backend_source_check(bad[i], &err), NEAP_EINVAL);
}

/* --- a file */

typedef struct watcher {
  neap_loop *loop;
  neap_backend_source *source;
  char path[64], text[256], reason[256];
  int told, failed, healed;
} watcher;

static void on_changed(void *user, const neap_backend_source_member *members, size_t count) {
  watcher *w = user;
  w->told++;
  w->text[0] = '\0';
  for (size_t i = 0; i < count; i++)
    snprintf(w->text + strlen(w->text), sizeof w->text - strlen(w->text), "%s*%d ", members[i].address,
             members[i].weight);
  neap_loop_stop(w->loop);
}

static void on_failed(void *user, const char *reason) {
  watcher *w = user;
  if (reason) {
    w->failed++;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    neap_loop_stop(w->loop);
  } else {
    w->healed++;
  }
}

/* Under another name first: nobody sees half of it. */
static void write_file(const watcher *w, const char *text) {
  char other[80];
  snprintf(other, sizeof other, "%s.new", w->path);
  FILE *file = fopen(other, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  assert_int_equal(rename(other, w->path), 0);
}

static void test_a_file_is_read_again_when_it_changes_and_not_when_it_is_wrong(void **state) {
  (void)state;
  watcher w = {.path = "/tmp/neap-source-XXXXXX"};
  neap_err err;
  int made = mkstemp(w.path);
  assert_true(made >= 0);
  close(made);
  write_file(&w, "b:2 weight=5\na:1\na:1 weight=9\n");
  assert_int_equal(neap_loop_create(&w.loop), 0);
  char spec[80];
  snprintf(spec, sizeof spec, "file:%s", w.path);
  const neap_backend_source_options options = {
      .spec = spec, .refresh_ms = 5, .loop = w.loop, .changed = on_changed, .failed = on_failed, .user = &w};
  assert_int_equal(neap_backend_source_create(&options, &w.source, &err), 0);
  assert_int_equal(w.told, 0);
  neap_loop_run(w.loop);
  assert_string_equal(w.text, "a:1*1 b:2*5 ");
  write_file(&w, "c:3\n\nno address\n");
  neap_loop_run(w.loop);
  assert_int_equal(w.told, 1);
  assert_int_equal(w.failed, 1);
  assert_non_null(strstr(w.reason, ":3: 'no' is not host:port"));
  write_file(&w, "c:3\n");
  neap_loop_run(w.loop);
  assert_string_equal(w.text, "c:3*1 ");
  assert_int_equal(w.healed, 1);
  unlink(w.path);
  neap_loop_run(w.loop);
  assert_int_equal(w.failed, 2);
  assert_int_equal(w.told, 2);
  write_file(&w, "");
  neap_loop_run(w.loop);
  assert_string_equal(w.text, "");
  neap_backend_source_destroy(&w.source);
  neap_loop_destroy(&w.loop);
  unlink(w.path);
}

/* The owner may let go of it while it is told. */
static void on_changed_destroy(void *user, const neap_backend_source_member *members, size_t count) {
  watcher *w = user;
  (void)members, (void)count;
  w->told++;
  neap_backend_source_destroy(&w->source);
  neap_loop_stop(w->loop);
}

static void test_a_source_may_be_destroyed_by_who_is_told(void **state) {
  (void)state;
  watcher w = {.path = "/tmp/neap-source-XXXXXX"};
  neap_err err;
  int made = mkstemp(w.path);
  assert_true(made >= 0);
  close(made);
  char spec[80];
  snprintf(spec, sizeof spec, "file:%s", w.path);
  assert_int_equal(neap_loop_create(&w.loop), 0);
  const neap_backend_source_options options = {.spec = spec,
                                               .refresh_ms = 5,
                                               .loop = w.loop,
                                               .changed = on_changed_destroy,
                                               .failed = on_failed,
                                               .user = &w};
  assert_int_equal(neap_backend_source_create(&options, &w.source, &err), 0);
  neap_loop_run(w.loop);
  assert_int_equal(w.told, 1);
  assert_null(w.source);
  neap_loop_destroy(&w.loop);
  unlink(w.path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_line_is_an_address_with_weight_and_priority),
      cmocka_unit_test(test_empty_lines_and_notes_say_nothing),
      cmocka_unit_test(test_other_lines_are_refused),
      cmocka_unit_test(test_a_nul_is_part_of_no_address),
      cmocka_unit_test(test_specs),
      cmocka_unit_test(test_a_file_is_read_again_when_it_changes_and_not_when_it_is_wrong),
      cmocka_unit_test(test_a_source_may_be_destroyed_by_who_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
