"""What a route does with a request beside sending it on: docs/routing.md, each action inside a running gateway."""

import collections
import unittest

from harness import Case, Gateway, Origin, wire

FRESH = ("Cache-Control", "max-age=60")


def path_of(origin, number=-1):
    return origin.seen[number].target


class Actions(unittest.TestCase):
    """One gateway in front of two pools; each test names its own routes."""

    ROUTES = ""

    @classmethod
    def setUpClass(cls):
        cls.app, cls.beta = Origin(), Origin()
        for origin in (cls.app, cls.beta):
            cls.addClassCleanup(origin.close)
        cls.gateway = Gateway("""
            local neap = require "neap"
            neap.listen { http = "127.0.0.1:0" }
            neap.log { access = "ACCESS_LOG" }
            neap.engine { workers = 1 }
            neap.pool { name = "app", backends = { "%s" } }
            neap.pool { name = "beta", backends = { "%s" } }
            %s""" % (cls.app.address, cls.beta.address, cls.ROUTES))
        cls.addClassCleanup(cls.gateway.stop)

    def ask(self, *arguments, **options):
        return self.gateway.ask(*arguments, **options)

    def hit(self, response):
        return response.all("Cache-Status")[-1:] == ["neap; hit"]


class Rewriting(Actions):
    ROUTES = """
        neap.route { prefix = "/api", pool = "app", rewrite = "/v2{rest}" }
        neap.route { prefix = "/strip", pool = "app", rewrite = { strip = "/strip" } }
        neap.route { prefix = "/move", pool = "app", rewrite = { strip = "/move", prefix = "/to" } }
        neap.route { prefix = "/made", pool = "app", rewrite = "/by/{header x-user}?id={query id}&m={method}" }
        neap.route { prefix = "/drop", pool = "app", rewrite = "{path}?" }
        neap.route { path = "/old/*", redirect = { to = "https://new.example.com/{rest}?{query}", status = 308 } }
        neap.route { path = "/brace", redirect = "/{{x}}" }
        neap.route { path = "/a", header = { ["x-v"] = "1" }, pool = "app", cache = true, rewrite = "/one" }
        neap.route { path = "/a", pool = "app", cache = true, rewrite = "/two" }
    """

    def forwarded(self, target, **options):
        self.assertEqual(self.ask(target, **options).status, 200)
        return path_of(self.app)

    def test_templates(self):
        for target, wanted in (("/api/users?a=1", "/v2/users?a=1"), ("/api", "/v2"), ("/strip/x", "/x"),
                               ("/strip", "/"), ("/move/a/b?c", "/to/a/b?c"), ("/drop/x?secret=1", "/drop/x")):
            with self.subTest(target=target):
                self.assertEqual(self.forwarded(target), wanted)

    def test_what_comes_from_headers_is_encoded(self):
        got = self.forwarded("/made/x?id=a%20b/c&z=1", fields=[("X-User", "../a b?c#d&e=f/%41\xe9")])
        self.assertEqual(got, "/by/..%2Fa%20b%3Fc%23d%26e%3Df%2F%2541%E9?id=a%20b%2Fc&m=GET")

    def test_redirects_are_made_of_the_request(self):
        response = self.ask("/old/page?x=1&y=%20")
        self.assertEqual((response.status, response.get("Location")), (308, "https://new.example.com/page?x=1&y=%20"))
        self.assertEqual(self.ask("/brace").get("Location"), "/{x}")

    def test_the_cache_key_is_what_the_backend_was_asked_for(self):
        self.app.on("/one", wire.response(fields=[FRESH], body=b"1"))
        self.app.on("/two", wire.response(fields=[FRESH], body=b"2"))
        for _ in range(2):
            self.assertEqual(self.ask("/a", fields=[("X-V", "1")]).body, b"1")
            self.assertEqual(self.ask("/a").body, b"2")

    def test_the_log_says_what_the_client_asked_for(self):
        self.ask("/api/logged")
        self.assertEqual(self.gateway.access("/api/logged")[0]["route"], "/api/")


class Splitting(Actions):
    ROUTES = """
        neap.route { path = "/user", split = { app = 50, beta = 50, by = "cookie id" } }
        neap.route { path = "/random", split = { app = 1, beta = 3, by = "random" } }
        neap.route { path = "/all", split = { app = 0, beta = 1 }, cache = true }
        neap.route { path = "/same", split = { app = 1, beta = 1, by = "query u" }, cache = true }
    """

    def pool(self, target, **options):
        before = len(self.beta.seen)
        self.assertEqual(self.ask(target, **options).status, 200)
        return "beta" if len(self.beta.seen) > before else "app"

    def test_one_visitor_stays_with_one_pool(self):
        chosen = collections.Counter()
        for user in range(60):
            pools = {self.pool("/user", fields=[("Cookie", "id=%d" % user)]) for _ in range(2)}
            self.assertEqual(len(pools), 1)
            chosen[pools.pop()] += 1
        self.assertGreater(min(chosen["app"], chosen["beta"]), 15)

    def test_weights(self):
        chosen = collections.Counter(self.pool("/random") for _ in range(200))
        self.assertTrue(120 <= chosen["beta"] <= 175, chosen)
        self.assertEqual({self.pool("/all") for _ in range(5)}, {"beta"})

    def test_pools_do_not_share_what_is_stored(self):
        for origin, body in ((self.app, b"a"), (self.beta, b"b")):
            for user in range(8):
                origin.on("/same?u=%d" % user, wire.response(fields=[FRESH], body=body))
        first = [self.ask("/same?u=%d" % user).body for user in range(8)]
        second = [self.ask("/same?u=%d" % user) for user in range(8)]
        self.assertEqual(first, [one.body for one in second])
        self.assertTrue(all(self.hit(one) for one in second))
        self.assertEqual(set(first), {b"a", b"b"})


