/* Writes that wait for a tier: behind, or to be repeated after a failure. One per key, the last one; deletes
 * go first. When one cannot wait, what the tier has is not to be believed any more: it is cleared first.
 *
 * An item is
 *   1 waiting   in the list of its verb, by when it is due
 *   2 sending   in no list, with a port; what is written meanwhile replaces it and waits after it (`again`)
 *   3 held      in no list, while newer writes of its key are with the tier: where one of them succeeds it is
 *               obsolete, else it waits again
 */
#include <stdlib.h>

#include "tier/impl.h"

enum { BUCKETS = 1024, SENDS_MAX = 32, LOOK_AGAIN_MS = 100 };

typedef struct item {
  struct item *next;            /* in its bucket */
  struct item *earlier, *later; /* in its list */
  neap_tier_wait wait;          /* key: in bytes below */
  bool sending, again;
  bool obsolete; /* to be forgotten when nobody holds or sends it */
  uint32_t held;
  bool tried;
  char bytes[];
} item;

typedef struct list {
  item *first, *last;
} list;

struct neap_tier_later {
  pthread_mutex_t lock;
  item *buckets[BUCKETS];
  list deletes, sets;
  uint64_t count, bytes;
  bool lost, clearing; /* to be cleared first; that is under way */
};

struct neap_tier_later_send {
  neap_tier_later_send *prev, *next;
  neap_tiers_port *port;
  neap_tier *tier;
  item *item; /* NULL: a clear */
  neap_tier_blob *blob;
  neap_tier_try try;
};

/* --- lists and table. Under the lock */

static list *list_of(neap_tier_later *later, const item *it) {
  return it->wait.verb == NEAP_TIER_DELETE ? &later->deletes : &later->sets;
}

static void enlist(neap_tier_later *later, item *it) {
  list *in = list_of(later, it);
  item *after = in->last;
  while (after && after->wait.due_ms > it->wait.due_ms) after = after->earlier;
  it->earlier = after;
  it->later = after ? after->later : in->first;
  if (it->later)
    it->later->earlier = it;
  else
    in->last = it;
  if (after)
    after->later = it;
  else
    in->first = it;
}

static void delist(neap_tier_later *later, item *it) {
  list *in = list_of(later, it);
  if (it->earlier)
    it->earlier->later = it->later;
  else
    in->first = it->later;
  if (it->later)
    it->later->earlier = it->earlier;
  else
    in->last = it->earlier;
}

static item **place_of(neap_tier_later *later, uint64_t hash, neap_view key) {
  item **place = &later->buckets[hash % BUCKETS];
  while (*place && !((*place)->wait.hash == hash && (*place)->wait.key.size == key.size &&
                     memcmp((*place)->bytes, key.ptr, key.size) == 0))
    place = &(*place)->next;
  return place;
}

static uint64_t bytes_of(const neap_tier_wait *wait) {
  return sizeof(item) + wait->key.size + (wait->blob ? wait->blob->size + wait->blob->meta_size : 0);
}

/* Out of the table, freed. It is in no list. */
static void forget(neap_tier_later *later, item *it) {
  *place_of(later, it->wait.hash, it->wait.key) = it->next;
  later->count--;
  later->bytes -= bytes_of(&it->wait);
  neap_tier_blob_unref(it->wait.blob);
  free(it);
}

/* Takes over what `wait` says; the key stays. */
static void assign(neap_tier_later *later, item *it, const neap_tier_wait *wait) {
  neap_view key = {it->bytes, wait->key.size};
  later->bytes -= it->wait.key.ptr ? bytes_of(&it->wait) : 0;
  neap_tier_blob_unref(it->wait.blob);
  it->wait = *wait;
  it->wait.key = key;
  neap_tier_blob_ref(it->wait.blob);
  later->bytes += bytes_of(&it->wait);
}

/* --- put, find, drop */

static void arm(neap_tiers_port *port, uint64_t delay_ms) {
  uint64_t due_ms = neap_tier_now(port) + delay_ms;
  if (!neap_due_is_set(&port->pump) || port->pump.due_ms > due_ms)
    neap_tier_due_in(port, &port->pump, delay_ms);
}

