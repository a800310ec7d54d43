/* What `neap top` shows: a frame made of two snapshots of a gateway (control verb "snapshot"). Pure: no
 * terminal, no clock. */
#ifndef NEAP_BIN_TOP_H
#define NEAP_BIN_TOP_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#define NEAP_TOP_SORTS(X)                                                                                    \
  X(RPS, "rps") X(IN_FLIGHT, "in flight") X(EWMA, "ewma") X(ERRORS, "errors") X(NAME, "name")
#define NEAP_TOP_SORT_ENUM(NAME, text) NEAP_TOP_SORT_##NAME,
typedef enum neap_top_sort { NEAP_TOP_SORTS(NEAP_TOP_SORT_ENUM) NEAP_TOP_SORT_COUNT } neap_top_sort;
#undef NEAP_TOP_SORT_ENUM

typedef struct neap_top_view {
  int rows, columns;
  neap_top_sort sort;
  bool colour; /* escape sequences for bold and red */
} neap_top_view;

/* The figures of a frame: rates between the snapshots (since the start where `before` is NULL), and what is
 * now. To be released by json_decref. NULL when out of memory, or `now` is no snapshot. */
json_t *neap_top_figures(const json_t *before, const json_t *now);
/* Writes exactly view->rows lines of at most view->columns letters; the last has no line end. */
void neap_top_frame(const json_t *figures, const neap_top_view *view, FILE *out);

#endif
