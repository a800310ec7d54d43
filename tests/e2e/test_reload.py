"""Reloads are transactions: whatever is wrong with the new configuration, nobody who asks the gateway notices, and
where it is right, nobody loses a request."""

import json
import os
import random
import signal
import socket
import threading
import time
import unittest

import wire
from harness import PROGRAM, TIMEOUT, Gateway, Origin
from test_control import Line

SANITIZED = any(word in PROGRAM for word in ("asan", "tsan"))
FULL = os.environ.get("NEAP_TEST_MODE") == "full"

# Each response carries the generation's number twice: set by its route, and sent back by the backend that its
# balance policy picked. Those of two generations would differ.
CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.cache { max_memory = "16MB" }
neap.pool { name = "app", backends = { "%(first)s", "%(second)s" },
            balance = function(req, pool) return %(number)d %% 2 + 1 end }
neap.route { path = "/", pool = "app", request_headers = { set = { ["X-Asked"] = "%(number)d" } },
             response_headers = { set = { ["X-Route"] = "%(number)d" } }, when = function(req) %(when)s end }
neap.route { path = "/kept", pool = "app", cache = { ttl = "1h" } }
neap.log { access = "off" }
neap.engine { workers = %(workers)d }
%(more)s
"""


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../policies/evict/fifo.lua")) as file:
    FIFO = file.read()


class Load(threading.Thread):
    """A client that asks all the time, on kept connections and on new ones, until it is told to stop."""

    def __init__(self, port, kept):
        super().__init__(daemon=True)
        self.port, self.kept, self.stopped = port, kept, False
        self.count, self.failures, self.newest = 0, [], 0
        self.falls_back = ()  # generations whose own pick may be out, so that another picks

    def run(self):
        client = None
        while not self.stopped:
            try:
                client = client or wire.Client(self.port)
                closes = self.one(client)
            except (OSError, wire.Truncated, wire.Malformed, AssertionError) as error:
                self.failures.append("%s: %s" % (type(error).__name__, error))
                closes = True
            if closes or not self.kept:
                client.close()
                client = None
        if client:
            client.close()

    def one(self, client):
        answer = client.ask("/")
        self.count += 1
        assert answer.status == 200, answer
        route, asked, backend = answer.get("X-Route"), answer.get("X-Asked"), answer.get("X-Backend")
        picked = int(route) in self.falls_back or int(route) % 2 + 1 == int(backend)
        assert route == asked and picked, "mixed: %s %s %s" % (route, asked, backend)
        self.newest = max(self.newest, int(route))
        return answer.get("Connection") == "close"


def echo(number):
    def answer(connection, request):
        connection.send(wire.response(fields=[("X-Backend", str(number)), ("X-Asked", request.get("X-Asked", "0"))],
                                      body=b"ok"))
    return answer


class Reload(unittest.TestCase):
    def start(self, workers=4, user=None):
        self.origins = [Origin() for _ in range(2)]
        for number, origin in enumerate(self.origins, 1):
            origin.on("/", echo(number))
            self.addCleanup(origin.close)
        self.gateway = Gateway(self.text(1, workers), user=user)
        self.addCleanup(self.gateway.stop)
        self.line = Line(os.path.join(self.gateway.folder, "neap.sock"))
        self.addCleanup(self.line.__exit__)
        return self.gateway

    def text(self, number, workers=4, when="return true", more=""):
        return CONFIG % dict(first=self.origins[0].address, second=self.origins[1].address, number=number, when=when,
                             workers=workers, more=more)

    def load(self, clients=4):
        loads = [Load(self.gateway.port, kept=i % 2 == 0) for i in range(clients)]
        for one in loads:
            one.start()
        self.addCleanup(self.unload, loads)
        wire.wait_until(lambda: all(one.count > 5 for one in loads), "the load to begin")
        return loads

    def unload(self, loads):
        for one in loads:
            one.stopped = True
        for one in loads:
            one.join(TIMEOUT)

    def assert_nothing_lost(self, loads):
        for one in loads:
            self.assertEqual(one.failures[:3], [])

    def route(self):
        return self.gateway.ask("/").get("X-Route")

    def reload(self, text):
        self.gateway.write_config(text)
        return self.line.ask("reload")

    # --- what may change

    def test_the_number_of_workers_changes_and_nothing_is_lost(self):
        self.start(workers=2)
        loads = self.load(6)
        number = 1
        for workers in (4, 1, 3, 2, 8, 1, 4):
            number += 1
            answer = self.reload(self.text(number, workers))
            self.assertTrue(answer["ok"], answer)
            before = [one.count for one in loads]
            wire.wait_until(lambda: all(one.newest == number for one in loads), "generation %d" % number)
            wire.wait_until(lambda: all(one.count > then + 5 for one, then in zip(loads, before)), "more requests")
            self.assertEqual(self.line.ask("status")["workers"], workers)
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_connections_that_wait_for_a_request_survive_their_worker(self):
        self.start(workers=4)
        clients = [self.gateway.client() for _ in range(24)]
        for client in clients:
            self.assertEqual(client.ask("/").get("X-Route"), "1")
        self.assertTrue(self.reload(self.text(2, 1))["ok"])
        for client in clients:
            self.assertEqual(client.ask("/").get("X-Route"), "2")
            client.close()
        for _ in range(3):
            self.gateway.wait_line("worker_ended")

    def test_listeners_change_and_those_that_stay_lose_nothing(self):
        self.start()
        loads = self.load()
        spare = socket.create_server(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % spare.getsockname()[1]
        spare.close()
        listen = 'neap.listen { http = "%s" }\n' % address
        self.assertTrue(self.reload(self.text(2, more=listen))["ok"])
        port = int(address.split(":")[1])
        with wire.Client(port) as kept:
            self.assertEqual(kept.ask("/").get("X-Route"), "2")
            self.assertTrue(self.reload(self.text(3))["ok"])
            self.assertEqual(kept.ask("/").get("X-Route"), "3")
            self.assertEqual(kept.closed(), b"")

        def refused():
            try:
                with wire.Client(port):
                    return False
            except ConnectionRefusedError:
                return True
        wire.wait_until(refused, "the listener to go")
        # Wider: the same port on every address, while the narrow one is still ours.
        self.assertTrue(self.reload(self.text(4, more=listen))["ok"])
        self.assertTrue(self.reload(self.text(5, more=listen.replace("127.0.0.1", "0.0.0.0")))["ok"])
        with wire.Client(port) as client:
            self.assertEqual(client.ask("/").get("X-Route"), "5")
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_what_is_stored_gets_the_headers_of_the_generation_in_force(self):
        self.start()
        for origin in self.origins:
            origin.on("/kept", wire.response(fields=[("X-Old", "1"), ("Cache-Control", "max-age=60")], body=b"kept"))
        edits = 'ttl = "1h" }, response_headers = { set = { ["X-Kept"] = "%s" }, remove = { %s } }'
        for number, removed in ((2, '"X-Old"'), (3, ""), (4, '"X-Kept-Not"'), (5, '"x-old", "ETag"')):
            self.assertTrue(self.reload(self.text(number).replace('ttl = "1h" }', edits % (number, removed)))["ok"])
            for _ in range(3):
                answer = self.gateway.ask("/kept")
                self.assertEqual(answer.get("X-Kept"), str(number))
                self.assertEqual("X-Old" in answer, "old" not in removed.lower())
                self.assertEqual(answer.body, b"kept")
        self.assertEqual(sum(len(origin.for_path("/kept")) for origin in self.origins), 1)

    def test_more_workers_that_are_refused_at_the_end_lose_nothing(self):
        """Sockets of workers that never come may not have taken connections meanwhile."""
        self.start(workers=1)
        self.serves = 1
        slow = "local x = 0 for i = 1, 4000000 do x = bit.bxor(x * 3, i) end\n"
        with open(os.path.join(self.gateway.folder, "bad.lua"), "w") as file:
            file.write(slow + "error 'in the end'")
        bad = self.text(2, 8).replace('max_memory = "16MB"', 'max_memory = "16MB", evict = neap.custom "bad"')
        self.gateway.write_config(bad)
        answers = []
        for _ in range(5):
            refused = threading.Thread(target=lambda: answers.append(self.line.ask("reload")))
            refused.start()
            while refused.is_alive():
                with self.gateway.client() as client:
                    self.assertEqual(client.ask("/").get("X-Route"), "1")
            refused.join()
        self.assertEqual([(one["ok"], "in the end" in one["error"]) for one in answers], [(False, True)] * 5)

    def test_two_reloads_at_once_are_two_reloads(self):
        self.start()
        loads = self.load()
        lines = [Line(os.path.join(self.gateway.folder, "neap.sock")) for _ in range(4)]
        self.gateway.write_config(self.text(2))
        for line in lines:
            line.send(b'{"verb":"reload"}\n')
        self.gateway.signal(signal.SIGHUP)
        numbers = [line.answer()["generation"] for line in lines]
        signaled = int(self.gateway.wait_line(r"reloaded generation=(\d+) by=signal").group(1))
        self.assertEqual(sorted(numbers + [signaled]), [2, 3, 4, 5, 6])  # in whatever order they arrived
        for line in lines:
            line.__exit__()
        self.unload(loads)
        self.assert_nothing_lost(loads)

    # --- faults: nothing changes, nothing is lost

    def assert_refused(self, text, *words):
        """A reload is refused with a word that helps, and the generation in force answers as before."""
        before = self.line.ask("status")
        answer = self.reload(text) if text is not None else self.line.ask("reload")
        self.assertFalse(answer["ok"], answer)
        said = json.dumps(answer)
        for word in words:
            self.assertIn(word, said)
        after = self.line.ask("status")
        self.assertEqual(after["generation"], before["generation"])
        self.assertEqual(after["threads"], before["threads"])
        self.assertEqual(after["listeners"], before["listeners"])
        self.assertFalse(after["last_reload"]["ok"])
        self.assertEqual(self.route(), str(self.serves))

    def test_faults_change_nothing_and_lose_nothing(self):
        self.start()
        self.serves = 1
        loads = self.load()
        place = self.gateway.config + ":"
        good = self.text(2)
        faults = {
            "syntax error": (good + "\nlocal = 1", (place + "14: error:",)),
            "error at top level": (good + "\nerror('out of cheese')", (place + "14: error:", "out of cheese")),
            "wrong types": (good.replace('ttl = "1h"', "ttl = {}").replace("workers = 4", 'workers = "many"'),
                            (place + "9: error:", place + "11: error:", "ttl", "workers")),
            "unknown key": (good.replace("max_memory", "max_memry"), (place + "4: error:", "max_memory")),
            "unknown pool": (good.replace('"/kept", pool = "app"', '"/kept", pool = "ap"'), (place + "9: error:", "app")),
            "endless loop at load": (good + "\nwhile true do end", (place + "14: error:", "time")),
            "memory bomb at load": (good + "\nlocal t = {} for i = 1, 1e9 do t[i] = { i } end", (place + "14: error:",)),
            "endless loop at the first request": (self.text(2, when="while true do end"), (place + "8: error:", "time")),
            "memory bomb at the first request":
                (self.text(2, when="local t = {} for i = 1, 1e9 do t[i] = { i } end"), (place + "8: error:",)),
            "error where a field is missing":
                (self.text(2, when="return req:header('x-none'):eq 'a'"), (place + "8: error:", "nil")),
            "endless loop after a thousand requests":
                ("local asked = 0\n" + self.text(2, when="asked = asked + 1 while asked > 1000 do end return true"),
                 (place + "9: error:", "time")),
            "error in a pick": (good.replace("return 2 % 2 + 1", "return req.nonsense.x"), (place + "6: error:",)),
            "a port in use": (good + "\nneap.listen { http = \"%s\" }" % self.origins[0].address,
                              (self.origins[0].address,)),
            "a log that cannot be written": (good.replace('"off"', '"/nonexistent/log"'), ("/nonexistent/log",)),
        }
        for name, (text, words) in faults.items():
            with self.subTest(fault=name):
                self.assert_refused(text, *words)
        self.assertTrue(self.reload(self.text(2))["ok"])
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_a_fault_on_the_third_worker_alone_changes_nothing(self):
        """The file cannot see on which worker it runs; what differs there is chance. Here by the address of a
        table: so often until it hits the third."""
        self.start()
        self.serves = 1
        loads = self.load()
        unlucky = "\nlocal chance = tostring {}\nif chance:byte(-3) %% 2 == %d then error 'bad luck' end"
        seen = set()
        for attempt in range(400):
            number = self.serves + 1
            answer = self.reload(self.text(number) + unlucky % (attempt % 2))
            if answer["ok"]:
                self.serves = number
                continue
            self.assertEqual(self.route(), str(self.serves))
            seen.add(answer["error"].partition("worker ")[2][:6])
            if "3 of 4" in seen:
                break
        self.assertIn("3 of 4", seen)
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_a_file_that_is_gone_or_may_not_be_read_changes_nothing(self):
        self.start()
        self.serves = 1
        loads = self.load()
        aside = self.gateway.config + ".aside"
        os.rename(self.gateway.config, aside)
        self.assert_refused(None, self.gateway.config, "No such file")
        os.mkdir(self.gateway.config)  # may not be read, not even by root
        self.assert_refused(None, self.gateway.config)
        os.rmdir(self.gateway.config)
        os.symlink(self.gateway.config, self.gateway.config)
        self.assert_refused(None, self.gateway.config, "symbolic links")
        os.unlink(self.gateway.config)
        os.rename(aside, self.gateway.config)
        self.assert_refused(self.text(2, more='neap.pool { name = "b", backends = { "127.0.0.1:1" }, balance = '
                                              'neap.custom "gone" }'), "gone.lua")
        self.unload(loads)
        self.assert_nothing_lost(loads)

    @unittest.skipUnless(os.getuid() == 0, "drops privileges")
    def test_permission_denied_changes_nothing(self):
        """As a user who may not read the file: root may read all."""
        self.start(user=65534)
        self.serves = 1
        loads = self.load()
        self.gateway.write_config(self.text(2))
        os.chmod(self.gateway.config, 0)
        self.assert_refused(None, self.gateway.config, "Permission denied")
        os.chmod(self.gateway.config, 0o644)
        self.assertTrue(self.line.ask("reload")["ok"])
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_what_no_dry_run_can_find_costs_its_policy_and_no_request(self):
        """Without the dry run: faults at the first request and after a thousand; the next route takes over."""
        self.start()
        spare = 'neap.reload { dry_run = false }\nneap.route { path = "/*", pool = "app", request_headers = { set = ' \
                '{ ["X-Asked"] = "%d" } }, response_headers = { set = { ["X-Route"] = "%d" } } }'
        loads = self.load()
        bodies = ["while true do end", "error 'no'", "local t = {} for i = 1, 1e9 do t[i] = { i } end",
                  "asked = asked + 1 while asked > 200 do end return true", "return req:header('x-none'):eq 'a'"]
        for one in loads:
            one.falls_back = (4,)  # where memory ends before time does, the VM of its pick ends with it
        for number, body in enumerate(bodies, 2):
            answer = self.reload("local asked = 0\n" + self.text(number, when=body, more=spare % (number, number)))
            self.assertTrue(answer["ok"], answer)
            wanted = [one.count + 250 for one in loads]
            wire.wait_until(lambda: all(one.newest == number for one in loads), "generation %d" % number)
            wire.wait_until(lambda: all(one.count >= many for one, many in zip(loads, wanted)), "requests", TIMEOUT * 3)
        self.unload(loads)
        self.assert_nothing_lost(loads)

    # --- the file watch

    def test_a_changed_file_is_loaded_by_itself(self):
        self.start()
        watch = "neap.reload { watch = true }"
        loads = self.load()
        self.assertTrue(self.reload(self.text(2, more=watch))["ok"])
        self.gateway.write_config(self.text(3, more=watch))  # written in place
        self.gateway.wait_line("reloaded generation=3 by=watch")
        self.assertEqual(self.route(), "3")
        aside = self.gateway.config + ".new"
        with open(aside, "w") as file:
            file.write(self.text(4, more=watch))
        os.rename(aside, self.gateway.config)  # put in its place, as editors do
        self.gateway.wait_line("reloaded generation=4 by=watch")
        self.gateway.write_config(self.text(5, more=watch) + "\nlocal = 1")
        self.gateway.wait_line("reload_refused generation=4 by=watch")
        self.assertEqual(self.route(), "4")
        self.assertTrue(self.line.ask("rollback")["ok"])  # and the file, which is newer, is let
        self.assertEqual(self.route(), "3")
        self.gateway.write_config(self.text(6))
        self.gateway.wait_line("reloaded generation=6 by=watch")
        self.assertEqual(self.route(), "6")
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_policies_and_what_they_require_are_watched_too(self):
        self.start(workers=1)
        folder = os.path.join(self.gateway.folder, "policies/balance")
        os.makedirs(folder)

        def write(name, text):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        write("number.lua", "return 2")
        write("mine.lua", "return function(req, pool) return 1 end")
        text = self.text(2, 1, more="neap.reload { watch = true }").replace(
            "balance = function(req, pool) return 2 % 2 + 1 end", 'balance = neap.custom "mine"')
        self.assertTrue(self.reload(text)["ok"])
        write("mine.lua", 'local number = require "number" return function(req, pool) return number end')
        self.gateway.wait_line("reloaded generation=3 by=watch")
        write("number.lua", "return 1")
        self.gateway.wait_line("reloaded generation=4 by=watch")
        self.assertEqual(self.gateway.ask("/").get("X-Backend"), "1")

    # --- a thousand

    def memory_kb(self):
        with open("/proc/%d/status" % self.gateway.process.pid) as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    def backends(self):
        return {one["backend"]: one for one in self.line.ask("backends", pool="app")["backends"]}

    def test_a_thousand_reloads_lose_nothing_and_keep_what_is_known(self):
        """One in ten is broken. In the short mode sixty."""
        count = 1000 if FULL else 60
        self.start()
        for origin in self.origins:
            origin.on("/kept", wire.response(body=b"kept"))
        sticky = 'neap.pool { name = "sticky", backends = { "%s", "%s" }, session = "cookie" }\n' \
                 'neap.route { path = "/sticky", pool = "sticky" }' % tuple(one.address for one in self.origins)
        for number, origin in enumerate(self.origins, 1):
            origin.on("/sticky", echo(number))
        breaks = ["\nlocal = 1", "\nerror 'no'", "\nneap.nonsense {}", "\nwhile true do end"]
        self.assertTrue(self.reload(self.text(1, more=sticky))["ok"])
        first = self.gateway.ask("/sticky")
        cookie, home = first.get("Set-Cookie").partition(";")[0], first.get("X-Backend")
        loads = self.load()
        before, memory, committed = self.backends(), 0, 2
        for number in range(2, count + 2):
            broken = number % 10 == 0
            answer = self.reload(self.text(number, more=sticky) + (breaks[number // 10 % 4] if broken else ""))
            self.assertEqual(answer["ok"], not broken, answer)
            committed += not broken
            self.assertEqual(self.gateway.ask("/sticky", fields=[("Cookie", cookie)]).get("X-Backend"), home)
            self.assertEqual(self.gateway.ask("/kept").body, b"kept")
            if number == max(count // 10, 30):
                memory = self.memory_kb()
        wire.wait_until(lambda: all(one.newest == count + 1 for one in loads), "the last generation")
        self.unload(loads)
        self.assert_nothing_lost(loads)
        self.assertEqual(self.line.ask("status")["generation"], committed)
        self.assertEqual(sum(len(origin.for_path("/kept")) for origin in self.origins), 1)
        after = self.backends()
        for address, was in before.items():
            self.assertGreater(after[address]["requests"], was["requests"])
            self.assertGreater(after[address]["ewma_ms"], 0)
        wire.wait_until(lambda: [one["state"] for one in self.line.ask("status")["generations"]].count("finishing") == 0,
                        "old generations to be freed")
        if not SANITIZED:  # which keep what was freed
            self.assertLess(self.memory_kb(), memory * 1.1 + 2048)
        if FULL:
            print("memory: %d KiB after %d reloads, %d KiB after %d" % (memory, count // 10, self.memory_kb(), count))

    # --- rollback

    def test_rollback_goes_back_when_the_files_are_gone(self):
        self.start()
        loads = self.load()
        for number in (2, 3, 4):
            self.assertTrue(self.reload(self.text(number))["ok"])
        os.unlink(self.gateway.config)
        self.assertFalse(self.line.ask("reload")["ok"])
        self.assertEqual(self.line.ask("rollback")["generation"], 5)
        self.assertEqual(self.route(), "3")
        self.assertEqual(self.line.ask("rollback")["generation"], 6)
        self.assertEqual(self.route(), "2")
        self.assertEqual(self.line.ask("rollback", generation=4)["generation"], 7)
        self.assertEqual(self.route(), "4")
        self.assertEqual(self.line.ask("rollback", generation="1")["generation"], 8)
        self.assertEqual(self.route(), "1")
        self.assertIn("no earlier", self.line.ask("rollback")["error"])
        self.assertIn("not kept", self.line.ask("rollback", generation=77)["error"])
        self.assertEqual(self.route(), "1")
        self.unload(loads)
        self.assert_nothing_lost(loads)

    def test_rollback_brings_back_policies_and_what_they_require(self):
        self.start(workers=2)
        files = {
            "policies/balance/mine.lua": 'local n = require "lib.number" return function(req, pool) return n end',
            "policies/balance/lib/number.lua": "return 1",
            "policies/evict/keeper.lua": 'require "lib.tune"\n' + FIFO,
            "policies/evict/lib/tune.lua": "return true",
            "shared.lua": 'return "first"',
        }

        def write(name, text):
            path = os.path.join(self.gateway.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        for name, text in files.items():
            write(name, text)
        text = """
            local neap = require "neap"
            neap.listen { http = "127.0.0.1:0" }
            neap.cache { max_memory = "16MB", evict = neap.custom "keeper" }
            neap.pool { name = "app", backends = { "%s", "%s" }, balance = neap.custom "mine" }
            neap.route { path = "/", pool = "app", response_headers = { set = { ["X-Shared"] = require "shared" } } }
            neap.log { access = "off" }
            neap.engine { workers = 2 }
        """ % tuple(origin.address for origin in self.origins)
        answer = self.reload(text)
        self.assertTrue(answer["ok"], answer)

        def seen():
            answer = self.gateway.ask("/")
            return answer.get("X-Backend"), answer.get("X-Shared")
        self.assertEqual(seen(), ("1", "first"))
        write("policies/balance/lib/number.lua", "return 2")
        write("shared.lua", 'return "second"')
        self.assertTrue(self.line.ask("reload")["ok"])
        self.assertEqual(seen(), ("2", "second"))
        for name in files:
            os.unlink(os.path.join(self.gateway.folder, name))
        answer = self.line.ask("reload")
        self.assertIn("shared", answer["problems"][0])
        self.assertTrue(self.line.ask("rollback")["ok"])
        self.assertEqual(seen(), ("1", "first"))
        self.assertTrue(self.line.ask("rollback", generation=3)["ok"])
        self.assertEqual(seen(), ("2", "second"))

    def test_only_so_many_generations_are_kept(self):
        self.start(workers=1)
        for number in range(2, 9):
            self.assertTrue(self.reload(self.text(number, 1, more="neap.reload { keep = 2 }"))["ok"])

        def kept():
            return [one["generation"] for one in self.line.ask("status")["generations"] if one["state"] == "kept"]
        self.assertEqual(kept(), [7, 6])
        self.assertTrue(self.line.ask("reload")["ok"])  # nothing has changed: nothing to go back to
        self.assertEqual(kept(), [7, 6])
        self.assertTrue(self.reload(self.text(10, 1, more="neap.reload { keep = 0 }"))["ok"])
        self.assertEqual(kept(), [])
        self.assertFalse(self.line.ask("rollback")["ok"])


if __name__ == "__main__":
    unittest.main()
