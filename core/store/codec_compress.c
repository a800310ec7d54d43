/* Compression by zstd and lz4, dictionaries for small values, and the probe that saves trying. */
#include "store/codec_impl.h"

#include <stdlib.h>

#include <lz4.h>
#include <zdict.h>
#include <zstd.h>

enum { TRAIN_SAMPLES_MIN = 8, TRAIN_CAPACITY_MIN = 256 };

/* --- dictionaries --------------------------------------------------------------------------------------- */

typedef struct trained {
  uint32_t id;
  ZSTD_CDict *pack; /* of the current one only */
  ZSTD_DDict *unpack;
} trained;

struct neap_dictionaries {
  _Atomic uint32_t refs;
  uint32_t count;
  trained items[NEAP_CODEC_DICTIONARIES_MAX];
};

static const trained *find(const neap_dictionaries *set, uint32_t id) {
  for (uint32_t i = set ? set->count : 0; i-- > 0;)
    if (set->items[i].id == id) return &set->items[i];
  return NULL;
}

static int add(neap_dictionaries *set, neap_view bytes, neap_err *err) {
  if (set->count == NEAP_CODEC_DICTIONARIES_MAX)
    return neap_fail(err, NEAP_EINVAL, "more than %d dictionaries", NEAP_CODEC_DICTIONARIES_MAX);
  if (bytes.size > NEAP_CODEC_DICTIONARY_BYTES_MAX)
    return neap_fail(err, NEAP_EINVAL, "dictionary %u is larger than 1 MiB", set->count + 1);
  trained *d = &set->items[set->count];
  d->id = ZDICT_getDictID(bytes.ptr, bytes.size);
  if (d->id == 0)
    return neap_fail(err, NEAP_EINVAL, "dictionary %u is not one of zstd with an id", set->count + 1);
  if (find(set, d->id)) return neap_fail(err, NEAP_EINVAL, "dictionary %u is given twice", set->count + 1);
  d->unpack = ZSTD_createDDict(bytes.ptr, bytes.size);
  if (d->unpack == NULL) /* also where its tables are damaged */
    return neap_fail(err, NEAP_EINVAL, "dictionary %u cannot be used", set->count + 1);
  set->count++;
  return 0;
}

static int fill(neap_dictionaries *set, const neap_view *dictionaries, size_t count, int level,
                neap_err *err) {
  for (size_t i = 0; i < count; i++) {
    int rc = add(set, dictionaries[i], err);
    if (rc) return rc;
  }
  if (count == 0) return neap_fail(err, NEAP_EINVAL, "no dictionaries");
  neap_view last = dictionaries[count - 1];
  set->items[count - 1].pack = ZSTD_createCDict(last.ptr, last.size, level);
  return set->items[count - 1].pack ? 0 : neap_fail(err, NEAP_ENOMEM, "no memory for the dictionary");
}

int neap_dictionaries_create(const neap_view *dictionaries, size_t count, int level, neap_dictionaries **out,
                             neap_err *err) {
  neap_dictionaries *set = calloc(1, sizeof *set);
  if (set == NULL) return neap_fail(err, NEAP_ENOMEM, "no memory for the dictionary");
  atomic_init(&set->refs, 1);
  int rc = fill(set, dictionaries, count, level, err);
  if (rc)
    neap_dictionaries_unref(&set);
  else
    *out = set;
  return rc;
}

neap_dictionaries *neap_dictionaries_ref(neap_dictionaries *set) {
  atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
  return set;
}

void neap_dictionaries_unref(neap_dictionaries **set) {
  neap_dictionaries *s = *set;
  *set = NULL;
  if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
  for (uint32_t i = 0; i < s->count; i++) {
    ZSTD_freeCDict(s->items[i].pack);
    ZSTD_freeDDict(s->items[i].unpack);
  }
  free(s);
}

uint32_t neap_dictionaries_current(const neap_dictionaries *set) {
  return set->items[set->count - 1].id;
}

/* --- training ------------------------------------------------------------------------------------------- */

/* The samples that training looks at: all, or evenly spread ones of them that fit. */
typedef struct training {
  char *bytes; /* borrowed from the caller where all fit */
  size_t *sizes;
  unsigned count;
} training;

static size_t sum_of(const size_t *sizes, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; i++)
    if (__builtin_add_overflow(sum, sizes[i], &sum)) return SIZE_MAX;
  return sum;
}

