"""Figures of a running gateway: Prometheus' own tool finds nothing to say against them, and they are true."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import PROGRAM, TIMEOUT, Gateway, Origin, config, wire

ALERTS = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "alerts")
FRESH = ("Cache-Control", "max-age=60")


def promtool(*arguments, text=""):
    if not shutil.which("promtool"):
        raise unittest.SkipTest("promtool is not installed")
    return subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=TIMEOUT * 6,
                          check=False)


class Metrics(unittest.TestCase):
    def start(self, *origins, **options):
        gateway = Gateway(config(*origins, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def origin(self):
        origin = Origin()
        self.addCleanup(origin.close)
        return origin

    @staticmethod
    def scrape(gateway):
        run = subprocess.run([PROGRAM, "metrics", "-c", gateway.config], capture_output=True, text=True,
                             timeout=TIMEOUT * 3, check=True)
        return run.stdout

    def value(self, text, series):
        found = re.search("^" + re.escape(series) + r" (\S+)$", text, re.M)
        self.assertTrue(found, "%s is not in\n%s" % (series, text))
        return float(found.group(1))

    def await_value(self, gateway, series, value):
        """A client may have its answer before it is counted."""
        def look():
            text = self.scrape(gateway)
            found = re.search("^" + re.escape(series) + r" (\S+)$", text, re.M)
            return text if found and float(found.group(1)) == value else None
        return wire.wait_until(look, "%s %g" % (series, value))

    def test_promtool_accepts_every_family(self):
        origin = self.origin()
        origin.on("/kept", wire.response(fields=[FRESH], body=b"x"))
        gateway = self.start(origin, workers=2, pool="balance = function(req, pool) return 1 end,",
                             more='neap.route { name = "odd \\"\\\\ \\n name", path = "/odd", respond = 204 }')
        for path in ("/kept", "/kept", "/other", "/odd"):
            gateway.ask(path)
        text = self.await_value(gateway, 'neap_reasons_total{group="end",reason="ok"}', 4)
        run = promtool("check", "metrics", text=text)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        self.assertEqual(self.value(text, r'neap_requests_total{route="odd \"\\ \n name",pool="",code="2xx",cache="none"}'), 1)

    def test_figures_are_true(self):
        good, dead = self.origin(), self.origin()
        good.on("/kept", wire.response(fields=[FRESH], body=b"12345"))
        good.on("/bad", lambda connection, _: connection.close())
        address = dead.address
        dead.close()
        gateway = self.start(good, workers=2, more="")
        for path in ("/kept", "/kept", "/kept", "/bad"):
            gateway.ask(path)
        text = self.await_value(gateway, 'neap_pool_requests_total{pool="app",code="5xx"}', 1)
        text = self.await_value(gateway, 'neap_requests_total{route="/",pool="app",code="2xx",cache="hit"}', 2)
        for series, value in {
                'neap_requests_total{route="/",pool="app",code="2xx",cache="uri-miss"}': 1,
                'neap_requests_total{route="/",pool="app",code="5xx",cache="uri-miss"}': 1,
                'neap_reasons_total{group="store",reason="yes"}': 1,
                'neap_request_duration_seconds_count{pool="app",source="cache"}': 2,
                'neap_request_duration_seconds_count{pool="app",source="backend"}': 1,
                'neap_cache_lookups_total{result="hit"}': 2,
                'neap_cache_entries': 1,
                'neap_requests_in_flight': 0,
                'neap_workers': 2,
                'neap_config_generation': 1,
                'neap_config_last_reload_successful': 1,
                'neap_backend_response_seconds_count{pool="app",backend="%s"}' % good.address: 1,
                'neap_backend_up{pool="app",backend="%s"}' % good.address: 1,
                'neap_policy_calls_total{kind="evict",name="cache",policy="sieve",generation="2"}': 0}.items():
            self.assertEqual(self.value(text, series), value, series)
        self.assertGreaterEqual(self.value(text, 'neap_response_body_bytes_total{pool="app"}'), 15)
        self.assertNotIn(address, text)

    def test_counts_grow_over_reloads(self):
        origin = self.origin()
        gateway = self.start(origin)
        gateway.ask("/a")
        gateway.reload(config(origin), "reloaded generation=2")
        gateway.ask("/b")
        other = self.origin()
        gateway.reload(config(other), "reloaded generation=3")
        text = self.scrape(gateway)
        self.assertEqual(self.value(text, 'neap_pool_backends_added_total{pool="app"}'), 2)
        self.assertEqual(self.value(text, 'neap_pool_backends_removed_total{pool="app"}'), 1)
        gateway.reload(config(origin), "reloaded generation=4")
        gateway.reload("nonsense(", "reload_refused")
        text = self.await_value(gateway, 'neap_pool_requests_total{pool="app",code="2xx"}', 2)
        self.assertEqual(self.value(text, 'neap_config_reloads_total{result="ok"}'), 3)
        self.assertEqual(self.value(text, 'neap_config_reloads_total{result="refused"}'), 1)
        self.assertEqual(self.value(text, "neap_config_last_reload_successful"), 0)
        self.assertEqual(self.value(text, "neap_config_generation"), 4)

    def test_faults_of_policies_are_counted_by_reason(self):
        origin = self.origin()
        # Only where the dry run does not come.
        gateway = self.start(origin, pool="balance = function(req, pool) while req.path == '/loop' do end return 1 end,")
        gateway.ask("/loop")
        labels = 'kind="balance",name="app",policy="inline:app",generation="1"'
        text = self.await_value(gateway, 'neap_policy_faults_total{%s,reason="fuel"}' % labels, 1)
        self.assertEqual(self.value(text, "neap_policy_fallbacks_total{%s}" % labels), 1)

    def control(self, gateway, *arguments):
        run = subprocess.run([PROGRAM, *arguments, "--json", "-c", gateway.config], capture_output=True, text=True,
                             timeout=TIMEOUT * 3, check=False)
        self.assertEqual(run.returncode, 0, run.stdout)
        return json.loads(run.stdout.splitlines()[-1])

    def test_the_newest_fault_of_each_policy_is_shown_with_its_line(self):
        gateway = self.start(self.origin(), workers=2,
                             pool="balance = function(req, pool)\nif req.path == '/loop' then error('lost\\27') end return 1 end,",
                             more="neap.route { path = '/odd', pool = 'app', when = function(req)\n"
                                  "return req.method == 'PUT' and req.nothing.here or true end }")
        self.assertEqual(self.control(gateway, "status")["faults"], [])
        gateway.ask("/loop")
        gateway.ask("/odd", method="PUT")
        faults = self.control(gateway, "status")["faults"]
        self.assertEqual([(one["kind"], one["name"], one["generation"]) for one in faults],
                         [("balance", "app", "1"), ("route", "", "1")])
        for one, words in zip(faults, ("lost", "nothing")):
            self.assertRegex(one["fault"], r"neap\.lua:\d+: .*" + words)
            self.assertLess(one["ago_s"], TIMEOUT)
        page = subprocess.run([PROGRAM, "status", "-c", gateway.config], capture_output=True, text=True, check=True).stdout
        self.assertRegex(page, r"(?m)^faults:\n +kind +name +generation +ago_s +fault\n +balance +app +1 +\S+ +\S+neap\.lua:\d+: ")
        self.assertNotIn("\x1b", page)

    def test_checks_and_kept_connections_of_backends_are_shown(self):
        origin, without = self.origin(), self.origin()
        origin.on("/health", wire.response(body=b"x"))
        gateway = self.start(origin, pool='health = { path = "/health", interval = "100ms" },')

        def checked(verdict):
            def look():
                row = self.control(gateway, "backends")["backends"][0]
                return row if row["last_check"] == verdict else None
            return wire.wait_until(look, "a check that " + verdict)
        self.assertLess(checked("passed")["check_age_s"], TIMEOUT)
        origin.on("/health", wire.response(500, body=b"x"))
        checked("failed")
        gateway.reload(config(without), "reloaded generation=2")
        gateway.ask("/x")
        self.await_value(gateway, 'neap_backend_idle_connections{pool="app",backend="%s"}' % without.address, 1)
        row = self.control(gateway, "backends")["backends"][0]
        self.assertEqual((row["last_check"], row["check_age_s"], row["idle"]), ("none", None, 1))
        for connection in without.connections:
            connection.close()
        self.await_value(gateway, 'neap_backend_idle_connections{pool="app",backend="%s"}' % without.address, 0)

    def test_candidates_and_what_policies_cost_are_figures(self):
        origins = self.origin(), self.origin()
        gateway = self.start(*origins, cache="false", pool='balance = "lua:p2c",')
        policy = os.path.join(gateway.folder, "next.lua")
        with open(policy, "w") as file:
            file.write('local b = require "neap.policy".balance { name = "next" }\n'
                       'function b.pick(request, pool) return 1 end\nreturn b\n')
        labels = 'kind="balance",name="app",policy="p2c",generation="1"'

        def ask(count):
            for _ in range(count):
                self.assertEqual(gateway.ask("/x").status, 200)
        ask(70)
        text = self.scrape(gateway)
        self.assertNotIn("\nneap_candidate", text)
        self.assertGreater(self.value(text, "neap_policy_memory_bytes{%s}" % labels), 10000)
        self.value(text, "neap_policy_trace_aborts_total{%s}" % labels)
        self.control(gateway, "shadow", policy, "--pool", "app")
        ask(20)
        text = self.await_value(gateway, 'neap_shadow_asked_total{subject="balance",pool="app"}', 20)
        self.assertEqual(self.value(text, 'neap_candidate{kind="shadow",subject="balance",generation="2"}'), 1)
        self.assertLessEqual(self.value(text, 'neap_shadow_agreed_total{subject="balance",pool="app"}'), 20)
        self.assertEqual(self.value(text, 'neap_shadow_failed_total{subject="balance",pool="app"}'), 0)
        self.assertEqual(promtool("check", "metrics", text=text).stderr, "")
        self.control(gateway, "shadow", "lru")
        text = self.scrape(gateway)
        for side in ("live", "replayed", "would_be"):
            self.assertEqual(self.value(text, 'neap_shadow_hit_ratio{side="%s"}' % side), 0)
        self.control(gateway, "canary", policy, "--pool", "app", "--share", "50%")
        ask(10)
        text = self.scrape(gateway)
        self.assertEqual(self.value(text, "neap_canary_share"), 0.5)
        sides = [self.value(text, 'neap_canary_requests_total{side="%s"}' % side) for side in ("in_force", "candidate")]
        self.assertLessEqual(sum(sides), 10)
        for name in ("errors_total", "p99_seconds"):
            self.value(text, 'neap_canary_%s{side="candidate"}' % name)
        self.assertEqual(promtool("check", "metrics", text=text).stderr, "")
        self.control(gateway, "rollback")
        self.assertNotIn("\nneap_canary", self.scrape(gateway))

    def test_shipped_alerts_fire_when_they_should(self):
        rules = promtool("check", "rules", os.path.join(ALERTS, "neap.rules.yml"))
        self.assertEqual(rules.returncode, 0, rules.stdout + rules.stderr)
        tried = promtool("test", "rules", os.path.join(ALERTS, "neap.test.yml"))
        self.assertEqual(tried.returncode, 0, tried.stdout + tried.stderr)

    def test_alerts_use_metrics_that_exist(self):
        with open(os.path.join(ALERTS, "neap.rules.yml")) as file:
            used = set(re.findall(r"\bneap_[a-z_]+", file.read()))
        with open(os.path.join(ALERTS, "..", "..", "docs", "metrics.md")) as file:
            known = set(re.findall(r"^\| `(\w+)` ", file.read(), re.M))
        self.assertEqual({re.sub("_bucket$", "", name) for name in used} - known, set())
