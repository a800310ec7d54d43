#include "server/discover.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/url.h"
#include "server/gateway.h"

enum { FILE_LOOK_MS = 500, RETRY_MS = 1000, RETRY_MOST_MS = 60000, GATHER_MS = 100 };

/* A backend that is found and whose name has to be looked up before it can join. */
typedef struct newcomer {
  struct newcomer *next;
  struct finder *of;
  neap_naming *naming;   /* under way */
  neap_timer again;      /* else, where it failed */
  neap_backend *backend; /* held: it can join */
  uint64_t retry_ms;
  char reason[300]; /* why it failed last; "": it did not */
  bool wanted;
  char address[NEAP_BACKEND_SOURCE_ADDRESS];
} newcomer;

/* One source of one pool. */
typedef struct finder {
  struct finder *next;
  neap_discovery *home;
  char *pool, *spec, *shown; /* the spec without credentials */
  uint64_t refresh_ms;
  neap_backend_source *source;
  neap_backend_source_list latest; /* as told */
  neap_backend_source_list found;  /* that are in the pool by it, sorted */
  newcomer *newcomers;
  neap_timer settle; /* when some of them can join */
  uint64_t changed_ms;
  char reason[300];
  bool wanted; /* by the generation in force */
} finder;

struct neap_discovery {
  neap_gateway *gateway;
  neap_fetcher *fetcher; /* NULL: not yet needed */
  char *servers;         /* of the resolver; "": the system's */
  finder *first;
};

/* --- lists, sorted by address */

static int by_address(const void *a, const void *b) {
  return strcmp(((const neap_backend_source_member *)a)->address,
                ((const neap_backend_source_member *)b)->address);
}

static const neap_backend_source_member *find_member(const neap_backend_source_list *list,
                                                     const char *address) {
  size_t from = 0, to = list->count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    int order = strcmp(address, list->members[middle].address);
    if (order == 0) return &list->members[middle];
    if (order < 0)
      to = middle;
    else
      from = middle + 1;
  }
  return NULL;
}

static int copy_list(neap_backend_source_list *to, const neap_backend_source_member *members, size_t count) {
  neap_backend_source_member *copy = malloc((count + 1) * sizeof *copy);
  if (copy == NULL) return NEAP_ENOMEM;
  if (count) memcpy(copy, members, count * sizeof *copy);
  *to = (neap_backend_source_list){.members = copy, .count = count, .room = count + 1};
  return 0;
}

/* --- names */

static void ask(newcomer *of);

static void on_again(neap_timer *timer) {
  ask(NEAP_CONTAINER_OF(timer, newcomer, again));
}

/* Spread, so that many names of one list are not asked for together for ever. */
static void try_again(newcomer *of, const char *error) {
  neap_gateway *gateway = of->of->home->gateway;
  of->retry_ms = NEAP_MIN(NEAP_MAX(2 * of->retry_ms, (uint64_t)RETRY_MS), (uint64_t)RETRY_MOST_MS);
  neap_timer_set(gateway->loop, &of->again,
                 of->retry_ms + neap_hash_bytes(of->address, strlen(of->address)) % (of->retry_ms / 4));
  if (strcmp(of->reason, error) == 0) return;
  snprintf(of->reason, sizeof of->reason, "%s", error);
  neap_gateway_log(gateway, NEAP_LOG_ERROR, "server discover_join_failed pool=%s backend=%s error=\"%s\"",
                   of->of->pool, of->address, error);
}

static void on_named(void *user, neap_backend *backend, const char *error) {
  newcomer *of = user;
  of->naming = NULL;
  if (backend == NULL) {
    try_again(of, error);
    return;
  }
  of->backend = neap_backend_hold(backend);
  of->reason[0] = '\0';
  neap_timer_set(of->of->home->gateway->loop, &of->of->settle, GATHER_MS);
}

static void ask(newcomer *of) {
  if (neap_names_ask(of->of->home->gateway->names, of->address, on_named, of, &of->naming))
    try_again(of, "out of memory");
}

/* It joins when its name is known. */
static void await(finder *by, const char *address) {
  newcomer *of = by->newcomers;
  while (of && strcmp(of->address, address) != 0) of = of->next;
  if (of == NULL) {
    of = calloc(1, sizeof *of);
    if (of == NULL) return; /* the next list tries again */
    of->of = by;
    snprintf(of->address, sizeof of->address, "%s", address);
    neap_timer_init(&of->again, on_again);
    of->next = by->newcomers;
    by->newcomers = of;
    ask(of);
  }
  of->wanted = true;
}

static void drop_newcomers(finder *by, bool all) {
  for (newcomer **at = &by->newcomers; *at;) {
    newcomer *of = *at;
    if (of->wanted && !all) {
      at = &of->next;
      continue;
    }
    *at = of->next;
    neap_names_cancel(&of->naming);
    neap_timer_clear(&of->again);
    if (of->backend) neap_backend_give(by->home->gateway->backends, of->backend);
    free(of);
  }
}

/* --- joining and leaving */

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

/* A priority is given when a backend joins. It is held meanwhile, so that its name is not looked up. */
static void change(finder *by, const neap_backend_source_member *was, const neap_backend_source_member *is) {
  neap_gateway *gateway = by->home->gateway;
  neap_backend *backend;
  neap_err err;
  if (was->weight == is->weight && was->priority == is->priority) return;
  if (neap_backends_take(gateway->backends, is->address, &backend, &err)) return;
  if (was->priority != is->priority) {
    leave(by, is->address);
    neap_members_catch_up(gateway);
  }
  join(by, is);
  neap_backend_give(gateway->backends, backend);
}

