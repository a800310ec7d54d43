"""Tiers below memory, with real servers: several gateways share what one of them has stored, in Redis and on a server
with GET, PUT and DELETE (nginx); one that is gone or stuck costs hits nothing and misses no more than a set time; and
nothing in a tier is believed."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from harness import PROGRAM, TIMEOUT, Gateway, Origin, config, wire
from resp import Redis, free_port
from test_control import Line

FRESH = ("Cache-Control", "max-age=600")
PREFIX = b"neap:http:k:"


def key_of(path, host="example.test"):
    return b"app\0http://" + host.encode() + path.encode()


# --- what lies in Redis, made here: docs/envelope.md, docs/tiers.md

MASK = 2 ** 64 - 1


def mix(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def part(state, data):
    a, b = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
    del b
    state ^= len(data)
    data += bytes(16 - len(data) % 16)
    for at in range(0, len(data), 16):
        u, v = struct.unpack_from("<QQ", data, at)
        state = mix(u ^ a, v ^ state)
    return state


def envelope(key, meta, body, ns=b"http"):
    """One that is neither compressed nor encrypted, and right."""
    head = b"Neap\1\0\0\0" + struct.pack("<QQQIIIHH", 0, 1000, 0, len(meta), len(body), len(meta) + len(body), 0, 0)
    sealed = struct.pack("<I", len(ns)) + ns + struct.pack("<I", len(key)) + key + head
    check = mix(part(part(0, sealed), meta + body) ^ 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3)
    return head + meta + body + struct.pack("<Q", check)


def record(head, kind=1, flags=0, age=0, lifetime=600000, nonce=0, version=1, wall=None):
    wall = int(time.time() * 1000) if wall is None else wall
    return b"NeapH" + bytes([version, kind, flags]) + struct.pack("<QQQQ", wall, age, lifetime, nonce) + head


GOOD = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: max-age=600\r\nX-From: tier\r\n\r\n"


class Nginx:
    """A CDN stand-in: nginx with its DAV module."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="neap-nginx-")
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        os.makedirs(os.path.join(self.folder, "edge", "cache"))
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w") as file:
            file.write("""
daemon off; master_process off; pid %(folder)s/pid; error_log %(folder)s/error.log;
events { worker_connections 64; }
http {
  access_log %(folder)s/access.log;
  client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
  uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
  client_max_body_size 64m;
  server {
    listen 127.0.0.1:%(port)d;
    location /cache/ { root %(folder)s/edge; dav_methods PUT DELETE; create_full_put_path on; }
  }
}
""" % dict(folder=self.folder, port=self.port))
        self.process = subprocess.Popen(["nginx", "-c", path, "-p", self.folder, "-e", self.folder + "/error.log"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wire.wait_until(self.answers, "nginx")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return None

    def files(self):
        return os.listdir(os.path.join(self.folder, "edge", "cache"))

    def close(self):
        self.process.kill()
        self.process.wait(TIMEOUT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Case(unittest.TestCase):
    def setUp(self):
        self.path = "/" + self.id().rpartition(".")[2]
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.redis = Redis()
        self.addCleanup(self.redis.close)

    def settings(self, tiers=None, **options):
        if tiers is None:
            tiers = '{ redis = "redis://127.0.0.1:%d" }' % self.redis.port
        more = options.pop("more", "") + ("neap.tiers %s" % tiers if tiers else "")
        return config(self.origin, more=more, **options)

    def gateway(self, tiers=None, **options):
        gateway = Gateway(self.settings(tiers, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def on(self, fields=(FRESH,), body=b"hello", path=None, **options):
        self.origin.on(path or self.path, wire.response(fields=list(fields), body=body, **options))

    def seen(self, path=None):
        return len(self.origin.for_path(path or self.path))

    def stored(self, count=1):
        """Waits until so many values lie in Redis; their keys."""
        def keys():
            found = [key for key in self.redis.ask("KEYS", PREFIX + b"*") if self.redis.ask("GET", key)[16:17] == b"V"]
            return found if len(found) >= count else None
        return wire.wait_until(keys, "%d values in Redis" % count)

    def figures(self, gateway):
        with Line(os.path.join(gateway.folder, "neap.sock")) as line:
            text = line.ask("metrics")["text"]
        rows = [one.rpartition(" ") for one in text.splitlines() if not one.startswith("#")]
        return {name: float(value) for name, _, value in rows}

    def figure(self, gateway, name):
        return self.figures(gateway)[name]

    def await_figure(self, gateway, name, least):
        return wire.wait_until(lambda: self.figures(gateway).get(name, 0) >= least or None, "%s of %s" % (name, least))

    def connect(self, gateway):
        """Until a worker has asked Redis, and been answered."""
        numbers = iter(range(10 ** 6))

        def asked():
            gateway.ask("/connect/%d" % next(numbers))
            return self.figures(gateway)['neap_tier_lookups_total{tier="redis",result="miss"}'] or None
        wire.wait_until(asked, "an answer of Redis")

    def status(self, response):
        return response.all("Cache-Status")[-1]


class Shared(Case):
    def test_a_second_gateway_answers_from_redis(self):
        self.on([FRESH, ("ETag", '"v1"'), ("X-Own", "yes")])
        first, second = self.gateway(), self.gateway()
        self.assertIn("fwd=uri-miss; stored", self.status(first.ask(self.path)))
        self.stored()
        response = second.ask(self.path)
        self.assertEqual((response.status, response.body, self.seen()), (200, b"hello", 1))
        self.assertEqual(self.status(response), "neap; hit; detail=redis")
        self.assertEqual((response.get("ETag"), response.get("X-Own"), response.get("Content-Length")),
                         ('"v1"', "yes", "5"))
        self.assertEqual(self.status(second.ask(self.path)), "neap; hit")
        line = second.access(self.path)[0]
        self.assertEqual((line["cache"], line["steps"]), ("hit-redis", "recv,route,lookup,tiers,deliver,finish"))
        figures = self.figures(second)
        self.assertEqual(figures['neap_tier_lookups_total{tier="redis",result="hit"}'], 1)
        self.assertEqual(figures['neap_tier_breaker{tier="redis",state="closed"}'], 1)
        self.assertEqual(figures['neap_requests_total{route="/",pool="app",code="2xx",cache="hit-redis"}'], 1)
        self.assertEqual(self.figure(first, 'neap_tier_sets_total{tier="redis"}'), 1)

    def test_age_goes_on_at_the_second_gateway(self):
        self.on([("Cache-Control", "max-age=600"), ("Age", "100")])
        first, second = self.gateway(), self.gateway()
        first.ask(self.path)
        self.stored()
        for _ in range(2):  # from Redis, then from memory
            self.assertIn(int(second.ask(self.path).get("Age")), range(100, 130))
        ttl = self.redis.ask("PTTL", self.stored()[0])
        self.assertIn(ttl, range(470000, 500001))

    def test_conditions_are_answered_by_what_lies_in_redis(self):
        self.on([FRESH, ("ETag", '"v1"'), ("X-Own", "yes")])
        self.gateway().ask(self.path)
        self.stored()
        second = self.gateway()
        response = second.ask(self.path, fields=[("If-None-Match", '"v1"')])
        self.assertEqual((response.status, response.body, response.get("ETag")), (304, b"", '"v1"'))
        self.assertEqual(self.status(response), "neap; hit; detail=redis")
        self.assertNotIn("X-Own", response)
        third = self.gateway()
        response = third.ask(self.path, fields=[("If-None-Match", '"v2"')])
        self.assertEqual((response.status, response.body), (200, b"hello"))
        response = self.gateway().ask(self.path, "HEAD")
        self.assertEqual((response.status, response.body, response.get("Content-Length")), (200, b"", "5"))
        self.assertEqual(self.seen(), 1)

    def test_variants_are_found_by_their_fields(self):
        def answer(connection, request):
            connection.send(wire.response(fields=[FRESH, ("Vary", "Accept-Language")],
                                          body=request.get("Accept-Language", "none").encode()))
        self.origin.on(self.path, answer)
        first, second = self.gateway(), self.gateway()
        first.ask(self.path, fields=[("Accept-Language", "de")])
        self.stored(2)
        response = second.ask(self.path, fields=[("Accept-Language", "de")])
        self.assertEqual((response.body, self.status(response)), (b"de", "neap; hit; detail=redis"))
        response = second.ask(self.path, fields=[("Accept-Language", "fr")])
        self.assertEqual((response.body, self.seen()), (b"fr", 2))
        self.assertIn("fwd=vary-miss", self.status(response))
        self.stored(3)  # under the nonce of the first
        response = first.ask(self.path, fields=[("Accept-Language", "fr")])
        self.assertEqual((response.body, self.status(response), self.seen()), (b"fr", "neap; hit; detail=redis", 2))

    def test_large_and_chunked_bodies_arrive_whole(self):
        body = bytes(range(256)) * 2400  # 600 KB
        self.on(body=body)
        chunked = self.path + "/chunked"
        self.origin.on(chunked, b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n"
                       + wire.chunk(body[:300000]) + wire.chunk(body[300000:]) + b"0\r\n\r\n")
        first, second = self.gateway(), self.gateway()
        for path in (self.path, chunked):
            first.ask(path)
        self.stored(2)
        for path in (self.path, chunked):
            response = second.ask(path)
            self.assertEqual((response.body == body, self.status(response)), (True, "neap; hit; detail=redis"))

    def test_a_client_that_reads_slowly_gets_all_of_it(self):
        body = os.urandom(900000)
        self.on(body=body)
        self.gateway().ask(self.path)
        self.stored()
        with self.gateway().client(receive_buffer=4096) as client:
            client.send(wire.request(self.path))
            response = client.response()
            self.assertEqual(response.body, body)

    def test_what_may_not_be_stored_or_is_too_large_stays_out(self):
        tiers = '{ redis = { url = "redis://127.0.0.1:%d", max_object = "10KB" } }' % self.redis.port
        gateway = self.gateway(tiers)
        cases = {"private": ([("Cache-Control", "private, max-age=60")], b"x"), "cookie": ([FRESH, ("Set-Cookie", "a=b")], b"x"),
                 "large": ([FRESH], b"x" * 20000), "stale": ([("Cache-Control", "max-age=0")], b"x")}
        for name, (fields, body) in cases.items():
            self.on(fields, body, self.path + "/" + name)
            gateway.ask(self.path + "/" + name)
        self.origin.on(self.path + "/cut", lambda connection, _: connection.send(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nhalf").close())
        with gateway.client() as client:
            client.send(wire.request(self.path + "/cut"))
            self.assertRaises(wire.Truncated, client.response)
        self.on()
        gateway.ask(self.path)
        self.assertEqual(self.stored(), [PREFIX + key_of(self.path)])
        self.assertEqual(self.status(gateway.ask(self.path + "/large")), "neap; hit")  # in memory it is

    def test_no_secret_of_a_tier_is_shown(self):
        tiers = '{ redis = { url = "redis://me:hush-one@127.0.0.1:%d" }, cdn = { url = "http://127.0.0.1:1", ' \
                'bearer = "hush-two", header = "X-Pass: hush-three" } }' % self.redis.port
        gateway = self.gateway(tiers)
        with Line(os.path.join(gateway.folder, "neap.sock")) as line:
            shown = json.dumps(line.ask("config"))
        self.assertIn("neap:http:", shown)
        self.assertNotIn("hush", shown)
        self.assertNotIn("hush", "\n".join(gateway.lines))

    def test_routes_choose_their_tiers(self):
        more = 'neap.route { path = "/out*", pool = "app", cache = { tiers = false } }\n'
        gateway = self.gateway(more=more)
        for path in ("/out/1", self.path):
            self.on(path=path)
            gateway.ask(path)
        self.assertEqual(self.stored(), [PREFIX + key_of(self.path)])
        self.assertEqual(self.status(gateway.ask("/out/1")), "neap; hit")

    def test_edits_of_the_route_are_made_to_what_comes_from_redis(self):
        self.on([FRESH, ("X-Own", "yes")])
        self.gateway().ask(self.path)
        self.stored()
        more = 'neap.route { path = "%s", pool = "app", cache = true,\n' \
               'response_headers = { set = { ["X-Added"] = "now" }, remove = { "X-Own" } } }\n' % self.path
        response = self.gateway(more=more).ask(self.path)
        self.assertEqual((self.status(response), response.get("X-Added")), ("neap; hit; detail=redis", "now"))
        self.assertNotIn("X-Own", response)

    def test_an_unsafe_method_deletes_everywhere(self):
        self.on()
        first, second = self.gateway(), self.gateway()
        first.ask(self.path)
        self.stored()
        self.assertEqual(self.status(second.ask(self.path)), "neap; hit; detail=redis")
        self.await_listener()
        first.ask(self.path, "POST")
        self.await_figure(first, 'neap_tier_deletes_total{tier="redis"}', 1)
        self.on(body=b"new")
        response = wire.wait_until(lambda: (lambda one: one if one.body == b"new" else None)(second.ask(self.path)),
                                   "the new response at the second gateway")
        self.assertEqual(response.body, b"new")

    def await_listener(self):
        """Until both gateways listen to what others delete."""
        wire.wait_until(lambda: self.redis.ask("PUBSUB", "NUMSUB", "neap:http:events")[1] >= 2 or None, "both listen")

    def test_local_consistency_keeps_memory_after_a_delete_elsewhere(self):
        self.on()
        tiers = '{ redis = "redis://127.0.0.1:%d", consistency = "local" }' % self.redis.port
        first, second = self.gateway(tiers), self.gateway(tiers)
        first.ask(self.path)
        self.stored()
        second.ask(self.path)
        self.await_listener()
        first.ask(self.path, "POST")
        self.await_figure(first, 'neap_tier_deletes_total{tier="redis"}', 1)
        self.assertEqual(self.status(second.ask(self.path)), "neap; hit")

    def test_writes_that_wait_are_sent_when_it_stops(self):
        self.on()
        gateway = Gateway(self.settings())
        gateway.ask(self.path)
        gateway.stop()
        self.assertEqual(len(self.stored()), 1)

    def test_many_at_once_ask_redis_once(self):
        self.on()
        self.gateway().ask(self.path)
        self.stored()
        second = self.gateway('{ redis = { url = "redis://127.0.0.1:%d", timeout = "20s" }, soft_timeout = "20s" }'
                              % self.redis.port)
        self.connect(second)
        asked = self.figure(second, 'neap_tier_lookups_total{tier="redis",result="hit"}')
        wire.freeze(self.redis.process.pid)
        clients = [second.client() for _ in range(8)]
        for client in clients:
            client.send(wire.request(self.path))
        wire.wait_until(lambda: self.in_flight(second) >= 8 or None, "8 requests that wait")
        self.redis.process.send_signal(signal.SIGCONT)
        for client in clients:
            self.assertEqual(client.response().body, b"hello")
            client.close()
        self.assertEqual(self.figure(second, 'neap_tier_lookups_total{tier="redis",result="hit"}') - asked, 1)
        self.assertEqual(self.seen(), 1)

    def in_flight(self, gateway):
        return self.figures(gateway)["neap_requests_in_flight"]

    def test_explain_tells_of_tiers(self):
        self.on()
        first, second = self.gateway(), self.gateway()
        first.ask(self.path)
        self.stored()
        out = self.explain(second, self.path, "example.test")
        self.assertEqual(out["cache"]["tiers"], [{"tier": "redis", "breaker": "closed"}])
        self.assertIn("tiers", out["steps"])
        second.ask(self.path, fields=[("X-Request-Id", "the-one")])
        self.assertEqual(self.explain(second, "id=the-one")["tier"], "redis")
        self.assertEqual(self.explain(second, self.path, "example.test")["cache"]["tier"], "memory")

    def explain(self, gateway, *arguments):
        run = subprocess.run([PROGRAM, "explain", *arguments, "--json", "-c", gateway.config], capture_output=True,
                             text=True, timeout=TIMEOUT * 3, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return json.loads(run.stdout.splitlines()[-1])


class Outage(Case):
    def tiers(self, more=""):
        return '{ redis = { url = "redis://127.0.0.1:%d", timeout = "300ms", breaker = { min_requests = 3, open = "200ms", ' \
               'max_open = "200ms" } }, soft_timeout = "250ms", negative_ttl = 0, %s }' % (self.redis.port, more)

    def miss(self, gateway, number):
        path = "%s/%d" % (self.path, number)
        self.on(path=path)
        began = time.monotonic()
        response = gateway.ask(path)
        self.assertEqual((response.status, self.seen(path)), (200, 1))
        return time.monotonic() - began

    def await_shared(self, gateway):
        """What this gateway stores comes to Redis again, and what lies there to others."""
        def shared():
            self.number = getattr(self, "number", 1000) + 1
            path = "%s/%d" % (self.path, self.number)
            self.on(path=path)
            gateway.ask(path)
            return self.redis.ask("KEYS", PREFIX + key_of(self.path) + b"/1*") or None
        found = wire.wait_until(shared, "what is stored to be shared again")
        path = found[0][len(PREFIX + key_of("")):].decode()
        self.assertEqual(self.status(self.gateway(self.tiers()).ask(path)), "neap; hit; detail=redis")

    def test_redis_killed_and_started_again(self):
        self.on()
        gateway = self.gateway(self.tiers())
        gateway.ask(self.path)
        self.stored()
        self.redis.kill()
        for number in range(20):
            self.assertEqual(self.status(gateway.ask(self.path)), "neap; hit")
            self.assertLess(self.miss(gateway, number), 2)
        self.assertEqual(gateway.access(self.path + "/19")[0]["lookup"], "tiers_down")
        self.redis.start()
        self.await_shared(gateway)

    def test_redis_that_is_stuck_delays_a_miss_by_its_time_then_not_at_all(self):
        self.on()
        gateway = self.gateway(self.tiers())
        gateway.ask(self.path)
        self.stored()
        wire.freeze(self.redis.process.pid)
        took = self.miss(gateway, 0)
        self.assertGreater(took, 0.2)
        self.assertLess(took, 2)
        self.assertEqual(gateway.access(self.path + "/0")[0]["lookup"], "tiers_late")
        began = time.monotonic()
        for _ in range(50):
            self.assertEqual(self.status(gateway.ask(self.path)), "neap; hit")
        self.assertLess(time.monotonic() - began, 2)
        for number in range(1, 20):
            self.miss(gateway, number)
        self.assertGreater(self.figure(gateway, 'neap_tier_skipped_total{tier="redis"}'), 0)
        self.assertGreater(self.figure(gateway, 'neap_tier_breaker_opened_total{tier="redis"}'), 0)
        self.redis.process.send_signal(signal.SIGCONT)
        self.await_shared(gateway)
        self.await_figure(gateway, 'neap_tier_breaker{tier="redis",state="closed"}', 1)

    def test_a_client_that_leaves_while_redis_is_stuck_leaves_nothing(self):
        gateway = self.gateway('{ redis = { url = "redis://127.0.0.1:%d", timeout = "20s" }, soft_timeout = "20s" }'
                               % self.redis.port)
        self.on()
        self.connect(gateway)
        wire.freeze(self.redis.process.pid)
        with gateway.client() as client:
            client.send(wire.request(self.path))
            wire.wait_until(lambda: self.figures(gateway)["neap_requests_in_flight"] >= 1 or None, "it waits")
            client.reset()
        wire.wait_until(lambda: self.figures(gateway)["neap_requests_in_flight"] == 0 or None, "it has left")
        self.assertEqual(gateway.access(self.path)[0]["reason"], "client_gone")
        self.assertEqual(self.seen(), 0)
        self.redis.process.send_signal(signal.SIGCONT)
        self.assertEqual(gateway.ask(self.path).body, b"hello")

    def test_a_port_that_answers_garbage_is_no_worse_than_none(self):
        fake = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(fake.close)
        tiers = '{ redis = { url = "redis://127.0.0.1:%d", timeout = "100ms" }, negative_ttl = 0 }' % fake.getsockname()[1]
        gateway = self.gateway(tiers)

        def speak():
            while True:
                try:
                    sock, _ = fake.accept()
                except OSError:
                    return
                try:
                    sock.sendall(b"$99999999999\r\n*-7\r\n:x\r\nnonsense\r\n")
                except OSError:
                    pass
                sock.close()
        threading.Thread(target=speak, daemon=True).start()
        for number in range(10):
            self.assertLess(self.miss(gateway, number), 2)


class Hostile(Case):
    """What lies in Redis under a key of ours is what anybody put there."""

    def put(self, path, value, kind=b"V", version=b"0000000000000007"):
        self.redis.ask("SET", PREFIX + key_of(path), version + kind + value)

    def test_a_good_record_made_here_is_served(self):
        self.put(self.path, envelope(key_of(self.path), record(GOOD), b"from a tier"))
        response = self.gateway().ask(self.path)
        self.assertEqual((response.status, response.body, response.get("X-From")), (200, b"from a tier", "tier"))
        self.assertEqual((self.status(response), self.seen()), ("neap; hit; detail=redis", 0))

    def test_records_that_are_none_are_misses(self):
        gateway = self.gateway()
        good = record(GOOD)
        marker = b"HTTP/1.1 200 OK\r\nVary: Accept\r\n\r\n"
        metas = {
            "empty": b"", "short": good[:20], "no-head": good[:40], "cut": good[:-7], "no-end": good[:-2],
            "more": good + b"X: y\r\n\r\n", "garbage": os.urandom(200), "zeros": bytes(200), "kind": record(GOOD, kind=3),
            "version": record(GOOD, version=2), "flags": record(GOOD, flags=2), "old": record(GOOD, age=600000),
            "ancient": record(GOOD, wall=0), "for-ever": record(GOOD, lifetime=2 ** 63),
            "age-overflow": record(GOOD, age=2 ** 64 - 1), "bare-lf": record(GOOD.replace(b"\r\n", b"\n")),
            "nul": record(GOOD.replace(b"tier", b"ti\0r")), "folded": record(GOOD.replace(b"tier", b"a\r\n b")),
            "two-lengths": record(GOOD.replace(b"X-From: tier", b"Content-Length: 1\r\nContent-Length: 2")),
            "not-http": record(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "interim": record(b"HTTP/1.1 100 Continue\r\n\r\n"),
            "switched": record(b"HTTP/1.1 101 X\r\n\r\n"), "partial": record(GOOD.replace(b"200 OK", b"206 X")),
            "not-modified": record(GOOD.replace(b"200 OK", b"304 X")), "no-content": record(GOOD.replace(b"200 OK", b"204 X")),
            "marker-body": record(marker, kind=2, nonce=5), "marker-star": record(marker.replace(b"Accept", b"*"), kind=2, nonce=5),
            "many": record(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3000 + b"\r\n"),
        }
        for name, meta in metas.items():
            with self.subTest(name=name):
                path = "%s/%s" % (self.path, name)
                self.put(path, envelope(key_of(path), meta, b"evil"))
                self.on(path=path)
                response = gateway.ask(path)
                self.assertEqual((response.status, response.body, self.seen(path)), (200, b"hello", 1))
                self.assertIn("fwd=uri-miss", self.status(response))
        self.assertGreater(self.figure(gateway, 'neap_reasons_total{group="tier",reason="bad_record"}'), 10)
        self.assertEqual(gateway.access(self.path + "/garbage")[0]["lookup"], "bad_record")

    def test_envelopes_that_are_none_are_misses(self):
        gateway = self.gateway()
        for number, value in enumerate([b"", b"x", os.urandom(500), b"Neap", envelope(key_of("/another"), record(GOOD), b"evil"),
                                        envelope(key_of(self.path), record(GOOD), b"evil", ns=b"other"),
                                        envelope(key_of("%s/6" % self.path), record(GOOD), b"evil")[:-9]]):
            path = "%s/%d" % (self.path, number)
            with self.subTest(number=number):
                self.put(path, value)
                self.on(path=path)
                self.assertEqual(gateway.ask(path).body, b"hello")
        damaged = bytearray(envelope(key_of(self.path), record(GOOD), b"evil"))
        damaged[60] ^= 1
        self.put(self.path, bytes(damaged))
        self.on()
        self.assertEqual(gateway.ask(self.path).body, b"hello")

    def test_other_types_and_other_words_are_misses(self):
        gateway = self.gateway()
        fill = {"list": ("RPUSH", "a"), "hash": ("HSET", "a", "b"), "text": ("SET", "plain"), "lease": ("SET", b"1" * 16 + b"L"),
                "unknown": ("SET", b"1" * 16 + b"Q" + b"x" * 40), "tombstone": ("SET", b"1" * 16 + b"T")}
        for name, (verb, *args) in fill.items():
            path = "%s/%s" % (self.path, name)
            with self.subTest(name=name):
                self.redis.ask(verb, PREFIX + key_of(path), *args)
                self.on(path=path)
                response = gateway.ask(path)
                self.assertEqual((response.body, self.seen(path)), (b"hello", 1))
        self.assertEqual(self.figure(gateway, 'neap_tier_breaker_opened_total{tier="redis"}'), 0)

    def test_fields_of_one_connection_do_not_come_out_again(self):
        head = GOOD.replace(b"X-From: tier", b"Connection: close, X-Hop\r\nX-Hop: 1\r\nAge: 7\r\nContent-Length: 99\r\n"
                            b"Transfer-Encoding: chunked")
        self.put(self.path, envelope(key_of(self.path), record(head), b"four"))
        response = self.gateway().ask(self.path)
        self.assertEqual((response.body, response.all("Content-Length"), len(response.all("Age"))), (b"four", ["4"], 1))
        self.assertNotIn("X-Hop", response)
        self.assertNotIn("Transfer-Encoding", response)

    def test_markers_that_lead_in_a_circle_end(self):
        marker = b"HTTP/1.1 200 OK\r\nVary: Accept\r\n\r\n"
        self.put(self.path, envelope(key_of(self.path), record(marker, kind=2, nonce=5), b""))
        self.on()
        gateway = self.gateway()
        self.assertEqual(gateway.ask(self.path).body, b"hello")
        self.assertEqual(self.seen(), 1)

    def test_clocks_that_differ_make_nothing_younger_or_fresher(self):
        ahead = int(time.time() * 1000) + 10 ** 9
        self.put(self.path, envelope(key_of(self.path), record(GOOD, age=50000, wall=ahead), b"x"))
        self.assertIn(int(self.gateway().ask(self.path).get("Age")), range(50, 60))


class Reload(Case):
    def test_the_same_settings_keep_what_is_known(self):
        self.on()
        gateway = self.gateway(workers=2)
        gateway.ask(self.path)
        self.await_figure(gateway, 'neap_tier_sets_total{tier="redis"}', 1)
        gateway.reload(self.settings(workers=2, pool="max_retries = 1,"), "reloaded generation=2")
        self.assertEqual(self.figure(gateway, 'neap_tier_sets_total{tier="redis"}'), 1)

    def test_other_settings_take_their_place(self):
        self.on()
        gateway = self.gateway(workers=2)
        gateway.ask(self.path)
        self.stored()
        other = '{ redis = { url = "redis://127.0.0.1:%d", prefix = "other:" } }' % self.redis.port
        gateway.reload(self.settings(other, workers=2), "reloaded generation=2")
        path = self.path + "/2"
        self.on(path=path)
        gateway.ask(path)
        wire.wait_until(lambda: self.redis.ask("KEYS", "other:k:*") or None, "the other prefix")
        gateway.reload(self.settings("", workers=2), "reloaded generation=3")
        self.assertNotIn('neap_tier_sets_total{tier="redis"}', self.figures(gateway))
        gateway.reload(self.settings(workers=1), "reloaded generation=4")
        path = self.path + "/4"
        self.on(path=path)
        gateway.ask(path)
        self.stored(2)
        wire.wait_until(lambda: self.connections() <= 12 or None, "old connections to end")

    def connections(self):
        return len(self.redis.ask("CLIENT", "LIST").splitlines())

    def test_requests_that_wait_go_on_without_tiers(self):
        self.on()
        waits = '{ redis = { url = "redis://127.0.0.1:%d", timeout = "30s" }, soft_timeout = "30s" }' % self.redis.port
        gateway = self.gateway(waits)
        self.connect(gateway)
        wire.freeze(self.redis.process.pid)
        with gateway.client() as client:
            client.send(wire.request(self.path))
            wire.wait_until(lambda: self.figures(gateway)["neap_requests_in_flight"] >= 1 or None, "it waits")
            gateway.reload(self.settings(""), "reloaded generation=2")
            self.assertEqual(client.response().body, b"hello")
        self.redis.process.send_signal(signal.SIGCONT)

    def test_a_file_that_is_not_there_refuses_the_reload(self):
        gateway = self.gateway()
        wrong = '{ redis = { url = "rediss://127.0.0.1:%d", ca_file = "/nowhere.pem" } }' % self.redis.port
        gateway.reload(self.settings(wrong), "reload_refused.*nowhere")
        self.assertEqual(gateway.ask("/x").status, 200)


class Cdn(Case):
    def setUp(self):
        super().setUp()
        self.nginx = Nginx()
        self.addCleanup(self.nginx.close)

    def both(self):
        return '{ redis = { url = "redis://127.0.0.1:%d", timeout = "2s" }, cdn = { url = "http://127.0.0.1:%d", ' \
               'timeout = "2s" }, soft_timeout = "4s", negative_ttl = 0 }' % (self.redis.port, self.nginx.port)

    def test_a_hit_on_the_cdn_is_promoted_to_redis(self):
        self.on([FRESH, ("Age", "100")], os.urandom(200000))
        first, second, third = self.gateway(self.both()), self.gateway(self.both()), self.gateway(self.both())
        body = first.ask(self.path).body
        self.stored()
        wire.wait_until(lambda: self.nginx.files() or None, "the CDN to have it")
        self.redis.ask("FLUSHALL")
        response = second.ask(self.path)
        self.assertEqual((response.body == body, self.status(response)), (True, "neap; hit; detail=cdn"))
        self.assertIn(int(response.get("Age")), range(100, 130))
        self.stored()
        self.assertEqual(self.figure(second, 'neap_tier_promotions_total{tier="redis"}'), 1)
        self.assertEqual(self.status(third.ask(self.path)), "neap; hit; detail=redis")
        self.assertEqual(self.seen(), 1)

    def test_the_cdn_answers_while_redis_is_gone(self):
        self.on()
        self.gateway(self.both()).ask(self.path)
        wire.wait_until(lambda: self.nginx.files() or None, "the CDN to have it")
        self.redis.kill()
        response = self.gateway(self.both()).ask(self.path)
        self.assertEqual((self.status(response), self.seen()), ("neap; hit; detail=cdn", 1))

    def test_a_delete_reaches_the_cdn(self):
        self.on()
        gateway = self.gateway('{ cdn = "http://127.0.0.1:%d" }' % self.nginx.port)
        gateway.ask(self.path)
        wire.wait_until(lambda: self.nginx.files() or None, "the CDN to have it")
        gateway.ask(self.path, "DELETE")
        wire.wait_until(lambda: not self.nginx.files() or None, "the CDN to forget it")


if __name__ == "__main__":
    unittest.main()
