/* The CDN tier: where keys lie, against a real nginx with DAV, and against servers that lie. */
#include "loopback.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tier/cdn.h"
#include "tier/tier.h"

/* --- keys */

static const char *key_of(const char *bytes, size_t size) {
  static char out[NEAP_CDN_KEY];
  neap_cdn_key((neap_view){bytes, size}, out);
  return out;
}

static void test_plain_keys_stay_and_others_become_their_hash(void **state) {
  (void)state;
  char long_key[201];
  memset(long_key, 'k', sizeof long_key);
  assert_string_equal(key_of("User_42-x", 9), "User_42-x");
  assert_int_equal(strlen(key_of(long_key, 200)), 200);
  assert_string_equal(key_of("abc", 3), "abc");
  assert_string_equal(key_of("..", 2), "~5ec1f7e700f37c3d0b2981d04855fc34b94aaa15457b05ca571817442d228f81");
  assert_int_equal(key_of(long_key, 201)[0], '~');
  static const struct {
    const char *bytes;
    size_t size;
  } odd[] = {{"a/b", 3},  {"a%2e", 4}, {"a\0b", 3}, {"\xff\xfe", 2},
             {"a\nb", 3}, {"~a", 2},   {"a b", 3},  {"a.b", 3}};
  for (size_t i = 0; i < NEAP_COUNT_OF(odd); i++) {
    const char *encoded = key_of(odd[i].bytes, odd[i].size);
    assert_int_equal(strlen(encoded), 65);
    assert_int_equal(strspn(encoded, "~0123456789abcdef"), 65);
  }
}

static void test_settings_that_cannot_be_are_said(void **state) {
  (void)state;
  const neap_tier_cdn_options wrong[] = {
      {.url = NULL},
      {.url = "ftp://x"},
      {.url = "http:///x"},
      {.url = "http://x/?q"},
      {.url = "http://x/a b"},
      {.url = "http://x/\r\nEvil: 1"},
      {.url = "http://x", .bearer = "a\r\nEvil: 1"},
      {.url = "http://x", .header = "no colon"},
      {.url = "http://x", .purge_method = "PURGE IT"},
      {.url = "http://x", .surrogate = "a: b"},
      {.url = "http://x", .max_object = SIZE_MAX},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(wrong); i++) {
    neap_cdn_config *config;
    neap_err err = {0};
    assert_int_equal(neap_cdn_config_create(&wrong[i], NULL, &config, &err), NEAP_EINVAL);
    assert_true(strlen(err.text) > 10);
  }
}

/* --- a cascade of memory and a CDN, on a loop */

typedef struct rig {
  neap_host host;
  neap_registry *registry;
  neap_cache *memory;
  neap_tiers *tiers;
  neap_loop *loop;
  neap_tiers_port *port;
  char url[64], folder[64];
  uint16_t http_port;
  pid_t nginx;
  int listening;
  pthread_t server;
  bool serving;
  const char *answer; /* of the lying server */
  bool endless;
  char head[4096];
  int release[2];
  /* what was told */
  int times, code, tier;
  uint64_t ttl_ms, version;
  char body[256], meta[64];
} rig;
static rig the;

static void open_tiers(neap_tier_cdn_options cdn) {
  neap_host given = {.now_ms = neap_clock_now_ms,
                     .now_ns = neap_clock_now_ns,
                     .thread_cpu_ns = neap_clock_thread_cpu_ns,
                     .seed = 7};
  neap_host_complete(&given, &the.host);
  assert_int_equal(neap_registry_create(&the.host, &the.registry), 0);
  neap_cache_options cache;
  neap_cache_options_init(&cache);
  cache.evict = "native:sieve";
  assert_int_equal(neap_store_create(the.registry, &the.host, &cache, NEAP_STORE_VALUES, &the.memory, NULL),
                   0);
  neap_tiers_options options;
  neap_tiers_options_init(&options);
  options.memory = the.memory;
  options.jitter_percent = 0;
  options.negative_ttl_ms = 0;
  assert_int_equal(neap_tiers_create_with(the.registry, &the.host, &options, &the.tiers, NULL), 0);
  snprintf(the.url, sizeof the.url, "http://127.0.0.1:%u/", the.http_port);
  cdn.url = the.url;
  neap_err err;
  if (neap_tiers_add_cdn(the.tiers, &cdn, &(neap_tier_options){.hard_timeout_ms = 5000}, &err))
    fail_msg("%s", err.text);
  assert_int_equal(neap_loop_create(&the.loop), 0);
  assert_int_equal(neap_tiers_attach_loop(the.tiers, the.loop, &the.port, &err), 0);
}

static void close_tiers(void) {
  neap_tiers_detach(&the.port);
  neap_loop_destroy(&the.loop);
  neap_tiers_destroy(&the.tiers);
  neap_cache_destroy(&the.memory);
  neap_registry_destroy(&the.registry);
}

