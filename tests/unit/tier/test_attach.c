/* The public interface alone, on a loop of libuv that the host runs. */
#include <uv.h>

#include "neap/tier.h"
#include "unit.h"

typedef struct told {
  int times, code;
  char body[32];
} told;

static void on_reply(void *user, neap_tier_reply *reply) {
  told *it = user;
  it->times++;
  it->code = reply->code;
  neap_view body = neap_tier_value_piece(&reply->value, 0);
  snprintf(it->body, sizeof it->body, "%.*s", (int)body.size, body.ptr);
}

static void test_a_host_with_a_loop_of_its_own_uses_the_cascade(void **state) {
  (void)state;
  uv_loop_t loop;
  neap_engine *engine;
  neap_cache *cache;
  neap_tiers *tiers;
  neap_tiers_port *port;
  neap_err err;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(neap_engine_create(NULL, &engine, &err), 0);
  neap_cache_options cache_options;
  neap_cache_options_init(&cache_options);
  assert_int_equal(neap_cache_create(engine, &cache_options, &cache, &err), 0);
  neap_tiers_options options;
  neap_tiers_options_init(&options);
  options.memory = cache;
  assert_int_equal(neap_tiers_create(engine, &options, &tiers, &err), 0);
  const neap_tier_cdn_options cdn = {.url = "http://127.0.0.1:1"}; /* nobody there */
  assert_int_equal(neap_tiers_add_cdn(tiers, &cdn, NULL, &err), 0);
  assert_int_equal(neap_tiers_attach(tiers, &loop, &port, &err), 0);

  told it = {0};
  neap_tier_reply reply;
  assert_int_equal(neap_tiers_get(port, NEAP_BYTES("k"), NULL, on_reply, &it, &reply, NULL), NEAP_EPENDING);
  while (it.times == 0) uv_run(&loop, UV_RUN_ONCE);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  const neap_tier_set_options memory = {.tiers = NEAP_TIER_MEMORY};
  assert_int_equal(neap_tiers_set(port, NEAP_BYTES("k"), NEAP_BYTES("v"), &memory, NULL, NULL, NULL, NULL),
                   0);
  assert_int_equal(neap_tiers_get(port, NEAP_BYTES("k"), NULL, on_reply, &it, &reply, NULL), 0);
  assert_int_equal(neap_tier_value_size(&reply.value), 1);
  neap_tier_reply_release(&reply);

  neap_tiers_detach(&port);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left on it */
  neap_tiers_destroy(&tiers);
  neap_cache_destroy(&cache);
  neap_engine_destroy(&engine);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_host_with_a_loop_of_its_own_uses_the_cascade)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
