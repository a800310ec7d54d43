#include "loopback.h"

#include "remote/remote.h"

/* A server thread answers what it is told to; the fetch runs on the loop of the test. */
typedef struct rig {
  neap_loop *loop;
  neap_fetcher *fetcher;
  int listening;
  uint16_t port;
  char url[64], head[4096]; /* the request that came */
  const char *answer;       /* NULL: none, the connection stays open */
  bool hold;                /* keep it open after the answer */
  pthread_t server;
  bool serving;
  int release[2]; /* the server ends when this is closed */
  int told;
  neap_fetch_end end;
  int status;
  uint64_t took_us;
  char body[4096], field[64];
  size_t body_size, field_count, pieces;
} rig;
static rig the;

static int set_up(void **state) {
  (void)state;
  the = (rig){0};
  the.listening = talk_listen(&the.port);
  snprintf(the.url, sizeof the.url, "http://127.0.0.1:%u/doc", the.port);
  return pipe(the.release) || neap_loop_create(&the.loop) || neap_fetcher_create(the.loop, &the.fetcher);
}

static int tear_down(void **state) {
  (void)state;
  close(the.release[1]);
  if (the.serving) pthread_join(the.server, NULL);
  close(the.release[0]);
  close(the.listening);
  neap_fetcher_destroy(&the.fetcher);
  neap_loop_destroy(&the.loop);
  return 0;
}

static void *serve(void *user) {
  (void)user;
  char byte;
  int fd = talk_accept(the.listening);
  talk_head(fd, the.head, sizeof the.head);
  if (the.answer) talk_send(fd, the.answer);
  if (the.hold || the.answer == NULL) (void)!read(the.release[0], &byte, 1);
  close(fd);
  return NULL;
}

static void serve_once(const char *answer) {
  the.answer = answer;
  the.serving = pthread_create(&the.server, NULL, serve, NULL) == 0;
  assert_true(the.serving);
}

static void on_done(void *user, const neap_fetch_reply *reply) {
  assert_ptr_equal(user, &the);
  the.told++;
  the.end = reply->end;
  the.status = reply->status;
  the.took_us = reply->took_us;
  the.field_count = reply->field_count;
  the.body_size = reply->body.size;
  assert_true(reply->body.size < sizeof the.body);
  memcpy(the.body, reply->body.ptr, reply->body.size);
  the.body[reply->body.size] = '\0';
  for (size_t i = 0; i < reply->field_count; i++)
    if (neap_view_is(reply->fields[i].name, "X-Note"))
      snprintf(the.field, sizeof the.field, "%.*s", (int)reply->fields[i].value.size,
               reply->fields[i].value.ptr);
  neap_loop_stop(the.loop);
}

static neap_fetch_request ask(void) {
  return (neap_fetch_request){
      .url = the.url, .timeout_ms = 5000, .body_max = 1024, .done = on_done, .user = &the, .fresh = true};
}

static void run(const neap_fetch_request *request) {
  assert_int_equal(neap_fetch_start(the.fetcher, request, NULL), 0);
  assert_int_equal(the.told, 0);
  neap_loop_run(the.loop);
  assert_int_equal(the.told, 1);
}

static void test_a_document_comes_with_status_fields_and_body(void **state) {
  (void)state;
  serve_once("HTTP/1.1 203 Well\r\nX-Note:  a note \r\nContent-Length: 5\r\n\r\nhello");
  neap_fetch_request request = ask();
  request.fields = (const char *[]){"Host: example.com", "X-Mine: 1", NULL};
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_DONE);
  assert_int_equal(the.status, 203);
  assert_string_equal(the.body, "hello");
  assert_string_equal(the.field, "a note");
  assert_int_equal(the.field_count, 2);
  assert_true(the.took_us > 0);
  assert_head_has(the.head, "GET /doc HTTP/1.1\r\n");
  assert_head_has(the.head, "Host: example.com\r\n");
  assert_head_has(the.head, "X-Mine: 1\r\n");
}

static void test_it_connects_where_it_is_told_to(void **state) {
  (void)state;
  char place[64];
  snprintf(place, sizeof place, "127.0.0.1:%u", the.port);
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  neap_fetch_request request = ask();
  request.url = "http://name.invalid/health";
  request.connect_to = place;
  run(&request);
  assert_int_equal(the.status, 200);
  assert_head_has(the.head, "Host: name.invalid\r\n");
}

