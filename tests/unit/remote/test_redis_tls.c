/* The client of Redis over TLS, with certificates made here. */
#include "redis_rig.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static process server, strict;
static neap_redis_tls tls;

/* --- certificates */

static EVP_PKEY *authority_key;
static X509 *authority;

static void path_of(const char *name, char out[128]) {
  snprintf(out, 128, "%s/%s", rig_folder, name);
}

static void add_extension(X509 *certificate, int kind, const char *value) {
  X509V3_CTX how;
  X509V3_set_ctx_nodb(&how);
  X509V3_set_ctx(&how, authority ? authority : certificate, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &how, kind, value);
  assert_non_null(extension);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/* Signed by the authority, or by itself where there is none yet. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, const char *alternative, long from_s,
                              long to_s) {
  X509 *certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), authority ? 2 : 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
  X509_set_pubkey(certificate, key);
  X509_NAME *subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
  X509_set_issuer_name(certificate, authority ? X509_get_subject_name(authority) : subject);
  if (alternative)
    add_extension(certificate, NID_subject_alt_name, alternative);
  else
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  assert_true(X509_sign(certificate, authority ? authority_key : key, EVP_sha256()) > 0);
  return certificate;
}

static void write_certificate(const char *name, X509 *certificate, EVP_PKEY *key) {
  char path[128];
  path_of(name, path);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  PEM_write_X509(file, certificate);
  if (key) PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
  fclose(file);
}

static void make_pair(const char *file, const char *alternative, long from_s, long to_s) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = make_certificate(key, file, alternative, from_s, to_s);
  write_certificate(file, certificate, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

static void start_tls(process *p, const char *pair, const char *clients) {
  char more[512];
  for (int tries = 0;; tries++) {
    process plain = {0};
    uint16_t port = free_port();
    snprintf(more, sizeof more,
             "--tls-port %u --tls-cert-file %s/%s --tls-key-file %s/%s --tls-ca-cert-file %s/ca.pem "
             "--tls-auth-clients %s",
             port, rig_folder, pair, rig_folder, pair, rig_folder, clients);
    server_start(&plain, more);
    *p = plain;
    p->port = port;
    return;
  }
}

static int start_servers(void **state) {
  (void)state;
  enum { DAY = 86400 };
  if (mkdtemp(rig_folder) == NULL) return -1;
  authority_key = EVP_EC_gen("P-256");
  authority = make_certificate(authority_key, "test authority", NULL, -DAY, DAY);
  write_certificate("ca.pem", authority, NULL);
  make_pair("server.pem", "DNS:localhost,IP:127.0.0.1", -DAY, DAY);
  make_pair("old.pem", "DNS:localhost,IP:127.0.0.1", -2 * DAY, -DAY);
  make_pair("client.pem", "DNS:client.test", -DAY, DAY);
  X509_free(authority);
  authority = NULL;
  X509 *stranger = make_certificate(authority_key, "another authority", NULL, -DAY, DAY);
  write_certificate("stranger.pem", stranger, NULL);
  X509_free(stranger);
  EVP_PKEY_free(authority_key);
  start_tls(&server, "server.pem", "no");
  start_tls(&strict, "server.pem", "yes");
  return 0;
}

static int end_servers(void **state) {
  (void)state;
  char command[128];
  process_end(&server);
  process_end(&strict);
  snprintf(command, sizeof command, "rm -rf %s", rig_folder);
  return system(command);
}

static char ca_path[128], client_path[128];

static int set_up(void **state) {
  path_of("ca.pem", ca_path);
  path_of("client.pem", client_path);
  tls = (neap_redis_tls){.ca_file = ca_path};
  int code = rig_set_up(state);
  rig.options.tls = &tls;
  return code;
}

static void expect_refused(uint16_t port, const char *reason) {
  rig_connect(port);
  answer got = rig_ask("PING");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_false(got.sent);
  if (strstr(got.text, reason) == NULL) fail_msg("\"%s\" is not in \"%s\"", reason, got.text);
  neap_redis_destroy(&rig.redis);
}

/* --- tests */

static void test_values_go_through(void **state) {
  (void)state;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  rig_expect("GET key", "value");
  neap_redis_destroy(&rig.redis);
  tls.server_name = "localhost";
  rig_connect(server.port);
  rig_expect("GET key", "value");
}

static void test_large_values_go_both_ways(void **state) {
  (void)state;
  enum { LARGE = 5 << 20 };
  char *body = malloc(LARGE);
  memset(body, 'x', LARGE);
  rig_connect(server.port);
  answer got[4] = {{0}};
  neap_view args[] = {neap_view_of("SET"), neap_view_of("large"), {body, LARGE}};
  neap_redis_command command = {.args = args, .count = 3, .key = args[1], .done = rig_on_done};
  for (int i = 0; i < 4; i++) {
    command.user = &got[i];
    assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  }
  free(body);
  rig.waited_for = 4;
  rig_run();
  for (int i = 0; i < 4; i++) assert_string_equal(got[i].text, "OK");
  assert_int_equal(rig_ask("GET large").end, NEAP_REDIS_DONE);
  assert_true(rig_info().received_bytes > LARGE);
  answer many[500];
  for (int i = 0; i < 500; i++) rig_start(&many[i], "STRLEN large", NULL);
  rig_run();
  for (int i = 0; i < 500; i++) assert_int_equal(many[i].integer, LARGE);
}

static void test_a_server_that_proves_nothing_is_left(void **state) {
  (void)state;
  char stranger[128];
  path_of("stranger.pem", stranger);
  tls.server_name = "elsewhere.test";
  expect_refused(server.port, "TLS: hostname mismatch");
  tls.server_name = "127.0.0.2";
  expect_refused(server.port, "TLS: IP address mismatch");
  tls = (neap_redis_tls){.ca_file = stranger};
  expect_refused(server.port, "TLS: self-signed certificate in certificate chain");
  tls = (neap_redis_tls){0}; /* the authorities of the system do not know it */
  expect_refused(server.port, "TLS: self-signed certificate in certificate chain");
}

static void test_an_expired_certificate_is_refused(void **state) {
  (void)state;
  process expired = {0};
  start_tls(&expired, "old.pem", "no");
  expect_refused(expired.port, "TLS: certificate has expired");
  process_end(&expired);
}

static void test_who_speaks_no_tls_is_left(void **state) {
  (void)state;
  process plain = {0};
  server_start(&plain, "");
  rig.options.connect_timeout_ms = 500; /* it waits for the end of a line that never comes */
  rig_connect(plain.port);
  assert_int_equal(rig_ask("PING").end, NEAP_REDIS_DOWN);
  neap_redis_destroy(&rig.redis);
  process_end(&plain);
  rig.options.tls = NULL;
  rig_connect(server.port); /* and the other way round */
  assert_int_equal(rig_ask("PING").end, NEAP_REDIS_DOWN);
}

static void test_a_server_may_want_to_know_its_client(void **state) {
  (void)state;
  rig_connect(strict.port);
  answer got = rig_ask("PING");
  assert_int_equal(got.end, NEAP_REDIS_DOWN); /* a reset may come before the reason does */
  neap_redis_destroy(&rig.redis);
  tls.certificate_file = client_path;
  rig_connect(strict.port);
  rig_expect("PING", "PONG");
}

static void test_wrong_files_are_told(void **state) {
  (void)state;
  neap_err err = {0};
  snprintf(rig.address, sizeof rig.address, "127.0.0.1:1");
  tls.ca_file = "/nonexistent/ca.pem";
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "cannot read the authorities in \"/nonexistent/ca.pem\""));
  tls.ca_file = ca_path;
  tls.certificate_file = client_path;
  tls.key_file = ca_path; /* holds none */
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "cannot use the key"));
  tls = (neap_redis_tls){.ca_file = ca_path};
  snprintf(rig.address, sizeof rig.address, "unix:/nonexistent");
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "TLS needs the name of the server"));
  assert_null(rig.redis);
}

static bool was_lost(void) {
  return rig_info().failures > 0;
}

static void test_a_lost_connection_comes_again(void **state) {
  (void)state;
  rig.options.connections = 1;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  rig_ask("CLIENT KILL SKIPME no TYPE normal");
  rig_run_until(was_lost);
  rig_expect("GET key", "value");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_values_go_through),
      TEST(test_large_values_go_both_ways),
      TEST(test_a_server_that_proves_nothing_is_left),
      TEST(test_an_expired_certificate_is_refused),
      TEST(test_who_speaks_no_tls_is_left),
      TEST(test_a_server_may_want_to_know_its_client),
      TEST(test_wrong_files_are_told),
      TEST(test_a_lost_connection_comes_again),
  };
  return cmocka_run_group_tests(tests, start_servers, end_servers);
}
