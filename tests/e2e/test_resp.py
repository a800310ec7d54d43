"""The RESP port with the clients that people use, over reloads and stops, on several workers, and with clients that
mean no good. That its answers are those of Redis is test_resp_like_redis.py's."""

import os
import socket
import subprocess
import threading
import unittest

from harness import Client, TIMEOUT, wire
from resp import RespClient, RespGateway, command, config, plain


def resident_bytes(pid):
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Resp(unittest.TestCase):
    def start(self, **options):
        gateway = RespGateway(config(**options))
        self.addCleanup(gateway.stop)
        return gateway

    def client(self, gateway):
        client = RespClient(gateway.port)
        self.addCleanup(client.close)
        return client

    def run_tool(self, *args, **options):
        return subprocess.run(args, capture_output=True, timeout=TIMEOUT * 6, check=True, **options).stdout.decode()

    def figures(self, client):
        """INFO as a dictionary."""
        lines = client.value("INFO").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Tools(Resp):
    """Unmodified."""

    def test_redis_cli(self):
        gateway = self.start()

        def cli(*args, text=None):
            return self.run_tool("redis-cli", "-p", str(gateway.port), *args, input=text).rstrip("\n")
        self.assertEqual(cli("set", "greeting", "hello"), "OK")
        self.assertEqual(cli("get", "greeting"), "hello")
        self.assertEqual(cli("-3", "get", "nothing"), "")
        self.assertEqual(cli("--no-raw", "incrby", "n", "41"), "(integer) 41")
        self.assertEqual(cli("-x", "set", "big", text=b"x" * 300000), "OK")
        self.assertEqual(cli("strlen", "big"), "300000")
        self.assertEqual(cli("get", "big"), "x" * 300000)
        for i in range(200):
            with gateway.client() as client:
                client.value("set", "key:%d" % i, i)
        self.assertEqual(len(cli("--scan", "--pattern", "key:*").split()), 200)
        many = "".join("SET piped:%d %d\r\n" % (i, i) for i in range(1000))
        self.assertIn("errors: 0, replies: 1000", cli("--pipe", text=many.encode()))

    def test_redis_cli_with_a_password(self):
        gateway = self.start(listen='password = "let me in"')
        said = self.run_tool("redis-cli", "-p", str(gateway.port), "--no-auth-warning", "-a", "let me in", "ping")
        self.assertEqual(said, "PONG\n")
        self.assertIn("NOAUTH", self.run_tool("redis-cli", "-p", str(gateway.port), "get", "a"))

    def test_node_redis(self):
        gateway = self.start(workers=2)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resp_client.js")
        said = self.run_tool("node", script, str(gateway.port), env=dict(os.environ, NODE_PATH="/usr/share/nodejs"))
        self.assertEqual(said, "ok\n")

    def test_redis_benchmark(self):
        gateway = self.start(workers=2)
        for more in ([], ["-P", "16"], ["-d", "20000"], ["-3"]):
            said = self.run_tool("redis-benchmark", "-p", str(gateway.port), "-n", "2000", "-c", "20", "-r", "100", "-q",
                                 "-t", "ping,set,get,incr,mset", *more)
            self.assertEqual(said.count("requests per second"), 6, said)
            self.assertNotIn("ERR", said)


