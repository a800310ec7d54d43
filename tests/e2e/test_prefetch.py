"""Prefetching in the running gateway: links, policies, operators; its budget, and what must not be fetched."""

import json
import os
import tempfile
import unittest

from harness import Client, Gateway, Origin, wire

FRESH = ("Cache-Control", "max-age=60")
CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.admin { listen = "127.0.0.1:0" }
neap.cache { max_memory = "16MB", %(cache)s prefetch = %(prefetch)s }
neap.pool { name = "app", backends = { "%(origin)s" } }
neap.route { path = "/off*", pool = "app", cache = { prefetch = false } }
neap.route { path = "/", pool = "app", cache = true }
neap.log { access = "ACCESS_LOG" }
neap.engine { workers = %(workers)d }
"""


class Prefetch(unittest.TestCase):
    def start(self, prefetch="true", cache="", workers=1):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.gateway = Gateway(self.config(prefetch, cache, workers))
        self.addCleanup(self.gateway.stop)
        self.port = int(self.gateway.wait_line(r"server admin address=127\.0\.0\.1:(\d+)").group(1))

    def config(self, prefetch, cache="", workers=1):
        return CONFIG % dict(origin=self.origin.address, prefetch=prefetch, cache=cache, workers=workers)

    def admin(self, target, body=None):
        fields = [("Content-Type", "application/json")] if body is not None else []
        with Client(self.port) as client:
            answer = client.ask(target, method="GET" if body is None else "POST", fields=fields, host="127.0.0.1",
                                body=b"" if body is None else json.dumps(body).encode())
        return answer.body.decode()

    def prefetch(self, **body):
        return json.loads(self.admin("/v1/prefetch", body))

    def status(self):
        return json.loads(self.admin("/v1/status"))["prefetch"]

    def figures(self, name):
        """The figures of one issuer."""
        return [one for one in self.status()["issuers"] if one["issuer"] == name][0]

    def wait_for(self, name, **figures):
        """Until that issuer has these figures."""
        def there():
            now = self.figures(name)
            return now if all(now[figure] == value for figure, value in figures.items()) else None
        try:
            return wire.wait_until(there, "figures")
        except AssertionError:
            raise AssertionError("%s is %s, not %s" % (name, self.figures(name), figures)) from None

    def wait_idle(self):
        """Until nothing is under way; what was told before the last request has been heard by then."""
        wire.wait_until(lambda: self.status()["in_flight"] == 0, "prefetches to end")

    def page(self, path, links, fields=(FRESH,), body=b"page"):
        self.origin.on(path, wire.response(fields=list(fields) + [("Link", link) for link in links], body=body))

    def fresh(self, *paths):
        for path in paths:
            self.origin.on(path, wire.response(fields=[FRESH], body=path.encode()))

    def is_hit(self, path):
        answer = self.gateway.ask(path)
        self.assertEqual(answer.status, 200)
        return answer.all("Cache-Status")[-1:] == ["neap; hit"]

    # --- links

    def test_what_a_page_preloads_is_there_when_it_is_asked_for(self):
        self.start()
        self.page("/page", ["</a.css>; rel=preload; as=style, <b.js>; rel=\"prefetch\""])
        self.fresh("/a.css", "/b.js")
        self.gateway.ask("/page", fields=[("Accept-Encoding", "gzip"), ("Cookie", "secret=1")])
        request = self.origin.wait("/a.css")
        self.assertEqual(request.get("Sec-Purpose"), "prefetch")
        self.assertEqual(request.get("Accept-Encoding"), "gzip")
        self.assertNotIn("Cookie", request)
        self.assertNotIn("X-Forwarded-For", request)
        self.wait_idle()
        self.assertTrue(self.is_hit("/a.css"))
        self.assertTrue(self.is_hit("/b.js"))
        self.assertTrue(self.is_hit("/a.css"))
        self.assertEqual(self.wait_for("links", issued=2, used=2)["late"], 0)
        self.assertEqual(len(self.origin.for_path("/a.css")), 1)
        line = self.gateway.access("/a.css", 3)[0]
        self.assertEqual((line["purpose"], line["stored"]), ("prefetch", "yes"))
        self.assertNotIn("client", line)
        metrics = self.admin("/metrics")
        self.assertIn('neap_prefetch_issued_total{issuer="links"} 2\n', metrics)
        self.assertIn('neap_prefetch_used_total{issuer="links"} 2\n', metrics)
        self.assertIn('code="2xx",cache="uri-miss"} 1\n', metrics)  # the page: prefetches are no requests

    def test_pages_that_name_the_next_are_followed_as_they_are_used(self):
        self.start()
        for number in range(1, 6):
            self.page("/p/%d" % number, ["<%d>; rel=next" % (number + 1)])
        self.gateway.ask("/p/1")
        self.origin.wait("/p/2")
        self.wait_idle()
        self.assertEqual(self.origin.for_path("/p/3"), [])  # a prefetch alone leads to no other
        for number in range(2, 5):
            self.wait_idle()
            self.assertTrue(self.is_hit("/p/%d" % number), number)
            self.origin.wait("/p/%d" % (number + 1))

    def test_other_places_are_left_alone(self):
        self.start()
        elsewhere = Origin()
        self.addCleanup(elsewhere.close)
        self.page("/page", ["<http://%s/x>; rel=preload, <//%s/y>; rel=next" % (elsewhere.address, elsewhere.address),
                            "<javascript:alert(1)>; rel=preload, <data:,x>; rel=preload, </a b>; rel=preload",
                            "<unclosed; rel=preload", "</last>; rel=preload"])
        self.fresh("/last")
        self.gateway.ask("/page")
        self.origin.wait("/last")
        self.wait_for("links", issued=1)
        self.assertEqual({one.target for one in self.origin.seen}, {"/page", "/last"})
        self.assertEqual(elsewhere.accepted, 0)

    def test_ten_thousand_links_and_loops(self):
        self.start()
        many = ", ".join("</%d>;rel=next" % number for number in range(700))
        self.page("/many", ["<many>; rel=next, </many>; rel=preload, </loop>; rel=preload", many])
        self.page("/loop", ["</many>; rel=next, </loop>; rel=next"])
        self.gateway.ask("/many")
        self.origin.wait("/loop")
        self.wait_for("links", issued=16)
        self.wait_idle()
        for _ in range(3):
            self.gateway.ask("/loop")
            self.gateway.ask("/many")
        self.wait_idle()
        self.assertEqual(len(self.origin.for_path("/many")), 1)
        self.assertEqual(len(self.origin.for_path("/loop")), 1)
        self.assertEqual(self.figures("links")["issued"], 16)

    def test_a_route_that_is_not_to_prefetch_does_not(self):
        self.start()
        self.page("/off", ["</a>; rel=preload"])
        self.page("/on", ["</off/2>; rel=preload, </b>; rel=preload"])
        self.fresh("/b")
        self.gateway.ask("/off")
        self.gateway.ask("/on")
        self.origin.wait("/b")
        self.wait_for("links", issued=2, wasted=1)
        self.assertEqual({one.target for one in self.origin.seen}, {"/off", "/on", "/b"})

    def test_links_that_nobody_follows_are_believed_no_more(self):
        self.start(prefetch="{ policy = false, budget = { per_second = 1000 } }")
        self.fresh("/hot")
        for number in range(41):
            self.page("/p/%d" % number, ["</x/%d>; rel=preload" % number])
            self.fresh("/x/%d" % number)
        for number in range(40):
            self.gateway.ask("/p/%d" % number)
            self.origin.wait("/x/%d" % number)
        with self.gateway.client() as client:
            for _ in range(4200):  # nobody asks for them for so long
                client.ask("/hot")
        self.gateway.ask("/a-miss")
        self.wait_for("links", state="paused")
        self.gateway.ask("/p/40")
        figures = self.wait_for("links", suppressed=1)
        self.assertEqual((figures["issued"], figures["used"]), (40, 0))
        self.assertGreaterEqual(figures["wasted"], 32)
        self.assertFalse(self.is_hit("/x/0"))  # dropped

    # --- policies

    def test_numbers_that_go_up_are_fetched_ahead(self):
        self.start(prefetch='{ policy = "stride", links = false, budget = { per_second = 10000 } }', workers=2)
        for number in range(400):
            path = "/part/%04d.ts" % number
            self.fresh(path)
        with self.gateway.client() as client:
            for number in range(300):
                self.assertEqual(client.ask("/part/%04d.ts" % number).body, b"/part/%04d.ts" % number)
        self.wait_idle()
        figures = self.figures("stride")
        self.assertEqual(figures["state"], "open", figures)
        self.assertGreater(figures["used"] + figures["late"], 50, figures)
        sent = [one.target for one in self.origin.seen if one.get("Sec-Purpose")]
        self.assertGreater(len(sent), 0)
        self.assertLessEqual(len(sent), figures["issued"], figures)  # clients may have been faster
        self.assertEqual(len(sent), len(set(sent)))

    def test_what_was_asked_for_together_is_fetched_together(self):
        self.start(prefetch='{ policy = "association", budget = { per_second = 10000 } }', cache="max_entries = 60,")
        paths = ["/%s" % word * 2 for word in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        paths += [path + "-more" for path in paths]
        self.fresh(*paths)
        with self.gateway.client() as client:
            for _ in range(12):
                for path in paths:
                    client.ask(path)
        figures = self.figures("association")
        self.assertEqual(figures["state"], "open", figures)
        self.assertGreater(figures["used"], 20, figures)

    def test_a_policy_that_never_ends_is_taken_out(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "endless.lua")
            with open(path, "w") as file:
                file.write('local policy = require "neap.policy"\n'
                           'local endless = policy.prefetch { name = "endless" }\n'
                           'function endless.want(hash, space, number)\n'
                           '  if number == 424242 then while true do end end\n'
                           '  if number == 434343 then local nothing = nil; return nothing.x end\n'
                           'end\n'
                           'return endless\n')
            self.start(prefetch='{ policy = "%s" }' % path)
        for number in (434343, 424242, 424242, 424242, 424242, 424242):
            for _ in range(3):
                self.assertEqual(self.gateway.ask("/%d" % number).status, 200)
            self.wait_idle()
        def faults():
            found = [one for one in json.loads(self.admin("/v1/policies"))["policies"] if one["kind"] == "prefetch"]
            return found if found[0]["trips"] > 0 else None
        view = wire.wait_until(faults, "the policy to be taken out")[0]
        self.assertEqual(view["policy"], "endless")
        self.page("/page", ["</a>; rel=preload"])
        self.fresh("/a")
        self.gateway.ask("/page")
        self.origin.wait("/a")  # links need no policy

    # --- what is about to expire

    def test_what_is_in_use_does_not_expire(self):
        self.start(prefetch="{ policy = false, refresh = 0.9 }")
        self.origin.on("/a", wire.response(fields=[("Cache-Control", "max-age=5")], body=b"a"))
        self.gateway.ask("/a")

        def refreshed():
            self.gateway.ask("/a")
            return self.figures("refresh")["used"] >= 2 or None
        wire.wait_until(refreshed, "it to be fetched anew")
        self.assertIn("prefetch", [one.get("Sec-Purpose") for one in self.origin.for_path("/a")])
        self.assertTrue(self.is_hit("/a"))

    # --- operators

    def test_what_an_operator_wants_is_fetched(self):
        self.start(prefetch="{ policy = false }")
        host = "127.0.0.1:%d" % self.gateway.port
        self.fresh("/a?b", "/c")
        self.assertEqual(self.prefetch(url="http://%s/a?b#c" % host), {"ok": True, "url": "http://%s/a?b#c" % host,
                                                                      "fetching": True})
        self.origin.wait("/a?b")
        self.wait_idle()
        self.assertFalse(self.prefetch(url="/a?b", host=host)["fetching"])
        self.assertTrue(self.prefetch(url="/c", host=host)["fetching"])
        self.origin.wait("/c")
        self.wait_idle()
        with self.gateway.client() as client:
            self.assertEqual(client.ask("/a?b", host=host).all("Cache-Status"), ["neap; hit"])
        self.wait_for("asked", issued=2, used=1)
        for wrong in ({}, {"url": "a"}, {"url": "ftp://a/b"}, {"url": "/a"}, {"url": "/a b", "host": "a"},
                      {"url": "/a\r\nX: y", "host": "a"}, {"url": "http:///a"}, {"url": "http://a/b", "host": "c"},
                      {"url": "/" + "a" * 3000, "host": "a"}, {"url": 1}, {"url": "/a", "host": "a", "b": 1}):
            answer = self.prefetch(**wrong)
            self.assertFalse(answer["ok"], wrong)

    def test_the_budget_holds(self):
        self.start(prefetch="{ budget = { in_flight = 2, per_second = 1000 } }")
        go = []

        def slow(connection, request):
            wire.wait_until(lambda: go, "the test to go on")
            connection.send(wire.response(fields=[FRESH], body=b"x"))
        for number in range(20):
            self.origin.on("/%d" % number, slow)
        answers = [self.prefetch(url="/%d" % number, host="a") for number in range(20)]
        self.assertEqual([one["ok"] for one in answers], [True] * 2 + [False] * 18)
        self.assertIn("budget", answers[2]["error"])
        self.assertEqual(self.gateway.ask("/client").status, 200)
        go.append(True)
        self.wait_idle()
        self.assertEqual(self.figures("asked")["refused"], 18)
        self.assertEqual(len([one for one in self.origin.seen if one.get("Sec-Purpose")]), 2)
        self.assertIn('neap_prefetch_refused_total{issuer="asked"} 18\n', self.admin("/metrics"))

    def test_what_came_to_nothing_is_not_fetched_again_at_once(self):
        self.start()
        private = wire.response(fields=[("Cache-Control", "private, max-age=60")], body=b"mine")
        self.origin.on("/private", private)
        for number in range(4):
            self.page("/p/%d" % number, ["</private>; rel=preload"])
            self.gateway.ask("/p/%d" % number)
            self.wait_idle()
        self.wait_for("links", issued=1, wasted=1)
        self.assertEqual(len(self.origin.for_path("/private")), 1)

    # --- reload

    def test_a_reload_keeps_what_is_known(self):
        self.start(workers=2)
        self.page("/page", ["</a>; rel=preload, </b>; rel=preload"])
        self.fresh("/a", "/b")
        self.gateway.ask("/page")
        self.wait_for("links", issued=2)
        self.wait_idle()
        targets = self.status()["targets"]
        self.gateway.reload(self.config('{ policy = "association", budget = { per_second = 7 }, memory = "1MB" }'),
                            "server reloaded|server reload_done|generation=2")
        wire.wait_until(lambda: len(self.status()["issuers"]) == 4, "the new generation")
        self.assertEqual(self.status()["targets"], targets)
        self.assertTrue(self.is_hit("/a"))
        self.wait_for("links", issued=2, used=1)
        self.gateway.reload(self.config("false"), "generation=3")
        wire.wait_until(lambda: self.status() is None, "the new generation")
        self.assertFalse(self.is_hit("/b"))  # nobody had asked for it: it was dropped
        self.assertFalse(self.prefetch(url="/c", host="a")["ok"])
        self.gateway.reload(self.config("true"), "generation=4")
        wire.wait_until(self.status, "the new generation")
        self.assertEqual(self.figures("links")["issued"], 0)


if __name__ == "__main__":
    unittest.main()
