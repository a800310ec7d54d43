#include "server/discover.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/gateway.h"

enum { FILE_LOOK_MS = 500 };

/* One source of one pool. */
typedef struct finder {
  struct finder *next;
  neap_discovery *home;
  char *pool, *spec;
  uint64_t refresh_ms;
  neap_backend_source *source;
  neap_backend_source_list found;
  uint64_t changed_ms;
  char reason[300];
  bool wanted; /* by the generation in force */
} finder;

struct neap_discovery {
  neap_gateway *gateway;
  neap_resolver *resolver; /* NULL: not yet needed */
  neap_fetcher *fetcher;
  char *servers; /* of the resolver; "": the system's */
  finder *first;
};

/* --- joining and leaving */

static const neap_backend_source_member *find_member(const neap_backend_source_list *list,
                                                     const char *address) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->members[i].address, address) == 0) return &list->members[i];
  return NULL;
}

/* Whether another source of the pool finds it too. */
static bool found_elsewhere(const finder *by, const char *address) {
  for (const finder *other = by->home->first; other; other = other->next)
    if (other != by && strcmp(other->pool, by->pool) == 0 && find_member(&other->found, address)) return true;
  return false;
}

static bool join(finder *by, const neap_backend_source_member *member) {
  neap_gateway *gateway = by->home->gateway;
  neap_err err;
  const neap_member_found found = {member->address, member->weight, member->priority};
  if (neap_members_announce(gateway, by->pool, &found, &err) == 0) return true;
  neap_gateway_log(gateway, NEAP_LOG_ERROR, "server discover_join_failed pool=%s backend=%s error=\"%s\"",
                   by->pool, member->address, err.text);
  return false;
}

static void leave(finder *by, const char *address) {
  if (!found_elsewhere(by, address)) neap_members_withdraw(by->home->gateway, by->pool, address);
}

/* A priority is given when a backend joins. */
static void change(finder *by, const neap_backend_source_member *was, const neap_backend_source_member *is) {
  if (was->weight == is->weight && was->priority == is->priority) return;
  if (was->priority != is->priority) {
    leave(by, is->address);
    neap_members_catch_up(by->home->gateway);
  }
  join(by, is);
}

/* What is found now, with room for what was found before. */
static int copy_found(neap_backend_source_list *to, const neap_backend_source_member *members, size_t count,
                      size_t more) {
  neap_backend_source_member *copy = malloc((count + more + 1) * sizeof *copy);
  if (copy == NULL) return NEAP_ENOMEM;
  if (count) memcpy(copy, members, count * sizeof *copy);
  *to = (neap_backend_source_list){.members = copy, .count = count, .room = count + more + 1};
  return 0;
}

/* Where one cannot join, nobody leaves: a list with a wrong name in it must not empty the pool. */
static void on_changed(void *user, const neap_backend_source_member *members, size_t count) {
  finder *by = user;
  neap_backend_source_list before = by->found, now;
  if (copy_found(&now, members, count, before.count)) return;
  by->found = now; /* first: what it finds no more is not found elsewhere by itself */
  size_t joined = 0, failed = 0, left = 0;
  for (size_t i = 0; i < count; i++) {
    const neap_backend_source_member *old = find_member(&before, members[i].address);
    if (old)
      change(by, old, &members[i]);
    else if (join(by, &members[i]))
      joined++;
    else
      failed++;
  }
  for (size_t i = 0; i < before.count; i++) {
    if (find_member(&now, before.members[i].address)) continue;
    if (failed)
      by->found.members[by->found.count++] = before.members[i];
    else
      leave(by, before.members[i].address), left++;
  }
  neap_members_catch_up(by->home->gateway);
  free(before.members);
  by->changed_ms = neap_clock_wall_ms();
  neap_gateway_log(by->home->gateway, failed ? NEAP_LOG_WARN : NEAP_LOG_INFO,
                   "server discovered pool=%s source=\"%s\" backends=%zu joined=%zu failed=%zu left=%zu",
                   by->pool, by->spec, count, joined, failed, left);
}

static void on_failed(void *user, const char *reason) {
  finder *by = user;
  snprintf(by->reason, sizeof by->reason, "%.*s", (int)sizeof by->reason - 1, reason ? reason : "");
  if (reason)
    neap_gateway_log(by->home->gateway, NEAP_LOG_WARN,
                     "server discover_failed pool=%s source=\"%s\" error=\"%s\"", by->pool, by->spec, reason);
}

/* --- sources */

static bool starts(const char *spec, const char *kind) {
  return strncmp(spec, kind, strlen(kind)) == 0;
}

/* The folder of the configuration, which files of backends are beside. */
static void folder_of(const neap_gateway *gateway, char *out, size_t capacity) {
  const char *name = gateway->options->name ? gateway->options->name : "", *slash = strrchr(name, '/');
  snprintf(out, capacity, "%.*s", slash ? (int)(slash - name) : 1, slash ? name : ".");
  if (slash == name) snprintf(out, capacity, "/");
}

static int need_resolver(neap_discovery *discovery) {
  const char *servers = discovery->servers[0] ? discovery->servers : NULL;
  return discovery->resolver ? 0
                             : neap_resolver_create(discovery->gateway->loop, servers, &discovery->resolver);
}

static int need_fetcher(neap_discovery *discovery) {
  return discovery->fetcher ? 0 : neap_fetcher_create(discovery->gateway->loop, &discovery->fetcher);
}

