/* The walk of a lookup through the tiers below memory, and what becomes of what it finds. */
#include <stdlib.h>

#include "tier/impl.h"

/* --- the end: settled */

/* What is found, on its way into memory and to the waiters. */
typedef struct finding {
  int code; /* 0; NEAP_ENOTFOUND; NEAP_EUNAVAIL; NEAP_ECANCELED */
  int tier;
  bool stale; /* what others write meanwhile is not known */
  uint64_t version, ttl_ms;
  neap_tier_value value;
} finding;

/* Under the key's lock. */
static void answer_one(neap_tier_lookup *lookup, neap_tier_op *op, const finding *found) {
  neap_tier_reply *reply = &op->reply;
  reply->failed = lookup->failed;
  if (found->code == NEAP_EUNAVAIL && neap_tier_give_stale(op)) return;
  reply->code = found->code;
  reply->tier = found->tier;
  reply->stale = found->stale;
  reply->version = found->version;
  reply->ttl_ms = found->ttl_ms;
  if (found->value.home) reply->value = neap_tier_value_ref(&found->value);
  if (found->code != NEAP_ENOTFOUND || op->stale.home == NULL || op->no_stale) return;
  if (op->stale_version < lookup->deny) return; /* it was deleted, and not only forgotten */
  reply->value = op->stale;                     /* for those that make the value anew, and fail */
  reply->stale = 1;
  reply->version = op->stale_version;
  op->stale = (neap_tier_value){0};
}

static void answer_all(neap_tier_lookup *lookup, const finding *found) {
  while (lookup->waiters) {
    neap_tier_op *op = lookup->waiters;
    neap_tier_stop_waiting(op);
    answer_one(lookup, op, found);
    neap_tier_inbox_put(op, op->port == lookup->port && !lookup->starting);
  }
}

static neap_tier_shard *shard_of(const neap_tier_lookup *lookup) {
  return neap_tier_shard_of(lookup->port->tiers, lookup->key->hash);
}

/* Answers, and lets go. The key's lock is held, and released here. */
static void settle(neap_tier_lookup *lookup, neap_tier_shard *shard, const finding *found) {
  uint64_t now_ms = neap_tier_now(lookup->port);
  neap_tier_lookup_unlink(lookup);
  answer_all(lookup, found);
  neap_tier_key_leave(shard, lookup->key, now_ms);
  pthread_mutex_unlock(&shard->lock);
  free(lookup);
}

static void settle_nothing(neap_tier_lookup *lookup) {
  neap_tiers *tiers = lookup->port->tiers;
  neap_tier_shard *shard = shard_of(lookup);
  uint64_t now_ms = neap_tier_now(lookup->port);
  finding found = {.code = lookup->failed ? NEAP_EUNAVAIL : NEAP_ENOTFOUND, .tier = lookup->at};
  if (found.code == NEAP_ENOTFOUND && !lookup->own_delete) found.version = lookup->deny;
  pthread_mutex_lock(&shard->lock);
  bool fresh_news = !lookup->killed && !lookup->closed && !lookup->own_delete &&
                    lookup->clears == atomic_load(&tiers->clears);
  if (found.code == NEAP_ENOTFOUND && lookup->deny > 0) neap_tier_seen(tiers, lookup->key, lookup->deny);
  if (found.code == NEAP_EUNAVAIL && !lookup->strong)
    lookup->key->retry_ms = now_ms + tiers->options.fail_safe_throttle_ms;
  if (found.code == NEAP_ENOTFOUND && fresh_news && !lookup->refresh && lookup->key->writes == 0) {
    const neap_tier_negative nobody = {.version = NEAP_MAX(lookup->deny, lookup->key->floor),
                                       .answers_ms = now_ms + tiers->options.negative_ttl_ms,
                                       .suspects = lookup->suspects};
    if (tiers->options.negative_ttl_ms) neap_tier_key_negative(tiers, lookup->key, &nobody, 0, now_ms);
  }
  settle(lookup, shard, &found);
}

void neap_tier_lookup_abort(neap_tier_lookup *lookup) {
  neap_tier_shard *shard = shard_of(lookup);
  neap_tier_try_cancel(&lookup->try);
  pthread_mutex_lock(&shard->lock);
  settle(lookup, shard, &(finding){.code = NEAP_ECANCELED, .tier = -1});
}

/* --- a hit below */

/* The version of what a tier has found: its own word, else what is known of when it was asked. */
static uint64_t version_of(const neap_tier_lookup *lookup, int tier, const neap_tier_object *object) {
  int authority = lookup->port->tiers->authority;
  if (authority && tier > authority && lookup->lease_versions[authority])
    return lookup->lease_versions[authority]; /* under which it will be filled there */
  if (object->version) return object->version;
  return authority ? NEAP_MAX(lookup->deny, 1) : lookup->sent_version;
}

static uint32_t cost_of(const neap_tier_lookup *lookup, const neap_tier_object *object) {
  uint64_t took_us = (neap_tier_now(lookup->port) - lookup->began_ms) * 1000;
  return object->cost_us ? object->cost_us : (uint32_t)NEAP_MIN(took_us, UINT32_MAX);
}

