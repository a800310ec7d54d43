/* The codec: turns a cached object into the bytes that lie in Redis or a CDN, and back. Compressed where that
 * pays, encrypted where a keyring is given, and never believed: what is damaged, of a newer format, made for
 * another key or forged is a miss with a reason that is counted, never bytes. docs/envelope.md has the format
 * byte by byte.
 *
 *   neap_keyring       the secrets; immutable, shared by all threads, wiped when the last reference goes
 *   neap_dictionaries  trained zstd dictionaries for small values; immutable, shared by all threads
 *   neap_codec         settings, references to both, buffers and counts; one thread's own (a worker has one
 *                      per tier that encodes)
 *
 *   neap_codec_options options = neap_codec_options_default;
 *   options.compression = NEAP_COMPRESSION_ZSTD;
 *   neap_codec_create(&options, &codec, &err);
 *   neap_codec_seal(codec, &record, &bytes);       -> bytes, borrowed until the next call with this codec
 *   if (neap_codec_open(codec, ns, key, bytes, &record) == NEAP_OPENED) ... record.body, borrowed as well
 *
 * Rotation of keys and change of dictionaries: make a new keyring or set, hand it to each codec on its own
 * thread by neap_codec_set_keyring or _set_dictionaries.
 */
#ifndef NEAP_STORE_CODEC_H
#define NEAP_STORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "neap/neap.h"

/* --- settings ------------------------------------------------------------------------------------------ */

/* Numbers are those of the envelope and never change their meaning. */
typedef enum neap_compression {
  NEAP_COMPRESSION_NONE = 0,
  NEAP_COMPRESSION_ZSTD = 1,
  NEAP_COMPRESSION_LZ4 = 2
} neap_compression;

typedef enum neap_cipher {
  NEAP_CIPHER_NONE = 0,
  NEAP_CIPHER_XCHACHA20_POLY1305 = 1, /* libsodium; fast everywhere */
  NEAP_CIPHER_XAES_256_GCM = 2        /* AES-256-GCM with a key derived per record; for CPUs with AES */
} neap_cipher;

typedef struct neap_keyring neap_keyring;
typedef struct neap_dictionaries neap_dictionaries;

enum {
  NEAP_CODEC_OBJECT_MAX = 1 << 30,           /* largest max_object */
  NEAP_CODEC_KEY_MAX = 65535,                /* bytes of a key, and of a namespace */
  NEAP_CODEC_DICTIONARIES_MAX = 8,           /* kept at once */
  NEAP_CODEC_DICTIONARY_BYTES_MAX = 1 << 20, /* of one */
  NEAP_CODEC_SAMPLES_MAX = 16 << 20,         /* bytes that one training looks at */
  NEAP_KEYRING_MAX = 64,                     /* keys */
  NEAP_RECORD_TAGS_MAX = 64
};

/* Per cache and tier. The guide's `enable_compression = true` is NEAP_COMPRESSION_ZSTD with these defaults,
 * its `enable_encryption = true` NEAP_CIPHER_XCHACHA20_POLY1305 with a keyring. */
typedef struct neap_codec_options {
  neap_compression compression; /* how new records are written; any of them is read */
  int level;                    /* of zstd: 1..19; of lz4: 1 (others are taken as 1) */
  uint32_t compress_min;        /* bytes; what is smaller stays raw unless there is a dictionary */
  uint32_t dictionary_min;      /* with a dictionary: what is smaller stays raw */
  uint32_t dictionary_max;      /* what is larger is compressed without the dictionary */
  uint32_t min_saving_percent;  /* what saves less stays raw; 0..99 */
  uint32_t max_object;          /* bytes of head and body, before and after: more is refused either way */
  neap_cipher cipher;           /* of new records */
  bool accept_plain;            /* with a cipher: also read records that are not encrypted (to migrate) */
} neap_codec_options;

extern const neap_codec_options neap_codec_options_default; /* no compression, no cipher, 64 MiB */

/* --- records ------------------------------------------------------------------------------------------- */

/* Numbers are those of the envelope. Others are reserved: a record that has them is of a newer Neap. */
enum neap_record_flags {
  NEAP_RECORD_NEGATIVE = 1, /* the answer is that there is nothing */
  NEAP_RECORD_HTTP = 2      /* `meta` is the stored head of an HTTP answer (http/stored.h) */
};

