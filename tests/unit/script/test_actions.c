/* The actions of routes: what reaches the struct, and what is refused, on which line. */
#include "unit.h"

#include "loop/loop.h"
#include "script/script.h"

#define START                                                                                                \
  "local neap = require 'neap'; neap.listen { http = ':80' }; neap.pool { name = 'app', backends = 'a:1' "   \
  "}; "                                                                                                      \
  "neap.pool { name = 'beta', backends = 'b:1' }\n"

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

static int load(const char *text, neap_config **config, char **report) {
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
  return neap_config_load(&host, &source, 1, config, report);
}

/* The configuration is refused with exactly `expected`. */
static void refuse(const char *routes, const char *expected) {
  char text[4096], *report;
  neap_config *config = NULL;
  snprintf(text, sizeof text, "%s%s", START, routes);
  assert_int_equal(load(text, &config, &report), NEAP_EINVAL);
  assert_string_equal(report, expected);
  free(report);
}

static neap_config *accepted(const char *routes) {
  char text[4096], *report;
  neap_config *config = NULL;
  snprintf(text, sizeof text, "%s%s", START, routes);
  int code = load(text, &config, &report);
  if (code) print_message("%s\n", report);
  assert_int_equal(code, 0);
  free(report);
  return config;
}

/* "kind:text kind:text", to compare with. */
static const char *show(const neap_parts *parts) {
  static const char *const names[] = {
#define PART_NAME(NAME, name) #name,
      NEAP_PARTS(PART_NAME)
#undef PART_NAME
  };
  static char text[512];
  size_t size = 0;
  text[0] = 0;
  for (size_t i = 0; i < parts->count; i++)
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%s:%s", i ? " " : "",
                             names[parts->list[i].kind], parts->list[i].text);
  return text;
}

static void test_routes_without_actions_have_none(void **state) {
  (void)state;
  neap_config *config = accepted("neap.route { path = '/', pool = 'app', cache = true }\n"
                                 "neap.route { path = '/r', redirect = '/x?y={{z}}' }\n");
  assert_null(config->routes[0].actions);
  assert_null(config->routes[1].actions);
  assert_string_equal(config->routes[1].location, "/x?y={z}");
  neap_config_destroy(&config);
}

static void test_templates_become_parts(void **state) {
  (void)state;
  neap_config *config =
      accepted("neap.route { prefix = '/api', pool = 'app', rewrite = '/v2{rest}/{header X-User}?a={query "
               "id}&{query}' }\n"
               "neap.route { path = '/x*', pool = 'app', rewrite = { strip = '/x/', prefix = '/y/' } }\n"
               "neap.route { path = '/z', redirect = '{path}{{' }\n");
  const neap_rewrite *rewrite = &config->routes[0].actions->rewrite;
  assert_string_equal(show(&rewrite->path), "text:/v2 rest:/api text:/ header:x-user");
  assert_true(rewrite->new_query);
  assert_string_equal(show(&rewrite->query), "text:a= parameter:id text:& query:");
  rewrite = &config->routes[1].actions->rewrite;
  assert_string_equal(show(&rewrite->path), "text:/y below:/x");
  assert_false(rewrite->new_query);
  assert_string_equal(show(&config->routes[2].actions->location), "path: text:{");
  neap_config_destroy(&config);
}

