/* neap.lua to struct neap_config: what is accepted, what is refused and on which line, and what overrides it.
 */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "loop/loop.h"
#include "script/script.h"

static neap_host host;

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

static int set_up(void **state) {
  (void)state;
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  return 0;
}

typedef struct loaded {
  int status;
  neap_config *config;
  char *report;
} loaded;

static loaded load_at(const char *folder, const char *text, const char *const *environment) {
  const neap_config_source source = {
      .name = "neap.lua", .folder = folder, .text = text, .size = strlen(text), .environment = environment};
  loaded l = {0};
  l.status = neap_config_load(&host, &source, 7, &l.config, &l.report);
  return l;
}

static loaded load(const char *text) {
  return load_at(NULL, text, NULL);
}

static void unload(loaded *l) {
  neap_config_destroy(&l->config);
  free(l->report);
}

/* Loads what has to be right. */
static loaded load_good(const char *text) {
  loaded l = load(text);
  if (l.status) print_message("%s\n", l.report ? l.report : "no report");
  assert_int_equal(l.status, 0);
  assert_null(l.report);
  return l;
}

/* Loads what has to be wrong; the report is exactly `expected`. */
static void check_report(const char *text, const char *expected) {
  loaded l = load(text);
  assert_int_equal(l.status, NEAP_EINVAL);
  assert_null(l.config);
  assert_string_equal(l.report, expected);
  unload(&l);
}

#define START "local neap = require 'neap' neap.listen { http = ':8080' } "
#define POOL  "neap.pool { name = 'app', backends = { '127.0.0.1:9001' } } "
#define ROUTE "neap.route { path = '/', pool = 'app' } "

/* A shipped policy, or its native twin where the Lua file is not shipped. */
static bool is_policy(const char *spec, const char *name) {
  return strcmp(strncmp(spec, "native:", 7) == 0 ? spec + 7 : spec, name) == 0;
}

/* --- what is accepted --- */

static void test_five_lines_are_enough(void **state) {
  (void)state;
  loaded l = load_good(
      "local neap = require \"neap\"\n"
      "neap.listen { http = \"127.0.0.1:8080\" }\n"
      "neap.cache  { max_memory = \"256MB\", evict = \"sieve\" }\n"
      "neap.pool   { name = \"app\", backends = { \"127.0.0.1:9001\", \"127.0.0.1:9002 weight=2\" } }\n"
      "neap.route  { path = \"/\", pool = \"app\", cache = true }\n");
  const neap_config *c = l.config;
  assert_int_equal(c->listener_count, 1);
  assert_string_equal(c->listeners[0].address, "127.0.0.1:8080");
  assert_string_equal(c->listeners[0].host, "127.0.0.1");
  assert_int_equal(c->listeners[0].port, 8080);
  assert_int_equal(c->listeners[0].header_timeout_ms, 10000);
  assert_true(c->cache_enabled);
  assert_int_equal(c->cache.max_memory, 256 << 20);
  assert_true(is_policy(c->cache.evict, "sieve"));
  assert_int_equal(c->pool_count, 1);
  assert_string_equal(c->pools[0].name, "app");
  assert_string_equal(c->pools[0].balance, "native:adaptive");
  assert_int_equal(c->pools[0].backend_count, 2);
  assert_int_equal(c->pools[0].backends[1].weight, 2);
  assert_int_equal(c->pools[0].backends[1].port, 9002);
  assert_int_equal(c->route_count, 1);
  assert_int_equal(c->routes[0].pool, 0);
  assert_int_equal(c->routes[0].match.path_how, NEAP_PATH_ANY);
  assert_null(c->routes[0].match.path);
  assert_null(c->routes[0].match.host);
  assert_true(c->routes[0].cache);
  assert_string_equal(c->routes[0].cache_space, "app");
  assert_string_equal(c->routes[0].name, "/");
  assert_int_equal(c->workers, 0);
  assert_int_equal(c->generation, 7);
  assert_string_equal(c->access_log, "-");
  unload(&l);
}

