/* Names, against a real name server: dnsmasq. */
#include "unit.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "remote/remote.h"

static neap_loop *loop;
static neap_resolver *resolver;
static pid_t server;
static char servers[32];

typedef struct answer {
  int code, told;
  uint32_t ttl_s;
  size_t count;
  neap_found found[8];
} answer;

/* Free for TCP too, where dnsmasq also listens. */
static uint16_t free_port(void) {
  for (;;) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(udp, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(udp, (struct sockaddr *)&address, &size), 0);
    bool both = bind(tcp, (struct sockaddr *)&address, sizeof address) == 0;
    close(udp);
    close(tcp);
    if (both) return ntohs(address.sin_port);
  }
}

static void on_done(void *user, const neap_lookup_reply *reply) {
  answer *to = user;
  to->told++;
  to->code = reply->code;
  to->ttl_s = reply->ttl_s;
  to->count = reply->count;
  for (size_t i = 0; i < reply->count && i < 8; i++) to->found[i] = reply->found[i];
  neap_loop_stop(loop);
}

static answer look_up(neap_lookup_kind kind, const char *name, uint16_t port) {
  answer got = {0};
  assert_int_equal(neap_lookup_start(resolver, kind, name, port, on_done, &got, NULL), 0);
  assert_int_equal(got.told, 0); /* never from within the call */
  neap_loop_run(loop);
  assert_int_equal(got.told, 1);
  return got;
}

static void start_server(uint16_t port) {
  char port_text[16];
  snprintf(port_text, sizeof port_text, "--port=%u", port);
  server = fork();
  if (server != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execlp(
      "dnsmasq", "dnsmasq", "--keep-in-foreground", port_text, "--listen-address=127.0.0.1",
      "--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user=root",
      "--log-facility=/dev/null", "--local=/test/", "--host-record=one.test,127.0.0.1,300",
      "--host-record=two.test,127.0.0.2,::1,60", "--host-record=app.test,127.0.0.3,20",
      "--host-record=app.test,127.0.0.4,20", "--srv-host=_http._tcp.app.test,one.test,8081,1,7",
      "--srv-host=_http._tcp.app.test,two.test,8082,2,0", "--srv-host=_http._tcp.half.test,one.test,8081,1,7",
      "--srv-host=_http._tcp.half.test,gone.test,8082,1,7", "--local-ttl=40", (char *)NULL);
  _exit(127);
}

/* It listens for TCP once it can answer; it ends where another process has taken the port meanwhile. */
static bool is_ready(uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int tries = 0; tries < 500 && waitpid(server, NULL, WNOHANG) == 0; tries++) {
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open = connect(tcp, (struct sockaddr *)&address, sizeof address) == 0;
    close(tcp);
    if (open) return true;
    usleep(20000); /* nobody tells when it is ready */
  }
  return false;
}

/* Once for all tests. */
static int set_up(void **state) {
  (void)state;
  for (int tries = 0; tries < 5; tries++) {
    uint16_t port = free_port();
    start_server(port);
    if (!is_ready(port)) continue;
    snprintf(servers, sizeof servers, "127.0.0.1:%u", port);
    return neap_loop_create(&loop) || neap_resolver_create(loop, servers, &resolver) ? -1 : 0;
  }
  return -1;
}

static int tear_down(void **state) {
  (void)state;
  neap_resolver_destroy(&resolver);
  neap_loop_destroy(&loop);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  return 0;
}

static void test_a_name_has_its_addresses_and_the_time_they_hold(void **state) {
  (void)state;
  answer got = look_up(NEAP_LOOKUP_ADDRESSES, "two.test", 8080);
  assert_int_equal(got.code, 0);
  assert_int_equal(got.count, 2);
  assert_string_equal(got.found[0].address, "127.0.0.2:8080");
  assert_string_equal(got.found[1].address, "[::1]:8080");
  assert_int_equal(got.ttl_s, 60);
}

static void test_an_address_is_its_own_name(void **state) {
  (void)state;
  answer got = look_up(NEAP_LOOKUP_ADDRESSES, "127.0.0.9", 80);
  assert_int_equal(got.code, 0);
  assert_int_equal(got.count, 1);
  assert_string_equal(got.found[0].address, "127.0.0.9:80");
}

