/* The access log: a line is built in the buffer that it will be written from.
 *
 * There are two buffers. The worker fills one; the other is the writer's, a thread that may wait for a disk
 * or a pipe. They are exchanged when the writer is idle and the worker says so. What both look at is under
 * the lock, which nobody holds while he writes. */
#include "observe/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/utf8.h"

enum {
  TARGET_MAX = 2048,
  TEXT_MAX = 256,
  TEXTS = 15,  /* beside the target */
  ESCAPED = 6, /* bytes that one byte becomes at most */
  LINE_WORST = ESCAPED * (TARGET_MAX + TEXTS * TEXT_MAX) + 1024,
  BUFFER = 128 << 10
};
_Static_assert(BUFFER >= 2 * LINE_WORST, "the longest line fits into half the buffer");

enum { CHUNK = 4096, TURN_MS = 100, PATIENCE = 10 /* turns, when closing */ };

struct neap_access_log {
  /* The worker's. */
  size_t used;
  char *buffer;
  bool combined;
  uint64_t stamp_s; /* what `stamp` says */
  char stamp[24];   /* "2026-01-02T03:04:05" */
  char *path;
  /* Both's, under the lock. */
  pthread_mutex_t lock;
  pthread_cond_t told;
  size_t writing; /* bytes of `behind` to be written; 0: the writer is idle */
  char *behind;
  int next_fd; /* to be taken when idle; -1: none */
  bool closing;
  /* The writer's. */
  pthread_t writer;
  int fd;
  bool may_block; /* standard output: its flags are shared with others */
  /* Anybody's. */
  _Atomic uint64_t lost;
  _Atomic uint64_t *lost_count; /* NULL: nobody counts */
  char buffers[2][BUFFER];
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
    bool c1 = length == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0; /* steers some terminals */
    bool plain = (length > 1 && !c1) ||
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

/* The bytes themselves, what is not printable ASCII as \\xXX; "-" for nothing. */
static char *put_plain(char *at, neap_view text, size_t most) {
  size_t size = NEAP_MIN(text.size, most);
  if (size == 0) *at++ = '-';
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)text.ptr[i];
    if (byte > ' ' - 1 && byte < 0x7f && byte != '"' && byte != '\\') {
      *at++ = (char)byte;
      continue;
    }
    at = put(at, "\\x");
    *at++ = "0123456789abcdef"[byte >> 4];
    *at++ = "0123456789abcdef"[byte & 15];
  }
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
  at = put_text(at, ",\"purpose\":", record->purpose);
  return put(at, "}\n");
}

/* The format of Apache and nginx, with the id and the time taken at its end:
 *   client - - [26/Nov/2026:00:10:00 +0000] "GET /x HTTP/1.1" 200 5 "-" "-" id 0.000812 */
static char *put_combined(neap_access_log *log, char *at, const neap_access_record *record) {
  (void)log;
  char when[40];
  time_t clock = (time_t)(record->wall_ms / 1000);
  struct tm tm;
  gmtime_r(&clock, &tm);
  strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S +0000", &tm);
  at = put_plain(at, record->client, TEXT_MAX);
  at = put(put(put(at, " - - ["), when), "] \"");
  at = put_plain(at, record->method, TEXT_MAX);
  *at++ = ' ';
  at = put_plain(at, record->target, TARGET_MAX);
  at = put_number(put(at, " HTTP/1.1\" "), (uint64_t)NEAP_MAX(record->status, 0));
  at = put_number(put(at, " "), record->bytes);
  at = put(at, " \"");
  at = put_plain(at, record->referer, TEXT_MAX);
  at = put(at, "\" \"");
  at = put_plain(at, record->user_agent, TEXT_MAX);
  at = put(at, "\" ");
  at = put_plain(at, record->id, TEXT_MAX);
  char took[32];
  snprintf(took, sizeof took, " %llu.%06llu\n", (unsigned long long)(record->duration_us / 1000000),
           (unsigned long long)(record->duration_us % 1000000));
  return put(at, took);
}

/* --- writer ------------------------------------------------------------------------------------------ */

static void lose(neap_access_log *log, uint64_t lines) {
  atomic_fetch_add_explicit(&log->lost, lines, memory_order_relaxed);
  if (log->lost_count) atomic_fetch_add_explicit(log->lost_count, lines, memory_order_relaxed);
}

static uint64_t lines_in(const char *bytes, size_t size) {
  uint64_t lines = 0;
  for (size_t i = 0; i < size; i++) lines += bytes[i] == '\n';
  return lines;
}

static bool is_closing(neap_access_log *log) {
  pthread_mutex_lock(&log->lock);
  bool closing = log->closing;
  pthread_mutex_unlock(&log->lock);
  return closing;
}

/* Waits until the file takes something. False: it does not, and the log is to be closed. */
static bool wait_for_room(neap_access_log *log) {
  struct pollfd file = {.fd = log->fd, .events = POLLOUT};
  for (int turns = 0; poll(&file, 1, TURN_MS) == 0; turns++)
    if (turns >= PATIENCE && is_closing(log)) return false;
  return true;
}

/* A disk that is full or a reader that is gone costs what lies here, not what comes later. */
static void write_out(neap_access_log *log, const char *bytes, size_t size) {
  while (size > 0) {
    if (log->may_block && !wait_for_room(log)) break;
    /* A pipe that has room for something has it for so much. */
    ssize_t n = write(log->fd, bytes, log->may_block ? NEAP_MIN(size, (size_t)CHUNK) : size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && wait_for_room(log)) continue;
    if (n < 0) break;
    bytes += n;
    size -= (size_t)n;
  }
  if (size > 0) lose(log, lines_in(bytes, size));
}

