/* Ports: a thread's timers, what is under way at it, and what it has to tell. */
#include "tier/impl.h"

#include <stdlib.h>

/* --- timers */

/* Asks the ground for the next turn, unless this one is still running. */
static void set_alarm(neap_tiers_port *port) {
  uint64_t next_ms = neap_timers_next(&port->timers);
  if (port->running || next_ms == port->alarm_ms) return;
  port->alarm_ms = next_ms;
  uint64_t now_ms = neap_tier_now(port);
  port->ground.wake_in(port->ground.user, next_ms == UINT64_MAX ? UINT64_MAX
                                          : next_ms > now_ms    ? next_ms - now_ms
                                                                : 0);
}

void neap_tier_due_in(neap_tiers_port *port, neap_due *due, uint64_t delay_ms) {
  uint64_t now_ms = neap_tier_now(port);
  if (neap_due_set(&port->timers, due, delay_ms > UINT64_MAX - now_ms ? UINT64_MAX - 1 : now_ms + delay_ms))
    neap_fatal(__FILE__, __LINE__, "out of memory for timers"); /* a limit that is not kept is worse */
  set_alarm(port);
}

void neap_tier_due_clear(neap_tiers_port *port, neap_due *due) {
  neap_due_clear(&port->timers, due);
}

void neap_tiers_port_run(neap_tiers_port *port) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  port->running = true;
  if (atomic_exchange(&port->pump_wanted, false)) neap_tier_due_in(port, &port->pump, 0);
  neap_tier_inbox_tell(port);
  uint64_t now_ms = neap_tier_now(port);
  while (neap_timers_fire(&port->timers, now_ms)) continue;
  neap_tier_inbox_tell(port);
  port->running = false;
  port->alarm_ms = 0; /* whatever was asked for may have been used up */
  set_alarm(port);
}

const neap_tier_ground *neap_tiers_port_ground(const neap_tiers_port *port) {
  return &port->ground;
}

/* --- operations */

enum { OP_MAGIC = 0x6e546f70 };

neap_tier_op *neap_tier_op_create(neap_tiers_port *port, neap_tier_done *done, void *user) {
  neap_tier_op *op = calloc(1, sizeof *op);
  if (op == NULL) return NULL;
  op->magic = OP_MAGIC;
  op->port = port;
  op->done = done;
  op->user = user;
  op->reply.tier = -1;
  op->port_next = port->ops;
  if (op->port_next) op->port_next->port_prev = op;
  port->ops = op;
  return op;
}

void neap_tier_op_free(neap_tier_op *op) {
  neap_check_magic(op, OP_MAGIC);
  neap_tier_due_clear(op->port, &op->deadline);
  if (op->port_prev)
    op->port_prev->port_next = op->port_next;
  else
    op->port->ops = op->port_next;
  if (op->port_next) op->port_next->port_prev = op->port_prev;
  neap_tier_value_drop(&op->stale);
  neap_tier_reply_release(&op->reply);
  op->magic = 0;
  free(op);
}

static void count_reply(neap_tiers *tiers, const neap_tier_op *op) {
  const neap_tier_reply *reply = &op->reply;
  if (op->write || op->hash == 0) return;
  if (reply->code == 0) neap_tier_count(&tiers->hits, 1);
  if (reply->code == 0 && reply->stale) neap_tier_count(&tiers->stale_served, 1);
  if (reply->code == NEAP_ENOTFOUND) neap_tier_count(&tiers->not_found, 1);
  if (reply->code == NEAP_EUNAVAIL) neap_tier_count(&tiers->unavailable, 1);
}

void neap_tier_op_tell(neap_tier_op *op) {
  neap_check_magic(op, OP_MAGIC);
  neap_tier_done *done = op->done;
  void *user = op->user;
  count_reply(op->port->tiers, op);
  neap_tier_reply reply = op->reply;
  op->reply.value = (neap_tier_value){0}; /* moved */
  neap_tier_op_free(op);
  if (done) done(user, &reply);
  neap_tier_reply_release(&reply);
}

/* --- inbox */

void neap_tier_inbox_put(neap_tier_op *op, bool own) {
  neap_tiers_port *port = op->port;
  pthread_mutex_lock(&port->inbox_lock);
  bool first = port->inbox == NULL;
  op->next = NULL;
  op->prev = port->inbox_last;
  if (op->prev)
    op->prev->next = op;
  else
    port->inbox = op;
  port->inbox_last = op;
  pthread_mutex_unlock(&port->inbox_lock);
  if (first && !own) port->ground.poke(port->ground.user);
}

