/* The registry's loader of Lua policies: from a name to a text, and from there to the domain that runs it.
 *   "sieve", "LRU"       shipped: policies/<domain>/<name>.lua, embedded
 *   "Custom(mine)"       mine.lua or policies/<domain>/mine.lua
 *   "dir/mine.lua"       that file
 * A text that the caller has already (a configuration's, a rollback's) is taken as it is. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "script/balance.h"
#include "script/config.h"
#include "script/embed.h"

static const char *const DOMAINS[NEAP_DOMAIN_COUNT] = {
    [NEAP_EVICT] = "evict", [NEAP_BALANCE] = "balance", [NEAP_ROUTE] = "route"};

/* A policy's text, and how messages call it. */
typedef struct found {
  char name[512];
  char folder[512]; /* for `require`; "" for none */
  char *text;
} found;

static bool is_file(const char *spec) {
  size_t size = strlen(spec);
  return size > 4 && strcmp(spec + size - 4, ".lua") == 0;
}

static void set_place(found *out, const char *path) {
  snprintf(out->name, sizeof out->name, "%s", path);
  const char *slash = strrchr(path, '/');
  snprintf(out->folder, sizeof out->folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

static int find_file(const char *domain, const char *name, found *out, neap_err *err) {
  neap_config_files files = {0};
  const neap_config_file *file = neap_config_find_file(&files, ".", domain, name, err);
  if (file) set_place(out, file->path);
  if (file) out->text = strdup(file->text);
  neap_config_files_fini(&files);
  if (file == NULL) return NEAP_ENOTFOUND;
  return out->text ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
}

static int find_shipped(const char *domain, const char *spec, found *out, neap_err *err) {
  int used = snprintf(out->name, sizeof out->name, "policies/%s/", domain);
  for (const char *c = spec; *c && used < (int)sizeof out->name - 8; c++)
    out->name[used++] = (char)tolower((unsigned char)*c);
  snprintf(out->name + used, sizeof out->name - (size_t)used, ".lua");
  const neap_embedded_file *file = neap_embedded_find(out->name);
  if (file == NULL) return neap_fail(err, NEAP_ENOTFOUND, "there is no policy '%s' to %s", spec, domain);
  out->text = strdup(file->text);
  return out->text ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
}

static int find(const char *domain, const char *spec, const char *source, found *out, neap_err *err) {
  char custom[256];
  int end = 0;
  bool named = sscanf(spec, "%*1[Cc]ustom(%255[^)])%n", custom, &end) == 1 && end > 0 && spec[end] == 0;
  if (source == NULL && (named || is_file(spec))) return find_file(domain, named ? custom : spec, out, err);
  if (source == NULL) return find_shipped(domain, spec, out, err);
  set_place(out, spec);
  if (!is_file(spec)) out->folder[0] = 0;
  out->text = strdup(source);
  return out->text ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
}

static int open_policy(void *user, neap_domain domain, const char *spec, const char *source,
                       const neap_policy_env *env, const neap_param *params, size_t param_count,
                       const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  found f = {0};
  if (domain != NEAP_BALANCE) return neap_fail(err, NEAP_ENOTFOUND, "no policy '%s'", spec);
  int code = find(DOMAINS[domain], spec, source, &f, err);
  if (code == 0)
    code = neap_balance_open(user, f.name, f.text, f.folder[0] ? f.folder : NULL, env, params, param_count,
                             vt, self, err);
  if (code)
    free(f.text);
  else
    *text_out = f.text;
  return code;
}

void neap_script_register(neap_registry *registry, const neap_host *host) {
  const neap_loader loader = {.name = "lua", .user = (void *)host, .open = open_policy};
  neap_registry_add(registry, &loader);
}
