/* Records of a worker for the prefetcher: one buffer is filled while the other is gone through. */
#include "flow/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { FIRST_ROOM = 4096 };

typedef struct feed_head {
  uint32_t total; /* bytes, with the texts; a multiple of 8 */
  uint16_t kind, sizes[NEAP_FEED_TEXTS];
  uint64_t size, stream;
  struct neap_prefetch_order *order;
} feed_head;

void neap_feed_init(neap_feed *feed, void (*wake)(neap_feed *feed), void *user) {
  *feed = (neap_feed){.wake = wake, .user = user};
  pthread_mutex_init(&feed->lock, NULL);
}

void neap_feed_fini(neap_feed *feed) {
  pthread_mutex_destroy(&feed->lock);
  free(feed->bytes);
  free(feed->taken);
}

/* --- writing */

static bool has_ended(neap_feed_kind kind) {
  return kind >= NEAP_FEED_LANDED;
}

/* Under the lock. NULL: it is lost. */
static char *take_room(neap_feed *feed, size_t size, bool any) {
  size_t wanted = feed->used + size, room = feed->room ? feed->room : FIRST_ROOM;
  if (wanted > NEAP_FEED_MAX && !any) return NULL;
  if (wanted > feed->room) {
    while (room < wanted) room *= 2;
    char *grown = realloc(feed->bytes, room);
    if (grown == NULL) return NULL;
    feed->bytes = grown;
    feed->room = room;
  }
  char *at = feed->bytes + feed->used;
  feed->used = wanted;
  return at;
}

static void lose(neap_feed *feed) {
  atomic_fetch_add_explicit(&feed->lost, 1, memory_order_relaxed);
}

void neap_feed_add(neap_feed *feed, const neap_feed_record *record) {
  const neap_view texts[NEAP_FEED_TEXTS] = {record->host, record->target, record->encoding,
                                            record->key,  record->stored, record->page};
  bool ended = has_ended(record->kind);
  feed_head head = {
      .kind = (uint16_t)record->kind, .size = record->size, .stream = record->stream, .order = record->order};
  size_t total = sizeof head;
  for (int i = 0; i < NEAP_FEED_TEXTS; i++) {
    if (texts[i].size > (ended ? UINT16_MAX : NEAP_FEED_TEXT_MAX)) {
      lose(feed);
      return;
    }
    head.sizes[i] = (uint16_t)texts[i].size;
    total += texts[i].size;
  }
  head.total = (uint32_t)((total + 7) & ~(size_t)7);
  pthread_mutex_lock(&feed->lock);
  bool first = feed->used == 0;
  char *at = take_room(feed, head.total, ended);
  if (at != NULL) {
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    for (int i = 0; i < NEAP_FEED_TEXTS; i++) {
      if (texts[i].size > 0) memcpy(at, texts[i].ptr, texts[i].size);
      at += texts[i].size;
    }
  }
  pthread_mutex_unlock(&feed->lock);
  if (at == NULL)
    lose(feed);
  else if (first)
    feed->wake(feed);
}

/* --- reading */

static void read_record(const char *at, neap_feed_record *out) {
  feed_head head;
  memcpy(&head, at, sizeof head);
  at += sizeof head;
  *out = (neap_feed_record){
      .kind = (neap_feed_kind)head.kind, .size = head.size, .stream = head.stream, .order = head.order};
  neap_view *const texts[NEAP_FEED_TEXTS] = {&out->host, &out->target, &out->encoding,
                                             &out->key,  &out->stored, &out->page};
  for (int i = 0; i < NEAP_FEED_TEXTS; i++) {
    *texts[i] = (neap_view){at, head.sizes[i]};
    at += head.sizes[i];
  }
}

size_t neap_feed_take(neap_feed *feed, void (*each)(void *user, const neap_feed_record *record), void *user) {
  pthread_mutex_lock(&feed->lock);
  char *bytes = feed->bytes;
  size_t used = feed->used, room = feed->room, count = 0;
  feed->bytes = feed->taken, feed->room = feed->other;
  feed->taken = bytes, feed->other = room;
  feed->used = 0;
  pthread_mutex_unlock(&feed->lock);
  for (size_t at = 0; at < used; count++) {
    neap_feed_record record;
    uint32_t total;
    memcpy(&total, bytes + at, sizeof total);
    read_record(bytes + at, &record);
    each(user, &record);
    at += total;
  }
  return count;
}
