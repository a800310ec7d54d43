"""The RESP port over tiers, with a real Redis below: it answers as Redis does; gateways that share one see each other's
writes and lose no INCR; a Redis that is gone or stuck costs hits nothing, and nobody waits for ever."""

import os
import signal
import threading
import time
import unittest

import test_resp
import test_resp_like_redis as like
from harness import Client, Origin, TIMEOUT, wire
from resp import Redis, RespClient, RespGateway, command, config, plain
from test_tiers import Nginx

PREFIX = b"neap:keys:k:"


def tiers(redis, timeout="10s", **more):
    """neap.tiers with one Redis. Time limits are long, where they are not what is tested: the machine may be busy."""
    options = "".join(", %s = %s" % item for item in more.items())
    return 'neap.tiers { redis = { url = "redis://127.0.0.1:%d", timeout = "%s"%s } }' % (redis.port, timeout, options)


class LikeRedisOverTiers(like.LikeRedis):
    """All that the port answers from memory alone, it answers so over tiers."""

    @classmethod
    def setUpClass(cls):
        cls.redis, cls.below = Redis(), Redis()
        cls.addClassCleanup(cls.redis.close)
        cls.addClassCleanup(cls.below.close)
        cls.gateway = RespGateway(config(listen='client_memory = "256MB"', memory="256MB", keys='tier_timeout = "30s"',
                                         more=tiers(cls.below, max_object='"64MB"')))
        cls.addClassCleanup(cls.gateway.stop)

    def test_changes_are_told_alike(self):
        """They are told once more by Redis: see Shared."""

    test_tracking_is_refused_alike = test_changes_are_told_alike


class ToolsOverTiers(test_resp.Tools):
    """redis-cli, redis-benchmark and node-redis, unmodified."""

    def start(self, **options):
        return super().start(keys='tier_timeout = "30s"', more=tiers(self.redis()), **options)

    def test_values_of_all_sizes_come_back_whole(self):
        gateway = RespGateway(config(memory="256MB", listen='client_memory = "64MB"', keys='tier_timeout = "30s"',
                                     more=tiers(self.redis(), max_object='"64MB"')))
        self.addCleanup(gateway.stop)
        client = self.client(gateway)
        for size in (0, 1, 4096, 4097, 65536, 65537, 1 << 20, 8 << 20):
            value = os.urandom(size)
            self.assertEqual(client.value("SET", "k", value), b"OK")
            self.assertEqual(client.value("GET", "k"), value)
            client.value("NEAP.CONSISTENCY", "strong")
            self.assertEqual(client.value("GET", "k"), value)
            self.assertEqual(client.value("APPEND", "k", "more"), size + 4)
            self.assertEqual(client.value("GETSET", "k", b"next"), value + b"more")
            client.value("NEAP.CONSISTENCY", "eventual")

    def redis(self):
        redis = Redis()
        self.addCleanup(redis.close)
        return redis


class StrongLikeRedis(unittest.TestCase):
    def test_random_commands_are_answered_alike_where_memory_is_too_small(self):
        """What memory evicts at once, or never takes, is asked for each time."""
        case = LikeRedisOverTiers("test_random_commands_are_answered_alike")
        case.redis, below = Redis(), Redis()
        self.addCleanup(case.redis.close)
        self.addCleanup(below.close)
        case.gateway = RespGateway(config(
            memory="128KB", keys='max_object_size = "2KB", consistency = "strong", tier_timeout = "30s"',
            listen='client_memory = "256MB"', more=tiers(below, max_object='"64MB"')))
        self.addCleanup(case.gateway.stop)
        case.setUp()
        self.addCleanup(case.doCleanups)
        commands = like.Commands(4)
        for i in range(600):
            args = commands.one()
            if args[0].lower() in ("scan", "dbsize"):
                continue  # they are of memory
            case.same(*args)


