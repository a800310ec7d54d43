/* A circuit breaker: when too many calls of late have failed, none is made for a while; then one tries.
 *
 *   closed     calls go; counted in ten parts of the window
 *   open       none goes until `until_ms`
 *   half open  one goes and decides: back to closed, or open for twice as long
 * Not thread-safe; time is a parameter. */
#ifndef NEAP_TIER_BREAKER_H
#define NEAP_TIER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "neap/tier.h"

enum { NEAP_TIER_BREAKER_PARTS = 10 };

typedef struct neap_tier_breaker {
  uint32_t window_ms, min, error_percent, open_ms, open_max_ms;
  neap_tier_breaker_state state;
  uint32_t calls[NEAP_TIER_BREAKER_PARTS], errors[NEAP_TIER_BREAKER_PARTS];
  uint64_t part; /* the newest */
  uint64_t until_ms;
  uint64_t next_open_ms; /* for how long it opens next */
  bool trying;           /* half open: the one call is under way */
  uint64_t opened;       /* times */
} neap_tier_breaker;

void neap_tier_breaker_init(neap_tier_breaker *breaker, const neap_tier_options *options);
/* Whether a call may be made now. True has to be answered by one of the two below. */
bool neap_tier_breaker_ask(neap_tier_breaker *breaker, uint64_t now_ms);
void neap_tier_breaker_tell(neap_tier_breaker *breaker, uint64_t now_ms, bool good);
/* The call was given up before anybody could know. */
void neap_tier_breaker_forget(neap_tier_breaker *breaker);
/* Whether a call would be allowed. */
bool neap_tier_breaker_would(const neap_tier_breaker *breaker, uint64_t now_ms);

#endif
