/* What the actions of routes cost that need no Lua, and what readers of a data table notice of its swaps.
 * Usage: bench_actions [SECONDS [ROWS]]. Prints nanoseconds of thread CPU time per call; then, for a table of
 * ROWS (1,000,000) that is read in batches of 64 while another thread builds and swaps it, the batches'
 * wall-clock percentiles beside those without swaps, in alternating rounds. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/random.h"
#include "loop/loop.h"
#include "route/route.h"

static neap_header_row headers[8];
static neap_request_board request;

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

static void make_request(void) {
  static const char *const names[] = {"Host",   "User-Agent", "Accept",        "Accept-Encoding",
                                      "Cookie", "X-Api-Key",  "Authorization", "Referer"};
  for (int i = 0; i < 8; i++)
    headers[i] = (neap_header_row){slice_of(names[i]), slice_of("some-ordinary-value")};
  headers[4].value = slice_of("session=abcdef; id=u7");
  headers[6].value = slice_of("Basic am9lOmdlaGVpbQ==");
  request = (neap_request_board){.method = slice_of("GET"),
                                 .path = slice_of("/api/v1/users/7"),
                                 .query = slice_of("utm_source=news&id=7&page=2"),
                                 .host = slice_of("www.example.com"),
                                 .client = slice_of("10.1.2.3"),
                                 .header_count = 8,
                                 .headers = headers};
}

/* --- single actions */

static volatile uint64_t sink;
static neap_limiter *limiter;
static neap_rows *networks;

static void draw(uint64_t i) {
  static const neap_part by[] = {{NEAP_PART_COOKIE, "id"}};
  sink += neap_parts_hash(&(neap_parts){by, 1}, &request, i);
}

static void limit(uint64_t i) {
  static const neap_part by[] = {{NEAP_PART_CLIENT, ""}};
  sink +=
      neap_limiter_take(limiter, neap_parts_hash(&(neap_parts){by, 1}, &request, i % 1000), 100, 10, i >> 10);
}

static void rewrite(uint64_t i) {
  static const neap_part parts[] = {{NEAP_PART_TEXT, "/v2"}, {NEAP_PART_REST, "/api"}};
  char out[64];
  (void)i;
  sink += (uint64_t)neap_parts_write(&(neap_parts){parts, 2}, NEAP_PARTS_PATH, &request, out, sizeof out);
}

static void filter(uint64_t i) {
  static const char *const names[] = {"utm_*", "fbclid"};
  const neap_key_rule rule = {.names = names, .name_count = 2, .query = NEAP_QUERY_DROP};
  char out[64];
  (void)i;
  sink += neap_query_filter(&rule, request.query, out);
}

