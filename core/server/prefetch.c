#include "server/prefetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "server/gateway.h"
#include "store/store.h"

enum {
  CLIENT_MS = 30000, /* a client's own request is under way for so long at most, should its end not be told */
  BARRED_MS = 30000, /* what came to nothing is not fetched again */
  SAVED = 64,        /* prefetches that may be saved up */
  SHELF_PART = 8     /* one response takes at most such a part of the shelf */
};

/* A prefetch that some worker has. */
typedef struct flight {
  struct flight *next;
  neap_prefetch_order *order;
  uint32_t place;
  uint32_t epoch;               /* of the prefetcher that allowed it */
  uint64_t began_ms, refreshes; /* bytes that it was allowed as a refresh; 0: it is none */
} flight;

/* The feed of a worker; stays when the worker ends. */
typedef struct feed_seat {
  neap_feed feed;
  neap_task drain;
  neap_prefetching *home;
  uint32_t place;
} feed_seat;

struct neap_prefetching {
  neap_gateway *gateway;
  neap_prefetcher *prefetcher; /* NULL: nothing is prefetched */
  neap_targets *targets;
  uint64_t policies_hash;
  bool policies_of_files, hints;
  int links, refresh, asked; /* issuers; links -1: none */
  flight *flights;
  uint32_t flight_count, flights_max;
  uint32_t epoch;                               /* how many prefetchers have ended without a successor */
  _Atomic(feed_seat *) seats[NEAP_WORKERS_MAX]; /* by place; made where workers are, read here */
  uint64_t requests;                            /* of all feeds, as far as the prefetcher knows of them */
  uint32_t place;                               /* of the worker that told the newest record */
  double shelf;                                 /* bytes */
  neap_hash_key key;
};

static uint64_t now_of(const neap_prefetching *p) {
  return p->gateway->host->now_ms(p->gateway->host->user);
}

static double short_hash(uint64_t hash) {
  return (double)(hash >> 11);
}

/* --- the cache */

static void drop_from_cache(neap_prefetching *p, neap_target *target) {
  neap_cache *cache = atomic_load(&p->gateway->cache);
  if (!target->shelved) return;
  target->shelved = false;
  if (cache) neap_store_drop_unused_key(cache, neap_target_stored(target));
}

static void on_target_gone(void *user, neap_target *target) {
  drop_from_cache(user, target);
}

/* Somebody asked for it while it was on its way: it is an entry as any other. */
static void let_stay(const neap_prefetching *p, neap_view key) {
  neap_cache *cache = atomic_load(&p->gateway->cache);
  const neap_entry *entry;
  if (cache == NULL) return;
  neap_cache_enter(cache);
  if (neap_store_find(cache, key, &entry) == 0) neap_store_take_unused(cache, entry);
  neap_cache_leave(cache);
}

static bool is_in_cache(const neap_prefetching *p, neap_view key) {
  neap_cache *cache = atomic_load(&p->gateway->cache);
  const neap_entry *entry;
  if (cache == NULL || key.size == 0) return false;
  neap_cache_enter(cache);
  bool found = neap_store_find(cache, key, &entry) == 0;
  neap_cache_leave(cache);
  return found;
}

/* --- what the prefetcher asks */

/* Unknown sizes count as what a small response takes, until they are known. */
static neap_prefetch_item item_of(const neap_target *target) {
  return (neap_prefetch_item){.hash = target->hash, .size = target->size ? target->size : 4096};
}

