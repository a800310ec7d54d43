/* A stored head on its way to other nodes, by the tiers below memory: what memory has is for this machine and
 * its clock alone. The body travels beside it. Integers are little-endian.
 *
 *   | "NeapH" | version 1 | kind | flags | wall_ms:8 | age_ms:8 | lifetime_ms:8 | nonce:8 | head |
 *
 * kind     1 a response; 2 a marker, which names what responses vary by
 * flags    1: it may answer requests with Authorization
 * wall_ms  since 1970, when its age was `age_ms`
 * head     status line, fields, empty line; of a marker, a response with the field Vary alone
 *
 * Whatever is read is parsed as the head of a backend would be, and written anew: nothing in it is believed.
 */
#ifndef NEAP_HTTP_RECORD_H
#define NEAP_HTTP_RECORD_H

#include "http/stored.h"

enum {
  NEAP_HTTP_RECORD_HEAD = 40,    /* before the head */
  NEAP_HTTP_RECORD_FIELDS = 101, /* in it: as many as a backend's head may have, and Date */
  NEAP_HTTP_RECORD_EXTRA = 256   /* most by which one form is larger than the other */
};

/* Writes the record of what memory has: `meta`. Its size, or NEAP_ESMALL, NEAP_EINVAL. */
ssize_t neap_http_record_write(char *out, size_t capacity, neap_view meta, uint64_t now_ms, uint64_t wall_ms);

typedef struct neap_http_record {
  neap_view meta;  /* for memory, in `out` */
  uint64_t ttl_ms; /* it is fresh for so long; of a marker, as long as it is kept elsewhere */
} neap_http_record;
/* Reads one with a body of `body_bytes`. `fields` has room for NEAP_HTTP_RECORD_FIELDS. 0;
 * NEAP_EINVAL: it is none; NEAP_ENOTFOUND: its time is over; NEAP_ESMALL. */
int neap_http_record_read(neap_view record, uint64_t body_bytes, uint64_t now_ms, uint64_t wall_ms,
                          neap_http_field *fields, char *out, size_t capacity, neap_http_record *result);

#endif
