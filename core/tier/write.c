/* Writes: in every tier, the one that gives out versions first; then memory; then the rest at once. What a
 * tier does not take now waits in its queue (later.c). */
#include <stdlib.h>

#include "tier/impl.h"

static neap_tier_shard *shard_of(const neap_tier_write *write) {
  return neap_tier_shard_of(write->port->tiers, write->key->hash);
}

/* --- the end */

static void unlink_write(neap_tier_write *write) {
  if (write->prev)
    write->prev->next = write->next;
  else
    write->port->writes = write->next;
  if (write->next) write->next->prev = write->prev;
}

static void free_write(neap_tier_write *write) {
  unlink_write(write);
  if (write->key) {
    neap_tier_shard *shard = shard_of(write);
    pthread_mutex_lock(&shard->lock);
    neap_tier_key_leave(shard, write->key, neap_tier_now(write->port));
    pthread_mutex_unlock(&shard->lock);
  }
  neap_tier_blob_unref(write->blob);
  free(write);
}

static void fill_reply(const neap_tier_write *write, neap_tier_reply *reply) {
  reply->code = write->lost ? NEAP_EVERSION : write->failed & ~write->queued ? NEAP_EUNAVAIL : 0;
  reply->tier = -1;
  reply->version = write->version;
  reply->failed = write->failed;
  reply->queued = write->queued;
}

/* Done, unless something is still under way. */
static void finish(neap_tier_write *write) {
  if (write->left || !write->settled || write->starting) return;
  neap_tier_op *op = write->op;
  if (op) {
    fill_reply(write, &op->reply);
    op->write = NULL;
    neap_tier_inbox_put(op, true);
  }
  free_write(write);
}

/* --- memory */

/* A version of ours where no tier has given one: the least that nobody may have seen yet, so that whatever
 * the tier that gives them out will say is newer. Without such a tier, the clock. */
static uint64_t own_version(neap_tier_write *write) {
  neap_tiers *tiers = write->port->tiers;
  if (tiers->authority == 0) return neap_tier_tick(tiers, write->made_us / 1000);
  neap_tier_shard *shard = shard_of(write);
  pthread_mutex_lock(&shard->lock);
  uint64_t version = write->key->floor + 1;
  pthread_mutex_unlock(&shard->lock);
  return version;
}

static neap_tier_fill fill_of(const neap_tier_write *write) {
  const neap_tier_object object = {.version = write->version,
                                   .ttl_ms = write->memory_ttl_ms,
                                   .cost_us = write->cost_us,
                                   .meta = neap_tier_blob_meta(write->blob),
                                   .body = neap_tier_blob_body(write->blob)};
  return neap_tier_memory_begin(write->port->tiers, neap_tier_key_view(write->key), &object, write->suspects,
                                neap_tier_now(write->port));
}

/* Under the key's lock: memory has the value, or nothing. */
static void put_in_memory(neap_tier_write *write, neap_tier_fill *fill) {
  neap_tiers *tiers = write->port->tiers;
  neap_entry *entry = NULL;
  bool stored = neap_tier_key_commit(tiers, write->key, fill, write->clears, &entry);
  neap_tier_count(stored ? &tiers->tiers[0].sets : &tiers->tiers[0].rejected, 1);
  if (!stored && fill->code != NEAP_EVERSION)
    neap_cache_remove(tiers->memory, neap_tier_key_view(write->key));
  if (!stored) return;
  if (write->key->writes && neap_tier_rules(tiers, NEAP_TIER_SUSPECT))
    neap_store_mark(entry); /* another write */
  neap_tier_count(&tiers->tiers[0].bytes_written, write->blob->size);
  neap_entry_unref(tiers->memory, entry);
}

static void take_out_of_memory(neap_tier_write *write) {
  neap_tiers *tiers = write->port->tiers;
  uint64_t now_ms = neap_tier_now(write->port);
  if (write->version < write->key->floor) return; /* what is newer stays */
  neap_cache_remove(tiers->memory, neap_tier_key_view(write->key));
  if (write->verb != NEAP_TIER_DELETE) return;
  neap_tier_count(&tiers->tiers[0].deletes, 1);
  uint64_t answer_ms = write->around ? 0 : tiers->options.negative_ttl_ms;
  const neap_tier_negative nobody = {
      .version = write->version, .answers_ms = now_ms + answer_ms, .suspects = write->suspects};
  neap_tier_key_negative(tiers, write->key, &nobody, tiers->options.tombstone_ms, now_ms);
}

