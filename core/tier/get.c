/* A get: memory answers, or the caller joins a lookup in the tiers below, or starts one. */
#include <math.h>

#include "tier/impl.h"

/* What memory has of a key. */
typedef struct glance {
  const neap_entry *entry; /* borrowed; NULL: nothing */
  neap_entry_info info;
  neap_tier_head head;
  bool suspect, past;
} glance;

static glance look_into_memory(neap_tiers *tiers, neap_view key, uint64_t now_ms, bool peeked) {
  glance seen = {0};
  if ((peeked ? neap_store_find : neap_cache_get)(tiers->memory, key, &seen.entry)) {
    seen.entry = NULL;
    return seen;
  }
  seen.head = neap_tier_head_of(seen.entry);
  seen.suspect = seen.head.suspects != atomic_load(&tiers->suspects) || neap_store_marked(seen.entry) ||
                 neap_tier_is_blind(tiers, now_ms);
  seen.past = now_ms >= seen.head.soft_ms;
  return seen;
}

/* XFetch (Vattani, Chierichetti and Lowenstein, 2015): the nearer its end and the longer it takes to make,
 * the likelier is a caller drawn to do it before. */
static bool drawn(neap_tiers_port *port, const neap_tier_head *head, uint64_t now_ms) {
  double beta = port->tiers->options.xfetch_beta;
  if (beta == 0 || head->cost_us == 0 || head->soft_ms == NEAP_TTL_NEVER) return false;
  double early_ms = -log(1 - neap_random_unit(&port->random)) * beta * head->cost_us / 1000;
  return (double)(head->soft_ms - now_ms) <= early_ms;
}

/* --- answers at once */

static void answer_hit(neap_tiers_port *port, const glance *seen, uint64_t now_ms, neap_tier_reply *reply) {
  neap_tiers *tiers = port->tiers;
  *reply = (neap_tier_reply){.tier = 0,
                             .value = neap_tier_value_of_entry(tiers->memory, seen->entry),
                             .ttl_ms = seen->head.soft_ms == NEAP_TTL_NEVER ? NEAP_TTL_NEVER
                                       : seen->past                         ? 0
                                                                            : seen->head.soft_ms - now_ms};
  neap_entry_info info;
  neap_entry_info_get(tiers->memory, seen->entry, &info);
  reply->version = info.version;
  reply->stale = seen->past || seen->suspect;
  neap_tier_count(&tiers->hits, 1);
  neap_tier_count(&tiers->tiers[0].hits, 1);
  if (!reply->stale) return;
  neap_tier_count(&tiers->stale_served, 1);
  neap_tier_count(&tiers->tiers[0].stale_hits, 1);
}

static int answer_nobody(neap_tiers *tiers, uint64_t version, neap_tier_reply *reply) {
  *reply = (neap_tier_reply){.code = NEAP_ENOTFOUND, .tier = 0, .version = version};
  neap_tier_count(&tiers->not_found, 1);
  neap_tier_count(&tiers->tiers[0].negative_hits, 1);
  return NEAP_ENOTFOUND;
}

/* hot: */
int neap_tiers_peek(neap_tiers *tiers, neap_view key, uint64_t now_ms, const neap_entry **entry) {
  if (neap_cache_get(tiers->memory, key, entry)) return NEAP_ENOTFOUND;
  neap_tier_head head;
  neap_view meta = neap_entry_meta(*entry);
  if (meta.size < sizeof head) return NEAP_ENOTFOUND;
  memcpy(&head, meta.ptr, offsetof(neap_tier_head, cost_us));
  bool good = head.suspects == atomic_load_explicit(&tiers->suspects, memory_order_relaxed) &&
              now_ms < atomic_load_explicit(&tiers->fresh_until_ms, memory_order_relaxed) &&
              now_ms < head.soft_ms && !neap_store_marked(*entry);
  return good ? 0 : NEAP_ENOTFOUND;
}

/* --- get */

typedef struct asking {
  neap_tiers_port *port;
  neap_view key;
  neap_tier_get_options options;
  uint32_t mask, below; /* tiers that may be asked, and those below memory */
  bool strong, local, peeked;
  uint64_t now_ms;
  neap_tier_done *done;
  void *user;
  neap_tier_reply *reply;
  neap_tier_op **op;
} asking;

static neap_tier_op *op_for(const asking *ask, const glance *seen, uint64_t hash) {
  neap_tier_op *op = neap_tier_op_create(ask->port, ask->done, ask->user);
  if (op == NULL) return NULL;
  op->hash = hash;
  op->no_stale = ask->options.no_stale || ask->strong;
  if (seen->entry == NULL) return op;
  op->stale = neap_tier_value_of_entry(ask->port->tiers->memory, seen->entry);
  op->stale_version = seen->info.version;
  return op;
}

