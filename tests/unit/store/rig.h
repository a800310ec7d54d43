/* What the tests of the cache stand on: a host with a clock that is set by hand and an allocator that counts
 * and can be told to fail, a registry, a cache. */
#ifndef NEAP_TESTS_STORE_RIG_H
#define NEAP_TESTS_STORE_RIG_H

#include <malloc.h>
#include <stdatomic.h>

#include "base/base.h"
#include "loop/loop.h"
#include "store/store.h"
#include "unit.h"

typedef struct rig {
  _Atomic uint64_t now_ms;
  _Atomic int64_t allocated;  /* bytes that the cache has from the allocator */
  _Atomic int64_t fail_after; /* allocations that succeed until one fails; negative: all do */
  neap_host host;
  neap_registry *registry;
  neap_cache *cache;
} rig;

static inline void *rig_alloc(void *user, size_t size) {
  rig *r = user;
  if (atomic_load(&r->fail_after) >= 0 && atomic_fetch_sub(&r->fail_after, 1) == 0) return NULL;
  atomic_fetch_add(&r->allocated, (int64_t)size);
  return malloc(size);
}

static inline void rig_free(void *user, void *ptr, size_t size) {
  atomic_fetch_sub(&((rig *)user)->allocated, (int64_t)size);
  free(ptr);
}

/* Sizes in steps of 16, so that figures in tests do not depend on the C library. */
static inline size_t rig_good_size(void *user, size_t size) {
  (void)user;
  return (size + 15) & ~(size_t)15;
}

static inline uint64_t rig_now_ms(void *user) {
  return atomic_load(&((rig *)user)->now_ms);
}

static inline void rig_init(rig *r) {
  memset(r, 0, sizeof *r);
  atomic_init(&r->now_ms, 1000000);
  atomic_init(&r->fail_after, -1);
  neap_host host = {.user = r,
                    .alloc = rig_alloc,
                    .free = rig_free,
                    .good_size = rig_good_size,
                    .now_ms = rig_now_ms,
                    .now_ns = neap_clock_now_ns,
                    .thread_cpu_ns = neap_clock_thread_cpu_ns,
                    .seed = 42};
  neap_host_complete(&host, &r->host);
  assert_int_equal(neap_registry_create(&r->host, &r->registry), 0);
}

static inline neap_cache_options rig_options(void) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.max_memory = 4u << 20;
  options.evict = "native:lru";
  return options;
}

static inline void rig_open(rig *r, const neap_cache_options *options) {
  neap_err err = {0};
  if (neap_store_create(r->registry, &r->host, options, NEAP_STORE_VALUES, &r->cache, &err))
    fail_msg("%s", err.text);
}

/* Everything goes, and every byte has come back. */
static inline void rig_fini(rig *r) {
  neap_cache_destroy(&r->cache);
  assert_null(r->cache);
  neap_registry_destroy(&r->registry);
  assert_int_equal(atomic_load(&r->allocated), 0);
}

static inline neap_cache_stats rig_stats(rig *r) {
  neap_cache_stats stats;
  neap_cache_stats_get(r->cache, &stats);
  return stats;
}

static inline int rig_put(rig *r, const char *key, const char *value) {
  return neap_cache_put(r->cache, neap_view_of(key), neap_view_of(value), NULL);
}

static inline int rig_put_ttl(rig *r, const char *key, const char *value, uint64_t ttl_ms) {
  return neap_cache_put(r->cache, neap_view_of(key), neap_view_of(value),
                        &(neap_put_options){.ttl_ms = ttl_ms});
}

/* Whether `key` is there. */
static inline bool rig_has(rig *r, const char *key) {
  char buffer[1];
  size_t size;
  int rc = neap_cache_get_copy(r->cache, neap_view_of(key), buffer, sizeof buffer, &size);
  return rc == 0 || rc == NEAP_ESMALL;
}

static inline void rig_expect(rig *r, const char *key, const char *value) {
  char buffer[4096];
  size_t size = 0;
  assert_int_equal(neap_cache_get_copy(r->cache, neap_view_of(key), buffer, sizeof buffer, &size), 0);
  assert_int_equal(size, strlen(value));
  assert_memory_equal(buffer, value, size);
}

/* A key and a value of any size, repeatable. */
static inline neap_view rig_bytes(char *buffer, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++) buffer[i] = (char)('a' + (i * 7 + seed * 13 + i / 251) % 26);
  return (neap_view){buffer, size};
}

#endif