/* The order of things is known now, or never will be. */
static void settle_memory(neap_tier_write *write) {
  neap_tiers *tiers = write->port->tiers;
  neap_tier_shard *shard = shard_of(write);
  bool unknown = (write->strong && write->failed) || write->lost; /* R3: what memory has stays suspect */
  if (write->version == 0 && !unknown) write->version = own_version(write);
  bool puts = write->verb == NEAP_TIER_SET && !write->around && write->mask & NEAP_TIER_MEMORY && !unknown;
  neap_tier_fill fill = puts ? fill_of(write) : (neap_tier_fill){0};
  pthread_mutex_lock(&shard->lock);
  write->key->writes--;
  neap_tier_key_written(tiers, write->key, unknown ? 0 : write->version);
  if (puts)
    put_in_memory(write, &fill);
  else if (!unknown)
    take_out_of_memory(write);
  pthread_mutex_unlock(&shard->lock);
  write->settled = true;
}

/* R2: until the answer comes nobody knows which of both others see. */
static void mark_suspect(neap_tiers *tiers, neap_view key) {
  const neap_entry *entry;
  neap_cache_enter(tiers->memory);
  if (neap_store_find(tiers->memory, key, &entry) == 0) neap_store_mark(entry);
  neap_cache_leave(tiers->memory);
}

/* --- one tier */

static uint64_t expires(const neap_tier_write *write, uint64_t ttl_ms) {
  uint64_t now_ms = neap_tier_now(write->port);
  return write->verb != NEAP_TIER_SET || ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ttl_ms;
}

/* Puts it aside. False: it cannot wait. */
static bool put_aside(neap_tier_write *write, int tier, uint64_t delay_ms) {
  if (write->verb == NEAP_TIER_CLEAR) {
    neap_tier_later_lost(write->port, tier);
    return true;
  }
  const neap_tier_wait wait = {.verb = write->verb,
                               .key = neap_tier_key_view(write->key),
                               .hash = write->key->hash,
                               .blob = write->blob,
                               .version = write->version,
                               .made_us = write->made_us,
                               .expires_ms = expires(write, write->parts[tier].ttl_ms),
                               .due_ms = neap_tier_now(write->port) + delay_ms,
                               .cost_us = write->cost_us};
  return neap_tier_later_put(write->port, tier, &wait) == 0;
}

static void part_failed(neap_tier_write *write, int tier) {
  neap_tiers *tiers = write->port->tiers;
  write->failed |= 1u << tier;
  if (write->fill || write->strong) return;
  if (write->version == 0 && write->key) write->version = own_version(write); /* what waits is an answer */
  if (put_aside(write, tier, tiers->tiers[tier].options.recovery_delay_ms))
    write->queued |= 1u << tier;
  else
    neap_tier_later_lost(write->port, tier);
}

static void settle_and_go_on(neap_tier_write *write);

static void release(neap_tier_write *write, int tier, bool done) {
  neap_tier_part *part = &write->parts[tier];
  if (!part->held) return;
  part->held = false;
  neap_tier_later_release(&write->port->tiers->tiers[tier], write->key->hash, neap_tier_key_view(write->key),
                          done);
}

static void part_answered(neap_tier_write *write, int tier, const neap_tier_answer *answer) {
  release(write, tier, answer->code == 0 && !write->fill);
  if (write->compares && tier == write->port->tiers->authority && answer->code == NEAP_EVERSION) {
    write->lost = true;
    write->version = answer->object.version;
  } else if (answer->code == 0) {
    if (tier == write->port->tiers->authority && !write->fill) write->version = answer->object.version;
  } else if (write->fill && answer->code == NEAP_EVERSION) { /* deleted or written since it was looked up */
    neap_tiers_invalidate(write->port->tiers, neap_tier_key_view(write->key), answer->object.version);
  } else if (answer->code != NEAP_ETOOLARGE) { /* which no repetition would cure */
    part_failed(write, tier);
  } else {
    write->failed |= 1u << tier;
  }
}

static void on_part(neap_tier_try *try, const neap_tier_answer *answer) {
  neap_tier_part *part = NEAP_CONTAINER_OF(try, neap_tier_part, try);
  neap_tier_write *write = part->write;
  write->left &= ~(1u << try->tier);
  part_answered(write, try->tier, answer);
  if (!write->settled)
    settle_and_go_on(write);
  else
    finish(write);
}

