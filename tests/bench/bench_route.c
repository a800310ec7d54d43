/* What a look-up in a table of 1,000 routes costs: 900 paths without a host, 100 hosts with a path each.
 * Usage: bench_route [SECONDS [KIND]]. Prints nanoseconds per look-up for each kind of request, or for one (0
 * to 3). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "http/http.h"
#include "loop/loop.h"
#include "route/route.h"

enum { PATHS = 900, HOSTS = 100, REQUESTS = 1024 };

static const char *const AREAS[] = {"users", "orders", "items", "search", "carts",
                                    "stock", "prices", "media", "events"};

static neap_match matches[PATHS + HOSTS];
static char paths[PATHS + HOSTS][64], hosts[HOSTS][32];
static neap_request_board requests[REQUESTS];
static char targets[REQUESTS][96], names[REQUESTS][48];

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

static neap_routes *make_table(void) {
  const neap_match *pointers[PATHS + HOSTS];
  for (int i = 0; i < PATHS + HOSTS; i++) {
    snprintf(paths[i], sizeof paths[i], "/api/v%d/%s/%d/", i % 4, AREAS[i % 9], i);
    matches[i] = (neap_match){.path = paths[i], .path_how = NEAP_PATH_PREFIX};
    if (i >= PATHS) {
      snprintf(hosts[i - PATHS], sizeof hosts[0], "shop%d.example.com", i - PATHS);
      matches[i].host = hosts[i - PATHS];
    }
    pointers[i] = &matches[i];
  }
  neap_routes *routes;
  if (neap_routes_create(pointers, PATHS + HOSTS, &routes)) abort();
  return routes;
}

/* Requests spread over rules [low, high), in an order that no predictor knows. */
static void make_requests(int low, int high, const char *other_host) {
  uint32_t seed = 1;
  for (int i = 0; i < REQUESTS; i++) {
    seed = seed * 1664525u + 1013904223u;
    int rule = low + (int)(seed >> 8) % (high - low);
    snprintf(targets[i], sizeof targets[i], "%slist/page-%d", paths[rule], i);
    snprintf(names[i], sizeof names[i], "%s", rule >= PATHS ? hosts[rule - PATHS] : other_host);
    char *letter = strchr(names[i], 'X');
    if (letter) *letter = (char)('a' + i % 26);
    requests[i] = (neap_request_board){.method = slice_of("GET"), .host = slice_of(names[i])};
    requests[i].target = requests[i].path = slice_of(targets[i]);
  }
}

static void measure(const neap_routes *routes, const char *what, int low, int high, const char *other_host,
                    double seconds) {
  make_requests(low, high, other_host);
  uint64_t begin = neap_clock_thread_cpu_ns(NULL), spent, count = 0, found = 0;
  do {
    for (int i = 0; i < REQUESTS; i++, count++) {
      neap_route_walk walk;
      neap_routes_find(routes, &requests[i], &walk);
      found += neap_routes_next(&walk) >= 0;
    }
    spent = neap_clock_thread_cpu_ns(NULL) - begin;
  } while ((double)spent < seconds * 1e9);
  printf("%-30s %6.1f ns per look-up, %.0f %% found\n", what, (double)spent / (double)count,
         100.0 * (double)found / (double)count);
}

/* What the gateway pays beside a look-up: are host and path spelt as they are compared? Nearly all are. */
static void measure_spelling(double seconds) {
  make_requests(0, PATHS, "shopX.example.com");
  uint64_t begin = neap_clock_thread_cpu_ns(NULL), spent, count = 0, odd = 0;
  do {
    for (int i = 0; i < REQUESTS; i++, count++) {
      const neap_slice *path = &requests[i].path, *host = &requests[i].host;
      odd += neap_http_path_is_odd((neap_http_slice){path->ptr, path->size, 0});
      odd += !neap_host_is_lower(host->ptr, (size_t)host->size);
    }
    spent = neap_clock_thread_cpu_ns(NULL) - begin;
  } while ((double)spent < seconds * 1e9);
  printf("%-30s %6.1f ns, %.0f %% odd\n", "looks at host and path", (double)spent / (double)count,
         100.0 * (double)odd / (double)count);
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 0.5;
  neap_routes *routes = make_table();
  printf("%d routes\n", PATHS + HOSTS);
  static const struct {
    const char *what, *other_host;
    int low, high;
  } kinds[] = {{"by path", "www.example.com", 0, PATHS},
               {"by path, host to be looked up", "shopX.example.com", 0, PATHS},
               {"by path, always the same rule", "www.example.com", 5, 6},
               {"by host and path", "", PATHS, PATHS + HOSTS}};
  for (int i = 0; i < 4; i++)
    if (argc <= 2 || atoi(argv[2]) == i)
      measure(routes, kinds[i].what, kinds[i].low, kinds[i].high, kinds[i].other_host, seconds);
  if (argc <= 2 || atoi(argv[2]) == 4) measure_spelling(seconds);
  neap_routes_destroy(&routes);
  return 0;
}
