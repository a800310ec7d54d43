"""Shadows and canaries: what a candidate would have done, and one that is tried on a share of the requests."""

import json
import os
import subprocess
import threading
import unittest

import wire
from harness import PROGRAM, TIMEOUT, Gateway, Origin, config
from test_control import Line


FIRST = """
local policy = require "neap.policy"
local first = policy.balance { name = "first" }

-- Picks the first backend that is up; %s.
function first.pick(request, pool)
  %s
  for i = 1, pool.count do
    if pool[i].up then return i end
  end
end

return first
"""
CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.cache { max_memory = "16MB" }
neap.pool { name = "app", backends = { %s } }
%s
neap.log { access = "ACCESS_LOG" }
neap.engine { workers = 1 }
"""


class Candidates(unittest.TestCase):
    def start(self, *origins, **options):
        self.origins = origins or (Origin(),)
        for origin in self.origins:
            self.addCleanup(origin.close)
        gateway = Gateway(config(*self.origins, **options))
        self.addCleanup(gateway.stop)
        self.gateway, self.path = gateway, os.path.join(gateway.folder, "neap.sock")
        return gateway

    def file(self, name, text):
        path = os.path.join(self.gateway.folder, name)
        with open(path, "w") as file:
            file.write(text.replace("ACCESS_LOG", self.gateway.access_path))
        return path

    def ask(self, verb, **args):
        with Line(self.path) as line:
            return line.ask(verb, **args)

    def done(self, verb, **args):
        answer = self.ask(verb, **args)
        self.assertTrue(answer["ok"], answer)
        return answer

    def requests(self, count, path="/", **options):
        """The statuses of so many requests, one after the other on one connection."""
        with self.gateway.client() as client:
            return [client.ask(path, **options).status for _ in range(count)]

    def wait_until(self, verb, true, what):
        def look():
            answer = self.ask(verb)
            return answer if true(answer) else None
        return wire.wait_until(look, what)

    # --- shadows

    def test_a_balance_policy_is_asked_beside_the_one_in_force(self):
        self.start(Origin(), Origin(), cache="false", workers=2, pool='balance = "round_robin"')
        begun = self.done("shadow", file=self.file("first.lua", FIRST % ("always", "")))
        self.assertEqual((begun["kind"], begun["subject"], begun["pool"]), ("shadow", "balance", "app"))
        self.assertEqual(self.requests(100), [200] * 100)
        found = self.done("shadow")
        pool = found["pools"][0]
        self.assertEqual((pool["asked"], pool["agreed"], pool["failed"]), (100, 50, 0))
        self.assertAlmostEqual(pool["agreement"], 0.5)
        self.assertAlmostEqual(pool["max_over_mean"], 1)
        self.assertAlmostEqual(pool["would_be_max_over_mean"], 2)
        self.assertEqual([one["picks"] for one in found["backends"]], [50, 50])
        self.assertEqual(sorted(one["would_be"] for one in found["backends"]), [0, 100])
        # Effects are discarded: the origins got what the policy in force said.
        self.assertEqual([len(origin.for_path("/")) for origin in self.origins], [50, 50])
        ended = self.done("shadow", stop=True)
        self.assertEqual((ended["state"], ended["pools"][0]["asked"]), ("stopped", 100))
        self.assertEqual(self.requests(10), [200] * 10)
        self.assertEqual(self.done("shadow")["pools"][0]["asked"], 100)

    def test_twins_agree_on_everything(self):
        self.start(Origin(), Origin(), Origin(), cache="false", pool='balance = "p2c"')
        for name in ("lua:p2c", "PowerOfTwoChoices"):  # as in a configuration
            self.done("shadow", file=name, pool="app")
            self.requests(200)
            pool = self.done("shadow")["pools"][0]
            self.assertEqual((pool["asked"], pool["agreed"]), (200, 200), name)

    def test_an_endless_loop_of_a_shadow_hurts_nobody(self):
        self.start(Origin(), Origin(), cache="false")
        loop = 'if request.path:starts "/loop" then while true do end end'
        self.done("shadow", file=self.file("loop.lua", FIRST % ("it hangs", loop)))
        self.assertEqual(self.requests(20), [200] * 20)
        self.assertEqual(self.requests(20, "/loop"), [200] * 20)
        pool = self.done("shadow")["pools"][0]
        self.assertTrue(pool["rests"])
        self.assertEqual(pool["asked"], 20)
        self.assertGreater(pool["failed"], 0)
        self.assertEqual(self.requests(20), [200] * 20)
        self.assertEqual(self.done("policies")["policies"][0]["trips"], 0)

    def test_what_cannot_be_a_candidate_is_refused_and_nothing_changes(self):
        self.start(Origin(), Origin())
        for text, word in (("return {", "bad.lua:1"), ("while true do end", ""),
                           ('local p = require "neap.policy"\nreturn p.balance { name = "x" }', "pick"),
                           ('local neap = require "neap"\nneap.nonsense()', "nonsense")):
            answer = self.ask("shadow", file=self.file("bad.lua", text))
            self.assertFalse(answer["ok"], text)
            self.assertIn(word, json.dumps(answer))
        for args in ({"file": "nonsense"}, {"file": "/nonexistent.lua"}, {"file": "p2c", "pool": "nobody"},
                     {"file": "lru", "stop": "perhaps"}):
            self.assertFalse(self.ask("shadow", **args)["ok"], args)
        self.assertFalse(self.ask("canary", file="lru")["ok"])
        for share in ("90%", 0.9, "0", "0 %", 0, "0x1%", "1e-2", "nan%", "-1%", "5%%", "", True, "%"):
            self.assertIn("share must be", self.ask("canary", file="p2c", pool="app", share=share)["error"], share)
        self.assertIn("neap shadow", self.ask("canary", file="p2c", pool="app", share="0%")["error"])
        for time in ("nan", "1e3s", "5 s", "0x5", -5, "60x"):
            self.assertIn("for must be", self.ask("canary", file="p2c", pool="app", **{"for": time})["error"], time)
        self.assertFalse(self.ask("promote")["ok"])
        status = self.done("status")
        self.assertEqual(status["generation"], 1)
        self.assertNotIn("candidate", status)
        self.assertEqual(self.requests(5), [200] * 5)

    def test_routes_are_decided_beside(self):
        self.start(more='neap.route { name = "old", path = "/old", respond = 204 }')
        routes = """
