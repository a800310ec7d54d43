/* Values: bytes outside memory, and what a caller gets to see of them or of an entry. */
#include "tier/impl.h"

/* --- blobs */

static size_t blob_bytes(uint64_t meta, uint64_t body) {
  return sizeof(neap_tier_blob) + meta + body;
}

neap_tier_blob *neap_tier_blob_create(const neap_host *host, neap_view meta, neap_view body) {
  neap_tier_blob *blob = host->alloc(host->user, blob_bytes(meta.size, body.size));
  if (blob == NULL) return NULL;
  blob->meta_size = (uint32_t)meta.size;
  blob->size = body.size;
  blob->host_user = host->user;
  blob->free = host->free;
  atomic_init(&blob->refs, 1);
  if (meta.size > 0) memcpy(blob->bytes, meta.ptr, meta.size);
  if (body.size > 0) memcpy(blob->bytes + meta.size, body.ptr, body.size);
  return blob;
}

neap_tier_blob *neap_tier_blob_ref(neap_tier_blob *blob) {
  if (blob) atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
  return blob;
}

void neap_tier_blob_unref(neap_tier_blob *blob) {
  if (blob == NULL || atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) != 1) return;
  blob->free(blob->host_user, blob, blob_bytes(blob->meta_size, blob->size));
}

neap_view neap_tier_blob_meta(const neap_tier_blob *blob) {
  return (neap_view){blob->bytes, blob->meta_size};
}

neap_view neap_tier_blob_body(const neap_tier_blob *blob) {
  return (neap_view){blob->bytes + blob->meta_size, blob->size};
}

/* --- values: of an entry, `home` is its cache; of a blob, itself */

neap_tier_value neap_tier_value_of_blob(neap_tier_blob *blob) {
  return (neap_tier_value){.home = neap_tier_blob_ref(blob)};
}

neap_tier_value neap_tier_value_of_entry(neap_cache *cache, const neap_entry *entry) {
  return (neap_tier_value){.home = cache, .bytes = neap_entry_ref(cache, entry)};
}

neap_tier_value neap_tier_value_ref(const neap_tier_value *value) {
  if (value->bytes) neap_entry_ref((neap_cache *)value->home, value->bytes);
  if (value->bytes == NULL) neap_tier_blob_ref((neap_tier_blob *)value->home);
  return *value;
}

void neap_tier_value_drop(neap_tier_value *value) {
  if (value->home == NULL) return; /* nothing, or taken */
  if (value->bytes)
    neap_entry_unref((neap_cache *)value->home, (neap_entry *)value->bytes);
  else
    neap_tier_blob_unref((neap_tier_blob *)value->home);
  *value = (neap_tier_value){0};
}

const neap_entry *neap_tier_value_entry(const neap_tier_value *value) {
  return value->home ? value->bytes : NULL;
}

void neap_tier_reply_release(neap_tier_reply *reply) {
  neap_tier_value_drop(&reply->value);
}

neap_view neap_tier_value_meta(const neap_tier_value *value) {
  if (value->home == NULL) return (neap_view){"", 0};
  if (value->bytes == NULL) return neap_tier_blob_meta(value->home);
  neap_view meta = neap_entry_meta(value->bytes);
  return (neap_view){meta.ptr + sizeof(neap_tier_head), meta.size - sizeof(neap_tier_head)};
}

uint64_t neap_tier_value_size(const neap_tier_value *value) {
  if (value->home == NULL) return 0;
  return value->bytes ? neap_entry_size(value->bytes) : ((const neap_tier_blob *)value->home)->size;
}

neap_view neap_tier_value_piece(const neap_tier_value *value, size_t index) {
  if (value->home == NULL) return (neap_view){"", 0};
  if (value->bytes) return neap_entry_piece(value->bytes, index);
  return index == 0 ? neap_tier_blob_body(value->home) : (neap_view){"", 0};
}