void neap_tier_inbox_take(neap_tier_op *op) {
  neap_tiers_port *port = op->port;
  pthread_mutex_lock(&port->inbox_lock);
  if (op->prev)
    op->prev->next = op->next;
  else
    port->inbox = op->next;
  if (op->next)
    op->next->prev = op->prev;
  else
    port->inbox_last = op->prev;
  op->prev = op->next = NULL;
  pthread_mutex_unlock(&port->inbox_lock);
}

/* One after the other: what is told may cancel the next. */
void neap_tier_inbox_tell(neap_tiers_port *port) {
  for (;;) {
    pthread_mutex_lock(&port->inbox_lock);
    neap_tier_op *op = port->inbox;
    pthread_mutex_unlock(&port->inbox_lock);
    if (op == NULL) return;
    neap_tier_inbox_take(op);
    neap_tier_op_tell(op);
  }
}

/* --- attach and detach */

static void close_selves(neap_tiers_port *port) {
  for (int i = 1; i < port->tiers->count; i++) {
    const neap_tier_vt *vt = port->tiers->tiers[i].vt;
    if (vt->open && vt->close && port->selves[i]) vt->close(&port->selves[i]);
  }
}

static int open_selves(neap_tiers_port *port, neap_err *err) {
  for (int i = 1; i < port->tiers->count; i++) {
    neap_tier *tier = &port->tiers->tiers[i];
    port->selves[i] = tier->config;
    if (tier->vt->open == NULL) continue;
    port->selves[i] = NULL;
    int code = tier->vt->open(tier->config, port, &port->selves[i]);
    if (code == 0) continue;
    close_selves(port);
    return neap_fail(err, code, "tier %s: %s", tier->name, neap_strerror(code));
  }
  return 0;
}

static void on_pump(neap_due *due) {
  neap_tier_later_pump(NEAP_CONTAINER_OF(due, neap_tiers_port, pump));
}

static void join(neap_tiers_port *port) {
  neap_tiers *tiers = port->tiers;
  pthread_mutex_lock(&tiers->ports_lock);
  static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
  port->random.state = tiers->seed ^ (uint64_t)(tiers->ports ? 1 : 0) * odd;
  for (neap_tiers_port *other = tiers->ports; other; other = other->next) port->random.state += odd;
  port->next = tiers->ports;
  if (port->next) port->next->prev = port;
  tiers->ports = port;
  pthread_mutex_unlock(&tiers->ports_lock);
}

int neap_tiers_attach_to(neap_tiers *tiers, const neap_tier_ground *ground, neap_tiers_port **out,
                         neap_err *err) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  neap_tiers_port *port = calloc(1, sizeof *port);
  if (port == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  port->magic = NEAP_TIERS_PORT_MAGIC;
  port->tiers = tiers;
  port->ground = *ground;
  port->alarm_ms = UINT64_MAX;
  port->pump.fire = on_pump;
  pthread_mutex_init(&port->inbox_lock, NULL);
  int code = open_selves(port, err);
  if (code) {
    pthread_mutex_destroy(&port->inbox_lock);
    free(port);
    return code;
  }
  join(port);
  *out = port;
  return 0;
}

/* What waits to be written is left to another port. */
static void leave(neap_tiers_port *port) {
  neap_tiers *tiers = port->tiers;
  pthread_mutex_lock(&tiers->ports_lock);
  if (port->prev)
    port->prev->next = port->next;
  else
    tiers->ports = port->next;
  if (port->next) port->next->prev = port->prev;
  if (tiers->ports && !atomic_exchange(&tiers->ports->pump_wanted, true))
    tiers->ports->ground.poke(tiers->ports->ground.user); /* under the lock: it cannot go meanwhile */
  pthread_mutex_unlock(&tiers->ports_lock);
}

void neap_tiers_port_end(neap_tiers_port *port) {
  neap_check_magic(port, NEAP_TIERS_PORT_MAGIC);
  neap_tier_flush_abort(port);
  while (port->ops) {
    neap_tier_op *op = port->ops;
    neap_tier_cancel(&op);
  }
  while (port->lookups) neap_tier_lookup_abort(port->lookups);
  while (port->writes) neap_tier_write_abort(port->writes);
  neap_tier_later_abort(port);
  leave(port);
  close_selves(port);
  neap_timers_fini(&port->timers);
  pthread_mutex_destroy(&port->inbox_lock);
  port->magic = 0;
  free(port);
}
