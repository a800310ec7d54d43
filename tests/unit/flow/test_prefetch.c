/* Prefetches on a worker: what they ask backends for, what becomes of them, and what the feed tells. */
#include <semaphore.h>
#include <time.h>

#include "conversation.h"

typedef struct told {
  neap_feed_kind kind;
  char host[64], target[256], encoding[64], key[256], page[64];
  uint64_t size;
  bool has_stored;
  neap_prefetch_order *order;
} told;

typedef struct rig {
  gate *g;
  neap_feed feed;
  sem_t woken;
  told list[64];
  size_t count, next, ended;
  uint64_t join_ms; /* set before begin; 0: long */
} rig;

static void wake(neap_feed *feed) {
  sem_post(&((rig *)feed->user)->woken);
}

static void begin_refreshing(rig *r, int backends, uint16_t refresh) {
  uint64_t join_ms = r->join_ms;
  memset(r, 0, sizeof *r);
  r->join_ms = join_ms;
  sem_init(&r->woken, 0, 0);
  neap_feed_init(&r->feed, wake, r);
  r->g = gate_new(backends);
  gate_use_cache(r->g, 4 << 20);
  r->g->rules[0].prefetch = NEAP_FLOW_PREFETCH | NEAP_FLOW_PREFETCH_LINKS;
  r->g->rules[0].refresh = refresh;
  r->g->flow.feed = &r->feed;
  r->g->flow.join_ms = r->join_ms ? r->join_ms : 60000;
  gate_start(r->g);
}

static void begin(rig *r, int backends) {
  begin_refreshing(r, backends, 0);
}

static void end(rig *r) {
  gate_end(r->g);
  neap_feed_fini(&r->feed);
  sem_destroy(&r->woken);
}

#define COPY(name) snprintf(one->name, sizeof one->name, "%.*s", (int)record->name.size, record->name.ptr)
static void on_record(void *user, const neap_feed_record *record) {
  rig *r = user;
  if (record->kind == NEAP_FEED_ENDED) {
    assert_true(record->target.size > 0 && record->host.size > 0);
    r->ended++;
    return;
  }
  assert_true(r->count < NEAP_COUNT_OF(r->list));
  told *one = &r->list[r->count++];
  *one = (told){.kind = record->kind, .size = record->size, .order = record->order};
  COPY(host), COPY(target), COPY(encoding), COPY(key), COPY(page);
  one->has_stored = record->stored.size > 0;
}

/* The next record; waits for it. */
static const told *hear(rig *r) {
  while (r->next == r->count) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TALK_S;
    if (sem_timedwait(&r->woken, &until)) fail_msg("nothing is told");
    neap_feed_take(&r->feed, on_record, r);
  }
  return &r->list[r->next++];
}

static const told *hear_of(rig *r, neap_feed_kind kind, const char *target) {
  const told *one = hear(r);
  assert_int_equal(one->kind, kind);
  assert_string_equal(one->target, target);
  return one;
}

static void hear_nothing(rig *r) {
  neap_feed_take(&r->feed, on_record, r);
  assert_int_equal(r->next, r->count);
}

static void on_order(neap_task *task) {
  neap_prefetch_order *order = NEAP_CONTAINER_OF(task, neap_prefetch_order, task);
  neap_flow_prefetch(order->flow, order);
}

static neap_prefetch_order *make_order(rig *r, const char *target, uint64_t most) {
  neap_prefetch_order *order =
      neap_prefetch_order_create(NEAP_BYTES("a"), neap_view_of(target), NEAP_BYTES("gzip"));
  assert_non_null(order);
  order->flow = &r->g->flow;
  order->most_bytes = most;
  order->task.run = on_order;
  return order;
}

static void send_order(rig *r, neap_prefetch_order *order) {
  neap_loop_post(r->g->loop, &order->task);
}

static neap_prefetch_order *prefetch_most(rig *r, const char *target, uint64_t most) {
  neap_prefetch_order *order = make_order(r, target, most);
  send_order(r, order);
  return order;
}

static neap_prefetch_order *prefetch(rig *r, const char *target) {
  return prefetch_most(r, target, 1 << 20);
}

/* How it ended. */
static const told *ended(rig *r, neap_prefetch_order *order, neap_feed_kind kind) {
  const told *one = hear(r);
  assert_int_equal(one->kind, kind);
  assert_ptr_equal(one->order, order);
  free(order);
  return one;
}

