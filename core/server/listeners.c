/* Listening sockets over reloads: none is ever closed while its address is configured. */
#include "server/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static neap_bound *find(neap_bound *bound, size_t count, const char *configured) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(bound[i].configured, configured) == 0) return &bound[i];
  return NULL;
}

/* What a listener is known by over reloads. */
static void identify(const neap_config_listener *listener, char *out, size_t room) {
  snprintf(out, room, "%s%s", listener->resp ? "resp " : "", listener->address);
}

/* --- before the commit */

/* We listen on that port already, if on another of this machine's addresses. */
static bool is_ours(const neap_gateway *gateway, const neap_address *address) {
  for (size_t i = 0; i < gateway->bound_count; i++) {
    const char *port = strrchr(gateway->bound[i].address, ':');
    if (port && strtoul(port + 1, NULL, 10) == neap_address_port(address)) return true;
  }
  return false;
}

/* One more socket. The first of an address is bound alone, so that one in use by others is noticed. */
static int add_socket(const neap_gateway *gateway, neap_bound *bound, neap_address *address, neap_err *err) {
  neap_bound_socket *made = &bound->sockets[bound->socket_count];
  *made = (neap_bound_socket){.place = -1, .handed = -1};
  bool share = bound->socket_count > 0 || is_ours(gateway, address);
  int code = neap_listen_socket(address, share, &made->own, err);
  if (code) return code;
  if (share && bound->socket_count == 0 && neap_socket_listen(made->own)) {
    neap_socket_close(made->own);
    return neap_fail(err, NEAP_EIO, "cannot listen on %s", bound->configured);
  }
  if (bound->socket_count++ > 0) return 0;
  neap_socket_address(made->own, address); /* port 0 is now a port */
  neap_address_format(address, bound->address);
  return 0;
}

static int bind_sockets(const neap_gateway *gateway, neap_bound *bound, const char *address_text,
                        uint32_t count, neap_err *err) {
  neap_address address;
  if (bound->socket_count >= count) return 0;
  int code = neap_address_parse(bound->socket_count ? bound->address : address_text, &address, err);
  while (code == 0 && bound->socket_count < count) code = add_socket(gateway, bound, &address, err);
  return code;
}

static int32_t next_place(const neap_reload_plan *plan, uint32_t socket) {
  return (int32_t)plan->places[socket % plan->place_count];
}

/* Copies for the workers that take sockets over. */
static int hand_over(const neap_reload_plan *plan, neap_bound *bound, neap_err *err) {
  for (uint32_t i = 0; i < bound->socket_count; i++) {
    neap_bound_socket *socket = &bound->sockets[i];
    if (socket->place == next_place(plan, i)) continue;
    if (neap_socket_copy(socket->own, &socket->handed))
      return neap_fail(err, NEAP_EIO, "cannot listen on %s: no descriptor is left", bound->address);
  }
  return 0;
}