static bool resolve(void *user, const neap_wish *wish, neap_prefetch_item *out) {
  neap_prefetching *p = user;
  char text[NEAP_HTTP_REFERENCE_MAX], host[256];
  neap_target *target = neap_targets_find_short(p->targets, wish->hash);
  if (target == NULL) return false;
  if (wish->by_number) {
    neap_view from = neap_target_host(target), encoding = neap_target_encoding(target);
    char accepted[256];
    ssize_t size = neap_target_renumber(neap_target_target(target), wish->number, text, sizeof text);
    if (size < 0 || from.size > sizeof host || encoding.size > sizeof accepted) return false;
    memcpy(host, from.ptr, from.size); /* the row may give way to the new one */
    memcpy(accepted, encoding.ptr, encoding.size);
    uint64_t like = target->size;
    target = neap_targets_note(p->targets, (neap_view){host, from.size}, (neap_view){text, (size_t)size},
                               (neap_view){accepted, encoding.size});
    if (target == NULL) return false;
    if (target->size == 0) target->size = like;
  }
  *out = item_of(target);
  return true;
}

static bool holds(void *user, const neap_prefetch_item *item) {
  neap_prefetching *p = user;
  const neap_target *target = neap_targets_find(p->targets, item->hash);
  uint64_t now_ms = now_of(p);
  if (target == NULL || now_ms < target->barred_ms) return true;
  if (target->clients > 0 && now_ms - target->asked_ms < CLIENT_MS) return true;
  return is_in_cache(p, neap_target_key(target));
}

/* The worker that told last, or another that serves; NULL: none does. */
static neap_worker *choose_worker(neap_prefetching *p, uint32_t *place) {
  const neap_gateway *gateway = p->gateway;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    *place = (p->place + i) % NEAP_WORKERS_MAX;
    if (gateway->workers[*place] && gateway->serving[*place]) return gateway->workers[*place];
  }
  return NULL;
}

/* On the worker. */
static void on_order(neap_task *task) {
  neap_prefetch_order *order = NEAP_CONTAINER_OF(task, neap_prefetch_order, task);
  neap_flow_prefetch(order->flow, order);
}

static int send_order(neap_prefetching *p, const neap_prefetch_item *item, uint64_t refreshes) {
  uint32_t place;
  neap_target *target = neap_targets_find(p->targets, item->hash);
  neap_worker *worker = choose_worker(p, &place);
  if (target == NULL || worker == NULL || p->gateway->stopping) return NEAP_ESTATE;
  if (p->flight_count >= p->flights_max) return NEAP_EBUSY; /* those that are late, too */
  flight *made = calloc(1, sizeof *made);
  neap_prefetch_order *order = neap_prefetch_order_create(
      neap_target_host(target), neap_target_target(target), neap_target_encoding(target));
  if (made == NULL || order == NULL) {
    free(made);
    free(order);
    return NEAP_EINVAL;
  }
  *made = (flight){.next = p->flights,
                   .order = order,
                   .place = place,
                   .epoch = p->epoch,
                   .began_ms = now_of(p),
                   .refreshes = refreshes};
  p->flights = made;
  p->flight_count++;
  target->pins++;
  order->hash = target->hash;
  order->most_bytes = (uint64_t)(p->shelf / SHELF_PART);
  order->refresh = refreshes > 0;
  order->flow = neap_worker_flow(worker);
  order->task.run = on_order;
  neap_loop_post(neap_worker_loop(worker), &order->task);
  return 0;
}

static int fetch(void *user, const neap_prefetch_item *item) {
  return send_order(user, item, 0);
}

static void drop(void *user, const neap_prefetch_item *item) {
  neap_prefetching *p = user;
  neap_target *target = neap_targets_find(p->targets, item->hash);
  if (target) drop_from_cache(p, target);
}

/* --- what workers tell */

static neap_prefetch_event want_of(const neap_target *target, const neap_feed_record *record) {
  neap_target_number number;
  neap_view text = neap_target_target(target);
  neap_prefetch_event event = {.kind = NEAP_PREFETCH_WANT,
                               .size = (int32_t)NEAP_MIN(target->size, (uint64_t)INT32_MAX),
                               .hash = short_hash(target->hash),
                               .stream = short_hash(record->stream)};
  if (!neap_target_number_of(text, &number)) return event;
  uint64_t front = neap_hash_bytes(text.ptr, number.at);
  uint64_t back = neap_hash_bytes(text.ptr + number.at + number.size, text.size - number.at - number.size);
  event.space =
      short_hash(neap_hash_mix(front ^ back << 1, neap_hash_bytes(record->host.ptr, record->host.size)));
  event.number = number.value;
  return event;
}

