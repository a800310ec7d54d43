/* The facade of the composition root: the engine, and what the program needs of it beyond the public headers.
 */
#ifndef NEAP_SERVER_SERVER_H
#define NEAP_SERVER_SERVER_H

#include "neap/cache.h"
#include "neap/neap.h"
#include "policy/policy.h"

/* The engine's registry of policies, native ones and Lua files; as long as the engine. */
neap_registry *neap_engine_registry(neap_engine *engine);
/* What the host lent, completed; as long as the engine. */
const neap_host *neap_engine_host(const neap_engine *engine);

#endif
