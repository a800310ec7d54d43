/* Entries and bodies: layout, allocation, references, what the public accessors show. */
#include "store/entry.h"

#include <math.h>

#include "store/impl.h"

static void *allocate(neap_cache *cache, size_t bytes) {
  return cache->host.alloc(cache->host.user, bytes);
}

static void release(neap_cache *cache, void *ptr, size_t bytes) {
  cache->host.free(cache->host.user, ptr, bytes);
}

/* --- layout
 * ------------------------------------------------------------------------------------------------ */

static unsigned flags_of(const neap_shape *shape) {
  bool chunked = shape->body != NULL || shape->length > NEAP_ENTRY_INLINE_MAX;
  return (chunked ? NEAP_ENTRY_CHUNKED : 0u) | (shape->meta.size > 0 ? NEAP_ENTRY_META : 0u);
}

static unsigned entry_flags(const neap_entry *entry) {
  return neap_life_flags(neap_entry_life(entry));
}

/* What stands between key and meta. */
static size_t link_bytes(unsigned flags) {
  return (flags & NEAP_ENTRY_CHUNKED ? sizeof(neap_body *) : 0) + (flags & NEAP_ENTRY_META ? 4u : 0u);
}

/* The meta size and the body pointer are not aligned for their types, hence the copies. */
static uint32_t meta_size(const neap_entry *entry, unsigned flags) {
  uint32_t size = 0;
  if (flags & NEAP_ENTRY_META)
    memcpy(&size, entry->bytes + entry->key_size + link_bytes(flags) - sizeof size, sizeof size);
  return size;
}

neap_body *neap_entry_body(const neap_entry *entry) {
  neap_body *body = NULL;
  if (entry_flags(entry) & NEAP_ENTRY_CHUNKED) memcpy(&body, entry->bytes + entry->key_size, sizeof body);
  return body;
}

size_t neap_entry_bytes(const neap_shape *shape) {
  unsigned flags = flags_of(shape);
  size_t value = flags & NEAP_ENTRY_CHUNKED ? 0 : (size_t)shape->length; /* chunked where it is unknown */
  return sizeof(neap_entry) + shape->key.size + link_bytes(flags) + shape->meta.size + value;
}

size_t neap_entry_allocated(const neap_entry *entry) {
  unsigned flags = entry_flags(entry);
  return sizeof *entry + entry->key_size + link_bytes(flags) + meta_size(entry, flags) + entry->value_size;
}

uint64_t neap_entry_charged(neap_cache *cache, const neap_entry *entry) {
  if (cache->mode == NEAP_STORE_KEYS) return entry->version;
  const neap_body *body = neap_entry_body(entry);
  return neap_cache_good_size(cache, neap_entry_allocated(entry)) + (body != NULL ? body->charged : 0);
}

char *neap_entry_value(neap_entry *entry) {
  unsigned flags = entry_flags(entry);
  return entry->bytes + entry->key_size + link_bytes(flags) + meta_size(entry, flags);
}

/* --- life
 * -------------------------------------------------------------------------------------------------- */

neap_entry *neap_entry_create(neap_cache *cache, const neap_shape *shape) {
  unsigned flags = flags_of(shape);
  neap_entry *entry = allocate(cache, neap_entry_bytes(shape));
  if (entry == NULL) return NULL;
  entry->version = 0;
  atomic_init(&entry->life, neap_life_pack(NEAP_NEVER, flags, 0));
  atomic_init(&entry->refs, 1);
  entry->slot = 0;
  entry->created = 0;
  entry->key_size = (uint16_t)shape->key.size;
  entry->value_size = flags & NEAP_ENTRY_CHUNKED ? 0 : (uint16_t)shape->length;
  char *at = entry->bytes;
  memcpy(at, shape->key.ptr, shape->key.size), at += shape->key.size;
  if (flags & NEAP_ENTRY_CHUNKED) memcpy(at, &shape->body, sizeof shape->body), at += sizeof shape->body;
  uint32_t meta = (uint32_t)shape->meta.size;
  if (flags & NEAP_ENTRY_META) memcpy(at, &meta, sizeof meta), at += sizeof meta;
  if (meta > 0) memcpy(at, shape->meta.ptr, meta);
  return entry;
}

void neap_entry_free(neap_cache *cache, neap_entry *entry) {
  neap_body *body = neap_entry_body(entry);
  if (body != NULL) neap_body_unref(cache, body);
  release(cache, entry, neap_entry_allocated(entry));
}

void neap_entry_drop(neap_cache *cache, neap_entry *entry) {
  if (atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) > 1) return;
  uint64_t charged = cache->mode == NEAP_STORE_KEYS ? 0 : neap_entry_charged(cache, entry);
  neap_entry_free(cache, entry);
  neap_room_release(cache, charged, 0);
}

/* --- bodies
 * ------------------------------------------------------------------------------------------------ */

static size_t body_bytes(uint32_t capacity) {
  return sizeof(neap_body) + capacity * sizeof(neap_piece);
}

neap_body *neap_body_create(neap_cache *cache, uint32_t capacity) {
  neap_body *body = allocate(cache, body_bytes(capacity));
  if (body == NULL) return NULL;
  *body = (neap_body){.capacity = capacity, .charged = neap_cache_good_size(cache, body_bytes(capacity))};
  atomic_init(&body->refs, 1);
  return body;
}