static void on_miss(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  if (target == NULL) return;
  neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
  uint64_t now_ms = now_of(p);
  target->clients = now_ms - target->asked_ms < CLIENT_MS ? target->clients + 1 : 1;
  target->asked_ms = now_ms;
  target->shelved = false;
  neap_prefetch_event event = want_of(target, record);
  neap_prefetcher_miss(p->prefetcher, target->hash, &event);
}

static void on_ended(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target =
      neap_targets_find(p->targets, neap_targets_hash(p->targets, record->host, record->target));
  if (target && target->clients > 0) target->clients--;
}

static void on_used(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  if (target == NULL) return;
  target->size = record->size;
  target->shelved = false;
  neap_prefetch_event event = want_of(target, record);
  neap_prefetcher_used(p->prefetcher, target->hash, &event);
}

static void on_link(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  if (target == NULL) return;
  neap_prefetch_item item = item_of(target);
  if (p->hints) {
    uint64_t page = neap_targets_hash(p->targets, record->host, record->page);
    neap_prefetch_event event = want_of(target, record);
    event.kind = NEAP_PREFETCH_HINT;
    event.like = short_hash(page);
    neap_prefetcher_hint(p->prefetcher, &event);
  } else if (p->links >= 0) {
    neap_prefetcher_wish(p->prefetcher, p->links, &item);
  }
}

/* Said once of an entry: what there is no budget for now has had its chance. */
static void on_aging(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  uint64_t now_ms = now_of(p);
  if (target == NULL || p->refresh < 0 || now_ms < target->barred_ms) return;
  neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
  neap_prefetch_item item = item_of(target);
  if (!neap_prefetcher_allow(p->prefetcher, p->refresh, item.size)) return;
  if (send_order(p, &item, item.size) != 0)
    neap_prefetcher_settle(p->prefetcher, p->refresh, item.size, NEAP_PREFETCH_WASTED);
}

/* --- how prefetches end */

/* What was in use and is there anew before it was missed has been of use. */
static void end_refresh(neap_prefetching *p, const flight *ended, neap_target *target,
                        const neap_feed_record *record) {
  bool kept = record->kind == NEAP_FEED_LANDED;
  bool late = target && target->asked_ms >= ended->began_ms;
  if (target && kept) {
    neap_targets_set_keys(p->targets, target, record->key, record->stored);
    target->size = record->size;
  }
  if (kept) let_stay(p, record->stored.size > 0 ? record->stored : record->key);
  if (target && !kept) target->barred_ms = now_of(p) + BARRED_MS;
  if (p->prefetcher && ended->epoch == p->epoch)
    neap_prefetcher_settle(p->prefetcher, p->refresh, ended->refreshes,
                           !kept  ? NEAP_PREFETCH_WASTED
                           : late ? NEAP_PREFETCH_LATE
                                  : NEAP_PREFETCH_USED);
}

static void on_landed(neap_prefetching *p, neap_target *target, const neap_feed_record *record) {
  neap_view stored = record->stored.size > 0 ? record->stored : record->key;
  if (target) {
    neap_targets_set_keys(p->targets, target, record->key, record->stored);
    target->size = record->size;
    if (p->prefetcher) neap_prefetcher_weigh(p->prefetcher, target->hash, record->size);
  }
  bool waits = target && p->prefetcher && neap_prefetcher_landed(p->prefetcher, target->hash);
  if (waits)
    target->shelved = true;
  else
    let_stay(p, stored);
}

