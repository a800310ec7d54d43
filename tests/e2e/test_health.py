"""Health: probes, ejection, breakers, priorities, panic, and that reloads change nothing of it. Backends that are to be
fast or to be killed are gateways that answer themselves."""

import json
import socket
import subprocess
import threading
import time
import unittest

from harness import PROGRAM, Gateway, Origin, TIMEOUT, config, wire

BACKEND = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:%d" }
neap.route { path = "/", respond = { status = %d, body = "%s" } }
neap.log { access = "ACCESS_LOG" }
neap.engine { workers = 1 }
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """A backend that is a process: answers everything with `status` and `body`, always on the same port."""

    def __init__(self, body, status=200):
        self.text = BACKEND % (free_port(), status, body)
        self.start()
        self.address = "127.0.0.1:%d" % self.process.port

    def start(self):
        self.process = Gateway(self.text)

    def kill(self):
        self.process.kill()

    def close(self):
        if self.process.process.poll() is None:
            self.process.stop()


class Health(unittest.TestCase):
    def make_origin(self, body=b"ok"):
        origin = Origin()
        self.addCleanup(origin.close)
        origin.on("/", wire.response(body=body))
        return origin

    def make_server(self, body, status=200):
        server = Server(body, status)
        self.addCleanup(server.close)
        return server

    def start(self, *origins, **options):
        options.setdefault("cache", "false")
        if "balance" not in options.get("pool", ""):  # so that everyone gets some of few requests
            options["pool"] = 'balance = "round_robin", ' + options.get("pool", "")
        gateway = Gateway(config(*origins, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def bodies(self, gateway, count=20):
        with gateway.client() as client:
            return [client.ask("/").body for _ in range(count)]

    @staticmethod
    def unwell(origin, status=500):
        origin.on("/health", wire.response(status))

    # --- probes

    def test_a_backend_whose_probes_fail_gets_nothing_until_they_succeed_again(self):
        a, b = self.make_origin(b"a"), self.make_origin(b"b")
        self.unwell(b)
        gateway = self.start(a, b, pool='health = { interval = "50ms", rise = 2, fall = 2 }')
        gateway.wait_line("backend_up pool=app backend=" + a.address)
        gateway.wait_line("backend_down pool=app backend=%s reason=\"status 500\"" % b.address)
        self.assertEqual(set(self.bodies(gateway)), {b"a"})
        b.on("/health", wire.response())
        gateway.wait_line("backend_up pool=app backend=" + b.address)
        self.assertEqual(set(self.bodies(gateway)), {b"a", b"b"})

    def test_it_asks_what_it_is_told_to(self):
        origin = self.make_origin()
        origin.on("/up?x=1", wire.response(404, body=b"all is well"))
        gateway = self.start(origin, pool="""health = { path = "/up?x=1", host = "app.internal", status = { 200, 404 },
                             contains = "is well", interval = "50ms" }""")
        gateway.wait_line("backend_up")
        request = origin.wait("/up?x=1")
        self.assertEqual(request.get("host"), "app.internal")
        origin.on("/up?x=1", wire.response(404, body=b"all is lost"))
        gateway.wait_line("backend_down .*the body lacks the expected text")

    def test_a_backend_of_two_pools_is_judged_by_the_probes_of_each(self):
        a, b = self.make_origin(b"a"), self.make_origin(b"b")
        for origin in a, b:
            origin.on("/", wire.response(body=origin is a and b"a" or b"b"))
            origin.on("/pages", wire.response(body=origin is a and b"a" or b"b"))
        a.on("/well", wire.response())
        self.unwell(a)
        more = """neap.pool { name = "pages", backends = { "%s", "%s" }, balance = "round_robin",
                              health = { path = "/well", interval = "50ms" } }
                  neap.route { path = "/pages", pool = "pages" }""" % (a.address, b.address)
        gateway = self.start(a, b, pool='health = { interval = "50ms", fall = 1 }', more=more)
        gateway.wait_line("backend_down pool=app backend=" + a.address)
        gateway.wait_line("backend_up pool=pages backend=" + a.address)
        wire.wait_until(lambda: a.for_path("/health")[10:] and a.for_path("/well")[10:], "ten probes of each kind")
        self.assertEqual(set(self.bodies(gateway)), {b"b"})
        with gateway.client() as client:
            self.assertEqual({client.ask("/pages").body for _ in range(10)}, {b"a", b"b"})

    def test_a_check_that_only_connects(self):
        origin = self.make_origin()
        gateway = self.start(backends='"%s", "127.0.0.1:%d"' % (origin.address, free_port()),
                             pool='health = "tcp", health_check_interval = "50ms"')
        gateway.wait_line("backend_up pool=app backend=" + origin.address)
        gateway.wait_line("backend_down pool=app backend=.*connection refused")
        self.assertEqual(origin.seen, [])

    def test_silence_counts_as_bad(self):
        origin, release = self.make_origin(), threading.Event()
        self.addCleanup(release.set)
        origin.on("/health", lambda *_: release.wait(TIMEOUT))
        gateway = self.start(origin, pool='health = { timeout = "50ms", interval = "50ms" }')
        gateway.wait_line("backend_down .*reason=\"Timeout was reached\"")

    def test_flapping_below_the_thresholds_changes_nothing(self):
        origin = self.make_origin()
        gateway = self.start(origin, pool='health = { interval = "20ms", rise = 2, fall = 3 }')
        gateway.wait_line("backend_up")
        answers = [500, 500, 200] * 4

        def flap(connection, _):
            connection.send(wire.response(answers.pop(0) if answers else 200))
        origin.on("/health", flap)
        origin.wait("/health", 14)
        self.assertEqual(len([line for line in gateway.lines if "upstream backend_" in line]), 1)

    def test_the_guides_variable_turns_probes_on(self):
        origin = self.make_origin()
        gateway = Gateway(config(origin), environment={"HEALTH_CHECK_INTERVAL": "30s"})
        self.addCleanup(gateway.stop)
        gateway.wait_line("backend_up")
        origin.wait("/health")

    # --- checks in Lua

    def test_a_check_in_lua_sees_status_headers_body_and_duration(self):
        origin = self.make_origin()
        origin.on("/health", wire.response(418, fields=[("X-Load", "12")], body=b"teapot"))
        gateway = self.start(origin, pool="""health = { interval = "50ms", fall = 1, rise = 1, check = function(reply)
              return reply.status == 418 and reply:header("x-load"):number() < 50 and reply:header("x-none") == nil
                and reply.body:contains "pot" and reply.took_ms > 0
            end }""")
        gateway.wait_line("backend_up")
        origin.on("/health", wire.response(418, fields=[("X-Load", "99")], body=b"teapot"))
        gateway.wait_line("backend_down .*the script says so")
        start = len(gateway.lines)
        origin.on("/health", wire.response(418, fields=[("X-Load", "1")], body=b"teapot"))
        gateway.wait_line("backend_up", start)

    def test_a_check_that_fails_or_never_ends_leaves_the_verdict_to_the_plain_rules(self):
        for check, reason in (("error 'no'", "NEAP_EFAULT"), ("while true do end", "NEAP_EFUEL"),
                              ("return 'well'", "NEAP_EFAULT"), ("return reply.nothing", "NEAP_EFAULT")):
            with self.subTest(check):
                origin = self.make_origin()
                gateway = self.start(origin, pool="""health = { interval = "20ms", fall = 1, rise = 1,
                                     check = function(reply) %s end }""" % check)
                gateway.wait_line("health fault pool=app .*reason=" + reason)
                gateway.wait_line("backend_up")
                gateway.wait_line("health tripped")
                self.shows_the_fault(gateway)
                self.unwell(origin)
                gateway.wait_line("backend_down .*status 500")

    def shows_the_fault(self, gateway):
        """Not in the log alone: operators look at the status, alerts at the figures."""
        def ask(verb):
            return subprocess.run([PROGRAM, verb, "--json", "-c", gateway.config], capture_output=True, text=True,
                                  timeout=TIMEOUT, check=True).stdout
        faults = json.loads(ask("status"))["faults"]
        self.assertEqual([(one["kind"], one["name"]) for one in faults], [("health", "app")])
        self.assertRegex(faults[0]["fault"], r"neap\.lua:\d+: ")
        rows = [one for one in json.loads(ask("policies"))["policies"] if one["kind"] == "health"]
        self.assertEqual([(one["policy"], one["trips"], one["errors"] + one["fuel"]) for one in rows], [("check", 1, 3)])
        self.assertIn('neap_policy_trips_total{kind="health",name="app",policy="check",generation="1"} 1',
                      json.loads(ask("metrics"))["text"])

    def test_a_shipped_check_and_a_reload_that_changes_its_mind(self):
        origin = self.make_origin()
        origin.on("/health", wire.response(fields=[("X-Health", "degraded")]))
        pool = 'health = { interval = "50ms", fall = 1, rise = 1, check = neap.probe "slow" { %s } }'
        gateway = self.start(origin, pool=pool % 'limit_ms = 5000')
        gateway.wait_line("backend_up")
        gateway.reload(config(origin, pool=pool % 'limit_ms = 5000, header = "x-health"'), "server reloaded")
        gateway.wait_line("backend_down .*the script says so")

    # --- reloads

    def test_a_storm_of_reloads_restarts_no_probe_and_sends_nobody_to_a_backend_that_is_down(self):
        a, b = self.make_origin(b"a"), self.make_origin(b"b")
        self.unwell(b)
        pool = 'health = { interval = "1h", fast_interval = "1h" }'
        gateway = self.start(a, b, pool=pool)
        gateway.wait_line("backend_up")
        gateway.wait_line("backend_down")
        text = config(a, b, cache="false", pool=pool)
        seen, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                seen.extend(self.bodies(gateway, 5))
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            for i in range(30):
                gateway.reload(text + "-- %d\n" % i, "server reloaded generation=")
        finally:
            stop.set()
            asker.join()
        self.assertEqual(set(seen), {b"a"})
        self.assertEqual((len(a.for_path("/health")), len(b.for_path("/health"))), (1, 1))
        self.assertEqual(b.for_path("/"), [])

    def test_new_rules_are_asked_at_once_and_what_is_known_stays(self):
        a, b = self.make_origin(b"a"), self.make_origin(b"b")
        self.unwell(b)
        gateway = self.start(a, b, pool='health = { interval = "1h", fast_interval = "1h" }')
        gateway.wait_line("backend_up")
        gateway.wait_line("backend_down")
        b.on("/other", wire.response())
        gateway.reload(config(a, b, cache="false", pool='health = { path = "/other", interval = "50ms", rise = 2 }'),
                       "server reloaded")
        gateway.wait_line("backend_up pool=app backend=" + b.address)
        self.assertGreaterEqual(len(b.for_path("/other")), 2)  # it was down: one good probe is not enough

    def test_an_ejection_outlives_reloads(self):
        good, bad = self.make_origin(b"good"), self.make_origin()
        bad.on("/", wire.response(503))
        gateway = self.start(good, bad)
        self.bodies(gateway, 30)
        errors = len(bad.seen)
        self.assertEqual(errors, 5)
        for i in range(3):
            gateway.reload(config(good, bad, cache="false") + "-- %d\n" % i, "server reloaded")
            self.assertEqual(set(self.bodies(gateway)), {b"good"})
        self.assertEqual(len(bad.seen), errors)

    # --- ejection

    def test_a_backend_that_answers_instantly_with_errors_draws_nearly_nothing(self):
        """Least connections is what such a backend deceives best: it never has any."""
        servers = [self.make_server("a"), self.make_server("b"), self.make_server("c"), self.make_server("hole", 503)]
        gateway = self.start(*servers, workers=2, pool='balance = "least_connections"')
        self.assert_few_errors(gateway, servers[3])

    def test_nor_does_it_where_the_pool_is_in_panic_and_one_is_left_that_answers(self):
        servers = [self.make_server("a"), self.make_server("hole", 503), self.make_server("dead")]
        servers[2].kill()
        for care in "", 'health = "tcp", ':
            with self.subTest(care=care):
                gateway = self.start(*servers, workers=2, pool=care + 'balance = "least_connections", max_retries = 2')
                self.assert_few_errors(gateway, servers[1])

    def assert_few_errors(self, gateway, hole):
        """The other worker may not look for a millisecond: what it sends meanwhile is of the first seconds."""
        clients, each, bad = 4, 5000, []

        def ask(count):
            with gateway.client() as client:
                bad.append(sum(client.ask("/").status != 200 for _ in range(count)))

        def ask_all(count):
            bad.clear()
            threads = [threading.Thread(target=ask, args=(count,)) for _ in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(bad), clients)
            return sum(bad)
        self.assertLessEqual(ask_all(200), 50)
        gateway.wait_line("upstream ejected pool=app backend=%s for_ms=" % hole.address)
        self.assertLessEqual(ask_all(each), 0.0005 * clients * each)

    def test_who_comes_back_from_ejection_is_on_probation(self):
        good, bad = self.make_origin(b"good"), self.make_origin()
        bad.on("/", wire.response(503))
        gateway = self.start(good, bad, pool='eject = { errors = 3, time = "300ms" }')
        self.bodies(gateway, 20)
        self.assertEqual(len(bad.seen), 3)
        wire.wait_until(lambda: self.bodies(gateway, 4) and len(bad.seen) > 3, "another try")
        self.bodies(gateway, 10)
        self.assertEqual(len(bad.seen), 4)

    def test_never_all_are_ejected(self):
        a, b = self.make_origin(), self.make_origin()
        for origin in a, b:
            origin.on("/", wire.response(503))
        gateway = self.start(a, b)
        self.bodies(gateway, 100)
        least, most = sorted((len(a.seen), len(b.seen)))
        self.assertEqual(least + most, 100)
        self.assertGreaterEqual(most, 80)  # one is out, the other stays though it is no better

    def test_some_errors_among_many_answers_eject_by_rate(self):
        good, bad = self.make_origin(b"good"), self.make_origin()
        counted = [0]

        def sometimes(connection, _):
            counted[0] += 1
            connection.send(wire.response(200 if counted[0] % 3 else 503))
        bad.on("/", sometimes)
        gateway = self.start(good, bad, pool='balance = "round_robin", eject = { errors = 0, min_requests = 30 }')
        wire.wait_until(lambda: self.bodies(gateway, 100) and any("upstream ejected" in line for line in gateway.lines),
                        "an ejection by rate")
        wire.wait_until(lambda: set(self.bodies(gateway)) == {b"good"}, "the worker to look")  # every few milliseconds
        self.assertEqual(set(self.bodies(gateway)), {b"good"})

    # --- load reports

    def test_a_load_report_goes_to_the_policy_and_no_further(self):
        idle, busy = self.make_origin(), self.make_origin()
        for origin, value in (idle, 'JSON {"named_metrics": {"in_flight": 1, "capacity": 8}}'), (busy, "TEXT rif=9"):
            fields = [("Endpoint-Load-Metrics", value), ("endpoint-load-metrics-bin", "x"), ("X-Other", "kept")]
            origin.on("/", wire.response(fields=fields, body=b"idle" if origin is idle else b"busy"))
            origin.on("/stored", wire.response(fields=fields + [("Cache-Control", "max-age=60")]))
        gateway = self.start(idle, busy, cache="true", pool="""balance = function(req, pool)
              local best = 1
              for i = 2, pool.count do if pool[i].load < pool[best].load then best = i end end
              return best
            end""")
        self.assertEqual(self.bodies(gateway, 6), [b"idle", b"busy"] + [b"idle"] * 4)  # both unknown, one, none
        for path in "/", "/stored", "/stored":
            answer = gateway.ask(path)
            self.assertEqual(answer.get("x-other"), "kept")
            for name in "endpoint-load-metrics", "endpoint-load-metrics-bin":
                self.assertNotIn(name, answer)
        self.assertEqual(len(idle.for_path("/stored")), 1)

    def test_a_policy_may_ask_backends_for_their_load_beside_the_requests(self):
        idle, busy = self.make_origin(b"idle"), self.make_origin(b"busy")
        idle.on("/health", wire.response(body=b'{"rif": 1}'))
        busy.on("/health", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"rif\r\n5\r\n\": 9}\r\n0\r\n\r\n")
        balance = """balance = function(req, pool)
              local best = 1
              for i = 1, pool.count do
                pool.probe(i)
                if pool[i].load < 0 or pool[i].load < pool[best].load then best = i end
              end
              return best
            end"""
        gateway = self.start(busy, idle, pool=balance + ", load_probes = true")
        wire.wait_until(lambda: set(self.bodies(gateway, 20)) == {b"idle"}, "the policy to know")
        self.assertEqual(self.bodies(gateway, 100), [b"idle"] * 100)
        self.assertGreater(len(busy.for_path("/health")), 0)
        # What is no answer costs the probe and nothing else; nor does it hold up a reload or the end.
        release = threading.Event()
        self.addCleanup(release.set)
        busy.on("/health", lambda *_: release.wait(TIMEOUT))
        for answer in (b"no response at all\r\n\r\n", wire.response(500), wire.response(body=b"x" * 5000),
                       wire.response(body=b"{"), lambda connection, _: connection.close()):
            idle.on("/health", answer)
            self.assertEqual(len(self.bodies(gateway, 50)), 50)
        gateway.reload(config(busy, idle, cache="false", pool=balance), "server reloaded")
        self.assertEqual(len(self.bodies(gateway, 50)), 50)

    def test_shares_follow_reported_utilisation(self):
        used, idle = self.make_origin(), self.make_origin()
        for origin, body, value in (used, b"used", "0.9"), (idle, b"idle", "0.3"):
            field = ("endpoint-load-metrics", "TEXT application_utilization=" + value)
            origin.on("/", wire.response(fields=[field], body=body))
        gateway = self.start(used, idle, pool='balance = "weighted_round_robin", dynamic_weight = true')
        self.assertEqual(self.bodies(gateway, 100).count(b"idle"), 50)
        wire.wait_until(lambda: self.bodies(gateway, 100).count(b"idle") >= 60, "the idle one to get more")

    # --- slow start

    def test_the_share_of_one_that_comes_back_grows(self):
        old, back = self.make_origin(b"old"), self.make_origin(b"back")
        self.unwell(back)
        gateway = self.start(old, back, pool="""balance = "weighted_round_robin", slow_start = "2s",
                             health = { interval = "20ms", rise = 1 }""")
        gateway.wait_line("backend_down pool=app backend=" + back.address)
        deadline = time.monotonic() + 2.2  # until the other one has grown up
        wire.wait_until(lambda: self.bodies(gateway, 10) and time.monotonic() > deadline, "the first to grow")
        back.on("/health", wire.response())
        gateway.wait_line("backend_up pool=app backend=" + back.address)
        self.assertLess(self.bodies(gateway, 50).count(b"back"), 15)
        wire.wait_until(lambda: self.bodies(gateway, 50).count(b"back") == 25, "the share to be whole")

    # --- the breaker

    def test_a_breaker_fails_fast_then_tries_then_closes(self):
        origin = self.make_origin()
        origin.on("/", wire.response(500))
        gateway = self.start(origin, pool="""eject = false,
                             breaker = { errors = 3, rate = 0, open = "300ms", trials = 1 }""")
        statuses = [gateway.ask("/").status for _ in range(10)]
        self.assertEqual(statuses, [500] * 3 + [503] * 7)
        self.assertEqual(len(origin.seen), 3)
        origin.on("/", wire.response(body=b"well"))
        wire.wait_until(lambda: gateway.ask("/").status == 200, "the breaker to try")
        self.assertEqual([gateway.ask("/").status for _ in range(5)], [200] * 5)
        gateway.wait_line("upstream breaker_opened pool=app backend=%s times=1" % origin.address)

    # --- panic, priorities, processes

    def test_where_all_are_said_to_be_unwell_all_serve(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        for origin in origins:
            self.unwell(origin)
        gateway = self.start(*origins, pool='health = { interval = "50ms" }')
        for origin in origins:
            gateway.wait_line("backend_down pool=app backend=" + origin.address)
        self.assertEqual(set(self.bodies(gateway)), {b"0", b"1", b"2"})
        gateway.wait_line("upstream panic pool=app threshold=0.5")
        for origin in origins:
            origin.on("/health", wire.response())
        gateway.wait_line("upstream panic_over pool=app")

    def test_a_backup_takes_over_and_gives_back(self):
        first, spare = self.make_origin(b"first"), self.make_origin(b"spare")
        gateway = self.start(backends='"%s", "%s backup"' % (first.address, spare.address),
                             pool='health = { interval = "50ms", fall = 1, rise = 1 }')
        for origin in first, spare:
            gateway.wait_line("backend_up pool=app backend=" + origin.address)
        self.assertEqual(set(self.bodies(gateway)), {b"first"})
        self.unwell(first)
        gateway.wait_line("backend_down pool=app backend=" + first.address)
        self.assertEqual(set(self.bodies(gateway)), {b"spare"})
        start = len(gateway.lines)
        first.on("/health", wire.response())
        gateway.wait_line("backend_up pool=app backend=" + first.address, start)
        self.assertEqual(set(self.bodies(gateway)), {b"first"})

    def test_a_backup_steps_in_where_nobody_can_be_reached_even_without_probes(self):
        spare = self.make_origin(b"spare")
        gateway = self.start(backends='"127.0.0.1:%d", "%s backup"' % (free_port(), spare.address))
        self.assertEqual(set(self.bodies(gateway)), {b"spare"})

    def test_a_process_that_dies_under_load_and_comes_back_is_not_ejected_for_it(self):
        stays, dies = self.make_server("stays"), self.make_server("dies")
        gateway = self.start(stays, dies, pool='down_time = "100ms"')
        stop, seen = threading.Event(), []

        def ask():
            with gateway.client() as client:
                while not stop.is_set():
                    seen.append(client.ask("/").body)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            wire.wait_until(lambda: seen.count(b"dies") > 100, "load on both")
            dies.kill()
            dies.start()
            mark = len(seen)
            wire.wait_until(lambda: b"dies" in seen[mark:], "the one that died to be used again")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(set(seen), {b"stays", b"dies"})

    def test_killed_processes_are_left_alone_and_taken_back(self):
        servers = [self.make_server(name) for name in ("a", "b", "c", "d")]
        gateway = self.start(*servers, pool='balance = "round_robin", health = { interval = "50ms", rise = 2, fall = 2 }, '
                             'max_retries = 3')
        for server in servers:
            gateway.wait_line("backend_up pool=app backend=" + server.address)
        for server in servers[1:]:
            server.kill()
        # One of four is left: too few to believe in, but that nobody is there needs no belief.
        self.assertEqual(set(self.bodies(gateway, 200)), {b"a"})
        for server in servers[1:]:
            gateway.wait_line("backend_down pool=app backend=" + server.address)
        start = len(gateway.lines)
        self.assertEqual(set(self.bodies(gateway, 200)), {b"a"})
        for server in servers[1:]:
            server.start()
            gateway.wait_line("backend_up pool=app backend=" + server.address, start)
        self.assertEqual(set(self.bodies(gateway, 20)), {b"a", b"b", b"c", b"d"})


if __name__ == "__main__":
    unittest.main()