static void note(const neap_tier_reply *reply) {
  the.times++;
  the.code = reply->code;
  the.tier = reply->tier;
  the.ttl_ms = reply->ttl_ms;
  the.version = reply->version;
  neap_view body = neap_tier_value_piece(&reply->value, 0), meta = neap_tier_value_meta(&reply->value);
  snprintf(the.body, sizeof the.body, "%.*s", (int)body.size, body.ptr);
  snprintf(the.meta, sizeof the.meta, "%.*s", (int)meta.size, meta.ptr);
}

static void on_reply(void *user, neap_tier_reply *reply) {
  (void)user;
  note(reply);
  neap_loop_stop(the.loop);
}

static int finish(int code, neap_tier_reply *reply) {
  if (code == NEAP_EPENDING) {
    neap_loop_run(the.loop);
    assert_int_equal(the.times, 1);
    return the.code;
  }
  note(reply);
  neap_tier_reply_release(reply);
  return code;
}

static int get(neap_view key) {
  neap_tier_reply reply = {0};
  the.times = 0;
  return finish(neap_tiers_get(the.port, key, NULL, on_reply, NULL, &reply, NULL), &reply);
}

static int set(neap_view key, neap_view value, uint64_t ttl_ms) {
  neap_tier_reply reply = {0};
  const neap_tier_set_options options = {.ttl_ms = ttl_ms, .meta = NEAP_BYTES("about")};
  the.times = 0;
  return finish(neap_tiers_set(the.port, key, value, &options, on_reply, NULL, &reply, NULL), &reply);
}

static int delete_key(neap_view key) {
  neap_tier_reply reply = {0};
  the.times = 0;
  return finish(neap_tiers_delete(the.port, key, NULL, on_reply, NULL, &reply, NULL), &reply);
}

static int clear(void) {
  neap_tier_reply reply = {0};
  the.times = 0;
  return finish(neap_tiers_clear(the.port, NULL, on_reply, NULL, &reply, NULL), &reply);
}

static void forget_memory(void) {
  neap_cache_clear(the.memory);
}

/* --- nginx */

static const char *const conf = "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n"
                                "events { worker_connections 64; }\n"
                                "http { access_log off; client_body_temp_path body; proxy_temp_path p;\n"
                                "fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
                                "client_max_body_size 1m;\n"
                                "server { listen 127.0.0.1:%u; root www;\n"
                                "location / { dav_methods PUT DELETE; create_full_put_path on;\n"
                                "if ($http_authorization != \"Bearer secret\") { return 403; } } } }\n";

