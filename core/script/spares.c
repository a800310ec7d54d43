/* See neap_spares in script.h. The thread sleeps until somebody wants more than there are; it makes them with
 * a low priority, so that they cost idle time and not requests. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/base.h"
#include "script/script.h"
#include "script/vm.h"

struct neap_spares {
  const neap_host *host;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* `wanted`, `count` or `over` */
  pthread_t thread;
  size_t wanted, count;
  bool over;
  neap_vm *list[NEAP_SPARES_MAX];
};

/* What every run of a configuration asks for. */
static const char *const modules[] = {"neap.config", "neap", "neap.request", "neap.balance"};

static neap_vm *make(const neap_host *host) {
  const neap_vm_options options = {.host = host, .name = "spare"};
  neap_vm *vm;
  neap_err err;
  int ref;
  if (neap_vm_create(&options, &vm, &err)) return NULL;
  for (size_t i = 0; i < NEAP_COUNT_OF(modules); i++) {
    if (neap_vm_runtime(vm, modules[i], &ref, &err)) {
      neap_vm_destroy(&vm);
      return NULL;
    }
    luaL_unref(neap_vm_state(vm), LUA_REGISTRYINDEX, ref);
  }
  lua_gc(neap_vm_state(vm), LUA_GCCOLLECT, 0); /* what loading has left */
  return vm;
}

/* NULL: there is none. */
static neap_vm *take(neap_spares *spares) {
  pthread_mutex_lock(&spares->lock);
  neap_vm *vm = spares->count ? spares->list[--spares->count] : NULL;
  /* not made again at once: who takes one is in a hurry */
  spares->wanted = NEAP_MIN(spares->wanted, spares->count);
  pthread_mutex_unlock(&spares->lock);
  return vm;
}

static void *keep_full(void *user) {
  neap_spares *spares = user;
  setpriority(PRIO_PROCESS, 0, 10); /* of this thread */
  pthread_mutex_lock(&spares->lock);
  while (!spares->over) {
    if (spares->count >= spares->wanted) {
      pthread_cond_wait(&spares->changed, &spares->lock);
      continue;
    }
    pthread_mutex_unlock(&spares->lock);
    neap_vm *made = make(spares->host);
    pthread_mutex_lock(&spares->lock);
    if (made)
      spares->list[spares->count++] = made; /* nobody else adds */
    else
      spares->wanted = spares->count; /* no memory: until the next one who wants some */
    pthread_cond_broadcast(&spares->changed);
  }
  pthread_mutex_unlock(&spares->lock);
  return NULL;
}

static int start_thread(neap_spares *spares) {
  sigset_t all, before; /* signals are for others */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&spares->thread, NULL, keep_full, spares);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed ? NEAP_EIO : 0;
}

int neap_spares_create(const neap_host *host, neap_spares **out) {
  neap_spares *spares = calloc(1, sizeof *spares);
  if (spares == NULL) return NEAP_ENOMEM;
  spares->host = host;
  pthread_mutex_init(&spares->lock, NULL);
  pthread_cond_init(&spares->changed, NULL);
  int code = start_thread(spares);
  if (code == 0) {
    *out = spares;
    return 0;
  }
  pthread_cond_destroy(&spares->changed);
  pthread_mutex_destroy(&spares->lock);
  free(spares);
  return code;
}

void neap_spares_destroy(neap_spares **spares_ptr) {
  neap_spares *spares = *spares_ptr;
  if (spares == NULL) return;
  *spares_ptr = NULL;
  pthread_mutex_lock(&spares->lock);
  spares->over = true;
  pthread_cond_broadcast(&spares->changed);
  pthread_mutex_unlock(&spares->lock);
  pthread_join(spares->thread, NULL);
  while (spares->count) neap_vm_destroy(&spares->list[--spares->count]);
  pthread_cond_destroy(&spares->changed);
  pthread_mutex_destroy(&spares->lock);
  free(spares);
}

void neap_spares_want(neap_spares *spares, size_t count) {
  neap_vm *surplus[NEAP_SPARES_MAX];
  size_t too_many = 0;
  pthread_mutex_lock(&spares->lock);
  spares->wanted = NEAP_MIN(count, (size_t)NEAP_SPARES_MAX);
  while (spares->count > spares->wanted) surplus[too_many++] = spares->list[--spares->count];
  pthread_cond_broadcast(&spares->changed);
  pthread_mutex_unlock(&spares->lock);
  while (too_many) neap_vm_destroy(&surplus[--too_many]);
}

size_t neap_spares_count(neap_spares *spares) {
  pthread_mutex_lock(&spares->lock);
  size_t count = spares->count;
  pthread_mutex_unlock(&spares->lock);
  return count;
}

void neap_spares_await(neap_spares *spares) {
  pthread_mutex_lock(&spares->lock);
  while (spares->count < spares->wanted) pthread_cond_wait(&spares->changed, &spares->lock);
  pthread_mutex_unlock(&spares->lock);
}

int neap_vm_create_from(neap_spares *spares, const neap_vm_options *options, neap_vm **out, neap_err *err) {
  neap_vm *vm = spares ? take(spares) : NULL;
  if (vm == NULL) return neap_vm_create(options, out, err);
  int code = neap_vm_adopt(vm, options, err);
  if (code)
    neap_vm_destroy(&vm);
  else
    *out = vm;
  return code;
}
