/* Clients that keep copies are told when a key changes: CLIENT TRACKING.
 *
 * What each has read is remembered in one table for all workers, by key; a change takes the key out of it and
 * leaves a message with the front of every client that is named there. A client that has gone is not taken
 * out of the table: its number is never given again. When the table is full, keys in it count as changed.
 *
 * One lock for all of it, never held with a call into a cache, and not taken at all where nobody tracks. A
 * front outlives its clients, and an inbox all fronts, so that a message finds its way or is dropped.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "front/resp_handlers.h"

enum {
  KEY_BUCKETS = 1 << 16,
  TRACKER_BUCKETS = 1 << 10,
  KEYS_MAX = 1 << 20,
  BYTES_MAX = 64 << 20,
  PREFIXES_MAX = 64,
  PUSHES_MAX = 1 << 20 /* bytes of messages that wait for a client; then it is closed */
};

/* A key that somebody has read. */
typedef struct tracked {
  struct tracked *next;
  uint64_t hash;
  uint64_t *ids;
  uint32_t count, room;
  size_t key_size;
  char key[];
} tracked;

struct neap_port_tracker {
  neap_port_tracker *next, *next_wide; /* in the same bucket; of those that are told of prefixes */
  uint64_t id;
  neap_port_client *client; /* whose front is alive as long as this is */
  neap_port_inbox *inbox;
  bool noloop, wide, opt_in, opt_out;
  int caching; /* what CLIENT CACHING has said for the next command: 1, -1, or 0 */
  size_t prefix_count;
  neap_view prefixes[PREFIXES_MAX]; /* own memory */
};

typedef struct message {
  struct message *next;
  neap_port_client *client;
  uint64_t id;
  bool all; /* every key */
  size_t key_size;
  char key[];
} message;

struct neap_port_inbox {
  neap_port_inbox *next;
  neap_task task;
  neap_loop *loop;
  neap_resp_front *front; /* NULL: closed */
  neap_port_tracking *tracking;
  message *first, **last;
  bool posted, lost; /* lost: there was no memory for a message */
};

struct neap_port_tracking {
  pthread_mutex_t lock;
  _Atomic uint32_t trackers;
  tracked **keys; /* made when somebody first tracks */
  size_t key_count, key_bytes, sweep;
  neap_port_tracker *buckets[TRACKER_BUCKETS];
  neap_port_tracker *wide;
  neap_port_inbox *inboxes;
};

/* --- messages */

/* On the front's thread. */
static void put_message(neap_resp_out *out, const message *told) {
  neap_resp_put_push(out, 2);
  neap_resp_put_bulk(out, NEAP_BYTES("invalidate"));
  if (told->all) {
    neap_resp_put_null(out);
    return;
  }
  neap_resp_put_array(out, 1);
  neap_resp_put_bulk(out, (neap_view){told->key, told->key_size});
}

static bool is_there(const message *told) {
  return told->client->magic == NEAP_PORT_CLIENT_MAGIC && told->client->id == told->id &&
         told->client->version3;
}

/* What was gathered in the front's reply. */
static void send_to(neap_port_client *client) {
  neap_port_send(client);
  if (client->broken) neap_port_client_close(client);
}

static void keep_for_later(neap_port_client *client, const message *told) {
  if (client->pushes.max == 0) neap_resp_out_init(&client->pushes, PUSHES_MAX);
  client->pushes.version3 = true;
  put_message(&client->pushes, told);
  if (!client->pushes.failed) return;
  client->broken = true;
  atomic_fetch_add(&client->front->keys->closed_room, 1);
  neap_port_client_close(client);
}

static void deliver(neap_resp_front *front, message *told) {
  neap_port_client *open = NULL; /* whose messages are in the reply */
  front->reply.out.version3 = true;
  for (message *next; told; told = next) {
    next = told->next;
    if (open && open != told->client) {
      send_to(open);
      open = NULL;
    }
    if (is_there(told) && (told->client->sending || told->client->errand)) {
      keep_for_later(told->client, told);
    } else if (is_there(told)) {
      open = told->client;
      put_message(&front->reply.out, told);
    }
    free(told);
  }
  if (open) send_to(open);
}

