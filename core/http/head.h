/* What request.c and response.c share: lines and fields. Not part of the facade. */
#ifndef NEAP_HTTP_HEAD_H
#define NEAP_HTTP_HEAD_H

#include "http/text.h"

/* Life of a head, in `phase`:
 *   1 empty      leading empty lines of a request are skipped
 *   2 start      the first line is being read
 *   3 fields     field lines are being read
 *   4 complete
 *   5 refused    `reason` says why */
enum {
  NEAP_HTTP_PHASE_EMPTY = 1,
  NEAP_HTTP_PHASE_START,
  NEAP_HTTP_PHASE_FIELDS,
  NEAP_HTTP_PHASE_COMPLETE,
  NEAP_HTTP_PHASE_REFUSED
};

enum { NEAP_HTTP_CONNECTION_OPTIONS_MAX = 32 }; /* more are refused: each is compared with every field */

/* Content-Length above this is refused: it must survive signed arithmetic. */
#define NEAP_HTTP_LENGTH_MAX ((uint64_t)INT64_MAX)

void neap_http_head_init(neap_http_head *head, neap_http_field *fields, const neap_http_limits *limits,
                         int phase);

/* Refuses: returns NEAP_ESYNTAX. */
int neap_http_head_refuse(neap_http_head *head, neap_http_reason reason);

/* The next complete line, without its CR LF, in `line`. 1: there it is; 0: more bytes are needed;
 * NEAP_ESYNTAX: refused. Sees every byte once, however often it is called. */
int neap_http_head_line(neap_http_head *head, const char *buffer, size_t size, neap_http_slice *line);

/* Takes field lines up to the empty one. 1: that was reached; 0, NEAP_ESYNTAX as above. */
int neap_http_head_fields(neap_http_head *head, const char *buffer, size_t size);

/* Forgets all fields: an interim response is skipped. */
void neap_http_head_restart(neap_http_head *head);

/* Lets a view follow its bytes from `from` (of `size` bytes) to `to`; views of other memory stay. */
void neap_http_slice_move(neap_http_slice *slice, uintptr_t from, size_t size, const char *to);
void neap_http_head_move(neap_http_head *head, const char *to);

/* Is the coding list of the one Transfer-Encoding just "chunked"? REASON_NONE, or why it is refused. */
neap_http_reason neap_http_head_coding(const neap_http_head *head);
/* The one Content-Length. REASON_NONE, or why it is refused. */
neap_http_reason neap_http_head_length(const neap_http_head *head, uint64_t *length);

/* Reads Connection: sets keep_alive by it and the version. REASON_NONE, or why it is refused. */
neap_http_reason neap_http_head_connection(neap_http_head *head);

/* Reads "HTTP/1.x". REASON_NONE, START_LINE or VERSION. */
neap_http_reason neap_http_version_read(neap_http_slice text, int32_t *minor);

#endif
