/* What a pool spends beyond its requests: retries and second copies. One worker's part of a pool.
 *
 * Both are paid from a budget, so that a pool that is failing as a whole is not given a multiple of its load:
 * each request earns a share, each retry or copy costs one (the retry budget of Finagle and Linkerd). */
#ifndef NEAP_UPSTREAM_RETRY_H
#define NEAP_UPSTREAM_RETRY_H

#include "base/histogram.h"
#include "upstream/upstream.h"

typedef struct neap_budget {
  double tokens;
  uint64_t at_ms; /* when free tokens were last given */
} neap_budget;

typedef struct neap_retry {
  neap_budget retries, hedges;
  neap_histogram *took;    /* [2], microseconds: this window and the one before; NULL where nobody asks */
  uint64_t window_ms;      /* when this window began */
  uint64_t hedge_at_ms;    /* when the delay was last worked out */
  uint64_t hedge_delay_ms; /* 0: not known yet */
} neap_retry;

/* 0 or NEAP_ENOMEM. */
int neap_retry_init(neap_retry *retry, const neap_pool_options *options);
void neap_retry_fini(neap_retry *retry);
/* hot: a request came; a response took so long. */
void neap_retry_arrived(neap_retry *retry, const neap_pool_options *options);
void neap_retry_answered(neap_retry *retry, uint64_t took_us, uint64_t now_ms);
/* Pays for one, or says no. */
bool neap_retry_may(neap_retry *retry, uint64_t now_ms);
bool neap_retry_may_hedge(neap_retry *retry);
/* How long a request may take before a second copy is sent; 0: none is. */
uint64_t neap_retry_hedge_ms(neap_retry *retry, const neap_pool_options *options, uint64_t now_ms);

#endif