class Limits(Actions):
    ROUTES = """
        neap.route { path = "/slow", pool = "app", limit = { rate = "1/h", burst = 3, by = "header x-key" } }
        neap.route { path = "/shared*", pool = "app", limit = { rate = "1/h", burst = 2, by = {} , name = "all" } }
        neap.route { path = "/other", pool = "app", limit = { rate = "1/h", burst = 2, by = {}, name = "all" } }
        neap.route { path = "/client", pool = "app", limit = "1/h" }
    """

    def statuses(self, target, count, **options):
        return [self.ask(target, **options).status for _ in range(count)]

    def test_each_key_has_a_bucket(self):
        self.assertEqual(self.statuses("/slow", 5, fields=[("X-Key", "a")]), [200, 200, 200, 429, 429])
        self.assertEqual(self.statuses("/slow", 4, fields=[("X-Key", "b")]), [200, 200, 200, 429])
        self.assertEqual(self.statuses("/slow", 4), [200, 200, 200, 429])

    def test_a_refusal_says_when_to_come_again_and_keeps_the_connection(self):
        self.statuses("/client", 1)
        with self.gateway.client() as client:
            response = client.ask("/client")
            self.assertEqual(response.status, 429)
            self.assertTrue(0 < int(response.get("Retry-After")) <= 3600)
            self.assertEqual(client.ask("/unknown").status, 404)
        self.assertEqual(self.gateway.access("/client", 2)[1]["reason"], "rate_limited")

    def test_limits_of_one_name_share_their_buckets_also_over_reloads(self):
        self.assertEqual(self.statuses("/shared", 1) + self.statuses("/other", 2), [200, 200, 429])
        with open(self.gateway.config) as file:
            self.gateway.reload(file.read(), "generation=2")
        self.assertEqual(self.statuses("/sharedx", 1), [429])


class Keys(Actions):
    ROUTES = """
        neap.route { path = "/drop", pool = "app", tag = "dropper", cache = { drop_query = { "utm_*", "fbclid" } } }
        neap.route { path = "/keep", pool = "app", cache = { keep_query = { "id" } } }
        neap.route { path = "/own", pool = "app", cache = { key = { "path", "header x-lang", "cookie group" } } }
        neap.route { path = "/answer", respond = { status = 204 } }
    """

    def stored(self, first, second, first_fields=(), second_fields=()):
        for target in (first, second):
            self.app.on(target, wire.response(fields=[FRESH], body=b"x"))
        self.ask(first, fields=first_fields)
        return self.hit(self.ask(second, fields=second_fields))

    def test_parameters_that_do_not_count(self):
        self.assertTrue(self.stored("/drop?a=1", "/drop?utm_source=x&a=1&fbclid=7"))
        self.assertFalse(self.stored("/drop?a=1", "/drop?a=2"))
        self.assertTrue(self.stored("/drop", "/drop?utm_x=1"))
        self.assertFalse(self.stored("/drop?a=1", "/drop?a=1&utm=1"))
        self.assertTrue(self.stored("/keep?id=1&x=2", "/keep?y=3&id=1"))
        self.assertFalse(self.stored("/keep?id=1", "/keep?id=2"))
        self.assertEqual(self.gateway.access("/drop?a=1")[0]["tag"], "dropper")

    def test_parts_that_count(self):
        en, de = [("X-Lang", "en"), ("Cookie", "a=1; group=b")], [("X-Lang", "de"), ("Cookie", "group=b")]
        self.assertTrue(self.stored("/own?a", "/own?b", en, [("Cookie", "group=b"), ("X-Lang", "en")]))
        self.assertFalse(self.stored("/own?a", "/own?a", en, de))
        self.assertFalse(self.stored("/own", "/own", [("X-Lang", "fr")], [("Cookie", "group=fr")]))
        self.assertFalse(self.stored("/own", "/own", [("X-Lang", "it")], [("X-Lang", "it"), ("X-Lang", "it")]))

    def test_an_answer_without_body_has_no_length(self):
        with self.gateway.client() as client:
            response = client.ask("/answer")
            self.assertEqual((response.status, response.get("Content-Length")), (204, None))
            self.assertEqual(client.ask("/answer").status, 204)


if __name__ == "__main__":
    unittest.main()
