/* Credentials: the Authorization header of a request against salted digests. No secret is kept, copied out or
 * logged; wrong users and wrong passwords cost the same. */
#ifndef NEAP_ROUTE_AUTH_H
#define NEAP_ROUTE_AUTH_H

#include "base/actions.h"
#include "policy/abi.h"
#include "route/table.h"

enum { NEAP_AUTH_USER_MAX = 128, NEAP_AUTH_SECRET_MAX = 1024 };

/* Who asks, where the credentials are right: in `user`, ended by NUL. Otherwise false; *given: there were
 * some, in the scheme that is wanted. `rows`: of auth->table, or NULL. About a microsecond; no allocation. */
bool neap_auth_check(const neap_auth *auth, const neap_rows *rows, const neap_request_board *request,
                     char user[NEAP_AUTH_USER_MAX], bool *given);

#endif
