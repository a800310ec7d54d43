#include "base/care.h"

#include <string.h>

#include "base/hash.h"

static uint64_t add_text(uint64_t key, const char *text) {
  size_t size = strlen(text);
  return neap_hash_mix(key ^ neap_hash_bytes(text, size), size + 1);
}

static uint64_t add_number(uint64_t key, uint64_t number) {
  return neap_hash_mix(key ^ neap_hash_bytes((const char *)&number, sizeof number), number | 1);
}

uint64_t neap_care_health_key(const neap_care_health *rules, const char *pool) {
  if (rules->kind == NEAP_PROBE_NONE) return 0;
  const uint64_t numbers[] = {
      rules->kind,       rules->status_count, rules->interval_ms, rules->fast_interval_ms,
      rules->timeout_ms, rules->rise,         rules->fall};
  uint64_t key = add_text(add_text(add_text(1, rules->path), rules->host), rules->contains);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) key = add_number(key, numbers[i]);
  for (uint32_t i = 0; i < rules->status_count; i++)
    key = add_number(key, (uint64_t)rules->status_from[i] << 16 | rules->status_to[i]);
  if (rules->scripted) key = add_text(key, pool);
  return key ? key : 1;
}
