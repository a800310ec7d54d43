/* Waiting: callers that wait for a lookup, and how that ends before the lookup does. */
#include <stdlib.h>

#include "tier/impl.h"

/* --- who waits for what. Under the key's lock */

/* R4: a get joins what was sent after the last write that was answered; a strong one joins nothing. */
neap_tier_lookup *neap_tier_lookup_joinable(neap_tier_key *key, uint32_t mask, bool strong, bool no_promote) {
  for (neap_tier_lookup *lookup = key->lookups; lookup; lookup = lookup->next)
    if (!strong && !lookup->strong && !lookup->closed && !lookup->killed && !lookup->refresh &&
        lookup->mask == mask && lookup->no_promote == no_promote)
      return lookup;
  return NULL;
}

void neap_tier_wait_for(neap_tier_op *op, neap_tier_lookup *lookup) {
  op->lookup = lookup;
  op->prev = NULL;
  op->next = lookup->waiters;
  if (op->next) op->next->prev = op;
  lookup->waiters = op;
}

void neap_tier_stop_waiting(neap_tier_op *op) {
  if (op->prev)
    op->prev->next = op->next;
  else
    op->lookup->waiters = op->next;
  if (op->next) op->next->prev = op->prev;
  op->lookup = NULL;
  op->prev = op->next = NULL;
}

/* --- waiting that ends before the lookup */

bool neap_tier_give_stale(neap_tier_op *op) {
  if (op->stale.home == NULL || op->no_stale) return false;
  op->reply.code = 0;
  op->reply.stale = 1;
  op->reply.tier = 0;
  op->reply.version = op->stale_version;
  neap_tier_value_drop(&op->reply.value);
  op->reply.value = op->stale;
  op->stale = (neap_tier_value){0};
  neap_tiers *tiers = op->port->tiers;
  neap_tier_count(&tiers->tiers[0].hits, 1);
  neap_tier_count(&tiers->tiers[0].stale_hits, 1);
  return true;
}

/* Under the key's lock: those that could have a stale copy get it now; the lookup goes on. */
void neap_tier_give_up_waiting(neap_tier_lookup *lookup, bool poke) {
  for (neap_tier_op *op = lookup->waiters, *next; op; op = next) {
    next = op->next;
    if (op->stale.home == NULL || op->no_stale) continue;
    neap_tier_stop_waiting(op);
    neap_tier_give_stale(op);
    neap_tier_inbox_put(op, op->port == lookup->port && !poke);
  }
}

static void on_soft(neap_due *due) {
  neap_tier_lookup *lookup = NEAP_CONTAINER_OF(due, neap_tier_lookup, soft);
  neap_tier_shard *shard = neap_tier_shard_of(lookup->port->tiers, lookup->key->hash);
  pthread_mutex_lock(&shard->lock);
  lookup->soft_passed = true;
  neap_tier_give_up_waiting(lookup, false);
  pthread_mutex_unlock(&shard->lock);
}

static void on_deadline(neap_due *due) {
  neap_tier_op *op = NEAP_CONTAINER_OF(due, neap_tier_op, deadline);
  if (op->write) {
    op->write->op = NULL;
    op->write = NULL;
    op->reply.code = NEAP_EUNKNOWN;
    neap_tier_op_tell(op);
    return;
  }
  neap_tier_shard *shard = neap_tier_shard_of(op->port->tiers, op->hash);
  pthread_mutex_lock(&shard->lock);
  bool waits = op->lookup != NULL;
  if (waits) neap_tier_stop_waiting(op);
  pthread_mutex_unlock(&shard->lock);
  if (!waits) return; /* its answer is in the inbox */
  if (!neap_tier_give_stale(op)) op->reply.code = NEAP_ETIMEDOUT;
  neap_tier_op_tell(op);
}

void neap_tier_deadline(neap_tier_op *op, uint64_t delay_ms) {
  op->deadline.fire = on_deadline;
  neap_tier_due_in(op->port, &op->deadline, delay_ms);
}

/* Takes an operation out of whatever list it waits in. */
static void withdraw(neap_tier_op *op) {
  neap_tier_shard *shard = neap_tier_shard_of(op->port->tiers, op->hash);
  pthread_mutex_lock(&shard->lock);
  if (op->lookup)
    neap_tier_stop_waiting(op);
  else
    neap_tier_inbox_take(op);
  pthread_mutex_unlock(&shard->lock);
}

void neap_tier_cancel(neap_tier_op **op_ptr) {
  neap_tier_op *op = *op_ptr;
  if (op == NULL) return;
  *op_ptr = NULL;
  if (op->write)
    op->write->op = NULL;
  else
    withdraw(op);
  neap_tier_op_free(op);
}

/* --- made and ended */

neap_tier_lookup *neap_tier_lookup_create(neap_tiers_port *port, neap_tier_key *key, uint32_t mask) {
  neap_tiers *tiers = port->tiers;
  if (atomic_load(&tiers->lookups_held) >= tiers->options.lookups_max) return NULL;
  neap_tier_lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) return NULL;
  atomic_fetch_add(&tiers->lookups_held, 1);
  lookup->port = port;
  lookup->key = key;
  lookup->mask = mask;
  lookup->starting = true;
  lookup->clears = atomic_load(&tiers->clears);
  lookup->suspects = atomic_load(&tiers->suspects);
  lookup->sent_version = neap_tier_tick(tiers, neap_tier_wall(port));
  lookup->began_ms = neap_tier_now(port);
  lookup->soft.fire = on_soft;
  lookup->next = key->lookups;
  if (lookup->next) lookup->next->prev = lookup;
  key->lookups = lookup;
  lookup->port_next = port->lookups;
  if (lookup->port_next) lookup->port_next->port_prev = lookup;
  port->lookups = lookup;
  return lookup;
}

/* Out of the lists of its key and port, which it leaves. Under the key's lock. */
void neap_tier_lookup_unlink(neap_tier_lookup *lookup) {
  if (lookup->prev)
    lookup->prev->next = lookup->next;
  else
    lookup->key->lookups = lookup->next;
  if (lookup->next) lookup->next->prev = lookup->prev;
  if (lookup->port_prev)
    lookup->port_prev->port_next = lookup->port_next;
  else
    lookup->port->lookups = lookup->port_next;
  if (lookup->port_next) lookup->port_next->port_prev = lookup->port_prev;
  neap_tier_due_clear(lookup->port, &lookup->soft);
  atomic_fetch_sub(&lookup->port->tiers->lookups_held, 1);
}
