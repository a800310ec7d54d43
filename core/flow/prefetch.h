/* Prefetching on a worker: exchanges without a client, and what is told of those with one. */
#ifndef NEAP_FLOW_PREFETCH_H
#define NEAP_FLOW_PREFETCH_H

#include "flow/feed.h"
#include "flow/flow.h"
#include "flow/steps.h"

/* step_lookup: the request of a client, and what became of it. hot: they are asked where the route
 * prefetches. */
void neap_prefetch_missed(neap_exchange *exchange);
void neap_prefetch_ended(neap_exchange *exchange); /* finish: of one that missed */
void neap_prefetch_used(neap_exchange *exchange);
void neap_prefetch_look_at_age(neap_exchange *exchange); /* of a hit, where the route refreshes */
/* True: its response is on its way, and the exchange waits for it in `lookup`; once. */
bool neap_prefetch_join(neap_exchange *exchange);
/* Waits no more. Nothing where it did not. */
void neap_prefetch_leave(neap_exchange *exchange);
/* step_store: what the links of a response that is going to be stored name. */
void neap_prefetch_links(neap_exchange *exchange, const neap_http_head *head);
/* step_balance: its pool has better things to do. */
bool neap_prefetch_is_unwelcome(neap_exchange *exchange);
/* Ends a prefetch that is not going to be stored. */
neap_step neap_prefetch_end(neap_exchange *exchange);

#endif