static bool into_memory(const neap_tier_lookup *lookup) {
  return !lookup->no_promote && lookup->mask & NEAP_TIER_MEMORY;
}

/* Tiers above the one that had it that are to get it, too: those that have said they have not. A refresh has
 * asked none of them: all get it. */
static uint32_t to_promote(const neap_tier_lookup *lookup, int tier) {
  if (lookup->no_promote) return 0;
  const neap_tiers *tiers = lookup->port->tiers;
  uint32_t above = (1u << tier) - 1 - NEAP_TIER_MEMORY;
  uint32_t makers = 0;
  for (int i = 1; i < tiers->count; i++) makers |= tiers->tiers[i].vt->makes ? 1u << i : 0;
  return above & ~makers & (lookup->refresh ? ~0u : lookup->missed);
}

/* Into memory where the rules allow; the key's lock is held after it. */
static neap_tier_value commit(neap_tier_lookup *lookup, neap_tier_shard *shard,
                              const neap_tier_object *object) {
  neap_tiers *tiers = lookup->port->tiers;
  neap_tier_fill fill = {.fill = NULL, .version = object->version};
  neap_entry *entry = NULL;
  if (into_memory(lookup))
    fill = neap_tier_memory_begin(tiers, neap_tier_key_view(lookup->key), object, lookup->suspects,
                                  neap_tier_now(lookup->port));
  pthread_mutex_lock(&shard->lock);
  if (lookup->killed && fill.fill) neap_fill_abort(&fill.fill);
  bool stored = neap_tier_key_commit(tiers, lookup->key, &fill, lookup->clears, &entry);
  if (into_memory(lookup)) {
    neap_tier_count(stored ? &tiers->tiers[0].promotions : &tiers->tiers[0].rejected, 1);
    neap_tier_count(&tiers->tiers[0].sets, stored);
  }
  if (!stored) {
    neap_tier_seen(tiers, lookup->key, object->version);
    return (neap_tier_value){0};
  }
  if (lookup->key->writes && neap_tier_rules(tiers, NEAP_TIER_SUSPECT)) neap_store_mark(entry);
  return (neap_tier_value){.home = tiers->memory, .bytes = entry};
}

/* `waits`: it is a write of ours that the tier has not got yet. */
static void settle_hit(neap_tier_lookup *lookup, int tier, const neap_tier_object *from, bool waits) {
  neap_tiers *tiers = lookup->port->tiers;
  neap_tier_shard *shard = shard_of(lookup);
  neap_tier_object object = *from;
  object.version = version_of(lookup, tier, from);
  object.cost_us = cost_of(lookup, from);
  neap_tier_count(&tiers->tiers[tier].hits, 1);
  uint32_t above = to_promote(lookup, tier);
  if (above && !lookup->killed) neap_tier_promote(lookup, above, &object);
  neap_tier_value value = commit(lookup, shard, &object);
  if (value.home == NULL && lookup->waiters) {
    neap_tier_blob *blob = neap_tier_blob_create(&tiers->host, object.meta, object.body);
    value = (neap_tier_value){.home = blob};
  }
  finding found = {.code = value.home || !lookup->waiters ? 0 : NEAP_ENOMEM,
                   .tier = tier,
                   .stale = waits && neap_tier_is_blind(tiers, neap_tier_now(lookup->port)),
                   .version = object.version,
                   .ttl_ms = object.ttl_ms,
                   .value = value};
  settle(lookup, shard, &found);
  neap_tier_value_drop(&value);
}

/* What memory has is what the tier has. False: memory has lost it meanwhile. */
static bool settle_unchanged(neap_tier_lookup *lookup, int tier, const neap_tier_answer *answer) {
  neap_tiers *tiers = lookup->port->tiers;
  const neap_entry *entry;
  neap_entry_info info;
  neap_cache_enter(tiers->memory);
  int code = neap_store_find(tiers->memory, neap_tier_key_view(lookup->key), &entry);
  if (code == 0) neap_entry_info_get(tiers->memory, entry, &info);
  bool same = code == 0 && info.version == answer->object.version;
  neap_tier_value value = same ? neap_tier_value_of_entry(tiers->memory, entry) : (neap_tier_value){0};
  neap_cache_leave(tiers->memory);
  if (!same) return false;
  neap_tier_head head = neap_tier_head_of(entry);
  bool good = head.suspects == atomic_load(&tiers->suspects) && !neap_store_marked(entry) &&
              neap_tier_now(lookup->port) < head.soft_ms;
  neap_view body = neap_entry_piece(entry, 0);
  if (!good && body.size == neap_entry_size(entry)) { /* put in anew; larger ones are asked for each time */
    neap_tier_object object = {.version = info.version,
                               .ttl_ms = answer->object.ttl_ms,
                               .cost_us = head.cost_us,
                               .meta = neap_tier_value_meta(&value),
                               .body = body};
    lookup->missed = 0;
    settle_hit(lookup, tier, &object, false);
  } else {
    neap_tier_shard *shard = shard_of(lookup);
    neap_tier_count(&tiers->tiers[tier].hits, 1);
    pthread_mutex_lock(&shard->lock);
    settle(
        lookup, shard,
        &(finding){.tier = tier, .version = info.version, .ttl_ms = answer->object.ttl_ms, .value = value});
  }
  neap_tier_value_drop(&value);
  return true;
}

