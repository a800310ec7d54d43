#include "server/shadow_cache.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/base.h"
#include "loop/loop.h"

enum { TAPES_MAX = 256, LOOK_MS = 20, ENTRIES = 16384, MEMORY_LEAST = 65536 };
static const double SIZE_UNKNOWN = 2048; /* of an entry, before the cache holds any */

struct neap_shadow_cache {
  neap_cache *now, *would;
  double sample;
  neap_trial_tape *tapes[TAPES_MAX];
  size_t tape_count;
  neap_loop *loop;
  neap_timer look;
  neap_task stop;
  pthread_t thread;
  bool running;
  _Atomic uint64_t lookups, live_hits, now_hits, would_hits;
};

/* --- replaying */

static void count(_Atomic uint64_t *counter, bool more) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                        memory_order_relaxed);
}

static bool replay(neap_cache *cache, const neap_trial_use *use) {
  return neap_store_replay(cache, use->key, neap_store_prefetch(cache, use->key), use->size);
}

static void replay_tape(neap_shadow_cache *cache, neap_trial_tape *tape) {
  neap_trial_use use;
  for (int i = 0; i < NEAP_TRIAL_USES && neap_trial_tape_next(tape, &use); i++) {
    count(&cache->lookups, true);
    count(&cache->live_hits, use.hit);
    count(&cache->now_hits, replay(cache->now, &use));
    count(&cache->would_hits, replay(cache->would, &use));
  }
}

static void on_look(neap_timer *timer) {
  neap_shadow_cache *cache = NEAP_CONTAINER_OF(timer, neap_shadow_cache, look);
  for (size_t i = 0; i < cache->tape_count; i++) replay_tape(cache, cache->tapes[i]);
  neap_cache_tick(cache->now);
  neap_cache_tick(cache->would);
  neap_timer_set(cache->loop, timer, LOOK_MS);
}

static void on_stop(neap_task *task) {
  neap_loop_stop(NEAP_CONTAINER_OF(task, neap_shadow_cache, stop)->loop);
}

static void *run(void *user) {
  neap_shadow_cache *cache = user;
  neap_timer_set(cache->loop, &cache->look, LOOK_MS);
  neap_loop_run(cache->loop);
  neap_timer_clear(&cache->look);
  return NULL;
}

/* --- life */

/* How many entries the live cache can hold, as far as can be known. */
static double entries_of(const neap_cache_stats *stats, double memory) {
  double size = stats->entries > 100 ? (double)stats->memory_entries / (double)stats->entries : SIZE_UNKNOWN;
  double entries = memory / NEAP_MAX(size, 64.0);
  return stats->max_entries ? NEAP_MIN(entries, (double)stats->max_entries) : entries;
}

static int make(neap_shadow_cache *cache, const neap_cache_stats *live, const neap_host *host,
                const neap_shadow_policy *policy, neap_cache **out, neap_err *err) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  double memory = (double)(live->max_memory - NEAP_MIN(live->memory_tables, live->max_memory / 2));
  options.name = "shadow";
  options.max_memory = NEAP_MAX((uint64_t)(memory * cache->sample), (uint64_t)MEMORY_LEAST);
  options.max_entries = live->max_entries ? 1 + (uint64_t)((double)live->max_entries * cache->sample) : 0;
  options.max_object_size = NEAP_MIN(live->max_object_size, options.max_memory);
  options.evict = policy->evict;
  options.params = policy->params;
  options.param_count = policy->param_count;
  options.synchronous = 1;
  return neap_store_create(policy->registry, host, &options, NEAP_STORE_KEYS, out, err);
}

int neap_shadow_cache_create(neap_cache *live, const neap_host *host, const neap_shadow_policy *in_force,
                             const neap_shadow_policy *candidate, neap_shadow_cache **out, neap_err *err) {
  neap_shadow_cache *cache = calloc(1, sizeof *cache);
  if (cache == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  neap_cache_stats stats;
  neap_cache_stats_get(live, &stats);
  cache->sample = NEAP_MIN(1.0, ENTRIES / NEAP_MAX(1.0, entries_of(&stats, (double)stats.max_memory)));
  neap_timer_init(&cache->look, on_look);
  cache->stop.run = on_stop;
  int code = neap_loop_create(&cache->loop);
  if (code) neap_fail(err, code, "%s", neap_strerror(code));
  if (code == 0) code = make(cache, &stats, host, in_force, &cache->now, err);
  if (code == 0) code = make(cache, &stats, host, candidate, &cache->would, err);
  if (code)
    neap_shadow_cache_destroy(&cache);
  else
    *out = cache;
  return code;
}

neap_trial_tape *neap_shadow_cache_tape(neap_shadow_cache *cache) {
  if (cache->tape_count == TAPES_MAX) return NULL;
  neap_trial_tape *tape = aligned_alloc(_Alignof(neap_trial_tape), sizeof *tape);
  if (tape == NULL) return NULL;
  memset(tape, 0, sizeof *tape);
  tape->below = cache->sample >= 1 ? UINT64_MAX : (uint64_t)(cache->sample * 0x1p64);
  return cache->tapes[cache->tape_count++] = tape;
}

int neap_shadow_cache_start(neap_shadow_cache *cache) {
  sigset_t all, before; /* signals are for the control thread */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  cache->running = pthread_create(&cache->thread, NULL, run, cache) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return cache->running ? 0 : NEAP_EIO;
}

void neap_shadow_cache_stop(neap_shadow_cache *cache) {
  if (!cache->running) return;
  neap_loop_post(cache->loop, &cache->stop);
  pthread_join(cache->thread, NULL);
  cache->running = false;
}

void neap_shadow_cache_destroy(neap_shadow_cache **cache_ptr) {
  neap_shadow_cache *cache = *cache_ptr;
  if (cache == NULL) return;
  *cache_ptr = NULL;
  neap_shadow_cache_stop(cache);
  for (size_t i = 0; i < cache->tape_count; i++) free(cache->tapes[i]);
  if (cache->now) neap_cache_destroy(&cache->now);
  if (cache->would) neap_cache_destroy(&cache->would);
  if (cache->loop) neap_loop_destroy(&cache->loop);
  free(cache);
}

/* --- seeing */

void neap_shadow_cache_sum_get(neap_shadow_cache *cache, neap_shadow_cache_sum *out) {
  neap_cache_stats now, would;
  neap_cache_stats_get(cache->now, &now);
  neap_cache_stats_get(cache->would, &would);
  *out = (neap_shadow_cache_sum){.sample = cache->sample,
                                 .lookups = atomic_load_explicit(&cache->lookups, memory_order_relaxed),
                                 .live = atomic_load_explicit(&cache->live_hits, memory_order_relaxed),
                                 .now = atomic_load_explicit(&cache->now_hits, memory_order_relaxed),
                                 .would = atomic_load_explicit(&cache->would_hits, memory_order_relaxed),
                                 .evicted_now = now.evictions_policy + now.evictions_fallback,
                                 .evicted_would = would.evictions_policy + would.evictions_fallback,
                                 .faults = would.policy_faults,
                                 .rests = would.policy_trips > 0};
  for (size_t i = 0; i < cache->tape_count; i++) out->lost += neap_count_get(&cache->tapes[i]->lost);
}
