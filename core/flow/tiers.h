/* What an exchange has to do with the tiers below memory. Internal to flow/.
 *
 * An asking is
 *   1 begun      in the exchange's arena
 *   2 waiting    in the flow's list; the cascade will tell
 *   3 answered   out of the list; holds the answer until the exchange has sent it, or leaves
 * Exchanges that find what they want in memory have none, and know nothing of tiers. */
#ifndef NEAP_FLOW_TIERS_H
#define NEAP_FLOW_TIERS_H

#include "flow/steps.h"

enum { NEAP_TIER_HIT_PIECES = 5 };

struct neap_asking {
  neap_asking *prev, *next; /* in the flow's list, while it waits */
  neap_exchange *exchange;
  bool waiting, answered;
  int rounds; /* a marker and a variant are two */
  neap_tier_op *op;
  neap_tier_reply reply;
};

/* Ends it, in whatever state; gives back what it holds. Nothing where there is none. */
void neap_tiers_leave(neap_exchange *exchange);
/* What memory has just stored goes to the tiers of its route, as it is small enough for each, with the marker
 * that leads to it. */
void neap_tiers_share(neap_exchange *exchange, const neap_entry *entry);
/* What lies under `key` is out of date in the tiers, too. */
void neap_tiers_forget(neap_exchange *exchange, neap_view key);
/* step_tiers.c: the whole response that a tier had. 0: out of memory. */
int neap_tiers_hit_pieces(neap_exchange *exchange, struct iovec pieces[NEAP_TIER_HIT_PIECES]);
/* The tiers of the exchange's route that are there and take `bytes`, as bits of the cascade. */
uint32_t neap_tiers_of_route(const neap_exchange *exchange, uint64_t bytes);

#endif
