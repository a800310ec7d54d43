/* A host program with its own connections asks Neap which backend gets the next request, and tells what
 * became of it. Here the backends are simulated: one is slow, one fails for a while, one is taken out and put
 * back. docs/embedding.md walks through it; `sh examples/embed/run` builds and runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <neap/balance.h>

enum { REQUESTS = 30000, TRIES = 3, UNDER_WAY = 24 };

static void die(const char *what, const neap_err *err) {
  fprintf(stderr, "balance: %s: %s\n", what, err->text);
  exit(1);
}

/* A request that is under way. */
typedef struct request {
  neap_pick pick;
  uint64_t sent_us, ends_us;
  int32_t status;
} request;

static uint64_t now_us = 1000000;
static uint64_t clock_ms(void *user) {
  (void)user;
  return now_us / 1000;
}

/* What a backend makes of a request: "b" works at half the speed, "c" fails in the second third of the run.
 */
static void serve(request *of, int number) {
  uint64_t work_us = 2000 + (uint64_t)(rand() % 2000);
  int broken = strcmp(of->pick.address, "c") == 0 && number > REQUESTS / 3 && number < 2 * REQUESTS / 3;
  of->sent_us = now_us;
  of->ends_us = now_us + (broken ? 100 : strcmp(of->pick.address, "b") == 0 ? 2 * work_us : work_us);
  of->status = broken ? 503 : 200;
}

static void finish(neap_balancer *balancer, request *of) {
  neap_pick_outcome outcome = {.status = of->status, .took_us = of->ends_us - of->sent_us};
  neap_balancer_done(balancer, &of->pick, &outcome);
  of->ends_us = 0;
}

/* The one that ends first. */
static request *next_end(request *requests) {
  request *first = &requests[0];
  for (int i = 1; i < UNDER_WAY; i++)
    if (requests[i].ends_us < first->ends_us) first = &requests[i];
  return first;
}

int main(int argc, char **argv) {
  const neap_host host = {.now_ms = clock_ms, .seed = 1};
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(&host, &engine, &err)) die("engine", &err);

  neap_balancer_options options;
  neap_balancer_options_init(&options);
  options.eject_time_ms = 100; /* of simulated time */
  options.policy = argc > 1 ? argv[1] : "least_connections";
  const neap_balancer_backend backends[] = {{.address = "a"}, {.address = "b"}, {.address = "c"}};
  neap_balancer *balancer;
  if (neap_balancer_create(engine, &options, backends, 3, &balancer, &err)) die(options.policy, &err);

  request requests[UNDER_WAY] = {0};
  int failed = 0;
  for (int i = 0; i < REQUESTS; i++) {
    request *free_one = next_end(requests);
    if (free_one->ends_us > 0) {
      now_us = free_one->ends_us > now_us ? free_one->ends_us : now_us;
      failed += free_one->status >= 500;
      finish(balancer, free_one);
    }
    if (i == REQUESTS / 4) neap_balancer_remove(balancer, "a");
    if (i == REQUESTS / 2) neap_balancer_add(balancer, &backends[0]);
    if (neap_balancer_pick(balancer, NULL, &free_one->pick)) die("nobody is there", &err);
    serve(free_one, i);
  }
  for (int i = 0; i < UNDER_WAY; i++) finish(balancer, &requests[i]);

  printf("%-8s %8s %9s %12s\n", "backend", "requests", "failures", "response_us");
  for (size_t i = 0; i < 3; i++) {
    neap_balancer_info info;
    if (neap_balancer_info_get(balancer, backends[i].address, &info)) continue;
    printf("%-8s %8llu %9llu %12.0f\n", backends[i].address, (unsigned long long)info.requests,
           (unsigned long long)info.failures, info.response_us);
  }
  printf("%d of %d failed\n", failed, REQUESTS);
  neap_balancer_destroy(&balancer);
  neap_engine_destroy(&engine);
  return 0;
}
