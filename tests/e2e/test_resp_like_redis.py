"""The RESP port beside a real redis-server: the same commands, the same bytes. Where they differ is said in
docs/resp.md, and here by what is left out."""

import random
import unittest

from resp import Redis, RespClient, RespGateway, command, config

# Replies that tell of clocks, identities or the server itself; texts about one of the two only.
SKEWED = {"ttl", "pttl", "expiretime", "pexpiretime"}

WORDS = ["a", "b", "c", "key:1", "key:2", "Zz", "k\xe9", "with space", "x" * 300]
VALUES = ["", "0", "1", "-1", "10", "007", "+5", " 5", "5 ", "abc", "1.5", "-0", "1e3", "0x10", "nan", "inf", "3.0000",
          "9223372036854775807", "-9223372036854775808", "9223372036854775808", "v" * 100, "v" * 5000, "v" * 70000,
          "two\r\nlines", "nul\0byte"]
NUMBERS = ["1", "2", "-1", "0", "100", "1000000", "abc", "1.5", "", "9223372036854775807", "9223372036854775806",
           "-9223372036854775808", "92233720368547758", "99999999999999999999", "+1", "01"]
# In milliseconds: none that ends during the test, none beyond what the port counts to.
MOMENTS = ["10000000", "-1", "0", "abc", "1.5", "", "-9223372036854775808", "99999999999999999999", "+1", "01"]
SHORT = ["1000", "5000", "100000"]  # lifetimes that do not end during the test
PAST = ["-100", "0", "1", "1000000000"]


