/* The verbs that change who is in a pool. */
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

void neap_control_add(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text(args, "pool"), *backend = neap_control_text(args, "backend");
  int weight = (int)neap_control_count_or(args, "weight", 1, 1000, 0);
  if (!neap_control_args_end(args)) return;
  neap_err err;
  int code = neap_gateway_backend_add(gateway, pool, backend, weight, &err);
  if (code == 0)
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server backend_added pool=%s backend=%s", pool, backend);
  answer(code, &err, json_pack("{s:s, s:s}", "pool", pool, "added", backend), reply);
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
