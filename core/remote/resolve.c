/* Names, by c-ares: it says which sockets it waits for and until when, the loop tells it when that has come.
 *
 * A lookup is
 *   1 asking   `pending` questions of it are with c-ares; those of services ask for their targets' addresses
 *   2 settled  the last answer is there; told by its timer, so that no caller is told from within its own
 * call 3 over     told and freed; a cancelled one is freed when c-ares has let go of it
 */
#include "remote/remote.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { SOCKETS_MAX = 64, TRY_MS = 2000, TRIES = 3, TARGETS_MAX = 64, HEADER_SIZE = 12, RECORD_SIZE = 10 };

typedef struct held_socket {
  int socket;
  neap_watch *watch; /* NULL: a free row */
  neap_resolver *home;
} held_socket;

struct neap_resolver {
  neap_loop *loop;
  ares_channel channel;
  neap_timer timer; /* c-ares's */
  neap_lookup *first;
  held_socket sockets[SOCKETS_MAX];
};

struct neap_lookup {
  neap_lookup *prev, *next;
  neap_resolver *home;
  void (*done)(void *user, const neap_lookup_reply *reply); /* NULL: cancelled */
  void *user;
  neap_timer settled;
  int pending;
  bool failed; /* a question that nobody could answer */
  uint32_t ttl_s;
  size_t count;
  neap_found found[NEAP_LOOKUP_MAX];
};

/* One question for addresses: what they will be added as. */
typedef struct target {
  neap_lookup *lookup;
  uint16_t port, priority, weight;
} target;

/* --- c-ares on the loop */