static int wait_or_start(const asking *ask, const glance *seen, neap_tier_shard *shard, neap_tier_key *key,
                         neap_tier_op *op, neap_tier_lookup **start) {
  neap_tier_lookup *lookup = neap_tier_lookup_joinable(key, ask->mask, ask->strong, ask->options.no_promote);
  if (lookup) {
    op->reply.shared = 1;
    neap_tier_count(&ask->port->tiers->shared, 1);
    neap_tier_wait_for(op, lookup);
    neap_tier_key_leave(shard, key, ask->now_ms); /* the lookup holds it */
    if (lookup->soft_passed) neap_tier_give_up_waiting(lookup, true);
    return 0;
  }
  lookup = neap_tier_lookup_create(ask->port, key, ask->mask);
  if (lookup == NULL) return NEAP_EBUSY;
  lookup->strong = ask->strong;
  lookup->no_promote = ask->options.no_promote;
  if (seen->entry) lookup->known = seen->info.version;
  neap_tier_wait_for(op, lookup);
  *start = lookup;
  return 0;
}

/* What cannot be joined or started: the stale copy, or why not. */
static int cannot_ask(const asking *ask, const glance *seen, neap_tier_op *op, int code) {
  if (op) neap_tier_op_free(op);
  if (seen->entry && !ask->options.no_stale && !ask->strong) {
    answer_hit(ask->port, seen, ask->now_ms, ask->reply);
    return 0;
  }
  ask->reply->code = code;
  return code;
}

static bool throttled(const neap_tier_key *key, const asking *ask, const glance *seen) {
  return key->retry_ms > ask->now_ms && seen->entry && !ask->options.no_stale && !ask->strong;
}

static int ask_below(const asking *ask, const glance *seen) {
  neap_tiers *tiers = ask->port->tiers;
  uint64_t hash = neap_tier_hash(tiers, ask->key);
  neap_tier_shard *shard = neap_tier_shard_of(tiers, hash);
  neap_tier_op *op = op_for(ask, seen, hash);
  neap_tier_lookup *start = NULL;
  if (op == NULL) return cannot_ask(ask, seen, op, NEAP_ENOMEM);
  pthread_mutex_lock(&shard->lock);
  neap_tier_key *key = neap_tier_key_use(tiers, shard, hash, ask->key);
  int code = key == NULL ? NEAP_ENOMEM : throttled(key, ask, seen) ? NEAP_EUNAVAIL : 0;
  if (code == 0) code = wait_or_start(ask, seen, shard, key, op, &start);
  if (code && key) neap_tier_key_leave(shard, key, ask->now_ms);
  pthread_mutex_unlock(&shard->lock);
  if (code) return cannot_ask(ask, seen, op, code);
  if (ask->options.deadline_ms) neap_tier_deadline(op, ask->options.deadline_ms);
  if (ask->op) *ask->op = op;
  if (start) neap_tier_lookup_walk(start);
  return NEAP_EPENDING;
}

/* Makes a fresh value anew before its time: by the tier that makes, else by the caller. */
static void refresh(const asking *ask, const glance *seen, neap_tier_reply *reply) {
  neap_tiers *tiers = ask->port->tiers;
  uint32_t makers = 0;
  for (int i = 1; i < tiers->count; i++) makers |= tiers->tiers[i].vt->makes ? ask->below & 1u << i : 0;
  uint64_t hash = neap_tier_hash(tiers, ask->key);
  neap_tier_shard *shard = neap_tier_shard_of(tiers, hash);
  neap_tier_lookup *lookup = NULL;
  pthread_mutex_lock(&shard->lock);
  neap_tier_key *key = neap_tier_key_use(tiers, shard, hash, ask->key);
  bool idle = key && key->lookups == NULL && key->retry_ms <= ask->now_ms;
  if (idle) neap_tier_count(&tiers->refreshes, 1);
  if (idle && makers)
    lookup = neap_tier_lookup_create(ask->port, key, makers | (ask->mask & NEAP_TIER_MEMORY));
  if (lookup) lookup->refresh = true;
  if (idle && !makers) {
    reply->refresh = 1;
    key->retry_ms = ask->now_ms + NEAP_MAX(2 * seen->head.cost_us / 1000, 1); /* one caller at a time */
  }
  if (key && !lookup) neap_tier_key_leave(shard, key, ask->now_ms);
  pthread_mutex_unlock(&shard->lock);
  if (lookup) neap_tier_lookup_walk(lookup);
}

/* Memory is all there is to ask: a copy past its time is no hit, but shown. */
static int answer_memory_alone(const asking *ask, const glance *seen) {
  neap_tiers *tiers = ask->port->tiers;
  *ask->reply = (neap_tier_reply){.code = NEAP_ENOTFOUND, .tier = 0};
  neap_tier_count(&tiers->not_found, 1);
  if (seen->entry == NULL || ask->options.no_stale) return NEAP_ENOTFOUND;
  ask->reply->value = neap_tier_value_of_entry(tiers->memory, seen->entry);
  ask->reply->version = seen->info.version;
  ask->reply->stale = 1;
  return NEAP_ENOTFOUND;
}

