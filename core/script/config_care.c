/* How a pool looks after its backends, from canonical JSON: the fields that lua/neap/care.lua has checked. */
#include "script/config.h"

#include "base/base.h"

static const json_t *at(const json_t *object, const char *key) {
  return json_object_get(object, key);
}

static double real_at(const json_t *object, const char *key) {
  return json_number_value(at(object, key));
}

static uint64_t whole_at(const json_t *object, const char *key) {
  double number = real_at(object, key);
  return number > 0 && number <= 0x1p53 ? (uint64_t)number : 0;
}

static const char *text_at(const json_t *object, const char *key) {
  const char *text = json_string_value(at(object, key));
  return text ? text : "";
}

static neap_probe_kind kind_of(const char *text) {
  if (strcmp(text, "http") == 0) return NEAP_PROBE_HTTP;
  return strcmp(text, "tcp") == 0 ? NEAP_PROBE_TCP : NEAP_PROBE_NONE;
}

static void read_health(const json_t *from, neap_care_health *health) {
  *health = (neap_care_health){.kind = kind_of(text_at(from, "kind")),
                               .path = text_at(from, "path"),
                               .host = text_at(from, "host"),
                               .contains = text_at(from, "contains"),
                               .scripted = json_is_true(at(from, "scripted")),
                               .interval_ms = whole_at(from, "interval"),
                               .fast_interval_ms = whole_at(from, "fast_interval"),
                               .timeout_ms = whole_at(from, "timeout"),
                               .rise = (uint32_t)whole_at(from, "rise"),
                               .fall = (uint32_t)whole_at(from, "fall")};
  const json_t *ranges = at(from, "status");
  for (size_t i = 0; i < json_array_size(ranges) && i < NEAP_PROBE_STATUSES_MAX; i++) {
    const json_t *range = json_array_get(ranges, i);
    health->status_from[i] = (uint16_t)whole_at(range, "from");
    health->status_to[i] = (uint16_t)whole_at(range, "to");
    health->status_count++;
  }
}

static neap_care_eject eject_of(const json_t *from) {
  return (neap_care_eject){.enabled = json_is_true(at(from, "enabled")),
                           .errors = (uint32_t)whole_at(from, "errors"),
                           .rate = real_at(from, "rate"),
                           .min_requests = (uint32_t)whole_at(from, "min_requests"),
                           .time_ms = whole_at(from, "time"),
                           .max_time_ms = whole_at(from, "max_time"),
                           .max_share = real_at(from, "max_share")};
}

static neap_care_breaker breaker_of(const json_t *from) {
  return (neap_care_breaker){.enabled = json_is_true(at(from, "enabled")),
                             .errors = (uint32_t)whole_at(from, "errors"),
                             .rate = real_at(from, "rate"),
                             .min_requests = (uint32_t)whole_at(from, "min_requests"),
                             .window_ms = whole_at(from, "window"),
                             .open_ms = whole_at(from, "open"),
                             .trials = (uint32_t)whole_at(from, "trials")};
}

void neap_config_read_care(const json_t *pool, neap_care *care) {
  read_health(at(pool, "health"), &care->health);
  care->health.key = neap_care_health_key(&care->health, text_at(pool, "name"));
  care->eject = eject_of(at(pool, "eject"));
  care->breaker = breaker_of(at(pool, "breaker"));
  care->slow_start_ms = whole_at(pool, "slow_start");
  care->panic = real_at(pool, "panic");
  care->dynamic_weight = json_is_true(at(pool, "dynamic_weight"));
  care->load_probes = json_is_true(at(pool, "load_probes"));
}
