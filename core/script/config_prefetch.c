/* What is prefetched, from canonical JSON: what lua/neap/prefetching.lua has checked. */
#include <string.h>

#include "base/hash.h"
#include "script/config_json.h"

static double real_at(const json_t *object, const char *key) {
  return json_number_value(json_object_get(object, key));
}

static uint64_t hash_of(const json_t *list) {
  char *text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
  uint64_t hash = text ? neap_hash_bytes(text, strlen(text)) : 0;
  free(text);
  return hash;
}

bool neap_config_read_prefetch(neap_config_box *box, const json_t *from) {
  neap_config_prefetch *prefetch = &box->config.prefetch;
  const json_t *budget = json_object_get(from, "budget"), *list = json_object_get(from, "policy");
  *prefetch = (neap_config_prefetch){.enabled = from != NULL,
                                     .links = true_at(from, "links"),
                                     .refresh = real_at(from, "refresh"),
                                     .precision = real_at(from, "precision"),
                                     .in_flight = (uint32_t)number_at(budget, "in_flight"),
                                     .per_second = real_at(budget, "per_second"),
                                     .share = real_at(budget, "share"),
                                     .shelf = real_at(budget, "shelf"),
                                     .memory = number_at(from, "memory"),
                                     .hash = hash_of(list)};
  neap_config_prefetch_policy *policies = array_for(box, list, sizeof *policies, &prefetch->policy_count);
  prefetch->policies = policies;
  for (size_t i = 0; policies && i < prefetch->policy_count; i++) {
    const json_t *one = json_array_get(list, i);
    policies[i].name = text_at(one, "policy");
    policies[i].source = neap_config_policy_text(box, policies[i].name);
    policies[i].params = neap_config_params_of(box, json_object_get(one, "params"), &policies[i].param_count);
    if (policies[i].params == NULL) return false;
  }
  return policies != NULL;
}