class Data(Resp):
    def test_values_of_all_sizes_come_back_whole(self):
        client = self.client(self.start(memory="256MB", listen='client_memory = "64MB"'))
        for size in (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, 8 << 20):
            value = os.urandom(size)
            self.assertEqual(client.value("SET", "k", value), b"OK")
            self.assertEqual(client.value("GET", "k"), value)
            self.assertEqual(client.value("GETSET", "k", b"next"), value)
        big = os.urandom(100000)
        client.value("SET", "k", big)
        client.send(command("GET", "k") * 200 + command("DEL", "k") + command("GET", "k"))
        for _ in range(200):
            self.assertEqual(plain(client.raw())[0], big)
        self.assertEqual(client.raw(), b":1\r\n")
        self.assertEqual(client.raw(), b"$-1\r\n")

    def test_a_key_goes_when_its_time_is_over(self):
        client = self.client(self.start())
        client.value("SET", "short", "v", "PX", "60")
        client.value("SET", "long", "v", "PX", "1000000")
        wire.wait_until(lambda: client.value("GET", "short") is None, "the end of a key")
        self.assertEqual(client.value("TTL", "short"), -2)
        self.assertEqual(client.value("GET", "long"), b"v")
        self.assertTrue(990000 < client.value("PTTL", "long") <= 1000000)

    def test_memory_holds_no_more_than_it_may(self):
        client = self.client(self.start(memory="4MB"))
        value = b"v" * 1000
        for i in range(0, 20000, 500):
            client.send(b"".join(command("SET", "key:%d" % j, value) for j in range(i, i + 500)))
            for _ in range(500):
                self.assertEqual(client.raw(), b"+OK\r\n")
        figures = self.figures(client)
        self.assertLessEqual(int(figures["used_memory"]), 4 << 20)
        self.assertGreater(int(figures["evicted_keys"]), 10000)
        self.assertEqual(client.value("DBSIZE"), int(figures["db0"].split("=")[1].split(",")[0]))
        too_large = client.value("SET", "large", b"x" * (1 << 20))
        self.assertIn("larger than max_object_size", too_large)
        self.assertEqual(client.value("FLUSHALL"), b"OK")
        self.assertEqual(client.value("DBSIZE"), 0)

    def test_a_scan_sees_every_key_that_is_there_all_the_time(self):
        gateway = self.start()
        client, other = self.client(gateway), self.client(gateway)
        stay = {b"stay:%d" % i for i in range(3000)}
        for key in sorted(stay):
            client.send(command("SET", key, "1"))
        for _ in stay:
            client.raw()
        seen, cursor, rounds = set(), b"0", 0
        while True:
            cursor, keys = client.value("SCAN", cursor, "COUNT", "50")
            seen.update(keys)
            rounds += 1
            for i in range(100):  # others come and go and are replaced meanwhile
                other.send(command("SET", "new:%d:%d" % (rounds, i), "x") + command("SET", "stay:%d" % i, rounds))
            for _ in range(200):
                other.raw()
            if cursor == b"0":
                break
        self.assertEqual(stay - seen, set())
        self.assertGreater(rounds, 20)

    def test_workers_share_the_keys_and_lose_no_increment(self):
        gateway = self.start(workers=4)

        def add():
            with gateway.client() as client:
                for _ in range(20):
                    client.send(command("INCR", "n") * 50 + command("APPEND", "text", "x") * 50 +
                                command("SET", "once", "mine", "NX") * 5)
                    for _ in range(105):
                        replies.append(client.raw())
        replies = []
        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = self.client(gateway)
        self.assertEqual(client.value("GET", "n"), b"8000")
        self.assertEqual(client.value("STRLEN", "text"), 8000)
        self.assertEqual(replies.count(b"+OK\r\n"), 1)
        self.assertEqual(len(replies), 8 * 20 * 105)

    def test_changes_are_told_over_all_workers(self):
        gateway = self.start(workers=4)
        readers = [self.client(gateway) for _ in range(12)]
        writer = self.client(gateway)
        writer.value("MSET", *(word for i in range(50) for word in ("key:%d" % i, "1")))
        for reader in readers:
            reader.ask("HELLO", "3")
            self.assertEqual(reader.value("CLIENT", "TRACKING", "ON"), b"OK")
            reader.value("MGET", *("key:%d" % i for i in range(50)))
        self.assertEqual(self.figures(writer)["tracking_clients"], "12")
        writer.send(b"".join(command("SET", "key:%d" % i, "2") for i in range(50)))
        for reader in readers:
            told = [plain(reader.raw())[0] for _ in range(50)]
            self.assertEqual(told, [[b"invalidate", [b"key:%d" % i]] for i in range(50)])
        for _ in range(50):
            self.assertEqual(writer.raw(), b"+OK\r\n")
        for reader in readers:
            reader.close()
        wire.wait_until(lambda: self.figures(writer)["tracking_clients"] == "0", "all to be forgotten")

    def test_a_client_that_hears_of_its_own_writes_hears_after_the_answer(self):
        client = self.client(self.start())
        client.ask("HELLO", "3")
        client.ask("CLIENT", "TRACKING", "ON")
        client.send(command("GET", "a") + command("SET", "a", "1") + command("GET", "a"))
        self.assertEqual([client.raw() for _ in range(3)], [b"_\r\n", b"+OK\r\n", b"$1\r\n1\r\n"])
        self.assertEqual(plain(client.raw())[0], [b"invalidate", [b"a"]])

    def test_a_client_that_tracks_and_never_reads_is_closed(self):
        gateway = self.start(listen='stall_timeout = "60s"')
        reader, writer = self.client(gateway), self.client(gateway)
        writer.value("SET", "large", b"x" * 3000000)
        reader.ask("HELLO", "3")
        reader.ask("CLIENT", "TRACKING", "ON", "BCAST")
        reader.send(command("GET", "large") * 10)

        def closed():
            writer.send(b"".join(command("SET", b"k" * 1000, "1") for _ in range(500)))
            for _ in range(500):
                writer.raw()
            return self.figures(writer)["connected_clients"] == "1"
        wire.wait_until(closed, "the reader to be closed")
        self.assertEqual(self.figures(writer)["neap_clients_closed_room"], "1")

    def test_info_tells_the_hits(self):
        client = self.client(self.start())
        client.value("SET", "a", "1")
        for _ in range(3):
            client.value("GET", "a")
        client.value("GET", "nothing")
        figures = self.figures(client)
        self.assertEqual((figures["keyspace_hits"], figures["keyspace_misses"]), ("3", "1"))
        self.assertEqual(figures["neap_hit_rate"], "0.750000")
        self.assertEqual(figures["total_commands_processed"], "5")
        self.assertEqual(figures["connected_clients"], "1")

    def test_what_there_is_only_here(self):
        client = self.client(self.start(keys='evict = "s3fifo"'))
        client.value("SET", "a", "1")
        first = client.value("NEAP.VERSION", "a")
        client.value("SET", "a", "2")
        self.assertGreater(client.value("NEAP.VERSION", "a"), first)
        self.assertIsNone(client.value("NEAP.VERSION", "nothing"))
        self.assertEqual(client.value("NEAP.CONSISTENCY"), b"local")
        self.assertIn("-ERR", client.value("NEAP.CONSISTENCY", "strong"))
        self.assertEqual(client.value("NEAP.POLICY")[:2], [b"policy", b"s3fifo"])
        self.assertIn("unknown command", client.value("NEAP.TAG", "a", "t"))


