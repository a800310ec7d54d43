"""What a route does with a request beside sending it on: docs/routing.md, each action inside a running gateway."""

import base64
import collections
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

from harness import PROGRAM, Gateway, Origin, TIMEOUT, wire
from test_control import Line

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
            neap.reload { dry_run = false }
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
        neap.route { path = "/u/*", pool = "app", rewrite = "/users?name={rest}&by={header x-user}" }
        neap.route { path = "/opt/*", pool = "app", rewrite = "/new/{rest}?{query}" }
        neap.route { path = "/seg/*", pool = "app", rewrite = "/a/{header x-user}/{query p}" }
        neap.route { path = "/act", pool = "app", action = function(req, res) res:path("/t/" .. req:query "p") end }
        neap.route { path = "/go/*", redirect = "/{rest}?{query}" }
        neap.route { path = "/lua-go*", pool = "app", action = function(req, res) res:redirect(req:query "to") end }
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
        got = self.forwarded("/made/x?id=a%20b/c&z=1", fields=[("X-User", ".a/a b?c#d&e=f/%41\xe9")])
        self.assertEqual(got, "/by/.a%2Fa%20b%3Fc%23d%26e%3Df%2F%2541%E9?id=a%20b%2Fc&m=GET")

    def test_no_path_adds_a_parameter(self):
        self.assertEqual(self.forwarded("/u/a&by=root#"[:-1]), "/users?name=a%26by%3Droot&by=")
        self.assertEqual(self.forwarded("/u/a%26b+c;d?by=x"), "/users?name=a%26b%2Bc%3Bd&by=")
        self.assertEqual(self.forwarded("/opt/x"), "/new/x")
        self.assertEqual(self.forwarded("/opt/x?"), "/new/x")
        self.assertEqual(self.forwarded("/opt/x?a=1"), "/new/x?a=1")

    def test_nothing_that_is_put_into_a_path_climbs_out_of_it(self):
        self.assertEqual(self.forwarded("/seg/?p=b", fields=[("X-User", "joe")]), "/a/joe/b?p=b")
        self.assertEqual(self.forwarded("/act?p=b"), "/t/b?p=b")
        before = len(self.app.seen)
        for user, query in (("..", "b"), ("../..", "b"), ("x", ".."), ("x", "%2e%2e%2fadmin"), (".", "b")):
            self.assertEqual(self.ask("/seg/?p=" + query, fields=[("X-User", user)]).status, 400)
        for query in ("../admin", "..", "a/..%2fb", "./x"):
            self.assertEqual(self.ask("/act?p=" + query).status, 400)
        self.assertEqual(len(self.app.seen), before)

    def test_a_redirect_to_a_path_never_leaves_the_host(self):
        for target, wanted in (("/go//evil.example", "/evil.example"), ("/go/\\evil.example", "/evil.example"),
                               ("/go/%2Fevil.example", "/evil.example"), ("/go/x?a=1", "/x?a=1")):
            self.assertEqual(self.ask(target).get("Location"), wanted)
        for to in ("//evil.example", "/\\evil.example", "\\\\evil.example"):
            self.assertEqual(self.ask("/lua-go?to=" + to).status, 400)
        self.assertEqual(self.ask("/lua-go?to=/x").get("Location"), "/x")

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


class Hosts(Actions):
    """However a client spells the host, it is the same one: for tables, keys, limits and functions."""

    ROUTES = """
        local closed = neap.table { name = "closed", kind = "set", rows = { "shut.example" } }
        neap.route { path = "/limited", pool = "app", limit = { rate = "1/h", burst = 1, by = "host" } }
        neap.route { path = "/keyed", pool = "app", cache = { key = { "host", "path" } } }
        neap.route { path = "/stored", pool = "app", cache = true }
        neap.route { path = "/closed", pool = "app", action = neap.rule "maintenance" { closed = closed } }
        neap.route { path = "/sharded", fallback = "app", pool = neap.rule "tenant_sharding" {
          shards = { "app" }, moved = neap.table { name = "moved", rows = { ["big.example"] = "beta" } } } }
        neap.route { path = "/told", pool = "app", action = function(req, res) res:respond(200, req.host:text()) end }
        neap.route { path = "/dotted", host = "Dotted.example.", respond = 204 }
    """

    def of(self, target, host):
        return self.ask(target, host=host)

    def test_spellings_of_one_host(self):
        spelt = ("a.example", "A.Example", "a.example.", "A.EXAMPLE.:8080", "a.example:80")
        self.assertEqual([self.of("/told", host).body for host in spelt], [b"a.example"] * 5)
        self.assertEqual(self.of("/told", "[::A]:80").body, b"[::a]")
        self.assertEqual([self.of("/limited", host).status for host in spelt], [200, 429, 429, 429, 429])
        for host in ("shut.example", "Shut.Example.", "SHUT.example:80"):
            self.assertEqual(self.of("/closed", host).status, 503)
        for host in ("big.example", "BIG.example", "big.example."):
            before = len(self.beta.seen)
            self.of("/sharded", host)
            self.assertEqual(len(self.beta.seen), before + 1)
        self.assertEqual([self.of("/dotted", host).status for host in ("dotted.example", "dotted.example.")], [204, 204])

    def test_spellings_share_what_is_stored(self):
        for target in ("/keyed", "/stored"):
            self.app.on(target, wire.response(fields=[FRESH], body=b"x"))
            self.of(target, "k.example")
            for host in ("K.example", "k.example.", "k.example:80", "K.EXAMPLE.:80"):
                self.assertTrue(self.hit(self.of(target, host)), host)
            for host in ("k.example:81", "k.example..", "k.exampl"):
                self.assertFalse(self.hit(self.of(target, host)), host)

    def test_what_is_no_host_is_refused(self):
        for host in (".", "a" * 256, "." * 2 + ":x"):
            self.assertEqual(self.of("/told", host).status, 400, host)