typedef struct settling {
  neap_backend_source_list now;
  size_t joined, awaited, failed, left;
} settling;

static void keep(settling *s, const neap_backend_source_member *member) {
  s->now.members[s->now.count++] = *member;
}

static void settle_one(finder *by, const neap_backend_source_member *member, settling *s) {
  const neap_backend_source_member *old = find_member(&by->found, member->address);
  if (old == NULL && neap_names_must_ask(by->home->gateway->names, member->address)) {
    await(by, member->address);
    s->awaited++;
  } else if (old == NULL && !join(by, member)) {
    s->failed++;
  } else {
    if (old) change(by, old, member);
    s->joined += old == NULL;
    keep(s, member);
  }
}

/* From what the pool has by it to what was told last. While one cannot join, nobody leaves: a list with a
 * wrong name in it must not empty the pool. */
static void settle(finder *by) {
  neap_backend_source_member *room = malloc((by->latest.count + by->found.count + 1) * sizeof *room);
  if (room == NULL) return;
  settling s = {.now = {.members = room}};
  for (newcomer *of = by->newcomers; of; of = of->next) of->wanted = false;
  for (size_t i = 0; i < by->latest.count; i++) settle_one(by, &by->latest.members[i], &s);
  for (size_t i = 0; i < by->found.count; i++) {
    const neap_backend_source_member *old = &by->found.members[i];
    if (find_member(&by->latest, old->address)) continue;
    if (s.failed || s.awaited)
      keep(&s, old);
    else
      leave(by, old->address), s.left++;
  }
  qsort(s.now.members, s.now.count, sizeof *s.now.members, by_address);
  free(by->found.members);
  by->found = s.now;
  neap_members_catch_up(by->home->gateway);
  drop_newcomers(by, false);
  by->changed_ms = neap_clock_wall_ms();
  neap_gateway_log(
      by->home->gateway, s.failed ? NEAP_LOG_WARN : NEAP_LOG_INFO,
      "server discovered pool=%s source=\"%s\" backends=%zu joined=%zu awaited=%zu failed=%zu left=%zu",
      by->pool, by->shown, by->latest.count, s.joined, s.awaited, s.failed, s.left);
}

static void on_settle(neap_timer *timer) {
  settle(NEAP_CONTAINER_OF(timer, finder, settle));
}

static void on_changed(void *user, const neap_backend_source_member *members, size_t count) {
  finder *by = user;
  neap_backend_source_list latest;
  if (copy_list(&latest, members, count)) return;
  free(by->latest.members);
  by->latest = latest;
  settle(by);
}

static void on_failed(void *user, const char *reason) {
  finder *by = user;
  snprintf(by->reason, sizeof by->reason, "%.*s", (int)sizeof by->reason - 1, reason ? reason : "");
  if (reason)
    neap_gateway_log(by->home->gateway, NEAP_LOG_WARN,
                     "server discover_failed pool=%s source=\"%s\" error=\"%s\"", by->pool, by->shown,
                     reason);
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

static int need_fetcher(neap_discovery *discovery) {
  return discovery->fetcher ? 0 : neap_fetcher_create(discovery->gateway->loop, &discovery->fetcher);
}

static void open_source(finder *of) {
  neap_discovery *discovery = of->home;
  bool dns = starts(of->spec, "dns:") || starts(of->spec, "srv:"), file = starts(of->spec, "file:");
  char folder[4096];
  neap_err err = {0};
  neap_resolver *resolver = NULL;
  int code = dns    ? neap_names_resolver(discovery->gateway->names, &resolver)
             : file ? 0
                    : need_fetcher(discovery);
  if (code) neap_fail(&err, code, "%s", dns ? "the name servers cannot be read" : neap_strerror(code));
  folder_of(discovery->gateway, folder, sizeof folder);
  const neap_backend_source_options options = {.spec = of->spec,
                                               .folder = folder,
                                               .refresh_ms = file ? FILE_LOOK_MS : of->refresh_ms,
                                               .loop = discovery->gateway->loop,
                                               .resolver = resolver,
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
  drop_newcomers(of, true);
  neap_timer_clear(&of->settle);
  free(of->latest.members);
  free(of->found.members);
  free(of->pool);
  free(of->spec);
  free(of->shown);
  free(of);
}

static void want(neap_discovery *discovery, const neap_config_pool *pool, const char *spec) {
  finder *of = find(discovery, pool->name, spec);
  if (of == NULL) {
    of = calloc(1, sizeof *of);
    if (of == NULL) return;
    of->home = discovery;
    neap_timer_init(&of->settle, on_settle);
    of->pool = strdup(pool->name);
    of->spec = strdup(spec);
    of->shown = malloc(strlen(spec) + 4); /* a mask of three takes the place of one or more */
    if (of->pool == NULL || of->spec == NULL || of->shown == NULL) {
      free_finder(of);
      return;
    }
    neap_url_mask(spec, of->shown, strlen(spec) + 4);
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
  neap_names_use(discovery->gateway->names, servers);
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
  for (const finder *of = discovery->first; of; of = of->next) {
    const newcomer *failed = of->newcomers;
    while (failed && failed->reason[0] == '\0') failed = failed->next;
    tell(user, &(neap_discovery_info){.pool = of->pool,
                                      .spec = of->shown,
                                      .backends = of->found.count,
                                      .changed_ms = of->changed_ms,
                                      .reason = of->reason[0] || !failed ? of->reason : failed->reason});
  }
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
  neap_fetcher_destroy(&discovery->fetcher);
  free(discovery->servers);
  free(discovery);
}
