/* What a host leaves out: the C library's allocator, no log, a seed from the system. */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/base.h"
#include "base/utf8.h"
#include "policy/policy.h"

static void *default_alloc(void *user, size_t size) {
  (void)user;
  return malloc(size);
}

static void default_free(void *user, void *ptr, size_t size) {
  (void)user, (void)size;
  free(ptr);
}

/* jemalloc's, where the program is linked with it: exact, and asks for nothing. */
extern size_t nallocx(size_t size, int flags) __attribute__((weak));

static size_t default_good_size(void *user, size_t size) {
  (void)user;
  if (nallocx != NULL) return nallocx(size, 0);
  void *probe = malloc(size);
  if (probe == NULL) return size;
  size_t good = malloc_usable_size(probe) + sizeof(size_t); /* glibc keeps the size before the block */
  free(probe);
  return good;
}

static void default_log(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

void neap_host_complete(const neap_host *host, neap_host *out) {
  neap_host complete = {0};
  if (host != NULL) complete = *host;
  if (complete.alloc == NULL) complete.alloc = default_alloc;
  if (complete.free == NULL) complete.free = default_free;
  if (complete.good_size == NULL) complete.good_size = default_good_size;
  if (complete.log == NULL) complete.log = default_log;
  while (complete.seed == 0 &&
         getrandom(&complete.seed, sizeof complete.seed, 0) != (ssize_t)sizeof complete.seed) {
  }
  *out = complete;
}

void neap_host_log(const neap_host *host, neap_log_level level, const char *format, ...) {
  char line[1400];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  neap_text_tame(line, 0); /* one event is one line, whoever's words are in it */
  host->log(host->user, level, line);
}