static void credentials(uint64_t i) {
  static const neap_match_field users[] = {
      {"joe", "sha256:salt:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}};
  const neap_auth auth = {.scheme = NEAP_AUTH_BASIC, .users = users, .user_count = 1};
  char user[NEAP_AUTH_USER_MAX];
  bool given;
  (void)i;
  sink += neap_auth_check(&auth, NULL, &request, user, &given);
}

static void network(uint64_t i) {
  neap_slice value;
  (void)i;
  sink += neap_rows_get(networks, request.client, &value);
}

static void measure(const char *what, void (*once)(uint64_t i), double seconds) {
  uint64_t count = 0, begin = neap_clock_thread_cpu_ns(NULL), spent;
  do {
    for (int i = 0; i < 1000; i++) once(count + (uint64_t)i);
    count += 1000;
    spent = neap_clock_thread_cpu_ns(NULL) - begin;
  } while ((double)spent < seconds * 1e9);
  printf("%7.1f ns  %s\n", (double)spent / (double)count, what);
}

/* --- swaps */

enum { BATCH = 64, ROUNDS = 6 };

typedef struct stage {
  neap_table table;
  neap_table_readers readers;
  _Atomic bool over;
  size_t rows;
  uint64_t swaps, build_ns;
} stage;

static neap_rows *make_rows(size_t count) {
  char *text = malloc(count * 24), *at = text;
  if (text == NULL) abort();
  for (size_t i = 0; i < count; i++) at += sprintf(at, "key-%zu,%zu\n", i, i * 7);
  neap_rows *rows;
  if (neap_rows_parse(NEAP_TABLE_MAP, "rows", text, (size_t)(at - text), &rows, NULL)) abort();
  return rows;
}

static void *swap_on(void *user) {
  stage *s = user;
  setpriority(PRIO_PROCESS, 0, 10); /* as in the gateway */
  while (!atomic_load(&s->over)) {
    uint64_t begin = neap_clock_now_ns(NULL);
    neap_table_swap(&s->table, &s->readers, make_rows(s->rows));
    s->build_ns += neap_clock_now_ns(NULL) - begin;
    s->swaps++;
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

enum { MOST = 4 << 20 };

typedef struct times {
  uint32_t *wall, *cpu;
  size_t count;
} times;

static times make_times(void) {
  times made = {malloc(MOST * sizeof(uint32_t)), malloc(MOST * sizeof(uint32_t)), 0};
  if (made.wall == NULL || made.cpu == NULL) abort();
  return made;
}

/* Reads batches for a while; appends their times. */
static void read_on(stage *s, double seconds, times *to) {
  neap_random random = {.state = to->count + 1};
  uint64_t end = neap_clock_now_ns(NULL) + (uint64_t)(seconds * 1e9), begin;
  while ((begin = neap_clock_now_ns(NULL)) < end && to->count < MOST) {
    uint64_t cpu = neap_clock_thread_cpu_ns(NULL);
    for (int i = 0; i < BATCH; i++) { /* as many requests */
      char key[32];
      int size = snprintf(key, sizeof key, "key-%zu", (size_t)(neap_random_next(&random) % s->rows));
      neap_slice value;
      neap_table_enter(&s->readers, 0);
      if (!neap_rows_get(neap_table_rows(&s->table), (neap_slice){.ptr = key, .size = size}, &value)) abort();
      neap_table_leave(&s->readers, 0);
    }
    to->cpu[to->count] = (uint32_t)(neap_clock_thread_cpu_ns(NULL) - cpu);
    to->wall[to->count++] = (uint32_t)(neap_clock_now_ns(NULL) - begin);
  }
}

static void show_one(const char *what, const char *clock, uint32_t *list, size_t count) {
  qsort(list, count, sizeof *list, compare);
  printf("%s, %s: per request p50 %.0f ns, p99 %.0f ns, p99.9 %.0f ns\n", what, clock,
         list[count / 2] / (double)BATCH, list[count * 99 / 100] / (double)BATCH,
         list[count * 999 / 1000] / (double)BATCH);
}

static void show(const char *what, times *of) {
  show_one(what, "wall", of->wall, of->count);
  show_one(what, "CPU ", of->cpu, of->count);
  free(of->wall);
  free(of->cpu);
}

static void bench_swaps(double seconds, size_t rows) {
  stage *s = aligned_alloc(64, sizeof *s);
  times calm = make_times(), busy = make_times();
  if (s == NULL) abort();
  memset(s, 0, sizeof *s);
  s->rows = rows;
  atomic_store(&s->readers.epoch, 1);
  atomic_store(&s->table.rows, make_rows(rows));
  for (int round = 0; round < ROUNDS; round++) {
    pthread_t thread;
    read_on(s, seconds, &calm);
    atomic_store(&s->over, false);
    if (pthread_create(&thread, NULL, swap_on, s)) abort();
    read_on(s, seconds, &busy);
    atomic_store(&s->over, true);
    pthread_join(thread, NULL);
  }
  printf("%zu rows, %llu swaps, %.0f ms each to make, build, swap and free; batches of %d\n", rows,
         (unsigned long long)s->swaps, (double)s->build_ns / 1e6 / (double)(s->swaps ? s->swaps : 1), BATCH);
  show("without swaps", &calm);
  show("with swaps   ", &busy);
  neap_rows *last = atomic_load(&s->table.rows);
  neap_rows_destroy(&last);
  free(s);
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 0.5;
  size_t rows = argc > 2 ? (size_t)atol(argv[2]) : 1000000;
  make_request();
  char *text = strdup("10.0.0.0/8,a\n192.168.0.0/16,b\n172.16.0.0/12,c\n2001:db8::/32,d\n");
  if (neap_limiter_create(1, &limiter) ||
      neap_rows_parse(NEAP_TABLE_NETWORK, "networks", text, strlen(text), &networks, NULL))
    return 1;
  measure("split by a cookie", draw, seconds);
  measure("limit by client, 1,000 keys", limit, seconds);
  measure("rewrite = \"/v2{rest}\"", rewrite, seconds);
  measure("drop_query of a query of three", filter, seconds);
  measure("basic credentials, wrong", credentials, seconds);
  measure("client in a table of networks", network, seconds);
  bench_swaps(seconds, rows);
  neap_rows_destroy(&networks);
  neap_limiter_destroy(&limiter);
  return 0;
}
