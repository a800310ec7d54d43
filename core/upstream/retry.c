#include "upstream/retry.h"

#include <stdlib.h>

#include "base/base.h"

enum {
  BUDGET_MOST = 100,     /* tokens that may be saved up */
  HEDGE_MOST = 10,       /* the same of copies: a burst of them is what overload looks like */
  WINDOW_MS = 10000,     /* response times are remembered for one to two of these */
  HEDGE_EVERY_MS = 1000, /* the delay is worked out anew so often */
  HEDGE_LEAST = 100      /* response times before a percentile means something */
};

int neap_retry_init(neap_retry *retry, const neap_pool_options *options) {
  retry->retries.tokens = NEAP_RETRIES_FREE;
  if (options->hedge_percentile <= 0) return 0;
  retry->took = calloc(2, sizeof *retry->took);
  return retry->took ? 0 : NEAP_ENOMEM;
}

void neap_retry_fini(neap_retry *retry) {
  free(retry->took);
  retry->took = NULL;
}

static void earn(neap_budget *budget, double tokens, double most) {
  budget->tokens = NEAP_MIN(budget->tokens + tokens, most);
}

static bool spend(neap_budget *budget) {
  if (budget->tokens < 1) return false;
  budget->tokens -= 1;
  return true;
}

void neap_retry_arrived(neap_retry *retry, const neap_pool_options *options) {
  earn(&retry->retries, options->retry_budget, BUDGET_MOST);
  earn(&retry->hedges, options->hedge_budget, HEDGE_MOST);
}

bool neap_retry_may(neap_retry *retry, uint64_t now_ms) {
  neap_budget *budget = &retry->retries;
  if (now_ms > budget->at_ms) {
    double free_tokens = (double)(now_ms - budget->at_ms) * NEAP_RETRIES_FREE / 1000;
    if (budget->tokens < NEAP_RETRIES_FREE) /* never more of these than one second's */
      budget->tokens = NEAP_MIN(budget->tokens + free_tokens, NEAP_RETRIES_FREE);
    budget->at_ms = now_ms;
  }
  return spend(budget);
}

bool neap_retry_may_hedge(neap_retry *retry) {
  return spend(&retry->hedges);
}

void neap_retry_answered(neap_retry *retry, uint64_t took_us, uint64_t now_ms) {
  if (retry->took == NULL) return;
  if (now_ms >= retry->window_ms + WINDOW_MS) {
    retry->took[1] = retry->took[0];
    memset(&retry->took[0], 0, sizeof retry->took[0]);
    retry->window_ms = now_ms;
  }
  neap_histogram_add(&retry->took[0], took_us);
}

uint64_t neap_retry_hedge_ms(neap_retry *retry, const neap_pool_options *options, uint64_t now_ms) {
  if (retry->took == NULL) return options->hedge_delay_ms;
  if (now_ms < retry->hedge_at_ms + HEDGE_EVERY_MS && retry->hedge_at_ms > 0) return retry->hedge_delay_ms;
  neap_histogram both = {0};
  neap_histogram_merge(&both, &retry->took[0]);
  neap_histogram_merge(&both, &retry->took[1]);
  retry->hedge_at_ms = now_ms;
  retry->hedge_delay_ms = 0;
  if (neap_histogram_count(&both) >= HEDGE_LEAST)
    retry->hedge_delay_ms =
        neap_histogram_quantile(&both, (uint32_t)(options->hedge_percentile * 1e6)) / 1000 + 1;
  return retry->hedge_delay_ms;
}
