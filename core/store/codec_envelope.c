/* The envelope: fixed part, fields, key and nonce, payload, seal. docs/envelope.md is its specification. */
#include "base/hash.h"
#include "store/codec_impl.h"

enum { FORMAT = 1, FIELD_HEAD = 3, FIELD_OPTIONAL = 128 };

static const char magic[4] = {'N', 'e', 'a', 'p'};

/* Types of fields, in the order in which they stand. */
enum { FIELD_TAGS = 1, FIELD_STALE = 2, FIELD_EPOCH = 3, FIELD_COST = 4, FIELD_DICTIONARY = 5 };

/* Offsets in the fixed part. */
enum {
  AT_FORMAT = 4,
  AT_COMPRESSION = 5,
  AT_CIPHER = 6,
  AT_FLAGS = 7,
  AT_VERSION = 8,
  AT_CREATED = 16,
  AT_EXPIRES = 24,
  AT_META = 32,
  AT_BODY = 36,
  AT_STORED = 40,
  AT_FIELDS = 44,
  AT_RESERVED = 46
};

/* A number that is written only where it is not zero. */
static char *write_field(char *at, int type, uint64_t value, int bytes) {
  if (value == 0) return at;
  neap_envelope_put(at, (uint64_t)type, 1);
  neap_envelope_put(at + 1, (uint64_t)bytes, 2);
  neap_envelope_put(at + FIELD_HEAD, value, bytes);
  return at + FIELD_HEAD + bytes;
}

static char *write_tags(char *at, const neap_record *record) {
  if (record->tag_count == 0) return at;
  neap_envelope_put(at, FIELD_TAGS, 1);
  neap_envelope_put(at + 1, record->tag_count * 16, 2);
  at += FIELD_HEAD;
  for (uint32_t i = 0; i < record->tag_count; i++, at += 16) {
    neap_envelope_put(at, record->tags[i].hash, 8);
    neap_envelope_put(at + 8, record->tags[i].epoch, 8);
  }
  return at;
}

static char *write_fields(char *at, const neap_envelope *envelope, const neap_record *record) {
  at = write_tags(at, record);
  at = write_field(at, FIELD_STALE, record->stale_until_ms, 8);
  at = write_field(at, FIELD_EPOCH, record->epoch, 8);
  at = write_field(at, FIELD_COST, record->cost_us, 4);
  return write_field(at, FIELD_DICTIONARY, envelope->dictionary, 4);
}

