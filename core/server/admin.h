/* The admin interface over HTTP: what scrapers, orchestrators and scripts ask. Off unless configured, on the
 * control thread, where nothing slow shares a loop with requests.
 *
 *   GET  /healthz            200 while the process lives                              no token needed
 *   GET  /readyz             200 while it takes requests, 503 when it is stopping     no token needed
 *   GET  /metrics            all figures for Prometheus
 *   GET  /v1/VERB?name=value what the control socket answers, for verbs that only look
 *   POST /v1/VERB            for those that change something; arguments as a JSON object
 *
 * With a token, everything else needs "Authorization: Bearer TOKEN". Without one (loopback only) a page in a
 * browser must not get through: Host must be an address or localhost, and a POST be application/json.
 * Internal to server/; control thread.
 */
#ifndef NEAP_SERVER_ADMIN_H
#define NEAP_SERVER_ADMIN_H

#include "server/server.h"

typedef struct neap_admin neap_admin;

/* Serves at `socket`, which is taken in every case. */
int neap_admin_open(neap_gateway *gateway, int socket, neap_admin **out, neap_err *err);
/* `token` is copied; "" for none. */
void neap_admin_set_token(neap_admin *admin, const char *token);
/* Closes its connections now. `*admin` may be NULL. */
void neap_admin_close(neap_admin **admin);

#endif