static void test_a_long_body_is_cut(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlong body");
  neap_fetch_request request = ask();
  request.body_max = 4;
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_CUT);
  assert_int_equal(the.status, 200);
  assert_string_equal(the.body, "long");
}

static void test_nobody_listening_is_unreachable(void **state) {
  (void)state;
  uint16_t port;
  close(talk_listen(&port));
  snprintf(the.url, sizeof the.url, "http://127.0.0.1:%u/", port);
  neap_fetch_request request = ask();
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_UNREACHABLE);
  assert_int_equal(the.status, 0);
}

static void test_silence_is_late(void **state) {
  (void)state;
  serve_once(NULL);
  neap_fetch_request request = ask();
  request.timeout_ms = 50;
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_LATE);
}

/* A listener whose queue is full: connections hang. */
static void test_no_connection_in_time_is_unreachable(void **state) {
  (void)state;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), filling[4];
  assert_int_equal(bind(full, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(full, 0), 0);
  assert_int_equal(getsockname(full, (struct sockaddr *)&address, &size), 0);
  for (int i = 0; i < 4; i++) {
    filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)!connect(filling[i], (struct sockaddr *)&address, sizeof address);
  }
  snprintf(the.url, sizeof the.url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
  neap_fetch_request request = ask();
  request.timeout_ms = 100;
  run(&request);
  for (int i = 0; i < 4; i++) close(filling[i]);
  close(full);
  assert_int_equal(the.end, NEAP_FETCH_UNREACHABLE);
}

static void test_what_is_no_response_is_broken(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
  neap_fetch_request request = ask();
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_BROKEN);
}

static void test_an_endless_head_is_bounded(void **state) {
  (void)state;
  static char answer[80000];
  char *end = answer + sprintf(answer, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 2000; i++) end += sprintf(end, "X-%d: %020d\r\n", i, i);
  strcpy(end, "Content-Length: 0\r\n\r\n");
  serve_once(answer);
  neap_fetch_request request = ask();
  run(&request);
  assert_in_range(the.field_count, 0, NEAP_FETCH_FIELDS_MAX);
}

static bool on_piece(void *user, neap_view bytes) {
  assert_ptr_equal(user, &the);
  the.pieces += bytes.size;
  return the.pieces < 6;
}

static void test_a_stream_is_told_in_pieces_until_refused(void **state) {
  (void)state;
  the.hold = true;
  serve_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n");
  neap_fetch_request request = ask();
  request.piece = on_piece;
  request.body = NEAP_BYTES("{}");
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_CUT);
  assert_int_equal(the.pieces, 7);
  assert_head_has(the.head, "POST /doc HTTP/1.1\r\n");
}

static void test_a_bad_url_is_told(void **state) {
  (void)state;
  neap_fetch_request request = ask();
  request.url = "file:///etc/passwd";
  run(&request);
  assert_int_equal(the.end, NEAP_FETCH_BROKEN);
  assert_int_equal(the.body_size, 0);
}

static void stop(neap_timer *timer) {
  (void)timer;
  neap_loop_stop(the.loop);
}

static void test_a_cancelled_fetch_tells_nothing(void **state) {
  (void)state;
  serve_once(NULL);
  neap_fetch_request request = ask();
  neap_fetch *fetch, *left;
  assert_int_equal(neap_fetch_start(the.fetcher, &request, &fetch), 0);
  neap_timer limit;
  neap_timer_init(&limit, stop);
  neap_timer_set(the.loop, &limit, 50);
  neap_loop_run(the.loop);
  neap_fetch_cancel(&fetch);
  assert_null(fetch);
  assert_int_equal(neap_fetch_start(the.fetcher, &request, &left), 0); /* destroyed with the fetcher */
  assert_int_equal(the.told, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_a_document_comes_with_status_fields_and_body),
      TEST(test_it_connects_where_it_is_told_to),
      TEST(test_a_long_body_is_cut),
      TEST(test_nobody_listening_is_unreachable),
      TEST(test_silence_is_late),
      TEST(test_no_connection_in_time_is_unreachable),
      TEST(test_what_is_no_response_is_broken),
      TEST(test_an_endless_head_is_bounded),
      TEST(test_a_stream_is_told_in_pieces_until_refused),
      TEST(test_a_bad_url_is_told),
      TEST(test_a_cancelled_fetch_tells_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