static void test_what_is_prefetched_is_a_hit(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a?b");
  int backend = talk_accept(r.g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  assert_head_has(head, "GET /a?b HTTP/1.1\r\n");
  assert_head_has(head, "Sec-Purpose: prefetch\r\n");
  assert_head_has(head, "Accept-Encoding: gzip\r\n");
  assert_head_has(head, "Host: a\r\n");
  assert_head_lacks(head, "Cookie");
  assert_head_lacks(head, "X-Forwarded-For");
  talk_send(backend, FRESH(5, "hello"));
  assert_true(ended(&r, order, NEAP_FEED_LANDED)->size > 5);
  int client = talk_connect(r.g->port);
  for (int i = 0; i < 2; i++) {
    get(client, "/a?b", "");
    expect_status(client, "200");
    assert_head_has(head, "Cache-Status: neap; hit\r\n");
    talk_expect(client, "hello");
  }
  const told *used = hear_of(&r, NEAP_FEED_USED, "/a?b");
  assert_true(used->size > 5);
  hear_nothing(&r); /* the second was a hit as any other */
  order = prefetch(&r, "/a?b");
  ended(&r, order, NEAP_FEED_HELD);
  close(client);
  close(backend);
  end(&r);
}

static void test_misses_are_told_with_what_is_needed_to_ask_again(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  int client = talk_connect(r.g->port);
  get(client, "/a?b", "Accept-Encoding: br\r\n");
  int backend = accept_and_serve(r.g, 0, EMPTY);
  expect_status(client, "200");
  const told *missed = hear_of(&r, NEAP_FEED_MISS, "/a?b");
  assert_string_equal(missed->host, "a");
  assert_string_equal(missed->encoding, "br");
  get(client, "/secret", "Authorization: Basic eDp5\r\n"); /* nobody could ask for it again */
  serve(backend, EMPTY);
  expect_status(client, "200");
  talk_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  serve(backend, EMPTY);
  expect_status(client, "200");
  hear_nothing(&r);
  assert_int_equal(r.ended, 1);
  close(client);
  close(backend);
  end(&r);
}

static void test_links_of_stored_responses_are_told(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  int client = talk_connect(r.g->port);
  get(client, "/page/1", "");
  int backend = accept_and_serve(
      r.g, 0,
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n"
      "Link: </a.css>; rel=preload, <javascript:alert(1)>; rel=preload, <//elsewhere/x>; rel=preload\r\n"
      "Link: <2>; rel=\"next\", <1>; rel=next, </b>; rel=stylesheet\r\n\r\n");
  expect_status(client, "200");
  hear_of(&r, NEAP_FEED_MISS, "/page/1");
  const told *link = hear_of(&r, NEAP_FEED_LINK, "/a.css");
  assert_string_equal(link->page, "/page/1");
  hear_of(&r, NEAP_FEED_LINK, "/page/2");
  get(client, "/unstored", "");
  serve(backend,
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\nLink: </x>; rel=next\r\n\r\n");
  expect_status(client, "200");
  hear_of(&r, NEAP_FEED_MISS, "/unstored");
  hear_nothing(&r);
  close(client);
  close(backend);
  end(&r);
}

static void test_links_of_a_prefetch_are_told_when_it_is_used(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/page/2");
  int backend = accept_and_serve(r.g, 0,
                                 "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n"
                                 "Link: </page/3>; rel=next\r\n\r\n");
  ended(&r, order, NEAP_FEED_LANDED);
  hear_nothing(&r);
  int client = talk_connect(r.g->port);
  get(client, "/page/2", "");
  expect_status(client, "200");
  hear_of(&r, NEAP_FEED_USED, "/page/2");
  hear_of(&r, NEAP_FEED_LINK, "/page/3");
  close(client);
  close(backend);
  end(&r);
}

static void expect_hit(int client, const char *target, const char *fields, const char *body) {
  get(client, target, fields);
  expect_status(client, "200");
  assert_head_has(head, "Cache-Status: neap; hit\r\n");
  talk_expect(client, body);
}

static void test_what_ages_in_use_is_told_once_and_fetched_anew(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin_refreshing(&r, 1, 1024); /* its whole life long */
  int client = talk_connect(r.g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(r.g, 0, FRESH(5, "first"));
  expect_status(client, "200");
  talk_expect(client, "first");
  hear_of(&r, NEAP_FEED_MISS, "/a");
  expect_hit(client, "/a", "", "first");
  hear_of(&r, NEAP_FEED_AGING, "/a");
  expect_hit(client, "/a", "", "first");
  hear_nothing(&r);
  neap_prefetch_order *order = make_order(&r, "/a", 1 << 20);
  order->refresh = true;
  send_order(&r, order);
  talk_head(backend, head, sizeof head);
  assert_head_has(head, "Sec-Purpose: prefetch\r\n");
  expect_hit(client, "/a", "", "first"); /* meanwhile */
  talk_send(backend, FRESH(5, "again"));
  ended(&r, order, NEAP_FEED_LANDED);
  expect_hit(client, "/a", "", "again");
  hear_of(&r, NEAP_FEED_AGING, "/a"); /* another entry */
  close(client);
  close(backend);
  end(&r);
}

static void test_what_is_young_is_not_told_of(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin_refreshing(&r, 1, 512); /* the last half of a minute */
  int client = talk_connect(r.g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(r.g, 0, FRESH(5, "hello"));
  expect_status(client, "200");
  talk_expect(client, "hello");
  hear_of(&r, NEAP_FEED_MISS, "/a");
  expect_hit(client, "/a", "", "hello");
  hear_nothing(&r);
  get(client, "/b", "");
  serve(backend, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nAge: 31\r\nContent-Length: 3\r\n\r\nold");
  expect_status(client, "200");
  talk_expect(client, "old");
  hear_of(&r, NEAP_FEED_MISS, "/b");
  expect_hit(client, "/b", "", "old");
  hear_of(&r, NEAP_FEED_AGING, "/b");
  close(client);
  close(backend);
  end(&r);
}

static void test_of_variants_those_by_encoding_alone_are_refreshed(void **state) {
  (void)state;
  static const char *const fields[] = {"Accept-Encoding", "Accept-Language"};
  rig r = {.join_ms = 0};
  begin_refreshing(&r, 1, 1024);
  int client = talk_connect(r.g->port), backend = -1;
  for (int i = 0; i < 2; i++) {
    char target[8], request[64], response[256];
    snprintf(target, sizeof target, "/%c", 'a' + i);
    snprintf(request, sizeof request, "%s: x\r\n", fields[i]);
    snprintf(response, sizeof response,
             "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: %s\r\nContent-Length: 1\r\n\r\nx",
             fields[i]);
    get(client, target, request);
    if (backend < 0) backend = talk_accept(r.g->backend_sockets[0]);
    serve(backend, response);
    expect_status(client, "200");
    talk_expect(client, "x");
    hear_of(&r, NEAP_FEED_MISS, target);
    expect_hit(client, target, request, "x");
    if (i == 0) hear_of(&r, NEAP_FEED_AGING, target);
    hear_nothing(&r);
  }
  close(client);
  close(backend);
  end(&r);
}

static void test_a_few_links_of_many_are_told(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  int client = talk_connect(r.g->port);
  get(client, "/", "");
  char response[16384];
  size_t size =
      (size_t)snprintf(response, sizeof response,
                       "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\nLink: ");
  for (int i = 0; i < 600; i++)
    size += (size_t)snprintf(response + size, sizeof response - size, "</%d>; rel=next,", i);
  snprintf(response + size, sizeof response - size, "\r\n\r\n");
  int backend = accept_and_serve(r.g, 0, response);
  expect_status(client, "200");
  hear_of(&r, NEAP_FEED_MISS, "/");
  for (int i = 0; i < 16; i++) {
    char target[16];
    snprintf(target, sizeof target, "/%d", i);
    hear_of(&r, NEAP_FEED_LINK, target);
  }
  hear_nothing(&r);
  close(client);
  close(backend);
  end(&r);
}

static void test_what_is_not_to_be_stored_is_not_read_to_its_end(void **state) {
  (void)state;
  static const char *const heads[] = {
      "HTTP/1.1 200 OK\r\nCache-Control: private, max-age=60\r\nContent-Length: 1000\r\n\r\n",
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\n", /* too large */
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"};
  rig r = {.join_ms = 0};
  begin(&r, 1);
  char body[1000];
  memset(body, 'x', sizeof body);
  for (size_t i = 0; i < NEAP_COUNT_OF(heads); i++) {
    neap_prefetch_order *order = prefetch_most(&r, "/a", 500);
    int backend = accept_and_serve(r.g, 0, heads[i]);
    if (i == 2) talk_send_bytes(backend, body, sizeof body);
    ended(&r, order, NEAP_FEED_FAILED);
    talk_expect_end(backend, true);
    close(backend);
  }
  end(&r);
}

static void test_a_prefetch_is_tried_once(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a");
  int backend = talk_accept(r.g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  close(backend);
  ended(&r, order, NEAP_FEED_FAILED);
  end(&r);
}

static void test_a_pool_in_trouble_is_left_alone(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 2);
  for (int i = 0; i < 2; i++) { /* nobody can be reached any more */
    close(r.g->backend_sockets[i]);
    r.g->backend_sockets[i] = -1;
  }
  neap_prefetch_order *order = prefetch(&r, "/a"); /* tried once: one of them is found to be down */
  ended(&r, order, NEAP_FEED_FAILED);
  int client = talk_connect(r.g->port);
  get(client, "/b", "");
  expect_status(client, "502"); /* the other, too */
  hear_of(&r, NEAP_FEED_MISS, "/b");
  neap_backend_info before, after;
  neap_backend_info_get(r.g->members[0].backend, 0, 0, &before);
  order = prefetch(&r, "/a");
  ended(&r, order, NEAP_FEED_FAILED);
  neap_backend_info_get(r.g->members[0].backend, 0, 0, &after);
  assert_int_equal(before.requests, after.requests);
  close(client);
  end(&r);
}

static void test_who_asks_meanwhile_waits_for_it(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a");
  int backend = talk_accept(r.g->backend_sockets[0]), clients[3];
  talk_head(backend, head, sizeof head);
  for (int i = 0; i < 3; i++) {
    clients[i] = talk_connect(r.g->port);
    get(clients[i], "/a", "");
    hear_of(&r, NEAP_FEED_MISS, "/a");
  }
  close(clients[1]); /* does not wait any longer */
  talk_send(backend, FRESH(5, "hello"));
  for (int i = 0; i < 3; i += 2) {
    expect_status(clients[i], "200");
    assert_head_has(head, "Cache-Status: neap; hit\r\n");
    talk_expect(clients[i], "hello");
    close(clients[i]);
  }
  ended(&r, order, NEAP_FEED_LANDED);
  hear_nothing(&r); /* that they came was told */
  close(backend);
  end(&r);
}

static void test_who_waits_for_what_fails_asks_for_itself(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a");
  int backend = talk_accept(r.g->backend_sockets[0]), client = talk_connect(r.g->port);
  talk_head(backend, head, sizeof head);
  get(client, "/a", "");
  hear_of(&r, NEAP_FEED_MISS, "/a");
  talk_send(backend, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello");
  ended(&r, order, NEAP_FEED_FAILED);
  int other = talk_accept(r.g->backend_sockets[0]);
  talk_head(other, head, sizeof head);
  assert_head_lacks(head, "Sec-Purpose");
  talk_send(other, FRESH(5, "there"));
  expect_status(client, "200");
  talk_expect(client, "there");
  hear_nothing(&r);
  close(client), close(backend), close(other);
  end(&r);
}

static void test_nobody_waits_long_for_a_slow_prefetch(void **state) {
  (void)state;
  rig r = {.join_ms = 50};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a");
  int backend = talk_accept(r.g->backend_sockets[0]), client = talk_connect(r.g->port);
  talk_head(backend, head, sizeof head);
  get(client, "/a", "");
  int other = accept_and_serve(r.g, 0, FRESH(5, "there")); /* long before the backend's time is over */
  expect_status(client, "200");
  talk_expect(client, "there");
  hear_of(&r, NEAP_FEED_MISS, "/a");
  talk_send(backend, FRESH(5, "hello"));
  ended(&r, order, NEAP_FEED_LANDED); /* it replaces what is there */
  close(client), close(backend), close(other);
  end(&r);
}

typedef struct stopper {
  neap_task task;
  neap_flow *flow;
} stopper;

static void on_stopper(neap_task *task) {
  neap_flow_drop_mirrors(NEAP_CONTAINER_OF(task, stopper, task)->flow);
}

static void test_the_end_of_the_worker_ends_prefetches(void **state) {
  (void)state;
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order = prefetch(&r, "/a");
  int backend = talk_accept(r.g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  stopper stop = {{.run = on_stopper}, &r.g->flow};
  neap_loop_post(r.g->loop, &stop.task);
  ended(&r, order, NEAP_FEED_FAILED);
  close(backend);
  end(&r);
}

static void test_what_is_no_request_is_not_sent(void **state) {
  (void)state;
  assert_null(neap_prefetch_order_create(NEAP_BYTES("a"), NEAP_BYTES("/a\r\nX: y"), NEAP_BYTES("")));
  assert_null(neap_prefetch_order_create(NEAP_BYTES("a"), NEAP_BYTES("/a b"), NEAP_BYTES("")));
  assert_null(neap_prefetch_order_create(NEAP_BYTES("a"), NEAP_BYTES("a"), NEAP_BYTES("")));
  assert_null(neap_prefetch_order_create(NEAP_BYTES(""), NEAP_BYTES("/a"), NEAP_BYTES("")));
  assert_null(neap_prefetch_order_create(NEAP_BYTES("a\nb"), NEAP_BYTES("/a"), NEAP_BYTES("")));
  rig r = {.join_ms = 0};
  begin(&r, 1);
  neap_prefetch_order *order =
      neap_prefetch_order_create(NEAP_BYTES("a b"), NEAP_BYTES("/a"), NEAP_BYTES(""));
  assert_non_null(order);
  order->flow = &r.g->flow;
  order->task.run = on_order;
  neap_loop_post(r.g->loop, &order->task);
  ended(&r, order, NEAP_FEED_FAILED);
  end(&r);
}

/* --- the feed */

static void no_wake(neap_feed *feed) {
  ++*(int *)feed->user;
}

static void on_any(void *user, const neap_feed_record *record) {
  (void)record;
  ++*(size_t *)user;
}

static void test_the_feed_is_bounded_and_ends_are_told_all_the_same(void **state) {
  (void)state;
  neap_feed feed;
  int wakes = 0;
  size_t seen = 0;
  neap_feed_init(&feed, no_wake, &wakes);
  char text[NEAP_FEED_TEXT_MAX + 1];
  memset(text, 'x', sizeof text);
  neap_feed_record record = {.kind = NEAP_FEED_MISS, .target = {text, NEAP_FEED_TEXT_MAX}};
  for (int i = 0; i < 100; i++) neap_feed_add(&feed, &record);
  uint64_t lost = atomic_load(&feed.lost);
  assert_true(lost > 60 && lost < 75);
  record.kind = NEAP_FEED_LANDED;
  for (int i = 0; i < 100; i++) neap_feed_add(&feed, &record);
  assert_int_equal(atomic_load(&feed.lost), lost);
  assert_int_equal(wakes, 1);
  assert_int_equal(neap_feed_take(&feed, on_any, &seen), 200 - lost);
  assert_int_equal(seen, 200 - lost);
  record = (neap_feed_record){.kind = NEAP_FEED_MISS, .target = {text, sizeof text}};
  neap_feed_add(&feed, &record);
  assert_int_equal(atomic_load(&feed.lost), lost + 1);
  assert_int_equal(neap_feed_take(&feed, on_any, &seen), 0);
  record.target.size = 1;
  neap_feed_add(&feed, &record);
  assert_int_equal(wakes, 2);
  neap_feed_fini(&feed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_prefetched_is_a_hit),
      cmocka_unit_test(test_misses_are_told_with_what_is_needed_to_ask_again),
      cmocka_unit_test(test_links_of_stored_responses_are_told),
      cmocka_unit_test(test_links_of_a_prefetch_are_told_when_it_is_used),
      cmocka_unit_test(test_what_ages_in_use_is_told_once_and_fetched_anew),
      cmocka_unit_test(test_what_is_young_is_not_told_of),
      cmocka_unit_test(test_of_variants_those_by_encoding_alone_are_refreshed),
      cmocka_unit_test(test_a_few_links_of_many_are_told),
      cmocka_unit_test(test_what_is_not_to_be_stored_is_not_read_to_its_end),
      cmocka_unit_test(test_a_prefetch_is_tried_once),
      cmocka_unit_test(test_a_pool_in_trouble_is_left_alone),
      cmocka_unit_test(test_who_asks_meanwhile_waits_for_it),
      cmocka_unit_test(test_who_waits_for_what_fails_asks_for_itself),
      cmocka_unit_test(test_nobody_waits_long_for_a_slow_prefetch),
      cmocka_unit_test(test_the_end_of_the_worker_ends_prefetches),
      cmocka_unit_test(test_what_is_no_request_is_not_sent),
      cmocka_unit_test(test_the_feed_is_bounded_and_ends_are_told_all_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
