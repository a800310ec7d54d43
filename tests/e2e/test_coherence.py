"""What nodes around one Redis promise, seen to hold while connections die, Redis stops and messages come late; and
that each rule is needed: a node without it is found out. `neap verify` judges (docs/consistency.md)."""

import json
import os
import random
import signal
import time
import unittest

from coherence import LEAVE_OUT, Node, Proxy, now_ns, verify
from harness import wire
from resp import Redis

FULL = os.environ.get("NEAP_TEST_MODE") == "full"
SEEDS = [int(os.environ["NEAP_SEED"])] if "NEAP_SEED" in os.environ else range(1, 11 if FULL else 2)
SECONDS = float(os.environ.get("NEAP_SECONDS", 20 if FULL else 5))
KEPT = ["--appendonly", "yes", "--appendfsync", "everysec", "--enable-debug-command", "yes"]
SESSIONS = ("monotonic-reads", "read-your-writes", "monotonic-writes")
NODES = 3


class Rig(unittest.TestCase):
    def start(self, nodes=NODES, leave_out=None, seed=0, **settings):
        """A Redis, nodes, and between them a proxy for each."""
        if leave_out:
            settings["leave_out"] = LEAVE_OUT[leave_out]
        self.redis = Redis(*KEPT)
        self.addCleanup(self.redis.close)
        self.proxies, self.nodes = [], []
        for i in range(nodes):
            self.proxies.append(Proxy(self.redis.port, seed * nodes + i))
            self.addCleanup(self.proxies[i].close)
            self.nodes.append(Node("n%d" % i, "127.0.0.1:%d" % self.proxies[i].port, **settings))
            self.addCleanup(self.nodes[i].close)
        for node in self.nodes:
            self.make_sure(node)
            node.history.clear()

    def make_sure(self, node, key="sure"):
        """Until it hears of what others write, and memory answers. Redis knows all scripts then."""
        node.do("delete", key)
        node.do("get", key, mode="strong")
        node.do("set", key, "first")
        wire.wait_until(lambda: node.do("get", key) and node.ask("sure %s", key) == "yes", "certainty")

    def lines(self):
        return [line for node in self.nodes for line in node.history]

    def hold_a_get(self, key):
        """n0 asks Redis for a key by its first port; the answer stays on the way. Returns what tells the result."""
        node, proxy = self.nodes[0], self.proxies[0]
        node.ask("evict %s", key)
        proxy.trap = b":k:" + key.encode() + b"\r\n"
        result = node.begin("get", key)
        wire.wait_until(proxy.answer_is_held, "the answer of Redis")
        return result

    def hear(self, number, key):
        """Until a node has been told of what was written to a key."""
        wire.wait_until(lambda: self.proxies[number].channel_has_passed(b":k:" + key.encode()), "the announcement")
        self.nodes[number].ask("ping")

    def read_past(self, node, key, bound_ns):
        """Reads until the bound is over, and once more."""
        end = now_ns() + bound_ns
        while now_ns() < end:
            node.do("get", key)
            time.sleep(0.02)  # not to wait for anything: time is what is tested
        return node.do("get", key)

    def judge(self, lines, *checks, **options):
        """{check: what neap verify says of it}"""
        report = verify(lines, *checks, **options)
        return {one["check"]: one for one in report["checks"]}

    def assert_holds(self, lines, *checks, **options):
        for check, one in self.judge(lines, *checks, **options).items():
            self.assertEqual(one["verdict"], "holds", "%s: %s" % (check, json.dumps(one["findings"])[:3000]))


