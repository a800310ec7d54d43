/* Names of backends that are found or added while the gateway runs: looked up without holding up the control
 * thread, a few at a time. Internal to server/; control thread. */
#ifndef NEAP_SERVER_NAMES_H
#define NEAP_SERVER_NAMES_H

#include "remote/remote.h"
#include "server/server.h"
#include "upstream/upstream.h"

typedef struct neap_names neap_names;
typedef struct neap_naming neap_naming; /* one question */

int neap_names_create(neap_loop *loop, neap_backends *backends, neap_names **out);
/* Whoever still asks is told that the gateway is stopping. */
void neap_names_destroy(neap_names **names);
/* "127.0.0.1:5353,10.0.0.1", "": those of the system. Where they are others than before, the resolver is made
 * anew, for which nobody else may be using it, and what is open is asked again. */
void neap_names_use(neap_names *names, const char *servers);
/* For other questions; borrowed until other servers are used. NEAP_EINVAL: they cannot be read. */
int neap_names_resolver(neap_names *names, neap_resolver **out);

/* Whether `address` ("host:port") has a name that has to be looked up before neap_backends_take may be called
 * here. False for nonsense too: taking says what is wrong with it. */
bool neap_names_must_ask(const neap_names *names, const char *address);
/* Looks it up. `done` is told once, not from within this call: the backend, borrowed during the call, or NULL
 * and why not. Of several addresses the first is taken. It may ask and cancel others. NEAP_ENOMEM. */
int neap_names_ask(neap_names *names, const char *address,
                   void (*done)(void *user, neap_backend *backend, const char *error), void *user,
                   neap_naming **out);
/* Ends it without telling. Clears the pointer. */
void neap_names_cancel(neap_naming **naming);

#endif
