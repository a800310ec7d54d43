/* The eviction policy of a cache: opened, shown the entries, replaced while the cache runs. */
#include <stdlib.h>

#include "store/impl.h"

/* --- what a policy may ask of an entry (neap_entry_facts; the holder of maintenance is inside)
 * ----------------- */

/* A slot that the policy has been told of and has not given up. */
static neap_slot *known_at(neap_cache *cache, int32_t number) {
  if (number < NEAP_SLOT_FIRST || (uint32_t)number >= atomic_load(&cache->slots_high)) return NULL;
  neap_slot *slot = &cache->slots[number];
  return atomic_load_explicit(&slot->tally, memory_order_relaxed) & NEAP_TALLY_KNOWN ? slot : NULL;
}

static neap_entry *entry_at(void *user, int32_t number) {
  neap_slot *slot = known_at(user, number);
  return slot != NULL ? neap_slot_live(slot) : NULL;
}

static bool unpinned(const neap_entry *entry) {
  return atomic_load_explicit(&entry->refs, memory_order_relaxed) == 1;
}

/* An entry that another thread has just unlinked is still live for the policy, whose REMOVE is under way:
 * naming it is no fault, and room.c finds out. */
static bool fact_evictable(void *user, int32_t number) {
  neap_slot *slot = known_at(user, number);
  neap_entry *entry = slot != NULL ? neap_slot_live(slot) : NULL;
  return slot != NULL && (entry == NULL || unpinned(entry));
}

/* The least recently used of a few. Few slots may be evictable at all: then the rest is searched in order. */
static int32_t fact_sample(void *user) {
  enum { SAMPLE = 16 };
  neap_cache *cache = user;
  uint32_t high = atomic_load(&cache->slots_high), span = high - NEAP_SLOT_FIRST, least = UINT32_MAX;
  int32_t found = 0;
  if (span == 0) return 0;
  uint32_t start = (uint32_t)neap_random_below(&cache->random, span);
  for (uint32_t i = 0; i < span && (i < SAMPLE || found == 0); i++) {
    uint32_t at = i < SAMPLE ? (uint32_t)neap_random_below(&cache->random, span) : (start + i) % span;
    int32_t slot = (int32_t)(NEAP_SLOT_FIRST + at);
    uint32_t seen = atomic_load_explicit(&cache->slots[slot].seen, memory_order_relaxed);
    if (found != 0 && seen >= least) continue;
    neap_entry *entry = entry_at(user, slot);
    if (entry != NULL && unpinned(entry)) found = slot, least = seen;
  }
  return found;
}

static double fact_size(void *user, int32_t slot) {
  neap_entry *entry = entry_at(user, slot);
  return entry != NULL ? (double)neap_entry_charged(user, entry) : 0;
}

static double fact_cost(void *user, int32_t slot) {
  neap_entry *entry = entry_at(user, slot);
  return entry != NULL ? neap_cost_unpack((uint16_t)neap_entry_life(entry)) : 0;
}

static double fact_created(void *user, int32_t slot) {
  neap_cache *cache = user;
  neap_entry *entry = entry_at(user, slot);
  return entry != NULL ? (double)(cache->start_ms + (uint64_t)entry->created * NEAP_TICK_MS) : 0;
}

static double fact_expires(void *user, int32_t slot) {
  neap_cache *cache = user;
  neap_entry *entry = entry_at(user, slot);
  if (entry == NULL) return 0;
  uint64_t expires = neap_life_expires(neap_entry_life(entry));
  return expires == NEAP_NEVER ? 0x1p53 : (double)(cache->start_ms + expires);
}

static double fact_last_access(void *user, int32_t slot) {
  neap_cache *cache = user;
  if (entry_at(user, slot) == NULL) return 0;
  return (double)(cache->start_ms + (uint64_t)atomic_load(&cache->slots[slot].seen) * NEAP_TICK_MS);
}

static double fact_access_count(void *user, int32_t slot) {
  neap_cache *cache = user;
  return entry_at(user, slot) != NULL ? (double)(atomic_load(&cache->slots[slot].tally) & NEAP_TALLY_COUNT)
                                      : 0;
}

static double fact_version(void *user, int32_t slot) {
  neap_entry *entry = entry_at(user, slot);
  return entry != NULL ? (double)entry->version : 0;
}

static double fact_hash(void *user, int32_t slot) {
  neap_entry *entry = entry_at(user, slot);
  return entry != NULL ? neap_hash_double(neap_cache_hash(user, neap_entry_key(entry))) : 0;
}

static int32_t fact_key(void *user, int32_t slot, char *out, int32_t capacity) {
  neap_entry *entry = entry_at(user, slot);
  if (entry == NULL || capacity <= 0) return 0;
  neap_view key = neap_entry_key(entry);
  int32_t size = (int32_t)NEAP_MIN(key.size, (size_t)capacity);
  memcpy(out, key.ptr, (size_t)size);
  return size;
}

