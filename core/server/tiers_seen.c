/* What is seen of tiers: in the status, and as metrics. Control thread. */
#include <string.h>

#include "server/gateway.h"
#include "server/tiers.h"

static const char *const states[] = {[NEAP_TIER_BREAKER_CLOSED] = "closed",
                                     [NEAP_TIER_BREAKER_OPEN] = "open",
                                     [NEAP_TIER_BREAKER_HALF_OPEN] = "half-open"};

static void put_status(const neap_cascade *cascade, json_t *list) {
  neap_tiers_stats stats;
  neap_tiers_stats_get(neap_cascade_tiers(cascade), &stats);
  for (int i = 1; i < stats.tier_count; i++) {
    const neap_tier_stats *tier = &stats.tiers[i];
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:f, s:I, s:I, s:I, s:f}", "tier", tier->name, "breaker",
                                    states[tier->breaker], "hit_rate", tier->hit_rate, "hits",
                                    (json_int_t)tier->hits, "errors", (json_int_t)tier->errors, "waiting",
                                    (json_int_t)tier->waiting, "p99_ms", (double)tier->latency.p99_ns / 1e6));
  }
}

json_t *neap_cascade_status(const neap_gateway *gateway) {
  json_t *list = json_array();
  if (gateway->cascade) put_status(gateway->cascade, list);
  if (gateway->keys_cascade) put_status(gateway->keys_cascade, list);
  return list;
}

static void expose_latency(neap_exposition *out, const neap_tier_stats *tier) {
  const struct {
    const char *share;
    uint64_t ns;
  } rows[] = {{"0.5", tier->latency.p50_ns},
              {"0.9", tier->latency.p90_ns},
              {"0.99", tier->latency.p99_ns},
              {"0.999", tier->latency.p999_ns}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    neap_expose(out, NEAP_METRIC_TIER_CALL, (double)rows[i].ns / 1e9,
                (const char *[]){tier->name, rows[i].share});
}

/* A figure of every tier, then the next: samples of one family stand together. */
void neap_cascade_expose(const neap_gateway *gateway, neap_exposition *out) {
  static const struct {
    neap_metric metric;
    size_t offset;
    const char *label; /* the second one; NULL: none */
  } figures[] = {{NEAP_METRIC_TIER_LOOKUPS, offsetof(neap_tier_stats, hits), "hit"},
                 {NEAP_METRIC_TIER_LOOKUPS, offsetof(neap_tier_stats, misses), "miss"},
                 {NEAP_METRIC_TIER_SETS, offsetof(neap_tier_stats, sets), NULL},
                 {NEAP_METRIC_TIER_PROMOTIONS, offsetof(neap_tier_stats, promotions), NULL},
                 {NEAP_METRIC_TIER_DELETES, offsetof(neap_tier_stats, deletes), NULL},
                 {NEAP_METRIC_TIER_ERRORS, offsetof(neap_tier_stats, errors), NULL},
                 {NEAP_METRIC_TIER_TIMEOUTS, offsetof(neap_tier_stats, timeouts), NULL},
                 {NEAP_METRIC_TIER_SKIPPED, offsetof(neap_tier_stats, skipped), NULL},
                 {NEAP_METRIC_TIER_REJECTED, offsetof(neap_tier_stats, rejected), NULL},
                 {NEAP_METRIC_TIER_WRITES, offsetof(neap_tier_stats, queued), "queued"},
                 {NEAP_METRIC_TIER_WRITES, offsetof(neap_tier_stats, coalesced), "coalesced"},
                 {NEAP_METRIC_TIER_WRITES, offsetof(neap_tier_stats, replayed), "replayed"},
                 {NEAP_METRIC_TIER_WRITES, offsetof(neap_tier_stats, dropped), "dropped"},
                 {NEAP_METRIC_TIER_BYTES, offsetof(neap_tier_stats, bytes_read), "read"},
                 {NEAP_METRIC_TIER_BYTES, offsetof(neap_tier_stats, bytes_written), "written"},
                 {NEAP_METRIC_TIER_WAITING, offsetof(neap_tier_stats, waiting), NULL},
                 {NEAP_METRIC_TIER_OPENED, offsetof(neap_tier_stats, breaker_opened), NULL}};
  const neap_cascade *cascades[] = {gateway->cascade, gateway->keys_cascade};
  neap_tier_stats tiers[2 * NEAP_TIERS_MAX];
  int count = 0;
  for (size_t i = 0; i < NEAP_COUNT_OF(cascades); i++) {
    neap_tiers_stats stats;
    if (cascades[i] == NULL) continue;
    neap_tiers_stats_get(neap_cascade_tiers(cascades[i]), &stats);
    for (int j = 1; j < stats.tier_count; j++) tiers[count++] = stats.tiers[j];
  }
  for (size_t f = 0; f < NEAP_COUNT_OF(figures); f++)
    for (int i = 0; i < count; i++) {
      uint64_t value;
      memcpy(&value, (const char *)&tiers[i] + figures[f].offset, sizeof value);
      neap_expose(out, figures[f].metric, (double)value, (const char *[]){tiers[i].name, figures[f].label});
    }
  for (int i = 0; i < count; i++)
    for (size_t state = 0; state < NEAP_COUNT_OF(states); state++)
      neap_expose(out, NEAP_METRIC_TIER_BREAKER, tiers[i].breaker == (neap_tier_breaker_state)state,
                  (const char *[]){tiers[i].name, states[state]});
  for (int i = 0; i < count; i++) expose_latency(out, &tiers[i]);
}
