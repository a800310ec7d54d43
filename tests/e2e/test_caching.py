"""What the running gateway stores, for how long, and under which key: sections 1 to 3 of docs/http-caching.md."""

import email.utils
import threading
import time
import unittest

from harness import Case, Truncated, wire

FRESH = ("Cache-Control", "max-age=60")


def date(offset=0):
    return email.utils.formatdate(time.time() + offset, usegmt=True)


class Caching(Case):
    def setUp(self):
        super().setUp()
        self.number = 0

    def fresh_path(self):
        self.number += 1
        return "%s/%d" % (self.path, self.number)

    def ask_twice(self, answer, first=(), second=None, method="GET"):
        """Asks for the same twice, on connections of their own; the second response, and how many requests reached
        the origin. `first` and `second` are the requests' fields."""
        path = self.fresh_path()
        self.origin.on(path, answer)
        self.gateway.ask(path, method, fields=first)
        response = self.gateway.ask(path, fields=first if second is None else second)
        return response, len(self.origin.for_path(path))

    def is_hit(self, response):
        return response.all("Cache-Status")[-1:] == ["neap; hit"]

    def reused(self, fields, **options):
        response, count = self.ask_twice(wire.response(fields=fields, body=b"hello", **options))
        self.assertTrue(self.is_hit(response), (fields, response))
        self.assertEqual((count, response.body), (1, b"hello"))
        self.assertRegex(response.get("Age"), r"^\d+$")
        return response

    def not_reused(self, fields, first=(), **options):
        response, count = self.ask_twice(wire.response(fields=fields, body=b"hello", **options), first)
        self.assertFalse(self.is_hit(response), (fields, response))
        self.assertEqual((count, response.body), (2, b"hello"))

    # --- 1. store or not

    def test_statuses(self):
        for status in (200, 203, 301, 302, 404, 410, 500, 503, 599):
            with self.subTest(status=status):
                self.assertEqual(self.reused([FRESH], status=status).status, status)
        for status in (206, 304):
            with self.subTest(status=status):
                path = self.fresh_path()
                self.origin.on(path, wire.response(status, [FRESH, ("Content-Range", "bytes 0-4/9")],
                                                   b"hello" if status == 206 else b"", length=status == 206))
                self.gateway.ask(path)
                self.gateway.ask(path)
                self.assertEqual(len(self.origin.for_path(path)), 2)

    def test_a_204_is_stored_with_explicit_freshness(self):
        response, count = self.ask_twice(wire.response(204, [FRESH], length=False))
        self.assertEqual((response.status, count), (204, 1))
        self.assertNotIn("Content-Length", response)

    def test_without_freshness_nothing_is_stored(self):
        for fields in ([], [("Cache-Control", "public")], [("ETag", '"a"')], [("Cache-Control", "foo")]):
            with self.subTest(fields=fields):
                self.not_reused(fields)

    def test_directives_that_forbid(self):
        for value in ("no-store", "max-age=60, no-store", "NO-STORE, max-age=60", "private, max-age=60",
                      'private="x", max-age=60', "no-cache, max-age=60", 'no-cache="x", max-age=60',
                      "max-age=60, foo=\"unclosed"):
            with self.subTest(value=value):
                self.not_reused([("Cache-Control", value)])
        self.not_reused([FRESH, ("Cache-Control", "no-store")])

    def test_directives_that_do_not_forbid(self):
        for value in ("max-age=60, must-revalidate", 'max-age=60, foo="no-store"', "max-age=60, no-transform, immutable",
                      "must-understand, no-store, max-age=60", "max-age=60, x-no-store"):
            with self.subTest(value=value):
                self.reused([("Cache-Control", value)])
        self.reused([FRESH, ("Pragma", "no-cache")])

    def test_must_understand_with_a_status_not_understood(self):
        self.not_reused([("Cache-Control", "must-understand, max-age=60")], status=599)

    def test_only_get_is_stored(self):
        answer = wire.response(fields=[FRESH], body=b"hello")
        for method in ("POST", "PUT", "PURGE"):
            with self.subTest(method=method):
                self.assertEqual(self.ask_twice(answer, method=method)[1], 2)
        head, count = self.ask_twice(lambda connection, request: connection.send(
            answer[:-5] if request.method == "HEAD" else answer), method="HEAD")
        self.assertEqual((head.body, count), (b"hello", 2))  # a HEAD makes no entry for GET

    def test_head_is_answered_from_get(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH], body=b"hello"))
        with self.client() as client:
            client.ask(path)
            head = client.ask(path, "HEAD")
            self.assertTrue(self.is_hit(head))
            self.assertEqual(head.get("Content-Length"), "5")
            self.assertEqual(client.ask(path).body, b"hello")
        self.assertEqual(len(self.origin.for_path(path)), 1)

    def test_authorization(self):
        credentials = [("Authorization", "Basic xxxx")]
        self.not_reused([FRESH], credentials)
        for value in ("public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"):
            with self.subTest(value=value):
                response, count = self.ask_twice(wire.response(fields=[("Cache-Control", value)], body=b"x"), credentials)
                self.assertTrue(self.is_hit(response))
                self.assertEqual(count, 1)

    def test_an_authorized_request_gets_nothing_that_is_not_declared_shareable(self):
        response, count = self.ask_twice(wire.response(fields=[FRESH], body=b"x"), (), [("Authorization", "Basic xxxx")])
        self.assertFalse(self.is_hit(response))
        self.assertEqual(count, 2)

    def test_a_cookie_is_not_stored(self):
        self.not_reused([FRESH, ("Set-Cookie", "a=b")])

    def test_fields_of_a_hop_are_not_stored_and_all_others_are_in_order(self):
        stored = [FRESH, ("X-One", "1"), ("X-Two", "2"), ("x-one", "3"), ("Content-Type", "text/x"), ("Link", "<a>, <b>")]
        hop = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "1"), ("Proxy-Connection", "1"), ("TE", "1"),
               ("Upgrade", "1"), ("Proxy-Authenticate", "1"), ("Proxy-Authentication-Info", "1"),
               ("Proxy-Authorization", "1")]
        response = self.reused(stored + hop)
        for name, _ in hop:
            self.assertEqual(response.all(name), [], name)
        for name, _ in stored:
            self.assertEqual(response.all(name), [value for key, value in stored if key.lower() == name.lower()])

    def test_a_chunked_response_is_stored_whole_and_its_trailers_are_not_headers(self):
        response, count = self.ask_twice(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
                                         b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
        self.assertEqual((count, response.body, response.get("Content-Length")), (1, b"hello world", "11"))
        self.assertNotIn("X-Trailer", response)

    def test_a_response_that_ends_with_the_connection_is_stored_whole(self):
        def answer(connection, _):
            connection.send(b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nhello").close()
        response, count = self.ask_twice(answer)
        self.assertEqual((count, response.body, response.get("Content-Length")), (1, b"hello", "5"))

    def test_an_incomplete_response_is_not_stored(self):
        path = self.fresh_path()
        for body in (b"Content-Length: 9\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
            self.origin.on(path, lambda connection, _, body=body: connection.send(
                b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + body).close())
            with self.assertRaises(Truncated):
                self.gateway.ask(path)
        self.origin.on(path, wire.response(fields=[FRESH], body=b"whole"))
        self.assertEqual(self.gateway.ask(path).body, b"whole")
        self.assertTrue(self.is_hit(self.gateway.ask(path)))

    def test_a_client_that_leaves_does_not_leave_half_a_response_behind(self):
        path, go = self.fresh_path(), threading.Event()

        def answer(connection, _):
            connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello")
            go.wait(wire.TIMEOUT)
            connection.send(b"world")
        self.origin.on(path, answer)
        with self.client() as client:
            client.send(wire.request(path))
            self.assertEqual(bytes(client.reader.until(b"hello")[-5:]), b"hello")
            client.reset()
        go.set()
        self.assertEqual(self.gateway.ask(path).body, b"helloworld")

    def test_interim_responses_leave_nothing_in_the_stored_head(self):
        response, count = self.ask_twice(b"HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n" + wire.response(fields=[FRESH], body=b"x"))
        self.assertTrue(self.is_hit(response))
        self.assertEqual(count, 1)
        self.assertNotIn("X-Early", response)

    def test_an_object_too_large_for_the_cache_is_delivered_all_the_same(self):
        body = bytes(range(256)) * (5 << 12)  # 5 MiB
        for answer in (wire.response(fields=[FRESH], body=body),
                       b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
                       + wire.chunk(body) + b"0\r\n\r\n"):
            response, count = self.ask_twice(answer)
            self.assertEqual(count, 2)
            self.assertTrue(response.body == body)

    # --- 2. key and Vary

    def test_the_key_is_the_whole_target_and_the_host_in_any_case(self):
        path = self.fresh_path()
        bodies = iter(range(100))

        def answer(connection, _):
            connection.send(wire.response(fields=[FRESH], body=b"%d" % next(bodies)))
        for target in (path, path + "?", path + "?a=1&b=2", path + "?b=2&a=1", path + "?A=1&b=2", path + "/"):
            self.origin.on(target, answer)

        def body(target, host="key.test"):
            return self.gateway.ask(target, host=host).body
        seen = [body(path), body(path + "?"), body(path + "?a=1&b=2"), body(path + "?b=2&a=1"), body(path + "?A=1&b=2"),
                body(path + "/"), body(path, "other.test"), body(path, "key.test:81")]
        self.assertEqual(len(set(seen)), len(seen))
        self.assertEqual(body(path, "KEY.Test"), seen[0])
        self.assertEqual(body(path, "key.test:80"), seen[0])
        with self.client() as client:
            client.send(b"GET http://Key.test%s HTTP/1.1\r\nHost: elsewhere\r\n\r\n" % path.encode())
            self.assertEqual(client.response().body, seen[0])

    def vary(self, names, *asks):
        """Bodies got for requests with those fields, in turn: equal bodies are one variant."""
        path, bodies = self.fresh_path(), iter(range(100))

        def answer(connection, _):
            connection.send(wire.response(fields=[FRESH] + [("Vary", name) for name in names], body=b"%d" % next(bodies)))
        self.origin.on(path, answer)
        return [int(self.gateway.ask(path, fields=fields).body) for fields in asks]

    def test_vary_selects_by_every_field(self):
        self.assertEqual(self.vary(["Foo"], [("Foo", "1")], [("Foo", "2")], [("Foo", "1")], [], [("foo", " 2")], []),
                         [0, 1, 0, 2, 1, 2])
        self.assertEqual(self.vary(["Foo, Bar"], [("Foo", "1"), ("Bar", "2")], [("Bar", "2"), ("Foo", "1")],
                                   [("Foo", "1"), ("Bar", "3")], [("Foo", "1")], [("Foo", "2"), ("Bar", "1")]),
                         [0, 0, 1, 2, 3])
        self.assertEqual(self.vary(["Foo", ", Bar,"], [("Foo", "1"), ("Bar", "2")], [("Foo", "1"), ("Bar", "3")],
                                   [("Foo", "1"), ("Bar", "2")]), [0, 1, 0])

    def test_vary_knows_absent_from_empty_and_joins_lines(self):
        self.assertEqual(self.vary(["Foo"], [], [("Foo", "")], []), [0, 1, 0])
        self.assertEqual(self.vary(["Foo"], [("Foo", "1"), ("Foo", "2")], [("Foo", "1, 2")], [("Foo", "2"), ("Foo", "1")]),
                         [0, 0, 1])

    def test_vary_star_never_matches(self):
        for names in (["*"], ["Foo, *"], ["Foo", "*"], ["", "*"]):
            with self.subTest(names=names):
                self.assertEqual(self.vary(names, [], [], [("Foo", "1")]), [0, 1, 2])

    def test_an_empty_vary_is_none(self):
        self.assertEqual(self.vary([" , "], [], [("Foo", "1")]), [0, 0])

    def test_vary_that_changes_leaves_no_wrong_variant(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH, ("Vary", "Foo")], body=b"by foo"))
        self.assertEqual(self.gateway.ask(path, fields=[("Foo", "1")]).body, b"by foo")
        self.origin.on(path, wire.response(fields=[FRESH, ("Vary", "Bar")], body=b"by bar"))
        self.assertEqual(self.gateway.ask(path, fields=[("Foo", "2"), ("Bar", "1")]).body, b"by bar")
        self.assertEqual(self.gateway.ask(path, fields=[("Foo", "1"), ("Bar", "1")]).body, b"by bar")
        self.assertEqual(len(self.origin.for_path(path)), 2)

    def test_an_unsafe_request_invalidates_all_variants(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH, ("Vary", "Foo")], body=b"old"))
        for value in ("1", "2"):
            self.gateway.ask(path, fields=[("Foo", value)])
        self.origin.on(path, wire.response(fields=[FRESH, ("Vary", "Foo")], body=b"new"))
        self.gateway.ask(path, "POST", body=b"x")
        for value in ("1", "2"):
            self.assertEqual(self.gateway.ask(path, fields=[("Foo", value)]).body, b"new")

    def test_an_unsafe_request_that_failed_invalidates_nothing(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH], body=b"old"))
        self.gateway.ask(path)
        self.origin.on(path, wire.response(500, body=b"no"))
        self.gateway.ask(path, "DELETE")
        self.assertEqual(self.gateway.ask(path).body, b"old")

    # --- 3. freshness

    def test_lifetimes_that_are_fresh(self):
        for fields in ([("Cache-Control", "max-age=60")], [("Cache-Control", "MAX-AGE=60")],
                       [("Cache-Control", 'max-age="60"')], [("Cache-Control", "s-maxage=60, max-age=0")],
                       [("Cache-Control", "max-age=0"), ("Cache-Control", "s-maxage=60")],
                       [("Cache-Control", "max-age=99999999999999999999")],
                       [("Date", date()), ("Expires", date(60))], [("Expires", date(60))],
                       [("Expires", "0"), ("Cache-Control", "max-age=60")],
                       [("Expires", date(-60)), ("Cache-Control", "max-age=60")],
                       [("Cache-Control", "max-age=x, s-maxage=60")],
                       [("Date", "nonsense"), ("Cache-Control", "max-age=60")]):
            with self.subTest(fields=fields):
                self.reused(fields)

    def test_lifetimes_that_are_not(self):
        for fields in ([("Cache-Control", "max-age=0")], [("Cache-Control", "s-maxage=0, max-age=60")],
                       [("Cache-Control", "max-age=-1")], [("Cache-Control", "max-age=1.5")], [("Cache-Control", "max-age=x")],
                       [("Cache-Control", "max-age")], [("Cache-Control", "max-age=60, max-age=0")],
                       [("Cache-Control", 'foo="max-age=60, bar"')], [("Expires", "0")], [("Expires", "-1")],
                       [("Expires", date(-60))], [("Expires", date(60).replace("GMT", "UTC"))],
                       [("Expires", date(60)), ("Expires", date(600))], [("Expires", date(60).lower())],
                       [("Cache-Control", "max-age=x"), ("Expires", date(60))],
                       [FRESH, ("Age", "60")], [FRESH, ("Date", date(-61))], [FRESH, ("Age", "99999999999999999999")]):
            with self.subTest(fields=fields):
                self.not_reused(fields)

    def test_age_counts_from_the_first_cache_on(self):
        self.assertIn(int(self.reused([FRESH, ("Age", "30")]).get("Age")), range(30, 35))
        self.assertIn(int(self.reused([FRESH, ("Age", "30, 40")]).get("Age")), range(30, 35))
        self.assertIn(int(self.reused([FRESH, ("Date", date(-20))]).get("Age")), range(19, 26))
        self.assertIn(int(self.reused([FRESH, ("Age", "x")]).get("Age")), range(0, 5))
        self.assertIn(int(self.reused([FRESH]).get("Age")), range(0, 5))

    def test_a_response_goes_stale_at_its_time(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[("Cache-Control", "max-age=2")], body=b"x"))
        started = time.monotonic()
        self.gateway.ask(path)
        self.assertTrue(self.is_hit(self.gateway.ask(path)))
        wire.wait_until(lambda: not self.is_hit(self.gateway.ask(path)), "the end of two seconds")
        self.assertGreater(time.monotonic() - started, 1.9)
        self.assertLess(time.monotonic() - started, 4)

    def test_date_and_expires_stay_as_stored_and_a_date_is_added_once(self):
        dated = [("Date", date(-5)), ("Expires", date(60))]
        response = self.reused(dated)
        self.assertEqual([(name, response.get(name)) for name, _ in dated], dated)
        self.assertRegex(self.reused([FRESH]).get("Date"), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    # --- requests that ask for something special

    def test_directives_of_requests_are_advisory(self):
        for fields in ([("Cache-Control", "no-cache")], [("Cache-Control", "no-store")], [("Cache-Control", "max-age=0")],
                       [("Pragma", "no-cache")], [("Cache-Control", "only-if-cached")]):
            with self.subTest(fields=fields):
                response, count = self.ask_twice(wire.response(fields=[FRESH], body=b"x"), (), fields)
                self.assertTrue(self.is_hit(response))
                self.assertEqual(count, 1)

    def test_a_range_goes_past_the_cache(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH], body=b"whole"))
        self.gateway.ask(path)
        self.origin.on(path, wire.response(206, [FRESH, ("Content-Range", "bytes 0-1/5")], b"wh"))
        part = self.gateway.ask(path, fields=[("Range", "bytes=0-1")])
        self.assertEqual((part.status, part.body), (206, b"wh"))
        self.assertEqual(self.gateway.ask(path).body, b"whole")
        self.assertEqual(len(self.origin.for_path(path)), 2)

    def test_conditions_are_answered_from_a_fresh_response(self):
        path = self.fresh_path()
        fields = [FRESH, ("ETag", '"v1"'), ("Last-Modified", date(-1000)), ("Date", date()), ("Content-Location", "/x"),
                  ("Content-Type", "text/x")]
        self.origin.on(path, wire.response(fields=fields, body=b"hello"))
        self.gateway.ask(path)
        with self.client() as client:
            for ask, status in (([("If-None-Match", '"v1"')], 304), ([("If-None-Match", 'W/"v1"')], 304),
                                ([("If-None-Match", '"v0", "v1"')], 304), ([("If-None-Match", "*")], 304),
                                ([("If-None-Match", '"v2"')], 200), ([("If-Modified-Since", date(-1000))], 304),
                                ([("If-Modified-Since", date(-2000))], 200),
                                ([("If-None-Match", '"v2"'), ("If-Modified-Since", date(-10))], 200)):
                with self.subTest(ask=ask):
                    response = client.ask(path, fields=ask)
                    self.assertEqual(response.status, status)
                    self.assertTrue(self.is_hit(response))
                    for name in ("ETag", "Cache-Control", "Date", "Content-Location"):
                        self.assertEqual(response.get(name), dict(fields)[name])
        self.assertEqual(len(self.origin.for_path(path)), 1)

    def test_a_condition_that_misses_is_the_origins_and_its_304_the_clients(self):
        path = self.fresh_path()
        self.origin.on(path, b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n")
        self.assertEqual(self.gateway.ask(path, fields=[("If-None-Match", '"v1"')]).status, 304)
        self.origin.on(path, wire.response(fields=[FRESH], body=b"whole"))
        response = self.gateway.ask(path)
        self.assertEqual((response.status, response.body), (200, b"whole"))

    def test_conditions_of_the_origin_go_past_the_cache(self):
        for condition in (("If-Match", '"v1"'), ("If-Unmodified-Since", date()), ("If-Range", '"v1"')):
            with self.subTest(condition=condition):
                response, count = self.ask_twice(wire.response(fields=[FRESH, ("ETag", '"v1"')], body=b"x"), (), [condition])
                self.assertFalse(self.is_hit(response))
                self.assertEqual(count, 2)

    def test_a_get_with_a_body_neither_finds_nor_leaves_anything(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH], body=b"poison"))
        self.gateway.ask(path, body=b"fat")
        self.origin.on(path, wire.response(fields=[FRESH], body=b"good"))
        self.assertEqual(self.gateway.ask(path).body, b"good")
        self.origin.on(path, wire.response(fields=[FRESH], body=b"poison"))
        self.assertEqual(self.gateway.ask(path, body=b"fat").body, b"poison")
        self.assertEqual(self.gateway.ask(path).body, b"good")

    # --- what it says

    def test_cache_status_is_appended_and_says_why(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH, ("Cache-Status", "cdn; fwd=miss")], body=b"x"))
        first = self.gateway.ask(path)
        self.assertEqual(first.all("Cache-Status"), ["cdn; fwd=miss", "neap; fwd=uri-miss; stored"])
        self.assertNotIn("Age", first)
        second = self.gateway.ask(path)
        self.assertEqual(second.all("Cache-Status"), ["cdn; fwd=miss", "neap; hit"])
        post = self.gateway.ask(self.fresh_path(), "POST", body=b"x")
        self.assertEqual(post.all("Cache-Status"), ["neap; fwd=method"])

    def test_cache_status_says_why_nothing_was_stored(self):
        path = self.path
        self.origin.on(path, wire.response(fields=[("Cache-Control", "no-store")], body=b"x"))
        self.assertEqual(self.client().ask(path).all("Cache-Status"), ["neap; fwd=uri-miss; detail=no_store"])
        self.assertEqual(self.gateway.access(path)[0]["stored"], "no_store")

    def test_the_access_log_says_what_happened(self):
        path = self.fresh_path()
        self.origin.on(path, wire.response(fields=[FRESH], body=b"hello"))
        self.gateway.ask(path)
        self.gateway.ask(path)
        miss, hit = self.gateway.access(path, 2)
        self.assertEqual((miss["cache"], hit["cache"]), ("uri-miss", "hit"))
        self.assertEqual((miss["status"], miss["bytes"], miss["method"], miss["host"]), (200, 5, "GET", "example.test"))
        self.assertEqual((miss["backend"], "backend" in hit), (self.origin.address, False))
        self.assertEqual(hit["client"], "127.0.0.1")
        self.assertIn("lookup", hit["steps"])
        self.assertNotIn("fetch", hit["steps"])
        self.assertIn("fetch", miss["steps"])
        self.assertGreaterEqual(hit["generation"], 1)