class Paths(Actions):
    """No spelling of a path leads around the route that protects it; the backend gets what was matched."""

    ROUTES = """
        neap.route { prefix = "/admin", pool = "app", auth = { basic = { joe = "%s" } } }
        neap.route { prefix = "/files", pool = "app", rewrite = "/store{rest}" }
        neap.route { prefix = "/strip", pool = "app", rewrite = { strip = "/strip" } }
        neap.route { prefix = "/keys", pool = "app", on_fault = "refuse", action = neap.rule "auth_check" {
          keys = neap.table { name = "keys", rows = { k1 = "acme" } }, open = { "/keys/open" } } }
        neap.route { path = "/told*", pool = "app", action = function(req, res)
          res:respond(200, req.path .. " " .. req.target)
        end }
        neap.route { path = "/", pool = "app", cache = true }
    """ % ("sha256::" + "0" * 64)

    def test_a_protected_area_is_protected_in_every_spelling(self):
        for target in ("/admin", "/admin/x", "/public/../admin", "/public/../admin/x", "/%61dmin", "/admi%6E/x", "//admin",
                       "///admin//x", "/./admin", "/a/./.././admin", "/public/%2e%2e/admin", "/public/.%2E/admin",
                       "/%2Fadmin", "/%2fadmin/x", "/admin%2Fx", "/admin%5cx", "/admin\\x", "/\\admin",
                       "/../admin", "/x/..//admin", "http://example.test/x/../admin", "http://example.test//admin"):
            before = len(self.app.seen)
            self.assertEqual((self.ask(target).status, len(self.app.seen)), (401, before), target)

    def test_what_backends_read_in_more_than_one_way_is_refused(self):
        for target in ("/public/..%2fadmin", "/public%2f../admin", "/public/..;/admin", "/public/..\\admin", "/a%5c..%5cadmin",
                       "/public/%2e%2e%2fadmin", "/public/%2e%2e;x=1/admin"):
            before = len(self.app.seen)
            self.assertEqual((self.ask(target).status, len(self.app.seen)), (400, before), target)

    def test_the_backend_gets_what_was_matched(self):
        for target, wanted in (("/admin/../open", "/open"), ("/a/b/../c?x=/../y", "/a/c?x=/../y"), ("/%7Ejoe", "/~joe"),
                               ("/a%2fb", "/a%2Fb"), ("/a//b", "/a//b"), ("/a;v=1/%C3%A9", "/a;v=1/%C3%A9"),
                               ("/.well-known/x", "/.well-known/x"), ("/files/a%2Fb", "/store/a%2Fb"),
                               ("//files//x", "/store//x"), ("/%66iles/x", "/store/x"), ("/files%2fx", "/store%2Fx"),
                               ("//strip/x", "/x"), ("/strip/../strip", "/")):
            with self.subTest(target=target):
                self.assertEqual(self.ask(target).status, 200)
                self.assertEqual(path_of(self.app), wanted)

    def test_spellings_of_one_path_share_what_is_stored(self):
        self.app.on("/kept", wire.response(fields=[FRESH], body=b"x"))
        self.ask("/kept")
        for target in ("/k%65pt", "/x/../kept", "/./kept"):
            self.assertTrue(self.hit(self.ask(target)), target)
        self.assertFalse(self.hit(self.ask("//kept")))

    def test_functions_see_the_normal_path(self):
        self.assertEqual(self.ask("/x/../told/%61%2f").body, b"/told/a%2F /x/../told/%61%2f")

    def test_open_paths_of_a_rule_are_no_plain_prefixes(self):
        for target, status in (("/keys/open", 200), ("/keys/open/a", 200), ("/keys/openly", 401), ("/keys/open/../x", 401),
                               ("/keys/open/%2e%2e/x", 401), ("/keys/open/..%2fx", 400), ("/keys/o%70en", 200)):
            self.assertEqual(self.ask(target, fields=[("X-Owner", "evil")]).status, status, target)
        self.assertIsNone(self.app.seen[-1].get("X-Owner"))
        self.assertEqual(self.ask("/keys/x", fields=[("X-Owner", "evil"), ("X-API-Key", "k1")]).status, 200)
        self.assertEqual(self.app.seen[-1].all("X-Owner"), ["acme"])


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