/* Every nth sample, n being how many times over they are too many. */
static bool pick(training *t, const char *samples, const size_t *sizes, size_t count, size_t sum) {
  size_t every = sum / NEAP_CODEC_SAMPLES_MAX + 1, used = 0, at = 0;
  t->bytes = malloc(NEAP_CODEC_SAMPLES_MAX);
  t->sizes = malloc((count / every + 1) * sizeof *t->sizes);
  if (t->bytes == NULL || t->sizes == NULL) return false;
  for (size_t i = 0; i < count; at += sizes[i++]) {
    if (i % every != 0 || sizes[i] > NEAP_CODEC_SAMPLES_MAX - used) continue;
    memcpy(t->bytes + used, samples + at, sizes[i]);
    used += sizes[i];
    t->sizes[t->count++] = sizes[i];
  }
  return true;
}

ptrdiff_t neap_dictionary_train(const char *samples, const size_t *sizes, size_t count, char *out,
                                size_t capacity) {
  size_t sum = sum_of(sizes, count);
  if (count < TRAIN_SAMPLES_MIN || count > UINT32_MAX || sum == SIZE_MAX || capacity < TRAIN_CAPACITY_MIN)
    return NEAP_EINVAL;
  capacity = NEAP_MIN(capacity, (size_t)NEAP_CODEC_DICTIONARY_BYTES_MAX);
  training t = {0};
  if (!pick(&t, samples, sizes, count, sum)) {
    free(t.bytes), free(t.sizes);
    return NEAP_ENOMEM;
  }
  size_t size = ZDICT_trainFromBuffer(out, capacity, t.bytes, t.sizes, t.count);
  free(t.bytes), free(t.sizes);
  return ZDICT_isError(size) ? NEAP_EINVAL : (ptrdiff_t)size;
}

/* --- packing -------------------------------------------------------------------------------------------- */

struct neap_packer { /* each part is made when it is first needed */
  ZSTD_CCtx *pack;
  ZSTD_DCtx *unpack;
  void *lz4;
};

int neap_packer_create(neap_packer **out) {
  neap_packer *packer = calloc(1, sizeof *packer);
  if (packer == NULL) return NEAP_ENOMEM;
  *out = packer;
  return 0;
}

void neap_packer_destroy(neap_packer **packer) {
  if (*packer == NULL) return;
  ZSTD_freeCCtx((*packer)->pack);
  ZSTD_freeDCtx((*packer)->unpack);
  free((*packer)->lz4);
  free(*packer);
  *packer = NULL;
}

/* What a frame could say is in the envelope: size, dictionary, checksum are left out. */
static bool make_zstd(neap_packer *packer) {
  if (packer->pack) return true;
  ZSTD_CCtx *pack = ZSTD_createCCtx();
  if (pack == NULL) return false;
  ZSTD_CCtx_setParameter(pack, ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(pack, ZSTD_c_checksumFlag, 0);
  ZSTD_CCtx_setParameter(pack, ZSTD_c_dictIDFlag, 0);
  packer->pack = pack;
  return true;
}

/* Puts the compressor back to its beginning, also from the middle of a record that got no room: only there
 * does it take parameters and let go of a dictionary, which may be destroyed before the next record comes. */
static void release(ZSTD_CCtx *pack) {
  ZSTD_CCtx_reset(pack, ZSTD_reset_session_only);
  neap_assert(!ZSTD_isError(ZSTD_CCtx_refCDict(pack, NULL)));
}

static size_t pack_zstd(neap_packer *packer, int level, const neap_dictionaries *dictionaries,
                        neap_view plain, char *out, size_t capacity) {
  if (!make_zstd(packer)) return 0;
  ZSTD_CCtx *pack = packer->pack;
  const ZSTD_CDict *with = dictionaries ? dictionaries->items[dictionaries->count - 1].pack : NULL;
  neap_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(pack, ZSTD_c_compressionLevel, level)) &&
              !ZSTD_isError(ZSTD_CCtx_refCDict(pack, with)));
  size_t size = ZSTD_compress2(pack, out, capacity, plain.ptr, plain.size);
  release(pack);
  return ZSTD_isError(size) ? 0 : size;
}

static size_t pack_lz4(neap_packer *packer, neap_view plain, char *out, size_t capacity) {
  if (packer->lz4 == NULL) packer->lz4 = malloc((size_t)LZ4_sizeofState());
  if (packer->lz4 == NULL || plain.size > LZ4_MAX_INPUT_SIZE) return 0;
  int size = LZ4_compress_fast_extState(packer->lz4, plain.ptr, out, (int)plain.size, (int)capacity, 1);
  return size > 0 ? (size_t)size : 0;
}