static bool fits(const neap_tier *tier, const neap_tier_wait *wait, const item *instead) {
  const neap_tier_later *later = tier->later;
  uint64_t bytes = later->bytes + bytes_of(wait) - (instead ? bytes_of(&instead->wait) : 0);
  return later->count + (instead == NULL) <= tier->options.recovery_max &&
         bytes <= tier->options.recovery_bytes;
}

static int put(neap_tier *tier, const neap_tier_wait *wait) {
  neap_tier_later *later = tier->later;
  item **place = place_of(later, wait->hash, wait->key), *it = *place;
  if (!fits(tier, wait, it)) return NEAP_EROOM;
  if (it) {
    neap_tier_count(&tier->coalesced, 1);
    if (!it->sending && !it->held) delist(later, it);
    it->again = it->sending;
  } else {
    it = calloc(1, sizeof *it + wait->key.size);
    if (it == NULL) return NEAP_ENOMEM;
    memcpy(it->bytes, wait->key.ptr, wait->key.size);
    *place = it;
    later->count++;
  }
  assign(later, it, wait);
  it->tried = it->obsolete = false;
  if (!it->sending && !it->held) enlist(later, it);
  return 0;
}

int neap_tier_later_put(neap_tiers_port *port, int index, const neap_tier_wait *wait) {
  neap_tier *tier = &port->tiers->tiers[index];
  pthread_mutex_lock(&tier->later->lock);
  int code = put(tier, wait);
  pthread_mutex_unlock(&tier->later->lock);
  if (code) return code;
  neap_tier_count(&tier->queued, 1);
  uint64_t now_ms = neap_tier_now(port);
  arm(port, wait->due_ms > now_ms ? wait->due_ms - now_ms : 0);
  return 0;
}

void neap_tier_later_lost(neap_tiers_port *port, int index) {
  neap_tier *tier = &port->tiers->tiers[index];
  pthread_mutex_lock(&tier->later->lock);
  tier->later->lost = true;
  pthread_mutex_unlock(&tier->later->lock);
  neap_tier_count(&tier->dropped, 1);
  arm(port, tier->options.recovery_delay_ms);
}

int neap_tier_later_find(neap_tier *tier, uint64_t hash, neap_view key, uint64_t now_ms,
                         neap_tier_object *object, neap_tier_blob **blob) {
  if (tier->later == NULL) return NEAP_TIER_WAITS_NOT;
  pthread_mutex_lock(&tier->later->lock);
  const item *it = tier->later->count ? *place_of(tier->later, hash, key) : NULL;
  if (it && it->obsolete) it = NULL;
  int waits = NEAP_TIER_WAITS_NOT;
  if (it && it->wait.verb == NEAP_TIER_DELETE) waits = NEAP_TIER_WAITS_DELETE;
  if (it && it->wait.verb == NEAP_TIER_SET && it->wait.expires_ms > now_ms) {
    waits = NEAP_TIER_WAITS_SET;
    if (object)
      *object = (neap_tier_object){.version = it->wait.version,
                                   .ttl_ms = it->wait.expires_ms == UINT64_MAX ? NEAP_TTL_NEVER
                                                                               : it->wait.expires_ms - now_ms,
                                   .cost_us = it->wait.cost_us,
                                   .meta = neap_tier_blob_meta(it->wait.blob),
                                   .body = neap_tier_blob_body(it->wait.blob)};
    if (blob) *blob = neap_tier_blob_ref(it->wait.blob);
  }
  pthread_mutex_unlock(&tier->later->lock);
  return waits;
}

bool neap_tier_later_hold(neap_tier *tier, uint64_t hash, neap_view key, bool *held) {
  pthread_mutex_lock(&tier->later->lock);
  item *it = tier->later->count ? *place_of(tier->later, hash, key) : NULL;
  bool sending = it && it->sending;
  *held = it && !sending;
  if (*held && it->held++ == 0) delist(tier->later, it);
  pthread_mutex_unlock(&tier->later->lock);
  return !sending;
}

void neap_tier_later_release(neap_tier *tier, uint64_t hash, neap_view key, bool done) {
  pthread_mutex_lock(&tier->later->lock);
  item *it = *place_of(tier->later, hash, key);
  it->obsolete |= done;
  if (--it->held == 0) {
    if (it->obsolete) {
      forget(tier->later, it);
      neap_tier_count(&tier->coalesced, 1);
    } else {
      enlist(tier->later, it);
    }
  }
  pthread_mutex_unlock(&tier->later->lock);
}