/* A tag, and how often it had been purged when the record was made: a record is void once one of its tags
 * has a higher epoch. */
typedef struct neap_record_tag {
  uint64_t hash;  /* of the tag's name; the caller's choice of function */
  uint64_t epoch; /* at the time of writing */
} neap_record_tag;

/* One version of one object. Times are wall clock, milliseconds since 1970: the codec compares none of them
 * with a clock, its caller does. */
typedef struct neap_record {
  neap_view ns, key;           /* not stored: whoever opens has to name the same; 0..65535 bytes each */
  uint64_t version;            /* of the object */
  uint64_t created_ms;         /* when it was made */
  uint64_t expires_ms;         /* fresh until then; 0: for ever */
  uint64_t stale_until_ms;     /* may be served stale until then; 0: as long as it is fresh */
  uint64_t epoch;              /* of the namespace: one that was cleared since is of a higher one */
  uint32_t cost_us;            /* what it took to make, for early refreshing; 0: unknown */
  uint8_t flags;               /* enum neap_record_flags */
  bool incompressible;         /* seal only: do not try to compress */
  const neap_record_tag *tags; /* at most NEAP_RECORD_TAGS_MAX, ascending by hash, none twice */
  uint32_t tag_count;
  neap_view meta, body; /* compressed and encrypted as one */
} neap_record;

/* Why bytes are not believed. NAME, name in metrics, sentence. */
#define NEAP_OPEN_MISSES(X)                                                                                  \
  X(MALFORMED, malformed, "no envelope, or a truncated or damaged one")                                      \
  X(NEWER, newer, "written by a newer version")                                                              \
  X(CHECKSUM, checksum, "not encrypted: damaged, or of another key")                                         \
  X(FORGED, forged, "encrypted: forged, damaged, of another key, or by another key of the same id")          \
  X(NO_KEY, no_key, "encrypted by a key that is not on the keyring")                                         \
  X(PLAIN, plain, "not encrypted, where it has to be")                                                       \
  X(NO_DICTIONARY, no_dictionary, "compressed with a dictionary that is not there")                          \
  X(TOO_LARGE, too_large, "larger than max_object")                                                          \
  X(INFLATE, inflate, "does not decompress to what it says")                                                 \
  X(NO_MEMORY, no_memory, "out of memory")

#define NEAP_OPEN_ENUM(name, metric, text) NEAP_OPEN_##name,
typedef enum neap_opened { NEAP_OPENED = 0, NEAP_OPEN_MISSES(NEAP_OPEN_ENUM) NEAP_OPEN_REASONS } neap_opened;
#undef NEAP_OPEN_ENUM

/* The name, such as "forged" ("ok" for NEAP_OPENED), and the sentence. Static memory, any thread. */
const char *neap_opened_name(neap_opened reason);
const char *neap_opened_text(neap_opened reason);

/* --- keyring ------------------------------------------------------------------------------------------- */

/* Reads keys from text: one per line or parted by ',' or ';', each "ID KEY" or "ID:KEY". ID is 1..2^32-1, KEY
 * 32 bytes as 64 hex digits or in base64 (also its URL alphabet, padding optional). Lines that start with '#'
 * are comments. The last key encrypts, all decrypt. `name` stands in errors, which never quote a key.
 * Errors: NEAP_ESYNTAX, NEAP_EINVAL (no key, an id twice, too many), NEAP_ENOMEM. Any thread. */
int neap_keyring_parse(neap_view text, const char *name, neap_keyring **out, neap_err *err);
/* The same from a file of at most 64 KiB, which must be a regular one, of this user or root, and neither
 * readable by others nor writable by group or others. Errors also: NEAP_EIO. Any thread. Cold. */
int neap_keyring_open(const char *path, neap_keyring **out, neap_err *err);
/* The same from an environment variable. NEAP_ENOTFOUND where it is not set. Not while another thread changes
 * the environment. */
int neap_keyring_from_env(const char *variable, neap_keyring **out, neap_err *err);
/* References; any thread. `unref` takes the caller's and clears it; the last one wipes the keys. */
neap_keyring *neap_keyring_ref(neap_keyring *keyring);
void neap_keyring_unref(neap_keyring **keyring);
/* The id of the key that encrypts. Any thread. */
uint32_t neap_keyring_current(const neap_keyring *keyring);

