#include "sim/replay_prefetch.h"

#include <math.h>
#include <stdlib.h>

#include "base/base.h"

enum { NAMES = 1 << 21, FLIGHTS = 1 << 12 };

/* A key that was seen: what a wish's hash stands for. */
typedef struct name {
  uint64_t key, hash; /* hash 0: free */
  uint32_t size;
} name;

typedef struct flight {
  neap_prefetch_item item;
  uint64_t arrives; /* before that request */
} flight;

struct neap_replay_prefetch {
  neap_cache *cache;
  const neap_replay_options *options;
  const neap_host *host;
  neap_prefetcher *prefetcher;
  name *names;             /* one place for each hash: the newest stays */
  flight flights[FLIGHTS]; /* a ring */
  uint64_t first, end, requests;
};

static double short_hash(uint64_t hash) {
  return (double)(hash >> 11);
}

static name *name_of(const neap_replay_prefetch *f, uint64_t hash) {
  return &f->names[(hash >> 11) % NAMES];
}

/* --- what the prefetcher asks --- */

static bool resolve(void *user, const neap_wish *wish, neap_prefetch_item *out) {
  const neap_replay_prefetch *f = user;
  if (!(wish->hash >= 0 && wish->hash < 0x1p53)) return false;
  const name *known = name_of(f, (uint64_t)wish->hash << 11);
  bool found = known->hash != 0 && short_hash(known->hash) == wish->hash;
  if (!wish->by_number) {
    if (!found) return false;
    *out = (neap_prefetch_item){.hash = known->hash, .size = known->size, .id = known->key};
    return true;
  }
  if (!(fabs(wish->number) < 0x1p53) || wish->number != floor(wish->number)) return false;
  uint64_t key = (uint64_t)(int64_t)wish->number, hash = neap_store_prefetch(f->cache, key);
  const name *same = name_of(f, hash);
  uint32_t like =
      found ? known->size : 1; /* as large as the one that it is like, unless it is known better */
  *out = (neap_prefetch_item){.hash = hash, .size = same->hash == hash ? same->size : like, .id = key};
  return true;
}

static bool holds(void *user, const neap_prefetch_item *item) {
  const neap_replay_prefetch *f = user;
  return neap_store_holds(f->cache, item->id, item->hash);
}

static int fetch(void *user, const neap_prefetch_item *item) {
  neap_replay_prefetch *f = user;
  if (f->end - f->first == FLIGHTS) return NEAP_EROOM;
  f->flights[f->end++ % FLIGHTS] = (flight){*item, f->requests + f->options->prefetch_delay};
  return 0;
}

static void drop(void *user, const neap_prefetch_item *item) {
  const neap_replay_prefetch *f = user;
  neap_store_drop_unused(f->cache, item->id, item->hash);
}

/* --- playing --- */

static void land(neap_replay_prefetch *f) {
  while (f->first < f->end && f->flights[f->first % FLIGHTS].arrives <= f->requests) {
    neap_prefetch_item item = f->flights[f->first++ % FLIGHTS].item;
    if (!neap_prefetcher_landed(f->prefetcher, item.hash)) continue;
    if (neap_store_shelve(f->cache, item.id, item.hash, (uint32_t)item.size) != 0)
      neap_prefetcher_failed(f->prefetcher, item.hash);
  }
}

static neap_prefetch_event want_of(const neap_trace_request *request, uint64_t hash, uint32_t size) {
  double number = (double)(int64_t)request->key;
  bool exact = fabs(number) < 0x1p53;
  return (neap_prefetch_event){.kind = NEAP_PREFETCH_WANT,
                               .size = (int32_t)NEAP_MIN(size, (uint32_t)INT32_MAX),
                               .hash = short_hash(hash),
                               .space = exact ? 1 : 0,
                               .number = exact ? number : 0};
}

/* hot: */
bool neap_replay_prefetch_play(neap_replay_prefetch *f, const neap_trace_request *request, uint64_t hash) {
  uint32_t size = f->options->bytes ? request->size : 1;
  f->requests++;
  land(f);
  neap_prefetcher_request(f->prefetcher);
  neap_store_found found = neap_store_replay(f->cache, request->key, hash, size);
  if (NEAP_LIKELY(found == NEAP_STORE_HIT)) return true;
  *name_of(f, hash) = (name){.key = request->key, .hash = hash, .size = size};
  neap_prefetch_event want = want_of(request, hash, size);
  if (found == NEAP_STORE_MISS)
    neap_prefetcher_miss(f->prefetcher, hash, &want);
  else
    neap_prefetcher_used(f->prefetcher, hash, &want);
  neap_prefetcher_turn(f->prefetcher, (double)f->host->now_ms(f->host->user));
  return found != NEAP_STORE_MISS;
}

/* --- a run --- */

static int open_policies(neap_replay_prefetch *f, neap_err *err) {
  const neap_replay_options *o = f->options;
  const neap_policy_env env = {.host = f->host, .seed = f->host->seed, .generation = 1};
  for (size_t i = 0; i < o->prefetch_count; i++) {
    const neap_replay_policy *policy = &o->prefetch[i];
    int rc = neap_prefetcher_open(f->prefetcher, o->registry, policy->name, NULL, policy->params,
                                  policy->param_count, &env, err);
    if (rc < 0) return rc;
  }
  return 0;
}

int neap_replay_prefetch_create(neap_cache *cache, const neap_replay_options *options, const neap_host *host,
                                neap_replay_prefetch **out, neap_err *err) {
  neap_replay_prefetch *f = calloc(1, sizeof *f);
  if (f == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  f->cache = cache;
  f->options = options;
  f->host = host;
  f->names = calloc(NAMES, sizeof *f->names);
  neap_prefetch_options budget;
  neap_prefetch_options_init(&budget, (double)options->size);
  budget.delay = options->prefetch_delay;
  const neap_prefetch_host asked = {
      .user = f, .resolve = resolve, .holds = holds, .fetch = fetch, .drop = drop};
  int rc = f->names == NULL ? NEAP_ENOMEM : neap_prefetcher_create(&budget, &asked, &f->prefetcher);
  if (rc) neap_fail(err, rc, "%s", neap_strerror(rc));
  if (rc == 0) rc = open_policies(f, err);
  if (rc)
    neap_replay_prefetch_destroy(&f);
  else
    *out = f;
  return rc;
}

void neap_replay_prefetch_destroy(neap_replay_prefetch **prefetch) {
  if (*prefetch == NULL) return;
  neap_prefetcher_destroy(&(*prefetch)->prefetcher);
  free((*prefetch)->names);
  free(*prefetch);
  *prefetch = NULL;
}

void neap_replay_prefetch_result(const neap_replay_prefetch *f, neap_replay_result *result) {
  neap_prefetcher_counters_get(f->prefetcher, -1, &result->prefetch);
  neap_prefetcher_policy_counters(f->prefetcher, &result->prefetch_policy);
}
