/* A new generation is tried before it serves: every predicate, action and pick is asked about sample requests
 * that its route could get, with fields missing, empty, odd and long. What fails on one of them would fail on
 * a client's.
 *
 * It is done in a part of its own, which no worker gets: what functions remember of it is gone afterwards. */
#include "server/dry_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 64, ASKS = 12000, ROUNDS_MAX = 250 };

#define TEN(text) text text text text text text text text text text
#define LONG      TEN(TEN(TEN("long")))

typedef struct sample {
  neap_request_board board;
  neap_header_row rows[ROWS_MAX];
  char path[512], query[1024], target[1600];
} sample;

/* What a kind of request has beside that which its route demands. */
typedef struct spice {
  const char *name, *client, *host, *query, *below; /* below: put behind a path that may go on */
  int32_t version_minor;
  bool hostile; /* what an action makes of it may be refused: that is what becomes of such a client */
  const char *headers[12][2]; /* ended by NULL */
} spice;

static const spice spices[] = {
    {"bare", "192.0.2.1", "", "", "", 1, false, {{NULL}}},
    {"usual",
     "2001:db8::1",
     "example.test",
     "id=42&page=2&q=a+b",
     "a/b.html",
     1,
     false,
     {{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"},
      {"Accept", "text/html,*/*;q=0.8"},
      {"Accept-Language", "de-CH, en;q=0.5"},
      {"Cookie", "session=abc123; theme=dark; group=b"},
      {"Authorization", "Basic dXNlcjpwYXNz"},
      {"X-Forwarded-For", "203.0.113.7, 198.51.100.2"},
      {"X-Request-Id", "7f3d2c10-0000-4000-8000-000000000001"},
      {"Content-Type", "application/json"},
      {"Content-Length", "17"}}},
    {"empty",
     "192.0.2.1",
     "example.test",
     "id=&=&&q",
     "",
     1,
     true,
     {{"User-Agent", ""},
      {"Cookie", ""},
      {"Authorization", ""},
      {"X-Forwarded-For", ""},
      {"Content-Type", ""}}},
    {"odd",
     "",
     "xn--bcher-kva.example",
     "%ff=%00&a=%zz&id=%",
     "%2e%2e//;a=b/%c3%28",
     0,
     true,
     {{"User-Agent", "\xff\xfe\x80"},
      {"Cookie", "=; ;;a=b=c; session=\xff; theme"},
      {"Authorization", "Bearer"},
      {"Content-Length", "99999999999999999999"},
      {"X-Forwarded-For", "unknown, ::1, \xff"},
      {"cookie", "session=second"}}},
    {"long",
     "192.0.2.1",
     "example.test",
     "id=-1e999",
     "0",
     1,
     true,
     {{"User-Agent", LONG}, {"Cookie", LONG}, {"Authorization", LONG}, {"X-Long", LONG}}},
};

/* --- making samples */

static neap_slice slice(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

static void add_header(sample *made, const char *name, const char *value) {
  if (made->board.header_count == ROWS_MAX) return;
  made->rows[made->board.header_count++] = (neap_header_row){.name = slice(name), .value = slice(value)};
}

/* The host that the route demands; "*.example.com" is met by "a.example.com". */
static neap_slice host_for(const neap_match *match, const spice *like) {
  if (match->host == NULL) return slice(like->host);
  return slice(match->host[0] == '*' ? match->host + 2 : match->host);
}

static void write_path(const neap_match *match, const spice *like, char *out, size_t size) {
  const char *path = match->path ? match->path : "/";
  bool goes_on = match->path_how != NEAP_PATH_EXACT && like->below[0];
  const char *slash = match->path_how == NEAP_PATH_BELOW ? "/" : "";
  snprintf(out, size, "%s%s%s", path, goes_on ? slash : "", goes_on ? like->below : "");
}

static void write_query(const neap_match *match, const spice *like, char *out, size_t size) {
  size_t used = 0;
  out[0] = '\0';
  for (size_t i = 0; i < match->query_count && used < size; i++)
    used += (size_t)snprintf(out + used, size - used, "%s%s=%s", i ? "&" : "", match->queries[i].name,
                             match->queries[i].value ? match->queries[i].value : "1");
  if (like->query[0] && used < size) snprintf(out + used, size - used, "%s%s", used ? "&" : "", like->query);
}

/* A request that the route's matchers take. */
static void make_sample(const neap_match *match, const spice *like, sample *out) {
  write_path(match, like, out->path, sizeof out->path);
  write_query(match, like, out->query, sizeof out->query);
  snprintf(out->target, sizeof out->target, "%s%s%s", out->path, out->query[0] ? "?" : "", out->query);
  out->board = (neap_request_board){.method = slice(match->method_count ? match->methods[0] : "GET"),
                                    .target = slice(out->target),
                                    .path = slice(out->path),
                                    .query = slice(out->query),
                                    .host = host_for(match, like),
                                    .client = slice(like->client),
                                    .version_minor = like->version_minor,
                                    .headers = out->rows};
  for (size_t i = 0; i < match->header_count; i++)
    add_header(out, match->headers[i].name, match->headers[i].value ? match->headers[i].value : "1");
  for (size_t i = 0; i < NEAP_COUNT_OF(like->headers) && like->headers[i][0]; i++)
    add_header(out, like->headers[i][0], like->headers[i][1]);
}

/* --- asking */

typedef struct dry_run {
  neap_loaded_part *part;
  const neap_config *config;
  uint32_t place;
  int rounds;
  sample sample;
  FILE *report;
  size_t faults;
} dry_run;

/* "file:line: text" becomes "file:line: error: text", with the request that shows it. */
static void tell_fault(dry_run *run, const char *fault, const char *what, const char *name,
                       const spice *like) {
  const char *text = strstr(fault, ": ");
  if (text == NULL) text = fault;
  fprintf(run->report, "%.*s: error:%s (dry run of the %s \"%s\", %s request)\n", (int)(text - fault), fault,
          text == fault ? fault : text + 1, what, name, like->name);
  run->faults++;
}

/* False: a function failed, or gave a value that is refused though nothing is wrong with the request. */
static bool ask_route(dry_run *run, int32_t route, bool hostile) {
  neap_generation *generation = &run->part->generation;
  const neap_act_board *decided;
  neap_table_enter(generation->readers, run->place);
  int code = generation->when(generation->when_user, route, &run->sample.board);
  if (code >= 0) code = generation->act(generation->when_user, route, &run->sample.board, &decided);
  neap_table_leave(generation->readers, run->place);
  return code >= 0 || (code == NEAP_EINVAL && hostile);
}

static void try_route(dry_run *run, int32_t route) {
  const neap_config_route *from = &run->config->routes[route];
  if (!from->match.conditional && from->actions == NULL) return;
  for (size_t i = 0; i < NEAP_COUNT_OF(spices); i++) {
    make_sample(&from->match, &spices[i], &run->sample);
    for (int round = 0; round < run->rounds; round++) {
      if (ask_route(run, route, spices[i].hostile)) continue;
      tell_fault(run, neap_worker_fault(run->part->vm), "route", from->name, &spices[i]);
      return;
    }
  }
}

static bool is_native(const neap_config_pool *pool) {
  return strncmp(pool->balance, "native:", 7) == 0;
}

/* The policy's guard answers for it; what it did wrong is in its counters. A pick that may not be taken is no
 * fault here: many a function leaves that to the guard. */
static bool pick(neap_pool *pool, const neap_request_board *board, uint64_t now_ms) {
  neap_policy_counters counters;
  int32_t tried[NEAP_TRIES_MAX];
  neap_pool_ask ask = {.request = board, .now_ms = now_ms, .tried = tried};
  while (ask.tried_count < 3) {
    int32_t member = neap_pool_pick(pool, &ask);
    if (member < 0) break;
    neap_pool_let_go(pool, member);
    tried[ask.tried_count++] = member;
  }
  neap_policy_counters_get(neap_pool_policy(pool), &counters);
  return counters.faults_error + counters.faults_fuel + counters.faults_memory == 0;
}

static void try_pool(dry_run *run, size_t index) {
  static const neap_match any = {.path_how = NEAP_PATH_ANY};
  neap_pool *pool = run->part->generation.pools[index];
  const neap_host *host = run->part->loaded->gateway->host;
  if (is_native(&run->config->pools[index])) return;
  for (size_t i = 0; i < NEAP_COUNT_OF(spices); i++) {
    make_sample(&any, &spices[i], &run->sample);
    for (int round = 0; round < run->rounds; round++) {
      if (pick(pool, &run->sample.board, host->now_ms(host->user))) continue;
      tell_fault(run, neap_policy_fault(neap_pool_policy(pool)), "pool", run->config->pools[index].name,
                 &spices[i]);
      return;
    }
  }
}

size_t neap_dry_run_subjects(const neap_config *config) {
  size_t count = 0;
  for (size_t i = 0; i < config->pool_count; i++) count += !is_native(&config->pools[i]);
  for (size_t i = 0; i < config->route_count; i++)
    count += config->routes[i].match.conditional || config->routes[i].actions;
  return count;
}

/* So many asks in all, whatever there is to be asked: a fault that shows after some time is worth the wait,
 * but not for a thousand routes. */
static int rounds_for(const neap_config *config) {
  size_t rounds = ASKS / (NEAP_COUNT_OF(spices) * (neap_dry_run_subjects(config) + 1));
  return (int)NEAP_MAX(1, NEAP_MIN(rounds, (size_t)ROUNDS_MAX));
}

static void append(char **report, char *more) {
  size_t old = *report ? strlen(*report) : 0, size = strlen(more);
  char *grown = realloc(*report, old + size + 1);
  if (grown) {
    memcpy(grown + old, more, size + 1);
    *report = grown;
  }
  free(more);
}

int neap_dry_run(neap_loaded_part *part, uint32_t place, char **report, neap_err *err) {
  char *text = NULL;
  size_t size;
  dry_run *run = calloc(1, sizeof *run);
  FILE *out = run ? open_memstream(&text, &size) : NULL;
  if (out == NULL) {
    free(run);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  const neap_config *config = part->loaded->config;
  *run =
      (dry_run){.part = part, .config = config, .place = place, .rounds = rounds_for(config), .report = out};
  for (size_t i = 0; i < config->route_count; i++) try_route(run, (int32_t)i);
  for (size_t i = 0; i < config->pool_count; i++) try_pool(run, i);
  size_t faults = run->faults;
  fclose(out);
  free(run);
  if (faults == 0) {
    free(text);
    return 0;
  }
  append(report, text);
  return neap_fail(err, NEAP_EPOLICY, "the dry run found %zu fault%s", faults, faults == 1 ? "" : "s");
}
