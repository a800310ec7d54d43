"""The admin interface: what it answers, and to whom."""

import json
import socket
import subprocess
import unittest

from harness import PROGRAM, TIMEOUT, Client, Gateway, Origin, config, wire
from test_metrics import promtool

TOKEN = "a-token-of-tests-0123"
JSON = ("Content-Type", "application/json")


class Admin(unittest.TestCase):
    token = ""

    def start(self, more="", pool="", **options):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        token = ', token = "%s"' % self.token if self.token else ""
        self.config = config(self.origin, pool=pool, more='neap.admin { listen = "127.0.0.1:0"%s }\n%s' % (token, more),
                             **options)
        gateway = Gateway(self.config)
        self.addCleanup(gateway.stop)
        self.port = int(gateway.wait_line(r"server admin address=127\.0\.0\.1:(\d+)").group(1))
        return gateway

    def admin(self):
        client = Client(self.port)
        self.addCleanup(client.close)
        return client

    def ask(self, target, method="GET", fields=(), body=None, **options):
        fields = list(fields)
        if self.token and not any(name == "Authorization" for name, _ in fields):
            fields.append(("Authorization", "Bearer " + self.token))
        options.setdefault("host", "127.0.0.1")
        with Client(self.port) as client:
            return client.ask(target, method=method, fields=fields, body=body or b"", **options)


