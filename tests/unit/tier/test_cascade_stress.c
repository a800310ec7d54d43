/* Threads that share a cascade, each with a port on a loop of its own: one lookup for all of them, answers
 * across threads, cancels and deadlines while answers are on their way. What each thread reads never goes
 * back. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/random.h"
#include "loop/loop.h"
#include "store/store.h"
#include "tier/tier.h"
#include "unit.h"

enum { THREADS = 3, KEYS = 16, OPERATIONS = 4000, UNDER_WAY = 8 };

/* The tier below: a version per key, which is the value as well. */
static struct {
  pthread_mutex_t lock;
  uint64_t versions[KEYS];
} below;
static neap_tiers *tiers;

typedef struct instance {
  neap_loop *loop;
  neap_tier_call *first, **last; /* to be answered, in order; linked by state */
  neap_timer timer;
  neap_random random;
} instance;

static int key_number(neap_view key) {
  return key.ptr[0] - 'a';
}

static void answer_one(instance *self, neap_tier_call *call) {
  char body[24];
  neap_tier_answer answer = {0};
  pthread_mutex_lock(&below.lock);
  uint64_t *version = &below.versions[key_number(call->key)];
  if (call->verb != NEAP_TIER_GET) ++*version;
  answer.object.version = *version;
  pthread_mutex_unlock(&below.lock);
  if (call->verb != NEAP_TIER_GET)
    neap_tiers_invalidate(tiers, call->key, answer.object.version); /* as a channel would */
  answer.object.ttl_ms = 1 + neap_random_below(&self->random, 50);
  answer.object.body = (neap_view){body, (size_t)snprintf(body, sizeof body, "%d", key_number(call->key))};
  if (neap_random_below(&self->random, 50) == 0) answer.code = NEAP_EIO;
  call->done(call, &answer);
}

static void on_timer(neap_timer *timer) {
  instance *self = NEAP_CONTAINER_OF(timer, instance, timer);
  for (int i = 0; i < 4 && self->first; i++) {
    neap_tier_call *call = self->first;
    self->first = call->state;
    if (self->first == NULL) self->last = &self->first;
    answer_one(self, call);
  }
  if (self->first) neap_timer_set(self->loop, &self->timer, 0);
}

static int start(void *user, neap_tier_call *call) {
  instance *self = user;
  call->state = NULL;
  *self->last = call;
  self->last = (neap_tier_call **)(void *)&call->state;
  neap_timer_set(self->loop, &self->timer, 0);
  return 0;
}

static void cancel(void *user, neap_tier_call *call) {
  instance *self = user;
  neap_tier_call **place = &self->first;
  while (*place != call) place = (neap_tier_call **)(void *)&(*place)->state;
  *place = call->state;
  if (*place == NULL) self->last = place;
}

static int open_instance(void *config, neap_tiers_port *port, void **out) {
  (void)config;
  instance *self = calloc(1, sizeof *self);
  self->loop = neap_tiers_port_ground(port)->loop;
  self->last = &self->first;
  self->random.state = (uintptr_t)self;
  neap_timer_init(&self->timer, on_timer);
  *out = self;
  return 0;
}

static void close_instance(void **out) {
  instance *self = *out;
  neap_timer_clear(&self->timer);
  free(self);
  *out = NULL;
}

static const neap_tier_vt slow = {.name = "slow",
                                  .gives_versions = true,
                                  .open = open_instance,
                                  .close = close_instance,
                                  .start = start,
                                  .cancel = cancel};

/* --- threads */

typedef struct client client;
typedef struct asked {
  client *of;
  neap_tier_op *op;
  bool busy;
  int key;
  uint64_t seen; /* before it was asked */
} asked;

struct client {
  pthread_t thread;
  neap_loop *loop;
  neap_tiers_port *port;
  neap_timer timer;
  neap_random random;
  int left, told, wrong;
  uint64_t seen[KEYS];
  asked asked[UNDER_WAY];
};

static void look(asked *it, const neap_tier_reply *reply) {
  client *of = it->of;
  of->told++;
  it->busy = false;
  it->op = NULL;
  if (reply->code || reply->stale) return;
  of->wrong += reply->version < it->seen;
  of->seen[it->key] = NEAP_MAX(of->seen[it->key], reply->version);
  neap_view body = neap_tier_value_piece(&reply->value, 0);
  char value[8];
  snprintf(value, sizeof value, "%.*s", (int)body.size, body.ptr);
  of->wrong += body.size > 0 && atoi(value) != it->key;
}