static void test_everything_a_route_can_say_arrives(void **state) {
  (void)state;
  loaded l = load_good(
      START POOL
      "neap.route { name = 'n', host = '*.Example.com', prefix = '/api/', method = { 'GET', 'HEAD' },\n"
      "  header = { ['X-Group'] = 'beta', accept = true }, query = { q = '' },\n"
      "  when = function(req) return true end, pool = 'app', cache = { ttl = '1m', space = 's' },\n"
      "  request_headers = { set = { ['X-A'] = '1' }, remove = 'Cookie' },\n"
      "  response_headers = { remove = { 'Server', 'Via' } } }\n"
      "neap.route { path = '/a*', respond = { status = 404, body = 'no' } }\n"
      "neap.route { exact = '/', redirect = '/start' }\n"
      "neap.route { path = '/b', redirect = { to = 'https://x.y/', status = 308 } }\n"
      "neap.route { path = '/c', respond = 204 }\n");
  const neap_config_route *r = l.config->routes;
  assert_int_equal(l.config->route_count, 5);
  assert_string_equal(r[0].match.host, "*.example.com");
  assert_int_equal(r[0].match.path_how, NEAP_PATH_BELOW);
  assert_string_equal(r[0].match.path, "/api");
  assert_int_equal(r[0].match.method_count, 2);
  assert_string_equal(r[0].match.methods[1], "HEAD");
  assert_int_equal(r[0].match.header_count, 2);
  assert_string_equal(r[0].match.headers[0].name, "accept");
  assert_null(r[0].match.headers[0].value);
  assert_string_equal(r[0].match.headers[1].value, "beta");
  assert_string_equal(r[0].match.queries[0].value, "");
  assert_true(r[0].match.conditional);
  assert_int_equal(r[0].cache_ttl_ms, 60000);
  assert_string_equal(r[0].cache_space, "s");
  assert_string_equal(r[0].request.set[0].name, "x-a");
  assert_string_equal(r[0].request.remove[0], "cookie");
  assert_int_equal(r[0].response.remove_count, 2);
  assert_int_equal(r[1].action, NEAP_ACTION_RESPOND);
  assert_int_equal(r[1].match.path_how, NEAP_PATH_PREFIX);
  assert_string_equal(r[1].match.path, "/a");
  assert_int_equal(r[1].status, 404);
  assert_string_equal(r[1].body, "no");
  assert_int_equal(r[1].pool, -1);
  assert_int_equal(r[2].match.path_how, NEAP_PATH_EXACT);
  assert_int_equal(r[2].action, NEAP_ACTION_REDIRECT);
  assert_int_equal(r[2].status, 302);
  assert_string_equal(r[2].location, "/start");
  assert_int_equal(r[3].status, 308);
  assert_int_equal(r[4].status, 204);
  assert_string_equal(r[4].body, "");
  unload(&l);
}

static void test_units_and_parameters_arrive(void **state) {
  (void)state;
  loaded l =
      load_good(START ROUTE "neap.cache { max_memory = '1GB', default_ttl = 90, max_object_size = '1.5MB',\n"
                            "  max_entries = 1000, params = { small = 0.5, on = true, name = 'x' } }\n"
                            "neap.pool { name = 'app', backends = '127.0.0.1:1', connect_timeout = '250ms',\n"
                            "  max_retries = 0, key = 'cookie sid' }\n"
                            "neap.workers(3) neap.log { access = 'off' }");
  const neap_config *c = l.config;
  assert_int_equal(c->cache.default_ttl_ms, 90000);
  assert_int_equal(c->cache.max_object_size, 3 << 19);
  assert_int_equal(c->cache.max_entries, 1000);
  assert_int_equal(c->cache.param_count, 3);
  assert_string_equal(c->cache.params[0].name, "name");
  assert_string_equal(c->cache.params[0].text, "x");
  assert_true(c->cache.params[1].number == 1 && c->cache.params[1].text == NULL);
  assert_true(c->cache.params[2].number == 0.5);
  assert_int_equal(c->pools[0].connect_timeout_ms, 250);
  assert_int_equal(c->pools[0].max_retries, 0);
  assert_int_equal(c->pools[0].key, NEAP_KEY_COOKIE);
  assert_string_equal(c->pools[0].key_name, "sid");
  loaded q = load_good(START ROUTE "neap.pool { name = 'app', backends = 'a:1', key = 'query user-id' }");
  assert_int_equal(q.config->pools[0].key, NEAP_KEY_QUERY);
  assert_string_equal(q.config->pools[0].key_name, "user-id");
  unload(&q);
  assert_int_equal(c->workers, 3);
  assert_string_equal(c->access_log, "");
  unload(&l);
}