class Life(Resp):
    def test_a_reload_keeps_connections_and_data(self):
        gateway = self.start()
        client = self.client(gateway)
        client.value("SET", "a", "1")
        gateway.reload(config(memory="8MB", keys='evict = "lru"', listen='max_clients = 2', workers=2),
                       "generation=2|reload")
        wire.wait_until(lambda: client.value("CONFIG", "GET", "maxmemory")[1] == b"8388608", "new limits")
        self.assertEqual(client.value("GET", "a"), b"1")
        self.assertEqual(client.value("NEAP.POLICY")[1], b"lru")

    def test_a_password_that_a_reload_brings_is_asked_of_new_clients(self):
        gateway = self.start()
        old = self.client(gateway)
        gateway.reload(config(listen='password = "p"'), "generation=2|reload")

        def refused():
            with gateway.client() as client:
                return client.value("GET", "a") == "-NOAUTH Authentication required."
        wire.wait_until(refused, "the password")
        self.assertEqual(old.value("PING"), b"PONG")

    def test_one_client_too_many_is_told_so(self):
        gateway = self.start(listen="max_clients = 2")
        first, second = self.client(gateway), self.client(gateway)
        first.value("PING"), second.value("PING")
        third = self.client(gateway)
        self.assertEqual(third.raw(), b"-ERR max number of clients reached\r\n")
        self.assertEqual(third.raw(), b"")
        second.close()

        def served():
            with gateway.client() as client:
                return client.ask("PING") == b"+PONG\r\n"
        wire.wait_until(served, "a free place")

    def test_idle_clients_go_where_they_may_not_stay(self):
        client = self.client(self.start(listen='client_timeout = "50ms"'))
        self.assertEqual(client.raw(), b"")

    def test_stopping_lets_nobody_wait(self):
        gateway = RespGateway(config())
        with gateway.client() as client:
            client.value("SET", "a", "1")
            gateway.stop()
            self.assertEqual(client.raw(), b"")

    def test_http_and_resp_are_served_side_by_side(self):
        gateway = self.start(listen='http = "127.0.0.1:0"', more="""
neap.route { path = "/", respond = { status = 200, body = "hi" } }""")
        port = int(gateway.find_line(r"http=127\.0\.0\.1:(\d+)", 0).group(1))
        with Client(port) as http:
            self.assertEqual(http.ask("/").body, b"hi")
        self.assertEqual(self.client(gateway).value("PING"), b"PONG")


