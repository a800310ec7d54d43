/* Checks, errors and small helpers that every folder may use. libc only; never a clock. */
#ifndef NEAP_BASE_BASE_H
#define NEAP_BASE_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "neap/neap.h"

#define NEAP_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define NEAP_UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define NEAP_INLINE                          static inline __attribute__((always_inline))
#define NEAP_SELDOM                          __attribute__((noinline, cold))
#define NEAP_COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define NEAP_MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define NEAP_MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define NEAP_CACHE_LINE                      64
#define NEAP_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Ends the process with a line that says where. Broken invariants and out of memory at boot only: never for
 * what came from the network, a file or a policy. */
_Noreturn void neap_fatal(const char *file, int line, const char *text);

/* Cheap invariants: always on. */
#define neap_assert(condition) ((condition) ? (void)0 : neap_fatal(__FILE__, __LINE__, #condition))
/* Expensive invariants: debug and sanitizer builds. */
#ifdef NEAP_DEBUG
#define neap_debug_assert(condition) neap_assert(condition)
#else
#define neap_debug_assert(condition) ((void)0)
#endif

/* Fills `err` (which may be NULL) and returns `code`, so that `return neap_fail(err, NEAP_EINVAL, "...")`
 * reads well. */
int neap_fail(neap_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Magics of structs that travel through void *: each used by one type, checked by tests/lint. */
#define neap_check_magic(ptr, value) neap_assert((ptr) != NULL && (ptr)->magic == (value))

static inline neap_view neap_view_of(const char *text) {
  return (neap_view){text, strlen(text)};
}
static inline int neap_view_is(neap_view view, const char *text) {
  size_t size = strlen(text);
  return view.size == size && memcmp(view.ptr, text, size) == 0;
}

#endif