class EachRuleIsNeeded(Rig):
    """A schedule for each rule, made by holding answers and announcements. The same schedule with the rule left out
    breaks a promise: so the rule is needed, and the judge can say no."""

    def both_ways(self, rule, schedule, check, **options):
        for leave_out, verdict in ((None, "holds"), (rule, "violated")):
            with self.subTest(left_out=leave_out):
                lines = schedule(leave_out)
                one = self.judge(lines, check, **options)[check]
                self.assertEqual(one["verdict"], verdict, "%s\n%s" % (one["findings"][:1], "\n".join(lines[-12:])))
                self.doCleanups()

    def late_answer(self, leave_out):
        self.start(2, leave_out, max_staleness=400, heartbeat=50)
        self.nodes[1].do("set", "k", "old")
        self.hear(0, "k")
        self.proxies[0].forget()
        late = self.hold_a_get("k")
        self.nodes[1].do("set", "k", "new")
        self.hear(0, "k")
        self.proxies[0].release()
        late()
        self.read_past(self.nodes[0], "k", 500 * 10 ** 6)
        return self.lines()

    def test_without_floors_an_answer_older_than_an_announcement_stays(self):
        self.both_ways("R1", self.late_answer, "staleness", staleness="450ms")

    def lost_answer(self, leave_out):
        self.start(2, leave_out, max_staleness=5000, heartbeat=50)
        node, proxy = self.nodes[0], self.proxies[0]
        self.make_sure(node, "k")
        proxy.holds = {"channel"}
        proxy.trap = b":k:k\r\n"
        write = node.do("set", "k", "new", mode="strong")
        self.assertEqual(write["result"], "unknown")
        stored = self.redis.ask("GET", "neap:k:k")
        self.assertIn(b"new", stored)  # it was done, before it was given up
        node.do("get", "k", port=1)
        known = dict(write, result="ok", version=int(stored[:16]))
        return [json.dumps(known) if json.loads(line) == write else line for line in self.lines()]

    def test_without_suspicion_a_write_whose_answer_was_lost_is_not_read(self):
        self.both_ways("R2", self.lost_answer, "read-your-writes")

    def joined(self, leave_out):
        self.start(1, leave_out)
        node = self.nodes[0]
        node.do("set", "k", "old")
        late = self.hold_a_get("k")
        node.do("set", "k", "new", port=1)
        node.ask("evict k")
        second = node.begin("get", "k", port=1)
        node.ask("ping")
        self.proxies[0].release()
        late(), second()
        wire.wait_until(lambda: len(node.history) == 4, "both answers")
        return self.lines()

    def test_without_closing_a_get_joins_a_lookup_older_than_its_write(self):
        self.both_ways("R4", self.joined, "read-your-writes")

    def evicted(self, leave_out):
        self.start(2, leave_out, max_staleness=5000, heartbeat=50)
        node = self.nodes[0]
        self.nodes[1].do("set", "k", "old")
        self.hear(0, "k")
        late = self.hold_a_get("k")
        self.proxies[0].holds = {"channel"}
        self.nodes[1].do("set", "k", "new")
        node.do("get", "k", port=1, mode="strong")
        node.ask("evict k")
        self.proxies[0].release()
        late()
        node.do("get", "k", port=1)
        return self.lines()

    def test_without_a_floor_of_what_was_evicted_it_is_unseen(self):
        self.both_ways("R5", self.evicted, "monotonic-reads")

    def repeated(self, leave_out):
        self.start(2, leave_out)
        node, proxy = self.nodes[0], self.proxies[0]
        proxy.closed = True
        proxy.kill()
        write = node.do("set", "k", "kept")
        self.assertIn("queued", write["note"])
        self.nodes[1].do("delete", "k")
        proxy.closed = False
        wire.wait_until(lambda: node.waiting() == 0, "what waits to be written")
        self.nodes[1].do("get", "k", mode="strong")
        return [line.replace('"unknown"', '"ok"') for line in self.lines()]

    def test_without_tombstones_a_repeated_write_undoes_a_later_delete(self):
        self.both_ways("tombstones", self.repeated, "linearizable")

    def silence(self, leave_out):
        self.start(2, leave_out, max_staleness=400, heartbeat=50)
        self.make_sure(self.nodes[0], "k")
        self.proxies[0].holds = {"channel"}
        self.nodes[1].do("set", "k", "new")
        self.read_past(self.nodes[0], "k", 500 * 10 ** 6)
        return self.lines()

    def test_without_heartbeats_silence_is_taken_for_news(self):
        self.both_ways("heartbeat", self.silence, "staleness", staleness="450ms")


class Certainty(Rig):
    """When memory may be believed: faults that there were."""

    def test_that_nobody_has_it_is_not_believed_in_silence_either(self):
        self.start(2, max_staleness=400, heartbeat=50)
        self.nodes[0].do("delete", "k")
        self.nodes[0].do("get", "k")
        self.proxies[0].holds = {"channel"}
        self.nodes[1].do("set", "k", "new")
        self.assertEqual(self.read_past(self.nodes[0], "k", 500 * 10 ** 6)["value"], "new")

    def test_an_answer_from_before_an_outage_is_checked_after_it(self):
        self.start(2, hard_timeout=5000)
        self.nodes[1].do("set", "k", "old")
        self.hear(0, "k")
        late = self.hold_a_get("k")
        self.proxies[0].closed = True
        self.proxies[0].kill("channel")
        wire.wait_until(lambda: self.nodes[0].ask("sure sure") == "no", "blindness")
        self.nodes[1].do("set", "k", "new")  # which is announced while n0 does not listen
        self.proxies[0].closed = False
        self.make_sure(self.nodes[0])
        self.proxies[0].release()
        self.assertEqual(late()["value"], "old")
        self.assertEqual(self.nodes[0].do("get", "k", port=1)["value"], "new")


