/* Replay: a tape's requests through a keys-only cache, by the calls that a live cache's get and put make. */
#include "sim/sim.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"
#include "sim/replay_prefetch.h"
#include "sim/tape.h"
#include "store/store.h"

enum {
  AHEAD = 8,       /* a power of 2 */
  SLICE = 1 << 14, /* requests between looks at progress and time */
  TICK_MS = 1000,  /* of trace time: what policies take for about a second */
  TIME_MS_DEFAULT = 1000,
  THREADS_MAX = 256
};

/* One run. */
typedef struct run {
  const neap_replay_options *options;
  neap_host host; /* the caller's, with the trace's time */
  neap_cache *cache;
  neap_replay_prefetch *prefetch; /* NULL: nobody prefetches */
  /* Trace time: where it begins, and the newest seen by any thread. */
  int64_t time_first;
  _Atomic int64_t time;
  uint64_t ticked_ms; /* first player only, as the next one */
  int64_t report_at;  /* in this reel */
  /* The reel that is playing; the players take `grain` requests at a time from `next`. */
  const neap_trace_request *requests;
  int64_t count, grain;
  _Atomic int64_t next;
  uint64_t played; /* in earlier reels */
  /* Of several players: how many misses there were, and how many of them are answered. */
  bool crowded;
  _Atomic uint64_t missed, answered;
} run;

/* One thread's share of a run. */
typedef struct player {
  run *run;
  pthread_t thread;
  uint64_t misses, missed_bytes;
} player;

/* --- time --- */

/* neap_host.now_ms: what the trace's newest time comes to, counted from its first. */
static uint64_t trace_now_ms(void *user) {
  const run *r = user;
  uint64_t passed = (uint64_t)atomic_load_explicit(&r->time, memory_order_relaxed) - (uint64_t)r->time_first;
  uint64_t unit = r->options->time_ms ? r->options->time_ms : TIME_MS_DEFAULT, now;
  return __builtin_mul_overflow(passed, unit, &now) ? UINT64_MAX >> 1 : now;
}

/* Time never goes back for long: of two threads, the later may overwrite the newer, until the next request.
 */
static void see_time(run *r, int64_t time) {
  if (time > atomic_load_explicit(&r->time, memory_order_relaxed))
    atomic_store_explicit(&r->time, time, memory_order_relaxed);
}

/* --- playing --- */

/* Several threads on one counter shall give what one gives. So nobody takes a request while a miss is being
 * answered, and one miss is answered at a time, after another look: who waited for another player's put of
 * the same key has a hit, as who waits for a fill. And a policy that is asked for a victim knows every entry:
 * those that take room unseen drove out older ones, by which LFU's miss ratios were off by 13 points. */
static int64_t take_requests(run *r) {
  if (r->crowded)
    while (atomic_load(&r->answered) != atomic_load(&r->missed)) sched_yield();
  return atomic_fetch_add_explicit(&r->next, r->grain, memory_order_relaxed);
}

/* One request; true on a hit. */
static bool play_request(run *r, uint64_t key, uint64_t hash, uint32_t size) {
  if (!r->crowded) return neap_store_replay(r->cache, key, hash, size) != NEAP_STORE_MISS;
  if (neap_store_replay_hit(r->cache, key, hash)) return true;
  uint64_t turn = atomic_fetch_add(&r->missed, 1);
  while (atomic_load(&r->answered) != turn) sched_yield();
  bool hit = neap_store_replay(r->cache, key, hash, size) != NEAP_STORE_MISS;
  atomic_store(&r->answered, turn + 1);
  return hit;
}

/* hot: what comes is known, so memory is fetched AHEAD requests before it is needed. */
static void play_slice(player *p, int64_t from, int64_t to) {
  run *r = p->run;
  bool sized = r->options->bytes;
  uint64_t hashes[AHEAD];
  for (int64_t i = from; i < to && i < from + AHEAD; i++)
    hashes[i % AHEAD] = neap_store_prefetch(r->cache, r->requests[i].key);
  for (int64_t i = from; i < to; i++) {
    const neap_trace_request *request = &r->requests[i];
    uint64_t hash = hashes[i % AHEAD];
    if (i + AHEAD < to) hashes[i % AHEAD] = neap_store_prefetch(r->cache, request[AHEAD].key);
    see_time(r, request->time);
    if (NEAP_UNLIKELY(r->prefetch != NULL) ? neap_replay_prefetch_play(r->prefetch, request, hash)
                                           : play_request(r, request->key, hash, sized ? request->size : 1))
      continue;
    p->misses++;
    p->missed_bytes += request->size;
  }
}

/* Between slices, by the first player: the policy hears of time, the caller of progress. */
static void look_up(run *r, int64_t at) {
  r->report_at = at + SLICE;
  uint64_t now_ms = trace_now_ms(r);
  if (now_ms - r->ticked_ms >= TICK_MS) {
    r->ticked_ms = now_ms;
    neap_cache_tick(r->cache);
  }
  if (r->options->progress) r->options->progress(r->options->user, r->played + (uint64_t)at);
}