/* They would go on believing copies that they were not told of. */
static void close_trackers(neap_resp_front *front) {
  for (neap_port_client *client = front->clients, *next; client; client = next) {
    next = client->next;
    if (client->tracker == NULL) continue;
    client->broken = true;
    neap_port_client_close(client);
  }
}

static void on_inbox(neap_task *task) {
  neap_port_inbox *inbox = NEAP_CONTAINER_OF(task, neap_port_inbox, task);
  pthread_mutex_lock(&inbox->tracking->lock);
  message *first = inbox->first;
  inbox->first = NULL;
  inbox->last = &inbox->first;
  bool lost = inbox->lost;
  inbox->posted = inbox->lost = false;
  pthread_mutex_unlock(&inbox->tracking->lock);
  if (inbox->front) {
    deliver(inbox->front, first);
    if (lost) close_trackers(inbox->front);
    return;
  }
  for (message *next; first; first = next) {
    next = first->next;
    free(first);
  }
}

/* The lock is held. */
static void leave_message(neap_port_tracker *tracker, const neap_view *key) {
  neap_port_inbox *inbox = tracker->inbox;
  size_t size = key ? key->size : 0;
  message *made = malloc(sizeof *made + size);
  if (made) {
    *made = (message){.client = tracker->client, .id = tracker->id, .all = key == NULL, .key_size = size};
    if (size > 0) memcpy(made->key, key->ptr, size);
    *inbox->last = made;
    inbox->last = &made->next;
  }
  inbox->lost |= made == NULL;
  if (inbox->posted) return;
  inbox->posted = true;
  neap_loop_post(inbox->loop, &inbox->task);
}

neap_port_inbox *neap_port_inbox_open(neap_resp_front *front) {
  neap_port_tracking *tracking = front->keys->tracking;
  neap_port_inbox *inbox = calloc(1, sizeof *inbox);
  if (inbox == NULL) return NULL;
  *inbox = (neap_port_inbox){.task.run = on_inbox, .loop = front->loop, .front = front, .tracking = tracking};
  inbox->last = &inbox->first;
  pthread_mutex_lock(&tracking->lock);
  inbox->next = tracking->inboxes;
  tracking->inboxes = inbox;
  pthread_mutex_unlock(&tracking->lock);
  return inbox;
}

void neap_port_inbox_close(neap_port_inbox *inbox) {
  inbox->front = NULL; /* its own thread reads it */
}

/* --- the table. The lock is held. */

static uint64_t hash_of(neap_view key) {
  return neap_hash_bytes(key.ptr, key.size);
}

static neap_port_tracker *tracker_of(neap_port_tracking *tracking, uint64_t id) {
  neap_port_tracker *at = tracking->buckets[id % TRACKER_BUCKETS];
  while (at && at->id != id) at = at->next;
  return at;
}

static tracked **place_of(neap_port_tracking *tracking, neap_view key, uint64_t hash) {
  tracked **at = &tracking->keys[hash % KEY_BUCKETS];
  while (*at && !((*at)->hash == hash && (*at)->key_size == key.size &&
                  (key.size == 0 || memcmp((*at)->key, key.ptr, key.size) == 0)))
    at = &(*at)->next;
  return at;
}

static size_t bytes_of(const tracked *key) {
  return sizeof *key + key->key_size + key->room * sizeof *key->ids;
}

static void forget_key(neap_port_tracking *tracking, tracked **place) {
  tracked *key = *place;
  *place = key->next;
  tracking->key_count--;
  tracking->key_bytes -= bytes_of(key);
  free(key->ids);
  free(key);
}

/* Tells all who have read it, but for `writer`, where that does not want to hear of itself. */
static void tell_readers(neap_port_tracking *tracking, const tracked *key, uint64_t writer) {
  neap_view name = {key->key, key->key_size};
  for (uint32_t i = 0; i < key->count; i++) {
    neap_port_tracker *tracker = tracker_of(tracking, key->ids[i]);
    if (tracker && !tracker->wide && !(tracker->noloop && tracker->id == writer))
      leave_message(tracker, &name);
  }
}

