"""Pools that change while they serve: backends added, removed, drained and weighed by the control socket, over reloads;
limits of connections over several workers, and the queue before them."""

import json
import subprocess
import threading
import unittest

import wire
from harness import PROGRAM, Gateway, Origin, config


class Members(unittest.TestCase):
    def setUp(self):
        self.origins = [Origin() for _ in range(3)]
        for index, origin in enumerate(self.origins):
            self.addCleanup(origin.close)
            origin.on("/", wire.response(body=b"%d" % index))

    def start(self, *origins, **options):
        options.setdefault("pool", "balance = \"round_robin\",")  # so that everyone gets some of few requests
        self.gateway = Gateway(config(*origins, cache="false", **options))
        self.addCleanup(self.gateway.stop)
        return self.gateway

    def neap(self, verb, *words, ok=True):
        done = subprocess.run([PROGRAM, verb, *words, "--json", "--config", self.gateway.config],
                              capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode == 0, ok, done.stdout + done.stderr)
        last = json.loads(done.stdout.strip().split("\n")[-1])
        self.assertEqual(last["ok"], ok, last)
        return last

    def bodies(self, gateway, count=12):
        return sorted({gateway.ask("/").body for _ in range(count)})

    def test_backends_are_added_and_removed_without_a_reload_and_over_one(self):
        gateway = self.start(self.origins[0], workers=2)
        self.assertEqual(self.bodies(gateway), [b"0"])
        self.neap("add", "app", self.origins[1].address)
        self.assertEqual(self.bodies(gateway, 40), [b"0", b"1"])
        self.neap("remove", "app", self.origins[0].address)
        self.assertEqual(self.bodies(gateway), [b"1"])
        self.neap("reload")
        self.assertEqual(self.bodies(gateway), [b"1"])
        self.neap("add", "app", self.origins[0].address)
        self.neap("remove", "app", self.origins[1].address)
        self.neap("reload")
        self.assertEqual(self.bodies(gateway), [b"0"])

    def test_what_is_wrong_is_said(self):
        self.start(self.origins[0])
        address = self.origins[0].address
        self.assertIn("did you mean 'app'", self.neap("add", "ap", address, ok=False)["error"])
        self.assertIn("already", self.neap("add", "app", address, ok=False)["error"])
        self.assertIn("has no backend", self.neap("drain", "app", "127.0.0.1:1", ok=False)["error"])
        self.assertIn("state", self.neap("drain", "app", address, "perhaps", ok=False)["error"])
        self.assertIn("weight", self.neap("weight", "app", address, "1001", ok=False)["error"])
        self.assertEqual(self.neap("add", "app", "no port", ok=False)["ok"], False)
        self.neap("weight", "app", address, "5")

    def test_a_drained_backend_finishes_what_it_has(self):
        slow, other = self.origins[:2]
        release = threading.Event()

        def answer(connection, _request):
            release.wait(10)
            connection.send(wire.response(body=b"slow"))

        slow.on("/slow", answer)
        other.on("/slow", wire.response(body=b"other"))
        gateway = self.start(slow, other)
        got = []
        threads = [threading.Thread(target=lambda: got.append(gateway.ask("/slow").body)) for _ in range(2)]
        for thread in threads:
            thread.start()
        slow.wait("/slow")
        self.neap("drain", "app", slow.address)
        self.assertEqual(self.bodies(gateway), [b"1"])
        release.set()
        for thread in threads:
            thread.join()
        self.assertIn(b"slow", got)
        self.neap("drain", "app", slow.address, "off")
        self.assertEqual(self.bodies(gateway), [b"0", b"1"])

    def test_weights_are_set_and_go_back(self):
        gateway = self.start(*self.origins[:2], pool='balance = "weighted_round_robin"')
        address = self.origins[1].address

        def share(wanted):  # what was gained before the change is still owed: one more or less
            counts = [gateway.ask("/").body for _ in range(40)]
            self.assertAlmostEqual(counts.count(b"1"), wanted, delta=2)

        self.neap("weight", "app", address, "3")
        share(30)
        self.neap("reload")
        share(30)
        self.neap("weight", "app", address, "0")
        share(20)

    def test_changes_under_load_lose_no_request(self):
        gateway = self.start(*self.origins[:2], workers=2)
        failures, stop = [], threading.Event()

        def load():
            with gateway.client() as client:
                while not stop.is_set():
                    status = client.ask("/").status
                    if status != 200:
                        failures.append(status)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        last = self.origins[2].address
        for _ in range(10):
            self.neap("add", "app", last, "2")
            self.neap("drain", "app", self.origins[0].address)
            self.neap("weight", "app", self.origins[1].address, "7")
            self.neap("drain", "app", self.origins[0].address, "off")
            self.neap("remove", "app", last)
        self.neap("reload")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_limit_holds_over_workers_and_nobody_is_turned_away(self):
        origin, lock, now, most = self.origins[0], threading.Lock(), [0], [0]

        def answer(connection, _request):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.005)  # work takes time: this is what the limit is about
            with lock:
                now[0] -= 1
            connection.send(wire.response(body=b"x"))

        origin.on("/work", answer)
        gateway = self.start(backends='"%s max_connections=2"' % origin.address, workers=4)
        statuses = []

        def load():
            with gateway.client() as client:
                for _ in range(15):
                    statuses.append(client.ask("/work").status)

        threads = [threading.Thread(target=load) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200] * 180)
        self.assertLessEqual(most[0], 2)


if __name__ == "__main__":
    unittest.main()
