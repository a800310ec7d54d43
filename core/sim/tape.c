#include "sim/tape.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "sim/uniques.h"

enum {
  TAPE_MAGIC = 0x4e544150,
  REEL_DEFAULT = 1 << 24,
  REEL_FIRST = 1 << 16, /* grows from here, twofold */
  READ_COUNT = 1 << 12
};

struct neap_tape {
  uint32_t magic;
  char *path;
  neap_tape_facts facts;
  neap_trace_request *requests; /* the reel */
  uint64_t reel, capacity;      /* most, and allocated */
  uint64_t count;               /* in memory: all of them */
  bool played;                  /* in memory: the one reel was handed out */
  neap_trace *trace;            /* not in memory: where the run reads from */
};

/* --- the first reading: every line checked, facts counted, requests kept while they fit --- */

static int grow(neap_tape *tape, neap_err *err) {
  uint64_t capacity = tape->capacity ? tape->capacity * 2 : REEL_FIRST;
  capacity = NEAP_MIN(capacity, tape->reel);
  neap_trace_request *requests = realloc(tape->requests, capacity * sizeof *requests);
  if (requests == NULL) return neap_fail(err, NEAP_ENOMEM, "%s: error: out of memory", tape->path);
  tape->requests = requests;
  tape->capacity = capacity;
  return 0;
}

/* The room for the next piece; once the reel is full, pieces are read over its end. */
static int make_room(neap_tape *tape, int *room, neap_err *err) {
  if (tape->count == tape->reel) {
    tape->facts.in_memory = false;
    tape->count = 0;
  }
  if (tape->count == tape->capacity) {
    int rc = grow(tape, err);
    if (rc) return rc;
  }
  *room = (int)NEAP_MIN(tape->capacity - tape->count, (uint64_t)READ_COUNT);
  return 0;
}

static int count_piece(neap_tape *tape, const neap_trace_request *piece, int count, neap_uniques *uniques) {
  int rc = 0;
  for (int i = 0; i < count; i++) tape->facts.bytes += piece[i].size;
  for (int i = 0; i < count && uniques && rc == 0; i++)
    rc = neap_uniques_add(uniques, piece[i].key, piece[i].size);
  tape->facts.requests += (uint64_t)count;
  tape->count += (uint64_t)count;
  return rc;
}

static int read_through(neap_tape *tape, neap_trace *trace, neap_uniques *uniques, neap_err *err) {
  for (;;) {
    int room;
    int rc = make_room(tape, &room, err);
    if (rc) return rc;
    neap_trace_request *piece = tape->requests + tape->count;
    int count = neap_trace_read(trace, piece, room, err);
    if (count <= 0) return count;
    rc = count_piece(tape, piece, count, uniques);
    if (rc) return neap_fail(err, rc, "%s: error: out of memory", tape->path);
  }
}

static int wind(neap_tape *tape, bool count_uniques, neap_err *err) {
  neap_trace *trace;
  int rc = neap_trace_open(tape->path, &trace, err);
  if (rc) return rc;
  neap_uniques uniques = {0};
  tape->facts.in_memory = true;
  rc = read_through(tape, trace, count_uniques ? &uniques : NULL, err);
  tape->facts.format = neap_trace_format(trace);
  tape->facts.skipped = neap_trace_skipped(trace);
  tape->facts.unique_keys = neap_uniques_count(&uniques);
  tape->facts.unique_bytes = uniques.bytes;
  neap_uniques_fini(&uniques);
  neap_trace_close(&trace);
  if (rc == 0 && tape->facts.requests == 0)
    rc = neap_fail(err, NEAP_EINVAL, "%s: error: the trace holds no requests%s", tape->path,
                   tape->facts.skipped ? " but of size 0, which are left out" : "");
  return rc;
}

int neap_tape_open(const char *path, const neap_tape_options *options, neap_tape **out, neap_err *err) {
  neap_tape *tape = calloc(1, sizeof *tape);
  char *copy = strdup(path);
  if (tape == NULL || copy == NULL) {
    free(tape);
    free(copy);
    return neap_fail(err, NEAP_ENOMEM, "%s: error: out of memory", path);
  }
  tape->magic = TAPE_MAGIC;
  tape->path = copy;
  tape->reel = options && options->reel ? options->reel : REEL_DEFAULT;
  int rc = wind(tape, options && options->uniques, err);
  if (rc)
    neap_tape_close(&tape);
  else
    *out = tape;
  return rc;
}

void neap_tape_close(neap_tape **tape) {
  if (*tape == NULL) return;
  neap_check_magic(*tape, TAPE_MAGIC);
  (*tape)->magic = 0;
  neap_trace_close(&(*tape)->trace);
  free((*tape)->requests);
  free((*tape)->path);
  free(*tape);
  *tape = NULL;
}

const neap_tape_facts *neap_tape_facts_get(const neap_tape *tape) {
  neap_check_magic(tape, TAPE_MAGIC);
  return &tape->facts;
}

/* --- the runs --- */

void neap_tape_rewind(neap_tape *tape) {
  neap_check_magic(tape, TAPE_MAGIC);
  tape->played = false;
  neap_trace_close(&tape->trace);
}

static int64_t next_in_memory(neap_tape *tape) {
  if (tape->played) return 0;
  tape->played = true;
  return (int64_t)tape->count;
}

/* Reads the next reel from the file, which may have changed since: then this says what is wrong now. */
static int64_t next_from_file(neap_tape *tape, neap_err *err) {
  if (tape->trace == NULL) {
    int rc = neap_trace_open(tape->path, &tape->trace, err);
    if (rc) return rc;
  }
  uint64_t filled = 0;
  while (filled < tape->reel) {
    int room = (int)NEAP_MIN(tape->reel - filled, (uint64_t)READ_COUNT);
    int count = neap_trace_read(tape->trace, tape->requests + filled, room, err);
    if (count < 0) return count;
    if (count == 0) break;
    filled += (uint64_t)count;
  }
  return (int64_t)filled;
}

int64_t neap_tape_next(neap_tape *tape, const neap_trace_request **requests, neap_err *err) {
  neap_check_magic(tape, TAPE_MAGIC);
  *requests = tape->requests;
  return tape->facts.in_memory ? next_in_memory(tape) : next_from_file(tape, err);
}