static void test_shares_limits_and_keys(void **state) {
  (void)state;
  neap_config *config =
      accepted("neap.route { path = '/s', split = { app = 95, beta = 5, by = { 'cookie id', "
               "'client' } }, tag = 't' }\n"
               "neap.route { path = '/l', pool = 'app', limit = '90/m' }\n"
               "neap.route { path = '/k', pool = 'app', cache = { key = { 'path', 'header "
               "X-A' }, keep_query = 'a' } }\n");
  const neap_actions *actions = config->routes[0].actions;
  assert_int_equal(actions->split.share_count, 2);
  assert_int_equal(actions->split.shares[0].upto, 95);
  assert_int_equal(actions->split.shares[1].pool, 1);
  assert_int_equal(actions->split.shares[1].upto, 100);
  assert_string_equal(show(&actions->split.by), "cookie:id client:");
  assert_string_equal(actions->tag, "t");
  assert_string_equal(config->routes[0].cache_space, "");
  const neap_limit *limit = &config->routes[1].actions->limit;
  assert_true(limit->set && limit->rate == 1.5 && limit->burst == 1 && limit->status == 429);
  assert_string_equal(limit->name, "/l");
  assert_string_equal(show(&limit->by), "client:");
  const neap_key_rule *key = &config->routes[2].actions->key;
  assert_string_equal(show(&key->parts), "path: header:x-a");
  assert_int_equal(key->query, NEAP_QUERY_KEEP);
  assert_string_equal(key->names[0], "a");
  neap_config_destroy(&config);
}

static void test_what_makes_no_sense_is_refused_on_its_line(void **state) {
  (void)state;
  refuse(
      "neap.route { path = '/a', pool = 'app', rewrite = '/{who}' }\n"
      "neap.route { path = '/b', pool = 'app', rewrite = '/{path' }\n"
      "neap.route { path = '/c', pool = 'app', rewrite = '/a b' }\n"
      "neap.route { path = '/d', pool = 'app', rewrite = { to = '/x', strip = '/y' } }\n"
      "neap.route { path = '/e', redirect = 'a b' }\n"
      "neap.route { path = '/f', pool = 'app', rewrite = 7 }\n",
      "neap.lua:2: error: route.rewrite.to: \"/{who}\": {who}: write client, host, path, query, method, "
      "target, "
      "\"header NAME\", \"cookie NAME\" or \"query NAME\"\n"
      "neap.lua:3: error: route.rewrite.to: \"/{path\": a brace does not pair up; \"{{\" stands for \"{\"\n"
      "neap.lua:4: error: route.rewrite.to: \"/a b\": write a path without spaces, with parts in braces: "
      "/v2{rest}\n"
      "neap.lua:5: error: route.rewrite: takes to, or strip and prefix\n"
      "neap.lua:6: error: route.redirect.to: \"a b\": write a URL without spaces\n"
      "neap.lua:7: error: route.rewrite: 7: write a template or a table\n");
  refuse("neap.route { path = '/a', split = { app = 0 } }\n"
         "neap.route { path = '/b', split = { ap = 1 } }\n"
         "neap.route { path = '/c', split = { app = -1, beta = 1, by = 'x' } }\n"
         "neap.route { path = '/d', split = { app = 1 }, pool = 'app' }\n"
         "neap.route { path = '/e', pool = 'app', limit = '10' }\n"
         "neap.route { path = '/f', pool = 'app', limit = { rate = '0/s', burst = 0 } }\n"
         "neap.route { path = '/g', pool = 'app', cache = { keep_query = 'a', drop_query = 'b' } }\n"
         "neap.route { path = '/h', pool = 'app', cache = { key = 'client' } }\n",
         "neap.lua:2: error: route.split: needs a weight above 0\n"
         "neap.lua:3: error: route.split.ap: there is no pool \"ap\"; did you mean \"app\"?\n"
         "neap.lua:4: error: route.split.app: must be at least 0\n"
         "neap.lua:4: error: route.split.by[1]: \"x\": write client, host, path, query, method, target, "
         "\"header NAME\", \"cookie NAME\" or \"query NAME\"\n"
         "neap.lua:5: error: route: takes one of pool, split, respond and redirect\n"
         "neap.lua:6: error: route.limit.rate: \"10\": write \"10/s\", \"600/m\", \"1000/h\" or \"1000/d\"\n"
         "neap.lua:7: error: route.limit.burst: 0: must be at least 1\n"
         "neap.lua:7: error: route.limit.rate: \"0/s\": write \"10/s\", \"600/m\", \"1000/h\" or \"1000/d\"\n"
         "neap.lua:8: error: route.cache: takes one of keep_query and drop_query\n"
         "neap.lua:9: error: route.cache.key[1]: \"client\": is no part of a key\n");
}