size_t neap_packer_pack(neap_packer *packer, neap_compression compression, int level,
                        const neap_dictionaries *dictionaries, neap_view plain, char *out, size_t capacity) {
  switch (compression) {
  case NEAP_COMPRESSION_ZSTD: return pack_zstd(packer, level, dictionaries, plain, out, capacity);
  case NEAP_COMPRESSION_LZ4: return pack_lz4(packer, plain, out, capacity);
  default: return 0;
  }
}

/* In one piece into a buffer of the right size: zstd then needs no window of its own, whatever the frame
 * asks for. */
static neap_opened unpack_zstd(neap_packer *packer, const neap_dictionaries *dictionaries, uint32_t id,
                               neap_view packed, char *out, size_t size) {
  const trained *with = id ? find(dictionaries, id) : NULL;
  if (id && with == NULL) return NEAP_OPEN_NO_DICTIONARY;
  if (packer->unpack == NULL) packer->unpack = ZSTD_createDCtx();
  if (packer->unpack == NULL) return NEAP_OPEN_NO_MEMORY;
  size_t got =
      with ? ZSTD_decompress_usingDDict(packer->unpack, out, size, packed.ptr, packed.size, with->unpack)
           : ZSTD_decompressDCtx(packer->unpack, out, size, packed.ptr, packed.size);
  return !ZSTD_isError(got) && got == size ? NEAP_OPENED : NEAP_OPEN_INFLATE;
}

static neap_opened unpack_lz4(neap_view packed, char *out, size_t size) {
  int got = LZ4_decompress_safe(packed.ptr, out, (int)packed.size, (int)size);
  return got >= 0 && (size_t)got == size ? NEAP_OPENED : NEAP_OPEN_INFLATE;
}

neap_opened neap_packer_unpack(neap_packer *packer, neap_compression compression,
                               const neap_dictionaries *dictionaries, uint32_t dictionary, neap_view packed,
                               char *out, size_t size) {
  if (compression == NEAP_COMPRESSION_LZ4) return unpack_lz4(packed, out, size);
  return unpack_zstd(packer, dictionaries, dictionary, packed, out, size);
}

/* --- probing -------------------------------------------------------------------------------------------- */

enum { PROBE_BYTES = 4096, PROBE_PIECES = 4, PROBE_PIECE = PROBE_BYTES / PROBE_PIECES };

/* How formats begin that are compressed inside. `at` is where, since some have a length before it. */
static bool is_known(neap_view bytes) {
  static const struct {
    uint8_t at, size;
    char text[7];
  } known[] = {
      {0, 2, "\x1f\x8b"},
      {0, 4, "\x28\xb5\x2f\xfd"},
      {0, 6,
       "\xfd"
       "7zXZ"},
      {0, 3, "BZh"},
      {0, 4, "PK\x03\x04"},
      {0, 4, "\x89PNG"},
      {0, 3, "\xff\xd8\xff"},
      {0, 4, "GIF8"},
      {8, 4, "WEBP"},
      {4, 4, "ftyp"},
      {0, 4, "wOF2"},
      {0, 4, "OggS"},
      {0, 3, "ID3"},
      {0, 4, "\x1a\x45\xdf\xa3"},
      {0, 4, "Rar!"},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(known); i++)
    if (bytes.size >= (size_t)known[i].at + known[i].size &&
        memcmp(bytes.ptr + known[i].at, known[i].text, known[i].size) == 0)
      return true;
  return false;
}

/* Whether the values of 4096 bytes are spread so evenly that their order-0 entropy is above 7.8 bits. For
 * random bytes the sum of squared counts is 4096 + 4096 * 4095 / 256 = 69616 on average, for text many times
 * that. Four tables, since the same counter twice in a row waits for itself. */
static bool is_even(neap_view bytes) {
  uint16_t counts[4][256] = {0};
  size_t step = (bytes.size - PROBE_PIECE) / (PROBE_PIECES - 1);
  for (int piece = 0; piece < PROBE_PIECES; piece++) {
    const uint8_t *at = (const uint8_t *)bytes.ptr + (size_t)piece * step;
    for (int i = 0; i < PROBE_PIECE; i += 4)
      counts[0][at[i]]++, counts[1][at[i + 1]]++, counts[2][at[i + 2]]++, counts[3][at[i + 3]]++;
  }
  uint32_t squares = 0;
  for (int value = 0; value < 256; value++) {
    uint32_t count = counts[0][value] + (uint32_t)counts[1][value] + counts[2][value] + counts[3][value];
    squares += count * count;
  }
  return squares < 80000;
}

bool neap_packer_probe(neap_view bytes) {
  return is_known(bytes) || (bytes.size >= PROBE_BYTES && is_even(bytes));
}
