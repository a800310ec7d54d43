#include "tier/breaker.h"

#include "base/base.h"

void neap_tier_breaker_init(neap_tier_breaker *breaker, const neap_tier_options *options) {
  *breaker = (neap_tier_breaker){.window_ms = options->breaker_window_ms,
                                 .min = options->breaker_min,
                                 .error_percent = options->breaker_error_percent,
                                 .open_ms = options->breaker_open_ms,
                                 .open_max_ms = options->breaker_open_max_ms,
                                 .next_open_ms = options->breaker_open_ms};
}

static void forget_counts(neap_tier_breaker *breaker) {
  memset(breaker->calls, 0, sizeof breaker->calls);
  memset(breaker->errors, 0, sizeof breaker->errors);
}

/* Goes on to the part of the window that `now_ms` is in; those passed over are empty. */
static size_t part_at(neap_tier_breaker *breaker, uint64_t now_ms) {
  uint64_t part = now_ms / NEAP_MAX(breaker->window_ms / NEAP_TIER_BREAKER_PARTS, 1);
  if (part > breaker->part && part - breaker->part >= NEAP_TIER_BREAKER_PARTS) forget_counts(breaker);
  for (uint64_t at = breaker->part + 1; at <= part && part - breaker->part < NEAP_TIER_BREAKER_PARTS; at++)
    breaker->calls[at % NEAP_TIER_BREAKER_PARTS] = breaker->errors[at % NEAP_TIER_BREAKER_PARTS] = 0;
  breaker->part = NEAP_MAX(part, breaker->part);
  return (size_t)(breaker->part % NEAP_TIER_BREAKER_PARTS);
}

static void open_it(neap_tier_breaker *breaker, uint64_t now_ms) {
  breaker->state = NEAP_TIER_BREAKER_OPEN;
  breaker->until_ms = now_ms + breaker->next_open_ms;
  breaker->next_open_ms = NEAP_MIN(2 * breaker->next_open_ms, (uint64_t)breaker->open_max_ms);
  breaker->trying = false;
  breaker->opened++;
}

static void close_it(neap_tier_breaker *breaker) {
  breaker->state = NEAP_TIER_BREAKER_CLOSED;
  breaker->next_open_ms = breaker->open_ms;
  breaker->trying = false;
  forget_counts(breaker);
}

bool neap_tier_breaker_would(const neap_tier_breaker *breaker, uint64_t now_ms) {
  switch (breaker->state) {
  case NEAP_TIER_BREAKER_CLOSED: return true;
  case NEAP_TIER_BREAKER_OPEN: return now_ms >= breaker->until_ms;
  default: return !breaker->trying;
  }
}

bool neap_tier_breaker_ask(neap_tier_breaker *breaker, uint64_t now_ms) {
  if (!neap_tier_breaker_would(breaker, now_ms)) return false;
  if (breaker->state == NEAP_TIER_BREAKER_CLOSED) return true;
  breaker->state = NEAP_TIER_BREAKER_HALF_OPEN;
  breaker->trying = true;
  return true;
}

void neap_tier_breaker_tell(neap_tier_breaker *breaker, uint64_t now_ms, bool good) {
  if (breaker->state == NEAP_TIER_BREAKER_OPEN) return; /* sent before it opened */
  if (breaker->state == NEAP_TIER_BREAKER_HALF_OPEN) {
    if (good)
      close_it(breaker);
    else
      open_it(breaker, now_ms);
    return;
  }
  size_t part = part_at(breaker, now_ms);
  breaker->calls[part]++;
  breaker->errors[part] += !good;
  uint64_t calls = 0, errors = 0;
  for (size_t i = 0; i < NEAP_TIER_BREAKER_PARTS; i++)
    calls += breaker->calls[i], errors += breaker->errors[i];
  if (!good && calls >= breaker->min && errors * 100 >= calls * breaker->error_percent)
    open_it(breaker, now_ms);
}

void neap_tier_breaker_forget(neap_tier_breaker *breaker) {
  breaker->trying = false;
}
