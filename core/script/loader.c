/* The registry's loader of Lua policies: from a name to a text, and from there to the domain that runs it.
 *   "sieve", "S3-FIFO"   shipped: policies/<domain>/<name>.lua, embedded; case, "_" and "-" do not count
 *   "Custom(mine)"       mine.lua or policies/<domain>/mine.lua
 *   "dir/mine.lua"       that file
 * A text that the caller has already (a configuration's, a rollback's) is taken as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/nearest.h"
#include "script/balance.h"
#include "script/config.h"
#include "script/embed.h"
#include "script/evict.h"
#include "script/prefetch.h"

static const char *const DOMAINS[NEAP_DOMAIN_COUNT] = {
    [NEAP_EVICT] = "evict", [NEAP_BALANCE] = "balance", [NEAP_ROUTE] = "route", [NEAP_PREFETCH] = "prefetch"};

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

/* The name in "Custom(name)", in any case. */
static bool is_custom(const char *spec, char *out, size_t size) {
  static const char head[] = "custom(";
  size_t length = strlen(spec);
  if (length <= sizeof head || length - sizeof head >= size) return false;
  if (strncasecmp(spec, head, sizeof head - 1) != 0 || spec[length - 1] != ')') return false;
  snprintf(out, size, "%.*s", (int)(length - sizeof head), spec + sizeof head - 1);
  return true;
}