int neap_listeners_bind(neap_reload_plan *plan, neap_err *err) {
  const neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config;
  plan->bound = calloc(config->listener_count + 1, sizeof *plan->bound);
  if (plan->bound == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = 0;
  for (size_t i = 0; i < config->listener_count && code == 0; i++) {
    neap_bound *bound = &plan->bound[i];
    identify(&config->listeners[i], bound->configured, sizeof bound->configured);
    const neap_bound *kept = find(gateway->bound, gateway->bound_count, bound->configured);
    if (kept) *bound = *kept;
    bound->resp = config->listeners[i].resp;
    bound->kept_count = bound->socket_count;
    plan->bound_count = i + 1;
    code = bind_sockets(gateway, bound, config->listeners[i].address, plan->place_count, err);
    if (code == 0) code = hand_over(plan, bound, err);
  }
  return code;
}

void neap_listeners_undo(neap_reload_plan *plan) {
  for (size_t i = 0; i < plan->bound_count; i++) {
    neap_bound *bound = &plan->bound[i];
    for (uint32_t j = 0; j < bound->socket_count; j++) {
      if (bound->sockets[j].handed >= 0) neap_socket_close(bound->sockets[j].handed);
      if (j >= bound->kept_count) neap_socket_close(bound->sockets[j].own);
    }
  }
  free(plan->bound);
}

/* --- the commit */

/* Those of more workers get their part of the connections from now on. Not before: what a refused reload
 * would close may not have any. */
void neap_listeners_listen(const neap_reload_plan *plan) {
  for (size_t i = 0; i < plan->bound_count; i++) {
    const neap_bound *bound = &plan->bound[i];
    for (uint32_t j = NEAP_MAX(bound->kept_count, 1u); j < bound->socket_count; j++)
      if (neap_socket_listen(bound->sockets[j].own)) /* the others get them all */
        neap_gateway_log(plan->gateway, NEAP_LOG_ERROR, "server listen_failed address=%s", bound->address);
  }
}

size_t neap_listeners_most_changes(const neap_reload_plan *plan) {
  size_t count = 0;
  for (size_t i = 0; i < plan->bound_count; i++) count += 2 * plan->bound[i].socket_count;
  for (size_t i = 0; i < plan->gateway->bound_count; i++) count += plan->gateway->bound[i].socket_count;
  return count;
}

static neap_front_options options_of(const neap_config_listener *listener) {
  return (neap_front_options){.header_timeout_ms = listener->header_timeout_ms,
                              .idle_timeout_ms = listener->idle_timeout_ms,
                              .max_header_bytes =
                                  (uint32_t)NEAP_MIN(listener->max_header_size, (uint64_t)UINT32_MAX)};
}

static neap_resp_options resp_options_of(const neap_config_listener *listener) {
  neap_resp_options out = {.max_clients = listener->max_clients,
                           .idle_timeout_ms = listener->client_timeout_ms,
                           .stall_timeout_ms = listener->stall_timeout_ms,
                           .buffer_bytes = listener->client_memory};
  snprintf(out.password, sizeof out.password, "%s", listener->password);
  return out;
}

/* What the worker does, with what the configuration says. */
static neap_listener_change change_of(const neap_config_listener *listener, uint32_t id, int what,
                                      int socket) {
  neap_listener_change out = {.id = id, .socket = socket, .resp = listener->resp};
  out.what = what;
  if (listener->resp)
    out.resp_options = resp_options_of(listener);
  else
    out.options = options_of(listener);
  return out;
}

static neap_listener_change close_of(const neap_bound_socket *socket) {
  return (neap_listener_change){.id = socket->id, .what = NEAP_LISTENER_CLOSE, .socket = -1};
}

/* A socket that changes hands gets a new id, so that its old and its new worker cannot be confused. */
static neap_listener_change open_of(const neap_reload_plan *plan, size_t listener, uint32_t socket) {
  uint32_t before = 0;
  for (size_t i = 0; i < listener; i++) before += plan->bound[i].socket_count;
  return change_of(&plan->loaded->config->listeners[listener],
                   plan->gateway->last_listener_id + 1 + before + socket, NEAP_LISTENER_OPEN,
                   plan->bound[listener].sockets[socket].handed);
}

size_t neap_listeners_changes(const neap_reload_plan *plan, int32_t place, neap_listener_change *changes) {
  const neap_gateway *gateway = plan->gateway;
  size_t count = 0;
  for (size_t i = 0; i < plan->bound_count; i++)
    for (uint32_t j = 0; j < plan->bound[i].socket_count; j++) {
      const neap_bound_socket *socket = &plan->bound[i].sockets[j];
      bool was = socket->place == place, will = next_place(plan, j) == place;
      if (was && will)
        changes[count++] =
            change_of(&plan->loaded->config->listeners[i], socket->id, NEAP_LISTENER_UPDATE, -1);
      else if (was)
        changes[count++] = close_of(socket);
      else if (will)
        changes[count++] = open_of(plan, i, j);
    }
  for (size_t i = 0; i < gateway->bound_count; i++) {
    const neap_bound *bound = &gateway->bound[i];
    if (find(plan->bound, plan->bound_count, bound->configured)) continue;
    for (uint32_t j = 0; j < bound->socket_count; j++)
      if (bound->sockets[j].place == place) changes[count++] = close_of(&bound->sockets[j]);
  }
  return count;
}

void neap_listeners_let_go(const neap_reload_plan *plan) {
  const neap_gateway *gateway = plan->gateway;
  for (size_t i = 0; i < gateway->bound_count; i++) {
    const neap_bound *bound = &gateway->bound[i];
    if (find(plan->bound, plan->bound_count, bound->configured)) continue;
    for (uint32_t j = 0; j < bound->socket_count; j++) neap_socket_close(bound->sockets[j].own);
  }
}

void neap_listeners_commit(neap_reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  uint32_t id = gateway->last_listener_id;
  for (size_t i = 0; i < plan->bound_count; i++) {
    neap_bound *bound = &plan->bound[i];
    for (uint32_t j = 0; j < bound->socket_count; j++) {
      neap_bound_socket *socket = &bound->sockets[j];
      id++;
      if (socket->handed >= 0) socket->id = id; /* as open_of has said */
      socket->place = next_place(plan, j);
      socket->handed = -1;
    }
    bound->kept_count = bound->socket_count;
  }
  gateway->last_listener_id = id;
  free(gateway->bound);
  gateway->bound = plan->bound;
  gateway->bound_count = plan->bound_count;
  plan->bound = NULL;
  plan->bound_count = 0;
}

void neap_listeners_close(neap_gateway *gateway) {
  for (size_t i = 0; i < gateway->bound_count; i++)
    for (uint32_t j = 0; j < gateway->bound[i].socket_count; j++) {
      neap_bound_socket *socket = &gateway->bound[i].sockets[j];
      if (socket->own >= 0) neap_socket_close(socket->own);
      socket->own = -1;
    }
}
