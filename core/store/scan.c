/* A walk over the index in steps, such as clients make: between two of them nothing is held, and keys come
 * and go.
 *
 * The cursor is a bucket of a shard; the walk goes through all buckets of one shard, then of the next. A key
 * stays in its bucket as long as it is there, also when its value is replaced, until the bucket is split;
 * then it is where it was or in a new bucket at the end of its shard, where the walk has not been, unless it
 * has left the shard and seen the key. So none is missed that is there all the time; one may be seen twice.
 */
#include "store/impl.h"
#include "store/lookup.h"

/* Under the shard's lock, so that no chain changes. */
static void visit_chain(neap_cache *cache, neap_shard *shard, uint32_t number,
                        void (*visit)(void *user, const neap_entry *entry), void *user) {
  for (neap_bucket *bucket = &shard->buckets[number]; bucket != NULL;
       bucket = neap_index_linked(shard, bucket))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      const neap_entry *entry = neap_word_entry(neap_index_load(&bucket->slots[i]));
      if (entry != NULL && !neap_entry_expired(cache, entry)) visit(user, entry);
    }
}

uint64_t neap_store_scan(neap_cache *cache, uint64_t cursor,
                         void (*visit)(void *user, const neap_entry *entry), void *user) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  uint64_t number = cursor / cache->shard_count, place = cursor % cache->shard_count;
  neap_shard *shard = &cache->shards[place];
  neap_seat *seat = neap_seat_get(cache);
  neap_seat_enter(cache, seat);
  pthread_mutex_lock(&shard->lock);
  uint32_t count = neap_index_count(shard);
  if (number < count) visit_chain(cache, shard, (uint32_t)number, visit, user);
  pthread_mutex_unlock(&shard->lock);
  neap_seat_leave(seat);
  if (number + 1 < count) return (number + 1) * cache->shard_count + place;
  return place + 1 < cache->shard_count ? place + 1 : 0;
}
