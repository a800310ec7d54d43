/* What workers tell of requests, and which generation of policies hears it. */
#include "server/prefetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "server/prefetch_impl.h"

enum { SAVED = 64 /* prefetches that may be saved up */ };

/* --- what workers tell */

static neap_prefetch_event want_of(const neap_target *target, const neap_feed_record *record) {
  neap_target_number number;
  neap_view text = neap_target_target(target);
  neap_prefetch_event event = {.kind = NEAP_PREFETCH_WANT,
                               .size = (int32_t)NEAP_MIN(target->size, (uint64_t)INT32_MAX),
                               .hash = neap_short_hash(target->hash),
                               .stream = neap_short_hash(record->stream)};
  if (!neap_target_number_of(text, &number)) return event;
  uint64_t front = neap_hash_bytes(text.ptr, number.at);
  uint64_t back = neap_hash_bytes(text.ptr + number.at + number.size, text.size - number.at - number.size);
  event.space =
      neap_short_hash(neap_hash_mix(front ^ back << 1, neap_hash_bytes(record->host.ptr, record->host.size)));
  event.number = number.value;
  return event;
}

static void on_miss(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  if (target == NULL) return;
  neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
  uint64_t now_ms = neap_prefetching_now(p);
  target->clients = now_ms - target->asked_ms < NEAP_CLIENT_MS ? target->clients + 1 : 1;
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
  neap_prefetch_item item = neap_prefetching_item(target);
  if (p->hints) {
    uint64_t page = neap_targets_hash(p->targets, record->host, record->page);
    neap_prefetch_event event = want_of(target, record);
    event.kind = NEAP_PREFETCH_HINT;
    event.like = neap_short_hash(page);
    neap_prefetcher_hint(p->prefetcher, &event);
  } else if (p->links >= 0) {
    neap_prefetcher_wish(p->prefetcher, p->links, &item);
  }
}

/* Said once of an entry: what there is no budget for now has had its chance. */
static void on_aging(neap_prefetching *p, const neap_feed_record *record) {
  neap_target *target = neap_targets_note(p->targets, record->host, record->target, record->encoding);
  uint64_t now_ms = neap_prefetching_now(p);
  if (target == NULL || p->refresh < 0 || now_ms < target->barred_ms) return;
  neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
  neap_prefetch_item item = neap_prefetching_item(target);
  if (!neap_prefetcher_allow(p->prefetcher, p->refresh, item.size)) return;
  if (neap_prefetching_send(p, &item, item.size) != 0)
    neap_prefetcher_settle(p->prefetcher, p->refresh, item.size, NEAP_PREFETCH_WASTED);
}

/* --- draining */

static void on_record(void *user, const neap_feed_record *record) {
  neap_prefetching *p = user;
  if (record->order) {
    neap_prefetching_end(p, record);
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

static neap_feed_seat *seat_at(const neap_prefetching *p, uint32_t place) {
  return atomic_load_explicit((_Atomic(neap_feed_seat *) *)&p->seats[place], memory_order_acquire);
}

static uint64_t requests_of(const neap_prefetching *p) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    const neap_feed_seat *seat = seat_at(p, i);
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
    neap_prefetcher_turn(p->prefetcher, (double)neap_prefetching_now(p));
  }
  neap_feed_take(&seat_at(p, place)->feed, on_record, p);
  if (p->prefetcher) neap_prefetcher_turn(p->prefetcher, (double)neap_prefetching_now(p));
}

static void on_drain(neap_task *task) {
  const neap_feed_seat *seat = NEAP_CONTAINER_OF(task, neap_feed_seat, drain);
  drain(seat->home, seat->place);
}

/* On the worker. Not posted again before the feed was taken. */
static void on_wake(neap_feed *feed) {
  neap_feed_seat *seat = NEAP_CONTAINER_OF(feed, neap_feed_seat, feed);
  neap_loop_post(seat->home->gateway->loop, &seat->drain);
}

neap_feed *neap_prefetching_feed(neap_prefetching *p, uint32_t place) {
  neap_feed_seat *seat = seat_at(p, place);
  if (seat) return &seat->feed;
  seat = calloc(1, sizeof *seat);
  if (seat == NULL) return NULL;
  *seat = (neap_feed_seat){.drain.run = on_drain, .home = p, .place = place};
  neap_feed_init(&seat->feed, on_wake, seat);
  atomic_store_explicit(&p->seats[place], seat, memory_order_release);
  return &seat->feed;
}

/* What it told is taken first: a wake-up that is still under way then finds nothing. */
void neap_prefetching_worker_gone(neap_prefetching *p, uint32_t place) {
  if (seat_at(p, place) == NULL) return;
  drain(p, place);
  for (neap_flight *one = p->flights, *next; one; one = next) {
    next = one->next;
    if (one->place != place) continue;
    const neap_feed_record record = {.kind = NEAP_FEED_FAILED, .order = one->order};
    neap_prefetching_end(p, &record);
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
    neap_flight *one = p->flights;
    p->flights = one->next;
    free(one->order);
    free(one);
  }
  neap_prefetcher_destroy(&p->prefetcher);
  neap_targets_destroy(&p->targets);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    neap_feed_seat *seat = seat_at(p, i);
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

static int issuer_named(const neap_prefetcher *prefetcher, const char *name) {
  for (int i = 0; i < neap_prefetcher_count(prefetcher); i++)
    if (strcmp(neap_prefetcher_name(prefetcher, i), name) == 0) return i;
  return -1;
}

/* Figures are by name, and so is what a successor takes over. */
static int check_names(const neap_prefetcher *prefetcher, neap_err *err) {
  for (int i = 0; i < neap_prefetcher_count(prefetcher); i++) {
    const char *name = neap_prefetcher_name(prefetcher, i);
    if (issuer_named(prefetcher, name) < i)
      return neap_fail(err, NEAP_EINVAL, "prefetch: there are two called '%s'", name);
  }
  return 0;
}

static int make_prefetcher(neap_prefetching *p, const neap_config *config, neap_registry *registry,
                           neap_prefetcher **out, neap_err *err) {
  const neap_prefetch_options options = options_of(config);
  const neap_prefetch_host host = neap_prefetching_host(p);
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
  code = check_names(*out, err);
  if (code) neap_prefetcher_destroy(out);
  return code;
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

static void put_in_force(neap_prefetching *p, const neap_config *config, neap_prefetching_change *change) {
  if (change->targets) {
    neap_targets_on_gone(change->targets, neap_prefetching_forget, p);
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
  neap_prefetcher_turn(p->prefetcher, (double)neap_prefetching_now(p));
  neap_target *row = neap_targets_note(p->targets, host, target, NEAP_BYTES(""));
  if (row == NULL) return NEAP_EROOM;
  row->barred_ms = 0; /* whoever asks knows better */
  neap_prefetch_item item = neap_prefetching_item(row);
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
    const neap_feed_seat *seat = seat_at(p, i);
    if (seat) sum += atomic_load_explicit((_Atomic uint64_t *)&seat->feed.lost, memory_order_relaxed);
  }
  return sum;
}
