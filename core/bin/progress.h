/* A progress bar on a terminal's stderr; nothing anywhere else. */
#ifndef NEAP_BIN_PROGRESS_H
#define NEAP_BIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "neap/neap.h"

typedef struct neap_progress {
  const neap_host *host; /* borrowed; for its clock */
  bool shown;            /* stderr is a terminal */
  char title[64];
  uint64_t total, begun_ms, drawn_ms;
} neap_progress;

void neap_progress_begin(neap_progress *progress, const neap_host *host, const char *path, const char *policy,
                         uint64_t size, uint64_t total);
/* `done` of the total: redrawn ten times a second. `user` is the neap_progress. */
void neap_progress_show(void *user, uint64_t done);
/* Wipes the bar. */
void neap_progress_end(neap_progress *progress);

#endif