static void test_names_of_the_guide_are_accepted(void **state) {
  (void)state;
  static const char *const evict[][2] = {
      {"LRU", "lru"}, {"LFU", "lfu"}, {"TTL", "ttl"}, {"FIFO", "fifo"}, {"LIFO", "lifo"}};
  static const char *const balance[][2] = {
      {"RoundRobin", "native:round_robin"},
      {"round_robin", "native:round_robin"},
      {"WeightedRoundRobin", "native:weighted_round_robin"},
      {"weighted_round_robin", "native:weighted_round_robin"},
      {"LeastConnections", "native:least_connections"},
      {"weighted_least_connections", "native:weighted_least_connections"},
      {"WeightedLeastConnections", "native:weighted_least_connections"},
      {"ConsistentHash", "native:consistent_hash"},
      {"Random", "native:random"},
      {"P2C", "native:p2c"},
      {"lua:p2c", "p2c"},
      {"native:p2c", "native:p2c"},
      {"IPHash", "native:ip_hash"},
      {"ip_hash", "native:ip_hash"}};
  char text[512];
  for (size_t i = 0; i < sizeof evict / sizeof evict[0]; i++) {
    snprintf(text, sizeof text, START POOL ROUTE "neap.cache { strategy = '%s', max_size = 10000 }",
             evict[i][0]);
    loaded l = load_good(text);
    assert_true(is_policy(l.config->cache.evict, evict[i][1]));
    assert_int_equal(l.config->cache.max_entries, 10000);
    unload(&l);
  }
  for (size_t i = 0; i < sizeof balance / sizeof balance[0]; i++) {
    snprintf(text, sizeof text,
             START ROUTE
             "neap.pool { name = 'app', algorithm = '%s', backends = {{ address = 'h', port = 1 }} }",
             balance[i][0]);
    loaded l = load_good(text);
    assert_string_equal(l.config->pools[0].balance, balance[i][1]);
    unload(&l);
  }
}

/* --- what is refused --- */

static void test_every_problem_is_told_with_its_own_line(void **state) {
  (void)state;
  check_report("local neap = require 'neap'\n"
               "neap.listen { http = '127.0.0.1:80x' }\n"
               "neap.cache {\n"
               "  max_memory = 0,\n"
               "  evct = 'lru' }\n"
               "neap.pool { name = 'app', backends = { '127.0.0.1:1',\n"
               "  '127.0.0.1:1' } }\n"
               "neap.pool { name = 'app', backends = {} }\n"
               "neap.route { path = '/', pool = 'ap' }\n",
               "neap.lua:2: error: listen.http[1]: \"127.0.0.1:80x\": write \"host:port\", \":port\" or "
               "\"[ipv6]:port\"\n"
               "neap.lua:4: error: cache.max_memory: 0: must be at least 65536 bytes\n"
               "neap.lua:5: error: cache.evct: there is no such key; did you mean \"evict\"?\n"
               "neap.lua:7: error: pool.backends[2]: 127.0.0.1:1 is there twice\n"
               "neap.lua:8: error: pool.backends: must not be empty\n"
               "neap.lua:8: error: pool.name: pool \"app\" is already on line 6\n"
               "neap.lua:9: error: route.pool: there is no pool \"ap\"; did you mean \"app\"?\n");
}

static void test_unknown_policies_are_errors_with_a_suggestion(void **state) {
  (void)state;
  check_report(START ROUTE "neap.pool { name = 'app', balance = 'round_robbin', backends = 'a:1' }",
               "neap.lua:1: error: pool.balance: \"round_robbin\": there is no such policy to balance; "
               "did you mean \"round_robin\"?\n");
  check_report(START POOL ROUTE "neap.cache { evict = 'seive' }",
               "neap.lua:1: error: cache.evict: \"seive\": there is no such policy to evict; did you mean "
               "\"sieve\"?\n");
}

static void test_features_that_do_not_exist_yet_are_refused(void **state) {
  (void)state;
  check_report(
      START POOL ROUTE "neap.cache { enable_encryption = true, enable_compression = false }",
      "neap.lua:1: error: cache.enable_encryption: true: this version cannot do that yet; leave it out\n");
}

static void test_routes_that_make_no_sense_are_refused(void **state) {
  (void)state;
  check_report(START POOL
               "\nneap.route { path = '/a', pool = 'app', respond = 200 }\n"
               "neap.route { path = '/b' }\n"
               "neap.route { path = '/c', exact = '/c', respond = 200 }\n"
               "neap.route { path = 'd', respond = 99 }\n"
               "neap.route { path = '/e', respond = 200, cache = true }\n"
               "neap.route { path = '/f', pool = 'app', request_headers = { set = { Connection = 'x' } } }\n"
               "neap.route { path = '/g', pool = 'app', when = 1 }\n",
               "neap.lua:2: error: route: takes one of pool, split, respond and redirect\n"
               "neap.lua:3: error: route: takes one of pool, split, respond and redirect\n"
               "neap.lua:4: error: route: takes one of path, prefix and exact\n"
               "neap.lua:5: error: route.path: \"d\": write a path that begins with \"/\"\n"
               "neap.lua:5: error: route.respond.status: 99: must be at least 200\n"
               "neap.lua:6: error: route.cache: only responses of a pool are cached\n"
               "neap.lua:7: error: route.request_headers.set: \"Connection\": is set by the engine alone\n"
               "neap.lua:8: error: route.when: 1: write a function\n");
}