static bool is_ready(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(the.http_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  bool ready = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  close(fd);
  return ready;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void) {
  uint16_t port;
  close(talk_listen(&port));
  return port;
}

static int start_nginx(void **state) {
  (void)state;
  the = (rig){.http_port = free_port()};
  snprintf(the.folder, sizeof the.folder, "/tmp/neap-cdn-XXXXXX");
  if (mkdtemp(the.folder) == NULL) return -1;
  char path[128];
  snprintf(path, sizeof path, "%s/www", the.folder);
  mkdir(path, 0755);
  snprintf(path, sizeof path, "%s/nginx.conf", the.folder);
  FILE *file = fopen(path, "w");
  fprintf(file, conf, the.http_port);
  fclose(file);
  the.nginx = fork();
  if (the.nginx == 0) {
    execlp("nginx", "nginx", "-p", the.folder, "-e", "stderr", "-c", path, (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 5000 && !is_ready(); i++) {
    assert_int_equal(waitpid(the.nginx, NULL, WNOHANG), 0); /* it has ended: no nginx here? */
    usleep(1000);                                           /* there is nothing else to wait for */
  }
  open_tiers((neap_tier_cdn_options){.bearer = "secret", .clear_slash = 1, .max_object = 4 << 20});
  return 0;
}

static int stop_nginx(void **state) {
  (void)state;
  close_tiers();
  kill(the.nginx, SIGKILL);
  waitpid(the.nginx, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", the.folder);
  return system(command);
}

static bool is_stored(const char *name) {
  char path[256];
  struct stat about;
  snprintf(path, sizeof path, "%s/www/cache/%s", the.folder, name);
  return stat(path, &about) == 0;
}

static void test_nginx_keeps_gives_and_forgets(void **state) {
  (void)state;
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_ENOTFOUND);
  assert_int_equal(set(NEAP_BYTES("k"), NEAP_BYTES("value"), 60000), 0);
  uint64_t version = the.version;
  assert_true(is_stored("k"));
  forget_memory();
  assert_int_equal(get(NEAP_BYTES("k")), 0);
  assert_string_equal(the.body, "value");
  assert_string_equal(the.meta, "about");
  assert_int_equal(the.tier, 1);
  assert_int_equal(the.version, version);
  assert_in_range(the.ttl_ms, 1, 60000);
  assert_int_equal(get(NEAP_BYTES("k")), 0);
  assert_int_equal(the.tier, 0); /* promoted */
  assert_int_equal(delete_key(NEAP_BYTES("k")), 0);
  assert_false(is_stored("k"));
  assert_int_equal(delete_key(NEAP_BYTES("k")), 0); /* not there: done, too */
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_ENOTFOUND);
}

static void test_nginx_keeps_odd_keys_apart_and_in_the_folder(void **state) {
  (void)state;
  static char big[65535];
  memset(big, '/', sizeof big);
  const neap_view keys[] = {NEAP_BYTES(".."),   NEAP_BYTES("../../etc/x"), NEAP_BYTES("a\0b"),
                            NEAP_BYTES("a\nb"), NEAP_BYTES("\xff\xfe"),    NEAP_BYTES("a%2fb"),
                            {big, sizeof big}};
  char value[8];
  for (size_t i = 0; i < NEAP_COUNT_OF(keys); i++) {
    snprintf(value, sizeof value, "v%zu", i);
    assert_int_equal(set(keys[i], neap_view_of(value), 60000), 0);
  }
  forget_memory();
  for (size_t i = 0; i < NEAP_COUNT_OF(keys); i++) {
    snprintf(value, sizeof value, "v%zu", i);
    assert_int_equal(get(keys[i]), 0);
    assert_string_equal(the.body, value);
  }
}

static void test_nginx_is_cleared_and_takes_again(void **state) {
  (void)state;
  assert_int_equal(clear(), 0); /* there is no folder yet */
  assert_int_equal(set(NEAP_BYTES("a"), NEAP_BYTES("1"), 60000), 0);
  assert_int_equal(set(NEAP_BYTES("b"), NEAP_BYTES("2"), 60000), 0);
  assert_int_equal(clear(), 0);
  assert_false(is_stored("a"));
  assert_int_equal(get(NEAP_BYTES("a")), NEAP_ENOTFOUND);
  assert_int_equal(set(NEAP_BYTES("a"), NEAP_BYTES("3"), 60000), 0);
  assert_true(is_stored("a"));
}

static void test_what_expired_in_nginx_is_a_miss(void **state) {
  (void)state;
  assert_int_equal(set(NEAP_BYTES("k"), NEAP_BYTES("v"), 1), 0);
  forget_memory();
  while (neap_clock_now_ms(NULL) % 16) continue;
  for (uint64_t end_ms = neap_clock_now_ms(NULL) + 40; neap_clock_now_ms(NULL) < end_ms;) continue;
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_ENOTFOUND);
}

static void copy_file(const char *from, const char *to, long cut) {
  char path[256], bytes[4096];
  snprintf(path, sizeof path, "%s/www/cache/%s", the.folder, from);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  snprintf(path, sizeof path, "%s/www/cache/%s", the.folder, to);
  file = fopen(path, "w");
  fwrite(bytes, 1, (size_t)((long)size - cut), file);
  fclose(file);
}

static void test_swapped_and_truncated_objects_are_misses(void **state) {
  (void)state;
  assert_int_equal(set(NEAP_BYTES("mine"), NEAP_BYTES("v"), 60000), 0);
  copy_file("mine", "other", 0);
  copy_file("mine", "short", 1);
  assert_int_equal(get(NEAP_BYTES("other")), NEAP_ENOTFOUND);
  assert_int_equal(get(NEAP_BYTES("short")), NEAP_ENOTFOUND);
}

static void test_what_nginx_finds_too_large_is_kept_in_memory_alone(void **state) {
  (void)state;
  static char big[2 << 20];
  for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * 31);
  assert_int_equal(set(NEAP_BYTES("big"), (neap_view){big, sizeof big}, 60000), NEAP_EUNAVAIL);
  assert_false(is_stored("big"));
  assert_int_equal(get(NEAP_BYTES("big")), 0);
  neap_tiers_stats stats;
  neap_tiers_stats_get(the.tiers, &stats);
  assert_int_equal(stats.tiers[1].waiting, 0); /* and not tried again */
}

static void test_without_the_token_it_is_a_failure_and_not_a_miss(void **state) {
  (void)state;
  close_tiers();
  open_tiers((neap_tier_cdn_options){.bearer = "wrong"});
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_EUNAVAIL);
}