class Lifetimes(Case):
    """A route whose operator says how long responses are fresh that do not say so themselves."""

    options = {"cache": '{ ttl = "60s" }'}

    def cache_status(self, path, answer):
        self.origin.on(path, answer)
        self.gateway.ask(path)
        return self.gateway.ask(path).all("Cache-Status")[-1]

    def test_the_operators_lifetime_is_for_responses_that_state_none(self):
        self.assertEqual(self.cache_status(self.path, wire.response(body=b"x")), "neap; hit")
        self.assertEqual(self.cache_status(self.path + "/404", wire.response(404, body=b"x")), "neap; hit")
        for name, fields in (("no-store", [("Cache-Control", "no-store")]), ("private", [("Cache-Control", "private")]),
                             ("zero", [("Cache-Control", "max-age=0")]), ("expired", [("Expires", "0")]),
                             ("cookie", [("Set-Cookie", "a=b")]), ("vary", [("Vary", "*")]), ("old", [("Age", "61")])):
            with self.subTest(name=name):
                status = self.cache_status(self.path + "/" + name, wire.response(fields=fields, body=b"x"))
                self.assertNotIn("hit", status)

    def test_it_is_not_for_errors(self):
        self.assertNotIn("hit", self.cache_status(self.path, wire.response(500, body=b"x")))