/* --- dictionaries -------------------------------------------------------------------------------------- */

/* Trains a dictionary of at most `capacity` bytes (16..112 KiB are sensible, 256 B the least) from samples
 * that lie one behind the other, and writes it to `out`. Needs at least 8 samples; a few thousand, a hundred
 * times the dictionary in all, are good. At most NEAP_CODEC_SAMPLES_MAX bytes are looked at, evenly spread.
 * Returns its size, NEAP_EINVAL where the samples are too few or too alike to learn from, or NEAP_ENOMEM.
 * Takes up to seconds: no thread that serves. The result is what `zstd --train` makes: either may be used. */
ptrdiff_t neap_dictionary_train(const char *samples, const size_t *sizes, size_t count, char *out,
                                size_t capacity);

/* A set of dictionaries, copied. The last one compresses, at `level`; all decompress. Errors: NEAP_EINVAL (no
 * zstd dictionary with an id, an id twice, too many, too large), NEAP_ENOMEM. Any thread. Cold. */
int neap_dictionaries_create(const neap_view *dictionaries, size_t count, int level, neap_dictionaries **out,
                             neap_err *err);
neap_dictionaries *neap_dictionaries_ref(neap_dictionaries *set);
void neap_dictionaries_unref(neap_dictionaries **set);
/* The id of the one that compresses. Any thread. */
uint32_t neap_dictionaries_current(const neap_dictionaries *set);

/* --- codec --------------------------------------------------------------------------------------------- */

typedef struct neap_codec neap_codec;

/* What a codec has done. Readable from any thread while it works; not a consistent cut. */
typedef struct neap_codec_stats {
  uint64_t sealed, compressed;        /* records; of them, those that compression made smaller */
  uint64_t probed;                    /* not tried, since the probe says that they do not compress */
  uint64_t unrewarding;               /* tried in vain */
  uint64_t bytes_in;                  /* head and body of sealed records */
  uint64_t bytes_out;                 /* envelopes */
  uint64_t opened;                    /* records */
  uint64_t misses[NEAP_OPEN_REASONS]; /* by reason; [NEAP_OPENED] is 0 */
} neap_codec_stats;

/* Makes a codec. `options` is copied; `keyring` (NULL without a cipher; with one it may also be given to read
 * what is encrypted while new records are not) and `dictionaries` (may be NULL) are referenced.
 * Errors: NEAP_EINVAL, NEAP_ENOMEM. */
int neap_codec_create(const neap_codec_options *options, neap_keyring *keyring,
                      neap_dictionaries *dictionaries, neap_codec **out, neap_err *err);
void neap_codec_destroy(neap_codec **codec);

/* From now on this keyring; NULL is allowed without a cipher only. NEAP_EINVAL, NEAP_ENOMEM. Its thread. */
int neap_codec_set_keyring(neap_codec *codec, neap_keyring *keyring);
/* From now on these dictionaries, or none. Its thread. */
void neap_codec_set_dictionaries(neap_codec *codec, neap_dictionaries *dictionaries);

/* Writes the envelope of `record`. `out` is borrowed until the next call with this codec and must not overlap
 * what the record points to. Errors: NEAP_EINVAL (tags, flags or keys out of range, body and head both
 * missing pointers), NEAP_ETOOLARGE, NEAP_ENOMEM, NEAP_EIO (the system gives no random numbers). Its thread.
 */
int neap_codec_seal(neap_codec *codec, const neap_record *record, neap_view *out);

/* Reads an envelope that was found under `key` in `ns`. NEAP_OPENED: `out` is filled; its views are borrowed
 * from `bytes`, `ns`, `key` and the codec, until any of them changes or the next call with this codec. Else
 * a miss: `out` is not touched, the reason is counted. Time and version are the caller's to check. Its
 * thread. */
neap_opened neap_codec_open(neap_codec *codec, neap_view ns, neap_view key, neap_view bytes,
                            neap_record *out);

/* The largest envelope of an object of max_object bytes: what a tier has to be ready to read. */
size_t neap_codec_envelope_max(const neap_codec *codec);

/* Any thread. */
void neap_codec_stats_get(const neap_codec *codec, neap_codec_stats *out);

#endif