static void test_a_cdn_that_is_gone_costs_nothing_to_memory_hits(void **state) {
  (void)state;
  assert_int_equal(set(NEAP_BYTES("k"), NEAP_BYTES("v"), 60000), 0);
  kill(the.nginx, SIGKILL);
  waitpid(the.nginx, NULL, 0);
  the.nginx = fork();
  if (the.nginx == 0) _exit(0); /* something to wait for in the end */
  assert_int_equal(get(NEAP_BYTES("k")), 0);
  assert_int_equal(get(NEAP_BYTES("other")), NEAP_EUNAVAIL);
  assert_int_equal(set(NEAP_BYTES("l"), NEAP_BYTES("w"), 60000), 0); /* queued */
  assert_int_equal(get(NEAP_BYTES("l")), 0);
}

/* --- servers that lie */

static int set_up(void **state) {
  (void)state;
  the = (rig){0};
  the.listening = talk_listen(&the.http_port);
  if (pipe(the.release)) return -1;
  open_tiers(
      (neap_tier_cdn_options){.max_object = 64 << 10, .surrogate = "Surrogate-Key", .purge_method = "PURGE"});
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  close_tiers();
  close(the.release[1]);
  if (the.serving) pthread_join(the.server, NULL);
  close(the.release[0]);
  close(the.listening);
  return 0;
}

static void *serve(void *user) {
  (void)user;
  static char junk[65536];
  int fd = talk_accept(the.listening);
  talk_head(fd, the.head, sizeof the.head);
  talk_send(fd, the.answer);
  while (the.endless && send(fd, junk, sizeof junk, MSG_NOSIGNAL) > 0) continue;
  close(fd);
  return NULL;
}

static void serve_once(const char *answer) {
  the.answer = answer;
  the.serving = pthread_create(&the.server, NULL, serve, NULL) == 0;
  assert_true(the.serving);
}

static void test_a_redirect_is_a_failure_and_not_followed(void **state) {
  (void)state;
  serve_once("HTTP/1.1 302 Found\r\nLocation: /cache/k\r\nContent-Length: 0\r\n\r\n");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_EUNAVAIL);
}

static void test_an_endless_body_is_cut(void **state) {
  (void)state;
  the.endless = true;
  serve_once("HTTP/1.1 200 OK\r\n\r\n");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_EUNAVAIL);
}

static void test_a_body_shorter_than_it_says_is_a_failure(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_EUNAVAIL);
}

static void test_a_length_beyond_all_bounds_is_not_believed(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_ENOTFOUND); /* no envelope */
}

static void test_what_is_no_envelope_is_a_miss(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_ENOTFOUND);
}

static void test_no_http_is_a_failure(void **state) {
  (void)state;
  serve_once("+PONG\r\n$-1\r\n");
  assert_int_equal(get(NEAP_BYTES("k")), NEAP_EUNAVAIL);
}

static void test_a_put_says_how_long_and_under_which_key(void **state) {
  (void)state;
  serve_once("HTTP/1.1 204 Done\r\n\r\n");
  assert_int_equal(set(NEAP_BYTES("k"), NEAP_BYTES("v"), 61500), 0);
  assert_head_has(the.head, "PUT /cache/k HTTP/1.1\r\n");
  assert_head_has(the.head, "Cache-Control: max-age=62\r\n");
  assert_head_has(the.head, "Surrogate-Key: k\r\n");
}

static void test_a_delete_purges_as_configured(void **state) {
  (void)state;
  serve_once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  assert_int_equal(delete_key(NEAP_BYTES("k")), 0);
  assert_head_has(the.head, "PURGE /cache/k HTTP/1.1\r\n");
  assert_head_has(the.head, "Surrogate-Key: k\r\n");
}

#define REAL(name) cmocka_unit_test_setup_teardown(name, start_nginx, stop_nginx)
#define LIES(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain_keys_stay_and_others_become_their_hash),
      cmocka_unit_test(test_settings_that_cannot_be_are_said),
      REAL(test_nginx_keeps_gives_and_forgets),
      REAL(test_nginx_keeps_odd_keys_apart_and_in_the_folder),
      REAL(test_nginx_is_cleared_and_takes_again),
      REAL(test_what_expired_in_nginx_is_a_miss),
      REAL(test_swapped_and_truncated_objects_are_misses),
      REAL(test_what_nginx_finds_too_large_is_kept_in_memory_alone),
      REAL(test_without_the_token_it_is_a_failure_and_not_a_miss),
      REAL(test_a_cdn_that_is_gone_costs_nothing_to_memory_hits),
      LIES(test_a_redirect_is_a_failure_and_not_followed),
      LIES(test_an_endless_body_is_cut),
      LIES(test_a_body_shorter_than_it_says_is_a_failure),
      LIES(test_a_length_beyond_all_bounds_is_not_believed),
      LIES(test_what_is_no_envelope_is_a_miss),
      LIES(test_no_http_is_a_failure),
      LIES(test_a_put_says_how_long_and_under_which_key),
      LIES(test_a_delete_purges_as_configured),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
