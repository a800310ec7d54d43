/* One call to one tier: asked of the breaker, limited in time, counted. */
#include "tier/impl.h"

static neap_tier *tier_of(const neap_tier_try *try) {
  return &try->port->tiers->tiers[try->tier];
}

static uint64_t now_ns(const neap_tier_try *try) {
  const neap_host *host = &try->port->tiers->host;
  return host->now_ns(host->user);
}

/* A tier that refuses, or has something else, is well. */
static bool is_failure(int code) {
  return code != 0 && code != NEAP_ENOTFOUND && code != NEAP_EVERSION && code != NEAP_ETOOLARGE &&
         code != NEAP_EBUSY && code != NEAP_EINVAL;
}

static void count_read(neap_tier *tier, const neap_tier_answer *answer) {
  if (answer->code) return;
  neap_tier_count(&tier->bytes_read, answer->object.meta.size + answer->object.body.size);
}

static void count_write(neap_tier *tier, const neap_tier_call *call, int code) {
  if (code == NEAP_EVERSION || code == NEAP_ETOOLARGE) neap_tier_count(&tier->rejected, 1);
  if (code) return;
  switch (call->verb) {
  case NEAP_TIER_SET:
    neap_tier_count(&tier->sets, 1);
    neap_tier_count(&tier->promotions, call->fill);
    neap_tier_count(&tier->bytes_written, call->object.meta.size + call->object.body.size);
    break;
  case NEAP_TIER_DELETE: neap_tier_count(&tier->deletes, 1); break;
  case NEAP_TIER_CLEAR: neap_tier_count(&tier->clears, 1); break;
  default: break;
  }
}

static void account(neap_tier_try *try, const neap_tier_answer *answer) {
  neap_tier *tier = tier_of(try);
  bool failed = is_failure(answer->code);
  uint64_t took_ns = now_ns(try) - try->started_ns;
  pthread_mutex_lock(&tier->lock);
  neap_tier_breaker_tell(&tier->breaker, neap_tier_now(try->port), !failed);
  neap_histogram_add(&tier->latency_ns, took_ns);
  pthread_mutex_unlock(&tier->lock);
  neap_tier_count(&tier->errors, failed);
  neap_tier_count(&tier->timeouts, answer->code == NEAP_ETIMEDOUT);
  if (try->call.verb == NEAP_TIER_GET)
    count_read(tier, answer);
  else
    count_write(tier, &try->call, answer->code);
}

static void end(neap_tier_try *try, const neap_tier_answer *answer) {
  try->under_way = false;
  neap_tier_due_clear(try->port, &try->hard);
  account(try, answer);
}

static void on_done(neap_tier_call *call, const neap_tier_answer *answer) {
  neap_tier_try *try = NEAP_CONTAINER_OF(call, neap_tier_try, call);
  neap_tiers_port *port = try->port;
  end(try, answer);
  try->done(try, answer);
  neap_tier_inbox_tell(port);
}

static void on_late(neap_due *due) {
  neap_tier_try *try = NEAP_CONTAINER_OF(due, neap_tier_try, hard);
  neap_tier *tier = tier_of(try);
  const neap_tier_answer late = {.code = NEAP_ETIMEDOUT};
  tier->vt->cancel(try->port->selves[try->tier], &try->call);
  end(try, &late);
  try->done(try, &late);
}

static bool allowed(neap_tier *tier, uint64_t now_ms) {
  pthread_mutex_lock(&tier->lock);
  bool yes = neap_tier_breaker_ask(&tier->breaker, now_ms);
  pthread_mutex_unlock(&tier->lock);
  if (!yes) neap_tier_count(&tier->skipped, 1);
  return yes;
}

int neap_tier_try_start(neap_tier_try *try, neap_tiers_port *port, int index) {
  try->port = port;
  try->tier = index;
  neap_tier *tier = tier_of(try);
  if (!allowed(tier, neap_tier_now(port))) return NEAP_EUNAVAIL;
  try->call.done = on_done;
  try->hard.fire = on_late;
  try->started_ns = now_ns(try);
  int code = tier->vt->start(port->selves[index], &try->call);
  if (code) {
    account(try, &(neap_tier_answer){.code = code});
    return code;
  }
  try->under_way = true;
  neap_tier_due_in(port, &try->hard, tier->options.hard_timeout_ms);
  return 0;
}

void neap_tier_try_cancel(neap_tier_try *try) {
  if (!try->under_way) return;
  neap_tier *tier = tier_of(try);
  try->under_way = false;
  neap_tier_due_clear(try->port, &try->hard);
  tier->vt->cancel(try->port->selves[try->tier], &try->call);
  pthread_mutex_lock(&tier->lock);
  neap_tier_breaker_forget(&tier->breaker);
  pthread_mutex_unlock(&tier->lock);
}