static void on_reply(void *user, neap_tier_reply *reply) {
  look(user, reply);
}

static void ask(asked *it) {
  client *of = it->of;
  char name[] = {'a', 0};
  neap_tier_reply reply = {0};
  *it = (asked){.of = of, .busy = true, .key = (int)neap_random_below(&of->random, KEYS)};
  it->seen = of->seen[it->key];
  name[0] = (char)('a' + it->key);
  char value[8];
  snprintf(value, sizeof value, "%d", it->key);
  uint64_t dice = neap_random_below(&of->random, 100);
  neap_view key = {name, 1};
  int code;
  if (dice < 10)
    code = neap_tiers_set(of->port, key, neap_view_of(value), NULL, on_reply, it, &reply, &it->op);
  else
    code = neap_tiers_get(of->port, key, &(neap_tier_get_options){.deadline_ms = dice % 3 ? 0 : 5}, on_reply,
                          it, &reply, &it->op);
  if (code == NEAP_EPENDING) return;
  look(it, &reply);
  neap_tier_reply_release(&reply);
}

static void on_turn(neap_timer *timer) {
  client *of = NEAP_CONTAINER_OF(timer, client, timer);
  bool busy = false;
  for (int i = 0; i < UNDER_WAY; i++) {
    asked *it = &of->asked[i];
    if (it->busy && neap_random_below(&of->random, 400) == 0) {
      neap_tier_cancel(&it->op);
      it->busy = false;
    }
    for (int n = 0; n < 20 && !it->busy && of->left > 0; n++, of->left--) ask(it);
    busy |= it->busy;
  }
  if (of->left > 0 || busy)
    neap_timer_set(of->loop, &of->timer, 0);
  else
    neap_loop_stop(of->loop);
}

static void *run(void *user) {
  client *of = user;
  neap_timer_set(of->loop, &of->timer, 0);
  neap_loop_run(of->loop);
  neap_tiers_detach(&of->port);
  neap_loop_destroy(&of->loop);
  return NULL;
}

static void test_threads_share_a_cascade(void **state) {
  (void)state;
  static client clients[THREADS];
  neap_host given = {.now_ms = neap_clock_now_ms,
                     .now_ns = neap_clock_now_ns,
                     .thread_cpu_ns = neap_clock_thread_cpu_ns,
                     .seed = 1},
            host;
  neap_host_complete(&given, &host);
  neap_registry *registry;
  assert_int_equal(neap_registry_create(&host, &registry), 0);
  neap_cache_options cache;
  neap_cache_options_init(&cache);
  cache.evict = "native:sieve";
  neap_tiers_options options;
  neap_tiers_options_init(&options);
  assert_int_equal(neap_store_create(registry, &host, &cache, NEAP_STORE_VALUES, &options.memory, NULL), 0);
  assert_int_equal(neap_tiers_create_with(registry, &host, &options, &tiers, NULL), 0);
  assert_int_equal(
      neap_tiers_add(tiers, &slow, NULL, &(neap_tier_options){.breaker_error_percent = 100}, NULL), 0);
  pthread_mutex_init(&below.lock, NULL);
  for (int i = 0; i < KEYS; i++) below.versions[i] = 1;
  for (int i = 0; i < THREADS; i++) {
    client *of = &clients[i];
    of->left = OPERATIONS;
    of->random.state = (uint64_t)i;
    neap_timer_init(&of->timer, on_turn);
    for (int n = 0; n < UNDER_WAY; n++) of->asked[n].of = of;
    assert_int_equal(neap_loop_create(&of->loop), 0);
    assert_int_equal(neap_tiers_attach_loop(tiers, of->loop, &of->port, NULL), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_create(&clients[i].thread, NULL, run, &clients[i]);
  for (int i = 0; i < THREADS; i++) {
    pthread_join(clients[i].thread, NULL);
    assert_int_equal(clients[i].wrong, 0);
    assert_true(clients[i].told > OPERATIONS / 4);
  }
  neap_tiers_stats stats;
  neap_tiers_stats_get(tiers, &stats);
  assert_true(stats.shared > 0);
  assert_true(stats.tiers[1].sets > 0);
  neap_tiers_destroy(&tiers);
  neap_cache_destroy(&options.memory);
  neap_registry_destroy(&registry);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_share_a_cascade)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