static void test_functions_of_a_route(void **state) {
  (void)state;
  neap_config *config =
      accepted("neap.route { path = '/p', pool = function() end, fallback = 'beta', cache = true }\n"
               "neap.route { path = '/k', pool = 'app', cache = { key = function() end } }\n"
               "neap.route { path = '/a', respond = 200, action = function() end, on_fault = 'refuse' }\n");
  const neap_config_route *routes = config->routes;
  assert_int_equal(routes[0].pool, 1);
  assert_string_equal(routes[0].cache_space, "");
  assert_true(routes[0].actions->scripted && !routes[0].actions->scripted_key && !routes[0].actions->strict);
  assert_true(!routes[0].actions->refuses && routes[2].actions->refuses);
  assert_true(routes[1].actions->scripted && routes[1].actions->scripted_key);
  assert_true(routes[2].actions->scripted && routes[2].actions->strict);
  neap_config_destroy(&config);
  refuse(
      "neap.route { path = '/a', pool = function() end }\n"
      "neap.route { path = '/b', pool = 'app', fallback = 'beta' }\n"
      "neap.route { path = '/c', pool = function() end, fallback = 'bta' }\n"
      "neap.route { path = '/d', pool = 'app', on_fault = 'refuse' }\n"
      "neap.route { path = '/e', pool = 'app', action = 'x' }\n",
      "neap.lua:2: error: route: takes fallback where pool is a function or split a table, and only there\n"
      "neap.lua:3: error: route: takes fallback where pool is a function or split a table, and only there\n"
      "neap.lua:4: error: route.fallback: there is no pool \"bta\"; did you mean \"beta\"?\n"
      "neap.lua:5: error: route.on_fault: there is no function that could fail\n"
      "neap.lua:6: error: route.action: \"x\": write a function\n");
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

static void test_who_may(void **state) {
  (void)state;
  neap_config *config = accepted(
      "local plans = neap.table { name = 'plans', rows = { free = '1/s' } }\n"
      "neap.table { name = 'users', rows = { a = 'sha256:s:" HEX64 "' } }\n"
      "neap.table { name = 'shares', kind = 'weights', rows = { app = 1, beta = 2 } }\n"
      "neap.route { path = '/c', pool = 'app', method = 'GET', cors = { origins = { 'https://*.a.example', "
      "'http://b:8' },"
      " credentials = true, expose = 'X-A', max_age = '1m' } }\n"
      "neap.route { path = '/b', pool = 'app', auth = { basic = { joe = 'sha256:s:" HEX64
      "' }, user_header = 'X-User',"
      " forward = false } }\n"
      "neap.route { path = '/t', pool = 'app', auth = { bearer = 'users' }, limit = { rate = '5/s', by = "
      "'header x',"
      " rates = plans } }\n"
      "neap.route { path = '/s', split = { table = 'shares', by = 'client' }, fallback = 'beta' }\n");
  const neap_config_route *routes = config->routes;
  const neap_cors *cors = &routes[0].actions->cors;
  assert_true(cors->set && cors->credentials && !cors->any_origin && cors->origin_count == 2);
  assert_string_equal(cors->methods, "GET, HEAD, POST");
  assert_string_equal(cors->expose, "x-a");
  assert_string_equal(cors->max_age, "60");
  assert_int_equal(routes[0].match.method_count, 2);
  assert_string_equal(routes[0].match.methods[1], "OPTIONS");
  const neap_auth *auth = &routes[1].actions->auth;
  assert_int_equal(auth->scheme, NEAP_AUTH_BASIC);
  assert_int_equal(auth->table, NEAP_NO_TABLE);
  assert_string_equal(auth->users[0].name, "joe");
  assert_true(!auth->forward && strcmp(auth->user_header, "x-user") == 0);
  assert_int_equal(routes[2].actions->auth.scheme, NEAP_AUTH_BEARER);
  assert_int_equal(routes[2].actions->auth.table, 1);
  assert_int_equal(routes[2].actions->limit.table, 0);
  assert_true(config->tables[0].rates && !config->tables[1].rates);
  assert_int_equal(routes[3].actions->split.table, 2);
  assert_int_equal(routes[3].pool, 1);
  assert_int_equal(config->tables[2].kind, NEAP_TABLE_WEIGHTS);
  assert_string_equal(config->tables[2].rows, "\"app\",\"1\"\n\"beta\",\"2\"");
  neap_config_destroy(&config);
}

static void test_who_may_is_checked_and_no_secret_is_shown(void **state) {
  (void)state;
  refuse(
      "neap.route { path = '/a', pool = 'app', cors = { origins = 'a.example' } }\n"
      "neap.route { path = '/b', pool = 'app', cors = { credentials = true } }\n"
      "neap.route { path = '/c', pool = 'app', auth = { basic = { joe = 'geheim' } } }\n"
      "neap.route { path = '/d', pool = 'app', auth = { } }\n"
      "neap.route { path = '/e', pool = 'app', auth = { basic = 'nobody' } }\n"
      "neap.route { path = '/f', split = { table = 'plans' }, fallback = 'app' }\n"
      "neap.table { name = 'plans', rows = { a = '1' } }\n"
      "neap.table { name = 'both', file = 'x', rows = {} }\n"
      "neap.table { name = 'odd', kind = 'tree', rows = { a = {} } }\n",
      "neap.lua:2: error: route.cors.origins[1]: \"a.example\": write an origin: \"https://a.example\", "
      "\"https://*.example.com\", or \"*\" for any\n"
      "neap.lua:3: error: route.cors: with credentials, origins have to be named\n"
      "neap.lua:4: error: route.auth.basic.joe: write \"sha256:SALT:HEX\", as printf %s \"$SALT$SECRET\" | "
      "sha256sum makes it; no secret itself\n"
      "neap.lua:5: error: route.auth: takes one of basic and bearer\n"
      "neap.lua:6: error: route.auth.basic: there is no table \"nobody\"\n"
      "neap.lua:7: error: route.split.table: has to be a table of kind weights\n"
      "neap.lua:9: error: table: takes one of file and rows\n"
      "neap.lua:10: error: table.kind: \"tree\": write map, set, prefix, network or weights\n"
      "neap.lua:10: error: table.rows.a: write a text of one line\n");
}

#define WRITE ": write a rate: \"10/s\", \"600/m\", \"1000/h\", \"1000/d\", or 0\n"

static void test_rates_that_are_none_are_refused(void **state) {
  (void)state;
  refuse(
      "neap.table { name = 'plans', rows = { a = 'soon', b = 'nan', c = '-1/s', d = '5/', e = '5/w', f = "
      "'inf' } }\n"
      "neap.route { path = '/l', pool = 'app', limit = { rate = '5/s', by = 'client', rates = 'plans' } }\n",
      "neap.lua:2: error: table.rows.a: \"soon\"" WRITE "neap.lua:2: error: table.rows.b: \"nan\"" WRITE
      "neap.lua:2: error: table.rows.c: \"-1/s\"" WRITE "neap.lua:2: error: table.rows.d: \"5/\"" WRITE
      "neap.lua:2: error: table.rows.e: \"5/w\"" WRITE "neap.lua:2: error: table.rows.f: \"inf\"" WRITE);
  neap_config *config = accepted(
      "neap.table { name = 'plans', rows = { a = 0, b = '0/s', c = 2.5, d = '10/m', e = '1e3/d' } }\n"
      "neap.route { path = '/l', pool = 'app', limit = { rate = '5/s', by = 'client', rates = 'plans' } }\n");
  neap_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_routes_without_actions_have_none),
      cmocka_unit_test(test_templates_become_parts),
      cmocka_unit_test(test_shares_limits_and_keys),
      cmocka_unit_test(test_what_makes_no_sense_is_refused_on_its_line),
      cmocka_unit_test(test_rates_that_are_none_are_refused),
      cmocka_unit_test(test_functions_of_a_route),
      cmocka_unit_test(test_who_may),
      cmocka_unit_test(test_who_may_is_checked_and_no_secret_is_shown),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
