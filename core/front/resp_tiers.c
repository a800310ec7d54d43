/* Commands over tiers: what memory alone cannot answer is asked for, what is written goes to all.
 *
 * A command is run up to three times; what it replies counts the last time:
 *   1 tried      against memory: a read that it answers for sure is done
 *   2 planned    with what tiers have found for its keys; what it then writes is begun
 *   3 answered   with what has become of that
 * In between its client waits, with an errand: nothing more is read from it, its next commands wait behind,
 * and what it may hold is one request and what came with it. A command that has looked at a key writes it
 * only where it still is as it was (neap_tiers_exchange), else it is planned again with a strong look, until
 * its time is over. Every question to tiers has a time limit; the errand's is that of all of them together.
 */
#include "front/resp_errand.h"

enum { AGAIN_MS = 10 }; /* until a write that waits has gone */

/* Somebody else has written the key: it is looked at again. False: there is no time for that, or no need. */
static bool looks_again(neap_port_errand *errand) {
  bool lost = errand->fault == NEAP_EVERSION, busy = errand->fault == NEAP_EBUSY;
  if (!errand->compares || !(lost || busy)) return false;
  if (neap_port_errand_now(errand) >= errand->deadline_ms) {
    errand->fault = NEAP_EBUSY;
    return false;
  }
  neap_port_errand_forget(errand);
  errand->next = 0;
  errand->stage = NEAP_PORT_FINDING;
  errand->wrote = false;
  errand->fault = 0;
  errand->strong = lost;
  if (lost) {
    neap_port_errand_find(errand);
  } else {
    errand->left = 1;
    neap_timer_set(errand->client->front->loop, &errand->again, AGAIN_MS);
  }
  return true;
}

static inline void run(neap_port_call *call) {
  call->looked = 0;
  call->missed = call->tolerant = false;
  call->failed = 0;
  call->command->run(call);
}

/* Memory alone was not enough. True: it is answered. */
static NEAP_SELDOM bool leave_memory(neap_port_call *call, size_t before) {
  neap_port_errand *errand = call->client->errand;
  neap_port_take_back(call, before);
  if (errand) {
    errand->stage = NEAP_PORT_WRITING; /* it writes what it has not looked at */
    return false;
  }
  neap_port_settle(call->front);
  errand = neap_port_errand_begin(call, true);
  if (errand == NULL) {
    neap_port_put_failure(call, NEAP_ENOMEM);
    return true;
  }
  neap_port_errand_find(errand);
  return false;
}

/* Plans or answers. True: it is answered. */
static bool go_on(neap_port_call *call, neap_port_errand *errand) {
  size_t before = call->out->size;
  bool answers = errand->stage == NEAP_PORT_WRITING;
  call->errand = errand;
  run(call);
  int failed = call->failed ? call->failed : answers ? errand->fault : 0;
  if (failed || (!answers && errand->wrote)) neap_port_take_back(call, before);
  if (failed) neap_port_put_failure(call, failed);
  if (failed || answers || !errand->wrote) return true;
  errand->stage = NEAP_PORT_WRITING;
  return false;
}

/* hot: */
bool neap_port_try(neap_port_call *call) {
  size_t before = call->out->size;
  call->errand = NULL;
  call->now_ms = neap_loop_now_ms(call->front->loop);
  call->peeks =
      !(call->command->flags & NEAP_PORT_WRITE) && call->client->consistency != NEAP_CONSISTENCY_STRONG;
  run(call);
  if (NEAP_LIKELY(!call->missed && call->client->errand == NULL)) return true;
  return leave_memory(call, before) || neap_port_run_over_tiers(call);
}

bool neap_port_run_over_tiers(neap_port_call *call) {
  neap_port_client *client = call->client;
  call->peeks = false;
  neap_port_errand *errand = client->errand;
  errand->bytes = call->bytes;
  while (errand->left == 0 && !client->broken) {
    if (errand->stage == NEAP_PORT_WRITING && looks_again(errand)) continue;
    if (!go_on(call, errand)) continue;
    neap_port_errand_end(client);
    return true;
  }
  return false;
}
