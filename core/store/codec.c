/* The codec: record -> compressed -> encrypted -> envelope, and back, distrusting. */
#include "store/codec_impl.h"

#include <stdlib.h>
#include <sys/random.h>

enum { BUFFER_KEPT = 1 << 20 }; /* what is larger is given back once small records come again */

typedef struct buffer {
  char *ptr;
  size_t capacity;
} buffer;

struct neap_codec {
  neap_codec_options options;
  neap_keyring *keyring;
  neap_dictionaries *dictionaries;
  neap_aead *aead;
  neap_packer *packer;
  buffer aad;    /* what is authenticated: namespace, key, head of the envelope */
  buffer plain;  /* head and body as one */
  buffer packed; /* compressed; when opening: decrypted */
  buffer out;    /* the envelope */
  neap_record_tag tags[NEAP_RECORD_TAGS_MAX];
  struct { /* written by its thread alone */
    _Atomic uint64_t sealed, compressed, probed, unrewarding, bytes_in, bytes_out, opened;
    _Atomic uint64_t misses[NEAP_OPEN_REASONS];
  } counts;
};

const neap_codec_options neap_codec_options_default = {
    .level = 1,
    .compress_min = 1024,
    .dictionary_min = 64,
    .dictionary_max = 16 << 10,
    .min_saving_percent = 12,
    .max_object = 64 << 20,
};

#define OPEN_NAME(name, metric, text)     [NEAP_OPEN_##name] = #metric,
#define OPEN_SENTENCE(name, metric, text) [NEAP_OPEN_##name] = text,
static const char *const open_names[] = {[NEAP_OPENED] = "ok", NEAP_OPEN_MISSES(OPEN_NAME)};
static const char *const open_texts[] = {[NEAP_OPENED] = "opened", NEAP_OPEN_MISSES(OPEN_SENTENCE)};

const char *neap_opened_name(neap_opened reason) {
  return (unsigned)reason < NEAP_OPEN_REASONS ? open_names[reason] : "?";
}

const char *neap_opened_text(neap_opened reason) {
  return (unsigned)reason < NEAP_OPEN_REASONS ? open_texts[reason] : "?";
}

static void count(_Atomic uint64_t *counter, uint64_t n) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                        memory_order_relaxed);
}

