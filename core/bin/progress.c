#include "bin/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum { REDRAW_MS = 100, BAR_WIDTH = 30 };

void neap_progress_begin(neap_progress *progress, const neap_host *host, const char *path, const char *policy,
                         uint64_t size, uint64_t total) {
  const char *slash = strrchr(path, '/');
  *progress = (neap_progress){.host = host, .shown = isatty(STDERR_FILENO), .total = total};
  progress->begun_ms = progress->drawn_ms = host->now_ms(host->user);
  snprintf(progress->title, sizeof progress->title, "%.24s %.24s %llu", slash ? slash + 1 : path, policy,
           (unsigned long long)size);
}

void neap_progress_show(void *user, uint64_t done) {
  static const char full[] = "##############################", empty[] = "..............................";
  neap_progress *p = user;
  if (!p->shown) return;
  uint64_t now_ms = p->host->now_ms(p->host->user);
  if (now_ms - p->drawn_ms < REDRAW_MS) return;
  p->drawn_ms = now_ms;
  double share = NEAP_MIN((double)done / (double)p->total, 1.0);
  int bar = (int)(share * BAR_WIDTH);
  fprintf(stderr, "\r[%.*s%.*s] %3.0f %%  %.2f M/s  %s\033[K", bar, full, BAR_WIDTH - bar, empty, share * 100,
          (double)done / (double)(now_ms - p->begun_ms) / 1000, p->title);
}

void neap_progress_end(neap_progress *progress) {
  if (progress->shown && progress->drawn_ms != progress->begun_ms) fputs("\r\033[K", stderr);
}