class WhateverFails(Rig):
    """Clients work at random while connections die, Redis stops and comes back, and messages are late."""

    DELAYS = {"data": (0.004, 0.03), "channel": (0.008, 0.08)}

    def kill_connections(self, dice):
        self.redis.ask("CLIENT", "KILL", "TYPE", dice.choice(["normal", "pubsub"]))

    def pause_clients(self, dice):
        self.redis.ask("CLIENT", "PAUSE", dice.randrange(50, 400), dice.choice(["WRITE", "ALL"]))

    def stop_the_process(self, dice):
        wire.freeze(self.redis.process.pid)
        time.sleep(dice.uniform(0.05, 0.8))
        self.redis.process.send_signal(signal.SIGCONT)

    def sleep_inside(self, dice):
        self.redis.ask("DEBUG", "SLEEP", "%.2f" % dice.uniform(0.05, 0.5))

    def restart(self, dice):
        self.redis.kill()
        time.sleep(dice.uniform(0, 0.3))
        self.redis.start()

    def hold(self, dice):
        proxy = dice.choice(self.proxies)
        proxy.holds = {dice.choice(["data", "channel"])}
        time.sleep(dice.uniform(0.05, 1.5))
        proxy.holds = set()

    def cut_off(self, dice):
        proxy = dice.choice(self.proxies)
        proxy.closed = True
        proxy.kill()
        time.sleep(dice.uniform(0.05, 0.6))
        proxy.closed = False

    def drop(self, dice):
        dice.choice(self.proxies).kill(dice.choice(["data", "channel"]))

    FAULTS = [kill_connections, pause_clients, stop_the_process, sleep_inside, restart, hold, hold, cut_off, drop]

    def work(self, mode, seed, **settings):
        """A run: its faults are of the seed, and so is what each node does."""
        self.start(leave_out=os.environ.get("NEAP_LEAVE_OUT"), seed=seed, clients=6, keys=12, think=2,
                   evictions=25, lease=500, **settings)
        for proxy in self.proxies:
            proxy.delays = self.DELAYS
        for i, node in enumerate(self.nodes):
            node.send("run %d %s", seed * NODES + i, mode)
        dice, end, done = random.Random(seed), time.monotonic() + SECONDS, []
        while time.monotonic() < end:
            fault = dice.choice(self.FAULTS)
            fault(self, dice)
            done.append(fault.__name__)
            time.sleep(dice.uniform(0.05, 0.3))
        self.settle()
        return done

    def settle(self):
        """Ends the work; what waits for Redis gets there, and each node reads all keys in both modes."""
        for node in self.nodes:
            node.ask("stop")
        for proxy in self.proxies:
            proxy.delays = {}
        for node in self.nodes:
            wire.wait_until(lambda node=node: node.waiting() == 0, "what waits to be written")
            self.make_sure(node)
        wire.wait_until(self.agree, "the same answers of all nodes")

    def agree(self):
        return all(len({node.do("get", "k%d" % key, mode=mode)["value"] for node in self.nodes
                        for mode in ("strong", "eventual")}) == 1 for key in range(12))

    @staticmethod
    def without_pending(lines):
        """The history without reads of what the node itself has written and Redis has not got yet: others do not see
        them, and a strong read does not either."""
        kept, read = [], [json.loads(line) for line in lines]
        pending = {(one["client"], one["key"], one.get("version")) for one in read if "queued" in one["note"]}
        for line, one in zip(lines, read):
            if one["op"] != "get" or (one["client"], one["key"], one.get("version", 0)) not in pending:
                kept.append(line)
        return kept

    def tell(self, name, seed, done, lines, judged=""):
        print("%s seed %d: %d operations, %d of unknown outcome, %d not answered, %d faults %s" % (
            name, seed, len(lines), sum('"unknown"' in line for line in lines),
            sum('"fail"' in line for line in lines), len(done), judged))

    def test_strong_is_linearizable(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                done = self.work("strong", seed)
                lines = [line for line in self.lines() if '"sure"' not in line]
                self.tell("strong", seed, done, lines)
                self.assert_holds(lines, "linearizable", *SESSIONS)
                self.doCleanups()

    def test_eventual_keeps_what_a_node_has_seen_and_the_bound(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                done = self.work("eventual", seed, max_staleness=500)
                lines = [line for line in self.lines() if '"sure"' not in line]
                pending, lines = len(lines), self.without_pending(lines)
                pending -= len(lines)
                judged = self.judge(lines, "staleness", staleness="500ms")["staleness"]
                self.tell("eventual", seed, done, lines, "worst staleness %.1f ms, without %d reads of writes that wait" % (
                    judged["worst_ns"] / 1e6, pending))
                self.assert_holds(lines, *SESSIONS)
                self.assert_holds(lines, "staleness", staleness="500ms")
                self.doCleanups()


if __name__ == "__main__":
    unittest.main()