static void *run_writer(void *user) {
  neap_access_log *log = user;
  pthread_mutex_lock(&log->lock);
  for (;;) {
    while (log->writing == 0 && log->next_fd < 0 && !log->closing) pthread_cond_wait(&log->told, &log->lock);
    if (log->writing > 0) {
      const char *bytes = log->behind;
      size_t size = log->writing;
      pthread_mutex_unlock(&log->lock);
      write_out(log, bytes, size);
      pthread_mutex_lock(&log->lock);
      log->writing = 0;
    } else if (log->next_fd >= 0) {
      close(log->fd);
      log->fd = log->next_fd;
      log->next_fd = -1;
    } else {
      break;
    }
  }
  pthread_mutex_unlock(&log->lock);
  return NULL;
}

static int start_writer(neap_access_log *log) {
  sigset_t all, before; /* signals are for others; a reader that is gone shows in errno */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&log->writer, NULL, run_writer, log);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed ? NEAP_ENOMEM : 0;
}

/* Hands what is gathered to the writer. False: it is not done with what it got before. Under the lock. */
static bool hand_over(neap_access_log *log) {
  if (log->writing > 0) return false;
  char *full = log->buffer;
  log->buffer = log->behind;
  log->behind = full;
  log->writing = log->used;
  log->used = 0;
  pthread_cond_signal(&log->told);
  return true;
}

/* --- file -------------------------------------------------------------------------------------------- */

/* Standard output is duplicated: its flags are shared with others, so it is written to as it is. */
static int open_file(const char *path, neap_err *err) {
  int fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                  : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd < 0) neap_fail(err, NEAP_EIO, "cannot open the access log %s: %s", path, strerror(errno));
  return fd;
}

int neap_access_log_open(const char *path, neap_access_format format, neap_access_log **out, neap_err *err) {
  neap_access_log *log = calloc(1, sizeof *log);
  char *copy = strdup(path);
  int fd = log && copy ? open_file(path, err) : neap_fail(err, NEAP_ENOMEM, "access log: out of memory");
  if (fd < 0) goto fail_file;
  log->fd = fd;
  log->next_fd = -1;
  log->path = copy;
  log->may_block = strcmp(path, "-") == 0;
  log->combined = format == NEAP_ACCESS_COMBINED;
  log->buffer = log->buffers[0];
  log->behind = log->buffers[1];
  pthread_mutex_init(&log->lock, NULL);
  pthread_cond_init(&log->told, NULL);
  if (start_writer(log)) goto fail_writer;
  *out = log;
  return 0;

fail_writer:
  neap_fail(err, NEAP_ENOMEM, "access log: cannot start a thread");
  pthread_cond_destroy(&log->told);
  pthread_mutex_destroy(&log->lock);
  close(fd);
fail_file:
  free(log);
  free(copy);
  return fd < 0 && fd != NEAP_ENOMEM ? NEAP_EIO : NEAP_ENOMEM;
}

void neap_access_log_close(neap_access_log **log_ptr) {
  neap_access_log *log = *log_ptr;
  if (log == NULL) return;
  *log_ptr = NULL;
  pthread_mutex_lock(&log->lock);
  log->closing = true;
  pthread_cond_signal(&log->told);
  pthread_mutex_unlock(&log->lock);
  pthread_join(log->writer, NULL);
  write_out(log, log->buffer, log->used); /* what was gathered while the writer was busy */
  close(log->fd);
  if (log->next_fd >= 0) close(log->next_fd);
  pthread_cond_destroy(&log->told);
  pthread_mutex_destroy(&log->lock);
  free(log->path);
  free(log);
}

/* hot: */
void neap_access_log_add(neap_access_log *log, const neap_access_record *record) {
  if (BUFFER - log->used < LINE_WORST) neap_access_log_flush(log);
  if (BUFFER - log->used < LINE_WORST) {
    lose(log, 1);
    return;
  }
  char *at = log->buffer + log->used;
  char *end = log->combined ? put_combined(log, at, record) : put_line(log, at, record);
  log->used = (size_t)(end - log->buffer);
  neap_debug_assert(log->used <= BUFFER);
}

bool neap_access_log_pending(const neap_access_log *log) {
  return log->used > 0;
}

void neap_access_log_flush(neap_access_log *log) {
  if (log->used == 0) return;
  pthread_mutex_lock(&log->lock);
  hand_over(log);
  pthread_mutex_unlock(&log->lock);
}

int neap_access_log_reopen(neap_access_log *log, neap_err *err) {
  int fd = open_file(log->path, err);
  if (fd < 0) return NEAP_EIO;
  pthread_mutex_lock(&log->lock);
  if (log->used > 0) hand_over(log);
  if (log->next_fd >= 0) close(log->next_fd);
  log->next_fd = fd;
  pthread_cond_signal(&log->told);
  pthread_mutex_unlock(&log->lock);
  return 0;
}

void neap_access_log_count_lost(neap_access_log *log, _Atomic uint64_t *count) {
  log->lost_count = count;
}

uint64_t neap_access_log_lost(const neap_access_log *log) {
  return atomic_load_explicit(&log->lost, memory_order_relaxed);
}