class Scripts(Actions):
    ROUTES = """
        local function tenant(req) return req:header "x-tenant" end
        neap.route { path = "/choose", pool = function(req) return tenant(req) end, fallback = "app" }
        neap.route { path = "/action", pool = "app", action = function(req, res)
          res:pool "beta"
          res:path("/acted/" .. tostring(req:query "id"))
          res:query "x=1"
          res:set_request_header("x-by", "neap")
          res:remove_request_header "x-secret"
          res:set_header("X-Group", req:header "x-tenant" or "none")
          res:add_header("set-cookie", "a=1")
          res:add_header("set-cookie", "b=2")
          res:remove_header "server"
          res:tag "acted"
        end }
        neap.route { path = "/respond", pool = "app", action = function(req, res)
          res:set_header("retry-after", 5)
          res:respond(503, "<p>later</p>", "html")
        end }
        neap.route { path = "/redirect", pool = "app", action = function(req, res)
          res:redirect("https://" .. req.host .. "/x", 307)
        end }
        neap.route { path = "/answered", respond = 418, action = function(req, res)
          if req:header "x-tenant" then res:pool "beta" end
        end }
        neap.route { path = "/keyed", pool = "app", cache = { key = function(req)
          local lang = req:header "x-lang"
          return lang and (lang:starts "de" and "de" or "en")
        end } }
        neap.route { path = "/ttl", pool = "app", cache = true, action = function(req, res) res:ttl "1m" end }
        neap.route { path = "/bypass", pool = "app", cache = true, action = function(req, res) res:bypass() end }
        neap.route { path = "/hit", pool = "app", cache = true, action = function(req, res)
          res:set_header("x-who", req:header "x-tenant" or "nobody")
          res:remove_header "x-origin"
        end }
        neap.route { path = "/fault", pool = "app", action = function(req, res)
          res:pool "beta"
          res:tag(req:header("x-tenant"):text())
        end }
        neap.route { path = "/strict", pool = "app", on_fault = "refuse", action = function(req, res)
          if req:header "x-tenant" then return req:header("x-none"):text() end
        end }
        neap.route { path = "/client", pool = "app", action = function(req, res)
          res:path(req:header "x-path" or "/none")
        end }
        neap.route { path = "/client-passes", pool = "app", on_fault = "pass", action = function(req, res)
          res:path(req:header "x-path" or "/none")
        end }
        local function many(req)
          for i = 1, (req:query "n"):number() do req:query "n" end
          return true
        end
        neap.route { path = "/many", pool = "app", when = many }
        neap.route { path = "/many", pool = "beta" }
        neap.route { path = "/many-passes", pool = "app", when = many, on_fault = "pass" }
        neap.route { path = "/many-passes", pool = "beta" }
        neap.route { path = "/long", pool = "app", action = function(req, res)
          if string.rep("x", 1000):find(req:header("x-long"):text()) then res:tag "found" end
        end }
        neap.route { path = "/trip", pool = "app", action = function() local x = nil; return x.y end }
        neap.route { path = "/keyfault", pool = "app", cache = { key = function(req) return req:header("a"):text() end } }
        local bad = {
          path = function(res) res:path "no slash" end, space = function(res) res:path "/a b" end,
          line = function(res) res:set_header("x", "a\\r\\nSet-Cookie: x=1") end,
          name = function(res) res:set_header("x y", "1") end,
          framing = function(res) res:set_request_header("Content-Length", "1") end,
          location = function(res) res:redirect "/a\\nb" end, status = function(res) res:respond(99) end,
          misspelt = function(res) res:tga "x" end, large = function(res) res:tag(string.rep("x", 40000)) end,
        }
        neap.route { path = "/bad", pool = "app", action = function(req, res)
          for name, act in pairs(bad) do if req:query "what":eq(name) then act(res) end end
        end }
    """

    def test_a_function_chooses_the_pool(self):
        before = len(self.beta.seen)
        self.ask("/choose", fields=[("X-Tenant", "beta")])
        self.assertEqual(len(self.beta.seen), before + 1)
        self.ask("/choose")
        self.assertEqual((len(self.beta.seen), path_of(self.app)), (before + 1, "/choose"))
        self.ask("/choose", fields=[("X-Tenant", "mars")])
        self.assertEqual(len(self.beta.seen), before + 1)

    def test_an_action_changes_request_and_response(self):
        response = self.ask("/action?id=7", fields=[("X-Secret", "1"), ("X-Tenant", "t")])
        seen = self.beta.seen[-1]
        self.assertEqual((seen.target, seen.get("X-By"), seen.get("X-Secret")), ("/acted/7?x=1", "neap", None))
        self.assertEqual((response.get("X-Group"), response.all("Set-Cookie")), ("t", ["a=1", "b=2"]))
        self.assertEqual(self.gateway.access("/action?id=7")[0]["tag"], "acted")

    def test_an_action_answers(self):
        response = self.ask("/respond")
        self.assertEqual((response.status, response.body, response.get("Retry-After"), response.get("Content-Type")),
                         (503, b"<p>later</p>", "5", "text/html; charset=utf-8"))
        response = self.ask("/redirect", fields=[])
        self.assertEqual(response.status, 307)
        self.assertRegex(response.get("Location"), r"^https://[^/]+/x$")
        self.assertEqual(self.ask("/answered").status, 418)
        self.assertEqual(self.ask("/answered", fields=[("X-Tenant", "1")]).status, 200)

    def test_an_action_decides_about_the_cache(self):
        for target in ("/keyed", "/bypass"):
            self.app.on(target, wire.response(fields=[FRESH], body=b"x"))
        self.app.on("/ttl", wire.response(body=b"x"))
        self.ask("/keyed", fields=[("X-Lang", "de-AT")])
        self.assertTrue(self.hit(self.ask("/keyed", fields=[("X-Lang", "de-CH")])))
        self.assertFalse(self.hit(self.ask("/keyed", fields=[("X-Lang", "fr")])))
        self.assertTrue(self.hit(self.ask("/keyed", fields=[("X-Lang", "en")])))
        for _ in range(2):
            self.assertFalse(self.hit(self.ask("/keyed")))
            self.assertFalse(self.hit(self.ask("/bypass")))
        self.ask("/ttl")
        self.assertTrue(self.hit(self.ask("/ttl")))

    def test_what_is_set_for_one_client_is_not_stored_for_the_next(self):
        self.app.on("/hit", wire.response(fields=[FRESH, ("X-Origin", "1"), ("X-Who", "origin"), ("ETag", '"e"')],
                                          body=b"x"))
        for who in ("a", "b"):
            response = self.ask("/hit", fields=[("X-Tenant", who)])
            self.assertEqual((response.all("X-Who"), response.get("X-Origin"), response.body), ([who], None, b"x"))
        self.assertTrue(self.hit(response))
        response = self.ask("/hit", fields=[("If-None-Match", '"e"')])
        self.assertEqual((response.status, response.all("X-Who"), response.get("ETag")), (304, ["nobody"], '"e"'))

    def test_a_fault_costs_the_action_not_the_request(self):
        before = len(self.beta.seen)
        self.assertEqual(self.ask("/fault").status, 200)
        self.assertEqual(len(self.beta.seen), before)
        self.gateway.wait_line(r'route fault name="/fault".*neap\.lua:\d+: ')
        self.ask("/fault", fields=[("X-Tenant", "1")])
        self.assertEqual(len(self.beta.seen), before + 1)

    def test_a_strict_route_refuses_when_its_action_fails(self):
        self.assertEqual(self.ask("/strict").status, 200)
        self.assertEqual(self.ask("/strict", fields=[("X-Tenant", "1")]).status, 503)
        self.assertEqual(self.gateway.access("/strict", 2)[1]["reason"], "action_failed")

    def test_no_client_takes_a_function_out_by_wanting_too_much(self):
        def backend_of(target):
            before = len(self.app.seen), len(self.beta.seen)
            status = self.ask(target).status
            after = len(self.app.seen), len(self.beta.seen)
            return status, "app" if after[0] > before[0] else "beta" if after[1] > before[1] else None
        for _ in range(4):
            self.assertEqual(backend_of("/many?n=80"), (400, None))
            self.assertEqual(backend_of("/many-passes?n=80"), (200, "beta"))
            self.assertEqual(self.ask("/long", fields=[("X-Long", "y" * 2000)]).status, 400)
        self.assertEqual(self.gateway.access("/many?n=80")[0]["reason"], "value_refused")
        self.assertEqual((backend_of("/many?n=3"), backend_of("/many-passes?n=3")), ((200, "app"), (200, "app")))
        self.assertEqual(self.ask("/long", fields=[("X-Long", "xx")]).status, 200)

    def test_no_client_takes_an_action_out_for_the_others(self):
        for path in ("no slash", "/a b", "", "/x\xff", "/x?y", "/x#y", "/" + "x" * 9000):
            for _ in range(4):
                valid = path.startswith("/xx")
                self.assertEqual(self.ask("/client", fields=[("X-Path", path)]).status, 200 if valid else 400)
                self.assertEqual(self.ask("/client-passes", fields=[("X-Path", path)]).status, 200)
                self.assertEqual(path_of(self.app), path if valid else "/client-passes")
                self.assertEqual(self.ask("/choose", fields=[("X-Tenant", path)]).status, 200)
        self.assertEqual(self.gateway.access("/client")[0]["reason"], "value_refused")
        for target in ("/client", "/client-passes"):
            self.assertEqual((self.ask(target, fields=[("X-Path", "/good")]).status, path_of(self.app)), (200, "/good"))
        before = len(self.beta.seen)
        self.ask("/choose", fields=[("X-Tenant", "beta")])
        self.assertEqual(len(self.beta.seen), before + 1)
        metrics = subprocess.run([PROGRAM, "metrics", "-c", self.gateway.config], capture_output=True, text=True,
                                 timeout=TIMEOUT, check=True).stdout
        self.assertRegex(metrics, r'neap_route_values_refused_total\{generation="1"\} [1-9]')

    def test_an_action_that_always_fails_is_taken_out(self):
        for _ in range(5):
            self.assertEqual(self.ask("/trip").status, 200)
        self.gateway.wait_line(r'route tripped name="/trip"')

    def test_where_the_key_fails_nothing_is_stored(self):
        self.app.on("/keyfault", wire.response(fields=[FRESH], body=b"x"))
        for _ in range(2):
            self.assertFalse(self.hit(self.ask("/keyfault")))

    def test_nothing_on_the_board_can_break_a_message(self):
        for what in ("path", "space", "line", "name", "framing", "location", "status", "misspelt", "large"):
            with self.subTest(what=what):
                self.ask("/bad?what=none")  # ends the row of faults
                response = self.ask("/bad?what=" + what)
                if what == "misspelt":
                    self.assertEqual((response.status, response.body), (200, b"/bad?what=misspelt"))
                else:
                    self.assertEqual(response.status, 400)
                self.assertIsNone(response.get("Set-Cookie"))


