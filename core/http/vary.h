/* The selecting fields of a response. Not part of the facade. */
#ifndef NEAP_HTTP_VARY_H
#define NEAP_HTTP_VARY_H

#include "http/message.h"

enum { NEAP_HTTP_VARY_MAX = 16 };

/* The names that Vary gives, sorted, each once, as received. */
typedef struct neap_http_vary {
  int count;
  neap_http_slice names[NEAP_HTTP_VARY_MAX];
} neap_http_vary;

/* 0, or NEAP_EINVAL when the response cannot be chosen by its Vary: "*", a name that is not a token, too many
 * names, or a field that the origin did not see as the client sent it. */
int neap_http_vary_read(neap_http_vary *out, const neap_http_head *head);

#endif