static void test_a_service_has_ports_weights_and_priorities(void **state) {
  (void)state;
  answer got = look_up(NEAP_LOOKUP_SERVICES, "_http._tcp.app.test", 0);
  assert_int_equal(got.code, 0);
  assert_int_equal(got.count, 3);
  assert_string_equal(got.found[0].address, "127.0.0.1:8081");
  assert_int_equal(got.found[0].priority, 1);
  assert_int_equal(got.found[0].weight, 7);
  assert_string_equal(got.found[1].address, "127.0.0.2:8082");
  assert_int_equal(got.found[1].priority, 2);
  assert_int_equal(got.found[1].weight, 0);
  assert_string_equal(got.found[2].address, "[::1]:8082");
  assert_int_equal(got.ttl_s, 40); /* of the services themselves */
}

static void test_what_is_not_there_is_told_from_what_nobody_says(void **state) {
  (void)state;
  assert_int_equal(look_up(NEAP_LOOKUP_ADDRESSES, "none.test", 80).code, NEAP_ENOTFOUND);
  assert_int_equal(look_up(NEAP_LOOKUP_SERVICES, "_none._tcp.app.test", 0).code, NEAP_ENOTFOUND);
  assert_int_equal(look_up(NEAP_LOOKUP_SERVICES, "one.test", 0).code, NEAP_ENOTFOUND);
  assert_int_equal(look_up(NEAP_LOOKUP_ADDRESSES, "elsewhere.example", 80).code, NEAP_EIO); /* refused */
}

static void test_a_target_that_is_gone_leaves_the_others(void **state) {
  (void)state;
  answer got = look_up(NEAP_LOOKUP_SERVICES, "_http._tcp.half.test", 0);
  assert_int_equal(got.code, 0);
  assert_int_equal(got.count, 1);
  assert_string_equal(got.found[0].address, "127.0.0.1:8081");
}

static void test_bad_names_are_answered_too(void **state) {
  (void)state;
  char longest[400];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_int_not_equal(look_up(NEAP_LOOKUP_ADDRESSES, longest, 80).code, 0);
  assert_int_not_equal(look_up(NEAP_LOOKUP_SERVICES, longest, 80).code, 0);
  assert_int_not_equal(look_up(NEAP_LOOKUP_ADDRESSES, "", 80).code, 0);
  assert_int_not_equal(look_up(NEAP_LOOKUP_ADDRESSES, "a..b", 80).code, 0);
}

static void test_a_cancelled_lookup_tells_nothing(void **state) {
  (void)state;
  answer none = {0};
  for (int i = 0; i < 3; i++) {
    neap_lookup *lookup;
    const char *names[] = {"one.test", "127.0.0.1", "_http._tcp.app.test"};
    assert_int_equal(neap_lookup_start(resolver, i == 2 ? NEAP_LOOKUP_SERVICES : NEAP_LOOKUP_ADDRESSES,
                                       names[i], 80, on_done, &none, &lookup),
                     0);
    neap_lookup_cancel(&lookup);
    assert_null(lookup);
  }
  assert_int_equal(look_up(NEAP_LOOKUP_ADDRESSES, "two.test", 80).count, 2);
  assert_int_equal(none.told, 0);
}

static void test_destroying_forgets_what_is_under_way(void **state) {
  (void)state;
  neap_resolver *other;
  answer none = {0};
  assert_int_equal(neap_resolver_create(loop, servers, &other), 0);
  for (int i = 0; i < 20; i++)
    assert_int_equal(
        neap_lookup_start(other, NEAP_LOOKUP_SERVICES, "_http._tcp.app.test", 0, on_done, &none, NULL), 0);
  neap_resolver_destroy(&other);
  assert_int_equal(look_up(NEAP_LOOKUP_ADDRESSES, "two.test", 80).count, 2);
  assert_int_equal(none.told, 0);
}

static void test_servers_that_cannot_be_read_are_refused(void **state) {
  (void)state;
  neap_resolver *other;
  assert_int_equal(neap_resolver_create(loop, "not a server", &other), NEAP_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_name_has_its_addresses_and_the_time_they_hold),
      cmocka_unit_test(test_an_address_is_its_own_name),
      cmocka_unit_test(test_a_service_has_ports_weights_and_priorities),
      cmocka_unit_test(test_what_is_not_there_is_told_from_what_nobody_says),
      cmocka_unit_test(test_a_target_that_is_gone_leaves_the_others),
      cmocka_unit_test(test_bad_names_are_answered_too),
      cmocka_unit_test(test_a_cancelled_lookup_tells_nothing),
      cmocka_unit_test(test_destroying_forgets_what_is_under_way),
      cmocka_unit_test(test_servers_that_cannot_be_read_are_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
