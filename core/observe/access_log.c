/* The access log: a line is built in the buffer that it will be written from. */
#include "observe/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/utf8.h"

enum {
  TARGET_MAX = 2048,
  TEXT_MAX = 256,
  TEXTS = 14,  /* beside the target */
  ESCAPED = 6, /* bytes that one byte becomes at most */
  LINE_WORST = ESCAPED * (TARGET_MAX + TEXTS * TEXT_MAX) + 1024,
  BUFFER = 128 << 10
};
_Static_assert(BUFFER >= 2 * LINE_WORST, "the longest line fits into half the buffer");

struct neap_access_log {
  int fd;
  size_t used;
  uint64_t lost;
  _Atomic uint64_t *lost_count; /* NULL: nobody counts */
  uint64_t stamp_s;             /* what `stamp` says */
  char stamp[24];               /* "2026-01-02T03:04:05" */
  char *path;
  char buffer[BUFFER];
};

/* --- text -------------------------------------------------------------------------------------------- */

static char *put(char *at, const char *text) {
  size_t size = strlen(text);
  memcpy(at, text, size);
  return at + size;
}

static char *put_number(char *at, uint64_t number) {
  char digits[20];
  size_t i = sizeof digits;
  do digits[--i] = (char)('0' + number % 10);
  while (number /= 10);
  memcpy(at, digits + i, sizeof digits - i);
  return at + (sizeof digits - i);
}

static char *put_escape(char *at, uint8_t byte) {
  if (byte == '"' || byte == '\\') {
    *at++ = '\\';
    *at++ = (char)byte;
    return at;
  }
  if (byte >= 0x80) return put(at, "\\ufffd");
  at = put(at, "\\u00");
  *at++ = "0123456789abcdef"[byte >> 4];
  *at++ = "0123456789abcdef"[byte & 15];
  return at;
}

/* A JSON string of at most `most` bytes of `text`. */
static char *put_string(char *at, neap_view text, size_t most) {
  const uint8_t *bytes = (const uint8_t *)text.ptr;
  size_t size = NEAP_MIN(text.size, most);
  *at++ = '"';
  for (size_t i = 0; i < size;) {
    size_t length = neap_utf8_size(bytes + i, size - i);
    bool plain = length > 1 ||
                 (length == 1 && bytes[i] >= 0x20 && bytes[i] != 0x7f && bytes[i] != '"' && bytes[i] != '\\');
    if (plain) {
      memcpy(at, bytes + i, length);
      at += length;
    } else {
      at = put_escape(at, bytes[i]);
    }
    i += length ? length : 1;
  }
  if (size < text.size) at = put(at, "...");
  *at++ = '"';
  return at;
}

static char *put_view(char *at, const char *key, neap_view text, size_t most) {
  if (text.size == 0) return at;
  at = put(at, key);
  return put_string(at, text, most);
}

static char *put_text(char *at, const char *key, const char *text) {
  return text ? put_view(at, key, neap_view_of(text), TEXT_MAX) : at;
}

/* --- line -------------------------------------------------------------------------------------------- */

