/* The engine: what the host lent and the registry of policies; and the caches made from it. */
#include "server/server.h"

#include "base/base.h"
#include "loop/loop.h"
#include "script/script.h"
#include "store/store.h"
#include "tier/tier.h"

enum { ENGINE_MAGIC = 0x4e454e47 };

struct neap_engine {
  uint32_t magic;
  neap_host host; /* complete */
  neap_registry *registry;
};

static void complete_host(const neap_host *host, neap_host *out) {
  neap_host_complete(host, out);
  if (out->now_ms == NULL) out->now_ms = neap_clock_now_ms;
  if (out->now_ns == NULL) out->now_ns = neap_clock_now_ns;
  if (out->thread_cpu_ns == NULL) out->thread_cpu_ns = neap_clock_thread_cpu_ns;
}

int neap_engine_create(const neap_host *host, neap_engine **out, neap_err *err) {
  int rc = neap_script_check_host(err);
  if (rc) return rc;
  neap_host complete;
  complete_host(host, &complete);
  neap_engine *engine = complete.alloc(complete.user, sizeof *engine);
  if (engine == NULL) return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  *engine = (neap_engine){.magic = ENGINE_MAGIC, .host = complete};
  rc = neap_registry_create(&engine->host, &engine->registry);
  if (rc) {
    complete.free(complete.user, engine, sizeof *engine);
    return neap_fail(err, rc, "%s", neap_strerror(rc));
  }
  neap_script_register(engine->registry, &engine->host);
  *out = engine;
  return 0;
}

void neap_engine_destroy(neap_engine **engine) {
  if (*engine == NULL) return;
  neap_check_magic(*engine, ENGINE_MAGIC);
  neap_host host = (*engine)->host;
  neap_registry_destroy(&(*engine)->registry);
  (*engine)->magic = 0;
  host.free(host.user, *engine, sizeof **engine);
  *engine = NULL;
}

neap_registry *neap_engine_registry(neap_engine *engine) {
  neap_check_magic(engine, ENGINE_MAGIC);
  return engine->registry;
}

const neap_host *neap_engine_host(const neap_engine *engine) {
  neap_check_magic(engine, ENGINE_MAGIC);
  return &engine->host;
}

int neap_cache_create(neap_engine *engine, const neap_cache_options *options, neap_cache **out,
                      neap_err *err) {
  neap_check_magic(engine, ENGINE_MAGIC);
  return neap_store_create(engine->registry, &engine->host, options, NEAP_STORE_VALUES, out, err);
}

int neap_tiers_create(neap_engine *engine, const neap_tiers_options *options, neap_tiers **out,
                      neap_err *err) {
  neap_check_magic(engine, ENGINE_MAGIC);
  return neap_tiers_create_with(engine->registry, &engine->host, options, out, err);
}