class Loopback(Admin):
    def test_health_and_readiness(self):
        self.start()
        self.assertEqual(self.ask("/healthz").status, 200)
        self.assertEqual(self.ask("/readyz").status, 200)
        self.assertEqual(self.ask("/healthz", method="HEAD").body, b"")
        self.assertEqual(self.ask("/nothing").status, 404)
        self.assertEqual(self.ask("/v1/nonsense").status, 404)

    def test_metrics_in_both_formats(self):
        self.start()
        plain = self.ask("/metrics")
        self.assertEqual(plain.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(promtool("check", "metrics", text=plain.body.decode()).stderr, "")
        opened = self.ask("/metrics", fields=[("Accept", "application/openmetrics-text; version=1.0.0, text/plain")])
        self.assertIn("application/openmetrics-text", opened.get("Content-Type"))
        self.assertTrue(opened.body.endswith(b"# EOF\n"))

    def test_verbs_answer_as_the_control_socket_does(self):
        gateway = self.start()
        gateway.ask("/")
        with self.admin() as client:  # one connection for all
            status = json.loads(client.ask(host="localhost", target="/v1/status").body)
            self.assertEqual((status["ok"], status["generation"]), (True, 1))
            backends = json.loads(client.ask(host="localhost", target="/v1/backends?pool=app").body)["backends"]
            self.assertEqual([(one["backend"], one["state"], one["requests"]) for one in backends],
                             [(self.origin.address, "up", 1)])
            self.assertEqual(json.loads(client.ask(host="localhost", target="/v1/backends?pool=none").body)["error"],
                             "there is no pool 'none'")
            kinds = [one["kind"] for one in json.loads(client.ask(host="localhost", target="/v1/policies").body)["policies"]]
            self.assertEqual(kinds, ["balance", "route", "evict"])
            verbs = json.loads(client.ask(host="localhost", target="/v1/verbs").body)["verbs"]
            self.assertIn("reload", [one["verb"] for one in verbs])

    def test_reload_over_http_tells_its_steps(self):
        gateway = self.start()
        done = self.ask("/v1/reload", method="POST", fields=[JSON], body=b"{}")
        answer = json.loads(done.body)
        self.assertEqual((done.status, answer["generation"]), (200, 2))
        self.assertTrue(answer["steps"])
        gateway.write_config("nonsense(")
        refused = self.ask("/v1/reload", method="POST", fields=[JSON])
        self.assertEqual((refused.status, json.loads(refused.body)["ok"]), (409, False))
        self.assertEqual(gateway.ask("/").status, 200)

    def test_changes_need_post(self):
        self.start()
        self.assertEqual(self.ask("/v1/reload").status, 405)
        self.assertEqual(self.ask("/metrics", method="DELETE").status, 405)

    def test_pages_in_browsers_do_not_get_through(self):
        self.start()
        self.assertEqual(self.ask("/v1/status", host="evil.example").status, 403)
        self.assertEqual(self.ask("/metrics", host="evil.example").status, 403)
        self.assertEqual(self.ask("/v1/reload", method="POST", fields=[("Content-Type", "text/plain")]).status, 415)
        self.assertEqual(self.ask("/v1/reload", method="POST").status, 415)

    def test_log_level_is_set_while_running(self):
        gateway = self.start()
        self.assertEqual(json.loads(self.ask("/v1/log", method="POST", fields=[JSON], body=b'{"level":"error"}').body)["level"],
                         "error")
        self.ask("/v1/reload", method="POST", fields=[JSON])
        bad = self.ask("/v1/log", method="POST", fields=[JSON], body=b'{"level":"loud"}')
        self.assertEqual(bad.status, 409)
        self.assertEqual(json.loads(self.ask("/v1/log", method="POST", fields=[JSON], body=b"{}").body)["level"], "error")
        self.ask("/v1/log", method="POST", fields=[JSON], body=b'{"level":"info"}')
        self.ask("/v1/reload", method="POST", fields=[JSON])
        gateway.wait_line("server reloaded generation=3")
        self.assertIsNone(gateway.find_line("server reloaded generation=2", 0))

    def test_secrets_are_masked(self):
        self.token = TOKEN
        self.start(pool='session = { type = "cookie", secret = "a secret of 16 bytes" },',
                   more='neap.route { path = "/x", pool = "app", request_headers = '
                        '{ set = { Authorization = "Basic c2VjcmV0", ["X-Auth-Token"] = "hidden1" } }, '
                        'query = { api_key = "hidden2" } }')
        text = self.ask("/v1/config").body.decode()
        self.assertEqual(json.loads(text)["config"]["admin"]["token"], "***")
        for secret in (TOKEN, "a secret of 16 bytes", "c2VjcmV0", "hidden1", "hidden2"):
            self.assertNotIn(secret, text)

    def test_bad_requests_are_refused_and_the_rest_is_served(self):
        gateway = self.start()
        for bad in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
                    b"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST /v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n"):
            with self.admin() as client:
                client.send(bad)
                self.assertRegex(client.closed(), rb"^HTTP/1.1 (4|5)\d\d ")
        for body in (b"[]", b"{", b'{"x":1}', b'{"level":3}'):
            self.assertIn(self.ask("/v1/log", method="POST", fields=[JSON], body=body).status, (400, 409))
        with self.admin() as client:
            client.send(b"x" * 200000)
        self.assertEqual(gateway.ask("/").status, 200)

    def test_silent_clients_keep_nobody_out(self):
        self.start()
        with self.admin() as busy:
            silent = []
            for _ in range(70):
                silent.append(socket.create_connection(("127.0.0.1", self.port), TIMEOUT))
                self.assertEqual(busy.ask("/healthz", host="127.0.0.1").status, 200)
            silent[0].settimeout(TIMEOUT)
            self.assertEqual(silent[0].recv(1), b"")  # it was silent for longest
            for one in silent[:8]:
                one.close()
        self.assertTrue(self.is_healthy())
        with self.admin() as late:
            self.assertEqual(late.ask("/healthz", host="127.0.0.1").status, 200)
        for one in silent:
            one.close()

    def test_a_request_has_to_come_in_time(self):
        self.start()
        with self.admin() as slow:
            slow.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            self.assertEqual(slow.response().status, 408)
            self.assertEqual(slow.closed(), b"")

    def test_who_waits_for_100_continue_hears_it(self):
        self.start()
        head = (b"POST /v1/log HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n")
        with self.admin() as client:
            for _ in range(2):
                client.send(head % 2)
                self.assertEqual(client.head().status, 100)
                client.drip(b"{}")
                self.assertEqual(client.response().status, 200)
            client.send(head % 2 + b"{}")  # it did not wait
            self.assertEqual(client.response().status, 200)
            client.send(head % (1 << 20))
            self.assertEqual(client.response().status, 413)

    def is_healthy(self):
        try:
            return self.ask("/healthz").status == 200
        except (OSError, wire.Truncated, wire.Malformed):
            return False

    def test_it_goes_and_comes_with_the_configuration(self):
        gateway = self.start()
        gateway.reload(config(self.origin), "reloaded generation=2")
        self.assertFalse(self.is_healthy())
        start = len(gateway.lines)
        gateway.reload(self.config, "reloaded generation=3")
        self.port = int(gateway.wait_line(r"server admin address=127\.0\.0\.1:(\d+)", start).group(1))
        self.assertTrue(self.is_healthy())

    def test_beyond_loopback_a_token_is_needed(self):
        gateway = self.start()
        gateway.write_config(config(self.origin, more='neap.admin { listen = "0.0.0.0:0" }'))
        run = subprocess.run([PROGRAM, "check", gateway.config], capture_output=True, text=True, timeout=TIMEOUT * 3,
                             check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("0.0.0.0:0 is not a loopback address: a token is needed", run.stdout + run.stderr)


class Token(Admin):
    token = TOKEN

    def test_only_the_token_opens(self):
        self.start()
        self.assertEqual(self.ask("/v1/status").status, 200)
        self.assertEqual(self.ask("/v1/status", host="any.example").status, 200)
        for wrong in ("Bearer", "Bearer ", "Bearer x", "Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x", "Basic " + TOKEN):
            refused = self.ask("/v1/status", fields=[("Authorization", wrong)])
            self.assertEqual((refused.status, refused.get("WWW-Authenticate")), (401, "Bearer"), wrong)
            self.assertEqual(self.ask("/metrics", fields=[("Authorization", wrong)]).status, 401)
            self.assertEqual(self.ask("/healthz", fields=[("Authorization", wrong)]).status, 200)