static void open_source(finder *of) {
  neap_discovery *discovery = of->home;
  bool dns = starts(of->spec, "dns:") || starts(of->spec, "srv:"), file = starts(of->spec, "file:");
  char folder[4096];
  neap_err err = {0};
  int code = dns ? need_resolver(discovery) : file ? 0 : need_fetcher(discovery);
  if (code) neap_fail(&err, code, "%s", dns ? "the name servers cannot be read" : neap_strerror(code));
  folder_of(discovery->gateway, folder, sizeof folder);
  const neap_backend_source_options options = {.spec = of->spec,
                                               .folder = folder,
                                               .refresh_ms = file ? FILE_LOOK_MS : of->refresh_ms,
                                               .loop = discovery->gateway->loop,
                                               .resolver = discovery->resolver,
                                               .fetcher = discovery->fetcher,
                                               .changed = on_changed,
                                               .failed = on_failed,
                                               .user = of};
  if (code == 0) code = neap_backend_source_create(&options, &of->source, &err);
  if (code) on_failed(of, err.text);
}

/* --- following */

static finder *find(const neap_discovery *discovery, const char *pool, const char *spec) {
  for (finder *of = discovery->first; of; of = of->next)
    if (strcmp(of->pool, pool) == 0 && strcmp(of->spec, spec) == 0) return of;
  return NULL;
}

static void free_finder(finder *of) {
  neap_backend_source_destroy(&of->source);
  free(of->found.members);
  free(of->pool);
  free(of->spec);
  free(of);
}

static void want(neap_discovery *discovery, const neap_config_pool *pool, const char *spec) {
  finder *of = find(discovery, pool->name, spec);
  if (of == NULL) {
    of = calloc(1, sizeof *of);
    if (of == NULL) return;
    of->home = discovery;
    of->pool = strdup(pool->name);
    of->spec = strdup(spec);
    if (of->pool == NULL || of->spec == NULL) {
      free_finder(of);
      return;
    }
    finder **at = &discovery->first;
    while (*at) at = &(*at)->next;
    *at = of;
  }
  of->wanted = true;
  if (of->refresh_ms != pool->source_refresh_ms) neap_backend_source_destroy(&of->source);
  of->refresh_ms = pool->source_refresh_ms;
  if (of->source == NULL) open_source(of);
}

static void drop_unwanted(neap_discovery *discovery) {
  for (finder **at = &discovery->first; *at;) {
    finder *of = *at;
    if (of->wanted) {
      at = &of->next;
      continue;
    }
    neap_backend_source_list found = of->found;
    of->found = (neap_backend_source_list){0};
    for (size_t i = 0; i < found.count; i++) leave(of, found.members[i].address);
    free(found.members);
    *at = of->next;
    free_finder(of);
  }
  neap_members_catch_up(discovery->gateway);
}

/* "a,b" of the configuration. Where it is another than before, names are asked for anew. */
static void set_servers(neap_discovery *discovery, const neap_config *config) {
  char servers[1024] = "";
  for (size_t i = 0; i < config->name_server_count; i++) {
    size_t size = strlen(servers);
    snprintf(servers + size, sizeof servers - size, "%s%s", i ? "," : "", config->name_servers[i]);
  }
  if (strcmp(servers, discovery->servers) == 0) return;
  char *copy = strdup(servers);
  if (copy == NULL) return;
  free(discovery->servers);
  discovery->servers = copy;
  for (finder *of = discovery->first; of; of = of->next)
    if (starts(of->spec, "dns:") || starts(of->spec, "srv:")) neap_backend_source_destroy(&of->source);
  neap_resolver_destroy(&discovery->resolver);
}

void neap_discovery_follow(neap_discovery *discovery) {
  const neap_config *config = discovery->gateway->loaded->config;
  set_servers(discovery, config);
  for (finder *of = discovery->first; of; of = of->next) of->wanted = false;
  for (size_t i = 0; i < config->pool_count; i++)
    for (size_t j = 0; j < config->pools[i].source_count; j++)
      want(discovery, &config->pools[i], config->pools[i].sources[j]);
  drop_unwanted(discovery);
}

void neap_discovery_each(const neap_discovery *discovery,
                         void (*tell)(void *user, const neap_discovery_info *info), void *user) {
  for (const finder *of = discovery->first; of; of = of->next)
    tell(user, &(neap_discovery_info){.pool = of->pool,
                                      .spec = of->spec,
                                      .backends = of->found.count,
                                      .changed_ms = of->changed_ms,
                                      .reason = of->reason});
}

/* --- life */

int neap_discovery_create(neap_gateway *gateway, neap_discovery **out) {
  neap_discovery *discovery = calloc(1, sizeof *discovery);
  if (discovery == NULL) return NEAP_ENOMEM;
  discovery->gateway = gateway;
  discovery->servers = strdup("");
  if (discovery->servers == NULL) {
    free(discovery);
    return NEAP_ENOMEM;
  }
  *out = discovery;
  return 0;
}

void neap_discovery_destroy(neap_discovery **discovery_ptr) {
  neap_discovery *discovery = *discovery_ptr;
  if (discovery == NULL) return;
  *discovery_ptr = NULL;
  while (discovery->first) {
    finder *of = discovery->first;
    discovery->first = of->next;
    free_finder(of);
  }
  neap_resolver_destroy(&discovery->resolver);
  neap_fetcher_destroy(&discovery->fetcher);
  free(discovery->servers);
  free(discovery);
}
