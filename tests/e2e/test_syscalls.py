"""What a hit costs in system calls, as strace counts them: one to read the request, one to write the response, and the
poll that waited for it."""

import collections
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import Case, wire

HITS = 100


@unittest.skipUnless(shutil.which("strace"), "there is no strace")
class Hits(Case):
    options = {"access": "off"}

    def counted(self, work):
        """Calls by name while `work` runs."""
        with tempfile.TemporaryDirectory(prefix="neap-strace-") as folder:
            path = os.path.join(folder, "calls")
            tracer = subprocess.Popen(["strace", "-f", "-o", path, "-p", str(self.gateway.process.pid)],
                                      stderr=subprocess.PIPE)
            attached = tracer.stderr.readline()
            if b"attached" not in attached:
                tracer.communicate()
                self.skipTest("strace may not attach: %s" % attached.decode().strip())
            try:
                work()
            finally:
                tracer.terminate()
                tracer.communicate()
            with open(path) as file:
                names = re.findall(r"^\d+ +(\w+)\(", file.read(), re.MULTILINE)
        return collections.Counter(names)

    def ask(self, client):
        for _ in range(HITS):
            self.assertEqual(client.ask(self.path).status, 200)

    def others(self):
        """Calls of hits beside the two and the poll."""
        self.on(wire.response(fields=[("Cache-Control", "max-age=600")], body=b"x" * 1000))
        client = self.client()
        self.ask(client)
        calls = self.counted(lambda: self.ask(client))
        self.assertEqual(len(self.seen()), 1)
        # The first may have been waited for before the tracer came, and the last call may still be under way.
        for name in ("recvfrom", "sendmsg"):
            self.assertIn(calls.pop(name, 0), range(HITS - 1, HITS + 2), (name, calls))
        polls = calls.pop("epoll_wait", 0) + calls.pop("epoll_pwait", 0)
        self.assertLess(polls, HITS + HITS // 4)
        return calls

    def test_a_hit_makes_two_beside_the_poll(self):
        calls = self.others()
        self.assertLess(sum(calls.values()), HITS // 4, calls)  # timers, other threads, sanitizers


class LoggedHits(Hits):
    options = {}

    def test_a_hit_makes_two_beside_the_poll(self):
        """The lines of the access log wait for each other, for a tenth of a second."""
        started = time.monotonic()
        calls = self.others()
        writes = calls.pop("write", 0)
        self.assertLessEqual(writes, 2 + 10 * (time.monotonic() - started))
        self.assertLess(sum(calls.values()), HITS // 4, calls)
        self.assertEqual(len(self.gateway.access(self.path, 2 * HITS)), 2 * HITS)


if __name__ == "__main__":
    unittest.main()
