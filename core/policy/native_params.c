#include "policy/native.h"

#include "base/nearest.h"

static int unknown(const char *policy, const neap_native_param *known, const char *name, neap_err *err) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, name);
  for (; known->name != NULL; known++) neap_nearest_offer(&nearest, known->name);
  if (nearest.name == NULL)
    return neap_fail(err, NEAP_EINVAL, "native:%s: unknown parameter '%s'", policy, name);
  return neap_fail(err, NEAP_EINVAL, "native:%s: unknown parameter '%s', did you mean '%s'?", policy, name,
                   nearest.name);
}

int neap_native_params(const char *policy, const neap_native_param *known, const neap_param *params,
                       size_t count, neap_err *err) {
  for (size_t i = 0; i < count; i++) {
    const neap_native_param *match = known;
    while (match->name != NULL && strcmp(match->name, params[i].name) != 0) match++;
    if (match->name == NULL) return unknown(policy, known, params[i].name, err);
    if (params[i].text != NULL || !(params[i].number >= match->least && params[i].number <= match->most))
      return neap_fail(err, NEAP_EINVAL, "native:%s: '%s' must be a number from %g to %g", policy,
                       match->name, match->least, match->most);
    *match->value = params[i].number;
  }
  return 0;
}