class Edited(Case):
    """Routes with the same keys, of which some change what the origin selects by."""

    options = {"more": """
neap.route { path = "/by-group", query = { edit = true }, pool = "app", cache = { key = { "path" } },
  request_headers = { set = { ["x-group"] = "beta" } } }
neap.route { path = "/by-group", query = { act = true }, pool = "app", cache = { key = { "path" } },
  action = function(req, res) res:set_request_header("x-group", "beta") end }
neap.route { path = "/by-group", pool = "app", cache = { key = { "path" } } }
"""}

    def test_vary_selects_by_what_the_origin_is_sent(self):
        def answer(connection, request):
            connection.send(wire.response(fields=[FRESH, ("Vary", "X-Group")], body=request.get("X-Group", "-").encode()))
        for query in ("plain", "edit", "act"):
            self.origin.on("/by-group?" + query, answer)
        with self.client() as client:
            got = []
            for query, group in (("plain", None), ("edit", None), ("edit", "alpha"), ("act", None), ("plain", "beta"),
                                 ("plain", "alpha"), ("act", "alpha"), ("plain", None)):
                response = client.ask("/by-group?" + query, fields=[("X-Group", group)] if group else [])
                got.append((response.body.decode(), "hit" in response.get("Cache-Status")))
        self.assertEqual(got, [("-", False), ("beta", False), ("beta", True), ("beta", True), ("beta", True),
                               ("alpha", False), ("beta", True), ("-", True)])


class NotCached(Case):
    options = {"cache": "false"}

    def test_a_route_without_cache_stores_nothing(self):
        self.on(wire.response(fields=[FRESH], body=b"x"))
        self.gateway.ask(self.path)
        response = self.gateway.ask(self.path)
        self.assertEqual(response.all("Cache-Status"), ["neap; fwd=bypass"])
        self.assertEqual(len(self.seen()), 2)


if __name__ == "__main__":
    unittest.main()
