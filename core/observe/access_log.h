/* The access log: one JSON object per line and exchange.
 *
 *   {"ts":"2026-01-02T03:04:05.678Z","id":"9f3c2a7d01b4e655","client":"127.0.0.1","method":"GET","host":"a","target":"/x","status":200,
 *    "bytes":5,"duration_us":812,"generation":1,"route":"/","pool":"app","backend":"127.0.0.1:9001","tries":1,
 *    "cache":"uri-miss","stored":"yes","reason":"ok","steps":"recv,route,lookup,balance,fetch,..."}
 */
#ifndef NEAP_OBSERVE_ACCESS_LOG_H
#define NEAP_OBSERVE_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "neap/neap.h"

/* A finished exchange. Views and texts are borrowed during the call, and may hold any bytes: what is not
 * UTF-8 or not printable is escaped. Empty views and texts, and texts that are NULL, are left out, as are a
 * status, a generation and tries of 0. */
typedef struct neap_access_record {
  uint64_t wall_ms;     /* since 1970, when the request arrived */
  uint64_t duration_us; /* from the request's first byte to the response's last */
  neap_view id, client, method, host, target;
  neap_view referer, user_agent; /* in the combined format alone */
  uint64_t first_byte_us;        /* of the backend's answer, from the request sent; 0: none */
  int status;                    /* as sent to the client; 0: nothing was answered */
  uint64_t bytes;                /* of the response body, sent to the client */
  uint64_t generation;
  const char *route;   /* name */
  const char *tag;     /* what the route's actions call this request */
  const char *pool;    /* name */
  const char *backend; /* the last one tried */
  const char *cache;   /* "hit", "uri-miss", "bypass", ... */
  const char *lookup;  /* why the cache was not asked */
  const char *stored;  /* "yes", or why not */
  const char *reason;  /* code: "ok", "no_route", "client_gone", ... */
  const char *steps;   /* "recv,route,lookup,deliver,finish" */
  uint32_t tries;      /* of backends */
  const char *purpose; /* "prefetch"; NULL: somebody asked */
} neap_access_record;

/* One worker's side of the log: a buffer that lines are put into without allocation, handed to a thread of
 * its own that writes it: a worker waits neither for a disk nor for the reader of a pipe. Lines of several
 * workers on one file do not mix: it is opened for appending, and written in whole lines. While the writer is
 * stuck, lines gather in the other buffer; one for which there is no room is lost and counted. For one thread
 * at a time. */
typedef struct neap_access_log neap_access_log;

typedef enum neap_access_format { NEAP_ACCESS_JSON, NEAP_ACCESS_COMBINED } neap_access_format;

/* `path`: "-" for standard output, else a file that is appended to. NEAP_EIO (err says which file and why) or
 * NEAP_ENOMEM. */
int neap_access_log_open(const char *path, neap_access_format format, neap_access_log **out, neap_err *err);
/* Writes what is gathered and closes; what cannot be written within about a second is lost. Not on a worker
 * that serves. `*log` may be NULL. */
void neap_access_log_close(neap_access_log **log);

/* hot: Gathers a line. Long texts are cut: the target after 2 KiB, others after 256 bytes. */
void neap_access_log_add(neap_access_log *log, const neap_access_record *record);

/* Whether there is something to hand over. hot: */
bool neap_access_log_pending(const neap_access_log *log);

/* Hands what is gathered to the writer, unless it is still busy: then the next time. */
void neap_access_log_flush(neap_access_log *log);

/* Opens its file anew, after it was renamed. The old one stays in use where that fails. */
int neap_access_log_reopen(neap_access_log *log, neap_err *err);

/* Lines lost so far: there was no room, or writing failed. */
uint64_t neap_access_log_lost(const neap_access_log *log);
/* Counts them in `count` too, which outlives the log. Before the first line. */
void neap_access_log_count_lost(neap_access_log *log, _Atomic uint64_t *count);

#endif
