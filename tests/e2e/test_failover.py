"""Failover and sessions: retries, their pauses and budget, second copies, clients that stay with a backend."""

import re
import threading
import unittest

from harness import Gateway, Origin, TIMEOUT, config, wire


class Failover(unittest.TestCase):
    def make_origin(self, body=None):
        origin = Origin()
        self.addCleanup(origin.close)
        if body is not None:
            origin.on("/", wire.response(body=body))
        return origin

    def start(self, *origins, **options):
        options.setdefault("cache", "false")
        gateway = Gateway(config(*origins, **options))
        self.addCleanup(gateway.stop)
        return gateway

    # --- trying again

    @staticmethod
    def dies(connection, _):
        connection.close()

    @staticmethod
    def dies_in_the_head(connection, _):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        connection.close()

    @staticmethod
    def dies_in_the_body(connection, _):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()

    def test_a_request_whose_answer_had_not_begun_goes_to_another_backend(self):
        good, bad = self.make_origin(b"good"), self.make_origin()
        gateway = self.start(good, bad)
        for death in (self.dies, self.dies_in_the_head):
            bad.on("/", death)
            for _ in range(6):
                self.assertEqual(gateway.ask("/").body, b"good")
        self.assertGreater(len(bad.seen), 0)

    def test_what_has_begun_is_cut_off_and_not_tried_again(self):
        good, bad = self.make_origin(b"good"), self.make_origin()
        bad.on("/", self.dies_in_the_body)
        gateway = self.start(good, bad)
        cut = 0
        for _ in range(4):
            try:
                self.assertEqual(gateway.ask("/").body, b"good")
            except wire.Truncated:
                cut += 1
        self.assertEqual(cut, len(bad.seen))

    def test_what_is_not_safe_to_repeat_is_not_repeated(self):
        bad = [self.make_origin(), self.make_origin()]
        for origin in bad:
            origin.on("/", self.dies)
        gateway = self.start(*bad)
        self.assertEqual(gateway.ask("/", "POST", body=b"x").status, 502)
        self.assertEqual(len(bad[0].seen) + len(bad[1].seen), 1)

    def test_each_try_goes_to_another_backend(self):
        origins = [self.make_origin() for _ in range(4)]
        for origin in origins:
            origin.on("/", self.dies)
        gateway = self.start(*origins, pool="max_retries = 3")
        self.assertEqual(gateway.ask("/").status, 502)
        self.assertEqual([len(origin.seen) for origin in origins], [1, 1, 1, 1])
        self.assertEqual(gateway.access("/")[0]["tries"], 4)

    def test_a_pause_comes_before_each_retry(self):
        origins = [self.make_origin() for _ in range(3)]
        for origin in origins:
            origin.on("/", self.dies)
        gateway = self.start(*origins, pool='retry_delay = "60ms"')
        self.assertEqual(gateway.ask("/").status, 502)
        # at least half of 60 and of 120; that it is not much more no test can say
        self.assertGreaterEqual(gateway.access("/")[0]["duration_us"], 88000)

    def test_a_client_that_leaves_in_the_pause_ends_it(self):
        bad, other = self.make_origin(), self.make_origin()
        for origin in (bad, other):
            origin.on("/", self.dies)
        gateway = self.start(bad, other, pool='retry_delay = "60s"')
        client = gateway.client()
        client.send(wire.request("/"))
        wire.wait_until(lambda: bad.seen or other.seen, "the first try")
        client.reset()
        self.assertEqual(gateway.access("/")[0]["reason"], "client_gone")
        self.assertEqual(len(bad.seen) + len(other.seen), 1)

    def test_the_budget_ends_a_storm_of_retries(self):
        origins = [self.make_origin() for _ in range(2)]
        for origin in origins:
            origin.on("/", self.dies)
        gateway = self.start(*origins, pool="retry_budget = 0.1")
        with gateway.client() as client:
            for _ in range(200):
                self.assertEqual(client.ask("/").status, 502)
        tries = sum(len(origin.seen) for origin in origins)
        self.assertLess(tries, 200 + 20 + 10 * 10 + 10)  # a tenth, and ten for each second that this may have taken
        self.assertGreater(tries, 205)

    def test_a_backend_killed_under_load_loses_no_request_that_may_be_repeated(self):
        stays, goes = self.make_origin(b"ok"), self.make_origin(b"ok")
        gateway = self.start(stays, goes, workers=2)
        stop, failures, counts = threading.Event(), [], [0]

        def keep_asking():
            try:
                with gateway.client() as client:
                    while not stop.is_set():
                        answer = client.ask("/")
                        if answer.body != b"ok":
                            raise AssertionError(repr(answer))
                        counts[0] += 1
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        threads = [threading.Thread(target=keep_asking) for _ in range(8)]
        for thread in threads:
            thread.start()
        wire.wait_until(lambda: len(goes.seen) > 200 or failures, "some load")
        goes.close()
        before = counts[0]
        wire.wait_until(lambda: counts[0] > before + 500 or failures, "more load")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    # --- second copies

    def test_a_second_copy_answers_for_a_backend_that_hangs(self):
        fast, slow, release = self.make_origin(b"fast"), self.make_origin(), threading.Event()
        self.addCleanup(release.set)
        slow.on("/", lambda *_: release.wait(TIMEOUT * 3))
        gateway = self.start(fast, slow, pool='hedge = { delay = "20ms", budget = 1 }')
        with gateway.client() as client:
            for _ in range(4):
                self.assertEqual(client.ask("/").body, b"fast")
        lines = gateway.access("/", 4)
        self.assertEqual({line["backend"] for line in lines}, {fast.address})
        self.assertGreater(len(slow.seen), 0)

    def test_a_copy_takes_over_when_the_first_fails(self):
        origins, asked, fail = [self.make_origin(), self.make_origin()], [], threading.Event()

        def answer(connection, _):
            asked.append(connection)
            if len(asked) == 1:
                fail.wait(TIMEOUT)
                connection.close()
        for origin in origins:
            origin.on("/", answer)
        gateway = self.start(*origins, pool='hedge = { delay = "20ms", budget = 1 }, max_retries = 0')
        with gateway.client() as client:
            client.send(wire.request("/"))
            wire.wait_until(lambda: len(asked) == 2, "the copy")
            fail.set()
            self.assertTrue(client.quiet_for(0.05))  # the failure alone is no answer
            asked[1].send(wire.response(body=b"late"))
            self.assertEqual(client.response().body, b"late")

    def test_what_has_a_body_or_is_not_safe_is_not_sent_twice(self):
        origins = [self.make_origin(), self.make_origin()]
        go = threading.Event()

        def late(connection, _):
            go.wait(TIMEOUT)
            connection.send(wire.response(body=b"late"))
        for origin in origins:
            origin.on("/", late)
        gateway = self.start(*origins, pool='hedge = { delay = "5ms", budget = 1 }')
        with gateway.client() as post, gateway.client() as put, gateway.client() as get:
            post.send(wire.request("/", "POST", body=b"x"))
            put.send(wire.request("/", "PUT", body=b"x"))
            wire.wait_until(lambda: sum(len(origin.seen) for origin in origins) == 2, "both")
            get.send(wire.request("/"))
            wire.wait_until(lambda: sum(len(origin.seen) for origin in origins) == 4, "the copy of the third")
            go.set()
            for client in (post, put, get):
                self.assertEqual(client.response().body, b"late")
        methods = sorted(one.method for origin in origins for one in origin.seen)
        self.assertEqual(methods, ["GET", "GET", "POST", "PUT"])

    # --- sessions

    def start_sticky(self, origins, pool='session = "cookie"', **options):
        return self.start(*origins, pool=pool, **options)

    @staticmethod
    def cookie_of(answer):
        found = [re.match(r"(neap_app=[^;]+); Path=/; Max-Age=3600; HttpOnly; SameSite=Lax$", field)
                 for field in answer.all("Set-Cookie")]
        found = [one.group(1) for one in found if one]
        return found[0] if found else None

    def bodies(self, gateway, cookie, count=6):
        return {gateway.ask("/", fields=[("Cookie", cookie)]).body for _ in range(count)}

    def test_a_client_stays_with_its_backend(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        gateway = self.start_sticky(origins)
        homes = set()
        for _ in range(6):
            answer = gateway.ask("/")
            cookie = self.cookie_of(answer)
            self.assertEqual(self.bodies(gateway, cookie), {answer.body})
            homes.add(answer.body)
        self.assertEqual(homes, {b"0", b"1", b"2"})
        self.assertIsNone(self.cookie_of(gateway.ask("/", fields=[("Cookie", cookie)])))  # it has one

    def test_the_backend_sees_the_other_cookies_alone(self):
        origins = [self.make_origin(b"x")]
        gateway = self.start_sticky(origins)
        cookie = self.cookie_of(gateway.ask("/"))
        gateway.ask("/", fields=[("Cookie", "a=1; " + cookie + ";b=2")])
        gateway.ask("/", fields=[("Cookie", cookie)])
        gateway.ask("/", fields=[("Cookie", "neap_app=forged"), ("Cookie", "c=3")])
        seen = [one.all("Cookie") for one in origins[0].seen]
        self.assertEqual(seen, [[], ["a=1; b=2"], [], ["c=3"]])

    def test_a_forged_cookie_is_no_session(self):
        origins = [self.make_origin(b"%d" % i) for i in range(2)]
        gateway = self.start_sticky(origins)
        cookie = self.cookie_of(gateway.ask("/"))
        forged = cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
        for bad in (forged, "neap_app=", "neap_app=" + "x" * 5000, cookie[:20]):
            answer = gateway.ask("/", fields=[("Cookie", bad)])
            self.assertEqual(answer.status, 200)
            self.assertIsNotNone(self.cookie_of(answer))

    def test_a_session_moves_when_its_backend_goes(self):
        origins = [self.make_origin(b"%d" % i) for i in range(2)]
        gateway = self.start_sticky(origins)
        answer = gateway.ask("/")
        cookie, home = self.cookie_of(answer), int(answer.body)
        origins[home].close()
        moved = gateway.ask("/", fields=[("Cookie", cookie)])
        self.assertEqual(moved.body, b"%d" % (1 - home))
        self.assertEqual(self.bodies(gateway, self.cookie_of(moved)), {moved.body})

    def test_sessions_outlive_reloads(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        gateway = self.start_sticky(origins)
        answer = gateway.ask("/")
        cookie = self.cookie_of(answer)
        for generation, order in ((2, origins[::-1]), (3, origins[1:] + origins[:1])):
            gateway.reload(config(*order, pool='session = "cookie"', cache="false"),
                           r"reloaded generation=%d" % generation)
            self.assertEqual(self.bodies(gateway, cookie), {answer.body})

    def test_the_guides_names_make_sessions_too(self):
        origins = [self.make_origin(b"%d" % i) for i in range(2)]
        gateway = self.start_sticky(origins, pool='enable_sticky_sessions = true, session_timeout = "1h"')
        answer = gateway.ask("/")
        self.assertEqual(self.bodies(gateway, self.cookie_of(answer)), {answer.body})

    def test_two_gateways_with_one_secret_believe_each_other(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        pool = 'session = { secret = "0123456789abcdef" }'
        one, other = self.start_sticky(origins, pool), self.start_sticky(origins, pool)
        answer = one.ask("/")
        self.assertEqual(self.bodies(other, self.cookie_of(answer)), {answer.body})

    def test_what_is_stored_has_no_session(self):
        origins = [self.make_origin()]
        origins[0].on("/", wire.response(fields=[("Cache-Control", "max-age=60")], body=b"x"))
        gateway = self.start_sticky(origins, cache="true")
        self.assertIsNotNone(self.cookie_of(gateway.ask("/")))
        hit = gateway.ask("/")
        self.assertEqual(hit.all("Cache-Status"), ["neap; hit"])
        self.assertEqual(hit.all("Set-Cookie"), [])

    def test_the_table_keeps_clients_without_a_cookie(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        pool = 'session = { type = "table", by = "header x-user" }'
        gateway = self.start_sticky(origins, pool, workers=2)
        homes = {}
        for _ in range(3):
            for user in range(12):
                answer = gateway.ask("/", fields=[("X-User", "u%d" % user)])
                self.assertEqual(homes.setdefault(user, answer.body), answer.body)
                self.assertEqual(answer.all("Set-Cookie"), [])
        self.assertEqual(set(homes.values()), {b"0", b"1", b"2"})
        gateway.reload(config(*origins, pool=pool, workers=2, cache="false"), r"reloaded generation=2")
        for user, home in homes.items():
            self.assertEqual(gateway.ask("/", fields=[("X-User", "u%d" % user)]).body, home)


if __name__ == "__main__":
    unittest.main()
