/* Flushes: what waits to be written is sent now, and somebody is told when nothing waits any more. */
#include <stdlib.h>

#include "tier/impl.h"

static void end(neap_tier_flush *flush, uint32_t waiting) {
  neap_tier_flush **place = &flush->port->flushes;
  while (*place != flush) place = &(*place)->next;
  *place = flush->next;
  neap_tier_due_clear(flush->port, &flush->limit);
  flush->op->reply.code = waiting ? NEAP_ETIMEDOUT : 0;
  flush->op->reply.queued = waiting;
  neap_tier_inbox_put(flush->op, false);
  free(flush);
}

static void on_limit(neap_due *due) {
  neap_tier_flush *flush = NEAP_CONTAINER_OF(due, neap_tier_flush, limit);
  const neap_tiers *tiers = flush->port->tiers;
  uint32_t waiting = 0;
  for (int i = 1; i < tiers->count; i++) waiting |= neap_tier_later_count(&tiers->tiers[i]) ? 1u << i : 0;
  end(flush, waiting);
}

void neap_tier_flushed(neap_tiers_port *port) {
  while (port->flushes) end(port->flushes, 0);
}

void neap_tier_flush_abort(neap_tiers_port *port) {
  while (port->flushes) {
    neap_tier_flush *flush = port->flushes;
    port->flushes = flush->next;
    neap_tier_due_clear(port, &flush->limit);
    neap_tier_op_free(flush->op);
    free(flush);
  }
}

int neap_tiers_flush(neap_tiers_port *port, uint64_t limit_ms, neap_tier_done *done, void *user) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  neap_tier_flush *flush = calloc(1, sizeof *flush);
  if (flush == NULL) return NEAP_ENOMEM;
  flush->op = neap_tier_op_create(port, done, user);
  if (flush->op == NULL) {
    free(flush);
    return NEAP_ENOMEM;
  }
  flush->port = port;
  flush->limit.fire = on_limit;
  flush->next = port->flushes;
  port->flushes = flush;
  neap_tier_due_in(port, &flush->limit, limit_ms);
  neap_tier_due_in(port, &port->pump, 0);
  return NEAP_EPENDING;
}