/* Room for `size` bytes; what was in it is lost. NULL: no memory. */
static char *room(buffer *b, size_t size) {
  if (size <= b->capacity && (b->capacity <= BUFFER_KEPT || size >= b->capacity / 4)) return b->ptr;
  free(b->ptr);
  *b = (buffer){malloc(size), size};
  if (b->ptr == NULL) b->capacity = 0;
  return b->ptr;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static int check_options(const neap_codec_options *o, const neap_keyring *keyring, neap_err *err) {
  if ((unsigned)o->compression > NEAP_COMPRESSION_LZ4 || (unsigned)o->cipher > NEAP_CIPHER_XAES_256_GCM)
    return neap_fail(err, NEAP_EINVAL, "no such compression or cipher");
  if (o->compression == NEAP_COMPRESSION_ZSTD && (o->level < 1 || o->level > 19))
    return neap_fail(err, NEAP_EINVAL, "compression level must be 1..19");
  if (o->min_saving_percent > 99) return neap_fail(err, NEAP_EINVAL, "min_saving must be below 100%%");
  if (o->max_object == 0 || o->max_object > NEAP_CODEC_OBJECT_MAX)
    return neap_fail(err, NEAP_EINVAL, "max_object must be 1 byte to 1 GiB");
  if (o->cipher != NEAP_CIPHER_NONE && keyring == NULL)
    return neap_fail(err, NEAP_EINVAL, "encryption needs a keyring");
  return 0;
}

int neap_codec_create(const neap_codec_options *options, neap_keyring *keyring,
                      neap_dictionaries *dictionaries, neap_codec **out, neap_err *err) {
  int rc = check_options(options, keyring, err);
  if (rc) return rc;
  neap_codec *codec = calloc(1, sizeof *codec);
  if (codec == NULL) return neap_fail(err, NEAP_ENOMEM, "no memory for a codec");
  codec->options = *options;
  rc = neap_packer_create(&codec->packer);
  if (rc == 0) rc = neap_codec_set_keyring(codec, keyring);
  if (rc) {
    neap_codec_destroy(&codec);
    return neap_fail(err, rc, "no memory for a codec");
  }
  neap_codec_set_dictionaries(codec, dictionaries);
  *out = codec;
  return 0;
}

void neap_codec_destroy(neap_codec **codec) {
  neap_codec *c = *codec;
  *codec = NULL;
  if (c == NULL) return;
  neap_aead_destroy(&c->aead);
  neap_packer_destroy(&c->packer);
  neap_keyring_unref(&c->keyring);
  neap_dictionaries_unref(&c->dictionaries);
  free(c->aad.ptr), free(c->plain.ptr), free(c->packed.ptr), free(c->out.ptr);
  free(c);
}

int neap_codec_set_keyring(neap_codec *codec, neap_keyring *keyring) {
  if (keyring == NULL && codec->options.cipher != NEAP_CIPHER_NONE) return NEAP_EINVAL;
  if (keyring && codec->aead == NULL) {
    int rc = neap_aead_create(&codec->aead);
    if (rc) return rc;
  }
  if (codec->aead) neap_aead_forget(codec->aead);
  neap_keyring *before = codec->keyring;
  codec->keyring = keyring ? neap_keyring_ref(keyring) : NULL;
  neap_keyring_unref(&before);
  return 0;
}

void neap_codec_set_dictionaries(neap_codec *codec, neap_dictionaries *dictionaries) {
  neap_dictionaries *before = codec->dictionaries;
  codec->dictionaries = dictionaries ? neap_dictionaries_ref(dictionaries) : NULL;
  neap_dictionaries_unref(&before);
}

size_t neap_codec_envelope_max(const neap_codec *codec) {
  /* The head of a newer version may have fields of 64 KiB; it is read far enough to be told. */
  return (size_t)NEAP_ENVELOPE_FIXED + UINT16_MAX + NEAP_ENVELOPE_KEY + codec->options.max_object +
         NEAP_ENVELOPE_TAG;
}

/* --- what both ways have in common ------------------------------------------------------------------------
 */

/* Namespace and key with their lengths before them, so that no two pairs look alike, and the head. */
static bool authenticated(neap_codec *codec, neap_view ns, neap_view key, const char *head, size_t head_size,
                          neap_view *out) {
  size_t size = 4 + ns.size + 4 + key.size + head_size;
  char *at = room(&codec->aad, size);
  if (at == NULL) return false;
  *out = (neap_view){at, size};
  neap_envelope_put(at, ns.size, 4);
  if (ns.size) memcpy(at + 4, ns.ptr, ns.size);
  at += 4 + ns.size;
  neap_envelope_put(at, key.size, 4);
  if (key.size) memcpy(at + 4, key.ptr, key.size);
  memcpy(at + 4 + key.size, head, head_size);
  return true;
}

static uint64_t checksum(neap_view aad, const char *payload, size_t size) {
  return neap_envelope_sum_end(neap_envelope_sum(neap_envelope_sum(0, aad.ptr, aad.size), payload, size));
}

static bool is_name(neap_view name) {
  return name.size <= NEAP_CODEC_KEY_MAX && (name.ptr != NULL || name.size == 0);
}

/* --- seal ----------------------------------------------------------------------------------------------- */

static bool is_record(const neap_record *r) {
  if (!is_name(r->ns) || !is_name(r->key) || r->tag_count > NEAP_RECORD_TAGS_MAX) return false;
  if (r->flags & ~(NEAP_RECORD_NEGATIVE | NEAP_RECORD_HTTP)) return false;
  for (uint32_t i = 1; i < r->tag_count; i++)
    if (r->tags[i].hash <= r->tags[i - 1].hash) return false;
  return (r->meta.ptr || r->meta.size == 0) && (r->body.ptr || r->body.size == 0) &&
         (r->tags || r->tag_count == 0);
}

/* Head and body as one piece: the only one there is, or a copy. */
static bool join(neap_codec *codec, const neap_record *record, neap_view *out) {
  if (record->meta.size == 0 || record->body.size == 0) {
    *out = record->meta.size ? record->meta : record->body;
    return true;
  }
  size_t size = record->meta.size + record->body.size;
  char *at = room(&codec->plain, size);
  if (at == NULL) return false;
  memcpy(at, record->meta.ptr, record->meta.size);
  memcpy(at + record->meta.size, record->body.ptr, record->body.size);
  *out = (neap_view){at, size};
  return true;
}

/* The dictionaries for an object of this size, or NULL. */
static const neap_dictionaries *dictionary_for(const neap_codec *codec, size_t size) {
  bool fits = codec->options.compression == NEAP_COMPRESSION_ZSTD && size >= codec->options.dictionary_min &&
              size <= codec->options.dictionary_max;
  return fits ? codec->dictionaries : NULL;
}

/* Compresses `plain` where that pays, and says so in `envelope`; else it stays as it is. */
static neap_view pack(neap_codec *codec, bool incompressible, neap_view plain, neap_envelope *envelope) {
  const neap_codec_options *o = &codec->options;
  const neap_dictionaries *with = dictionary_for(codec, plain.size);
  if (o->compression == NEAP_COMPRESSION_NONE || incompressible) return plain;
  if (plain.size == 0 || (plain.size < o->compress_min && with == NULL)) return plain;
  if (neap_packer_probe(plain)) {
    count(&codec->counts.probed, 1);
    return plain;
  }
  size_t most = (size_t)((uint64_t)plain.size * (100 - o->min_saving_percent) / 100);
  most = NEAP_MIN(most, plain.size - 1);
  char *at = most ? room(&codec->packed, most) : NULL;
  size_t size = at ? neap_packer_pack(codec->packer, o->compression, o->level, with, plain, at, most) : 0;
  if (size == 0) {
    count(&codec->counts.unrewarding, 1);
    return plain;
  }
  count(&codec->counts.compressed, 1);
  envelope->compression = o->compression;
  envelope->dictionary = with ? neap_dictionaries_current(with) : 0;
  return (neap_view){at, size};
}

static bool draw(char *nonce) {
  return getrandom(nonce, NEAP_ENVELOPE_NONCE, 0) == NEAP_ENVELOPE_NONCE;
}

/* Writes head, payload and seal behind each other. */
static int wrap(neap_codec *codec, const neap_record *record, neap_envelope *envelope, neap_view payload,
                neap_view *out) {
  const neap_key *key = NULL;
  if (envelope->cipher != NEAP_CIPHER_NONE) {
    key = &codec->keyring->keys[codec->keyring->count - 1];
    envelope->key_id = key->id;
  }
  char *at = room(&codec->out, NEAP_ENVELOPE_HEAD_MAX + payload.size + NEAP_ENVELOPE_TAG);
  if (at == NULL) return NEAP_ENOMEM;
  size_t head_size = neap_envelope_write(envelope, record, at);
  neap_view aad;
  if (!authenticated(codec, record->ns, record->key, at, head_size, &aad)) return NEAP_ENOMEM;
  char *seal = at + head_size + payload.size;
  *out = (neap_view){at, head_size + payload.size + neap_envelope_seal_size(envelope->cipher)};
  if (key)
    return neap_aead_seal(codec->aead, envelope->cipher, key, envelope->nonce, aad, payload, at + head_size,
                          seal);
  if (payload.size) memcpy(at + head_size, payload.ptr, payload.size);
  neap_envelope_put(seal, checksum(aad, at + head_size, payload.size), NEAP_ENVELOPE_CHECKSUM);
  return 0;
}

int neap_codec_seal(neap_codec *codec, const neap_record *record, neap_view *out) {
  if (!is_record(record)) return NEAP_EINVAL;
  uint32_t max = codec->options.max_object;
  if (record->meta.size > max || record->body.size > max - record->meta.size) return NEAP_ETOOLARGE;
  char nonce[NEAP_ENVELOPE_NONCE];
  neap_envelope envelope = {.cipher = codec->options.cipher,
                            .meta_size = (uint32_t)record->meta.size,
                            .body_size = (uint32_t)record->body.size,
                            .nonce = nonce};
  neap_view plain, bytes;
  if (!join(codec, record, &plain)) return NEAP_ENOMEM;
  if (envelope.cipher != NEAP_CIPHER_NONE && !draw(nonce)) return NEAP_EIO;
  neap_view payload = pack(codec, record->incompressible, plain, &envelope);
  envelope.stored_size = (uint32_t)payload.size;
  int rc = wrap(codec, record, &envelope, payload, &bytes);
  if (rc) return rc;
  count(&codec->counts.sealed, 1);
  count(&codec->counts.bytes_in, plain.size);
  count(&codec->counts.bytes_out, bytes.size);
  *out = bytes;
  return 0;
}

/* --- open ----------------------------------------------------------------------------------------------- */

/* The payload, once the seal is found to be right: where it lies, or decrypted. */
static neap_opened verify(neap_codec *codec, const neap_envelope *e, neap_view aad, neap_view *out) {
  neap_view payload = {e->payload, e->stored_size};
  if (e->cipher == NEAP_CIPHER_NONE) {
    if (codec->options.cipher != NEAP_CIPHER_NONE && !codec->options.accept_plain) return NEAP_OPEN_PLAIN;
    *out = payload;
    return checksum(aad, e->payload, e->stored_size) == neap_envelope_get(e->seal, NEAP_ENVELOPE_CHECKSUM)
               ? NEAP_OPENED
               : NEAP_OPEN_CHECKSUM;
  }
  const neap_key *key = codec->keyring ? neap_keyring_find(codec->keyring, e->key_id) : NULL;
  if (key == NULL) return NEAP_OPEN_NO_KEY;
  char *at = room(&codec->packed, NEAP_MAX(payload.size, (size_t)1));
  if (at == NULL) return NEAP_OPEN_NO_MEMORY;
  *out = (neap_view){at, payload.size};
  return neap_aead_open(codec->aead, e->cipher, key, e->nonce, aad, payload, e->seal, at) ? NEAP_OPENED
                                                                                          : NEAP_OPEN_FORGED;
}

static neap_opened unpack(neap_codec *codec, const neap_envelope *e, neap_view payload, neap_view *out) {
  *out = payload;
  if (e->compression == NEAP_COMPRESSION_NONE) return NEAP_OPENED;
  size_t size =
      (size_t)e->meta_size + e->body_size; /* at most max_object: neap_envelope_read has seen to it */
  char *at = room(&codec->plain, size);
  if (at == NULL) return NEAP_OPEN_NO_MEMORY;
  *out = (neap_view){at, size};
  return neap_packer_unpack(codec->packer, e->compression, codec->dictionaries, e->dictionary, payload, at,
                            size);
}

static neap_opened open_record(neap_codec *codec, neap_view ns, neap_view key, neap_view bytes,
                               neap_record *record) {
  neap_envelope envelope;
  neap_view aad, payload, plain;
  if (!is_name(ns) || !is_name(key)) return NEAP_OPEN_MALFORMED;
  neap_opened opened = neap_envelope_read(bytes, codec->options.max_object, &envelope, record, codec->tags);
  if (opened != NEAP_OPENED) return opened;
  if (!authenticated(codec, ns, key, bytes.ptr, envelope.head_size, &aad)) return NEAP_OPEN_NO_MEMORY;
  opened = verify(codec, &envelope, aad, &payload);
  if (opened == NEAP_OPENED) opened = unpack(codec, &envelope, payload, &plain);
  if (opened != NEAP_OPENED) return opened;
  record->ns = ns;
  record->key = key;
  record->meta = (neap_view){plain.ptr, envelope.meta_size};
  record->body = (neap_view){plain.ptr + envelope.meta_size, envelope.body_size};
  return NEAP_OPENED;
}

neap_opened neap_codec_open(neap_codec *codec, neap_view ns, neap_view key, neap_view bytes,
                            neap_record *out) {
  neap_record record;
  neap_opened opened = open_record(codec, ns, key, bytes, &record);
  if (opened == NEAP_OPENED) {
    count(&codec->counts.opened, 1);
    *out = record;
  } else {
    count(&codec->counts.misses[opened], 1);
  }
  return opened;
}

/* --- stats ---------------------------------------------------------------------------------------------- */

static uint64_t read_count(const _Atomic uint64_t *counter) {
  return atomic_load_explicit((_Atomic uint64_t *)counter, memory_order_relaxed);
}

void neap_codec_stats_get(const neap_codec *codec, neap_codec_stats *out) {
  *out = (neap_codec_stats){
      .sealed = read_count(&codec->counts.sealed),
      .compressed = read_count(&codec->counts.compressed),
      .probed = read_count(&codec->counts.probed),
      .unrewarding = read_count(&codec->counts.unrewarding),
      .bytes_in = read_count(&codec->counts.bytes_in),
      .bytes_out = read_count(&codec->counts.bytes_out),
      .opened = read_count(&codec->counts.opened),
  };
  for (int i = 0; i < NEAP_OPEN_REASONS; i++) out->misses[i] = read_count(&codec->counts.misses[i]);
}