static void make_room(neap_port_tracking *tracking) {
  while (tracking->key_count > KEYS_MAX || tracking->key_bytes > BYTES_MAX) {
    tracked **bucket = &tracking->keys[tracking->sweep++ % KEY_BUCKETS];
    if (*bucket == NULL) continue;
    tell_readers(tracking, *bucket, 0);
    forget_key(tracking, bucket);
  }
}

static bool add_id(neap_port_tracking *tracking, tracked *key, uint64_t id) {
  for (uint32_t i = 0; i < key->count; i++)
    if (key->ids[i] == id) return true;
  if (key->count == key->room) {
    uint32_t room = key->room ? 2 * key->room : 1;
    uint64_t *ids = realloc(key->ids, room * sizeof *ids);
    if (ids == NULL) return false;
    tracking->key_bytes += (room - key->room) * sizeof *ids;
    key->ids = ids;
    key->room = room;
  }
  key->ids[key->count++] = id;
  return true;
}

static bool remember(neap_port_tracking *tracking, neap_view name, uint64_t id) {
  uint64_t hash = hash_of(name);
  tracked **place = place_of(tracking, name, hash), *key = *place;
  if (key == NULL) {
    key = malloc(sizeof *key + name.size);
    if (key == NULL) return false;
    *key = (tracked){.hash = hash, .key_size = name.size};
    if (name.size > 0) memcpy(key->key, name.ptr, name.size);
    *place = key;
    tracking->key_count++;
    tracking->key_bytes += bytes_of(key);
  }
  return add_id(tracking, key, id);
}

/* --- what commands do */

static bool wants(neap_port_tracker *tracker, const neap_port_command *command) {
  int said = tracker->caching;
  if (strcmp(command->name, "client") != 0) tracker->caching = 0;
  if (tracker->wide || !(command->flags & NEAP_PORT_READ) || command->first == 0) return false;
  return tracker->opt_in ? said > 0 : !(tracker->opt_out && said < 0);
}

void neap_port_track(neap_port_call *call) {
  neap_port_tracker *tracker = call->client->tracker;
  neap_port_tracking *tracking = call->keys->tracking;
  if (!wants(tracker, call->command)) return;
  size_t last = call->command->last < 0 ? call->count - 1 : (size_t)call->command->last;
  bool all = true;
  pthread_mutex_lock(&tracking->lock);
  for (size_t i = (size_t)call->command->first; i <= last; i += (size_t)call->command->step)
    all &= remember(tracking, neap_port_arg(call, i), tracker->id);
  make_room(tracking);
  pthread_mutex_unlock(&tracking->lock);
  if (!all) call->client->broken = true; /* it would believe copies that it is not told of */
}

static bool has_prefix(const neap_port_tracker *tracker, neap_view key) {
  for (size_t i = 0; i < tracker->prefix_count; i++) {
    neap_view prefix = tracker->prefixes[i];
    if (prefix.size <= key.size && (prefix.size == 0 || memcmp(prefix.ptr, key.ptr, prefix.size) == 0))
      return true;
  }
  return tracker->prefix_count == 0;
}

/* `writer`: 0 where it is not known. */
static void tell_of(neap_port_tracking *tracking, neap_view key, uint64_t writer) {
  if (NEAP_LIKELY(atomic_load_explicit(&tracking->trackers, memory_order_acquire) == 0)) return;
  pthread_mutex_lock(&tracking->lock);
  tracked **place = tracking->keys ? place_of(tracking, key, hash_of(key)) : NULL;
  if (place && *place) {
    tell_readers(tracking, *place, writer);
    forget_key(tracking, place);
  }
  for (neap_port_tracker *at = tracking->wide; at; at = at->next_wide)
    if (has_prefix(at, key) && !(at->noloop && at->id == writer)) leave_message(at, &key);
  pthread_mutex_unlock(&tracking->lock);
}

void neap_port_changed(neap_port_call *call, neap_view key) {
  tell_of(call->keys->tracking, key, call->client->id);
}

