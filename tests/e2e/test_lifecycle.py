"""The process: starting, reloading, losing backends, rotating logs, stopping."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import Client, Gateway, Origin, PROGRAM, TIMEOUT, config, wire


class Lifecycle(unittest.TestCase):
    def start(self, *origins, **options):
        gateway = Gateway(config(*origins, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def make_origin(self, body=None):
        """An origin that answers everything on "/" with `body`."""
        origin = Origin()
        self.addCleanup(origin.close)
        if body is not None:
            origin.on("/", wire.response(body=body))
        return origin

    # --- stopping

    def test_term_lets_what_is_under_way_finish(self):
        origin, go = self.make_origin(), threading.Event()

        def answer(connection, _):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            go.wait(TIMEOUT)
            connection.send(b"world")
        origin.on("/slow", answer)
        gateway = self.start(origin)
        with gateway.client() as idle, gateway.client() as client:
            idle.ask("/")
            client.send(wire.request("/slow"))
            client.reader.until(b"hello")
            gateway.signal(signal.SIGTERM)
            self.assertEqual(idle.closed(), b"")  # idle connections go at once
            wire.wait_until(lambda: self.is_refused(gateway.port), "the listener to close")
            go.set()
            self.assertEqual(client.reader.until(b"world"), b"world")
            self.assertEqual(client.closed(), b"")
        self.assertEqual(gateway.wait_end(), 0)

    @staticmethod
    def is_refused(port):
        try:
            socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_grace_is_not_endless(self):
        origin, release = self.make_origin(), threading.Event()
        self.addCleanup(release.set)
        origin.on("/never", lambda *_: release.wait(TIMEOUT))
        gateway = self.start(origin, grace="200ms")
        with gateway.client() as client:
            client.send(wire.request("/never"))
            origin.wait("/never")
            gateway.signal(signal.SIGTERM)
            client.closed()
        self.assertEqual(gateway.wait_end(), 0)

    def test_int_stops_too(self):
        gateway = self.start(self.make_origin(b"x"))
        self.assertEqual(gateway.ask("/").status, 200)
        gateway.signal(signal.SIGINT)
        self.assertEqual(gateway.wait_end(), 0)

    # --- reloading

    def test_hup_takes_the_new_configuration_without_dropping_a_request(self):
        old, new = self.make_origin(b"old"), self.make_origin(b"new")
        gateway = self.start(old, cache="false")
        stop, failures, bodies = threading.Event(), [], set()

        def keep_asking():
            with gateway.client() as client:
                while not stop.is_set():
                    try:
                        bodies.add(client.ask("/").body)
                    except Exception as error:  # pylint: disable=broad-except
                        failures.append(error)
                        return
        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        wire.wait_until(lambda: b"old" in bodies, "an answer of the old origin")
        gateway.reload(config(new, cache="false"), r"reload.*generation=2")
        wire.wait_until(lambda: gateway.ask("/").body == b"new", "an answer of the new origin")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(gateway.ask("/").body, b"new")

    def test_workers_share_cache_and_switch_together(self):
        origin = self.make_origin()
        origin.on("/", wire.response(fields=[("Cache-Control", "max-age=60")], body=b"x" * 5000))
        gateway = self.start(origin, workers=3)
        stop, failures, counts = threading.Event(), [], [0]

        def keep_asking():
            while not stop.is_set():
                try:
                    with gateway.client() as client:
                        for target in ("/", "/", "/other"):
                            body = client.ask(target).body
                            if body != (b"x" * 5000 if target == "/" else b"/other"):
                                raise AssertionError("%s: %r" % (target, body))
                    counts[0] += 1
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(error)
                    return
        threads = [threading.Thread(target=keep_asking) for _ in range(6)]
        for thread in threads:
            thread.start()
        for generation in range(2, 8):
            before = counts[0]
            wire.wait_until(lambda before=before: counts[0] > before + 10 or failures, "some requests")
            gateway.reload(config(origin, workers=3), r"reload.*generation=%d" % generation)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertLessEqual(len(origin.for_path("/")), 6)  # each client may have missed once, before the first fill

    def test_an_exchange_keeps_the_generation_it_began_with(self):
        old, new, go = self.make_origin(), self.make_origin(b"new"), threading.Event()

        def answer(connection, _):
            go.wait(TIMEOUT)
            connection.send(wire.response(body=b"old"))
        old.on("/", answer)
        gateway = self.start(old, cache="false")
        with gateway.client() as client:
            client.send(wire.request("/"))
            old.wait("/")
            gateway.reload(config(new, cache="false"), r"reload.*generation=2")
            self.assertEqual(gateway.ask("/").body, b"new")
            go.set()
            self.assertEqual(client.response().body, b"old")
            self.assertEqual(client.ask("/").body, b"new")
        self.assertEqual(sorted(line["generation"] for line in gateway.access("/", 3)), [1, 2, 2])

    def test_a_bad_configuration_is_refused_whole_with_its_line(self):
        origin, other = self.make_origin(b"x"), self.make_origin(b"other")
        gateway = self.start(origin, cache="false")
        good = config(other, cache="false")
        for bad, pattern in ((good + "neap.cashe {}\n", r"neap\.lua:\d+"), (good + "if\n", r"neap\.lua:\d+"),
                             (good + "error('no')\n", r"neap\.lua:\d+"),
                             (good.replace("grace", "graze"), r"neap\.lua:\d+.*graze"),
                             (good + "while true do end\n", r"neap\.lua"),
                             ("", r"neap\.lua")):
            with self.subTest(bad=bad[-30:]):
                gateway.reload(bad, pattern)
                self.assertEqual(gateway.ask("/").body, b"x")
        gateway.reload(good, r"reload.*generation=2")
        self.assertEqual(gateway.ask("/").body, b"other")

    def test_what_is_no_file_is_refused_and_holds_nobody_up(self):
        gateway = self.start(self.make_origin(b"x"), cache="false")
        os.rename(gateway.config, gateway.config + ".good")
        os.mkfifo(gateway.config)
        gateway.signal(signal.SIGHUP)
        gateway.wait_line("reload_refused generation=1.*cannot read")
        os.rename(gateway.config + ".good", gateway.config)
        gateway.signal(signal.SIGHUP)
        gateway.wait_line("reloaded generation=2")

    def test_the_cache_survives_a_reload(self):
        origin = self.make_origin()
        origin.on("/", wire.response(fields=[("Cache-Control", "max-age=60")], body=b"x"))
        gateway = self.start(origin)
        gateway.ask("/")
        gateway.reload(config(origin), r"reload.*generation=2")
        self.assertEqual(gateway.ask("/").all("Cache-Status"), ["neap; hit"])
        self.assertEqual(len(origin.for_path("/")), 1)

    # --- backends

    def test_round_robin_over_all_backends(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        gateway = self.start(*origins, cache="false", pool='balance = "round_robin",')
        bodies = [gateway.ask("/").body for _ in range(9)]
        self.assertEqual(sorted(bodies), sorted([b"0", b"1", b"2"] * 3))

    def test_a_backend_that_is_down_costs_no_request(self):
        up, down = self.make_origin(b"up"), Origin()
        down.close()
        gateway = self.start(up, down, cache="false")
        for _ in range(10):
            self.assertEqual(gateway.ask("/").body, b"up")

    def test_a_backend_that_goes_away_costs_no_request_that_may_be_repeated(self):
        stays, goes = self.make_origin(b"stays"), self.make_origin(b"goes")
        gateway = self.start(stays, goes, cache="false")
        with gateway.client() as client:
            self.assertEqual({client.ask("/").body for _ in range(4)}, {b"stays", b"goes"})
            goes.close()
            for _ in range(10):
                self.assertEqual(client.ask("/").body, b"stays")

    def test_a_post_that_may_have_arrived_is_not_sent_twice(self):
        origins = [self.make_origin(), self.make_origin()]
        for origin in origins:
            origin.on("/", lambda connection, _: connection.close())
        gateway = self.start(*origins, cache="false")
        self.assertEqual(gateway.ask("/", "POST", body=b"x").status, 502)
        self.assertEqual(sum(len(origin.for_path("/")) for origin in origins), 1)

    def test_without_any_backend_the_answer_is_502_or_503(self):
        down = Origin()
        down.close()
        gateway = self.start(down, cache="false")
        with gateway.client() as client:
            for _ in range(3):
                self.assertIn(client.ask("/").status, (502, 503))

    # --- logs

    def test_usr1_reopens_the_access_log(self):
        gateway = self.start(self.make_origin(b"x"))
        gateway.ask("/before")
        gateway.access("/before")
        rotated = gateway.access_path + ".1"
        os.rename(gateway.access_path, rotated)
        gateway.signal(signal.SIGUSR1)
        wire.wait_until(lambda: os.path.exists(gateway.access_path), "the new log")
        gateway.ask("/after")
        gateway.access("/after")
        with open(rotated) as file:
            self.assertEqual(file.read().count("\n"), 1)

    def test_a_refused_request_is_logged_with_its_reason(self):
        gateway = self.start(self.make_origin(b"x"))
        with gateway.client() as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(client.response().status, 400)
        line = gateway.access()[0]
        self.assertEqual(line["status"], 400)
        self.assertIn("host_missing", line["reason"])

    # --- starting

    def run_program(self, *arguments):
        return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=TIMEOUT * 3, check=False)

    def assert_refused(self, result, *words):
        """One clear line, no trace, and the conventional status."""
        self.assertIn(result.returncode, (1, 2), result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn("stack traceback", result.stderr)
        self.assertNotIn("Sanitizer", result.stderr)

    def test_what_cannot_start_says_why(self):
        self.assert_refused(self.run_program("run", "-c", "/nonexistent/neap.lua"), "/nonexistent/neap.lua")
        self.assert_refused(self.run_program("run", "--no-such-option"), "no-such-option")
        self.assert_refused(self.run_program("proxy", "--listen", "127.0.0.1:0", "--to", "nonsense:99999"), "nonsense:99999")
        self.assert_refused(self.run_program("proxy", "--listen", "127.0.0.1:0"), "--to")
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
            file.write('local neap = require "neap"\nneap.listen { htp = ":80" }\n')
            file.flush()
            self.assert_refused(self.run_program("run", "-c", file.name), file.name + ":2", "htp", "http")

    def test_a_port_in_use_is_named(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        self.assert_refused(self.run_program("proxy", "--listen", address, "--to", "127.0.0.1:1"), address)

    def test_proxy_needs_no_file(self):
        origin = self.make_origin(b"x")
        process = subprocess.Popen([PROGRAM, "proxy", "--listen", "127.0.0.1:0", "--to", origin.address],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait, TIMEOUT)
        self.addCleanup(process.terminate)
        for line in process.stderr:
            if "listening http=" in line:
                break
        port = int(line.split("listening http=127.0.0.1:")[1].split()[0])
        with Client(port) as client:
            self.assertEqual(client.ask("/").body, b"x")


class Routes(unittest.TestCase):
    """Routes and policies in Lua, as the configuration has them."""

    def test_routes_choose_by_predicate_and_pools_by_a_function(self):
        origins = [Origin() for _ in range(3)]
        for number, origin in enumerate(origins):
            origin.on("/", wire.response(body=b"%d" % number))
            self.addCleanup(origin.close)
        gateway = Gateway("""
            local neap = require "neap"
            neap.listen { http = "127.0.0.1:0" }
            neap.pool { name = "plain", backends = { "%s" } }
            neap.pool { name = "picked", backends = { "%s", "%s" },
                        balance = function(req, pool) return req:header("X-Second") and 2 or 1 end }
            neap.route { path = "/", pool = "picked", when = function(req) return req:header("X-Picked") ~= nil end }
            neap.route { path = "/", pool = "plain" }
            neap.log { access = "ACCESS_LOG" }
            neap.engine { workers = 1 }
        """ % tuple(origin.address for origin in origins))
        self.addCleanup(gateway.stop)
        self.assertEqual(gateway.ask("/").body, b"0")
        self.assertEqual(gateway.ask("/", fields=[("X-Picked", "1")]).body, b"1")
        self.assertEqual(gateway.ask("/", fields=[("X-Picked", "1"), ("X-Second", "1")]).body, b"2")

    def test_a_predicate_that_fails_costs_its_route_and_not_the_request(self):
        origin = Origin()
        origin.on("/", wire.response(body=b"x"))
        self.addCleanup(origin.close)
        for fault in ("error('no')", "local t = nil; return t.x", "while true do end"):
            with self.subTest(fault=fault):
                gateway = Gateway("""
                    local neap = require "neap"
                    neap.listen { http = "127.0.0.1:0" }
                    neap.pool { name = "app", backends = { "%s" } }
                    neap.route { path = "/", respond = 418, when = function(req) %s end }
                    neap.route { path = "/", pool = "app" }
                    neap.log { access = "ACCESS_LOG" }
                    neap.reload { dry_run = false }
                    neap.engine { workers = 1 }
                """ % (origin.address, fault))
                try:
                    for _ in range(20):
                        self.assertEqual(gateway.ask("/").body, b"x")
                finally:
                    gateway.stop()


if __name__ == "__main__":
    unittest.main()
