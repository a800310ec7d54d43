/* JSON as people read it: what verbs print of a gateway's answers. */
#ifndef NEAP_BIN_SHOW_H
#define NEAP_BIN_SHOW_H

#include <jansson.h>

#include "bin/args.h"

/* One line of an answer: its "text" where it has one; else its members but "ok", lists of objects as tables.
 */
void neap_show_line(const json_t *line, FILE *out);
/* The last line of a request that failed, on stderr: each of "problems", then "error". */
void neap_show_failure(const neap_verb *verb, const json_t *line);

#endif