static void forget_keys(neap_port_tracking *tracking) {
  for (size_t i = 0; tracking->keys && i < KEY_BUCKETS; i++)
    while (tracking->keys[i]) forget_key(tracking, &tracking->keys[i]);
}

static void tell_of_all(neap_port_tracking *tracking) {
  if (atomic_load(&tracking->trackers) == 0) return;
  pthread_mutex_lock(&tracking->lock);
  for (size_t i = 0; i < TRACKER_BUCKETS; i++)
    for (neap_port_tracker *at = tracking->buckets[i]; at; at = at->next) leave_message(at, NULL);
  forget_keys(tracking);
  pthread_mutex_unlock(&tracking->lock);
}

void neap_port_changed_all(neap_port_call *call) {
  tell_of_all(call->keys->tracking);
}

void neap_port_changed_below(void *user, neap_view key) {
  neap_keyspace *keys = user;
  if (key.size > 0)
    tell_of(keys->tracking, key, 0);
  else
    tell_of_all(keys->tracking);
}

/* --- who tracks */

uint32_t neap_port_tracker_count(neap_port_tracking *tracking) {
  return atomic_load(&tracking->trackers);
}

static void free_tracker(neap_port_tracker *tracker) {
  for (size_t i = 0; i < tracker->prefix_count; i++) free((char *)tracker->prefixes[i].ptr);
  free(tracker);
}

static int enroll(neap_port_tracking *tracking, neap_port_tracker *tracker) {
  int code = 0;
  pthread_mutex_lock(&tracking->lock);
  if (tracking->keys == NULL) tracking->keys = calloc(KEY_BUCKETS, sizeof *tracking->keys);
  if (tracking->keys == NULL) {
    code = NEAP_ENOMEM;
  } else {
    neap_port_tracker **bucket = &tracking->buckets[tracker->id % TRACKER_BUCKETS];
    tracker->next = *bucket;
    *bucket = tracker;
    tracker->next_wide = tracking->wide;
    if (tracker->wide) tracking->wide = tracker;
    atomic_fetch_add(&tracking->trackers, 1);
  }
  pthread_mutex_unlock(&tracking->lock);
  return code;
}

void neap_port_untrack(neap_port_client *client) {
  neap_port_tracking *tracking = client->front->keys->tracking;
  neap_port_tracker *tracker = client->tracker;
  if (tracker == NULL) return;
  pthread_mutex_lock(&tracking->lock);
  neap_port_tracker **at = &tracking->buckets[tracker->id % TRACKER_BUCKETS];
  while (*at != tracker) at = &(*at)->next;
  *at = tracker->next;
  for (at = &tracking->wide; *at && *at != tracker;) at = &(*at)->next_wide;
  if (*at) *at = tracker->next_wide;
  if (atomic_fetch_sub(&tracking->trackers, 1) == 1) forget_keys(tracking);
  pthread_mutex_unlock(&tracking->lock);
  client->tracker = NULL;
  free_tracker(tracker);
}

int neap_port_tracking_create(neap_port_tracking **out) {
  neap_port_tracking *tracking = calloc(1, sizeof *tracking);
  if (tracking == NULL) return NEAP_ENOMEM;
  pthread_mutex_init(&tracking->lock, NULL);
  *out = tracking;
  return 0;
}

static void free_inbox(neap_port_inbox *inbox) {
  for (message *told = inbox->first, *next; told; told = next) {
    next = told->next;
    free(told);
  }
  free(inbox);
}

void neap_port_tracking_destroy(neap_port_tracking **tracking_ptr) {
  neap_port_tracking *tracking = *tracking_ptr;
  *tracking_ptr = NULL;
  for (neap_port_inbox *inbox = tracking->inboxes, *next; inbox; inbox = next) {
    next = inbox->next;
    free_inbox(inbox);
  }
  forget_keys(tracking);
  free(tracking->keys);
  pthread_mutex_destroy(&tracking->lock);
  free(tracking);
}

/* --- CLIENT TRACKING, CACHING, GETREDIR */