/* True: under way. False: it has failed, or waits. */
static bool start_part(neap_tier_write *write, int tier) {
  neap_tier_part *part = &write->parts[tier];
  neap_tier *to = &write->port->tiers->tiers[tier];
  part->write = write;
  part->try.done = on_part;
  neap_tier_call *call = &part->try.call;
  call->verb = write->verb;
  call->fill = write->fill;
  call->made_us = write->made_us;
  call->compares = write->compares;
  call->expected = write->expected;
  call->key = write->key ? neap_tier_key_view(write->key) : (neap_view){"", 0};
  call->object =
      (neap_tier_object){.version = write->version, .ttl_ms = part->ttl_ms, .cost_us = write->cost_us};
  if (write->blob) {
    call->object.meta = neap_tier_blob_meta(write->blob);
    call->object.body = neap_tier_blob_body(write->blob);
  }
  bool in_order = write->key == NULL || neap_tier_later_hold(to, write->key->hash, call->key, &part->held);
  if (in_order && neap_tier_try_start(&part->try, write->port, tier) == 0) {
    write->left |= 1u << tier;
    return true;
  }
  release(write, tier, false);
  part_failed(write, tier);
  return false;
}

/* --- the order */

static bool is_first(const neap_tier_write *write, int tier) {
  return tier == write->port->tiers->authority && !write->fill && write->verb != NEAP_TIER_CLEAR;
}

static void start_rest(neap_tier_write *write) {
  for (int i = 1; i < write->port->tiers->count; i++)
    if (write->mask & 1u << i && !is_first(write, i)) start_part(write, i);
}

static void settle_and_go_on(neap_tier_write *write) {
  settle_memory(write);
  bool starting = write->starting;
  write->starting = true; /* not to be finished by the first that fails at once */
  if (!write->compares || (!write->lost && !write->failed)) start_rest(write);
  write->starting = starting;
  finish(write);
}

static void run_through(neap_tier_write *write) {
  int authority = write->port->tiers->authority;
  if (authority && write->mask & 1u << authority && start_part(write, authority)) return;
  settle_and_go_on(write);
}

/* Memory has it; tiers get it when it is their turn, or now where there is no room to wait. */
static void run_behind(neap_tier_write *write) {
  settle_memory(write);
  for (int i = 1; i < write->port->tiers->count; i++) {
    if (!(write->mask & 1u << i)) continue;
    if (put_aside(write, i, write->port->tiers->tiers[i].options.behind_delay_ms))
      write->queued |= 1u << i;
    else
      start_part(write, i);
  }
}

/* --- started */

static neap_tier_write *create(neap_tiers_port *port, neap_tier_verb verb, uint32_t mask) {
  neap_tiers *tiers = port->tiers;
  neap_tier_write *write = calloc(1, sizeof *write);
  if (write == NULL) return NULL;
  write->port = port;
  write->verb = verb;
  write->mask = mask;
  write->made_us = neap_tier_wall(port) * 1000;
  write->clears = atomic_load(&tiers->clears);
  write->suspects = atomic_load(&tiers->suspects);
  write->next = port->writes;
  if (write->next) write->next->prev = write;
  port->writes = write;
  return write;
}

static bool use_key(neap_tier_write *write, neap_view key) {
  neap_tiers *tiers = write->port->tiers;
  uint64_t hash = neap_tier_hash(tiers, key);
  neap_tier_shard *shard = neap_tier_shard_of(tiers, hash);
  pthread_mutex_lock(&shard->lock);
  write->key = neap_tier_key_use(tiers, shard, hash, key);
  if (write->key && !write->fill) {
    write->key->writes++;
    /* what this node has seen was there before, whatever its clock says */
    write->made_us = NEAP_MAX(write->made_us, write->key->floor);
    if (write->mask & ~(uint32_t)NEAP_TIER_MEMORY && neap_tier_rules(tiers, NEAP_TIER_SUSPECT))
      mark_suspect(tiers, key);
  }
  pthread_mutex_unlock(&shard->lock);
  return write->key != NULL;
}

void neap_tier_promote(neap_tier_lookup *lookup, uint32_t mask, const neap_tier_object *object) {
  neap_tiers *tiers = lookup->port->tiers;
  neap_view key = neap_tier_key_view(lookup->key);
  for (int i = 1; i < tiers->count; i++) /* a write that waits is newer than what was found */
    if (neap_tier_later_find(&tiers->tiers[i], lookup->key->hash, key, neap_tier_now(lookup->port), NULL,
                             NULL))
      mask &= ~(1u << i);
  neap_tier_write *write = mask ? create(lookup->port, NEAP_TIER_SET, mask) : NULL;
  if (write == NULL) return;
  write->fill = write->settled = true;
  write->version = object->version;
  write->cost_us = object->cost_us;
  write->blob = neap_tier_blob_create(&tiers->host, object->meta, object->body);
  if (write->blob == NULL || !use_key(write, key)) {
    free_write(write);
    return;
  }
  write->starting = true;
  for (int i = 1; i < tiers->count; i++) {
    if (!(mask & 1u << i)) continue;
    write->parts[i].ttl_ms = object->ttl_ms;
    write->parts[i].try.call.lease = lookup->leases[i];
    start_part(write, i);
  }
  write->starting = false;
  finish(write);
}

