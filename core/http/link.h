/* Link fields (RFC 8288): what a response says that will be wanted, and where that is. Part of the facade
 * http.h. */
#ifndef NEAP_HTTP_LINK_H
#define NEAP_HTTP_LINK_H

#include "http/message.h"

enum { NEAP_HTTP_REFERENCE_MAX = 2048 }; /* bytes of a target */
enum { NEAP_HTTP_REL_PRELOAD = 1, NEAP_HTTP_REL_PREFETCH = 2, NEAP_HTTP_REL_NEXT = 4 };

typedef struct neap_http_link {
  neap_http_slice target; /* as it stands between < and > */
  unsigned rels;          /* of those above; 0: it says something else, or is about another page */
} neap_http_link;

/* Walks the links of one field line. `*cursor` starts as value.ptr. What is not well-formed is skipped up to
 * the next comma that may separate links. False at the end. Work is linear in the bytes. */
bool neap_http_link_next(neap_http_slice value, const char **cursor, neap_http_link *out);

/* Makes a target ("/path?query") of a reference that stands in the response to `target` at `authority` (host
 * and port as requested). Returns its size, NEAP_EINVAL for what is not at the same host, is no http or
 * https, or is the page itself; NEAP_ESMALL. */
ssize_t neap_http_reference(neap_http_slice authority, neap_http_slice target, neap_http_slice reference,
                            char *out, size_t capacity);

#endif