static void on_failed(neap_prefetching *p, neap_target *target) {
  if (target == NULL) return;
  target->barred_ms = now_of(p) + BARRED_MS;
  if (p->prefetcher) neap_prefetcher_failed(p->prefetcher, target->hash);
}

static void on_held(neap_prefetching *p, neap_target *target, const neap_feed_record *record) {
  if (target == NULL) return;
  neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
  if (p->prefetcher) neap_prefetcher_held(p->prefetcher, target->hash);
}

static void end_plain(neap_prefetching *p, neap_target *target, const neap_feed_record *record) {
  switch (record->kind) {
  case NEAP_FEED_LANDED: on_landed(p, target, record); break;
  case NEAP_FEED_HELD: on_held(p, target, record); break;
  default: on_failed(p, target); break;
  }
}

static void end_flight(neap_prefetching *p, const neap_feed_record *record) {
  flight **at = &p->flights;
  while (*at && (*at)->order != record->order) at = &(*at)->next;
  flight *ended = *at;
  if (ended == NULL) return;
  *at = ended->next;
  p->flight_count--;
  neap_target *target = neap_targets_find(p->targets, ended->order->hash);
  if (target) target->pins--;
  if (ended->refreshes > 0)
    end_refresh(p, ended, target, record);
  else
    end_plain(p, target, record);
  free(ended->order);
  free(ended);
}

/* --- draining */

static void on_record(void *user, const neap_feed_record *record) {
  neap_prefetching *p = user;
  if (record->order) {
    end_flight(p, record);
    return;
  }
  if (p->prefetcher == NULL) return;
  switch (record->kind) {
  case NEAP_FEED_MISS: on_miss(p, record); break;
  case NEAP_FEED_ENDED: on_ended(p, record); break;
  case NEAP_FEED_AGING: on_aging(p, record); break;
  case NEAP_FEED_USED: on_used(p, record); break;
  default: on_link(p, record); break;
  }
}

static feed_seat *seat_at(const neap_prefetching *p, uint32_t place) {
  return atomic_load_explicit((_Atomic(feed_seat *) *)&p->seats[place], memory_order_acquire);
}

static uint64_t requests_of(const neap_prefetching *p) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    const feed_seat *seat = seat_at(p, i);
    if (seat) sum += neap_count_get(&seat->feed.requests);
  }
  return sum;
}

/* Requests and time first, then what came, then the policies. */
static void drain(neap_prefetching *p, uint32_t place) {
  p->place = place;
  uint64_t requests = requests_of(p), more = requests - p->requests;
  p->requests = requests;
  if (p->prefetcher) {
    neap_prefetcher_requests(p->prefetcher, more);
    neap_prefetcher_turn(p->prefetcher, (double)now_of(p));
  }
  neap_feed_take(&seat_at(p, place)->feed, on_record, p);
  if (p->prefetcher) neap_prefetcher_turn(p->prefetcher, (double)now_of(p));
}

static void on_drain(neap_task *task) {
  const feed_seat *seat = NEAP_CONTAINER_OF(task, feed_seat, drain);
  drain(seat->home, seat->place);
}

/* On the worker. Not posted again before the feed was taken. */
static void on_wake(neap_feed *feed) {
  feed_seat *seat = NEAP_CONTAINER_OF(feed, feed_seat, feed);
  neap_loop_post(seat->home->gateway->loop, &seat->drain);
}

neap_feed *neap_prefetching_feed(neap_prefetching *p, uint32_t place) {
  feed_seat *seat = seat_at(p, place);
  if (seat) return &seat->feed;
  seat = calloc(1, sizeof *seat);
  if (seat == NULL) return NULL;
  *seat = (feed_seat){.drain.run = on_drain, .home = p, .place = place};
  neap_feed_init(&seat->feed, on_wake, seat);
  atomic_store_explicit(&p->seats[place], seat, memory_order_release);
  return &seat->feed;
}