static void play_reel(player *p, bool first) {
  run *r = p->run;
  for (;;) {
    int64_t from = take_requests(r);
    if (from >= r->count) return;
    int64_t to = NEAP_MIN(from + r->grain, r->count);
    play_slice(p, from, to);
    if (first && to >= r->report_at) look_up(r, to);
  }
}

static void *player_main(void *user) {
  play_reel(user, false);
  return NULL;
}

/* The first player is the calling thread, the others threads of their own. Where the system gives fewer
 * threads than asked for, the run would not be what was asked for: it fails. */
static int play_threads(player *players, uint32_t count, neap_err *err) {
  uint32_t started = 1;
  int refused = 0;
  while (started < count && !refused) {
    refused = pthread_create(&players[started].thread, NULL, player_main, &players[started]);
    started += !refused;
  }
  if (!refused)
    play_reel(&players[0], true);
  else
    atomic_store(&players[0].run->next, players[0].run->count);
  for (uint32_t i = 1; i < started; i++) pthread_join(players[i].thread, NULL);
  return refused ? neap_fail(err, NEAP_ENOMEM, "the system refused to start %u threads", count) : 0;
}

static int play_tape(run *r, neap_tape *tape, player *players, uint32_t count, uint64_t *elapsed_ns,
                     neap_err *err) {
  neap_tape_rewind(tape);
  while ((r->count = neap_tape_next(tape, &r->requests, err)) > 0) {
    if (r->played == 0) {
      r->time_first = r->requests[0].time;
      atomic_store(&r->time, r->time_first);
    }
    r->report_at = SLICE;
    atomic_store(&r->next, 0);
    uint64_t begun_ns = r->host.now_ns(r->host.user);
    int rc = play_threads(players, count, err);
    if (rc) return rc;
    *elapsed_ns += r->host.now_ns(r->host.user) - begun_ns;
    r->played += (uint64_t)r->count;
  }
  return (int)r->count;
}

/* --- a run --- */

static int make_cache(run *r, neap_err *err) {
  const neap_replay_options *o = r->options;
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.name = "replay";
  options.max_memory = o->size;
  options.max_object_size = o->size; /* what fits into the cache may enter it, unless the policy refuses */
  options.evict = o->policy;
  options.params = o->params;
  options.param_count = o->param_count;
  options.synchronous = o->exact;
  options.victims = o->exact ? 1 : 0;
  r->host = *o->host;
  r->host.user = r;
  r->host.now_ms = trace_now_ms;
  int rc = neap_store_create(o->registry, &r->host, &options, NEAP_STORE_KEYS, &r->cache, err);
  if (rc || o->prefetch_count == 0) return rc;
  rc = neap_replay_prefetch_create(r->cache, o, &r->host, &r->prefetch, err);
  if (rc) neap_cache_destroy(&r->cache);
  return rc;
}

static void count_result(const run *r, const player *players, uint32_t count, neap_replay_result *result) {
  result->requests = r->played;
  for (uint32_t i = 0; i < count; i++) {
    result->misses += players[i].misses;
    result->missed_bytes += players[i].missed_bytes;
  }
  neap_cache_stats stats;
  neap_cache_stats_get(r->cache, &stats);
  result->evictions_policy = stats.evictions_policy;
  result->evictions_fallback = stats.evictions_fallback;
  result->events_dropped = stats.events_dropped;
  neap_store_policy_counters(r->cache, &result->policy);
  if (r->prefetch) neap_replay_prefetch_result(r->prefetch, result);
}

int neap_replay_run(neap_tape *tape, const neap_replay_options *options, neap_replay_result *result,
                    neap_err *err) {
  uint32_t count = options->threads ? options->threads : 1;
  if (count > THREADS_MAX) return neap_fail(err, NEAP_EINVAL, "more than %d threads", THREADS_MAX);
  if (count > 1 && options->prefetch_count > 0)
    return neap_fail(err, NEAP_EINVAL, "prefetching is played on one thread");
  run r = {.options = options, .grain = count == 1 ? SLICE : 1, .crowded = count > 1};
  int rc = make_cache(&r, err);
  if (rc) return rc;
  player *players = calloc(count, sizeof *players);
  if (players == NULL) {
    rc = neap_fail(err, NEAP_ENOMEM, "out of memory");
    goto fail_players;
  }
  for (uint32_t i = 0; i < count; i++) players[i].run = &r;
  neap_replay_result got = {.bytes = neap_tape_facts_get(tape)->bytes};
  rc = play_tape(&r, tape, players, count, &got.elapsed_ns, err);
  if (rc == 0) {
    count_result(&r, players, count, &got);
    *result = got;
  }
  free(players);
fail_players:
  neap_replay_prefetch_destroy(&r.prefetch);
  neap_cache_destroy(&r.cache);
  return rc;
}

int neap_replay_check(const neap_replay_options *options, neap_err *err) {
  run r = {.options = options};
  int rc = make_cache(&r, err);
  neap_replay_prefetch_destroy(&r.prefetch);
  if (rc == 0) neap_cache_destroy(&r.cache);
  return rc;
}