/* --- replaying live entries
 * -------------------------------------------------------------------------------- */

static int by_age(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Last access and number of every slot that the policy is to know, sorted. Returns how many. */
static uint32_t collect(neap_cache *cache, uint64_t *ages, uint32_t high) {
  uint32_t count = 0;
  for (uint32_t slot = NEAP_SLOT_FIRST; slot < high; slot++)
    if (entry_at(cache, (int32_t)slot) != NULL)
      ages[count++] =
          (uint64_t)atomic_load_explicit(&cache->slots[slot].seen, memory_order_relaxed) << 32 | slot;
  qsort(ages, count, sizeof *ages, by_age);
  return count;
}

typedef struct teller {
  void (*tell)(void *user, const neap_event *events, int n);
  void *user;
  neap_event events[NEAP_EVENTS_MAX];
  int count;
} teller;

static void tell_insert(neap_cache *cache, teller *to, uint32_t slot) {
  neap_entry *entry = entry_at(cache, (int32_t)slot);
  if (entry != NULL)
    to->events[to->count++] = (neap_event){
        .what = (int32_t)((uint32_t)NEAP_EVENT_INSERT << NEAP_EVENT_SHIFT | slot),
        .size = (int32_t)NEAP_MIN(neap_entry_charged(cache, entry), (uint64_t)INT32_MAX),
        .hash = neap_hash_double(neap_cache_hash(cache, neap_entry_key(entry))),
    };
  if (to->count == NEAP_EVENTS_MAX) to->tell(to->user, to->events, to->count), to->count = 0;
}

static void fact_replay(void *user, void (*tell)(void *user, const neap_event *events, int n),
                        void *tell_user) {
  neap_cache *cache = user;
  uint32_t high = atomic_load(&cache->slots_high);
  uint64_t *ages = malloc((size_t)high * sizeof *ages);
  teller to = {.tell = tell, .user = tell_user};
  if (ages != NULL) {
    uint32_t count = collect(cache, ages, high);
    for (uint32_t i = 0; i < count; i++) tell_insert(cache, &to, (uint32_t)ages[i]);
    free(ages);
  } else { /* no memory to sort in: any order is better than none */
    for (uint32_t slot = NEAP_SLOT_FIRST; slot < high; slot++) tell_insert(cache, &to, slot);
  }
  if (to.count > 0) tell(tell_user, to.events, to.count);
}

static const neap_entry_facts facts_of_cache = {
    .evictable = fact_evictable,
    .sample = fact_sample,
    .size = fact_size,
    .cost = fact_cost,
    .created_ms = fact_created,
    .expires_ms = fact_expires,
    .last_access_ms = fact_last_access,
    .access_count = fact_access_count,
    .version = fact_version,
    .hash = fact_hash,
    .key = fact_key,
    .replay = fact_replay,
};

/* --- life
 * -------------------------------------------------------------------------------------------------- */

static char *copy_text(const char *text) {
  return text != NULL ? strdup(text) : NULL;
}

/* One allocation for the array, one for each name and text. */
static int copy_params(neap_evictor *evictor, const neap_param *params, size_t count) {
  if (count == 0) return 0;
  evictor->params = calloc(count, sizeof *params);
  if (evictor->params == NULL) return NEAP_ENOMEM;
  for (size_t i = 0; i < count; i++) {
    evictor->params[i] = (neap_param){copy_text(params[i].name), params[i].number, copy_text(params[i].text)};
    evictor->param_count = i + 1;
    if (evictor->params[i].name == NULL || (params[i].text != NULL && evictor->params[i].text == NULL))
      return NEAP_ENOMEM;
  }
  return 0;
}

static int open_policy(neap_cache *cache, neap_registry *registry, neap_evictor *evictor, const char *source,
                       neap_err *err) {
  uint64_t tables = atomic_load(&cache->table_bytes), memory = atomic_load(&cache->limits.memory);
  evictor->facts = facts_of_cache;
  evictor->facts.cache = cache;
  evictor->board->slot_end = cache->slot_end;
  evictor->board->limit = (double)(memory > tables ? memory - tables : 0);
  neap_policy_env env = {.host = &cache->host,
                         .seed = cache->seed + evictor->generation,
                         .generation = evictor->generation,
                         .evict = evictor->board,
                         .facts = &evictor->facts};
  return neap_policy_open(registry, NEAP_EVICT, evictor->spec, source, &env, evictor->params,
                          evictor->param_count, &evictor->policy, err);
}

int neap_evictor_create(neap_cache *cache, neap_registry *registry, const char *spec, const char *source,
                        const neap_param *params, size_t param_count, uint64_t generation, neap_evictor **out,
                        neap_err *err) {
  neap_evictor *evictor = calloc(1, sizeof *evictor);
  if (evictor == NULL) return neap_fail(err, NEAP_ENOMEM, "no memory for policy %s", spec);
  evictor->generation = generation;
  evictor->spec = strdup(spec);
  evictor->board = calloc(1, sizeof *evictor->board);
  int rc = evictor->spec == NULL || evictor->board == NULL ? NEAP_ENOMEM
                                                           : copy_params(evictor, params, param_count);
  if (rc)
    neap_fail(err, rc, "no memory for policy %s", spec);
  else
    rc = open_policy(cache, registry, evictor, source, err);
  if (rc) {
    neap_evictor_destroy(cache, &evictor);
    return rc;
  }
  evictor->base = neap_evictor_memory(evictor);
  *out = evictor;
  return 0;
}

uint64_t neap_evictor_memory(const neap_evictor *evictor) {
  neap_policy_counters counters;
  neap_policy_counters_get(evictor->policy, &counters);
  return counters.memory;
}

void neap_evictor_destroy(neap_cache *cache, neap_evictor **pointer) {
  (void)cache;
  neap_evictor *evictor = *pointer;
  if (evictor == NULL) return;
  *pointer = NULL;
  if (evictor->policy != NULL) neap_policy_close(&evictor->policy);
  for (size_t i = 0; i < evictor->param_count; i++) {
    free((char *)evictor->params[i].name);
    free((char *)evictor->params[i].text);
  }
  free(evictor->params);
  free(evictor->spec);
  free(evictor->source);
  free(evictor->board);
  free(evictor);
}

/* --- replacing
 * ---------------------------------------------------------------------------------------------- */

/* Switches to `next`: everything told so far goes to the old policy, what it learned (or every live entry) to
 * the new one, and readers notice nothing. Returns the old one. */
static neap_evictor *switch_to(neap_cache *cache, neap_evictor *next) {
  neap_seat *seat = neap_seat_get(cache);
  pthread_mutex_lock(&cache->maintenance);
  neap_events_drain(cache, seat);
  neap_seat_enter(cache, seat);
  neap_evictor *old = cache->evictor;
  neap_policy_adopt(next->policy, old->policy);
  cache->evictor = next;
  atomic_store_explicit(&cache->admit_max, next->board->admit_max, memory_order_relaxed);
  neap_seat_leave(seat);
  pthread_mutex_unlock(&cache->maintenance);
  return old;
}

/* Keeps of a generation that is over what rollback needs, and its faults. */
static void keep(neap_cache *cache, neap_evictor *old) {
  neap_policy_counters counters;
  neap_policy_counters_get(old->policy, &counters);
  cache->faults_before +=
      counters.faults_error + counters.faults_fuel + counters.faults_memory + counters.faults_answer;
  cache->trips_before += counters.trips;
  old->source = copy_text(neap_policy_source(old->policy));
  neap_policy_close(&old->policy);
}

/* Opens and switches. One change at a time: `evict_change` is held. */
static int change(neap_cache *cache, neap_registry *registry, const char *spec, const char *source,
                  const neap_param *params, size_t count, neap_evictor **old, neap_err *err) {
  neap_evictor *next;
  int rc = neap_evictor_create(cache, registry, spec, source, params, count, cache->evictor->generation + 1,
                               &next, err);
  if (rc) return rc;
  *old = switch_to(cache, next);
  keep(cache, *old);
  return 0;
}

int neap_cache_set_evict(neap_cache *cache, const char *evict, const neap_param *params, size_t param_count,
                         neap_err *err) {
  return neap_store_set_evict(cache, cache->registry, evict, params, param_count, err);
}

int neap_store_set_evict(neap_cache *cache, neap_registry *registry, const char *evict,
                         const neap_param *params, size_t param_count, neap_err *err) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  if (evict == NULL || *evict == '\0') return neap_fail(err, NEAP_EINVAL, "evict is empty: name a policy");
  neap_evictor *old;
  pthread_mutex_lock(&cache->evict_change);
  int rc = change(cache, registry, evict, NULL, params, param_count, &old, err);
  if (rc == 0) {
    neap_evictor_destroy(cache, &cache->previous);
    cache->previous = old;
  }
  pthread_mutex_unlock(&cache->evict_change);
  return rc;
}

int neap_cache_rollback_evict(neap_cache *cache, neap_err *err) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  pthread_mutex_lock(&cache->evict_change);
  neap_evictor *to = cache->previous, *old;
  int rc = to == NULL
               ? neap_fail(err, NEAP_ENOTFOUND, "there is no earlier policy to go back to")
               : change(cache, cache->registry, to->spec, to->source, to->params, to->param_count, &old, err);
  if (rc == 0) {
    neap_evictor_destroy(cache, &old);
    neap_evictor_destroy(cache, &cache->previous);
  }
  pthread_mutex_unlock(&cache->evict_change);
  return rc;
}