def digest(salt, secret):
    return "sha256:%s:%s" % (salt, hashlib.sha256((salt + secret).encode()).hexdigest())


def basic(user, password):
    return [("Authorization", "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode())]


class Access(Actions):
    ROUTES = """
        neap.table { name = "tokens", rows = { ["%s"] = "robot" } }
        local plans = neap.table { name = "plans", rows = { gold = "1000/s", none = "0" } }
        neap.table { name = "shares", kind = "weights", rows = { app = 0, beta = 1, mars = 0 } }
        neap.route { path = "/basic", pool = "app", cache = true, auth = {
          basic = { joe = "%s", ann = "%s" }, realm = "the shop", user_header = "X-User", forward = false } }
        neap.route { path = "/bearer", pool = "app", auth = { bearer = { ci = "%s" } } }
        neap.route { path = "/token", pool = "app", auth = { bearer = "tokens", user_header = "x-user" } }
        neap.route { path = "/cors", pool = "app", cache = true, cors = {
          origins = { "https://a.example", "https://*.b.example" }, credentials = true, headers = "X-A", expose = "X-B" } }
        neap.route { path = "/any", pool = "app", method = "GET", cors = true }
        neap.route { path = "/both", pool = "app", cors = true, limit = { rate = "1/h", burst = 1, by = {} } }
        neap.route { path = "/plan", pool = "app", limit = { rate = "1/h", burst = 1, by = "header x-plan", rates = plans } }
        neap.route { path = "/shares", split = { table = "shares", by = "client" }, fallback = "app" }
    """ % (hashlib.sha256(b"t0ken").hexdigest(), digest("salt", "geheim"), digest("pepper", ""), digest("", "ci-token"))

    def test_basic(self):
        for fields, status in ((basic("joe", "geheim"), 200), (basic("joe", "falsch"), 401), (basic("ann", ""), 200),
                               (basic("eve", "geheim"), 401), (basic("joe", "geheim:"), 401), (basic("", ""), 401),
                               ([], 401), ([("Authorization", "Basic !!!")], 401), ([("Authorization", "Basic")], 401),
                               ([("Authorization", "Bearer geheim")], 401), ([("Authorization", "Basic am9l")], 401),
                               (basic("joe", "geheim") * 2, 401), ([("Authorization", "basic  " + basic(
                                   "joe", "geheim")[0][1][6:])], 200), (basic("x" * 200, "y" * 2000), 401)):
            with self.subTest(fields=fields):
                self.assertEqual(self.ask("/basic", fields=fields).status, status)
        response = self.ask("/basic")
        self.assertEqual(response.get("WWW-Authenticate"), 'Basic realm="the shop", charset="UTF-8"')
        self.ask("/basic", fields=basic("joe", "geheim") + [("X-User", "admin")])
        seen = self.app.for_path("/basic")[-1]
        self.ask("/basic", fields=basic("joe", "geheim") + [("Connection", "x-user")])  # not the client's to drop
        self.assertEqual(self.app.for_path("/basic")[-1].all("X-User"), ["joe"])
        self.assertEqual((seen.all("X-User"), seen.get("Authorization")), (["joe"], None))
        lines = self.gateway.access("/basic", 3)
        self.assertIn("unauthorized", [line["reason"] for line in lines])
        self.assertNotIn("geheim", str(lines) + str(self.gateway.lines))

    def test_bearer(self):
        for target, token, status in (("/bearer", "ci-token", 200), ("/bearer", "ci-toke", 401), ("/bearer", "", 401),
                                      ("/token", "t0ken", 200), ("/token", "T0ken", 401), ("/token", "x" * 3000, 401)):
            with self.subTest(target=target, token=token):
                response = self.ask(target, fields=[("Authorization", "Bearer " + token)])
                self.assertEqual(response.status, status)
        self.assertEqual(self.app.for_path("/token")[-1].get("X-User"), "robot")
        self.assertEqual(self.ask("/bearer").get("WWW-Authenticate"), 'Bearer realm="neap"')
        self.assertIn('error="invalid_token"',
                      self.ask("/bearer", fields=[("Authorization", "Bearer x")]).get("WWW-Authenticate"))

    def test_preflights_are_answered(self):
        def preflight(target, origin):
            return self.ask(target, "OPTIONS", fields=[("Origin", origin), ("Access-Control-Request-Method", "PUT"),
                                                       ("Access-Control-Request-Headers", "x-z")])
        before = len(self.app.seen)
        response = preflight("/cors", "https://a.example")
        self.assertEqual((response.status, response.get("Access-Control-Allow-Origin"), response.get("Vary"),
                          response.get("Access-Control-Allow-Credentials"), response.get("Access-Control-Allow-Headers"),
                          response.get("Access-Control-Max-Age")), (204, "https://a.example", "Origin", "true", "x-a", "600"))
        self.assertEqual(preflight("/cors", "https://x.b.example").get("Access-Control-Allow-Origin"),
                         "https://x.b.example")
        for origin in ("https://a.example.evil", "http://a.example", "https://b.example", "null",
                       "https://evil/x.b.example"):
            self.assertIsNone(preflight("/cors", origin).get("Access-Control-Allow-Origin"), origin)
        response = preflight("/any", "https://x")
        self.assertEqual((response.status, response.get("Access-Control-Allow-Origin"),
                          response.get("Access-Control-Allow-Headers"), response.get("Vary")), (204, "*", "x-z", None))
        self.assertEqual(len(self.app.seen), before)

    def test_responses_from_backend_and_cache_carry_the_origin_of_their_client(self):
        self.app.on("/cors", wire.response(fields=[FRESH, ("Access-Control-Allow-Origin", "*"), ("Vary", "X-A")],
                                           body=b"x"))
        for origin in ("https://a.example", "https://x.b.example", "https://a.example"):
            response = self.ask("/cors", fields=[("Origin", origin)])
            self.assertEqual((response.all("Access-Control-Allow-Origin"), response.all("Vary"),
                              response.get("Access-Control-Expose-Headers")), ([origin], ["X-A", "Origin"], "x-b"))
        self.assertTrue(self.hit(response))
        response = self.ask("/cors", fields=[("Origin", "https://evil.example")])
        self.assertEqual((response.all("Access-Control-Allow-Origin"), self.hit(response)), ([], True))
        self.ask("/both")
        response = self.ask("/both", fields=[("Origin", "https://x")])
        self.assertEqual((response.status, response.get("Access-Control-Allow-Origin")), (429, "*"))

    def test_rates_and_weights_from_tables(self):
        self.assertEqual([self.ask("/plan", fields=[("X-Plan", "gold")]).status for _ in range(5)], [200] * 5)
        self.assertEqual(self.ask("/plan", fields=[("X-Plan", "none")]).status, 429)
        self.assertEqual([self.ask("/plan", fields=[("X-Plan", "other")]).status for _ in range(2)], [200, 429])
        before = len(self.beta.seen)
        self.ask("/shares")
        self.assertEqual(len(self.beta.seen), before + 1)


class Mirrors(Actions):
    ROUTES = """
        neap.route { prefix = "/copied", pool = "app", mirror = "beta", cache = true, rewrite = "/seen{rest}",
                     request_headers = { remove = "X-Secret" }, action = function(req, res)
                       res:set_request_header("x-by", req.client)
                     end }
        neap.route { path = "/few", pool = "app", mirror = { pool = "beta", most = 1 } }
    """

    def test_a_copy_goes_to_the_other_pool_as_the_backend_gets_it(self):
        self.app.on("/seen/x", wire.response(fields=[FRESH], body=b"x"))
        self.beta.on("/seen/x", wire.response(status=500, fields=[FRESH], body=b"y" * 100000))
        for count in (1, 2):
            response = self.ask("/copied/x?a=1", fields=[("X-Secret", "1"), ("X-Kept", "2")])
            copy = self.beta.wait("/seen/x?a=1", count)
            self.assertEqual(response.status, 200)
            self.assertEqual((copy.get("X-Secret"), copy.get("X-Kept"), copy.get("X-By"), copy.get("X-Forwarded-For")),
                             (None, "2", "127.0.0.1", "127.0.0.1"))
        self.assertEqual(len(self.gateway.access("/copied/x?a=1", 2)), 2)

    def test_a_body_is_not_copied(self):
        self.assertEqual(self.ask("/copied/post", "POST", body=b"hello").status, 200)
        self.assertEqual(self.beta.for_path("/seen/post"), [])
        metrics = subprocess.run([PROGRAM, "metrics", "-c", self.gateway.config], capture_output=True, text=True,
                                 timeout=TIMEOUT, check=True).stdout
        self.assertIn('neap_mirrors_skipped_total{pool="beta"} 1\n', metrics)

    def test_a_mirror_that_hangs_delays_nobody_and_is_bounded(self):
        held = threading.Event()
        self.addCleanup(held.set)
        self.beta.on("/few", lambda connection, request: held.wait(TIMEOUT))
        wire.wait_until(lambda: self.ask("/few").status == 200 and self.beta.for_path("/few"), "a copy")
        for _ in range(5):
            self.assertEqual(self.ask("/few").status, 200)
        self.assertEqual(len(self.beta.for_path("/few")), 1)


class Tables(unittest.TestCase):
    """Rows change while the gateway runs; what cannot be read changes nothing."""

    CONFIG = """
        local neap = require "neap"
        neap.listen { http = "127.0.0.1:0" }
        neap.log { access = "ACCESS_LOG" }
        neap.engine { workers = 2 }
        neap.reload { dry_run = false }
        local country = neap.table { name = "country", kind = "map", file = "country.csv" }
        local blocked = neap.table { name = "blocked", kind = "network", rows = { "10.0.0.0/8", "2001:db8::/32" } }
        local areas = neap.table { name = "areas", kind = "prefix", rows = { ["/api/"] = "api", ["/api/v2/"] = "new" } }
        local parts = neap.table { name = "parts", kind = "weights", rows = { left = 1, right = 0 } }
        neap.pool { name = "app", backends = { "%s" } }
        neap.route { path = "/look", respond = 404, action = function(req, res)
          local found = country:get(req:query "key")
          if found then res:respond(200, found:text()) end
        end }
        neap.route { path = "/blocked", respond = 404, when = function(req) return blocked:has(req:header "x-ip") end }
        neap.route { path = "/api/*", respond = 404, action = function(req, res)
          res:respond(200, tostring(areas:get(req.path) or "none"))
        end }
        neap.route { path = "/draw", respond = 404, action = function(req, res)
          res:respond(200, parts:draw(req.client):text() .. tostring(country:get "no"))
        end }
        neap.route { path = "/fault", respond = 404, action = function(req, res) country:get(7) end }
        neap.route { path = "/", pool = "app" }
    """

    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.folder = tempfile.mkdtemp(prefix="neap-tables-")
        self.addCleanup(shutil.rmtree, self.folder)

    def start(self, rows):
        self.write(rows)
        config = (self.CONFIG % self.origin.address).replace('"country.csv"', '"%s/country.csv"' % self.folder)
        gateway = Gateway(config)
        self.addCleanup(gateway.stop)
        return gateway

    def write(self, rows):
        path = os.path.join(self.folder, "country.csv")
        with open(path + ".new", "w") as file:
            file.write(rows)
        os.rename(path + ".new", path)

    def look(self, gateway, key):
        response = gateway.ask("/look?key=" + key)
        return response.body.decode() if response.status == 200 else None

    def test_rows_of_every_kind(self):
        gateway = self.start("# networks\nde,europe\n\"a,b\" , \"c \"\"d\"\"\"\n")
        self.assertEqual([self.look(gateway, key) for key in ("de", "a,b", "us")], ["europe", 'c "d"', None])
        def blocked(address):
            return gateway.ask("/blocked", fields=[("X-IP", address)]).status == 404
        self.assertTrue(blocked("10.1.2.3") and blocked("2001:db8:1::7"))
        self.assertFalse(blocked("11.1.2.3") or blocked("2001:db9::") or blocked("10.1.2") or blocked(""))
        self.assertEqual(gateway.ask("/blocked").status, 200)  # where no key is, nothing is found
        self.assertIsNone(gateway.find_line("fault", 0))
        self.assertEqual([gateway.ask(path).body for path in ("/api/x", "/api/v2/x", "/api/")], [b"api", b"new", b"api"])
        self.assertEqual(gateway.ask("/draw").body, b"leftnil")
        self.assertEqual(gateway.ask("/fault").status, 404)
        gateway.wait_line("get wants a text or a value, not a number")

    def test_a_changed_file_is_read_and_a_broken_one_refused(self):
        gateway = self.start("de,one\n")
        self.assertEqual(self.look(gateway, "de"), "one")
        self.write("de,two\n")
        gateway.wait_line("table loaded name=country rows=1")
        self.assertEqual(self.look(gateway, "de"), "two")
        self.write("de,three\nat,x,y\n")
        gateway.wait_line(r'table refused name=country error=".*country\.csv:2: there is a second comma')
        self.assertEqual(self.look(gateway, "de"), "two")
        with Line(os.path.join(gateway.folder, "neap.sock")) as line:
            table = [one for one in line.ask("status")["tables"] if one["name"] == "country"][0]
        self.assertEqual(table["rows"], 1)
        self.assertRegex(table["error"], r"country\.csv:2: there is a second comma")
        os.remove(os.path.join(self.folder, "country.csv"))
        gateway.wait_line(r'table refused name=country error="cannot read .*country\.csv: No such file .*the old rows stay')
        self.assertEqual(self.look(gateway, "de"), "two")
        with Line(os.path.join(gateway.folder, "neap.sock")) as line:
            table = [one for one in line.ask("status")["tables"] if one["name"] == "country"][0]
        self.assertRegex(table["error"], "No such file")
        self.write("de,four\n")
        gateway.wait_line("table loaded", len(gateway.lines))
        self.assertEqual(len([line for line in gateway.lines if "No such file" in line]), 1)
        self.assertEqual(self.look(gateway, "de"), "four")

    def test_a_reload_keeps_the_rows_and_refuses_a_table_that_cannot_be_read(self):
        gateway = self.start("de,one\n")
        with open(gateway.config) as file:
            config = file.read()
        os.remove(os.path.join(self.folder, "country.csv"))
        gateway.reload(config, "generation=2")
        self.assertEqual(self.look(gateway, "de"), "one")
        gateway.reload(config.replace('kind = "map"', 'kind = "set"'), "cannot read .*country.csv: No such file")
        self.assertEqual(self.look(gateway, "de"), "one")

    def test_a_file_of_rates_has_rates_in_it(self):
        plain, self.CONFIG = self.CONFIG, self.CONFIG + """
            neap.route { path = "/plan", respond = 200,
                         limit = { rate = "1000/s", by = "header x-plan", rates = country } }
        """
        def plan(gateway):
            return gateway.ask("/plan", fields=[("X-Plan", "none")]).status
        config = (self.CONFIG % self.origin.address).replace('"country.csv"', '"%s/country.csv"' % self.folder)
        gateway = self.start("gold,5/s\nnone,0\n")
        self.assertEqual(plan(gateway), 429)
        for rate in ("soon", "nan", "-1"):
            since = len(gateway.lines)
            self.write("gold,5/s\nnone,%s\n" % rate)
            gateway.wait_line("table refused name=country error=.*country.csv:2: write a rate", since)
            self.assertEqual(plan(gateway), 429)
            with Line(os.path.join(gateway.folder, "neap.sock")) as line:
                table = [one for one in line.ask("status")["tables"] if one["name"] == "country"][0]
            self.assertIn("country.csv:2: write a rate", table["error"])
        self.write("gold,5/s\nnone,10/s\n")
        gateway.wait_line("table loaded name=country rows=2")
        self.assertEqual(plan(gateway), 200)
        self.CONFIG = plain
        gateway = self.start("gold,5/s\nnone,soon\n")
        gateway.reload(config, "country.csv:2: write a rate")
        self.assertEqual(self.look(gateway, "none"), "soon")


if __name__ == "__main__":
    unittest.main()
