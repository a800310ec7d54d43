/* dns: and srv:. Asked again when the time to live is over, spread by a tenth, so that many gateways do not
 * ask at once. Where nobody answers, or the name has gone, the last good answer stays: names vanish by
 * mistake more often than all servers at once do. */
#include "upstream/source_impl.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_SIZE = 254, RETRY_MS = 1000, RETRY_MOST_MS = 30000 };

typedef struct dns_state {
  neap_lookup_kind kind;
  char name[NAME_MAX_SIZE];
  uint16_t port;
  neap_lookup *lookup;
  uint64_t retry_ms;
} dns_state;

static int read_rest(const char *rest, bool with_port, dns_state *out, neap_err *err) {
  const char *colon = strrchr(rest, ':');
  size_t size = with_port && colon ? (size_t)(colon - rest) : strlen(rest);
  long port = with_port && colon ? strtol(colon + 1, NULL, 10) : 0;
  bool plain = size > 0 && size < NAME_MAX_SIZE &&
               strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-_.") == size;
  if (!plain || (with_port && (port < 1 || port > 65535)))
    return neap_fail(err, NEAP_EINVAL, with_port ? "write dns:name:port" : "write srv:_service._tcp.name");
  memcpy(out->name, rest, size);
  out->name[size] = '\0';
  out->port = (uint16_t)port;
  return 0;
}

static void on_found(void *user, const neap_lookup_reply *reply);

static void ask(neap_backend_source *source) {
  dns_state *state = source->state;
  if (neap_lookup_start(source->options.resolver, state->kind, state->name, state->port, on_found, source,
                        &state->lookup))
    neap_timer_set(source->options.loop, &source->timer, RETRY_MS);
}

static void wait(neap_backend_source *source, uint64_t delay_ms) {
  uint64_t spread = delay_ms / 10 + 1;
  uint64_t now_ms = neap_loop_now_ms(source->options.loop);
  neap_timer_set(source->options.loop, &source->timer, delay_ms + (now_ms * 2654435761u >> 8) % spread);
}

static bool tell_found(neap_backend_source *source, const neap_lookup_reply *reply) {
  neap_backend_source_list list = {0};
  for (size_t i = 0; i < reply->count; i++)
    neap_backend_source_add(&list, reply->found[i].address, NEAP_MAX(reply->found[i].weight, 1),
                            reply->found[i].priority);
  return neap_backend_source_tell(source, &list);
}

static void on_found(void *user, const neap_lookup_reply *reply) {
  neap_backend_source *source = user;
  dns_state *state = source->state;
  state->lookup = NULL;
  if (reply->code) {
    state->retry_ms = NEAP_MIN(NEAP_MAX(2 * state->retry_ms, (uint64_t)RETRY_MS), (uint64_t)RETRY_MOST_MS);
    if (neap_backend_source_fail(source, "%s: %s", state->name, reply->text)) wait(source, state->retry_ms);
    return;
  }
  state->retry_ms = 0;
  uint64_t holds_ms = reply->ttl_s ? (uint64_t)reply->ttl_s * 1000 : source->options.refresh_ms;
  holds_ms = NEAP_MAX(holds_ms, (uint64_t)NEAP_BACKEND_SOURCE_LEAST_MS);
  if (tell_found(source, reply)) wait(source, holds_ms);
}

static int start(neap_backend_source *source, const char *rest, bool with_port, neap_lookup_kind kind,
                 neap_err *err) {
  dns_state *state = source->state = calloc(1, sizeof *state);
  if (state == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  state->kind = kind;
  int code = read_rest(rest, with_port, state, err);
  if (code == 0) ask(source);
  return code;
}

static int start_dns(neap_backend_source *source, const char *rest, neap_err *err) {
  return start(source, rest, true, NEAP_LOOKUP_ADDRESSES, err);
}

static int start_srv(neap_backend_source *source, const char *rest, neap_err *err) {
  return start(source, rest, false, NEAP_LOOKUP_SERVICES, err);
}

static int check_dns(const char *rest, neap_err *err) {
  return read_rest(rest, true, &(dns_state){0}, err);
}

static int check_srv(const char *rest, neap_err *err) {
  return read_rest(rest, false, &(dns_state){0}, err);
}

static void stop(neap_backend_source *source) {
  dns_state *state = source->state;
  if (state) neap_lookup_cancel(&state->lookup);
  free(state);
}

const neap_backend_source_vt neap_backend_source_dns = {
    .name = "dns", .start = start_dns, .stop = stop, .again = ask, .check = check_dns};
const neap_backend_source_vt neap_backend_source_srv = {
    .name = "srv", .start = start_srv, .stop = stop, .again = ask, .check = check_srv};