class Commands:
    """Random commands by seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def case(self, word):
        return self.random.choice([word, word.upper(), word.title()])

    def key(self):
        return self.random.choice(WORDS)

    def value(self):
        return self.random.choice(VALUES)

    def number(self):
        return self.random.choice(NUMBERS)

    def time_option(self):
        unit = self.random.choice(["ex", "px", "exat", "pxat"])
        if self.random.random() < 0.25:
            return [unit, self.random.choice(MOMENTS)]
        if unit.endswith("at"):
            return [unit, self.random.choice(PAST) if self.random.random() < 0.3 else
                    ("4102444800" if unit == "exat" else "4102444800000")]
        return [unit, self.random.choice(["1000", "100000"]) if unit == "ex" else "10000000"]

    def set_options(self, words):
        out = []
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3])):
            one = self.random.choice(words)
            out += self.time_option() if one == "time" else [self.case(one)]
        if self.random.random() < 0.03:
            out.append(self.random.choice(["ex", "bogus", ""]))
        return out

    def one(self):
        r, key, value, number = self.random, self.key(), self.value(), self.number()
        conditions = [r.choice(["NX", "XX", "GT", "LT", "nx", "zz"]) for _ in range(r.choice([0, 0, 0, 1, 1, 2, 3]))]
        keys = [self.key() for _ in range(r.randint(1, 4))]
        pairs = [word for k in keys for word in (k, self.value())]
        name = r.choice(list(SHAPES))
        return [self.case(name)] + SHAPES[name](self, r, key, value, number, conditions, keys, pairs)

    def mangled(self):
        """The same with arguments missing or too many."""
        args = self.one()
        if self.random.random() < 0.5:
            args = args[:self.random.randint(1, len(args))]
        else:
            args.append(self.value())
        return args


SHAPES = {
    "get": lambda c, r, k, v, n, f, ks, ps: [k],
    "set": lambda c, r, k, v, n, f, ks, ps: [k, v] + c.set_options(["nx", "xx", "get", "keepttl", "time", "time"]),
    "setnx": lambda c, r, k, v, n, f, ks, ps: [k, v],
    "setex": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(SHORT + MOMENTS[1:]), v],
    "psetex": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(MOMENTS), v],
    "getset": lambda c, r, k, v, n, f, ks, ps: [k, v],
    "getdel": lambda c, r, k, v, n, f, ks, ps: [k],
    "getex": lambda c, r, k, v, n, f, ks, ps: [k] + c.set_options(["persist", "time", "time", "keepttl"]),
    "mget": lambda c, r, k, v, n, f, ks, ps: ks,
    "mset": lambda c, r, k, v, n, f, ks, ps: ps,
    "del": lambda c, r, k, v, n, f, ks, ps: ks,
    "unlink": lambda c, r, k, v, n, f, ks, ps: ks,
    "exists": lambda c, r, k, v, n, f, ks, ps: ks,
    "touch": lambda c, r, k, v, n, f, ks, ps: ks,
    "expire": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(SHORT + ["92233720368547758"] + MOMENTS[1:])] + f,
    "pexpire": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(["5000000", "7000000", "9223372036854775807"] + MOMENTS)] + f,
    "expireat": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(PAST + ["4102444800", "4102444900"] + MOMENTS[1:])] + f,
    "pexpireat": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(PAST + ["4102444800000"] + MOMENTS[1:])] + f,
    "ttl": lambda c, r, k, v, n, f, ks, ps: [k],
    "pttl": lambda c, r, k, v, n, f, ks, ps: [k],
    "expiretime": lambda c, r, k, v, n, f, ks, ps: [k],
    "pexpiretime": lambda c, r, k, v, n, f, ks, ps: [k],
    "persist": lambda c, r, k, v, n, f, ks, ps: [k],
    "type": lambda c, r, k, v, n, f, ks, ps: [k],
    "incr": lambda c, r, k, v, n, f, ks, ps: [k],
    "decr": lambda c, r, k, v, n, f, ks, ps: [k],
    "incrby": lambda c, r, k, v, n, f, ks, ps: [k, n],
    "decrby": lambda c, r, k, v, n, f, ks, ps: [k, n],
    "incrbyfloat": lambda c, r, k, v, n, f, ks, ps: [k, r.choice(VALUES + NUMBERS)],
    "append": lambda c, r, k, v, n, f, ks, ps: [k, v],
    "strlen": lambda c, r, k, v, n, f, ks, ps: [k],
    "ping": lambda c, r, k, v, n, f, ks, ps: r.choice([[], [v]]),
    "echo": lambda c, r, k, v, n, f, ks, ps: [v],
    "select": lambda c, r, k, v, n, f, ks, ps: [r.choice(["0", "99", "-1", "x", "9999999999"])],
}


def comparable(args, reply):
    """Times may be a moment apart: to the next hundred seconds they are the same."""
    name = args[0].lower()
    if name in SKEWED and reply[:1] == b":" and len(reply) > 5:
        number = int(reply[1:])
        return b":%d" % (round(number / (100000 if name[0] == "p" else 100)))
    return reply


def words(args):
    return [arg.encode("latin-1") if isinstance(arg, str) else arg for arg in args]


class LikeRedis(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.redis = Redis()
        cls.addClassCleanup(cls.redis.close)
        cls.gateway = RespGateway(config(listen='client_memory = "256MB"', memory="256MB"))
        cls.addClassCleanup(cls.gateway.stop)

    def setUp(self):
        self.theirs, self.ours = RespClient(self.redis.port), RespClient(self.gateway.port)
        self.addCleanup(self.theirs.close)
        self.addCleanup(self.ours.close)
        self.same("FLUSHALL")

    def same(self, *args):
        args = list(args)
        expected, got = self.theirs.ask(*words(args)), self.ours.ask(*words(args))
        self.assertEqual(comparable(args, expected), comparable(args, got), args)
        return got

    def run_commands(self, seed, count, make):
        commands = Commands(seed)
        for i in range(count):
            args = make(commands)
            try:
                self.same(*args)
            except AssertionError as error:
                raise AssertionError("seed %d, command %d: %s" % (seed, i, str(error)[:2000])) from None
        for key in WORDS:
            self.same("get", key)
            self.same("pttl", key)

    def test_random_commands_are_answered_alike(self):
        for seed in range(8):
            with self.subTest(seed=seed):
                self.same("FLUSHALL")
                self.run_commands(seed, 1500, lambda commands: commands.one())

    def test_mangled_commands_are_refused_alike(self):
        for seed in range(100, 104):
            with self.subTest(seed=seed):
                self.same("FLUSHALL")
                self.run_commands(seed, 800, lambda commands: commands.mangled())

    def test_random_commands_are_answered_alike_in_resp3(self):
        for client in (self.theirs, self.ours):
            client.ask("HELLO", "3")
        self.run_commands(200, 1500, lambda commands: commands.one())

    def test_unknown_commands_get_the_same_error(self):
        for args in (["foo"], ["FOO", "a", "b"], ["foo", "x" * 200, "y"], ["f" * 200, "a"], ["foo", ""],
                     ["foo", "a\0b", "c"], ["foo\0bar", "c"], ["fo\r\no", "c"], ["foo", "a\r\nb"], ["foo"] + ["ab"] * 60,
                     ["f%so", "%n%s"], ["\xff\xfe", "\xff"]):
            self.same(*args)

    def test_subcommands_and_options_get_the_same_errors(self):
        for args in (["client", "bogus"], ["CLIENT"], ["client", "id", "x"], ["client", "setname"], ["client", "getname", "x"],
                     ["config", "bogus"], ["config", "get"], ["command", "bogus"], ["command", "count", "x"],
                     ["client", "setname", "a b"], ["client", "setname", "n\n"], ["client", "getname"],
                     ["client", "setname", "me"], ["client", "getname"], ["client", "setname", ""], ["client", "getname"],
                     ["client", "no-evict", "on"], ["client", "no-evict", "x"],
                     ["hello", "1"], ["hello", "4"], ["hello", "x"], ["hello", "3", "bogus"], ["hello", "2", "auth", "x"],
                     ["hello", "2", "setname"], ["hello", "2", "setname", "a b"],
                     ["auth"], ["auth", "x"], ["auth", "default", "x"], ["auth", "bob", "x"], ["auth", "a", "b", "c"],
                     ["hello", "2", "auth", "bob", "x"], ["flushall", "x"], ["flushdb", "sync", "x"], ["flushdb", "async"],
                     ["flushall", "SYNC"], ["scan", "x"], ["scan", "-1", "count", "9999"], ["scan", "0", "count", "0"],
                     ["scan", "0", "count"], ["scan", "0", "count", "x"], ["scan", "0", "bogus", "1"], ["scan", "", "count", "9999"],
                     ["scan", "0", "match", "*", "count", "-5"], ["scan", "99999999999999999999"], ["scan", "1 "],
                     ["reset"], ["command", "info", "nothere"], ["command", "docs", "nothere"], ["config", "get", "nothere"],
                     ["config", "get", "save"], ["config", "get", "appendonly"], ["ping", "a", "b"]):
            self.same(*args)

    def test_tracking_is_refused_alike(self):
        for args in (["client", "caching", "yes"], ["client", "getredir"], ["hello", "3"], ["client", "tracking", "x"],
                     ["client", "tracking"], ["client", "tracking", "on", "bogus"], ["client", "tracking", "on", "prefix", "a"],
                     ["client", "tracking", "on", "prefix"], ["client", "tracking", "on", "optin", "optout"],
                     ["client", "tracking", "on", "bcast", "optin"], ["client", "tracking", "on", "bcast"],
                     ["client", "getredir"], ["client", "tracking", "on"], ["client", "caching", "yes"],
                     ["client", "tracking", "off"], ["client", "tracking", "on", "optin"], ["client", "caching", "no"],
                     ["client", "caching", "maybe"], ["client", "caching", "yes"], ["client", "tracking", "off"]):
            if args[0] == "hello":
                self.theirs.ask(*args), self.ours.ask(*args)
            else:
                self.same(*args)

    def test_changes_are_told_alike(self):
        """A reader that tracks, and a writer: what comes to the reader by itself is the same."""
        told = []
        for port in (self.redis.port, self.gateway.port):
            with RespClient(port) as reader, RespClient(port) as writer:
                said = []
                reader.ask("hello", "3")
                said.append(reader.ask("client", "tracking", "on", "noloop"))
                for args in (["set", "a", "1"], ["mset", "b", "1", "c", "1"], ["set", "x\r\ny", "1"]):
                    writer.ask(*args)
                reader.ask("mget", "a", "b", "x\r\ny", "nothing"), reader.ask("get", "a")
                for args in (["set", "a", "2"], ["set", "a", "3"], ["set", "c", "2"], ["incr", "b"], ["set", "nothing", "1"],
                             ["del", "x\r\ny"]):
                    writer.ask(*args)
                    if args not in (["set", "a", "3"], ["set", "c", "2"]):
                        said.append(reader.raw())
                reader.ask("get", "a"), reader.ask("set", "a", "4")  # its own
                reader.ask("get", "a")
                writer.ask("expire", "a", "1000"), said.append(reader.raw())
                writer.ask("flushall"), said.append(reader.raw())
                said.append(reader.ask("client", "tracking", "off"))
                said.append(reader.ask("client", "tracking", "on", "bcast", "prefix", "user:", "prefix", "z"))
                for key in ("other", "user:1", "zoo"):
                    writer.ask("set", key, "1")
                said += [reader.raw(), reader.raw(), reader.ask("ping")]
                said.append(reader.ask("client", "tracking", "off"))
                said.append(reader.ask("client", "tracking", "on", "optin"))
                reader.ask("get", "zoo"), reader.ask("client", "caching", "yes"), reader.ask("get", "user:1")
                writer.ask("set", "zoo", "2"), writer.ask("set", "user:1", "2")
                said += [reader.raw(), reader.ask("ping")]
                told.append(said)
        self.assertEqual(told[0], told[1])

    def test_patterns_match_alike(self):
        names = ["hello", "hallo", "hxllo", "hllo", "heello", "h*llo", "h[llo", "h^llo", "a-b", "]", "\\", "", "aXb"]
        names = [name for name in names if name]
        patterns = ["*", "h?llo", "h*llo", "h[ae]llo", "h[^e]llo", "h[a-b]llo", "h[b-a]llo", "h\\*llo", "h[", "h[a", "h[\\]]",
                    "[]", "[^]", "[^]]", "[]]", "*l*o", "**", "h**o", "\\", "\\\\", "?", "", "h[e-]llo", "a[+--]b", "[\\-]",
                    "*[", "h\\", "[a-]", "a?b", "*x*x*x*x*", "h[^a-z]llo"]
        for name in names:
            self.same("set", name, "1")
        for pattern in patterns:
            found = []
            for client in (self.theirs, self.ours):
                reply = client.value("scan", "0", "match", pattern, "count", "10000")
                found.append(sorted(reply[1]))
            self.assertEqual(found[0], found[1], pattern)

    def test_broken_requests_are_refused_alike(self):
        for data in (b"*1\r\n$-5\r\n", b"*1\r\nx\r\n", b"*a\r\n", b"*1\r\n$abc\r\n", b'get "unbalanced\r\n',
                     b"*1\r\n$99999999999\r\n"):
            replies = []
            for port in (self.redis.port, self.gateway.port):
                with RespClient(port) as client:
                    replies.append((client.send(data).raw(), client.raw()))
            self.assertEqual(replies[0], replies[1], data)

    def test_lines_are_understood_alike(self):
        data = (b"set a b\r\nGET a\n  get   a  \r\n\r\nset q \"x\\x41\\n\\\"\"\r\nget q\r\nset s 'it\\'s'\r\nget s\r\n"
                b"\r\n*0\r\n*-1\r\nget q\r\n")
        for client in (self.theirs, self.ours):
            client.send(data)
        for _ in range(8):
            self.assertEqual(self.theirs.raw(), self.ours.raw())

    def test_a_password_is_asked_for_alike(self):
        redis = Redis("--requirepass", "secret")
        self.addCleanup(redis.close)
        gateway = RespGateway(config(listen='password = "secret"'))
        self.addCleanup(gateway.stop)
        for lines in ([["get", "a"], ["ping"], ["foo"], ["get"], ["hello"], ["hello", "3"], ["auth", "wrong"],
                       ["auth", "default", "wrong"], ["auth", "bob", "secret"], ["get", "a"], ["auth", "secret"], ["get", "a"],
                       ["reset"], ["get", "a"]],
                      [["hello", "2", "auth", "default", "wrong"], ["get", "a"], ["auth", "default", "secret"], ["ping"]],
                      [["get"] + ["x"] * 10], [["set", "k", "v" * 16385]], [["quit"]]):
            with RespClient(redis.port) as theirs, RespClient(gateway.port) as ours:
                for args in lines:
                    self.assertEqual(theirs.ask(*args), ours.ask(*args), args)

    def test_a_pipeline_is_answered_in_order(self):
        commands = Commands(300)
        batch = [commands.one() for _ in range(3000)]
        batch = [args for args in batch if args[0].lower() not in SKEWED]
        data = b"".join(command(*words(args)) for args in batch)
        for client in (self.theirs, self.ours):
            client.send(data)
        for i, args in enumerate(batch):
            self.assertEqual(self.theirs.raw(), self.ours.raw(), (i, str(args)[:200]))


if __name__ == "__main__":
    unittest.main()
