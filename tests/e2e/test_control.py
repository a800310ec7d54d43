"""The control socket: who may ask, what is answered, and what clients that misbehave cannot do."""

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

import wire
from harness import PROGRAM, TIMEOUT, Gateway, Origin, config, environment_for


class Line:
    """One client of a control socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def answer(self):
        """The last line of the next answer, with the lines before it."""
        lines = []
        while not lines or "ok" not in lines[-1]:
            text = self.file.readline()
            if not text:
                raise EOFError("closed after %r" % lines)
            lines.append(json.loads(text))
        return lines[-1]

    def ask(self, verb, **args):
        return self.send(json.dumps({"verb": verb, "args": args}).encode() + b"\n").answer()


class Control(unittest.TestCase):
    def start(self, more=""):
        origin = Origin()
        self.addCleanup(origin.close)
        gateway = Gateway(config(origin, more=more))
        self.addCleanup(gateway.stop)
        self.path = os.path.join(gateway.folder, "neap.sock")
        return gateway

    def run_program(self, gateway, *arguments):
        return subprocess.run([PROGRAM, *arguments, "-c", gateway.config], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=TIMEOUT * 3, check=False)

    def test_the_path_is_its_owners_alone(self):
        self.start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_the_path_goes_with_the_gateway(self):
        gateway = self.start()
        gateway.signal(15)
        gateway.wait_end()
        self.assertFalse(os.path.exists(self.path))

    def test_several_requests_on_one_connection_are_answered_in_order(self):
        self.start()
        with Line(self.path) as line:
            line.send(b'{"verb":"status"}\n{"verb":"nonsense"}\n{"verb":"status"}\n')
            self.assertEqual(line.answer()["generation"], 1)
            self.assertIn("unknown verb", line.answer()["error"])
            self.assertEqual(line.answer()["generation"], 1)

    def test_bad_requests_are_answered_and_the_connection_stays(self):
        self.start()
        with Line(self.path) as line:
            for bad in (b"\n", b"status\n", b"[]\n", b"{}\n", b'{"verb":1}\n', b'{"verb":"status","args":[]}\n',
                        b'{"verb":"status","args":{"x":1}}\n', b"\xff\xfe\n", b'{"verb":"a","verb":"b"}\n',
                        b'{"verb":"sta\\u0000tus"}\n', b"[" * 5000 + b"\n"):
                self.assertFalse(line.send(bad).answer()["ok"], bad)
            self.assertTrue(line.ask("status")["ok"])

    def test_a_request_in_pieces_is_one_request(self):
        self.start()
        with Line(self.path) as line:
            for byte in b'{"verb":"status"}\n':
                line.send(bytes([byte]))
            self.assertTrue(line.answer()["ok"])

    def test_the_end_of_the_stream_ends_a_line(self):
        self.start()
        for request, good in ((b'{"verb":"status"}', True), (b'{"verb":"verbs"}\n{"verb":"reload"}', True), (b'{"verb":', False)):
            with Line(self.path) as line:
                line.send(request).sock.shutdown(socket.SHUT_WR)
                for _ in range(request.count(b"\n")):
                    self.assertTrue(line.answer()["ok"])
                self.assertEqual(line.answer()["ok"], good)
                self.assertEqual(line.file.readline(), b"")
        with Line(self.path) as line:
            self.assertEqual(line.ask("status")["generation"], 2)

    def test_numbers_are_whole_and_plain(self):
        gateway = self.start()
        backend = json.loads(self.run_program(gateway, "backends", "--json").stdout)["backends"][0]["backend"]
        with Line(self.path) as line:
            for bad in ("0x10", "1e1", "1.5", 1.5, "", " 1", "1 ", "nan", "inf", "-1", -1, 1001, "1001", True, None, [1], "9" * 400):
                self.assertEqual(line.ask("weight", pool="app", backend=backend, weight=bad)["error"],
                                 "weight must be a whole number from 0 to 1000", bad)
                self.assertIn("weight must be", line.ask("add", pool="app", backend="127.0.0.1:1", weight=bad)["error"])
                if bad not in (1001, "1001"):
                    self.assertIn("generation must be a whole", line.ask("rollback", generation=bad)["error"])
            for good in (7, "7", 7.0, "007"):
                self.assertEqual(line.ask("weight", pool="app", backend=backend, weight=good)["weight"], 7)

    def test_what_would_be_left_unheard_is_refused(self):
        self.start()
        with Line(self.path) as line:
            for verb, args, error in (("canary", {"promote": True}, "a FILE is missing"), ("canary", {"share": "5%"}, "a FILE is missing"),
                                      ("shadow", {"pool": "app"}, "a FILE is missing"), ("backends", {"pool": "no"}, "no pool 'no'"),
                                      ("explain", {"id": ""}, "stands alone"), ("explain", {"id": "a", "path": "/"}, "stands alone")):
                self.assertIn(error, line.ask(verb, **args)["error"])
            self.assertEqual(line.ask("canary")["state"], "none")

    def test_an_operand_is_given_once(self):
        gateway = self.start()
        twice = self.run_program(gateway, "weight", "app", "127.0.0.1:1", "1", "weight=2")
        self.assertEqual((twice.returncode, twice.stderr), (2, "neap weight: weight is given twice (see: neap help weight)\n"))

    def test_a_rollback_that_cannot_be_is_no_refused_reload(self):
        gateway = self.start()
        with Line(self.path) as line:
            self.assertIn("generation 99 is not kept", line.ask("rollback", generation=99)["error"])
            self.assertIn("no earlier generation", line.ask("rollback")["error"])
            self.assertIsNone(line.ask("status")["last_reload"])
            gateway.wait_line("server rollback_refused .*generation 99 is not kept")
            figures = line.ask("metrics")["text"]
            self.assertIn('neap_config_reloads_total{result="refused"} 0\n', figures)
            self.assertIn("neap_config_last_reload_successful 1\n", figures)
            gateway.write_config("nonsense(")
            self.assertFalse(line.ask("reload")["ok"])
            self.assertIn('neap_config_reloads_total{result="refused"} 1\n', line.ask("metrics")["text"])
            error = line.ask("status")["last_reload"]["error"]
            self.assertFalse(line.ask("rollback", generation=99)["ok"])
            self.assertEqual(line.ask("status")["last_reload"]["error"], error)

    def test_an_endless_line_is_cut_off(self):
        self.start()
        with Line(self.path) as line:
            with self.assertRaises((EOFError, OSError)):
                for _ in range(64):
                    line.send(b"x" * 65536)
                line.answer()
        with Line(self.path) as line:
            self.assertTrue(line.ask("status")["ok"])

    def test_a_client_that_does_not_read_is_cut_off_and_hurts_nobody(self):
        gateway = self.start()
        with Line(self.path) as deaf:
            deaf.sock.settimeout(0.2)
            try:
                while True:
                    deaf.send(b'{"verb":"verbs"}\n' * 1000)
            except OSError:
                pass
            with Line(self.path) as line:
                self.assertTrue(line.ask("status")["ok"])
            self.assertEqual(gateway.ask("/").status, 200)

    def test_too_many_clients_are_turned_away_and_others_served(self):
        self.start()
        lines = [Line(self.path) for _ in range(64)]
        self.assertTrue(all(line.ask("status")["ok"] for line in lines))
        with Line(self.path) as one_more:
            self.assertEqual(one_more.file.readline(), b"")
        for line in lines:
            line.__exit__()

        def one():
            with Line(self.path) as line:
                try:
                    return line.ask("status")["ok"]
                except (EOFError, OSError):
                    return False
        wire.wait_until(one, "room for a client")

    def test_what_a_dead_gateway_left_is_replaced(self):
        path = os.path.join(tempfile.mkdtemp(prefix="neap-e2e-"), "neap.sock")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(path)
        dead.close()
        self.start('neap.control { socket = "%s" }' % path)
        with Line(path) as line:
            self.assertTrue(line.ask("status")["ok"])

    def test_what_is_no_socket_or_answers_is_left_alone(self):
        gateway = self.start()
        for path in (self.path, gateway.config):
            refused = subprocess.run([PROGRAM, "run", "-c", gateway.config], stdin=subprocess.DEVNULL, capture_output=True,
                                     env=environment_for(NEAP_CONTROL_SOCKET=path, NEAP_CONTROL_MOED="660"), text=True, timeout=TIMEOUT, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(path, refused.stderr)
            self.assertIn("NEAP_CONTROL_MOED", refused.stderr)  # a warning does not take the place of the error
        with Line(self.path) as line:
            self.assertTrue(line.ask("status")["ok"])
        self.assertTrue(os.path.exists(gateway.config))

    def test_path_and_mode_may_change_in_a_reload(self):
        gateway = self.start()
        other = os.path.join(gateway.folder, "other.sock")
        with open(gateway.config) as file:
            text = file.read()
        with Line(self.path) as line:
            gateway.write_config(text + '\nneap.control { socket = "%s", mode = "660" }' % other)
            self.assertTrue(line.ask("reload")["ok"])
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(stat.S_IMODE(os.stat(other).st_mode), 0o660)
        with Line(other) as line:
            self.assertEqual(line.ask("status")["generation"], 2)
            gateway.write_config(text + '\nneap.control { socket = "%s", mode = "622" }' % other)
            answer = line.ask("reload")
            self.assertIn("mode", answer["problems"][0])
            gateway.write_config(text + '\nneap.control { socket = "off" }')
            self.assertTrue(line.ask("reload")["ok"])
        self.assertFalse(os.path.exists(other))

    def test_the_service_manager_hears_what_happens(self):
        folder = tempfile.mkdtemp(prefix="neap-e2e-")
        self.addCleanup(shutil.rmtree, folder)
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(TIMEOUT)
        manager.bind(folder + "/notify")
        origin = Origin()
        self.addCleanup(origin.close)
        gateway = Gateway(config(origin), environment={"NOTIFY_SOCKET": folder + "/notify", "WATCHDOG_USEC": "100000"})
        self.addCleanup(gateway.stop)
        heard = []

        def hear(word):
            while True:
                heard.append(manager.recv(1024).decode())
                if word in heard[-1]:
                    return heard[-1]
        hear("WATCHDOG=1")
        self.assertIn("STATUS=generation 1 serves", hear("READY=1"))
        hear("WATCHDOG=1")
        gateway.signal(1)
        self.assertIn("MONOTONIC_USEC=", hear("RELOADING=1"))
        self.assertIn("STATUS=generation 2 serves", hear("READY=1"))
        gateway.signal(15)
        hear("STOPPING=1")

    def test_no_answer_steers_the_terminal(self):
        folder = tempfile.mkdtemp(prefix="neap-e2e-")
        self.addCleanup(shutil.rmtree, folder)
        path, evil = os.path.join(folder, "neap.sock"), "a\x1b[2J\x9b1mb\rc\u202ed"
        tamed = "a?[2J??1mb?c???d"
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(path)
        server.listen()
        for line, code, out, err in (
                ({"ok": True, "x": evil + "\n", "list": [evil], "rows": [{"a": evil + "\n"}]}, 0,
                 "x: %s?\nlist: %s\nrows:\n  a\n  %s?\n" % (tamed, tamed, tamed), ""),
                ({"ok": True, "text": evil + "\n" + evil}, 0, tamed + "\n" + tamed + "\n", ""),
                ({"ok": False, "error": evil, "problems": [evil + "\n"]}, 1, "", "%s?\nneap status: %s\n" % (tamed, tamed)),
                ({"ok": True, "x": "y" * 5000}, 0, "x: " + "y" * 1196 + "...\n", "")):
            run = subprocess.Popen([PROGRAM, "status", "--socket", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            sock, _ = server.accept()
            sock.recv(4096)
            sock.sendall(json.dumps(line).encode() + b"\n")
            self.assertEqual((*run.communicate(timeout=TIMEOUT), run.returncode), (out, err, code))
            sock.close()

    def test_answers_are_plain_ascii(self):
        self.start()
        with Line(self.path) as line:
            text = line.send('{"verb":"\u00e9\u009b\u202e"}\n'.encode()).file.readline()
            self.assertIn(b"unknown verb '\\u00E9\\u009B\\u202E'", text)

    def test_the_program_says_what_the_gateway_says(self):
        gateway = self.start()
        status = self.run_program(gateway, "status", "--json")
        self.assertEqual((status.returncode, json.loads(status.stdout)["generation"]), (0, 1))
        self.assertIn("generation: 1", self.run_program(gateway, "status").stdout)
        self.assertEqual(self.run_program(gateway, "reload").returncode, 0)
        with open(gateway.config, "a") as file:
            file.write("neap.nonsense()\n")
        refused = self.run_program(gateway, "reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(gateway.config + ":", refused.stderr)
        self.assertIn(": error: ", refused.stderr)
        self.assertEqual(self.run_program(gateway, "status", "x=1").returncode, 1)
        self.assertEqual(self.run_program(gateway, "status", "x").returncode, 2)
        missing = subprocess.run([PROGRAM, "status", "-c", "/nonexistent/x.lua"], capture_output=True, text=True, check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("--socket", missing.stderr)


if __name__ == "__main__":
    unittest.main()