void neap_tier_later_drop_all(neap_tier *tier) {
  neap_tier_later *later = tier->later;
  pthread_mutex_lock(&later->lock);
  for (size_t i = 0; i < BUCKETS; i++)
    for (item *it = later->buckets[i], *next; it; it = next) {
      next = it->next;
      neap_tier_count(&tier->dropped, !it->obsolete);
      it->obsolete = true;
      if (it->sending || it->held) continue; /* forgotten by who has it */
      delist(later, it);
      forget(later, it);
    }
  later->lost = false;
  pthread_mutex_unlock(&later->lock);
}

uint64_t neap_tier_later_count(const neap_tier *tier) {
  pthread_mutex_lock(&tier->later->lock);
  uint64_t count = tier->later->count + tier->later->lost;
  pthread_mutex_unlock(&tier->later->lock);
  return count;
}

/* --- send */

static void unlink_send(neap_tier_later_send *send) {
  if (send->prev)
    send->prev->next = send->next;
  else
    send->port->sends = send->next;
  if (send->next) send->next->prev = send->prev;
  send->port->send_count--;
}

static bool is_over(int code) {
  return code == 0 || code == NEAP_EVERSION || code == NEAP_ETOOLARGE || code == NEAP_EINVAL;
}

/* Under the lock. */
static void sent_item(neap_tier_later_send *send, int code, uint64_t now_ms) {
  item *it = send->item;
  it->sending = false;
  if (is_over(code)) neap_tier_count(code == 0 ? &send->tier->replayed : &send->tier->dropped, 1);
  if (it->obsolete || (is_over(code) && !it->again)) {
    forget(send->tier->later, it);
    return;
  }
  it->tried = !it->again;
  if (!it->again) it->wait.due_ms = now_ms + send->tier->options.recovery_delay_ms;
  it->again = false;
  enlist(send->tier->later, it);
}

static void end_send(neap_tier_later_send *send, int code, uint64_t version) {
  neap_tier_later *later = send->tier->later;
  neap_tiers *tiers = send->port->tiers;
  uint64_t now_ms = neap_tier_now(send->port);
  if (code == NEAP_EVERSION && send->item) neap_tiers_invalidate(tiers, send->try.call.key, version);
  unlink_send(send);
  pthread_mutex_lock(&later->lock);
  if (send->item) {
    sent_item(send, code, now_ms);
  } else {
    later->clearing = false;
    later->lost = later->lost && code != 0;
  }
  pthread_mutex_unlock(&later->lock);
  neap_tier_blob_unref(send->blob);
  free(send);
}

static void on_sent(neap_tier_try *try, const neap_tier_answer *answer) {
  neap_tier_later_send *send = NEAP_CONTAINER_OF(try, neap_tier_later_send, try);
  neap_tiers_port *port = send->port;
  end_send(send, answer->code, answer->object.version);
  arm(port, 0);
}

static void fill_call(neap_tier_later_send *send, const neap_tier_wait *wait, uint64_t now_ms) {
  neap_tier_call *call = &send->try.call;
  *call = (neap_tier_call){.verb = wait->verb, .key = wait->key, .replay = true, .made_us = wait->made_us};
  call->object.version = wait->version;
  if (wait->blob == NULL) return;
  send->blob = neap_tier_blob_ref(wait->blob);
  call->object.ttl_ms = wait->expires_ms == UINT64_MAX ? NEAP_TTL_NEVER : wait->expires_ms - now_ms;
  call->object.cost_us = wait->cost_us;
  call->object.meta = neap_tier_blob_meta(wait->blob);
  call->object.body = neap_tier_blob_body(wait->blob);
}

static item *first_due(list *in, uint64_t now_ms, bool pushing) {
  item *it = in->first;
  return it && (it->wait.due_ms <= now_ms || (pushing && !it->tried)) ? it : NULL;
}

