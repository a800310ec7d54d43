/* Which fields of a received head travel on. Not part of the facade. */
#ifndef NEAP_HTTP_HOPS_H
#define NEAP_HTTP_HOPS_H

#include "http/head.h"

#define NEAP_HTTP_BIT(NAME) ((uint64_t)1 << NEAP_HTTP_ID_##NAME)
_Static_assert(NEAP_HTTP_ID_COUNT <= 64, "a set of field names is one word");

/* Fields that concern one connection only, and those that are written anew or mean nothing without it. */
#define NEAP_HTTP_HOP_BY_HOP                                                                                 \
  (NEAP_HTTP_BIT(LOOKALIKE) | NEAP_HTTP_BIT(CONNECTION) | NEAP_HTTP_BIT(KEEP_ALIVE) |                        \
   NEAP_HTTP_BIT(PROXY_CONNECTION) | NEAP_HTTP_BIT(TE) | NEAP_HTTP_BIT(TRAILER) |                            \
   NEAP_HTTP_BIT(TRANSFER_ENCODING) | NEAP_HTTP_BIT(UPGRADE) | NEAP_HTTP_BIT(HTTP2_SETTINGS) |               \
   NEAP_HTTP_BIT(CONTENT_LENGTH))

typedef struct neap_http_hops {
  uint64_t dropped; /* known names */
  int count;        /* of the names that Connection gives */
  neap_http_slice named[NEAP_HTTP_CONNECTION_OPTIONS_MAX];
} neap_http_hops;

/* Reads Connection. `dropped`: known names that do not travel on, beside the hop-by-hop ones. */
void neap_http_hops_read(neap_http_hops *hops, const neap_http_head *head, uint64_t dropped);

bool neap_http_hops_named(const neap_http_hops *hops, neap_http_slice name);

static inline bool neap_http_hops_keeps(const neap_http_hops *hops, const neap_http_field *field) {
  if (hops->dropped >> field->name.id & 1) return false;
  return hops->count == 0 || !neap_http_hops_named(hops, field->name);
}

#endif