void neap_tier_write_abort(neap_tier_write *write) {
  for (int i = 1; i < write->port->tiers->count; i++) {
    if (!(write->left & 1u << i)) continue;
    neap_tier_try_cancel(&write->parts[i].try);
    release(write, i, false);
    part_failed(write, i);
  }
  if (!write->settled) settle_memory(write);
  free_write(write);
}

/* --- set, delete, clear */

typedef struct wanted {
  neap_tier_set_options options;
  uint32_t mask;
  bool strong;
  neap_write_mode mode;
} wanted;

static int check(const neap_tiers *tiers, const neap_tier_set_options *options, wanted *want) {
  *want = (wanted){.options = options ? *options : (neap_tier_set_options){0}};
  uint32_t all = (1u << tiers->count) - 1, makers = 0;
  for (int i = 1; i < tiers->count; i++) makers |= tiers->tiers[i].vt->makes ? 1u << i : 0;
  want->mask = want->options.tiers == NEAP_TIERS_ALL ? all : want->options.tiers;
  if (want->mask & ~all || (unsigned)want->options.mode > NEAP_WRITE_AROUND ||
      (unsigned)want->options.consistency > NEAP_CONSISTENCY_STRONG ||
      want->options.meta.size > NEAP_TIER_META_MAX)
    return NEAP_EINVAL;
  want->mask &= ~makers;
  want->mode = want->options.mode ? want->options.mode : tiers->options.write_mode;
  neap_consistency wanted_now =
      want->options.consistency ? want->options.consistency : neap_tier_consistency(tiers);
  want->strong = wanted_now == NEAP_CONSISTENCY_STRONG;
  if (want->strong && (tiers->authority == 0 || !(want->mask & 1u << tiers->authority))) return NEAP_EINVAL;
  if (want->strong && want->mode == NEAP_WRITE_BEHIND) return NEAP_EINVAL;
  return 0;
}

/* Answers at once, or makes the caller wait. */
static int answer(neap_tier_write *write, const wanted *want, neap_tier_done *done, void *user,
                  neap_tier_reply *reply, neap_tier_op **out) {
  neap_tiers_port *port = write->port;
  write->starting = false;
  if (write->left == 0 && write->settled) {
    neap_tier_reply now = {0};
    fill_reply(write, &now);
    if (reply) *reply = now;
    free_write(write);
    return now.code;
  }
  neap_tier_op *op = neap_tier_op_create(port, done, user);
  if (op == NULL) return NEAP_ENOMEM; /* it goes on, but nobody can be told */
  op->write = write;
  write->op = op;
  if (want->options.deadline_ms) neap_tier_deadline(op, want->options.deadline_ms);
  if (out) *out = op;
  return NEAP_EPENDING;
}

static uint64_t ttl_of(neap_tiers_port *port, const wanted *want, int tier) {
  const neap_tiers *tiers = port->tiers;
  uint64_t ttl_ms = want->options.tier_ttl_ms ? want->options.tier_ttl_ms[tier] : 0;
  if (ttl_ms == 0) ttl_ms = want->options.ttl_ms;
  if (ttl_ms == 0) ttl_ms = tier ? tiers->tiers[tier].options.default_ttl_ms : tiers->options.default_ttl_ms;
  return neap_tier_jitter(port, ttl_ms);
}

uint64_t neap_tier_jitter(neap_tiers_port *port, uint64_t ttl_ms) {
  uint32_t percent = port->tiers->options.jitter_percent;
  if (ttl_ms == NEAP_TTL_NEVER || percent == 0) return ttl_ms;
  double cut = neap_random_unit(&port->random) * percent / 100;
  return NEAP_MAX(ttl_ms - (uint64_t)((double)ttl_ms * cut), 1);
}

static int write_key(neap_tier_write *write, neap_view key, const wanted *want, neap_tier_done *done,
                     void *user, neap_tier_reply *reply, neap_tier_op **op) {
  write->strong = want->strong;
  write->around = want->mode == NEAP_WRITE_AROUND;
  write->starting = true;
  if (!use_key(write, key)) {
    free_write(write);
    return NEAP_ENOMEM;
  }
  if (want->mode == NEAP_WRITE_BEHIND)
    run_behind(write);
  else
    run_through(write);
  return answer(write, want, done, user, reply, op);
}

