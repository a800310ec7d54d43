#include "sim/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/base.h"

enum {
  SOURCE_MAGIC = 0x4e535243,
  PLAIN_SIZE = 1 << 20,  /* bytes that readers see at once */
  PACKED_SIZE = 1 << 17, /* compressed bytes read at once */
  WINDOW_LOG_MAX = 25    /* 32 MiB: what a hostile frame may make us allocate */
};

struct neap_source {
  uint32_t magic;
  neap_span span;
  FILE *stream;
  char *name;
  bool ended;      /* `stream` has no more */
  bool in_frame;   /* zstd: a frame was begun and not finished */
  ZSTD_DCtx *zstd; /* NULL: plain */
  ZSTD_inBuffer packed;
  char plain[PLAIN_SIZE + 1]; /* and the '\0' behind it */
  char packed_bytes[PACKED_SIZE];
};

/* --- formats --- */

typedef struct file_kind {
  const char *magic;
  size_t size;
  const char *unpack; /* the command that helps; NULL: zstd, which is read here */
} file_kind;

static const file_kind kinds[] = {{"\x28\xb5\x2f\xfd", 4, NULL},
                                  {"\x1f\x8b", 2, "gzip -d"},
                                  {"\xfd"
                                   "7zXZ",
                                   5, "xz -d"},
                                  {"BZh", 3, "bzip2 -d"}};

static const file_kind *kind_of(const char *bytes, size_t size) {
  for (size_t i = 0; i < NEAP_COUNT_OF(kinds); i++)
    if (size >= kinds[i].size && memcmp(bytes, kinds[i].magic, kinds[i].size) == 0) return &kinds[i];
  return NULL;
}

/* --- reading --- */

static int read_some(neap_source *source, char *into, size_t capacity, size_t *got, neap_err *err) {
  errno = 0;
  *got = fread(into, 1, capacity, source->stream);
  if (*got < capacity) {
    source->ended = true;
    if (ferror(source->stream))
      return neap_fail(err, NEAP_EIO, "%s: error: cannot read: %s", source->name,
                       strerror(errno ? errno : EIO));
  }
  return 0;
}

static int refill_packed(neap_source *source, neap_err *err) {
  size_t got;
  int rc = read_some(source, source->packed_bytes, PACKED_SIZE, &got, err);
  if (rc) return rc;
  source->packed = (ZSTD_inBuffer){source->packed_bytes, got, 0};
  return 0;
}

static int unpack_failed(neap_source *source, size_t code, neap_err *err) {
  const char *text = ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge
                         ? "zstd window is larger than 32 MiB (compress it without --long=26 and above)"
                         : ZSTD_getErrorName(code);
  return neap_fail(err, NEAP_EIO, "%s: error: corrupt zstd stream: %s", source->name, text);
}

/* Unpacks into `out` until it is full or the stream has ended. */
static int unpack(neap_source *source, ZSTD_outBuffer *out, neap_err *err) {
  while (out->pos < out->size) {
    if (source->packed.pos == source->packed.size && !source->ended) {
      int rc = refill_packed(source, err);
      if (rc) return rc;
    }
    size_t before_out = out->pos, before_in = source->packed.pos;
    size_t hint = ZSTD_decompressStream(source->zstd, out, &source->packed);
    if (ZSTD_isError(hint)) return unpack_failed(source, hint, err);
    if (out->pos != before_out || source->packed.pos != before_in) {
      source->in_frame = hint != 0;
      continue;
    }
    if (source->packed.pos < source->packed.size || !source->ended) continue;
    if (source->in_frame) return neap_fail(err, NEAP_EIO, "%s: error: truncated zstd stream", source->name);
    return 0;
  }
  return 0;
}

int neap_source_fill(neap_source *source, size_t want, neap_err *err) {
  neap_check_magic(source, SOURCE_MAGIC);
  neap_assert(want <= NEAP_SOURCE_WANT_MAX);
  size_t kept = (size_t)(source->span.end - source->span.at), got = 0;
  if (kept >= want) return 0;
  memmove(source->plain, source->span.at, kept);
  int rc = 0;
  if (source->zstd) {
    ZSTD_outBuffer out = {source->plain + kept, PLAIN_SIZE - kept, 0};
    rc = unpack(source, &out, err);
    got = out.pos;
  } else if (!source->ended) {
    rc = read_some(source, source->plain + kept, PLAIN_SIZE - kept, &got, err);
  }
  source->span = (neap_span){source->plain, source->plain + kept + got};
  source->plain[kept + got] = '\0';
  return rc;
}

/* --- opening --- */

/* The first bytes tell plain from zstd; for zstd they become the first packed ones. */
static int detect(neap_source *source, neap_err *err) {
  size_t got;
  int rc = read_some(source, source->packed_bytes, PACKED_SIZE, &got, err);
  if (rc) return rc;
  const file_kind *kind = kind_of(source->packed_bytes, got);
  if (kind && kind->unpack)
    return neap_fail(err, NEAP_EINVAL, "%s: error: compressed in a way that is not read here (try: %s)",
                     source->name, kind->unpack);
  if (kind == NULL) {
    memcpy(source->plain, source->packed_bytes, got);
    source->span.end = source->plain + got;
    source->plain[got] = '\0';
    return 0;
  }
  source->packed = (ZSTD_inBuffer){source->packed_bytes, got, 0};
  source->zstd = ZSTD_createDCtx();
  if (source->zstd == NULL) return neap_fail(err, NEAP_ENOMEM, "%s: error: out of memory", source->name);
  ZSTD_DCtx_setParameter(source->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
  return 0;
}

int neap_source_open_stream(FILE *stream, const char *name, neap_source **out, neap_err *err) {
  neap_source *source = malloc(sizeof *source);
  char *name_copy = strdup(name);
  if (source == NULL || name_copy == NULL) {
    free(source);
    free(name_copy);
    fclose(stream);
    return neap_fail(err, NEAP_ENOMEM, "%s: error: out of memory", name);
  }
  setvbuf(stream, NULL, _IONBF, 0); /* what we read is big already */
  source->magic = SOURCE_MAGIC;
  source->span = (neap_span){source->plain, source->plain};
  source->stream = stream;
  source->name = name_copy;
  source->ended = source->in_frame = false;
  source->zstd = NULL;
  int rc = detect(source, err);
  if (rc)
    neap_source_close(&source);
  else
    *out = source;
  return rc;
}

int neap_source_open(const char *path, neap_source **out, neap_err *err) {
  FILE *stream = fopen(path, "rbe");
  if (stream == NULL) return neap_fail(err, NEAP_EIO, "%s: error: cannot open: %s", path, strerror(errno));
  return neap_source_open_stream(stream, path, out, err);
}

void neap_source_close(neap_source **source) {
  if (*source == NULL) return;
  neap_check_magic(*source, SOURCE_MAGIC);
  (*source)->magic = 0;
  ZSTD_freeDCtx((*source)->zstd);
  fclose((*source)->stream);
  free((*source)->name);
  free(*source);
  *source = NULL;
}

neap_span *neap_source_span(neap_source *source) {
  return &source->span;
}

const char *neap_source_name(const neap_source *source) {
  return source->name;
}
