#include "server/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { AT_ONCE = 16 };

struct neap_names {
  neap_loop *loop;
  neap_backends *backends;
  neap_resolver *resolver; /* NULL: not yet needed */
  char *servers;           /* of the resolver; "": the system's */
  neap_naming *first;      /* in order of asking */
  size_t under_way;
};

struct neap_naming {
  neap_naming *next;
  neap_names *home;
  neap_lookup *lookup; /* NULL: waits for its turn */
  neap_timer refused;  /* where it cannot even be asked */
  void (*done)(void *user, neap_backend *backend, const char *error);
  void *user;
  uint16_t port;
  char host[NEAP_HOST_TEXT];
  char address[];
};

/* --- the resolver */

int neap_names_resolver(neap_names *names, neap_resolver **out) {
  const char *servers = names->servers[0] ? names->servers : NULL;
  int code = names->resolver ? 0 : neap_resolver_create(names->loop, servers, &names->resolver);
  if (code == 0) *out = names->resolver;
  return code;
}

/* --- questions */

static void start(neap_names *names);

static void unlink_naming(neap_naming *naming) {
  neap_naming **at = &naming->home->first;
  while (*at != naming) at = &(*at)->next;
  *at = naming->next;
  neap_timer_clear(&naming->refused);
}

static void end(neap_naming *naming, neap_backend *backend, const char *error) {
  unlink_naming(naming);
  naming->done(naming->user, backend, error);
  free(naming);
}

static void on_found(void *user, const neap_lookup_reply *reply) {
  neap_naming *naming = user;
  neap_names *names = naming->home;
  neap_backend *backend = NULL;
  neap_address address;
  neap_err err;
  char error[NEAP_HOST_TEXT + 80];
  naming->lookup = NULL;
  names->under_way--;
  int code = reply->code ? reply->code : neap_address_parse(reply->found[0].address, &address, &err);
  if (code == 0) code = neap_backends_put(names->backends, naming->address, &address, &backend);
  snprintf(error, sizeof error, "%s: %s", naming->host, reply->code ? reply->text : neap_strerror(code));
  end(naming, backend, error);
  if (backend) neap_backend_give(names->backends, backend);
  start(names);
}

static void on_refused(neap_timer *timer) {
  end(NEAP_CONTAINER_OF(timer, neap_naming, refused), NULL, "the name servers cannot be asked");
}

static void start(neap_names *names) {
  neap_resolver *resolver;
  for (neap_naming *of = names->first; of && names->under_way < AT_ONCE; of = of->next) {
    if (of->lookup) continue;
    if (neap_names_resolver(names, &resolver) ||
        neap_lookup_start(resolver, NEAP_LOOKUP_ADDRESSES, of->host, of->port, on_found, of, &of->lookup))
      neap_timer_set(names->loop, &of->refused, 0);
    else
      names->under_way++;
  }
}

bool neap_names_must_ask(const neap_names *names, const char *address) {
  neap_address unused;
  char host[NEAP_HOST_TEXT];
  uint16_t port;
  neap_err err;
  return neap_address_read(address, &unused, host, &port, &err) == NEAP_ENOTFOUND &&
         !neap_backends_have(names->backends, address);
}

int neap_names_ask(neap_names *names, const char *address,
                   void (*done)(void *user, neap_backend *backend, const char *error), void *user,
                   neap_naming **out) {
  size_t size = strlen(address) + 1;
  neap_naming *naming = calloc(1, sizeof *naming + size);
  neap_address unused;
  neap_err err;
  if (naming == NULL) return NEAP_ENOMEM;
  naming->home = names;
  naming->done = done;
  naming->user = user;
  memcpy(naming->address, address, size);
  neap_timer_init(&naming->refused, on_refused);
  neap_address_read(address, &unused, naming->host, &naming->port, &err);
  neap_naming **at = &names->first;
  while (*at) at = &(*at)->next;
  *at = naming;
  if (out) *out = naming;
  start(names);
  return 0;
}

void neap_names_cancel(neap_naming **naming_ptr) {
  neap_naming *naming = *naming_ptr;
  if (naming == NULL) return;
  *naming_ptr = NULL;
  neap_names *names = naming->home;
  unlink_naming(naming);
  if (naming->lookup) names->under_way--;
  neap_lookup_cancel(&naming->lookup);
  free(naming);
  start(names);
}

/* --- life */

void neap_names_use(neap_names *names, const char *servers) {
  if (strcmp(servers, names->servers) == 0) return;
  char *copy = strdup(servers);
  if (copy == NULL) return;
  free(names->servers);
  names->servers = copy;
  for (neap_naming *of = names->first; of; of = of->next) neap_lookup_cancel(&of->lookup);
  names->under_way = 0;
  neap_resolver_destroy(&names->resolver);
  start(names);
}

int neap_names_create(neap_loop *loop, neap_backends *backends, neap_names **out) {
  neap_names *names = calloc(1, sizeof *names);
  if (names == NULL) return NEAP_ENOMEM;
  names->loop = loop;
  names->backends = backends;
  names->servers = strdup("");
  if (names->servers == NULL) {
    free(names);
    return NEAP_ENOMEM;
  }
  *out = names;
  return 0;
}

void neap_names_destroy(neap_names **names_ptr) {
  neap_names *names = *names_ptr;
  if (names == NULL) return;
  *names_ptr = NULL;
  while (names->first) {
    neap_lookup_cancel(&names->first->lookup);
    end(names->first, NULL, "the gateway is stopping");
  }
  neap_resolver_destroy(&names->resolver);
  free(names->servers);
  free(names);
}