static void test_a_resp_port_needs_no_route(void **state) {
  (void)state;
  loaded l =
      load_good("local neap = require 'neap'\n"
                "neap.listen { resp = ':6380', password = 'p', max_clients = 5, client_memory = '1MB' }\n"
                "neap.keys { max_memory = '8MB', evict = 'LRU' }");
  const neap_config *c = l.config;
  assert_int_equal(c->listener_count, 1);
  assert_true(c->listeners[0].resp);
  assert_int_equal(c->listeners[0].port, 6380);
  assert_string_equal(c->listeners[0].password, "p");
  assert_int_equal(c->listeners[0].max_clients, 5);
  assert_int_equal(c->listeners[0].client_memory, 1 << 20);
  assert_int_equal(c->listeners[0].stall_timeout_ms, 60000);
  assert_true(c->keys_enabled);
  assert_false(c->cache_enabled);
  assert_int_equal(c->keys.max_memory, 8 << 20);
  assert_true(is_policy(c->keys.evict, "lru"));
  unload(&l);
}

static void test_listeners_are_checked(void **state) {
  (void)state;
  check_report(
      "local neap = require 'neap' neap.listen {}\nneap.listen { resp = ':1', http = ':1' } " POOL ROUTE,
      "neap.lua:1: error: listen: needs http or resp\n"
      "neap.lua:2: error: listen.resp[1]: :1 is there twice\n");
}

static void test_the_environment_moves_http_alone(void **state) {
  (void)state;
  static const char *const environment[] = {"NEAP_LISTEN=:1", "NEAP_LISTEN_PASSWORD=p", NULL};
  loaded l = load_at(NULL, START POOL ROUTE "neap.listen { http = ':8081', resp = ':6380' }", environment);
  assert_int_equal(l.status, 0);
  assert_int_equal(l.config->listener_count, 2);
  assert_int_equal(l.config->listeners[0].port, 1);
  assert_int_equal(l.config->listeners[1].port, 6380);
  assert_string_equal(l.config->listeners[1].password, "p");
  unload(&l);
}

static void test_nothing_to_do_is_an_error(void **state) {
  (void)state;
  check_report(
      "", "neap.lua:1: error: neap: no route: add neap.route { path = \"/\", pool = \"...\" }\n"
          "neap.lua:1: error: neap: nothing to listen on: add neap.listen { http = \"127.0.0.1:8080\" }\n");
}

static void test_route_that_is_never_reached_is_a_warning(void **state) {
  (void)state;
  loaded l = load(START POOL ROUTE "\n" ROUTE);
  assert_int_equal(l.status, 0);
  assert_string_equal(l.report, "neap.lua:2: warning: route: is never reached: line 1 matches the same\n");
  unload(&l);
}

typedef struct broken {
  const char *text;
  int status;
  const char *report;
} broken;

