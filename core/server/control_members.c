/* The verbs that change who is in a pool. */
#include <ctype.h>
#include <stdlib.h>

#include "server/control.h"
#include "server/gateway.h"

static void answer(int code, const neap_err *err, json_t *body, neap_control_reply *reply) {
  if (code) {
    json_decref(body);
    neap_control_fail(reply, "%s", err->text);
  } else {
    neap_control_done(reply, body);
  }
}

static void add(neap_gateway *gateway, const char *pool, const char *backend, int weight,
                neap_control_reply *reply) {
  neap_err err;
  int code = neap_gateway_backend_add(gateway, pool, backend, weight, &err);
  if (code == 0)
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server backend_added pool=%s backend=%s", pool, backend);
  answer(code, &err, json_pack("{s:s, s:s}", "pool", pool, "added", backend), reply);
}

/* One that is to be added once its name has been looked up. */
typedef struct addition {
  neap_gateway *gateway;
  neap_control_reply *reply;
  int weight;
  char *backend; /* behind the pool's name */
  char pool[];
} addition;

static void on_named(void *user, neap_backend *backend, const char *error) {
  addition *of = user;
  if (backend)
    add(of->gateway, of->pool, of->backend, of->weight, of->reply);
  else
    neap_control_fail(of->reply, "%s", error);
  free(of);
}

static void add_later(neap_gateway *gateway, const char *pool, const char *backend, int weight,
                      neap_control_reply *reply) {
  size_t pool_size = strlen(pool) + 1, backend_size = strlen(backend) + 1;
  addition *of = calloc(1, sizeof *of + pool_size + backend_size);
  if (of) {
    of->gateway = gateway;
    of->reply = reply;
    of->weight = weight;
    memcpy(of->pool, pool, pool_size);
    of->backend = of->pool + pool_size;
    for (size_t i = 0; i < backend_size; i++) of->backend[i] = (char)tolower((unsigned char)backend[i]);
    if (neap_names_ask(gateway->names, of->backend, on_named, of, NULL) == 0) return;
  }
  free(of);
  neap_control_fail(reply, "out of memory");
}

void neap_control_add(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text(args, "pool"), *backend = neap_control_text(args, "backend");
  int weight = (int)neap_control_count_or(args, "weight", 1, 1000, 0);
  if (!neap_control_args_end(args)) return;
  if (neap_names_must_ask(gateway->names, backend))
    add_later(gateway, pool, backend, weight, reply);
  else
    add(gateway, pool, backend, weight, reply);
}

void neap_control_remove(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text(args, "pool"), *backend = neap_control_text(args, "backend");
  if (!neap_control_args_end(args)) return;
  neap_err err;
  int code = neap_gateway_backend_remove(gateway, pool, backend, &err);
  if (code == 0)
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server backend_removed pool=%s backend=%s", pool, backend);
  answer(code, &err, json_pack("{s:s, s:s}", "pool", pool, "removed", backend), reply);
}

void neap_control_weight(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text(args, "pool"), *backend = neap_control_text(args, "backend");
  int weight = (int)neap_control_count(args, "weight", 0, 1000);
  if (!neap_control_args_end(args)) return;
  neap_err err;
  int code = neap_gateway_backend_weight(gateway, pool, backend, weight, &err);
  if (code == 0)
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server backend_weight pool=%s backend=%s weight=%d", pool,
                     backend, weight);
  answer(code, &err, json_pack("{s:s, s:s, s:i}", "pool", pool, "backend", backend, "weight", weight), reply);
}

void neap_control_drain(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text(args, "pool"), *backend = neap_control_text(args, "backend");
  const char *state = neap_control_text_or_none(args, "state");
  if (!neap_control_args_end(args)) return;
  if (state && strcmp(state, "on") != 0 && strcmp(state, "off") != 0) {
    neap_control_fail(reply, "state must be on or off");
    return;
  }
  bool draining = state == NULL || strcmp(state, "on") == 0;
  neap_err err;
  int code = neap_gateway_backend_drain(gateway, pool, backend, draining, &err);
  if (code == 0)
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server backend_%s pool=%s backend=%s",
                     draining ? "draining" : "undrained", pool, backend);
  answer(code, &err, json_pack("{s:s, s:s, s:b}", "pool", pool, "backend", backend, "draining", draining),
         reply);
}
