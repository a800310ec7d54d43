/* Names to policies: natives by "native:<name>", everything else through loaders, in the order they were
 * added. */
#include <stdlib.h>

#include "base/base.h"
#include "base/nearest.h"
#include "policy/guard.h"
#include "policy/policy.h"

enum { LOADERS_MAX = 8, REGISTRY_MAGIC = 0x6e526567 };
#define NATIVE_PREFIX "native:"

struct neap_registry {
  uint32_t magic;
  neap_host host;
  neap_loader loaders[LOADERS_MAX];
  size_t loader_count;
};

int neap_registry_create(const neap_host *host, neap_registry **out) {
  neap_registry *registry = calloc(1, sizeof *registry);
  if (registry == NULL) return NEAP_ENOMEM;
  registry->magic = REGISTRY_MAGIC;
  registry->host = *host;
  *out = registry;
  return 0;
}

void neap_registry_destroy(neap_registry **registry) {
  if (*registry == NULL) return;
  neap_check_magic(*registry, REGISTRY_MAGIC);
  (*registry)->magic = 0;
  free(*registry);
  *registry = NULL;
}

void neap_registry_add(neap_registry *registry, const neap_loader *loader) {
  neap_check_magic(registry, REGISTRY_MAGIC);
  neap_assert(registry->loader_count < LOADERS_MAX);
  registry->loaders[registry->loader_count++] = *loader;
}

static const neap_policy_vt *find_native(neap_domain domain, const char *name) {
  for (size_t i = 0; neap_native_policies[i] != NULL; i++)
    if (neap_native_policies[i]->domain == domain && strcmp(neap_native_policies[i]->name, name) == 0)
      return neap_native_policies[i];
  return NULL;
}

static int native_not_found(neap_domain domain, const char *name, neap_err *err) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, name);
  for (size_t i = 0; neap_native_policies[i] != NULL; i++)
    if (neap_native_policies[i]->domain == domain)
      neap_nearest_offer(&nearest, neap_native_policies[i]->name);
  if (nearest.name == NULL) return neap_fail(err, NEAP_ENOTFOUND, "no policy '" NATIVE_PREFIX "%s'", name);
  return neap_fail(err, NEAP_ENOTFOUND,
                   "no policy '" NATIVE_PREFIX "%s', did you mean '" NATIVE_PREFIX "%s'?", name,
                   nearest.name);
}

static int open_native(neap_domain domain, const char *spec, const neap_policy_env *env,
                       const neap_param *params, size_t param_count, const neap_policy_vt **vt, void **self,
                       neap_err *err) {
  const char *name = spec + strlen(NATIVE_PREFIX);
  *vt = find_native(domain, name);
  if (*vt == NULL) return native_not_found(domain, name, err);
  return (*vt)->create(env, params, param_count, self, err);
}

static int open_loaded(neap_registry *registry, neap_domain domain, const char *spec, const char *source,
                       const neap_policy_env *env, const neap_param *params, size_t param_count,
                       const neap_policy_vt **vt, void **self, char **text, neap_err *err) {
  neap_fail(err, NEAP_ENOTFOUND, "no policy '%s'", spec);
  for (size_t i = 0; i < registry->loader_count; i++) {
    const neap_loader *loader = &registry->loaders[i];
    int code =
        loader->open(loader->user, domain, spec, source, env, params, param_count, vt, self, text, err);
    if (code != NEAP_ENOTFOUND) return code;
  }
  return NEAP_ENOTFOUND;
}

int neap_policy_open(neap_registry *registry, neap_domain domain, const char *spec, const char *source,
                     const neap_policy_env *env, const neap_param *params, size_t param_count,
                     neap_policy **out, neap_err *err) {
  neap_check_magic(registry, REGISTRY_MAGIC);
  if (spec == NULL || *spec == 0) return neap_fail(err, NEAP_EINVAL, "a policy needs a name");
  const neap_policy_vt *vt;
  void *self;
  char *text = NULL;
  bool native = strncmp(spec, NATIVE_PREFIX, strlen(NATIVE_PREFIX)) == 0;
  int code =
      native ? open_native(domain, spec, env, params, param_count, &vt, &self, err)
             : open_loaded(registry, domain, spec, source, env, params, param_count, &vt, &self, &text, err);
  if (code == NEAP_ENOMEM) return neap_fail(err, code, "%s: %s", spec, neap_strerror(code));
  if (code) return code;
  *out = neap_guard_wrap(vt, self, env, text);
  if (*out != NULL) return 0;
  vt->destroy(self);
  free(text);
  return neap_fail(err, NEAP_ENOMEM, "%s: %s", spec, neap_strerror(NEAP_ENOMEM));
}