/* --- the walk */

static void note_miss(neap_tier_lookup *lookup, int tier, const neap_tier_answer *answer) {
  neap_tier_count(&lookup->port->tiers->tiers[tier].misses, 1);
  lookup->missed |= 1u << tier;
  lookup->deny = NEAP_MAX(lookup->deny, answer->object.version);
  lookup->leases[tier] = answer->lease;
  lookup->lease_versions[tier] = answer->lease_version;
}

static void on_answer(neap_tier_try *try, const neap_tier_answer *answer) {
  neap_tier_lookup *lookup = NEAP_CONTAINER_OF(try, neap_tier_lookup, try);
  int tier = try->tier;
  if (answer->code == 0 && answer->unchanged) {
    if (lookup->known && settle_unchanged(lookup, tier, answer)) return;
    if (lookup->known) lookup->at--;                      /* asks the same tier again, for the whole */
    if (lookup->known == 0) lookup->failed |= 1u << tier; /* nobody has said what it is compared with */
    lookup->known = 0;
  } else if (answer->code == 0 && (answer->object.version == 0 || answer->object.version >= lookup->deny)) {
    settle_hit(lookup, tier, &answer->object, false);
    return;
  } else if (answer->code == 0) { /* older than a delete that a tier above knows of */
    note_miss(lookup, tier, &(neap_tier_answer){.code = NEAP_ENOTFOUND});
    lookup->missed &= ~(1u << tier);
  } else if (answer->code == NEAP_ENOTFOUND) {
    note_miss(lookup, tier, answer);
  } else {
    lookup->failed |= 1u << tier;
  }
  neap_tier_lookup_walk(lookup);
}

static uint64_t floor_of(const neap_tier_lookup *lookup) {
  neap_tier_shard *shard = shard_of(lookup);
  pthread_mutex_lock(&shard->lock);
  uint64_t floor = lookup->key->floor;
  pthread_mutex_unlock(&shard->lock);
  return floor;
}

/* What waits to be written to the tier is what it will have, unless something newer is known: then it will be
 * refused. True: it was the answer. */
static bool answered_by_queue(neap_tier_lookup *lookup, int tier, bool *deleted) {
  neap_tier_object object;
  neap_tier_blob *blob = NULL;
  int waits =
      neap_tier_later_find(&lookup->port->tiers->tiers[tier], lookup->key->hash,
                           neap_tier_key_view(lookup->key), neap_tier_now(lookup->port), &object, &blob);
  if (waits == NEAP_TIER_WAITS_SET && object.version < floor_of(lookup)) waits = NEAP_TIER_WAITS_NOT;
  if (waits == NEAP_TIER_WAITS_SET) settle_hit(lookup, tier, &object, true);
  if (waits == NEAP_TIER_WAITS_DELETE) *deleted = true;
  neap_tier_blob_unref(blob);
  return waits == NEAP_TIER_WAITS_SET;
}

static int ask(neap_tier_lookup *lookup, int tier) {
  neap_tiers *tiers = lookup->port->tiers;
  neap_tier_call *call = &lookup->try.call;
  *call = (neap_tier_call){.verb = NEAP_TIER_GET, .key = neap_tier_key_view(lookup->key)};
  if (tier == tiers->authority) call->object.version = lookup->known;
  for (int i = tier + 1; i < tiers->count; i++)
    call->lease_wanted |= !lookup->no_promote && lookup->mask & 1u << i;
  lookup->try.done = on_answer;
  int code = neap_tier_try_start(&lookup->try, lookup->port, tier);
  if (code == 0 && !lookup->soft_passed && !neap_due_is_set(&lookup->soft))
    neap_tier_due_in(lookup->port, &lookup->soft, tiers->tiers[tier].options.soft_timeout_ms);
  return code;
}

void neap_tier_lookup_walk(neap_tier_lookup *lookup) {
  const neap_tiers *tiers = lookup->port->tiers;
  while (++lookup->at < tiers->count) {
    int tier = lookup->at;
    if (!(lookup->mask & 1u << tier)) continue;
    bool deleted = false;
    bool checked = lookup->strong && tier == tiers->authority; /* what waits has not happened yet */
    if (!checked && answered_by_queue(lookup, tier, &deleted)) return;
    lookup->own_delete |= deleted;
    if (deleted) continue;
    if (ask(lookup, tier) == 0) {
      lookup->starting = false;
      return;
    }
    lookup->failed |= 1u << tier;
  }
  lookup->at = -1;
  settle_nothing(lookup);
}
