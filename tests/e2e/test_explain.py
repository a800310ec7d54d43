"""neap explain: what would be done with a request, and what was done with one. Whole pages, ports put aside."""

import json
import re
import subprocess
import threading
import unittest

from harness import PROGRAM, TIMEOUT, Gateway, Origin, config, wire

ROUTES = """
neap.route { name = "api", prefix = "/api", method = { "GET", "HEAD" }, pool = "app", cache = { ttl = "1m" } }
neap.route { name = "beta", prefix = "/api", header = { ["x-beta"] = true }, pool = "app" }
neap.route { name = "never", path = "/never", when = function(req) return false end, respond = 204 }
neap.route { name = "shop", host = "shop.example", path = "/cart", query = { id = true }, pool = "app" }
neap.route { name = "gone", path = "/gone", respond = { status = 410, body = "gone" } }
"""


class Explain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        cls.gateway = Gateway(config(cls.origin, workers=2, more=ROUTES))
        cls.addClassCleanup(cls.gateway.stop)

    def run_explain(self, *arguments):
        return subprocess.run([PROGRAM, "explain", *arguments, "-c", self.gateway.config], capture_output=True, text=True,
                              timeout=TIMEOUT * 3, check=False)

    def page(self, *arguments):
        run = self.run_explain(*arguments)
        self.assertEqual(run.returncode, 0, run.stderr)
        text = run.stdout.replace("%s" % self.origin.address, "BACKEND")
        return re.sub(r" +\d+\.\d\d +\d+\.\d\d", " EWMA SCORE", text)

    def json(self, *arguments):
        run = self.run_explain("--json", *arguments)
        return json.loads(run.stdout.splitlines()[-1])

    def test_a_request_that_would_go_to_a_backend(self):
        self.assertEqual(self.page("/api/x?y=1", "a.example"), """\
route     api (generation 1)
steps     recv,route,lookup,balance
cache     uri-miss: nothing is stored for its target
key       http://a.example/api/x?y=1 (space app)
pool      app
policy    adaptive
backend   BACKEND
candidates            weight  in flight    ewma ms      score
* BACKEND          1          0 EWMA SCORE
other routes          why not
  /                    less specific
  beta                 header
  never                path
  shop                 host
  gone                 path
""")

    def test_a_request_that_a_route_would_answer(self):
        self.assertEqual(self.page("/gone"), """\
route     gone (generation 1)
steps     recv,route
answer    410
other routes          why not
  /                    less specific
  api                  path
  beta                 path
  never                path
  shop                 host
""")

    def test_predicates_headers_methods_and_hosts_have_their_say(self):
        others = {one["route"]: one["why"] for one in self.json("/never")["others"]}
        self.assertEqual(others["never"], "predicate")
        self.assertEqual(self.json("/api", "headers=X-Beta: 1")["route"], "api")  # methods come before headers
        posted = self.json("/api", "method=POST", "headers=X-Beta: 1")
        self.assertEqual(posted["route"], "beta")
        self.assertEqual({one["route"]: one["why"] for one in posted["others"]}["api"], "method")
        self.assertEqual(self.json("/cart?id=1", "shop.example")["route"], "shop")
        self.assertEqual({one["route"]: one["why"] for one in self.json("/cart?id=1", "x.example")["others"]}["shop"], "host")

    def test_a_hit_is_told_with_its_tier_and_age(self):
        self.gateway.ask("/api/kept", host="a.example")
        told = self.json("/api/kept", "a.example")
        self.assertEqual((told["cache"]["result"], told["cache"]["tier"], told["cache"]["age_s"]), ("hit", "memory", 0))
        self.assertNotIn("backend", told)

    def test_what_is_malformed_is_explained_by_its_refusal(self):
        self.assertEqual(self.json("/", "a..b/c")["end"]["code"], "host")
        self.assertIn("malformed", self.json("/a b")["error"])

    def test_a_request_that_would_wait_in_the_queue(self):
        held = threading.Event()
        self.addCleanup(held.set)
        origin = Origin()
        self.addCleanup(origin.close)
        origin.on("/held", lambda connection, _: (held.wait(TIMEOUT), connection.send(wire.response(body=b"x"))))
        gateway = Gateway(config(backends='"%s max_connections=1"' % origin.address, cache="false"))
        self.addCleanup(gateway.stop)
        with gateway.client() as client:
            client.send(wire.request("/held"))
            origin.wait("/held")
            page = subprocess.run([PROGRAM, "explain", "/x", "-c", gateway.config], capture_output=True, text=True,
                                  timeout=TIMEOUT, check=True).stdout
            self.assertIn("\nwaits     in the queue, until a backend is free\n", page)
            self.assertIn("barred: full", page)
            self.assertNotIn("\nbackend  ", page)
            held.set()
            self.assertEqual(client.response().status, 200)

    def test_explaining_is_not_counted_and_asks_nobody(self):
        seen = len(self.origin.for_path("/quiet"))
        self.gateway.ask("/api/counted", host="a.example")
        before = self.figures()
        for _ in range(3):
            self.json("/quiet")
            self.assertEqual(self.json("/api/counted", "a.example")["cache"]["result"], "hit")
            self.assertEqual(self.json("/api/uncounted", "a.example")["cache"]["result"], "uri-miss")
        self.assertEqual(len(self.origin.for_path("/quiet")), seen)
        self.assertEqual(self.figures(), before)

    def figures(self):
        run = subprocess.run([PROGRAM, "metrics", "-c", self.gateway.config], capture_output=True, text=True,
                             timeout=TIMEOUT * 3, check=True)
        return [line for line in run.stdout.splitlines() if line.startswith(
            ("neap_requests_", "neap_backend_requests_", "neap_cache_lookups_", "neap_reasons_"))]

    def test_a_request_is_found_by_the_id_that_its_backend_and_log_got(self):
        self.gateway.ask("/one?x=1")
        given = self.origin.wait("/one?x=1").get("X-Request-Id")
        self.assertRegex(given, "^[0-9a-f]{16}$")
        self.assertEqual(self.gateway.access("/one?x=1")[0]["id"], given)
        told = self.json("id=" + given)
        self.assertEqual((told["target"], told["status"], told["route"], told["backend"], told["end"]["code"]),
                         ("/one?x=1", 200, "/", self.origin.address, "ok"))
        self.assertEqual(told["steps"], ["recv", "route", "lookup", "balance", "fetch", "store", "deliver", "finish"])
        self.assertEqual(told["stored"]["code"], "no_lifetime")
        page = self.page("id=" + given)
        self.assertRegex(page, r"^request   GET example.test/one\?x=1, \d+\.\d s ago, status 200 in \d+\.\d\d ms\n")

    def test_the_clients_own_id_is_kept(self):
        self.gateway.ask("/two", fields=[("X-Request-Id", "order-42/a")])
        self.assertEqual(self.origin.wait("/two").all("X-Request-Id"), ["order-42/a"])
        self.assertEqual(self.gateway.access("/two")[0]["id"], "order-42/a")
        self.assertEqual(self.json("id=order-42/a")["target"], "/two")
        self.gateway.ask("/three", fields=[("X-Request-Id", 'no "id" at all')])
        self.assertEqual(len(self.origin.wait("/three").all("X-Request-Id")), 1)
        self.assertRegex(self.origin.wait("/three").get("X-Request-Id"), "^[0-9a-f]{16}$")

    def test_an_unknown_id_is_said_to_be(self):
        run = self.run_explain("id=nobody")
        self.assertEqual(run.returncode, 1)
        self.assertIn("no request nobody among the newest 512", run.stderr)