static void set_timer(neap_resolver *resolver) {
  struct timeval wait, *next = ares_timeout(resolver->channel, NULL, &wait);
  if (next == NULL) return;
  neap_timer_set(resolver->loop, &resolver->timer,
                 (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

static void on_timer(neap_timer *timer) {
  neap_resolver *resolver = NEAP_CONTAINER_OF(timer, neap_resolver, timer);
  ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  set_timer(resolver);
}

static void on_ready(void *user, int events) {
  held_socket *held = user;
  neap_resolver *resolver = held->home;
  int socket = held->socket;
  ares_process_fd(resolver->channel, events & NEAP_WATCH_READ ? socket : ARES_SOCKET_BAD,
                  events & NEAP_WATCH_WRITE ? socket : ARES_SOCKET_BAD);
  set_timer(resolver);
}

static held_socket *row_of(neap_resolver *resolver, int socket) {
  held_socket *vacant = NULL;
  for (int i = 0; i < SOCKETS_MAX; i++) {
    held_socket *row = &resolver->sockets[i];
    if (row->watch && row->socket == socket) return row;
    if (row->watch == NULL && vacant == NULL) vacant = row;
  }
  return vacant;
}

/* A socket that gets no row is not read: its questions time out and are asked again. */
static void on_socket(void *user, ares_socket_t socket, int readable, int writable) {
  neap_resolver *resolver = user;
  held_socket *row = row_of(resolver, socket);
  if (row == NULL) return;
  if (!readable && !writable) {
    if (row->watch) neap_watch_close(&row->watch);
    return;
  }
  row->socket = socket;
  row->home = resolver;
  if (row->watch == NULL && neap_watch_open(resolver->loop, socket, on_ready, row, &row->watch)) return;
  neap_watch_want(row->watch, (readable ? NEAP_WATCH_READ : 0) | (writable ? NEAP_WATCH_WRITE : 0));
}

/* --- settling */

static int by_address(const void *a, const void *b) {
  return strcmp(((const neap_found *)a)->address, ((const neap_found *)b)->address);
}

static void sort_found(neap_lookup *lookup) {
  qsort(lookup->found, lookup->count, sizeof *lookup->found, by_address);
  size_t kept = 0;
  for (size_t i = 0; i < lookup->count; i++)
    if (kept == 0 || by_address(&lookup->found[kept - 1], &lookup->found[i]) != 0)
      lookup->found[kept++] = lookup->found[i];
  lookup->count = kept;
}

static void unlink_lookup(neap_lookup *lookup) {
  if (lookup->prev)
    lookup->prev->next = lookup->next;
  else
    lookup->home->first = lookup->next;
  if (lookup->next) lookup->next->prev = lookup->prev;
}

/* Some of what a service has cannot be found: what was found is still an answer, but not for long. */
static neap_lookup_reply reply_of(neap_lookup *lookup) {
  sort_found(lookup);
  bool none = lookup->count == 0;
  int code = !none ? 0 : lookup->failed ? NEAP_EIO : NEAP_ENOTFOUND;
  const char *text = !none ? "found" : lookup->failed ? "no name server answers" : "there is no such name";
  return (neap_lookup_reply){.code = code,
                             .text = text,
                             .found = lookup->found,
                             .count = lookup->count,
                             .ttl_s = lookup->failed                ? 1
                                      : lookup->ttl_s == UINT32_MAX ? 0
                                                                    : lookup->ttl_s};
}

static void on_settled(neap_timer *timer) {
  neap_lookup *lookup = NEAP_CONTAINER_OF(timer, neap_lookup, settled);
  neap_lookup_reply reply = reply_of(lookup);
  unlink_lookup(lookup);
  lookup->done(lookup->user, &reply);
  free(lookup);
}

static void let_go(neap_lookup *lookup) {
  if (--lookup->pending > 0) return;
  if (lookup->done)
    neap_timer_set(lookup->home->loop, &lookup->settled, 0);
  else
    free(lookup); /* cancelled: not in the list any more */
}

/* --- answers */

static bool is_absent(int status) {
  return status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_ENONAME;
}

static void add_address(const target *from, const struct ares_addrinfo_node *node) {
  neap_lookup *lookup = from->lookup;
  if (lookup->count == NEAP_LOOKUP_MAX || node->ai_addrlen > sizeof(struct sockaddr_storage)) return;
  neap_address address = {.size = node->ai_addrlen};
  memcpy(&address.bytes, node->ai_addr, node->ai_addrlen);
  neap_address_set_port(&address, from->port);
  neap_found *found = &lookup->found[lookup->count++];
  neap_address_format(&address, found->address);
  found->priority = from->priority;
  found->weight = from->weight;
  if (node->ai_ttl > 0) lookup->ttl_s = NEAP_MIN(lookup->ttl_s, (uint32_t)node->ai_ttl);
}

static void on_addresses(void *user, int status, int timeouts, struct ares_addrinfo *result) {
  (void)timeouts;
  target *from = user;
  if (status == ARES_SUCCESS)
    for (const struct ares_addrinfo_node *node = result->nodes; node; node = node->ai_next)
      add_address(from, node);
  else if (!is_absent(status))
    from->lookup->failed = true;
  ares_freeaddrinfo(result);
  let_go(from->lookup);
  free(from);
}

static void ask_addresses(neap_lookup *lookup, const char *name, uint16_t port, uint16_t priority,
                          uint16_t weight) {
  target *to = malloc(sizeof *to);
  if (to == NULL) {
    lookup->failed = true;
    return;
  }
  *to = (target){lookup, port, priority, weight};
  lookup->pending++;
  const struct ares_addrinfo_hints hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
  ares_getaddrinfo(lookup->home->channel, name, NULL, &hints, on_addresses, to);
}

/* --- services */

/* Behind a name that starts at `at`; 0 where it goes beyond the message. */
static size_t skip_name(const unsigned char *message, size_t size, size_t at) {
  while (at < size) {
    unsigned char length = message[at];
    if (length >= 0xc0) return at + 2 <= size ? at + 2 : 0; /* a pointer ends it */
    if (length == 0) return at + 1;
    at += 1 + (size_t)length;
  }
  return 0;
}

static uint32_t read16(const unsigned char *at) {
  return (uint32_t)at[0] << 8 | at[1];
}

/* The least time to live of all answers; UINT32_MAX where there is none. The parsers of c-ares keep it back.
 */
static uint32_t least_ttl(const unsigned char *message, size_t size) {
  if (size < HEADER_SIZE) return UINT32_MAX;
  uint32_t questions = read16(message + 4), answers = read16(message + 6), least = UINT32_MAX;
  size_t at = HEADER_SIZE;
  for (uint32_t i = 0; i < questions; i++) {
    at = skip_name(message, size, at);
    if (at == 0 || at + 4 > size) return least;
    at += 4;
  }
  for (uint32_t i = 0; i < answers; i++) {
    at = skip_name(message, size, at);
    if (at == 0 || at + RECORD_SIZE > size) return least;
    uint32_t ttl_s = read16(message + at + 4) << 16 | read16(message + at + 6);
    least = NEAP_MIN(least, ttl_s);
    at += RECORD_SIZE + read16(message + at + 8);
  }
  return least;
}

static void on_services(void *user, int status, int timeouts, unsigned char *message, int size) {
  (void)timeouts;
  neap_lookup *lookup = user;
  struct ares_srv_reply *services = NULL;
  if (status == ARES_SUCCESS) status = ares_parse_srv_reply(message, size, &services);
  if (status == ARES_SUCCESS && lookup->done) {
    int left = TARGETS_MAX;
    lookup->ttl_s = least_ttl(message, (size_t)size);
    for (const struct ares_srv_reply *one = services; one && left-- > 0; one = one->next)
      if (one->host[0] && strcmp(one->host, ".") != 0) /* "." says: there is no such service */
        ask_addresses(lookup, one->host, one->port, one->priority, one->weight);
  } else if (!is_absent(status)) {
    lookup->failed = true;
  }
  ares_free_data(services);
  let_go(lookup);
}

/* --- for the user */

int neap_lookup_start(neap_resolver *resolver, neap_lookup_kind kind, const char *name, uint16_t port,
                      void (*done)(void *user, const neap_lookup_reply *reply), void *user,
                      neap_lookup **out) {
  neap_lookup *lookup = calloc(1, sizeof *lookup);
  if (lookup == NULL) return NEAP_ENOMEM;
  lookup->home = resolver;
  lookup->done = done;
  lookup->user = user;
  lookup->ttl_s = UINT32_MAX;
  neap_timer_init(&lookup->settled, on_settled);
  lookup->next = resolver->first;
  if (resolver->first) resolver->first->prev = lookup;
  resolver->first = lookup;
  lookup->pending = 1; /* this call */
  if (kind == NEAP_LOOKUP_SERVICES) {
    lookup->pending++;
    ares_query(resolver->channel, name, C_IN, T_SRV, on_services, lookup);
  } else {
    ask_addresses(lookup, name, port, 0, 0);
  }
  if (out) *out = lookup;
  let_go(lookup);
  set_timer(resolver);
  return 0;
}

void neap_lookup_cancel(neap_lookup **lookup_ptr) {
  neap_lookup *lookup = *lookup_ptr;
  if (lookup == NULL) return;
  *lookup_ptr = NULL;
  unlink_lookup(lookup);
  neap_timer_clear(&lookup->settled);
  lookup->done = NULL;
  if (lookup->pending == 0) free(lookup);
}

int neap_resolver_create(neap_loop *loop, const char *servers, neap_resolver **out) {
  neap_resolver *resolver = calloc(1, sizeof *resolver);
  if (resolver == NULL) return NEAP_ENOMEM;
  resolver->loop = loop;
  neap_timer_init(&resolver->timer, on_timer);
  struct ares_options options = {
      .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = resolver};
  int code = 0;
  if (ares_library_init(ARES_LIB_INIT_ALL) ||
      ares_init_options(&resolver->channel, &options,
                        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB))
    code = NEAP_ENOMEM;
  if (code == 0 && servers && ares_set_servers_ports_csv(resolver->channel, servers)) code = NEAP_EINVAL;
  if (code) {
    neap_resolver_destroy(&resolver);
    return code;
  }
  *out = resolver;
  return 0;
}

void neap_resolver_destroy(neap_resolver **resolver_ptr) {
  neap_resolver *resolver = *resolver_ptr;
  if (resolver == NULL) return;
  *resolver_ptr = NULL;
  for (neap_lookup *lookup; (lookup = resolver->first) != NULL;) neap_lookup_cancel(&lookup);
  if (resolver->channel) ares_destroy(resolver->channel); /* lets go of what was under way */
  for (int i = 0; i < SOCKETS_MAX; i++)
    if (resolver->sockets[i].watch) neap_watch_close(&resolver->sockets[i].watch);
  neap_timer_clear(&resolver->timer);
  free(resolver);
}
