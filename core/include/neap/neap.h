/* Neap: the ground of the public interface. Errors, borrowed bytes, what the host lends, the engine.
 *
 * Conventions of every public header:
 *   - A function returns 0 or a negative NEAP_E... Outputs are written only on success.
 *   - `create`/`destroy` own heap memory; `destroy` takes the address of the pointer and clears it.
 *   - Times are milliseconds of the engine's monotonic clock unless a name says otherwise; sizes are bytes.
 *   - Nothing here exits, aborts on input, prints, or touches errno on purpose.
 */
#ifndef NEAP_NEAP_H
#define NEAP_NEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NEAP_API __attribute__((visibility("default")))

#define NEAP_VERSION_MAJOR 0
#define NEAP_VERSION_MINOR 1
#define NEAP_VERSION_PATCH 0

/* The version of the library in use, such as "0.1.0". Any thread. */
NEAP_API const char *neap_version(void);

/* Every error: name, number, sentence. The numbers never change their meaning. */
#define NEAP_ERRORS(X)                                                                                       \
  X(NEAP_EINVAL, -1, "invalid argument")                                                                     \
  X(NEAP_ENOMEM, -2, "out of memory")                                                                        \
  X(NEAP_ENOTFOUND, -3, "not found")                                                                         \
  X(NEAP_EROOM, -4, "no room: the limit is reached and nothing can be evicted now")                          \
  X(NEAP_ETOOLARGE, -5, "object is larger than max_object_size")                                             \
  X(NEAP_EREFUSED, -6, "the policy refused to admit the object")                                             \
  X(NEAP_EKEY, -7, "key must be 1 to 65535 bytes")                                                           \
  X(NEAP_ELENGTH, -8, "body differs from the announced length")                                              \
  X(NEAP_EVERSION, -9, "a newer version is already stored")                                                  \
  X(NEAP_EPOLICY, -10, "policy is not usable")                                                               \
  X(NEAP_EHOSTLUA, -11, "the host process exports a Lua that is not LuaJIT")                                 \
  X(NEAP_ESYNTAX, -12, "syntax error")                                                                       \
  X(NEAP_EIO, -13, "input or output failed")                                                                 \
  X(NEAP_EBUSY, -14, "busy")                                                                                 \
  X(NEAP_ESTATE, -15, "not allowed in this state")                                                           \
  X(NEAP_EFUEL, -16, "policy ran out of its time budget")                                                    \
  X(NEAP_EMEMCAP, -17, "policy ran out of its memory")                                                       \
  X(NEAP_EFAULT, -18, "policy raised an error")                                                              \
  X(NEAP_EANSWER, -19, "policy gave a wrong answer")                                                         \
  X(NEAP_ESMALL, -20, "the buffer is too small")                                                             \
  X(NEAP_EEXIST, -21, "already exists")                                                                      \
  X(NEAP_ECANCELED, -22, "canceled")                                                                         \
  X(NEAP_EPENDING, -23, "under way: the answer will be told")                                                \
  X(NEAP_EUNAVAIL, -24, "not available now")                                                                 \
  X(NEAP_ETIMEDOUT, -25, "the time was over")                                                                \
  X(NEAP_EUNKNOWN, -26, "nobody knows whether it was done")

#define NEAP_ERROR_ENUM(name, code, text) name = code,
enum neap_error_code { NEAP_OK = 0, NEAP_ERRORS(NEAP_ERROR_ENUM) };
#undef NEAP_ERROR_ENUM

/* The sentence of `code`, or "unknown error". Static memory, any thread. */
NEAP_API const char *neap_strerror(int code);
/* The name of `code`, such as "NEAP_EROOM", or "NEAP_E?". Static memory, any thread. */
NEAP_API const char *neap_errname(int code);

/* What went wrong on a cold path, for people. `text` has place and hint where there are any:
 * "file:line: text" or one sentence. Filled on failure only; may be NULL where a function takes one. */
typedef struct neap_err {
  int code;
  char text[1020];
} neap_err;

/* Borrowed bytes: not ended by NUL, valid as long as what they were read from. */
typedef struct neap_view {
  const char *ptr;
  size_t size;
} neap_view;

/* A named parameter, such as of a policy: the value is a number, or a text where `text` is not NULL. */
typedef struct neap_param {
  const char *name;
  double number;
  const char *text;
} neap_param;

typedef enum neap_log_level { NEAP_LOG_DEBUG, NEAP_LOG_INFO, NEAP_LOG_WARN, NEAP_LOG_ERROR } neap_log_level;

/* What the host lends to an engine. Every member may be left zero for the default. All of them are called
 * from any thread that calls the engine, and must not call it back. */
typedef struct neap_host {
  void *user;                              /* handed to each function below */
  void *(*alloc)(void *user, size_t size); /* 16-byte aligned, NULL when out of memory; default malloc */
  void (*free)(void *user, void *ptr, size_t size); /* `size` as asked for */
  size_t (*good_size)(void *user,
                      size_t size); /* bytes `alloc(size)` really takes; default measures malloc */
  void (*log)(void *user, neap_log_level level,
              const char *line);         /* one event per call; default drops them */
  uint64_t (*now_ms)(void *user);        /* monotonic; may be cached for a loop turn */
  uint64_t (*now_ns)(void *user);        /* monotonic, fine: latencies */
  uint64_t (*thread_cpu_ns)(void *user); /* CPU time of the calling thread: budgets of policies */
  uint64_t seed; /* seeds hashes and policies' random numbers; 0: taken from the system */
} neap_host;

/* One engine: the policy registry and what the host lent. Thread-safe. */
typedef struct neap_engine neap_engine;

/* Creates an engine. `host` may be NULL; it is copied.
 * Errors: NEAP_EHOSTLUA when the lua_* functions this library is bound to are not LuaJIT's (a host that
 * exports another Lua has captured them), NEAP_ENOMEM. Any thread. */
NEAP_API int neap_engine_create(const neap_host *host, neap_engine **out, neap_err *err);
/* Destroys an engine. All caches made from it must be gone. */
NEAP_API void neap_engine_destroy(neap_engine **engine);

#ifdef __cplusplus
}
#endif
#endif
