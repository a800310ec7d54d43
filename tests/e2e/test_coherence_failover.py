"""What nodes promise while the servers change: slots of a Cluster that move under load lose nothing; after a failover
that Sentinels make, what was not replicated is gone (docs/consistency.md), and nodes agree on what there is."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from coherence import Node, verify
from harness import TIMEOUT, wire
from resp import Redis, RespClient

KEYS = 12
SECONDS = 15 if os.environ.get("NEAP_TEST_MODE") == "full" else 3


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Sentinel:
    """Watches the group "g"."""

    def __init__(self, primary):
        self.folder, self.port = tempfile.mkdtemp(prefix="neap-sentinel-"), free_port()
        path = os.path.join(self.folder, "sentinel.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("port %d\nbind 127.0.0.1\nsentinel monitor g 127.0.0.1 %d 2\n"
                       "sentinel down-after-milliseconds g 500\nsentinel failover-timeout g 3000\n" %
                       (self.port, primary))
        self.process = subprocess.Popen(["redis-server", path, "--sentinel"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wire.wait_until(lambda: self.try_to_ask("PING"), "a Sentinel")
        self.try_to_ask("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "ASK-PERIOD", 100, "PUBLISH-PERIOD", 200)

    def try_to_ask(self, *args):
        try:
            with RespClient(self.port) as client:
                return client.value(*args)
        except OSError:
            return None

    def says(self):
        said = self.try_to_ask("SENTINEL", "MASTER", "g")
        return {said[i].decode(): said[i + 1].decode() for i in range(0, len(said), 2)}

    def close(self):
        self.process.kill()
        self.process.wait(TIMEOUT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Servers(unittest.TestCase):
    def start_nodes(self, layout, addresses):
        self.nodes = []
        for i in range(3):
            self.nodes.append(Node("n%d" % i, addresses, layout, clients=4, keys=KEYS))
            self.addCleanup(self.nodes[i].close)
        for node in self.nodes:
            self.make_sure(node)

    @staticmethod
    def make_sure(node):
        wire.wait_until(lambda: node.do("set", "sure", "x")["result"] == "ok" and node.do("get", "sure") and
                        node.ask("sure sure") == "yes", "certainty")

    def begin_work(self, mode, seed):
        for i, node in enumerate(self.nodes):
            node.send("run %d %s", seed + i, mode)

    def end_work(self):
        for node in self.nodes:
            node.ask("stop")
        for node in self.nodes:
            wire.wait_until(lambda node=node: node.waiting() == 0, "what waits to be written")
            self.make_sure(node)
        wire.wait_until(lambda: not self.differences(), lambda: "the same answers of all nodes: %s" % self.differences())

    def differences(self):
        """The keys of which not all nodes say the same, with what each says."""
        said = {"k%d" % key: {(node.name, mode): node.do("get", "k%d" % key, mode=mode)["value"] for node in self.nodes
                              for mode in ("strong", "eventual")} for key in range(KEYS)}
        return {key: answers for key, answers in said.items() if len(set(answers.values())) > 1}

    def lines(self):
        return [line for node in self.nodes for line in node.history if '"sure"' not in line]

    def assert_linearizable(self, lines, **options):
        report = verify(lines, "linearizable", **options)["checks"][0]
        self.assertEqual(report["verdict"], "holds", json.dumps(report["findings"])[:3000])


class SlotsMove(Servers):
    def start_cluster(self):
        self.servers, self.buses = [], []
        for i in range(3):
            self.buses.append(free_port())
            self.servers.append(Redis("--cluster-enabled", "yes", "--cluster-port", str(self.buses[i])))
            self.addCleanup(self.servers[i].close)
        bounds = [0, 5461, 10923, 16384]
        for i, server in enumerate(self.servers):
            server.ask("CLUSTER", "ADDSLOTSRANGE", bounds[i], bounds[i + 1] - 1)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            server.ask("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port, self.buses[0])
        self.ids = [server.ask("CLUSTER", "MYID") for server in self.servers]
        for server in self.servers:
            wire.wait_until(lambda server=server: b"cluster_known_nodes:3" in server.ask("CLUSTER", "INFO") and
                            b"cluster_state:ok" in server.ask("CLUSTER", "INFO"), "the Cluster")
        self.homes = {}
        for key in range(KEYS):
            slot = self.servers[0].ask("CLUSTER", "KEYSLOT", "neap:k:k%d" % key)
            self.homes[slot] = next(i for i in range(3) if bounds[i] <= slot < bounds[i + 1])

    def move(self, slot):
        """As `redis-cli --cluster reshard` does it."""
        source, target = self.homes[slot], (self.homes[slot] + 1) % 3
        self.servers[target].ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.servers[source].ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        time.sleep(0.02)  # some are asked for while it moves
        while True:
            keys = self.servers[source].ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
            if not keys:
                break
            said = self.servers[source].ask("MIGRATE", "127.0.0.1", self.servers[target].port, "", 0, 1000, "KEYS",
                                            *keys)
            self.assertIn(said, (b"OK", b"NOKEY"))
        for i in (target, source, 3 - target - source):
            self.servers[i].ask("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])
        self.homes[slot] = target

    def test_strong_stays_linearizable(self):
        self.start_cluster()
        self.start_nodes("cluster", ",".join("127.0.0.1:%d" % server.port for server in self.servers))
        self.begin_work("strong", 1)
        end, moved = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            for slot in list(self.homes):
                self.move(slot)
                moved += 1
        self.end_work()
        lines = self.lines()
        print("slots: %d operations, %d of unknown outcome, %d moves" % (
            len(lines), sum('"unknown"' in line for line in lines), moved))
        self.assertGreater(moved, KEYS)
        self.assert_linearizable(lines)


class ThePrimaryDies(Servers):
    def start_group(self):
        self.primary = Redis("--repl-diskless-sync-delay", "0")
        self.addCleanup(self.primary.close)
        self.replica = Redis("--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", str(self.primary.port))
        self.addCleanup(self.replica.close)
        wire.wait_until(lambda: b"master_link_status:up" in self.replica.ask("INFO", "replication"), "the replica")
        self.sentinels = []
        for _ in range(3):
            self.sentinels.append(Sentinel(self.primary.port))
            self.addCleanup(self.sentinels[-1].close)
        for one in self.sentinels:
            wire.wait_until(lambda one=one: one.says().get("num-other-sentinels") == "2" and
                            one.says().get("num-slaves") == "1", "Sentinels that know each other")

    def is_promoted(self):
        try:
            return b"role:master" in self.replica.ask("INFO", "replication")
        except (OSError, ValueError):  # Sentinels end all connections when they promote: half an answer, or none
            return False

    @staticmethod
    def last_versions(lines):
        last = {}
        for one in map(json.loads, lines):
            if one["op"] != "get" and one["result"] == "ok":
                last[one["key"]] = max(last.get(one["key"], 0), one.get("version", 0))
        return last

    def test_nodes_agree_on_what_the_new_primary_has(self):
        self.start_group()
        self.start_nodes("sentinel", ",".join("127.0.0.1:%d" % one.port for one in self.sentinels))
        self.begin_work("eventual", 5)
        wire.wait_until(lambda: len(self.lines()) > 1000, "some work")
        self.primary.kill()
        wire.wait_until(self.is_promoted, "the new primary")
        self.end_work()
        before = self.lines()
        lost = [key for key, version in self.last_versions(before).items()
                if version > int((self.replica.ask("GET", "neap:k:" + key) or b"0")[:16])]
        print("failover: %d operations, the last write of %d of %d keys lost" % (len(before), len(lost), KEYS))
        for node in self.nodes:
            node.history.clear()
        self.begin_work("strong", 9)
        wire.wait_until(lambda: len(self.lines()) > 1500, "some work")
        self.end_work()
        self.assert_linearizable(self.lines(), any_start=True)


if __name__ == "__main__":
    unittest.main()
