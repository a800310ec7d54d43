/* What the prefetcher asks of the gateway, prefetches under way, and how they end. */
#include "server/prefetch_impl.h"

#include <stdlib.h>
#include <string.h>

#include "store/store.h"

enum {
  BARRED_MS = 30000, /* what came to nothing is not fetched again */
  SHELF_PART = 8     /* one response takes at most such a part of the shelf */
};

/* --- the cache */

static void drop_from_cache(neap_prefetching *p, neap_target *target) {
  neap_cache *cache = atomic_load(&p->gateway->cache);
  if (!target->shelved) return;
  target->shelved = false;
  if (cache) neap_store_drop_unused_key(cache, neap_target_stored(target));
}

void neap_prefetching_forget(void *user, neap_target *target) {
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

neap_prefetch_item neap_prefetching_item(const neap_target *target) {
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
  *out = neap_prefetching_item(target);
  return true;
}

static bool holds(void *user, const neap_prefetch_item *item) {
  neap_prefetching *p = user;
  const neap_target *target = neap_targets_find(p->targets, item->hash);
  uint64_t now_ms = neap_prefetching_now(p);
  if (target == NULL || now_ms < target->barred_ms) return true;
  if (target->clients > 0 && now_ms - target->asked_ms < NEAP_CLIENT_MS) return true;
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

int neap_prefetching_send(neap_prefetching *p, const neap_prefetch_item *item, uint64_t refreshes) {
  uint32_t place;
  neap_target *target = neap_targets_find(p->targets, item->hash);
  neap_worker *worker = choose_worker(p, &place);
  if (target == NULL || worker == NULL || p->gateway->stopping) return NEAP_ESTATE;
  if (p->flight_count >= p->flights_max) return NEAP_EBUSY; /* those that are late, too */
  neap_flight *made = calloc(1, sizeof *made);
  neap_prefetch_order *order = neap_prefetch_order_create(
      neap_target_host(target), neap_target_target(target), neap_target_encoding(target));
  if (made == NULL || order == NULL) {
    free(made);
    free(order);
    return NEAP_EINVAL;
  }
  *made = (neap_flight){.next = p->flights,
                        .order = order,
                        .place = place,
                        .epoch = p->epoch,
                        .began_ms = neap_prefetching_now(p),
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
  return neap_prefetching_send(user, item, 0);
}

static void drop(void *user, const neap_prefetch_item *item) {
  neap_prefetching *p = user;
  neap_target *target = neap_targets_find(p->targets, item->hash);
  if (target) drop_from_cache(p, target);
}

neap_prefetch_host neap_prefetching_host(neap_prefetching *p) {
  return (neap_prefetch_host){.user = p, .resolve = resolve, .holds = holds, .fetch = fetch, .drop = drop};
}

/* --- how prefetches end */

/* What was in use and is there anew before it was missed has been of use. */
static void end_refresh(neap_prefetching *p, const neap_flight *ended, neap_target *target,
                        const neap_feed_record *record) {
  bool kept = record->kind == NEAP_FEED_LANDED;
  bool late = target && target->asked_ms >= ended->began_ms;
  if (target && kept) {
    neap_targets_set_keys(p->targets, target, record->key, record->stored);
    target->size = record->size;
  }
  if (kept) let_stay(p, record->stored.size > 0 ? record->stored : record->key);
  if (target && !kept) target->barred_ms = neap_prefetching_now(p) + BARRED_MS;
  if (p->prefetcher && ended->epoch == p->epoch)
    neap_prefetcher_settle(p->prefetcher, p->refresh, ended->refreshes,
                           !kept  ? NEAP_PREFETCH_WASTED
                           : late ? NEAP_PREFETCH_LATE
                                  : NEAP_PREFETCH_USED);
}

/* A target that has given way can be dropped no more: its response stays, as if it were used. */
static void on_landed(neap_prefetching *p, uint64_t hash, neap_target *target,
                      const neap_feed_record *record) {
  bool waits = false;
  if (target) {
    neap_targets_set_keys(p->targets, target, record->key, record->stored);
    target->size = record->size;
    if (p->prefetcher) neap_prefetcher_weigh(p->prefetcher, hash, record->size);
    waits = p->prefetcher && neap_prefetcher_landed(p->prefetcher, hash);
    target->shelved = waits;
  } else if (p->prefetcher) {
    neap_prefetcher_failed(p->prefetcher, hash);
  }
  if (!waits) let_stay(p, record->stored.size > 0 ? record->stored : record->key);
}

static void end_plain(neap_prefetching *p, uint64_t hash, neap_target *target,
                      const neap_feed_record *record) {
  switch (record->kind) {
  case NEAP_FEED_LANDED: on_landed(p, hash, target, record); break;
  case NEAP_FEED_HELD:
    if (target) neap_targets_set_keys(p->targets, target, record->key, NEAP_BYTES(""));
    if (p->prefetcher) neap_prefetcher_held(p->prefetcher, hash);
    break;
  default:
    if (target) target->barred_ms = neap_prefetching_now(p) + BARRED_MS;
    if (p->prefetcher) neap_prefetcher_failed(p->prefetcher, hash);
  }
}

void neap_prefetching_end(neap_prefetching *p, const neap_feed_record *record) {
  neap_flight **at = &p->flights;
  while (*at && (*at)->order != record->order) at = &(*at)->next;
  neap_flight *ended = *at;
  if (ended == NULL) return;
  *at = ended->next;
  p->flight_count--;
  uint64_t hash = ended->order->hash;
  neap_target *target = neap_targets_find(p->targets, hash);
  if (target) target->pins--;
  if (ended->refreshes > 0)
    end_refresh(p, ended, target, record);
  else
    end_plain(p, hash, target, record);
  free(ended->order);
  free(ended);
}