/* What it told is taken first: a wake-up that is still under way then finds nothing. */
void neap_prefetching_worker_gone(neap_prefetching *p, uint32_t place) {
  if (seat_at(p, place) == NULL) return;
  drain(p, place);
  for (flight *one = p->flights, *next; one; one = next) {
    next = one->next;
    if (one->place != place) continue;
    const neap_feed_record record = {.kind = NEAP_FEED_FAILED, .order = one->order};
    end_flight(p, &record);
  }
}

/* --- life */

int neap_prefetching_create(neap_gateway *gateway, neap_prefetching **out) {
  neap_prefetching *p = calloc(1, sizeof *p);
  if (p == NULL) return NEAP_ENOMEM;
  neap_random random = {gateway->host->seed ^ UINT64_C(0x70726566)};
  p->gateway = gateway;
  p->links = p->refresh = p->asked = -1;
  p->key = (neap_hash_key){neap_random_next(&random), neap_random_next(&random), neap_random_next(&random)};
  *out = p;
  return 0;
}

void neap_prefetching_destroy(neap_prefetching **prefetching) {
  neap_prefetching *p = *prefetching;
  if (p == NULL) return;
  while (p->flights) {
    flight *one = p->flights;
    p->flights = one->next;
    free(one->order);
    free(one);
  }
  neap_prefetcher_destroy(&p->prefetcher);
  neap_targets_destroy(&p->targets);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    feed_seat *seat = seat_at(p, i);
    if (seat) neap_feed_fini(&seat->feed);
    free(seat);
  }
  free(p);
  *prefetching = NULL;
}

/* --- generations */

static neap_prefetch_options options_of(const neap_config *config) {
  const neap_config_prefetch *from = &config->prefetch;
  neap_prefetch_options out;
  neap_prefetch_options_init(&out, (double)config->cache.max_memory);
  out.shelf = from->shelf * (double)config->cache.max_memory;
  out.share = from->share;
  out.burst = out.saved = SAVED;
  out.in_flight = from->in_flight;
  out.precision = from->precision;
  out.rate = from->per_second;
  return out;
}

static bool is_of_file(const neap_config_prefetch *config) {
  for (size_t i = 0; i < config->policy_count; i++)
    if (config->policies[i].source) return true;
  return false;
}

static int open_policies(neap_prefetching *p, const neap_config *config, neap_registry *registry,
                         neap_prefetcher *prefetcher, neap_err *err) {
  const neap_policy_env env = {
      .host = p->gateway->host, .seed = p->gateway->host->seed, .generation = config->generation};
  for (size_t i = 0; i < config->prefetch.policy_count; i++) {
    const neap_config_prefetch_policy *policy = &config->prefetch.policies[i];
    int code = neap_prefetcher_open(prefetcher, registry, policy->name, NULL, policy->params,
                                    policy->param_count, &env, err);
    if (code < 0) return code;
  }
  return 0;
}

static int make_prefetcher(neap_prefetching *p, const neap_config *config, neap_registry *registry,
                           neap_prefetcher **out, neap_err *err) {
  const neap_prefetch_options options = options_of(config);
  const neap_prefetch_host host = {
      .user = p, .resolve = resolve, .holds = holds, .fetch = fetch, .drop = drop};
  int code = neap_prefetcher_create(&options, &host, out);
  if (code) return neap_fail(err, code, "prefetch: %s", neap_strerror(code));
  code = open_policies(p, config, registry, *out, err);
  if (code) {
    neap_prefetcher_destroy(out);
    return code;
  }
  neap_prefetcher_add(*out, "links");
  neap_prefetcher_add(*out, "refresh");
  neap_prefetcher_trust(*out, neap_prefetcher_add(*out, "asked"));
  return 0;
}

