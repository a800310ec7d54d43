"""neap top: once, as a frame and as figures, and in a terminal of 80 by 24."""

import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import unittest
import fcntl

from harness import PROGRAM, TIMEOUT, Gateway, Origin, config


class Top(unittest.TestCase):
    def start(self):
        origin = Origin()
        self.addCleanup(origin.close)
        gateway = Gateway(config(origin))
        self.addCleanup(gateway.stop)
        return origin, gateway

    def run_top(self, gateway, *options):
        return subprocess.run([PROGRAM, "top", *options, "-c", gateway.config], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT * 3, check=False)

    def test_once_as_figures_and_as_a_frame(self):
        origin, gateway = self.start()
        gateway.ask("/")
        figures = json.loads(self.run_top(gateway, "--once", "--json").stdout)
        self.assertEqual((figures["verdict"], figures["generation"]), ("all is well", 1))
        self.assertEqual([one["backend"] for one in figures["backends"]], [origin.address])
        for counts, keys in ((figures, "generation workers in_flight clients"), (figures["cache"], "entries bytes limit"),
                             (figures["backends"][0], "weight in_flight"), (figures["policies"][0], "faults fallbacks trips")):
            for key in keys.split():
                self.assertIs(type(counts[key]), int, key)
        frame = self.run_top(gateway, "--once").stdout.rstrip("\n").split("\n")
        self.assertEqual(len(frame), 24)
        self.assertRegex(frame[0], r"^neap \S+   generation 1   workers 1   up 0d 00:00:\d\d$")

    def test_without_a_terminal_or_a_gateway_it_says_so(self):
        _, gateway = self.start()
        self.assertEqual(self.run_top(gateway).returncode, 2)
        run = subprocess.run([PROGRAM, "top", "--once", "--socket", "/nonexistent/neap.sock"], capture_output=True, text=True,
                             timeout=TIMEOUT, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cannot reach a gateway", run.stderr)

    def test_in_a_terminal_keys_sort_and_quit(self):
        _, gateway = self.start()
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen([PROGRAM, "top", "-c", gateway.config], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        seen = self.read_until(master, b"", rb"sort: rps")
        os.write(master, b"s")
        seen = self.read_until(master, seen, rb"sort: in flight")
        os.write(master, b"q")
        self.assertEqual(process.wait(TIMEOUT), 0)
        seen = self.read_until(master, seen, rb"\x1b\[\?1049l")
        self.assertTrue(seen.startswith(b"\x1b[?1049h"))

    def read_until(self, fd, seen, pattern):
        start = len(seen)
        while not re.search(pattern, seen[start:]):
            self.assertTrue(select.select([fd], [], [], TIMEOUT)[0], "%r did not come: %r" % (pattern, seen[start:]))
            seen += os.read(fd, 65536)
        return seen