/* The time to the second is made once a second. */
static char *put_time(neap_access_log *log, char *at, uint64_t wall_ms) {
  uint64_t second = wall_ms / 1000, fraction = wall_ms % 1000;
  if (second != log->stamp_s || log->stamp[0] == 0) {
    time_t clock = (time_t)second;
    struct tm tm;
    gmtime_r(&clock, &tm);
    strftime(log->stamp, sizeof log->stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    log->stamp_s = second;
  }
  at = put(at, "{\"ts\":\"");
  at = put(at, log->stamp);
  *at++ = '.';
  *at++ = (char)('0' + fraction / 100);
  *at++ = (char)('0' + fraction / 10 % 10);
  *at++ = (char)('0' + fraction % 10);
  return put(at, "Z\"");
}

static char *put_line(neap_access_log *log, char *at, const neap_access_record *record) {
  at = put_time(log, at, record->wall_ms);
  at = put_view(at, ",\"id\":", record->id, TEXT_MAX);
  at = put_view(at, ",\"client\":", record->client, TEXT_MAX);
  at = put_view(at, ",\"method\":", record->method, TEXT_MAX);
  at = put_view(at, ",\"host\":", record->host, TEXT_MAX);
  at = put_view(at, ",\"target\":", record->target, TARGET_MAX);
  if (record->status > 0) at = put_number(put(at, ",\"status\":"), (uint64_t)record->status);
  at = put_number(put(at, ",\"bytes\":"), record->bytes);
  at = put_number(put(at, ",\"duration_us\":"), record->duration_us);
  if (record->first_byte_us > 0) at = put_number(put(at, ",\"first_byte_us\":"), record->first_byte_us);
  if (record->generation > 0) at = put_number(put(at, ",\"generation\":"), record->generation);
  at = put_text(at, ",\"route\":", record->route);
  at = put_text(at, ",\"tag\":", record->tag);
  at = put_text(at, ",\"pool\":", record->pool);
  at = put_text(at, ",\"backend\":", record->backend);
  if (record->tries > 0) at = put_number(put(at, ",\"tries\":"), record->tries);
  at = put_text(at, ",\"cache\":", record->cache);
  at = put_text(at, ",\"lookup\":", record->lookup);
  at = put_text(at, ",\"stored\":", record->stored);
  at = put_text(at, ",\"reason\":", record->reason);
  at = put_text(at, ",\"steps\":", record->steps);
  return put(at, "}\n");
}

/* --- file -------------------------------------------------------------------------------------------- */

/* Standard output is duplicated: its flags are shared with others, so it is written to as it is. */
static int open_file(const char *path, neap_err *err) {
  int fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                  : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd < 0) neap_fail(err, NEAP_EIO, "cannot open the access log %s: %s", path, strerror(errno));
  return fd;
}

int neap_access_log_open(const char *path, neap_access_log **out, neap_err *err) {
  neap_access_log *log = calloc(1, sizeof *log);
  char *copy = strdup(path);
  int fd = log && copy ? open_file(path, err) : neap_fail(err, NEAP_ENOMEM, "access log: out of memory");
  if (fd < 0) {
    free(log);
    free(copy);
    return fd == NEAP_ENOMEM ? NEAP_ENOMEM : NEAP_EIO;
  }
  log->fd = fd;
  log->path = copy;
  *out = log;
  return 0;
}

void neap_access_log_close(neap_access_log **log) {
  if (*log == NULL) return;
  (void)neap_access_log_flush(*log);
  close((*log)->fd);
  free((*log)->path);
  free(*log);
  *log = NULL;
}

static void lose(neap_access_log *log, uint64_t lines) {
  log->lost += lines;
  if (log->lost_count)
    atomic_store_explicit(log->lost_count,
                          atomic_load_explicit(log->lost_count, memory_order_relaxed) + lines,
                          memory_order_relaxed);
}

/* hot: */
void neap_access_log_add(neap_access_log *log, const neap_access_record *record) {
  if (BUFFER - log->used < LINE_WORST) (void)neap_access_log_flush(log);
  if (BUFFER - log->used < LINE_WORST) {
    lose(log, 1);
    return;
  }
  char *end = put_line(log, log->buffer + log->used, record);
  log->used = (size_t)(end - log->buffer);
  neap_debug_assert(log->used <= BUFFER);
}

/* A disk that is full or a reader that is gone must not fill the buffer for good. */
static int lose_buffer(neap_access_log *log) {
  for (size_t i = 0; i < log->used; i++) lose(log, log->buffer[i] == '\n');
  log->used = 0;
  return NEAP_EIO;
}

bool neap_access_log_pending(const neap_access_log *log) {
  return log->used > 0;
}

int neap_access_log_flush(neap_access_log *log) {
  size_t written = 0;
  while (written < log->used) {
    ssize_t n = write(log->fd, log->buffer + written, log->used - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return lose_buffer(log);
    written += (size_t)n;
  }
  log->used -= written;
  memmove(log->buffer, log->buffer + written, log->used);
  return log->used == 0 ? 0 : NEAP_EIO;
}

int neap_access_log_reopen(neap_access_log *log, neap_err *err) {
  (void)neap_access_log_flush(log);
  int fd = open_file(log->path, err);
  if (fd < 0) return NEAP_EIO;
  close(log->fd);
  log->fd = fd;
  return 0;
}

void neap_access_log_count_lost(neap_access_log *log, _Atomic uint64_t *count) {
  log->lost_count = count;
}

uint64_t neap_access_log_lost(const neap_access_log *log) {
  return log->lost;
}
