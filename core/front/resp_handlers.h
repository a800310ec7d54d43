/* The commands of the RESP port, by the file that has them. */
#ifndef NEAP_FRONT_RESP_HANDLERS_H
#define NEAP_FRONT_RESP_HANDLERS_H

#include "front/resp_impl.h"

/* The second word of a command that has several. */
typedef struct neap_port_subcommand {
  const char *name; /* in small letters */
  int arity;
  void (*run)(neap_port_call *call);
} neap_port_subcommand;
void neap_port_run_subcommand(neap_port_call *call, const neap_port_subcommand *list, size_t count);

typedef void neap_port_handler(neap_port_call *call);

/* resp_commands.c */
neap_port_handler neap_port_command_command;
/* resp_strings.c */
neap_port_handler neap_port_get, neap_port_getdel, neap_port_getex, neap_port_getset, neap_port_mget;
neap_port_handler neap_port_mset, neap_port_psetex, neap_port_set, neap_port_setex, neap_port_setnx;
neap_port_handler neap_port_strlen;
/* resp_numbers.c */
neap_port_handler neap_port_append, neap_port_decr, neap_port_decrby, neap_port_incr, neap_port_incrby;
neap_port_handler neap_port_incrbyfloat;
/* resp_keys.c */
neap_port_handler neap_port_dbsize, neap_port_del, neap_port_exists, neap_port_flush, neap_port_scan;
neap_port_handler neap_port_touch, neap_port_type;
/* resp_times.c */
neap_port_handler neap_port_expire, neap_port_expireat, neap_port_expiretime, neap_port_persist;
neap_port_handler neap_port_pexpire, neap_port_pexpireat, neap_port_pexpiretime, neap_port_pttl;
neap_port_handler neap_port_ttl_command;
/* resp_server.c */
neap_port_handler neap_port_config, neap_port_echo, neap_port_info, neap_port_ping, neap_port_select;
neap_port_handler neap_port_neap_consistency, neap_port_neap_policy, neap_port_neap_version;
/* resp_tracking.c */
neap_port_handler neap_port_client_caching, neap_port_client_getredir, neap_port_client_tracking;
/* resp_clients.c */
neap_port_handler neap_port_auth, neap_port_client_command, neap_port_hello, neap_port_quit, neap_port_reset;

#endif
