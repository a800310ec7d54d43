/* neap status: what runs, and what became of the last reload. */
#include "server/control.h"
#include "server/gateway.h"

static json_t *listeners_of(const neap_gateway *gateway) {
  json_t *list = json_array();
  for (size_t i = 0; i < gateway->bound_count; i++)
    json_array_append_new(list, json_pack("{s:s, s:s}", "configured", gateway->bound[i].configured, "address",
                                          gateway->bound[i].address));
  return list;
}

void neap_control_status(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  neap_control_done(reply, json_pack("{s:s, s:I, s:i, s:o}", "version", neap_version(), "generation",
                                     (json_int_t)gateway->last_generation, "workers",
                                     (int)gateway->worker_count, "listeners", listeners_of(gateway)));
}
