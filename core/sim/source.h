/* Bytes of a file, plain or zstd, told by content: big buffers, bounded memory, one pass. Internal to sim/.
 */
#ifndef NEAP_SIM_SOURCE_H
#define NEAP_SIM_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "neap/neap.h"

typedef struct neap_source neap_source;

/* What may be read now: `at`..`end`, moved on by the reader. *end is always '\0', so that a parser that stops
 * at anything strange needs no bounds of its own. */
typedef struct neap_span {
  const char *at, *end;
} neap_span;

/* Opens `path`; errors name it. Decompression takes streams with windows up to 32 MiB. NEAP_EIO, NEAP_ENOMEM,
 * NEAP_EINVAL for formats that are known but not read (gzip, xz). */
int neap_source_open(const char *path, neap_source **out, neap_err *err);
/* The same over an open stream, which is taken even on failure; `name` (copied) is what errors call it. */
int neap_source_open_stream(FILE *stream, const char *name, neap_source **out, neap_err *err);
void neap_source_close(neap_source **source);

neap_span *neap_source_span(neap_source *source);
const char *neap_source_name(const neap_source *source);

/* Makes at least `want` bytes readable, at most NEAP_SOURCE_WANT_MAX, unless the end comes first; what was in
 * the span moves. 0, or NEAP_EIO for unreadable, truncated and corrupt files. */
int neap_source_fill(neap_source *source, size_t want, neap_err *err);
enum { NEAP_SOURCE_WANT_MAX = 64 * 1024 };

#endif
