/* What goes into memory: the cascade's head before the caller's meta, kept past its time to be served stale.
 */
#include "tier/impl.h"

neap_tier_head neap_tier_head_of(const neap_entry *entry) {
  neap_tier_head head = {0}; /* of an entry that somebody has put past the cascade: past its time */
  neap_view meta = neap_entry_meta(entry);
  if (meta.size >= sizeof head) memcpy(&head, meta.ptr, sizeof head);
  return head;
}

static uint64_t plus(uint64_t a, uint64_t b) {
  return a > NEAP_TTL_NEVER - b ? NEAP_TTL_NEVER : a + b;
}

neap_tier_fill neap_tier_memory_begin(neap_tiers *tiers, neap_view key, const neap_tier_object *object,
                                      uint64_t suspects, uint64_t now_ms) {
  const neap_tier_head head = {
      .soft_ms = plus(now_ms, object->ttl_ms), .suspects = suspects, .cost_us = object->cost_us};
  neap_tier_fill fill = {.version = object->version};
  size_t size = sizeof head + object->meta.size;
  char *meta = tiers->host.alloc(tiers->host.user, size);
  if (meta == NULL) {
    fill.code = NEAP_ENOMEM;
    return fill;
  }
  memcpy(meta, &head, sizeof head);
  if (object->meta.size > 0) memcpy(meta + sizeof head, object->meta.ptr, object->meta.size);
  const neap_put_options put = {.ttl_ms = plus(object->ttl_ms, tiers->options.fail_safe_max_ms),
                                .version = object->version,
                                .cost = object->cost_us,
                                .meta = {meta, size}};
  fill.code = neap_cache_put_begin(tiers->memory, key, object->body.size, &put, &fill.fill);
  tiers->host.free(tiers->host.user, meta, size);
  if (fill.code == 0) fill.code = neap_fill_append(fill.fill, object->body);
  if (fill.code && fill.fill) neap_fill_abort(&fill.fill);
  return fill;
}