/* The tier that knows better cannot be asked: what memory has is all there is. */
static bool is_cut_off(const asking *ask) {
  neap_tier *tier = &ask->port->tiers->tiers[ask->port->tiers->authority];
  if (tier->vt == NULL || ask->options.no_stale || !neap_tier_is_blind(ask->port->tiers, ask->now_ms))
    return false;
  pthread_mutex_lock(&tier->lock);
  bool open = !neap_tier_breaker_would(&tier->breaker, ask->now_ms);
  pthread_mutex_unlock(&tier->lock);
  return open;
}

static bool is_good(const asking *ask, const glance *seen) {
  if (seen->entry == NULL || seen->past) return false;
  if (seen->suspect && !ask->strong && ask->below && is_cut_off(ask)) return true; /* marked as stale */
  return ask->below == 0 || (!ask->strong && (!seen->suspect || ask->local));
}

/* It is remembered that nobody has it, and believed as memory is. */
static bool nobody_has_it(const asking *ask, uint64_t *version) {
  neap_tiers *tiers = ask->port->tiers;
  neap_tier_negative nobody;
  if (!neap_tier_negative_find(tiers, ask->key, &nobody) || ask->now_ms >= nobody.answers_ms) return false;
  *version = nobody.version;
  return ask->local ||
         (nobody.suspects == atomic_load(&tiers->suspects) && !neap_tier_is_blind(tiers, ask->now_ms));
}

static int get(const asking *ask) {
  neap_tiers *tiers = ask->port->tiers;
  uint64_t version;
  bool of_memory = ask->mask & NEAP_TIER_MEMORY;
  glance seen = {0};
  if (of_memory) seen = look_into_memory(tiers, ask->key, ask->now_ms, ask->peeked);
  if (is_good(ask, &seen)) {
    answer_hit(ask->port, &seen, ask->now_ms, ask->reply);
    if (drawn(ask->port, &seen.head, ask->now_ms)) refresh(ask, &seen, ask->reply);
    return 0;
  }
  neap_tier_count(&tiers->tiers[0].misses, of_memory);
  if (seen.entry) neap_entry_info_get(tiers->memory, seen.entry, &seen.info);
  if (ask->below == 0) return answer_memory_alone(ask, &seen);
  if (of_memory && seen.entry == NULL && !ask->strong && nobody_has_it(ask, &version))
    return answer_nobody(tiers, version, ask->reply);
  return ask_below(ask, &seen);
}

static int check(asking *ask, const neap_tier_get_options *options) {
  neap_tiers *tiers = ask->port->tiers;
  if (options) ask->options = *options;
  if (ask->key.size == 0 || ask->key.size > NEAP_KEY_MAX) return NEAP_EKEY;
  uint32_t all = (1u << tiers->count) - 1;
  uint32_t mask = ask->options.tiers == NEAP_TIERS_ALL ? all : ask->options.tiers;
  neap_consistency wanted =
      ask->options.consistency ? ask->options.consistency : neap_tier_consistency(tiers);
  ask->mask = mask;
  ask->below = mask & all & ~(uint32_t)NEAP_TIER_MEMORY;
  ask->strong = wanted == NEAP_CONSISTENCY_STRONG;
  ask->local = wanted == NEAP_CONSISTENCY_LOCAL;
  if (mask & ~all || (unsigned)wanted > NEAP_CONSISTENCY_STRONG) return NEAP_EINVAL;
  if (ask->strong && (tiers->authority == 0 || !(mask & 1u << tiers->authority))) return NEAP_EINVAL;
  return 0;
}

static int run(asking *ask, const neap_tier_get_options *options) {
  neap_tiers *tiers = ask->port->tiers;
  neap_check_magic(ask->port, NEAP_TIERS_PORT_MAGIC);
  *ask->reply = (neap_tier_reply){.tier = -1};
  int code = check(ask, options);
  if (code) return ask->reply->code = code;
  ask->now_ms = neap_tier_now(ask->port);
  neap_tier_count(&tiers->lookups, 1);
  neap_cache_enter(tiers->memory);
  code = get(ask);
  neap_cache_leave(tiers->memory);
  return code;
}

int neap_tiers_get(neap_tiers_port *port, neap_view key, const neap_tier_get_options *options,
                   neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op) {
  asking ask = {.port = port, .key = key, .done = done, .user = user, .reply = reply, .op = op};
  return run(&ask, options);
}

int neap_tiers_get_peeked(neap_tiers_port *port, neap_view key, const neap_tier_get_options *options,
                          neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op) {
  asking ask = {
      .port = port, .key = key, .peeked = true, .done = done, .user = user, .reply = reply, .op = op};
  return run(&ask, options);
}