neap.route { path = "/", pool = "app", cache = true }
neap.route { name = "old", path = "/old", respond = 410 }
neap.route { name = "admin", prefix = "/admin", respond = 403 }
"""
        backends = '"%s"' % self.origins[0].address
        self.done("shadow", file=self.file("next.lua", CONFIG % (backends, routes)))
        self.assertEqual(self.requests(10), [200] * 10)
        self.assertEqual(self.requests(2, "/old"), [204] * 2)
        self.assertEqual(self.requests(3, "/admin/x"), [200] * 3)
        found = self.wait_until("shadow", lambda now: len(now.get("examples", ())) == 5, "the examples")
        self.assertEqual((found["routes"]["asked"], found["routes"]["agreed"]), (15, 10))
        self.assertEqual(found["examples"][0]["to"], "204")
        self.assertEqual(found["examples"][0]["candidate_to"], "410")
        self.assertEqual(found["examples"][2], {"method": "GET", "host": "example.test", "path": "/admin/x", "route": "/",
                                                "to": "app", "candidate_route": "admin", "candidate_to": "403"})
        self.done("promote")
        self.assertEqual(self.requests(1, "/old") + self.requests(1, "/admin/x"), [410, 403])
        status = self.done("status")
        self.assertTrue(status["configuration_until_reload"].endswith("next.lua"))
        self.assertNotIn("candidate", status)
        self.assertEqual(self.done("shadow")["state"], "promoted")
        self.done("rollback")
        self.assertEqual(self.requests(1, "/old"), [204])

    def test_what_would_be_evicted_shows_in_the_hit_ratio(self):
        origin = Origin()
        self.start(origin, more="", cache='{ ttl = "1h" }')
        with open(self.gateway.config) as file:
            text = file.read()
        self.gateway.reload(text.replace('max_memory = "16MB"', 'max_entries = 50, evict = "lru"'), "reloaded")
        self.done("shadow", file="fifo")
        # One hot object among many that come once: an LRU keeps it, a FIFO loses it again and again.
        with self.gateway.client() as client:
            for i in range(2000):
                client.ask("/cold/%d" % i if i % 10 else "/hot")
        found = self.wait_until("shadow", lambda now: now["cache"]["lookups"] == 2000, "what was looked up")["cache"]
        self.assertEqual((found["policy"], found["candidate"], found["lost"]), ("lru", "fifo", 0))
        self.assertAlmostEqual(found["hit_ratio"], 199 / 2000, delta=0.005)
        self.assertAlmostEqual(found["replayed_hit_ratio"], 199 / 2000, delta=0.001)
        self.assertAlmostEqual(found["would_be_hit_ratio"], 160 / 2000, delta=0.005)
        self.done("promote")
        self.assertEqual(self.done("status")["policies_until_reload"], [{"pool": "(cache)", "policy": "fifo"}])
        self.assertIn("fifo", json.dumps(self.done("policies")))
        self.done("reload")
        self.assertNotIn("policies_until_reload", self.done("status"))
        self.assertIn("lru", json.dumps(self.done("policies")))

    def test_a_promoted_policy_stays_until_the_file_is_loaded_again(self):
        self.start(Origin(), Origin(), cache="false", pool='balance = "round_robin"')
        path = self.file("first.lua", FIRST % ("always", ""))
        self.done("shadow", file=path)
        os.unlink(path)  # what was tried is what is promoted
        self.done("promote")
        self.requests(50)
        self.assertEqual(sorted(len(origin.for_path("/")) for origin in self.origins), [0, 50])
        self.assertEqual(self.done("status")["policies_until_reload"], [{"pool": "app", "policy": path}])
        self.done("reload")
        self.requests(50)
        self.assertEqual(sorted(len(origin.for_path("/")) for origin in self.origins), [25, 75])

    def test_a_shadow_ends_with_a_reload(self):
        self.start(Origin(), Origin(), cache="false")
        self.done("shadow", file="p2c", pool="app")
        self.done("reload")
        self.assertEqual(self.done("shadow")["state"], "overtaken by a reload")
        self.assertEqual(self.requests(10), [200] * 10)

    # --- canaries

    def users(self, count, first=0, path="/"):
        """One request of each of so many users: their statuses."""
        with self.gateway.client() as client:
            return [client.ask(path, fields=[("X-User", str(first + i))]).status for i in range(count)]

    def canary(self, file, **terms):
        return self.done("canary", file=file, by="header X-User", **terms)

    def drive(self, until, path="/", most=40):
        """Requests of many users until the canary's answer will do; the statuses."""
        statuses = []
        for i in range(most):
            statuses += self.users(500, 500 * i, path)
            answer = self.ask("canary")
            if until(answer):
                return statuses, answer
        raise AssertionError("after %d requests: %s" % (len(statuses), answer))

    def test_a_canary_serves_its_share_and_clients_stay(self):
        self.start(cache="false")
        routes = 'neap.route { path = "/", respond = 204 }'
        self.canary(self.file("next.lua", CONFIG % ('"%s"' % self.origins[0].address, routes)), share="20%",
                    min_requests=100000)
        first, again = self.users(400), self.users(400)
        self.assertEqual(first, again)
        self.assertAlmostEqual(first.count(204) / 400, 0.2, delta=0.08)
        self.assertEqual(set(first), {200, 204})
        # A request is counted when it is over, which its client does not wait for.
        self.wait_until("canary", lambda now: sum(side["requests"] for side in now["sides"]) == 800, "the counts")
        self.assertEqual(self.done("canary")["sides"][1]["requests"], 2 * first.count(204))
        lines = self.gateway.access(count=800)
        self.assertEqual({(line["status"], line["generation"]) for line in lines}, {(200, 1), (204, 2)})
        for verb in ("reload", "shadow", "canary"):
            refused = self.ask(verb, **({} if verb == "reload" else {"file": "p2c", "pool": "app"}))
            self.assertFalse(refused["ok"], verb)
            self.assertIn("canary is under way", refused["error"])
        ended = self.done("rollback")
        self.assertEqual(ended["state"], "rolled back")
        self.assertEqual(set(self.users(400)), {200})
        self.gateway.wait_line("generation_freed generation=2")
        self.assertEqual(self.done("status")["generation"], 1)

    def test_a_policy_that_raises_errors_by_2_percent_is_rolled_back_by_itself(self):
        good, bad = Origin(), Origin()
        bad.on("/", wire.response(status=500))
        self.start(good, bad, cache="false", workers=2,
                   pool='eject = false, balance = function(req, pool) return 1 end')
        policy = """
local policy = require "neap.policy"
local worse = policy.balance { name = "worse" }
local n = 0
function worse.pick()
  n = n + 1
  return n % 50 == 0 and 2 or 1
end
return worse
"""
        self.canary(self.file("worse.lua", policy), share="20%", max_errors="+1%", max_p99="10000%")
        statuses, found = self.drive(lambda now: now["state"] == "rolled back")
        self.assertIn("errors", found["reason"])
        in_force, tried = found["sides"]
        self.assertEqual(in_force["errors"], 0)
        self.assertAlmostEqual(tried["error_share"], 0.02, delta=0.02)
        self.assertLess(tried["requests"], 4000)
        self.assertLessEqual(tried["errors"], statuses.count(500))  # some may have been under way
        self.assertLessEqual(statuses.count(500), tried["errors"] + 3)
        self.assertEqual(set(self.users(1000)), {200})
        self.gateway.wait_line("canary_rolled_back")

    def test_a_slower_policy_is_rolled_back(self):
        quick, slow = Origin(), Origin()

        def late(connection, _):
            self.late.wait(0.03)  # the test is about the time that it takes
            connection.send(wire.response())
        self.late = threading.Event()
        slow.on("/", late)
        self.start(quick, slow, cache="false", pool='balance = function(req, pool) return 1 end')
        second = 'local p = require "neap.policy"\nlocal b = p.balance { name = "second" }\n' \
                 'function b.pick() return 2 end\nreturn b\n'
        self.canary(self.file("second.lua", second), share="10%", min_requests=20)
        _, found = self.drive(lambda now: now["state"] == "rolled back")
        self.assertIn("p99", found["reason"])

    def test_a_canary_whose_policy_fails_is_rolled_back_and_no_request_with_it(self):
        self.start(Origin(), Origin(), cache="false")
        loop = 'if request.path:starts "/loop" then while true do end end'
        self.canary(self.file("loop.lua", FIRST % ("it hangs", loop)), share="50%", min_requests=100000)
        self.assertEqual(set(self.users(100, path="/loop")), {200})
        found = self.wait_until("canary", lambda now: now["state"] == "rolled back", "the end of the canary")
        self.assertIn("taken out", found["reason"])
        self.assertEqual(set(self.users(100, path="/loop")), {200})

    def test_a_healthy_canary_is_promoted(self):
        self.start(Origin(), Origin(), cache="false", workers=2)
        self.canary("p2c", pool="app", share="50%", max_p99="10000%", min_requests=200, promote=True, **{"for": "0"})
        statuses, found = self.drive(lambda now: now["state"] == "promoted")
        self.assertEqual(set(statuses), {200})
        self.assertFalse(found["sides"][1]["errors"])
        self.assertEqual(self.done("status")["policies_until_reload"], [{"pool": "app", "policy": "p2c"}])

    def test_changes_of_members_reach_both(self):
        one, two = Origin(), Origin()
        self.start(one, two, cache="false")
        self.canary("p2c", pool="app", share="50%", min_requests=100000)
        self.done("drain", pool="app", backend=two.address)
        seen = len(two.for_path("/"))
        self.assertEqual(set(self.users(400)), {200})
        self.assertEqual(len(two.for_path("/")), seen)
        self.done("rollback")
        self.assertEqual(self.requests(10), [200] * 10)

    def test_the_gateway_ends_in_the_middle(self):
        self.start(Origin(), Origin(), cache="false", workers=2)
        self.canary("p2c", pool="app", share="50%")
        self.users(100)

    def test_a_share_and_a_time_may_be_json_numbers(self):
        self.start(Origin(), Origin())
        terms = self.canary("p2c", pool="app", share=0.05, max_p99=0.5, **{"for": 5, "min_requests": "20"})["terms"]
        self.assertEqual((terms["share"], terms["max_p99"], terms["for_s"], terms["min_requests"]), (0.05, 0.5, 5, 20))

    def test_the_program_knows_the_verbs(self):
        self.start(Origin(), Origin(), cache="false")
        self.file("first.lua", FIRST % ("always", ""))

        def run(*arguments):
            return subprocess.run([PROGRAM, *arguments, "-c", self.gateway.config], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=TIMEOUT * 3, cwd=self.gateway.folder, check=False)
        self.assertEqual(run("shadow", "first.lua", "--pool", "app").returncode, 0)
        self.assertIn("agreement", run("shadow").stdout)
        self.assertEqual(json.loads(run("shadow", "--stop", "--json").stdout)["state"], "stopped")
        begun = run("canary", "first.lua", "--share", "5%", "--max-errors=+1%", "--by", "header X-User", "--for", "60s")
        self.assertIn("5 %", begun.stdout)
        shown = subprocess.run([PROGRAM, "help", "canary"], capture_output=True, text=True, check=True).stdout
        self.assertIn("--max-p99 SHARE", shown)
        self.assertEqual(run("rollback").returncode, 0)
        self.assertEqual(run("canary", "first.lua", "--nonsense").returncode, 2)


if __name__ == "__main__":
    unittest.main()