static bool add_prefix(neap_port_tracker *tracker, neap_view prefix) {
  if (tracker->prefix_count == PREFIXES_MAX) return false;
  char *own = malloc(prefix.size + 1);
  if (own == NULL) return false;
  if (prefix.size > 0) memcpy(own, prefix.ptr, prefix.size);
  tracker->prefixes[tracker->prefix_count++] = (neap_view){own, prefix.size};
  return true;
}

/* Why the options cannot be, or NULL. */
static const char *read_options(neap_port_call *call, neap_port_tracker *out) {
  for (size_t i = 3; i < call->count; i++) {
    if (neap_port_arg_is(call, i, "bcast"))
      out->wide = true;
    else if (neap_port_arg_is(call, i, "optin"))
      out->opt_in = true;
    else if (neap_port_arg_is(call, i, "optout"))
      out->opt_out = true;
    else if (neap_port_arg_is(call, i, "noloop"))
      out->noloop = true;
    else if (neap_port_arg_is(call, i, "redirect") && i + 1 < call->count)
      return "ERR REDIRECT is not supported: use RESP3";
    else if (neap_port_arg_is(call, i, "prefix") && i + 1 < call->count) {
      if (!add_prefix(out, neap_port_arg(call, ++i))) return "ERR at most 64 prefixes";
    } else
      return "ERR syntax error";
  }
  return NULL;
}

static const char *check_options(const neap_port_client *client, const neap_port_tracker *wanted) {
  const neap_port_tracker *now = client->tracker;
  if (!client->version3) return "ERR tracking needs RESP3 here: say HELLO 3 first";
  if (wanted->prefix_count > 0 && !wanted->wide) return "ERR PREFIX option requires BCAST mode to be enabled";
  if (now && now->wide != wanted->wide)
    return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  if (wanted->wide && (wanted->opt_in || wanted->opt_out))
    return "ERR OPTIN and OPTOUT are not compatible with BCAST";
  if (wanted->opt_in && wanted->opt_out) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
  if (now && (now->opt_in != wanted->opt_in || now->opt_out != wanted->opt_out) &&
      (now->opt_in || now->opt_out) && (wanted->opt_in || wanted->opt_out))
    return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  return NULL;
}

static void track_on(neap_port_call *call) {
  neap_port_client *client = call->client;
  neap_port_tracker *made = calloc(1, sizeof *made);
  const char *fault = made ? read_options(call, made) : "ERR out of memory";
  if (fault == NULL) fault = check_options(client, made);
  if (fault == NULL) {
    made->id = client->id;
    made->client = client;
    made->inbox = call->front->inbox;
    if (enroll(call->keys->tracking, made)) fault = "ERR out of memory";
  }
  if (fault) {
    if (made) free_tracker(made);
    neap_port_put_error(call, fault);
    return;
  }
  neap_port_untrack(client); /* in this order: what it has read until now stays remembered */
  client->tracker = made;
  neap_port_put_ok(call);
}

void neap_port_client_tracking(neap_port_call *call) {
  if (neap_port_arg_is(call, 2, "on")) {
    track_on(call);
  } else if (neap_port_arg_is(call, 2, "off")) {
    neap_port_untrack(call->client);
    neap_port_put_ok(call);
  } else {
    neap_port_put_syntax_error(call);
  }
}

void neap_port_client_caching(neap_port_call *call) {
  neap_port_tracker *tracker = call->client->tracker;
  bool yes = neap_port_arg_is(call, 2, "yes"), no = neap_port_arg_is(call, 2, "no");
  if (tracker == NULL) {
    neap_port_put_error(call,
                        "ERR CLIENT CACHING can be called only when the client is in tracking mode with "
                        "OPTIN or OPTOUT mode enabled");
  } else if (!yes && !no) {
    neap_port_put_syntax_error(call);
  } else if (yes ? !tracker->opt_in : !tracker->opt_out) {
    neap_port_put_errorf(call, "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.",
                         yes ? "YES" : "NO", yes ? "OPTIN" : "OPTOUT");
  } else {
    tracker->caching = yes ? 1 : -1;
    neap_port_put_ok(call);
  }
}

void neap_port_client_getredir(neap_port_call *call) {
  neap_resp_put_integer(call->out, call->client->tracker ? 0 : -1);
}