class Case(unittest.TestCase):
    def setUp(self):
        self.redis = Redis()
        self.addCleanup(self.redis.close)

    def gateway(self, keys="", timeout="10s", workers=1, memory="64MB", listen="", more=""):
        keys = keys if "tier_timeout" in keys else keys + ', tier_timeout = "30s"'
        gateway = RespGateway(config(keys=keys.lstrip(", "), workers=workers, memory=memory, listen=listen,
                                     more=tiers(self.redis, timeout) + "\n" + more))
        self.addCleanup(gateway.stop)
        return gateway

    def client(self, gateway):
        client = RespClient(gateway.port)
        client.sock.settimeout(TIMEOUT * 3)
        self.addCleanup(client.close)
        return client

    def pair(self, **options):
        return [self.client(self.gateway(**options)) for _ in range(2)]

    def below(self, key):
        """What lies in Redis: the type of the record, or None."""
        record = self.redis.ask("GET", PREFIX + key)
        return record and record[16:17]


class Shared(Case):
    def test_what_is_set_on_one_is_read_on_the_other(self):
        one, two = self.pair()
        self.assertEqual(one.value("SET", "k", "first"), b"OK")
        self.assertEqual(two.value("GET", "k"), b"first")
        self.assertEqual(one.value("SET", "k", "second"), b"OK")
        wire.wait_until(lambda: two.value("GET", "k") == b"second", "the second value")
        self.assertEqual(one.value("DEL", "k", "nothing"), 1)
        wire.wait_until(lambda: two.value("GET", "k") is None, "the delete")
        self.assertEqual(one.value("MSET", "a", 1, "b", "x" * 100000), b"OK")
        self.assertEqual(two.value("MGET", "a", "nothing", "b", "a"), [b"1", None, b"x" * 100000, b"1"])
        self.assertEqual(two.value("EXISTS", "a", "nothing", "b"), 2)
        self.assertEqual(two.value("STRLEN", "b"), 100000)

    def test_times_to_live_travel(self):
        one, two = self.pair()
        one.value("SET", "k", "v", "EX", 1000)
        self.assertTrue(990 <= two.value("TTL", "k") <= 1000)
        self.assertEqual(two.value("EXPIRE", "k", 5000), 1)
        wire.wait_until(lambda: one.value("TTL", "k") > 4900, "the new time")
        self.assertTrue(4900000 < self.redis.ask("PTTL", PREFIX + b"k") <= 5000000)
        self.assertEqual(one.value("PERSIST", "k"), 1)
        wire.wait_until(lambda: two.value("TTL", "k") == -1, "no time")
        self.assertEqual(self.redis.ask("PTTL", PREFIX + b"k"), -1)
        one.value("SET", "short", "v", "PX", 50)
        wire.wait_until(lambda: two.value("GET", "short") is None and one.value("GET", "short") is None, "its end")

    def test_increments_of_both_at_once_are_all_there(self):
        gateways = [self.gateway(workers=2) for _ in range(2)]
        faults = []

        def count(client, times):
            for _ in range(times):
                for args in (["INCR", "n"], ["INCRBYFLOAT", "f", "0.5"], ["APPEND", "s", "x"]):
                    reply = client.value(*args)
                    if isinstance(reply, str):
                        faults.append(reply)
        clients = [self.client(gateways[i % 2]) for i in range(6)]
        threads = [threading.Thread(target=count, args=(client, 60)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(faults, [])
        for client in clients[:2]:
            client.value("NEAP.CONSISTENCY", "strong")
            self.assertEqual(client.value("MGET", "n", "f"), [b"360", b"180"])
            self.assertEqual(client.value("STRLEN", "s"), 360)

    def test_only_one_of_many_sets_what_is_not_there(self):
        clients = self.pair() + self.pair()
        for i in range(20):
            won = []

            def race(client, key):
                won.append(client.value("SET", key, "mine", "NX"))
            threads = [threading.Thread(target=race, args=(client, "lock:%d" % i)) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual((won.count(b"OK"), won.count(None)), (1, 3))

    def test_changes_of_the_other_are_told_to_who_tracks(self):
        one, two = self.pair()
        one.value("SET", "k", "1")
        two.ask("HELLO", 3)
        self.assertEqual(two.value("CLIENT", "TRACKING", "ON", "BCAST"), b"OK")
        told = []

        def reads(expected):
            """It is told, and reads what is new."""
            reply = two.send(command("GET", "k")).raw()
            while reply.startswith(b">"):
                told.append(reply)
                reply = two.raw()
            return reply == expected and told

        key, all_keys = b"*1\r\n$1\r\nk\r\n", b"_\r\n"  # all: where messages were missed, as before it listened
        for args, expected, messages in ((["SET", "k", "2"], b"$1\r\n2\r\n", [key, all_keys]),
                                         (["INCR", "k"], b"$1\r\n3\r\n", [key, all_keys]),
                                         (["DEL", "k"], b"_\r\n", [key, all_keys]),
                                         (["SET", "k", "4"], b"$1\r\n4\r\n", [key, all_keys]),
                                         (["FLUSHALL"], b"_\r\n", [all_keys])):
            told.clear()
            one.value(*args)
            wire.wait_until(lambda: reads(expected) and any(b">2\r\n$10\r\ninvalidate\r\n" + message in told
                                                            for message in messages), "what %s did" % args)

    def test_a_flush_empties_all(self):
        one, two = self.pair()
        one.value("MSET", "a", 1, "b", 2)
        self.assertEqual(two.value("MGET", "a", "b"), [b"1", b"2"])
        self.assertEqual(one.value("FLUSHDB"), b"OK")
        self.assertEqual(one.value("MGET", "a", "b"), [None, None])
        wire.wait_until(lambda: two.value("MGET", "a", "b") == [None, None], "the flush")
        two.value("SET", "a", "new")
        wire.wait_until(lambda: one.value("GET", "a") == b"new", "what was set after it")

    def test_versions_are_those_of_all(self):
        one, two = self.pair()
        one.value("SET", "k", "v")
        version = one.value("NEAP.VERSION", "k")
        self.assertEqual(two.value("NEAP.VERSION", "k"), version)
        two.value("APPEND", "k", "w")
        self.assertGreater(two.value("NEAP.VERSION", "k"), version)
        self.assertIsNone(one.value("NEAP.VERSION", "nothing"))

    def test_consistency_is_of_a_connection(self):
        gateway = self.gateway()
        one, other = self.client(gateway), self.client(gateway)
        self.assertEqual(one.value("NEAP.CONSISTENCY"), b"eventual")
        self.assertEqual(one.value("NEAP.CONSISTENCY", "STRONG"), b"strong")
        self.assertEqual(other.value("NEAP.CONSISTENCY"), b"eventual")
        self.assertIn("syntax", one.value("NEAP.CONSISTENCY", "best"))
        one.value("SET", "k", "1")
        writer = self.client(self.gateway())
        for i in range(50):
            writer.value("SET", "k", i)
            self.assertEqual(one.value("GET", "k"), b"%d" % i)
        self.assertEqual(one.value("RESET"), b"RESET")
        self.assertEqual(one.value("NEAP.CONSISTENCY"), b"eventual")

    def test_keys_and_responses_do_not_mix(self):
        origin = Origin()
        self.addCleanup(origin.close)
        origin.on("/page", wire.response(fields=[("Cache-Control", "max-age=600")], body=b"hello"))
        gateway = RespGateway(config(more=tiers(self.redis) + """
neap.listen { http = "127.0.0.1:0" }
neap.pool { name = "app", backends = { "127.0.0.1:%d" } }
neap.route { path = "/", pool = "app", cache = true }""" % origin.port))
        self.addCleanup(gateway.stop)
        http = int(gateway.find_line(r"listening.* http=127\.0\.0\.1:(\d+)", 0).group(1))
        with Client(http) as browser:
            browser.ask("/page")
        stored = wire.wait_until(lambda: self.redis.ask("KEYS", "neap:http:k:*"), "the response in Redis")
        key = stored[0][len(b"neap:http:k:"):]
        client = self.client(gateway)
        self.assertIsNone(client.value("GET", key))
        self.assertEqual(client.value("SET", key, "junk"), b"OK")
        client.value("FLUSHALL")
        with Client(http) as browser:
            self.assertEqual(browser.ask("/page").body, b"hello")
        self.assertEqual(len(origin.for_path("/page")), 1)


class Order(Case):
    def test_a_pipeline_of_hits_and_misses_is_answered_in_order(self):
        one, two = self.pair()
        for i in range(0, 300, 3):
            one.value("SET", "k:%d" % i, i)
        for i in range(1, 300, 3):
            two.value("SET", "k:%d" % i, i)
        asked, expected = b"", []
        for i in range(300):
            asked += command("GET", "k:%d" % i) + command("PING") + command("INCR", "n")
            expected += [None if i % 3 == 2 else b"%d" % i, b"PONG", i + 1]
        two.send(asked)
        self.assertEqual([plain(two.raw())[0] for _ in expected], expected)

    def test_a_long_pipeline_behind_a_large_value_is_answered_in_order(self):
        client = self.client(self.gateway(memory="256MB"))
        big = "x" * 900000
        asked = b"".join(command("SET", "big", big) + b"".join(command("INCR", "n") for _ in range(300)) +
                         command("STRLEN", "big") for _ in range(3))
        threading.Thread(target=client.send, args=(asked,)).start()
        for i in range(3):
            self.assertEqual(client.raw(), b"+OK\r\n")
            for j in range(300):
                self.assertEqual(client.raw(), b":%d\r\n" % (300 * i + j + 1))
            self.assertEqual(client.raw(), b":900000\r\n")

    def test_a_client_that_never_reads_is_bounded(self):
        gateway = self.gateway(listen='client_memory = "1MB", stall_timeout = "1h"')
        writer = self.client(gateway)
        self.assertEqual(writer.value("SET", "big", "x" * 100000), b"OK")
        client = self.client(gateway)
        client.sock.setblocking(False)
        request = command("GET", "big") + command("GET", "nothing") + command("INCR", "n")
        sent, quiet = 0, time.monotonic()
        while sent < 64 << 20 and time.monotonic() < quiet + 1:
            try:
                sent += client.sock.send(request * 200)
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        self.assertLess(sent, 32 << 20)
        self.assertLess(like_resident(gateway), 200 << 20)
        self.assertEqual(writer.value("PING"), b"PONG")

    def test_many_keys_in_one_command(self):
        one, two = self.pair()
        pairs = [word for i in range(3000) for word in ("key:%d" % i, i)]
        self.assertEqual(one.value("MSET", *pairs), b"OK")
        keys = pairs[0::2] + ["nothing"]
        self.assertEqual(two.value("MGET", *keys), [b"%d" % i for i in range(3000)] + [None])
        self.assertEqual(two.value("DEL", *keys), 3000)
        self.assertEqual(one.value("NEAP.CONSISTENCY", "strong"), b"strong")
        self.assertEqual(one.value("EXISTS", *keys), 0)

    def test_who_leaves_while_it_waits_is_forgotten(self):
        gateway = self.gateway()
        wire.freeze(self.redis.process.pid)
        self.addCleanup(os.kill, self.redis.process.pid, signal.SIGCONT)
        for _ in range(20):
            with RespClient(gateway.port) as client:
                client.send(command("GET", "nothing") + command("SET", "k", "v") + command("INCR", "n"))
        os.kill(self.redis.process.pid, signal.SIGCONT)
        self.assertEqual(self.client(gateway).value("SET", "x", "y"), b"OK")


def like_resident(gateway):
    with open("/proc/%d/statm" % gateway.process.pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Failures(Case):
    def test_a_redis_that_dies_and_comes_back(self):
        client = self.client(self.gateway())
        client.value("MSET", "hot", "here", "n", 1)
        self.assertEqual(client.value("GET", "hot"), b"here")
        self.redis.kill()
        self.assertEqual(client.value("GET", "hot"), b"here")
        self.assertIsNone(client.value("GET", "cold"))
        self.assertEqual(client.value("EXISTS", "cold", "hot"), 1)
        self.assertEqual(client.value("SET", "later", "queued"), b"OK")
        self.assertEqual(client.value("GET", "later"), b"queued")
        self.assertIn("ERR", client.value("INCR", "n"))
        self.assertEqual(client.value("DEL", "hot"), 1)
        self.assertIsNone(client.value("GET", "hot"))
        client.value("NEAP.CONSISTENCY", "strong")
        self.assertIn("ERR", client.value("SET", "strong", "refused"))
        self.assertIn("ERR", client.value("GET", "cold"))  # nobody knows
        client.value("NEAP.CONSISTENCY", "eventual")
        self.redis.start()
        wire.wait_until(lambda: self.below(b"later") == b"V", "the write that waited", TIMEOUT * 3)
        wire.wait_until(lambda: isinstance(client.value("INCR", "m"), int), "Redis to be used again", TIMEOUT * 3)
        self.assertEqual(client.value("SET", "n", 5), b"OK")
        self.assertEqual(client.value("INCR", "n"), 6)

    def test_a_redis_that_is_stuck_makes_nobody_wait_for_long(self):
        client = self.client(self.gateway(timeout="200ms", keys='tier_timeout = "500ms"'))
        client.value("SET", "hot", "here")
        self.assertEqual(client.value("GET", "hot"), b"here")
        wire.freeze(self.redis.process.pid)
        try:
            for args, expected in ((["GET", "hot"], b"here"), (["GET", "cold"], None), (["SET", "k", "v"], b"OK"),
                                   (["GET", "k"], b"v"), (["MGET", "a", "hot", "b"], [None, b"here", None])):
                self.assertEqual(client.value(*args), expected, args)
            self.assertIn("ERR", client.value("INCR", "n"))
        finally:
            os.kill(self.redis.process.pid, signal.SIGCONT)
        wire.wait_until(lambda: isinstance(client.value("INCR", "n"), int), "Redis to be used again", TIMEOUT * 3)
        wire.wait_until(lambda: self.below(b"k") == b"V", "the write that waited", TIMEOUT * 3)

    def test_failures_are_shown_where_that_is_wanted(self):
        client = self.client(self.gateway(keys='on_failure = "error"'))
        client.value("SET", "hot", "here")
        self.assertEqual(client.value("GET", "hot"), b"here")
        self.assertIsNone(client.value("GET", "cold"))
        self.redis.kill()
        self.assertEqual(client.value("GET", "hot"), b"here")
        self.assertIn("ERR a tier", client.value("GET", "colder"))
        self.assertIn("ERR a tier", client.value("MGET", "hot", "colder"))
        self.assertEqual(client.value("PING"), b"PONG")

    def test_a_gateway_that_stops_sends_what_waits(self):
        gateway = self.gateway(keys='mode = "behind"')
        client = self.client(gateway)
        for i in range(50):
            client.value("SET", "k:%d" % i, i)
        gateway.stop()
        self.assertEqual(len(self.redis.ask("KEYS", PREFIX + b"k:*")), 50)


    def test_what_is_asked_is_answered_before_the_end(self):
        gateway = self.gateway(timeout="1s")
        client = self.client(gateway)
        wire.freeze(self.redis.process.pid)
        self.addCleanup(os.kill, self.redis.process.pid, signal.SIGCONT)
        client.send(command("GET", "cold"))
        with RespClient(gateway.port) as other:
            wire.wait_until(lambda: b"cmd=get" in other.value("CLIENT", "LIST"), "its request to be read")
        gateway.signal(signal.SIGTERM)
        self.assertEqual(client.raw(), b"$-1\r\n")
        self.assertEqual(client.raw(), b"")


class Content(Case):
    """A CDN below Redis."""

    def test_what_redis_has_lost_comes_from_the_cdn(self):
        cdn = Nginx()
        self.addCleanup(cdn.close)
        settings = config(keys='tier_timeout = "30s"', more="""
neap.tiers { redis = { url = "redis://127.0.0.1:%d", timeout = "10s" },
             cdn = { url = "http://127.0.0.1:%d/cache", timeout = "10s" } }""" % (self.redis.port, cdn.port))
        gateways = [RespGateway(settings) for _ in range(2)]
        for gateway in gateways:
            self.addCleanup(gateway.stop)
        one, two = [self.client(gateway) for gateway in gateways]
        self.assertEqual(one.value("SET", "k", "5", "EX", 1000), b"OK")
        self.redis.ask("DEL", PREFIX + b"k")
        self.assertEqual(two.value("GET", "k"), b"5")
        self.assertTrue(900 < two.value("TTL", "k") <= 1000)
        wire.wait_until(lambda: self.below(b"k") == b"V", "the value in Redis")
        self.assertEqual(two.value("INCR", "k"), 6)
        self.assertEqual(two.value("DEL", "k"), 1)
        wire.wait_until(lambda: one.value("GET", "k") is None, "the delete")


class Modes(Case):
    def test_behind_is_answered_before_and_increments_what_waits(self):
        one, two = self.pair(keys='mode = "behind"')
        for i in range(20):
            self.assertEqual(one.value("SET", "k", 10 * i), b"OK")
            self.assertEqual(one.value("INCR", "k"), 10 * i + 1)
        wire.wait_until(lambda: two.value("GET", "k") == b"191", "the value on the other")
        self.assertEqual(one.value("MSET", "a", 1, "b", 2), b"OK")
        wire.wait_until(lambda: two.value("MGET", "a", "b") == [b"1", b"2"], "both")

    def test_around_leaves_memory_without(self):
        one, two = self.pair(keys='mode = "around"')
        self.assertEqual(one.value("SET", "k", "v"), b"OK")
        self.assertEqual(one.value("DBSIZE"), 0)
        self.assertEqual(one.value("GET", "k"), b"v")
        self.assertEqual(two.value("GET", "k"), b"v")
        self.assertEqual(one.value("DBSIZE"), 1)

    def test_without_tiers_of_its_own_it_is_memory_alone(self):
        client = self.client(self.gateway(keys="tiers = false"))
        self.assertEqual(client.value("SET", "k", "v"), b"OK")
        self.assertIsNone(self.below(b"k"))
        self.assertEqual(client.value("NEAP.CONSISTENCY"), b"local")

    def test_a_value_too_large_for_the_tier_is_refused(self):
        gateway = RespGateway(config(more=tiers(self.redis, max_object='"64KB"')))
        self.addCleanup(gateway.stop)
        client = self.client(gateway)
        self.assertIn("ERR", client.value("SET", "k", "x" * 70000))
        self.assertIsNone(client.value("GET", "k"))
        self.assertEqual(client.value("SET", "k", "x" * 60000), b"OK")
        self.assertIn("ERR", client.value("APPEND", "k", "x" * 10000))
        self.assertEqual(client.value("STRLEN", "k"), 60000)

    def test_tiers_that_change_wait_for_a_new_start(self):
        gateway = self.gateway()
        client = self.client(gateway)
        client.value("SET", "k", "v")
        gateway.reload(config(keys='mode = "behind"', more=tiers(self.redis)), r"keys_tiers_pending")
        self.assertEqual(client.value("GET", "k"), b"v")
        self.assertEqual(client.value("SET", "l", "v"), b"OK")
        self.assertEqual(self.below(b"l"), b"V")

    def test_info_shows_tiers(self):
        client = self.client(self.gateway())
        client.value("SET", "k", "v")
        client.value("MGET", "k", "a", "b"), client.value("GET", "c"), client.value("GET", "k")
        figures = client.value("INFO", "stats").decode().split("\r\n")
        self.assertIn("keyspace_misses:3", figures)
        self.assertIn("keyspace_hits:2", figures)
        line = [line for line in client.value("INFO", "tiers").decode().split("\r\n") if line.startswith("neap_tier1:")]
        self.assertIn("name=keys-redis,breaker=closed", line[0])
        self.assertIn("sets=1", line[0])


if __name__ == "__main__":
    unittest.main()