static void test_files_that_do_not_run_say_where(void **state) {
  (void)state;
  static const broken cases[] = {
      {"\nlocal x = = 1", NEAP_ESYNTAX, "neap.lua:2: error: unexpected symbol near '='\n"},
      {"local neap = require 'neap'\n\nneap.cahce {}", NEAP_EFAULT,
       "neap.lua:3: error: neap has no cahce; did you mean neap.cache?\n"},
      {"local neap = require 'neap'\nneap.rule 'canari' {}", NEAP_EFAULT,
       "neap.lua:2: error: there is no rule \"canari\"; did you mean \"canary\"?\n"},
      {"local neap = require 'neap'\nlocal w = neap.rule 'canary' { sahre = 5 }", NEAP_EFAULT, NULL},
      {"\nerror('no')", NEAP_EFAULT, "neap.lua:2: error: no\n"},
      {"local a = nil\nlocal b = a.x", NEAP_EFAULT,
       "neap.lua:2: error: attempt to index local 'a' (a nil value)\n"},
      {"while true do end", NEAP_EFUEL, NULL},
      {"local t = {} for i = 1, 1e9 do t[i] = { i } end", NEAP_EMEMCAP, NULL},
      {"local s = ('x'):rep(1e9)", NEAP_EFAULT, NULL},
      {"os.exit(3)", NEAP_EFAULT, NULL},
      {"require 'ffi'", NEAP_EFAULT, NULL},
      {"require 'neap.config'", NEAP_EFAULT, NULL},
      {"\x1bLJ\x02", NEAP_ESYNTAX, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    loaded l = load(cases[i].text);
    if (l.status != cases[i].status) print_message("%s: %s\n", cases[i].text, l.report);
    if (cases[i].status == NEAP_EMEMCAP)
      assert_true(l.status == NEAP_EMEMCAP || l.status == NEAP_EFUEL);
    else
      assert_int_equal(l.status, cases[i].status);
    assert_null(l.config);
    if (cases[i].report) assert_string_equal(l.report, cases[i].report);
    assert_true(strncmp(l.report, "neap.lua", 8) == 0 && strstr(l.report, " error: ") != NULL);
    unload(&l);
  }
}

/* --- tiers --- */

static void test_without_tiers_there_are_none(void **state) {
  (void)state;
  loaded l = load_good(START POOL "neap.route { path = '/', pool = 'app', cache = true }");
  assert_false(l.config->tiers.enabled || l.config->tiers.redis.tier.set || l.config->tiers.cdn.tier.set);
  assert_int_equal(l.config->routes[0].cache_tiers, 0);
  unload(&l);
}

static void test_everything_tiers_can_say_arrives(void **state) {
  (void)state;
  loaded l = load_good(
      START POOL
      "neap.tiers { mode = 'through', consistency = 'local', soft_timeout = '80ms',\n"
      "  negative_ttl = 0, redis = { url = 'rediss://me:p%40ss@cache.example:7000/3', prefix = 'x:',\n"
      "  connections = 5, timeout = '30ms', ttl = '1h', max_object = '2MB', ca_file = '/ca.pem',\n"
      "  breaker = { min_requests = 7, rate = '25%', window = '3s', open = '1s', max_open = '9s' } },\n"
      "  cdn = { url = 'https://edge.example/a', bearer = 'token', purge_method = 'PURGE' } }\n"
      "neap.route { path = '/', pool = 'app', cache = true }\n"
      "neap.route { path = '/a', pool = 'app', cache = { tiers = 'cdn' } }\n"
      "neap.route { path = '/b', pool = 'app', cache = { tiers = false } }");
  const neap_config_tiers *tiers = &l.config->tiers;
  const neap_config_redis *redis = &tiers->redis;
  assert_true(tiers->enabled && tiers->through && tiers->local && redis->tier.set && redis->tls);
  assert_int_equal(tiers->soft_timeout_ms, 80);
  assert_int_equal(tiers->negative_ttl_ms, 0);
  assert_string_equal(redis->addresses[0], "cache.example:7000");
  assert_null(redis->addresses[1]);
  assert_string_equal(redis->user, "me");
  assert_string_equal(redis->password, "p@ss");
  assert_string_equal(redis->ca_file, "/ca.pem");
  assert_null(redis->key_file);
  assert_int_equal(redis->database, 3);
  assert_int_equal(redis->connections, 5);
  assert_int_equal(redis->tier.timeout_ms, 30);
  assert_int_equal(redis->tier.ttl_ms, 3600000);
  assert_int_equal(redis->tier.max_object, 2 << 20);
  assert_int_equal(redis->tier.breaker_min, 7);
  assert_int_equal(redis->tier.breaker_percent, 25);
  assert_int_equal(redis->tier.breaker_window_ms, 3000);
  assert_int_equal(redis->tier.breaker_open_max_ms, 9000);
  assert_string_equal(tiers->cdn.url, "https://edge.example/a");
  assert_string_equal(tiers->cdn.bearer, "token");
  assert_string_equal(tiers->cdn.purge_method, "PURGE");
  assert_int_equal(l.config->routes[0].cache_tiers, NEAP_TIER_FLAG_REDIS | NEAP_TIER_FLAG_CDN);
  assert_int_equal(l.config->routes[1].cache_tiers, NEAP_TIER_FLAG_CDN);
  assert_int_equal(l.config->routes[2].cache_tiers, 0);
  unload(&l);
}

#define TIERS(fields)                                                                                        \
  START POOL "neap.tiers { " fields " } neap.route { path = '/', pool = 'app', cache = true }"

static void test_tiers_that_are_the_same_hash_alike(void **state) {
  (void)state;
  loaded a = load_good(TIERS("redis = 'redis://h'"));
  loaded b = load_good(TIERS("redis = { url = 'redis://h:6379/0', timeout = 0.1 }") " neap.workers(3)");
  loaded c = load_good(TIERS("redis = 'redis://h:6380'"));
  assert_true(a.config->tiers.hash == b.config->tiers.hash);
  assert_true(a.config->tiers.hash != c.config->tiers.hash);
  unload(&a);
  unload(&b);
  unload(&c);
}

static void test_tiers_that_make_no_sense_are_refused(void **state) {
  (void)state;
  check_report(TIERS(""), "neap.lua:1: error: tiers: needs redis or cdn\n");
  check_report(TIERS("redis = 'redis://h', mode = 'around'"),
               "neap.lua:1: error: tiers.mode: \"around\": a response is always stored in memory, too: write "
               "\"behind\" or \"through\"\n");
  check_report(TIERS("redis = 'redis://h', consistency = 'strong'"),
               "neap.lua:1: error: tiers.consistency: \"strong\": a response may be served as long as it is "
               "fresh: write \"eventual\" or \"local\"\n");
  check_report(START POOL "neap.route { path = '/', pool = 'app', cache = { tiers = true } }",
               "neap.lua:1: error: route.cache.tiers: there are none: add neap.tiers { redis = ... }\n");
  check_report(START POOL "neap.tiers { redis = 'redis://h' }\n"
                          "neap.route { path = '/', pool = 'app', cache = { tiers = 'cdn' } }",
               "neap.lua:2: error: route.cache.tiers: there is no cdn in neap.tiers\n");
}

static void test_tiers_come_from_the_environment_too(void **state) {
  (void)state;
  static const char *const environment[] = {"NEAP_TIERS_REDIS=redis://other:1/2", "NEAP_TIERS_MODE=through",
                                            NULL};
  loaded l = load_at(NULL, START POOL "neap.route { path = '/', pool = 'app', cache = true }", environment);
  assert_int_equal(l.status, 0);
  assert_true(l.config->tiers.enabled && l.config->tiers.through);
  assert_string_equal(l.config->tiers.redis.addresses[0], "other:1");
  assert_int_equal(l.config->tiers.redis.database, 2);
  assert_int_equal(l.config->routes[0].cache_tiers, NEAP_TIER_FLAG_REDIS);
  unload(&l);
}

/* --- hash and JSON --- */

static void test_equal_tables_hash_alike_and_others_do_not(void **state) {
  (void)state;
  loaded a = load_good(START POOL ROUTE);
  loaded b = load_good("local neap = require 'neap' " POOL ROUTE
                       " neap.listen { idle_timeout = 60, http = ':8080' }");
  loaded c = load_good(START POOL ROUTE "neap.workers(2)");
  assert_true(a.config->hash == b.config->hash);
  assert_true(a.config->hash != c.config->hash);
  assert_string_equal(neap_config_json(a.config), neap_config_json(b.config));
  assert_non_null(strstr(neap_config_json(c.config), "\"workers\":2"));
  unload(&a);
  unload(&b);
  unload(&c);
}

/* --- the environment --- */

static void test_environment_overrides_the_file(void **state) {
  (void)state;
  static const char *const environment[] = {"CACHE_MAX_SIZE=10000",
                                            "CACHE_MAX_MEMORY=1GB",
                                            "CACHE_STRATEGY=LRU",
                                            "LB_ALGORITHM=round_robin",
                                            "MAX_RETRIES=3",
                                            "NEAP_WORKERS=2",
                                            "NEAP_LISTEN=:1, :2",
                                            "NEAP_LOG_ACCESS=a.log",
                                            "NEAP_POOL_MAX_IDLE=7",
                                            "PATH=/bin",
                                            "NEAP_CACHE_MAX_MEMORY=2GB",
                                            "NEAP_ENGINE_GRACE=",
                                            "broken",
                                            NULL};
  loaded l = load_at(NULL, START POOL ROUTE "neap.cache { evict = 'sieve', default_ttl = 5 }", environment);
  assert_int_equal(l.status, 0);
  assert_null(l.report);
  const neap_config *c = l.config;
  assert_int_equal(c->cache.max_entries, 10000);
  assert_int_equal(c->cache.max_memory, UINT64_C(2) << 30); /* our own name goes before the guide's */
  assert_int_equal(c->cache.default_ttl_ms, 5000);
  assert_true(is_policy(c->cache.evict, "lru"));
  assert_string_equal(c->pools[0].balance, "native:round_robin");
  assert_int_equal(c->pools[0].max_retries, 3);
  assert_int_equal(c->pools[0].max_idle, 7);
  assert_int_equal(c->workers, 2);
  assert_int_equal(c->grace_ms, 30000);
  assert_int_equal(c->listener_count, 2);
  assert_int_equal(c->listeners[1].port, 2);
  assert_string_equal(c->access_log, "a.log");
  unload(&l);
}

static void test_wrong_variables_are_errors_that_name_them(void **state) {
  (void)state;
  static const char *const environment[] = {"CACHE_MAX_SIZE=many", "AUTO_SCALING=on",
                                            "NEAP_CACHE_MAXMEMORY=1GB", NULL};
  loaded l = load_at(NULL, START POOL ROUTE, environment);
  assert_int_equal(l.status, NEAP_EINVAL);
  assert_string_equal(
      l.report,
      "environment: error: CACHE_MAX_SIZE: \"many\": write a whole number\n"
      "environment: warning: AUTO_SCALING: this version cannot do that yet; it is ignored\n"
      "environment: warning: NEAP_CACHE_MAXMEMORY: is not known; did you mean NEAP_CACHE_MAX_MEMORY?\n");
  unload(&l);
}

/* --- policy files --- */

static void write_file(const char *folder, const char *name, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void remove_file(const char *folder, const char *name) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  assert_int_equal(remove(path), 0);
}

static void test_policy_files_are_found_beside_the_configuration_and_read_once(void **state) {
  (void)state;
  char folder[] = "/tmp/neap-config-XXXXXX", path[300];
  assert_non_null(mkdtemp(folder));
  write_file(folder, "mine.lua", "return 1");
  write_file(folder, "deep", "");
  remove_file(folder, "deep");
  snprintf(path, sizeof path, "%s/policies", folder);
  assert_int_equal(mkdir(path, 0700), 0);
  snprintf(path, sizeof path, "%s/policies/evict", folder);
  assert_int_equal(mkdir(path, 0700), 0);
  write_file(folder, "policies/evict/other.lua", "return 2");

  loaded l = load_at(folder,
                     START ROUTE "neap.cache { evict = neap.custom 'other' }\n"
                                 "neap.pool { name = 'app', backends = 'a:1', balance = 'mine.lua' }",
                     NULL);
  assert_int_equal(l.status, 0);
  snprintf(path, sizeof path, "%s/mine.lua", folder);
  assert_string_equal(l.config->pools[0].balance, path);
  assert_string_equal(l.config->pools[0].source, "return 1");
  assert_string_equal(l.config->cache_source, "return 2");
  write_file(folder, "mine.lua", "return 3");
  loaded later = load_at(folder,
                         START ROUTE "neap.cache { evict = 'Custom(other)' }\n"
                                     "neap.pool { name = 'app', backends = 'a:1', balance = 'Custom(mine)' }",
                         NULL);
  assert_int_equal(later.status, 0);
  assert_string_equal(l.config->pools[0].source, "return 1");
  assert_string_equal(later.config->pools[0].source, "return 3");
  assert_true(l.config->hash != later.config->hash); /* the text counts */
  unload(&l);
  unload(&later);

  loaded missing = load_at(folder, START POOL ROUTE "neap.cache { evict = neap.custom 'gone' }", NULL);
  snprintf(path, sizeof path,
           "neap.lua:1: error: cache.evict: \"Custom(gone)\": there is no file %s/gone.lua\n", folder);
  assert_string_equal(missing.report, path);
  unload(&missing);
  remove_file(folder, "policies/evict/other.lua");
  remove_file(folder, "policies/evict");
  remove_file(folder, "policies");
  remove_file(folder, "mine.lua");
  assert_int_equal(rmdir(folder), 0);
}

/* The record of `from` with that policy in the place of the pool's ("": of the cache's), loaded. */
static loaded load_with(const neap_config *from, const char *pool, const char *policy) {
  neap_config_record *record = neap_config_record_of(from);
  const neap_config_instead instead = {.pool = pool, .policy = policy};
  neap_config_record *with = neap_config_record_with(record, &instead);
  assert_non_null(with);
  assert_false(neap_config_record_same(record, with));
  loaded l = {0};
  l.status = neap_config_load_record(&host, with, 8, &l.config, &l.report);
  neap_config_record_unref(&with);
  neap_config_record_unref(&record);
  return l;
}

static void test_one_policy_may_stand_in_the_place_of_another(void **state) {
  (void)state;
  static const char *const environment[] = {"LB_ALGORITHM=random", NULL};
  loaded first = load_at(NULL,
                         START POOL "neap.pool { name = 'b', backends = { '127.0.0.1:1' }, balance = "
                                    "'consistent_hash', params = { load = 1.5 } } "
                                    "neap.cache { evict = 'lru' } " ROUTE,
                         environment);
  loaded second = load_with(first.config, "b", "p2c");
  assert_int_equal(second.status, 0);
  assert_true(is_policy(second.config->pools[0].balance, "random"));
  assert_true(is_policy(second.config->pools[1].balance, "p2c"));
  assert_int_equal(second.config->pools[1].param_count, 0);
  loaded third = load_with(second.config, "", "sieve");
  assert_int_equal(third.status, 0);
  assert_true(is_policy(third.config->cache.evict, "sieve"));
  assert_true(is_policy(third.config->pools[1].balance, "p2c")); /* the one before stays */
  loaded last = load_with(third.config, "b", "round_robin");
  neap_config_record *record = neap_config_record_of(last.config);
  size_t count;
  const neap_config_instead *instead = neap_config_record_instead(record, &count);
  assert_int_equal(count, 2); /* and the same pool's goes */
  assert_string_equal(instead[1].policy, "round_robin");
  neap_config_record_unref(&record);
  unload(&last);
  unload(&third);
  unload(&second);
  unload(&first);
}

static void test_what_cannot_stand_there_is_refused(void **state) {
  (void)state;
  loaded first = load_good(START POOL ROUTE);
  loaded bad = load_with(first.config, "nobody", "p2c");
  assert_int_equal(bad.status, NEAP_EINVAL);
  assert_non_null(strstr(bad.report, "there is no pool \"nobody\""));
  unload(&bad);
  bad = load_with(first.config, "app", "p2x");
  assert_int_equal(bad.status, NEAP_EINVAL);
  unload(&bad);
  unload(&first);
}

static void test_paths_that_no_request_has_are_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"/a//b", "/a/../b", "/a/.", "/%61", "/a%2Fb", "/a%c3", "/a%5C", "/a%7e*"};
  static const char *const good[] = {"/a.b/..c", "/%C3%A9", "/a%20b*", "/.well-known/"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0] + sizeof good / sizeof good[0]; i++) {
    size_t count = sizeof bad / sizeof bad[0];
    char text[512], *report;
    neap_config *config = NULL;
    snprintf(text, sizeof text,
             "local neap = require 'neap' neap.listen { http = ':80' }\n"
             "neap.route { path = '%s', respond = 200 }",
             i < count ? bad[i] : good[i - count]);
    const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
    int code = neap_config_load(&host, &source, 1, &config, &report);
    assert_int_equal(code, i < count ? NEAP_EINVAL : 0);
    if (code) assert_non_null(strstr(report, "neap.lua:2: error: route.path: "));
    free(report);
    neap_config_destroy(&config);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paths_that_no_request_has_are_refused),
      cmocka_unit_test(test_five_lines_are_enough),
      cmocka_unit_test(test_everything_a_route_can_say_arrives),
      cmocka_unit_test(test_units_and_parameters_arrive),
      cmocka_unit_test(test_names_of_the_guide_are_accepted),
      cmocka_unit_test(test_every_problem_is_told_with_its_own_line),
      cmocka_unit_test(test_unknown_policies_are_errors_with_a_suggestion),
      cmocka_unit_test(test_features_that_do_not_exist_yet_are_refused),
      cmocka_unit_test(test_routes_that_make_no_sense_are_refused),
      cmocka_unit_test(test_a_resp_port_needs_no_route),
      cmocka_unit_test(test_listeners_are_checked),
      cmocka_unit_test(test_the_environment_moves_http_alone),
      cmocka_unit_test(test_nothing_to_do_is_an_error),
      cmocka_unit_test(test_route_that_is_never_reached_is_a_warning),
      cmocka_unit_test(test_files_that_do_not_run_say_where),
      cmocka_unit_test(test_without_tiers_there_are_none),
      cmocka_unit_test(test_everything_tiers_can_say_arrives),
      cmocka_unit_test(test_tiers_that_are_the_same_hash_alike),
      cmocka_unit_test(test_tiers_that_make_no_sense_are_refused),
      cmocka_unit_test(test_tiers_come_from_the_environment_too),
      cmocka_unit_test(test_equal_tables_hash_alike_and_others_do_not),
      cmocka_unit_test(test_environment_overrides_the_file),
      cmocka_unit_test(test_wrong_variables_are_errors_that_name_them),
      cmocka_unit_test(test_policy_files_are_found_beside_the_configuration_and_read_once),
      cmocka_unit_test(test_one_policy_may_stand_in_the_place_of_another),
      cmocka_unit_test(test_what_cannot_stand_there_is_refused),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
