/* The tiers below the HTTP cache: see tiers.c. Internal to server/. Control thread, but for what says
 * otherwise. */
#ifndef NEAP_SERVER_TIERS_H
#define NEAP_SERVER_TIERS_H

#include <jansson.h>

#include "flow/flow.h"
#include "front/front.h"
#include "observe/observe.h"
#include "script/script.h"
#include "server/server.h"

typedef struct neap_cascade neap_cascade;

/* Makes one, which talks to nobody yet. Errors with a sentence. Any thread. */
int neap_cascade_create(neap_gateway *gateway, const neap_config_tiers *config, neap_cascade **out,
                        neap_err *err);
/* One that was never in force. */
void neap_cascade_destroy(neap_cascade **cascade);
neap_tiers *neap_cascade_tiers(const neap_cascade *cascade);
/* The one in force, NULL for none, is what the configuration says. */
bool neap_cascade_is_same(const neap_cascade *cascade, const neap_config_tiers *config);
/* Where `changes`: puts *made (taken; NULL for none) in force. All workers get what is in force. */
void neap_cascade_commit(neap_gateway *gateway, neap_cascade **made, bool changes);

/* The same for the keys of RESP ports, with `memory` as the first tier, which outlives it. */
int neap_cascade_create_keys(neap_gateway *gateway, const neap_config *config, neap_cache *memory,
                             neap_cascade **out, neap_err *err);
/* Puts that one in force, for good. */
void neap_cascade_commit_keys(neap_gateway *gateway, neap_cascade **made);
/* Opens a worker's port to it. On the worker. */
int neap_cascade_attach_keys(neap_cascade *cascade, neap_loop *loop, neap_tiers_port **out, neap_err *err);
/* What the keyspace over it goes by. */
neap_keyspace_tiers neap_cascade_of_keyspace(const neap_cascade *cascade, const neap_config *config);
/* The keys' tiers, NULL for none, are what the configuration says. */
bool neap_cascade_is_keys_same(const neap_cascade *cascade, const neap_config *config);

/* Opens a worker's port, which *out then has. On the worker. */
int neap_cascade_attach(neap_cascade *cascade, neap_loop *loop, neap_flow_tiers *out, neap_err *err);
/* A worker has it; has detached its port. */
void neap_cascade_use(neap_cascade *cascade);
void neap_cascade_give(neap_cascade *cascade);

/* The last worker has ended: sends what waits to be written, for a second at most, then stops the loop. */
void neap_cascades_stop(neap_gateway *gateway);
/* No worker is left, and the loop runs no more. */
void neap_cascades_destroy(neap_gateway *gateway);

json_t *neap_cascade_status(const neap_gateway *gateway);
void neap_cascade_expose(const neap_gateway *gateway, neap_exposition *out);

#endif
