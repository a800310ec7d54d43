#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "observe/observe.h"

static char path[64];

static int make_path(void **state) {
  (void)state;
  strcpy(path, "/tmp/neap-access-log-XXXXXX");
  int fd = mkstemp(path);
  if (fd < 0) return -1;
  close(fd);
  return 0;
}

static int remove_path(void **state) {
  (void)state;
  return unlink(path);
}

/* All of the file; the size in *size. */
static char *contents(const char *name, size_t *size) {
  FILE *file = fopen(name, "r");
  char *text = calloc(1, 1 << 20);
  assert_non_null(file);
  *size = fread(text, 1, (1 << 20) - 1, file);
  fclose(file);
  return text;
}

/* Writes one line through a log and reads it back as JSON. */
static json_t *logged(const neap_access_record *line) {
  neap_access_log *log;
  size_t size;
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(neap_access_log_open(path, NEAP_ACCESS_JSON, &log, NULL), 0);
  neap_access_log_add(log, line);
  neap_access_log_close(&log);
  char *text = contents(path, &size);
  assert_true(size > 0 && text[size - 1] == '\n' && strchr(text, '\n') == text + size - 1);
  json_error_t error;
  json_t *json = json_loadb(text, size, JSON_ALLOW_NUL, &error);
  if (!json) fail_msg("%s: %s", error.text, text);
  free(text);
  return json;
}

static const neap_access_record full = {
    .wall_ms = 1767323045007,
    .client = {"127.0.0.1", 9},
    .method = {"GET", 3},
    .host = {"a", 1},
    .target = {"/x?y", 4},
    .status = 200,
    .bytes = 5,
    .duration_us = 812,
    .cache = "hit",
    .generation = 3,
    .route = "all",
    .pool = "app",
    .backend = "127.0.0.1:9001",
    .stored = "yes",
    .reason = "ok",
    .steps = "recv,route",
    .tries = 1,
};

static void test_a_line_has_every_member(void **state) {
  (void)state;
  json_t *json = logged(&full);
  char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
  assert_string_equal(
      text, "{\"ts\":\"2026-01-02T03:04:05.007Z\",\"client\":\"127.0.0.1\",\"method\":\"GET\","
            "\"host\":\"a\",\"target\":\"/x?y\",\"status\":200,\"bytes\":5,\"duration_us\":812,"
            "\"generation\":3,\"route\":\"all\",\"pool\":\"app\",\"backend\":\"127.0.0.1:9001\","
            "\"tries\":1,\"cache\":\"hit\",\"stored\":\"yes\",\"reason\":\"ok\",\"steps\":\"recv,route\"}");
  free(text);
  json_decref(json);
}

static void test_what_is_not_known_is_left_out(void **state) {
  (void)state;
  neap_access_record line = {.wall_ms = 0, .bytes = 0};
  json_t *json = logged(&line);
  assert_string_equal(json_string_value(json_object_get(json, "ts")), "1970-01-01T00:00:00.000Z");
  assert_int_equal(json_object_size(json), 3);
  json_decref(json);
}

static void test_no_byte_breaks_the_line(void **state) {
  (void)state;
  char bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  neap_access_record line = full;
  line.target = (neap_view){bytes, sizeof bytes};
  json_t *json = logged(&line); /* one line, and it is JSON */
  const char *target = json_string_value(json_object_get(json, "target"));
  assert_int_equal(target[0], 0);
  assert_memory_equal(target + 1, bytes + 1, 127);
  assert_memory_equal(target + 128, "\xef\xbf\xbd\xef\xbf\xbd", 6);
  assert_int_equal(json_string_length(json_object_get(json, "target")), 128 + 3 * 128);
  json_decref(json);
}