/* What a file requires may have changed: its policy hands over to itself. */
int neap_prefetching_prepare(neap_prefetching *p, const neap_config *config, neap_registry *registry,
                             neap_prefetching_change *change, neap_err *err) {
  const neap_config_prefetch *wanted = &config->prefetch;
  *change = (neap_prefetching_change){NULL, NULL};
  if (!wanted->enabled || !config->cache_enabled) return 0;
  if (p->targets == NULL || neap_targets_limit(p->targets) != wanted->memory) {
    int code = neap_targets_create(wanted->memory, &p->key, &change->targets);
    if (code) return neap_fail(err, code, "prefetch: %s", neap_strerror(code));
  }
  bool same =
      p->prefetcher && wanted->hash == p->policies_hash && !is_of_file(wanted) && !p->policies_of_files;
  return same ? 0 : make_prefetcher(p, config, registry, &change->prefetcher, err);
}

void neap_prefetching_undo(neap_prefetching_change *change) {
  neap_prefetcher_destroy(&change->prefetcher);
  neap_targets_destroy(&change->targets);
}

static int issuer_named(const neap_prefetcher *prefetcher, const char *name) {
  for (int i = 0; i < neap_prefetcher_count(prefetcher); i++)
    if (strcmp(neap_prefetcher_name(prefetcher, i), name) == 0) return i;
  return -1;
}

static void put_in_force(neap_prefetching *p, const neap_config *config, neap_prefetching_change *change) {
  if (change->targets) {
    neap_targets_on_gone(change->targets, on_target_gone, p);
    if (p->targets) neap_targets_move(change->targets, &p->targets);
    p->targets = change->targets;
  }
  if (change->prefetcher) {
    if (p->prefetcher) neap_prefetcher_adopt(change->prefetcher, &p->prefetcher);
    p->prefetcher = change->prefetcher;
  }
  const neap_prefetch_options options = options_of(config);
  neap_prefetcher_set_options(p->prefetcher, &options);
  p->shelf = options.shelf;
  p->flights_max = options.in_flight;
  p->policies_hash = config->prefetch.hash;
  p->policies_of_files = is_of_file(&config->prefetch);
  p->hints = issuer_named(p->prefetcher, "hints") >= 0;
  p->links = config->prefetch.links ? issuer_named(p->prefetcher, "links") : -1;
  p->refresh = issuer_named(p->prefetcher, "refresh");
  p->asked = issuer_named(p->prefetcher, "asked");
  *change = (neap_prefetching_change){NULL, NULL};
}

void neap_prefetching_commit(neap_prefetching *p, const neap_config *config,
                             neap_prefetching_change *change) {
  if (config->prefetch.enabled && config->cache_enabled) {
    put_in_force(p, config, change);
    return;
  }
  if (p->prefetcher == NULL) return;
  neap_prefetcher_drop_all(p->prefetcher);
  neap_prefetcher_destroy(&p->prefetcher);
  p->epoch++;
}

/* --- asking and seeing */

int neap_prefetching_ask(neap_prefetching *p, neap_view host, neap_view target) {
  if (p->prefetcher == NULL) return NEAP_ESTATE;
  neap_prefetcher_turn(p->prefetcher, (double)now_of(p));
  neap_target *row = neap_targets_note(p->targets, host, target, NEAP_BYTES(""));
  if (row == NULL) return NEAP_EROOM;
  row->barred_ms = 0; /* whoever asks knows better */
  neap_prefetch_item item = item_of(row);
  return neap_prefetcher_wish(p->prefetcher, p->asked, &item);
}

const neap_prefetcher *neap_prefetching_prefetcher(const neap_prefetching *p) {
  return p->prefetcher;
}

const neap_targets *neap_prefetching_targets(const neap_prefetching *p) {
  return p->targets;
}

uint64_t neap_prefetching_lost(const neap_prefetching *p) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    const feed_seat *seat = seat_at(p, i);
    if (seat) sum += atomic_load_explicit((_Atomic uint64_t *)&seat->feed.lost, memory_order_relaxed);
  }
  return sum;
}