size_t neap_body_append(neap_body *body, neap_view bytes) {
  if (body->count == 0) return 0;
  neap_piece *piece = &body->pieces[body->count - 1];
  size_t fits = NEAP_MIN(bytes.size, (size_t)(piece->room - piece->size));
  if (fits > 0) memcpy(piece->ptr + piece->size, bytes.ptr, fits);
  piece->size += (uint32_t)fits;
  body->size += fits;
  return fits;
}

/* Twice the capacity. */
static int body_widen(neap_cache *cache, neap_body **body) {
  neap_body *old = *body, *wide = neap_body_create(cache, old->capacity * 2);
  if (wide == NULL) return NEAP_ENOMEM;
  uint64_t own = wide->charged, old_own = neap_cache_good_size(cache, body_bytes(old->capacity));
  wide->count = old->count;
  wide->size = old->size;
  wide->charged = old->charged - old_own + own;
  memcpy(wide->pieces, old->pieces, old->count * sizeof(neap_piece));
  release(cache, old, body_bytes(old->capacity));
  *body = wide;
  return 0;
}

int neap_body_grow(neap_cache *cache, neap_body **body, uint32_t room) {
  if ((*body)->count == (*body)->capacity && body_widen(cache, body)) return NEAP_ENOMEM;
  char *ptr = allocate(cache, room);
  if (ptr == NULL) return NEAP_ENOMEM;
  (*body)->pieces[(*body)->count++] = (neap_piece){ptr, 0, room};
  (*body)->charged += neap_cache_good_size(cache, room);
  return 0;
}

void neap_body_unref(neap_cache *cache, neap_body *body) {
  if (atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) > 1) return;
  for (uint32_t i = 0; i < body->count; i++) release(cache, body->pieces[i].ptr, body->pieces[i].room);
  release(cache, body, body_bytes(body->capacity));
}

/* --- cost
 * -------------------------------------------------------------------------------------------------- */

uint16_t neap_cost_pack(double cost) {
  if (cost == 0) return 0;
  int exponent;
  double fraction = frexp(cost, &exponent); /* [0.5, 1) */
  int mantissa = (int)lround((fraction * 2 - 1) * 1024);
  if (mantissa == 1024) mantissa = 0, exponent++;
  int biased = exponent + 31;
  if (biased < 0) return 1; /* as small as there is: 0 means the default */
  if (biased > 63) return UINT16_MAX;
  return (uint16_t)NEAP_MAX(biased << 10 | mantissa, 1);
}

double neap_cost_unpack(uint16_t cost) {
  if (cost == 0) return 1;
  return ldexp(1 + (cost & 1023) / 1024.0, (cost >> 10) - 32);
}

/* --- what the public sees
 * ---------------------------------------------------------------------------------- */

neap_view neap_entry_key(const neap_entry *entry) {
  return (neap_view){entry->bytes, entry->key_size};
}

neap_view neap_entry_meta(const neap_entry *entry) {
  unsigned flags = entry_flags(entry);
  return (neap_view){entry->bytes + entry->key_size + link_bytes(flags), meta_size(entry, flags)};
}

uint64_t neap_entry_size(const neap_entry *entry) {
  const neap_body *body = neap_entry_body(entry);
  return body != NULL ? body->size : entry->value_size;
}

static neap_view body_piece(const neap_body *body, size_t index) {
  if (index >= body->count) return (neap_view){"", 0};
  return (neap_view){body->pieces[index].ptr, body->pieces[index].size};
}

neap_view neap_entry_piece(const neap_entry *entry, size_t index) {
  unsigned flags = entry_flags(entry);
  if (NEAP_LIKELY(flags == 0 && index == 0)) /* hot: most small objects */
    return (neap_view){entry->bytes + entry->key_size, entry->value_size};
  if (flags & NEAP_ENTRY_CHUNKED) return body_piece(neap_entry_body(entry), index);
  return index == 0 ? (neap_view){neap_entry_value((neap_entry *)entry), entry->value_size}
                    : (neap_view){"", 0};
}

neap_entry *neap_entry_ref(neap_cache *cache, const neap_entry *entry) {
  (void)cache;
  neap_entry *mine = (neap_entry *)entry;
  atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
  return mine;
}

void neap_entry_unref(neap_cache *cache, neap_entry *entry) {
  neap_entry_drop(cache, entry);
}

void neap_entry_info_get(neap_cache *cache, const neap_entry *entry, neap_entry_info *out) {
  uint64_t life = neap_entry_life(entry), expires = neap_life_expires(life);
  neap_slot *slot = &cache->slots[entry->slot & NEAP_SLOT_MASK];
  bool live = neap_slot_live(slot) == entry;
  uint32_t tally = live ? atomic_load_explicit(&slot->tally, memory_order_relaxed) : 0;
  uint32_t seen = live ? atomic_load_explicit(&slot->seen, memory_order_relaxed) : 0;
  *out = (neap_entry_info){
      .version = entry->version,
      .created_ms = cache->start_ms + (uint64_t)entry->created * NEAP_TICK_MS,
      .expires_ms = expires == NEAP_NEVER ? NEAP_TTL_NEVER : cache->start_ms + expires,
      .last_access_ms = cache->start_ms + (uint64_t)NEAP_MAX(seen, entry->created) * NEAP_TICK_MS,
      .access_count = tally & NEAP_TALLY_COUNT,
      .size = entry->key_size + neap_entry_meta(entry).size + neap_entry_size(entry),
      .charged = neap_entry_charged(cache, entry),
      .cost = neap_cost_unpack((uint16_t)life),
  };
}