size_t neap_envelope_write(const neap_envelope *envelope, const neap_record *record, char *out) {
  char *fields = out + NEAP_ENVELOPE_FIXED;
  char *at = write_fields(fields, envelope, record);
  memcpy(out, magic, sizeof magic);
  neap_envelope_put(out + AT_FORMAT, FORMAT, 1);
  neap_envelope_put(out + AT_COMPRESSION, envelope->compression, 1);
  neap_envelope_put(out + AT_CIPHER, envelope->cipher, 1);
  neap_envelope_put(out + AT_FLAGS, record->flags, 1);
  neap_envelope_put(out + AT_VERSION, record->version, 8);
  neap_envelope_put(out + AT_CREATED, record->created_ms, 8);
  neap_envelope_put(out + AT_EXPIRES, record->expires_ms, 8);
  neap_envelope_put(out + AT_META, envelope->meta_size, 4);
  neap_envelope_put(out + AT_BODY, envelope->body_size, 4);
  neap_envelope_put(out + AT_STORED, envelope->stored_size, 4);
  neap_envelope_put(out + AT_FIELDS, (uint64_t)(at - fields), 2);
  neap_envelope_put(out + AT_RESERVED, 0, 2);
  if (envelope->cipher != NEAP_CIPHER_NONE) {
    neap_envelope_put(at, envelope->key_id, 4);
    memcpy(at + 4, envelope->nonce, NEAP_ENVELOPE_NONCE);
    at += NEAP_ENVELOPE_KEY;
  }
  return (size_t)(at - out);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static neap_opened read_tags(neap_view field, neap_record *record, neap_record_tag *tags) {
  if (field.size == 0 || field.size % 16 != 0) return NEAP_OPEN_MALFORMED;
  if (field.size / 16 > NEAP_RECORD_TAGS_MAX) return NEAP_OPEN_NEWER; /* which allows more */
  record->tags = tags;
  record->tag_count = (uint32_t)(field.size / 16);
  for (uint32_t i = 0; i < record->tag_count; i++) {
    tags[i].hash = neap_envelope_get(field.ptr + i * 16, 8);
    tags[i].epoch = neap_envelope_get(field.ptr + i * 16 + 8, 8);
    if (i > 0 && tags[i].hash <= tags[i - 1].hash) return NEAP_OPEN_MALFORMED;
  }
  return NEAP_OPENED;
}

static neap_opened read_number(neap_view field, int bytes, uint64_t *out) {
  if (field.size != (size_t)bytes) return NEAP_OPEN_MALFORMED;
  *out = neap_envelope_get(field.ptr, bytes);
  return *out ? NEAP_OPENED : NEAP_OPEN_MALFORMED; /* zeros are left out */
}

static neap_opened read_number32(neap_view field, uint32_t *out) {
  uint64_t wide;
  neap_opened opened = read_number(field, 4, &wide);
  if (opened == NEAP_OPENED) *out = (uint32_t)wide;
  return opened;
}

static neap_opened read_field(int type, neap_view field, neap_envelope *envelope, neap_record *record,
                              neap_record_tag *tags) {
  switch (type) {
  case FIELD_TAGS: return read_tags(field, record, tags);
  case FIELD_STALE: return read_number(field, 8, &record->stale_until_ms);
  case FIELD_EPOCH: return read_number(field, 8, &record->epoch);
  case FIELD_COST: return read_number32(field, &record->cost_us);
  case FIELD_DICTIONARY: return read_number32(field, &envelope->dictionary);
  default: return type >= FIELD_OPTIONAL ? NEAP_OPENED : NEAP_OPEN_NEWER;
  }
}

/* Types ascend, so that none stands twice. */
static neap_opened read_fields(neap_view fields, neap_envelope *envelope, neap_record *record,
                               neap_record_tag *tags) {
  for (int last = 0; fields.size > 0;) {
    if (fields.size < FIELD_HEAD) return NEAP_OPEN_MALFORMED;
    int type = (unsigned char)fields.ptr[0];
    size_t size = neap_envelope_get(fields.ptr + 1, 2);
    if (type <= last || size > fields.size - FIELD_HEAD) return NEAP_OPEN_MALFORMED;
    neap_opened opened = read_field(type, (neap_view){fields.ptr + FIELD_HEAD, size}, envelope, record, tags);
    if (opened != NEAP_OPENED) return opened;
    fields.ptr += FIELD_HEAD + size;
    fields.size -= FIELD_HEAD + size;
    last = type;
  }
  return NEAP_OPENED;
}

/* What the first bytes say: that this is one of our envelopes, of a version that we read. */
static neap_opened read_format(neap_view bytes) {
  if (bytes.size <= AT_FORMAT || memcmp(bytes.ptr, magic, sizeof magic) != 0) return NEAP_OPEN_MALFORMED;
  int format = (unsigned char)bytes.ptr[AT_FORMAT];
  if (format > FORMAT) return NEAP_OPEN_NEWER;
  return format == FORMAT && bytes.size >= NEAP_ENVELOPE_FIXED ? NEAP_OPENED : NEAP_OPEN_MALFORMED;
}

static neap_opened read_fixed(const char *at, neap_envelope *envelope, neap_record *record) {
  unsigned compression = (unsigned char)at[AT_COMPRESSION], cipher = (unsigned char)at[AT_CIPHER];
  record->flags = (uint8_t)at[AT_FLAGS];
  if (compression > NEAP_COMPRESSION_LZ4 || cipher > NEAP_CIPHER_XAES_256_GCM ||
      (record->flags & ~(NEAP_RECORD_NEGATIVE | NEAP_RECORD_HTTP)) ||
      neap_envelope_get(at + AT_RESERVED, 2) != 0)
    return NEAP_OPEN_NEWER;
  envelope->compression = (neap_compression)compression;
  envelope->cipher = (neap_cipher)cipher;
  record->version = neap_envelope_get(at + AT_VERSION, 8);
  record->created_ms = neap_envelope_get(at + AT_CREATED, 8);
  record->expires_ms = neap_envelope_get(at + AT_EXPIRES, 8);
  envelope->meta_size = (uint32_t)neap_envelope_get(at + AT_META, 4);
  envelope->body_size = (uint32_t)neap_envelope_get(at + AT_BODY, 4);
  envelope->stored_size = (uint32_t)neap_envelope_get(at + AT_STORED, 4);
  return NEAP_OPENED;
}

/* Sizes are 64 bits wide here: sums of what a record says cannot overflow. */
static neap_opened check_sizes(const neap_envelope *envelope, uint32_t max_object) {
  uint64_t object = (uint64_t)envelope->meta_size + envelope->body_size;
  bool raw = envelope->compression == NEAP_COMPRESSION_NONE;
  if (raw ? envelope->stored_size != object : envelope->stored_size >= object || envelope->stored_size == 0)
    return NEAP_OPEN_MALFORMED; /* what does not get smaller is stored raw */
  if (envelope->dictionary && envelope->compression != NEAP_COMPRESSION_ZSTD) return NEAP_OPEN_MALFORMED;
  return object > max_object ? NEAP_OPEN_TOO_LARGE : NEAP_OPENED;
}

neap_opened neap_envelope_read(neap_view bytes, uint32_t max_object, neap_envelope *envelope,
                               neap_record *record, neap_record_tag *tags) {
  neap_opened opened = read_format(bytes);
  if (opened != NEAP_OPENED) return opened;
  *envelope = (neap_envelope){0};
  *record = (neap_record){0};
  opened = read_fixed(bytes.ptr, envelope, record);
  if (opened != NEAP_OPENED) return opened;

  size_t fields_size = neap_envelope_get(bytes.ptr + AT_FIELDS, 2);
  size_t key_size = envelope->cipher == NEAP_CIPHER_NONE ? 0 : NEAP_ENVELOPE_KEY;
  size_t seal_size = neap_envelope_seal_size(envelope->cipher);
  envelope->head_size = NEAP_ENVELOPE_FIXED + fields_size + key_size;
  if (bytes.size != envelope->head_size + envelope->stored_size + seal_size) return NEAP_OPEN_MALFORMED;
  opened = read_fields((neap_view){bytes.ptr + NEAP_ENVELOPE_FIXED, fields_size}, envelope, record, tags);
  if (opened == NEAP_OPENED) opened = check_sizes(envelope, max_object);
  if (opened != NEAP_OPENED) return opened;

  envelope->payload = bytes.ptr + envelope->head_size;
  envelope->seal = envelope->payload + envelope->stored_size;
  if (key_size == 0) return NEAP_OPENED;
  envelope->nonce = envelope->payload - NEAP_ENVELOPE_NONCE;
  envelope->key_id = (uint32_t)neap_envelope_get(envelope->nonce - 4, 4);
  return NEAP_OPENED;
}

/* --- checksum ------------------------------------------------------------------------------------------- */

static const uint64_t sum_word = UINT64_C(0xa0761d6478bd642f), sum_odd = UINT64_C(0xe7037ed1a0b428db),
                      sum_last = UINT64_C(0x8ebc6af09c88c6e3);

static inline uint64_t word(const char *at) {
  uint64_t value;
  memcpy(&value, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

uint64_t neap_envelope_sum(uint64_t sum, const char *bytes, size_t size) {
  char rest[16] = {0};
  sum ^= size;
  for (; size >= 16; bytes += 16, size -= 16)
    sum = neap_hash_mix(word(bytes) ^ sum_word, word(bytes + 8) ^ sum);
  if (size > 0) memcpy(rest, bytes, size);
  return neap_hash_mix(word(rest) ^ sum_word, word(rest + 8) ^ sum);
}

uint64_t neap_envelope_sum_end(uint64_t sum) {
  return neap_hash_mix(sum ^ sum_odd, sum_last);
}