int neap_tiers_set(neap_tiers_port *port, neap_view key, neap_view value,
                   const neap_tier_set_options *options, neap_tier_done *done, void *user,
                   neap_tier_reply *reply, neap_tier_op **op) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  wanted want;
  if (key.size == 0 || key.size > NEAP_KEY_MAX) return NEAP_EKEY;
  int code = check(port->tiers, options, &want);
  if (code) return code;
  neap_tier_write *write = create(port, NEAP_TIER_SET, want.mask);
  if (write == NULL) return NEAP_ENOMEM;
  write->blob = neap_tier_blob_create(&port->tiers->host, want.options.meta, value);
  if (write->blob == NULL) {
    free_write(write);
    return NEAP_ENOMEM;
  }
  write->cost_us = want.options.cost_us;
  write->memory_ttl_ms = ttl_of(port, &want, 0);
  for (int i = 1; i < port->tiers->count; i++) write->parts[i].ttl_ms = ttl_of(port, &want, i);
  return write_key(write, key, &want, done, user, reply, op);
}

int neap_tiers_delete(neap_tiers_port *port, neap_view key, const neap_tier_set_options *options,
                      neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  wanted want;
  if (key.size == 0 || key.size > NEAP_KEY_MAX) return NEAP_EKEY;
  int code = check(port->tiers, options, &want);
  if (code) return code;
  if (want.mode == NEAP_WRITE_AROUND) want.mode = NEAP_WRITE_THROUGH;
  neap_tier_write *write = create(port, NEAP_TIER_DELETE, want.mask);
  return write ? write_key(write, key, &want, done, user, reply, op) : NEAP_ENOMEM;
}

int neap_tiers_exchange(neap_tiers_port *port, neap_view key, const neap_view *value, uint64_t expected,
                        const neap_tier_set_options *options, neap_tier_done *done, void *user,
                        neap_tier_op **op) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  neap_tiers *tiers = port->tiers;
  neap_tier_set_options all = options ? *options : (neap_tier_set_options){0};
  all.tiers = NEAP_TIERS_ALL;
  all.mode = NEAP_WRITE_THROUGH;
  all.consistency = NEAP_CONSISTENCY_STRONG;
  wanted want;
  if (key.size == 0 || key.size > NEAP_KEY_MAX) return NEAP_EKEY;
  int code = check(tiers, &all, &want);
  if (code) return code;
  if (neap_tier_later_find(&tiers->tiers[tiers->authority], neap_tier_hash(tiers, key), key,
                           neap_tier_now(port), NULL, NULL) != NEAP_TIER_WAITS_NOT)
    return NEAP_EBUSY;
  neap_tier_write *write = create(port, value ? NEAP_TIER_SET : NEAP_TIER_DELETE, want.mask);
  if (write == NULL) return NEAP_ENOMEM;
  write->compares = true;
  write->expected = expected;
  if (value && (write->blob = neap_tier_blob_create(&tiers->host, want.options.meta, *value)) == NULL) {
    free_write(write);
    return NEAP_ENOMEM;
  }
  write->memory_ttl_ms = ttl_of(port, &want, 0);
  for (int i = 1; i < tiers->count; i++) write->parts[i].ttl_ms = ttl_of(port, &want, i);
  neap_tier_reply reply;
  return write_key(write, key, &want, done, user, &reply, op);
}

/* What has passed its check of `clears` is in memory when this returns. */
static void wait_for_commits(neap_tiers *tiers) {
  for (size_t i = 0; i < NEAP_TIER_SHARDS; i++) {
    pthread_mutex_lock(&tiers->shards[i].lock);
    pthread_mutex_unlock(&tiers->shards[i].lock);
  }
}

int neap_tiers_clear(neap_tiers_port *port, const neap_tier_set_options *options, neap_tier_done *done,
                     void *user, neap_tier_reply *reply, neap_tier_op **op) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  neap_tiers *tiers = port->tiers;
  wanted want;
  int code = check(tiers, options, &want);
  if (code) return code;
  neap_tier_write *write = create(port, NEAP_TIER_CLEAR, want.mask);
  if (write == NULL) return NEAP_ENOMEM;
  write->strong = want.strong;
  write->starting = write->settled = true;
  atomic_fetch_add(&tiers->clears, 1);
  wait_for_commits(tiers);
  neap_cache_clear(tiers->memory);
  if (tiers->negatives) neap_cache_clear(tiers->negatives);
  neap_tier_count(&tiers->tiers[0].clears, 1);
  for (int i = 1; i < tiers->count; i++)
    if (want.mask & 1u << i) neap_tier_later_drop_all(&tiers->tiers[i]);
  start_rest(write);
  return answer(write, &want, done, user, reply, op);
}