class Hostile(Resp):
    def test_a_million_commands_and_nobody_reads(self):
        gateway = self.start(listen='stall_timeout = "500ms", client_memory = "16MB"')
        setup = self.client(gateway)
        setup.value("SET", "k", b"v" * 3000)
        setup.value("SET", "large", b"v" * 200000)
        before = resident_bytes(gateway.process.pid)
        for name in ("k", "large"):
            sock = socket.create_connection(("127.0.0.1", gateway.port))
            sock.settimeout(TIMEOUT * 6)  # kernels take a little more now and then
            self.addCleanup(sock.close)
            batch, sent = command("GET", name) * 1000, 0
            with self.assertRaises(ConnectionError):
                while sent < 1000000:  # far more than sockets hold: at some point it is no longer read, then closed
                    sock.sendall(batch)
                    sent += 1000
            self.assertEqual(setup.value("PING"), b"PONG")
        self.assertLess(resident_bytes(gateway.process.pid) - before, 40 << 20)
        self.assertEqual(self.figures(setup)["neap_clients_closed_stalled"], "2")

    def test_a_slow_reader_gets_all_in_order(self):
        gateway = self.start(memory="128MB")
        client = self.client(gateway)
        values = [os.urandom(size) for size in (10, 5000, 70000, 900000)]
        for i, value in enumerate(values):
            client.value("SET", i, value)
        client.send(b"".join(command("GET", i % 4) for i in range(60)))
        self.client(gateway).value("FLUSHALL")  # what is owed is owed
        got = [plain(client.raw())[0] for i in range(60)]
        wrong = [i for i in range(60) if got[i] is not None and got[i] != values[i % 4]]
        self.assertEqual(wrong, [])
        self.assertEqual(got[0], values[0])

    def test_huge_lengths_are_refused_before_they_come(self):
        gateway = self.start(listen='client_memory = "1MB"')
        client = self.client(gateway)
        before = resident_bytes(gateway.process.pid)
        for data in (b"*1\r\n$1000000000\r\n", b"*1000000000\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$99999999999999\r\n",
                     b"*1\r\n$9223372036854775807\r\n", b"*1\r\n$-9\r\n", b"x" * 70000, b"$" * 100000, b"*" + b"1" * 70000):
            with gateway.client() as hostile:
                hostile.send(data)
                self.assertTrue(hostile.raw().startswith(b"-ERR Protocol error"), data[:40])
                self.assertEqual(hostile.raw(), b"")
        self.assertLess(resident_bytes(gateway.process.pid) - before, 24 << 20)
        self.assertEqual(client.value("PING"), b"PONG")

    def test_half_requests_hold_no_more_than_all_clients_may(self):
        gateway = self.start(listen='client_memory = "1MB"')
        before = resident_bytes(gateway.process.pid)
        halves = []
        for _ in range(40):  # each says that 900 KB come, and sends 100 KB of them
            half = self.client(gateway)
            try:
                half.send(b"*2\r\n$4\r\nECHO\r\n$900000\r\n" + b"x" * 100000)
            except ConnectionError:
                pass
            halves.append(half)
        client = self.client(gateway)
        self.assertEqual(client.value("PING"), b"PONG")
        self.assertLess(resident_bytes(gateway.process.pid) - before, 24 << 20)
        self.assertGreater(int(self.figures(client)["neap_clients_closed_room"]), 20)

    def test_a_request_may_come_byte_by_byte(self):
        client = self.client(self.start())
        for byte in command("SET", "a", "two\r\nlines") + b"get a\r\n" + command("GET", "a"):
            client.send(bytes([byte]))
        self.assertEqual(client.raw(), b"+OK\r\n")
        self.assertEqual(client.raw(), b"$10\r\ntwo\r\nlines\r\n")
        self.assertEqual(client.raw(), b"$10\r\ntwo\r\nlines\r\n")

    def test_keys_may_hold_any_bytes(self):
        client = self.client(self.start())
        for key in (b"\0", b"a\nb", b"/../x", b"\xff\xfe", b" ", b"k" * 65535):
            self.assertEqual(client.value("SET", key, key), b"OK")
            self.assertEqual(client.value("GET", key), key)
        self.assertIn("key must be", client.value("SET", b"", "x"))
        self.assertIn("key must be", client.value("SET", b"k" * 65536, "x"))
        self.assertIsNone(client.value("GET", b""))
        self.assertEqual(client.value("DEL", b"", b"k" * 70000), 0)

    def test_what_comes_after_a_request_that_is_broken_is_not_run(self):
        gateway = self.start()
        with gateway.client() as client:
            client.send(command("SET", "a", "1") + b"*1\r\n:1\r\n" + command("SET", "a", "2"))
            self.assertEqual(client.raw(), b"+OK\r\n")
            self.assertTrue(client.raw().startswith(b"-ERR Protocol error: expected '$'"))
            self.assertEqual(client.raw(), b"")
        self.assertEqual(self.client(gateway).value("GET", "a"), b"1")

    def test_clients_that_leave_in_the_middle_are_forgotten(self):
        gateway = self.start()
        for data in (b"*3\r\n$3\r\nSET", b"*", command("GET", "a")[:-1], command("GET", "a") * 100):
            with gateway.client() as client:
                client.send(data)
        client = self.client(gateway)
        wire.wait_until(lambda: self.figures(client)["connected_clients"] == "1", "others to be gone")

    def test_a_pattern_of_stars_takes_no_time(self):
        client = self.client(self.start())
        client.value("SET", "a" * 60000, "1")
        self.assertEqual(client.value("SCAN", "0", "MATCH", "a*" * 500 + "b", "COUNT", "10000")[1], [])


if __name__ == "__main__":
    unittest.main()