static void set_place(found *out, const char *path) {
  snprintf(out->name, sizeof out->name, "%s", path);
  const char *slash = strrchr(path, '/');
  snprintf(out->folder, sizeof out->folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

static int keep_text(found *out, const char *text, neap_err *err) {
  out->text = strdup(text);
  return out->text ? 0 : neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
}

static int find_file(neap_config_files *record, const char *domain, const char *name, found *out,
                     neap_err *err) {
  neap_config_files files = {0};
  neap_err why = {0};
  const neap_config_file *file = neap_config_find_file(record ? record : &files, ".", domain, name, &why);
  int code = why.code;
  if (file != NULL) {
    set_place(out, file->path);
    code = keep_text(out, file->text, err);
  } else if (err != NULL) {
    *err = why;
  }
  neap_config_files_fini(&files);
  return code;
}

/* The name of a shipped policy of the domain, "" where the file is another. */
static void name_of(const neap_embedded_file *file, neap_domain domain, char *out, size_t size) {
  char folder[32];
  size_t length = (size_t)snprintf(folder, sizeof folder, "policies/%s/", DOMAINS[domain]);
  *out = '\0';
  if (strncmp(file->path, folder, length) != 0) return;
  snprintf(out, size, "%.*s", (int)(strlen(file->path + length) - 4), file->path + length);
  if (strstr(out, "_spec")) *out = '\0';
}

typedef struct offers {
  neap_nearest nearest;
  char best[64], all[400];
} offers;

static void offer(offers *out, const char *name) {
  char word[70];
  snprintf(word, sizeof word, " %s,", name);
  if (strstr(out->all, word)) return; /* the twin */
  snprintf(out->all + strlen(out->all), sizeof out->all - strlen(out->all), "%s", word);
  neap_nearest_offer(&out->nearest, name);
  if (out->nearest.name != name) return;
  snprintf(out->best, sizeof out->best, "%s", name);
  out->nearest.name = out->best;
}

static int not_shipped(neap_domain domain, const char *spec, neap_err *err) {
  char name[64];
  offers known = {.best = "", .all = ""};
  neap_nearest_init(&known.nearest, spec);
  for (const neap_embedded_file *file = neap_embedded_files; file->path != NULL; file++) {
    name_of(file, domain, name, sizeof name);
    if (name[0]) offer(&known, name);
  }
  for (const neap_policy_vt *const *native = neap_native_policies; *native; native++)
    if ((*native)->domain == domain) offer(&known, (*native)->name);
  if (known.best[0] == 0)
    return neap_fail(err, NEAP_ENOTFOUND, "there is no policy '%s' to %s; there are%.*s", spec,
                     DOMAINS[domain], (int)strlen(known.all) - 1, known.all);
  return neap_fail(err, NEAP_ENOTFOUND, "there is no policy '%s' to %s, did you mean '%s'?", spec,
                   DOMAINS[domain], known.best);
}

/* The shipped file of that name. NULL: none. */
static const neap_embedded_file *shipped(neap_domain domain, const char *spec) {
  char name[64];
  for (const neap_embedded_file *file = neap_embedded_files; file->path != NULL; file++) {
    name_of(file, domain, name, sizeof name);
    if (name[0] && neap_policy_same_name(name, spec)) return file;
  }
  return NULL;
}

static int find(neap_config_files *record, neap_domain domain, const char *spec, const char *source,
                found *out, neap_err *err) {
  char custom[256];
  bool named = is_custom(spec, custom, sizeof custom);
  if (source == NULL && (named || is_file(spec)))
    return find_file(record, DOMAINS[domain], named ? custom : spec, out, err);
  const neap_embedded_file *file = shipped(domain, spec);
  if (source == NULL && file == NULL) return not_shipped(domain, spec, err);
  if (file != NULL)
    snprintf(out->name, sizeof out->name, "%s", file->path);
  else
    set_place(out, spec);
  if (!is_file(spec)) out->folder[0] = 0;
  return keep_text(out, source != NULL ? source : file->text, err);
}

static int open_evict(const neap_script_text *source, const neap_host *host, const neap_policy_env *env,
                      const neap_param *params, size_t param_count, const neap_policy_vt **vt, void **self,
                      neap_err *err) {
  int code = neap_evict_dry_run(source, host, params, param_count, err);
  return code ? code : neap_evict_create(source, env, params, param_count, vt, self, err);
}

static int open_prefetch(const neap_script_text *source, const neap_host *host, const neap_policy_env *env,
                         const neap_param *params, size_t param_count, const neap_policy_vt **vt, void **self,
                         neap_err *err) {
  int code = neap_prefetch_dry_run(source, host, params, param_count, NULL, NULL, NULL, err);
  return code ? code : neap_prefetch_create(source, env, params, param_count, vt, self, err);
}

static int open_policy(const neap_host *host, neap_config_files *record, neap_domain domain, const char *spec,
                       const char *text, const neap_policy_env *env, const neap_param *params,
                       size_t param_count, const neap_policy_vt **vt, void **self, char **text_out,
                       neap_err *err) {
  found f = {0};
  if (domain == NEAP_ROUTE) return neap_fail(err, NEAP_ENOTFOUND, "no policy '%s'", spec);
  int code = find(record, domain, spec, text, &f, err);
  const neap_script_text source = {.name = f.name,
                                   .text = f.text,
                                   .size = f.text ? strlen(f.text) : 0,
                                   .folder = f.folder[0] ? f.folder : NULL,
                                   .files = record};
  if (code == 0 && domain == NEAP_EVICT)
    code = open_evict(&source, host, env, params, param_count, vt, self, err);
  else if (code == 0 && domain == NEAP_PREFETCH)
    code = open_prefetch(&source, host, env, params, param_count, vt, self, err);
  else if (code == 0)
    code = neap_balance_open(host, &source, env, params, param_count, vt, self, err);
  if (code)
    free(f.text);
  else
    *text_out = f.text;
  return code;
}

static int open_from_disk(void *user, neap_domain domain, const char *spec, const char *source,
                          const neap_policy_env *env, const neap_param *params, size_t param_count,
                          const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  return open_policy(user, NULL, domain, spec, source, env, params, param_count, vt, self, text_out, err);
}

static int open_from_record(void *user, neap_domain domain, const char *spec, const char *source,
                            const neap_policy_env *env, const neap_param *params, size_t param_count,
                            const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  return open_policy(env->host, user, domain, spec, source, env, params, param_count, vt, self, text_out,
                     err);
}

void neap_script_register(neap_registry *registry, const neap_host *host) {
  const neap_loader loader = {.name = "lua", .user = (void *)(uintptr_t)host, .open = open_from_disk};
  neap_registry_add(registry, &loader);
}

void neap_script_register_record(neap_registry *registry, neap_config_files *files) {
  const neap_loader loader = {.name = "lua", .user = files, .open = open_from_record};
  neap_registry_add(registry, &loader);
}

bool neap_script_ships(neap_domain domain, const char *name) {
  char spec[128];
  if (!neap_policy_resolve(domain, name, spec, sizeof spec)) return false;
  if (strncmp(spec, "native:", 7) != 0) return shipped(domain, spec) != NULL;
  for (const neap_policy_vt *const *native = neap_native_policies; *native; native++)
    if ((*native)->domain == domain && strcmp((*native)->name, spec + 7) == 0) return true;
  return false;
}
