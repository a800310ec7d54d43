"""Figures of a running gateway: Prometheus' own tool finds nothing to say against them, and they are true."""

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