/* Takes what is to be sent next. False: nothing. Under the lock. */
static bool take(neap_tier_later_send *send, uint64_t now_ms) {
  neap_tier_later *later = send->tier->later;
  bool pushing = send->port->flushes != NULL;
  if (later->clearing) return false;
  if (later->lost) {
    later->clearing = true;
    send->try.call = (neap_tier_call){.verb = NEAP_TIER_CLEAR, .key = {"", 0}};
    return true;
  }
  for (item *it; (it = first_due(&later->deletes, now_ms, pushing)) != NULL ||
                 (it = first_due(&later->sets, now_ms, pushing)) != NULL;) {
    delist(later, it);
    if (it->wait.expires_ms <= now_ms) {
      forget(later, it);
      neap_tier_count(&send->tier->dropped, 1);
      continue;
    }
    it->sending = true;
    send->item = it;
    fill_call(send, &it->wait, now_ms);
    return true;
  }
  return false;
}

static bool would(neap_tier *tier, uint64_t now_ms) {
  pthread_mutex_lock(&tier->lock);
  bool yes = neap_tier_breaker_would(&tier->breaker, now_ms);
  pthread_mutex_unlock(&tier->lock);
  return yes;
}

/* Sends one. False: there is none, or it could not be sent. */
static bool send_next(neap_tiers_port *port, int index) {
  neap_tier *tier = &port->tiers->tiers[index];
  uint64_t now_ms = neap_tier_now(port);
  if (port->send_count >= SENDS_MAX || !would(tier, now_ms)) return false;
  neap_tier_later_send *send = calloc(1, sizeof *send);
  if (send == NULL) return false;
  send->port = port;
  send->tier = tier;
  send->try.done = on_sent;
  pthread_mutex_lock(&tier->later->lock);
  bool taken = take(send, now_ms);
  pthread_mutex_unlock(&tier->later->lock);
  if (!taken) {
    free(send);
    return false;
  }
  send->next = port->sends;
  if (send->next) send->next->prev = send;
  port->sends = send;
  port->send_count++;
  int code = neap_tier_try_start(&send->try, port, index);
  if (code) end_send(send, code, 0);
  return code == 0;
}

/* How long until something is due; what is due already waits for the tier to be well. */
static uint64_t rest_ms(neap_tier *tier, uint64_t now_ms) {
  uint64_t rest = LOOK_AGAIN_MS;
  pthread_mutex_lock(&tier->later->lock);
  const item *firsts[] = {tier->later->deletes.first, tier->later->sets.first};
  for (int i = 0; i < 2; i++)
    if (firsts[i] && firsts[i]->wait.due_ms > now_ms) rest = NEAP_MIN(rest, firsts[i]->wait.due_ms - now_ms);
  pthread_mutex_unlock(&tier->later->lock);
  return rest;
}

void neap_tier_later_pump(neap_tiers_port *port) {
  uint64_t waiting = 0, rest = LOOK_AGAIN_MS;
  for (int i = 1; i < port->tiers->count; i++) {
    while (send_next(port, i)) continue;
    waiting += neap_tier_later_count(&port->tiers->tiers[i]);
    rest = NEAP_MIN(rest, rest_ms(&port->tiers->tiers[i], neap_tier_now(port)));
  }
  if (waiting > 0)
    arm(port, rest);
  else
    neap_tier_flushed(port);
}

void neap_tier_later_abort(neap_tiers_port *port) {
  while (port->sends) {
    neap_tier_try_cancel(&port->sends->try);
    end_send(port->sends, NEAP_ECANCELED, 0);
  }
}

/* --- create and destroy */

int neap_tier_later_create(const neap_host *host, neap_tier_later **out) {
  (void)host;
  neap_tier_later *later = calloc(1, sizeof *later);
  if (later == NULL) return NEAP_ENOMEM;
  pthread_mutex_init(&later->lock, NULL);
  *out = later;
  return 0;
}

void neap_tier_later_destroy(neap_tier_later **later_ptr) {
  neap_tier_later *later = *later_ptr;
  if (later == NULL) return;
  *later_ptr = NULL;
  while (later->deletes.first || later->sets.first) {
    item *it = later->deletes.first ? later->deletes.first : later->sets.first;
    delist(later, it);
    forget(later, it);
  }
  pthread_mutex_destroy(&later->lock);
  free(later);
}