static void test_utf8_stays_and_what_only_looks_like_it_is_replaced(void **state) {
  (void)state;
  static const struct {
    const char *in, *out;
  } rows[] = {
      {"gr\xc3\xbc\xc3\x9f \xe6\xbd\xae \xf0\x9f\x8c\x8a",
       "gr\xc3\xbc\xc3\x9f \xe6\xbd\xae \xf0\x9f\x8c\x8a"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
      {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* too large */
      {"a\xc2\x9b[2Jb", "a\xef\xbf\xbd[2Jb"},     /* a control sequence of terminals */
      {"a\xe6\xbd", "a\xef\xbf\xbd\xef\xbf\xbd"}, /* cut short */
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_access_record line = full;
    line.host = neap_view_of(rows[i].in);
    json_t *json = logged(&line);
    assert_string_equal(json_string_value(json_object_get(json, "host")), rows[i].out);
    json_decref(json);
  }
}

static void test_long_texts_are_cut(void **state) {
  (void)state;
  char *bytes = malloc(100001);
  memset(bytes, 1, 100000); /* the longest escape */
  bytes[100000] = 0;
  neap_access_record line = full;
  line.target = line.client = line.method = line.host = (neap_view){bytes, 100000};
  line.route = line.pool = line.backend = line.cache = line.stored = line.reason = line.steps = bytes;
  json_t *json = logged(&line);
  assert_int_equal(json_string_length(json_object_get(json, "target")), 2048 + 3);
  assert_int_equal(json_string_length(json_object_get(json, "host")), 256 + 3);
  assert_int_equal(json_string_length(json_object_get(json, "steps")), 256 + 3);
  json_decref(json);
  free(bytes);
}

static void test_a_full_buffer_writes_itself_out(void **state) {
  (void)state;
  neap_access_log *log;
  size_t size, lines = 0;
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(neap_access_log_open(path, NEAP_ACCESS_JSON, &log, NULL), 0);
  for (int i = 0; i < 2000; i++) neap_access_log_add(log, &full);
  uint64_t lost = neap_access_log_lost(log); /* where this thread is faster than the disk */
  neap_access_log_close(&log);
  char *text = contents(path, &size);
  for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
  assert_int_equal(lines + lost, 2000);
  assert_true(lines > 300);
  free(text);
}

static void *close_log(void *user) {
  neap_access_log_close(user);
  return NULL;
}

static void test_a_pipe_nobody_reads_costs_lines_but_never_waits(void **state) {
  (void)state;
  neap_access_log *log;
  char fifo[80];
  snprintf(fifo, sizeof fifo, "%s.fifo", path);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  int reader = open(fifo, O_RDONLY | O_NONBLOCK);
  assert_int_equal(neap_access_log_open(fifo, NEAP_ACCESS_JSON, &log, NULL), 0);
  _Atomic uint64_t lost = 0;
  neap_access_log_count_lost(log, &lost);
  uint64_t added = 0;
  for (; neap_access_log_lost(log) == 0; added++) neap_access_log_add(log, &full); /* comes to an end */
  char *drained = malloc(1 << 20);
  ssize_t got, all = 0;
  fcntl(reader, F_SETFL, 0); /* from now on somebody reads */
  pthread_t closer;
  assert_int_equal(pthread_create(&closer, NULL, close_log, &log), 0);
  while ((got = read(reader, drained + all, (1 << 20) - (size_t)all)) > 0) all += got;
  pthread_join(closer, NULL);
  uint64_t lines = 0;
  for (ssize_t i = 0; i < all; i++) lines += drained[i] == '\n';
  assert_int_equal(lines + lost, added);
  assert_int_equal(lost, 1);
  free(drained);
  close(reader);
  unlink(fifo);
}

static void test_a_full_disk_costs_the_lines_written_meanwhile(void **state) {
  (void)state;
  neap_access_log *log;
  assert_int_equal(neap_access_log_open("/dev/full", NEAP_ACCESS_JSON, &log, NULL), 0);
  _Atomic uint64_t lost = 0;
  neap_access_log_count_lost(log, &lost);
  neap_access_log_add(log, &full);
  neap_access_log_add(log, &full);
  neap_access_log_close(&log);
  assert_int_equal(lost, 2);
}

/* Nobody reads and nobody will: closing gives up, and counts. */
static void test_closing_does_not_wait_for_ever(void **state) {
  (void)state;
  neap_access_log *log;
  char fifo[80];
  snprintf(fifo, sizeof fifo, "%s.fifo", path);
  assert_int_equal(mkfifo(fifo, 0600), 0);
  int reader = open(fifo, O_RDONLY | O_NONBLOCK);
  assert_int_equal(neap_access_log_open(fifo, NEAP_ACCESS_JSON, &log, NULL), 0);
  _Atomic uint64_t lost = 0;
  neap_access_log_count_lost(log, &lost);
  while (neap_access_log_lost(log) == 0) neap_access_log_add(log, &full);
  neap_access_log_close(&log);
  assert_true(lost > 1);
  close(reader);
  unlink(fifo);
}

static void test_combined_lines_are_what_others_read(void **state) {
  (void)state;
  neap_access_log *log;
  size_t size;
  neap_access_record line = full;
  line.id = (neap_view){"abc", 3};
  line.target = (neap_view){"/a\"b\n", 5};
  line.user_agent = (neap_view){"curl/8", 6};
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(neap_access_log_open(path, NEAP_ACCESS_COMBINED, &log, NULL), 0);
  neap_access_log_add(log, &line);
  neap_access_log_close(&log);
  char *text = contents(path, &size);
  assert_string_equal(text,
                      "127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] \"GET /a\\x22b\\x0a HTTP/1.1\" 200 5 \"-\" "
                      "\"curl/8\" abc 0.000812\n");
  free(text);
}

static void test_reopen_leaves_the_rotated_file_and_starts_a_new_one(void **state) {
  (void)state;
  neap_access_log *log;
  char rotated[80];
  size_t size;
  snprintf(rotated, sizeof rotated, "%s.1", path);
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(neap_access_log_open(path, NEAP_ACCESS_JSON, &log, NULL), 0);
  neap_access_log_add(log, &full);
  assert_int_equal(rename(path, rotated), 0);
  assert_int_equal(neap_access_log_reopen(log, NULL), 0);
  neap_access_log_close(&log);
  free(contents(rotated, &size));
  assert_true(size > 0);
  free(contents(path, &size));
  assert_int_equal(size, 0);
  unlink(rotated);
}

static void test_a_path_that_cannot_be_opened_is_named(void **state) {
  (void)state;
  neap_access_log *log;
  neap_err err;
  assert_int_equal(neap_access_log_open("/nonexistent/access.log", NEAP_ACCESS_JSON, &log, &err), NEAP_EIO);
  assert_string_equal(err.text,
                      "cannot open the access log /nonexistent/access.log: No such file or directory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_line_has_every_member),
      cmocka_unit_test(test_what_is_not_known_is_left_out),
      cmocka_unit_test(test_no_byte_breaks_the_line),
      cmocka_unit_test(test_utf8_stays_and_what_only_looks_like_it_is_replaced),
      cmocka_unit_test(test_long_texts_are_cut),
      cmocka_unit_test(test_a_full_buffer_writes_itself_out),
      cmocka_unit_test(test_a_pipe_nobody_reads_costs_lines_but_never_waits),
      cmocka_unit_test(test_a_full_disk_costs_the_lines_written_meanwhile),
      cmocka_unit_test(test_closing_does_not_wait_for_ever),
      cmocka_unit_test(test_combined_lines_are_what_others_read),
      cmocka_unit_test(test_reopen_leaves_the_rotated_file_and_starts_a_new_one),
      cmocka_unit_test(test_a_path_that_cannot_be_opened_is_named),
  };
  return cmocka_run_group_tests(tests, make_path, remove_path);
}
