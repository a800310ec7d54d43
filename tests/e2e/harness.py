"""The three parties of an end-to-end test: a client (wire.Client), the gateway, and an origin that does what the
test says. Ports are free ones that are asked for; nothing waits by the clock for what can be told."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import wire
from wire import Client, Reader, TIMEOUT, Truncated, Malformed

PROGRAM = os.environ["NEAP_PROGRAM"]


def environment_for(**more):
    """What a gateway is started with: variables of the tests' own would be taken for its configuration's."""
    return dict({name: value for name, value in os.environ.items() if not name.startswith("NEAP_")}, **more)


class Origin:
    """A server with a script. `on(path, answer)`: bytes to send, or a function of (connection, request) that
    sends what it likes; other paths get 200 with the path as the body. `seen` are the requests in order of
    arrival, also those that never became complete."""

    def __init__(self, host="127.0.0.1", port=0):
        self.host = host
        self.listener = socket.create_server((host, port), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.answers, self.seen, self.connections, self.accepted = {}, [], [], 0
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def on(self, path, answer):
        self.answers[path] = answer

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.accepted += 1
                connection = Connection(self, sock, self.accepted)
                self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def note(self, message):
        with self.changed:
            self.seen.append(message)
            self.changed.notify_all()

    def tell(self):
        with self.changed:
            self.changed.notify_all()

    def for_path(self, path):
        with self.changed:
            return [one for one in self.seen if one.target == path]

    def wait(self, path, count=1):
        """Waits for `count` requests for `path`, complete or not; the last of them."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: len(self.for_path_locked(path)) >= count, TIMEOUT)
            if not arrived:
                raise AssertionError("the origin got %d requests for %s, not %d"
                                     % (len(self.for_path_locked(path)), path, count))
            return self.for_path_locked(path)[count - 1]

    def for_path_locked(self, path):
        return [one for one in self.seen if one.target == path]

    def wait_ended(self, message):
        """Waits until the body of `message` is complete or its connection has ended."""
        with self.changed:
            if not self.changed.wait_for(lambda: message.complete or message.cut, TIMEOUT):
                raise AssertionError("neither the end of the body nor of the connection came: %r" % message)
        return message

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(TIMEOUT)
        for connection in list(self.connections):
            connection.close()


class Connection:
    """One connection to the origin, served by a thread."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        sock.settimeout(TIMEOUT * 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader, self.keep = Reader(sock), True

    def send(self, data):
        self.sock.sendall(data)
        return self

    def close(self):
        self.keep = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        self.keep = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def read_body(self, message):
        """Reads the rest of a request whose answer wanted it unread (answer.early)."""
        body = bytearray()
        try:
            self.reader.body(message, body)
            message.body, message.complete = bytes(body), True
        except Truncated:
            message.body, message.cut = bytes(body), True
        self.origin.tell()

    def serve(self):
        try:
            while self.keep:
                self.serve_one()
        except (OSError, ValueError):  # ended by either side
            pass
        finally:
            self.sock.close()

    def serve_one(self):
        try:
            message = self.reader.head()
        except Truncated:
            self.keep = False
            return
        message.connection, message.cut = self, False
        answer = self.origin.answers.get(message.target)
        self.origin.note(message)
        if not getattr(answer, "early", False):
            self.read_body(message)
            if message.cut:
                self.keep = False
                return
        if answer is None:
            answer = wire.response(body=message.target.encode())
        if callable(answer):
            answer(self, message)
        else:
            self.send(answer)


def early(answer):
    """Marks an answer that is to run as soon as the head is there, before the body is read."""
    answer.early = True
    return answer


class Gateway:
    """A neap process. `config` is the text of a neap.lua, in which ACCESS_LOG stands for a file; the port is the one
    that its ready line names."""

    ready = r"listening http=127\.0\.0\.1:(\d+)"

    def __init__(self, config, environment=(), user=None):
        self.folder = tempfile.mkdtemp(prefix="neap-e2e-")
        self.config = os.path.join(self.folder, "neap.lua")
        self.access_path = os.path.join(self.folder, "access.log")
        self.lines, self.changed, self.ended = [], threading.Condition(), False
        self.write_config(config)
        if user is not None:
            os.chown(self.folder, user, user)
        self.process = subprocess.Popen([PROGRAM, "run", "-c", self.config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder, user=user,
                                        env=environment_for(**dict(environment)))
        self.thread = threading.Thread(target=self.read_lines, daemon=True)
        self.thread.start()
        try:
            ready = self.wait_line(self.ready)
        except AssertionError:
            self.kill()
            raise
        self.port = int(ready.group(1))

    def write_config(self, config):
        with open(self.config, "w") as file:
            file.write(config.replace("ACCESS_LOG", self.access_path))

    def read_lines(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find_line(self, pattern, start):
        for line in self.lines[start:]:
            found = re.search(pattern, line)
            if found:
                return found
        return None

    def wait_line(self, pattern, start=0):
        """Waits for a line of the log; its match. `start`: how many lines to leave out."""
        with self.changed:
            self.changed.wait_for(lambda: self.find_line(pattern, start) or self.ended, TIMEOUT * 3)
            found = self.find_line(pattern, start)
            if not found:
                raise AssertionError("no line matches %s; the log says:\n%s" % (pattern, "\n".join(self.lines)))
            return found

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config, pattern):
        """Writes the configuration, signals, and waits for a line that matches."""
        start = len(self.lines)
        self.write_config(config)
        self.signal(signal.SIGHUP)
        return self.wait_line(pattern, start)

    def access(self, target=None, count=1):
        """Waits for `count` access log lines (for a target); all of them."""
        def lines():
            if not os.path.exists(self.access_path):
                return None
            with open(self.access_path) as file:
                found = [json.loads(line) for line in file.read().splitlines(True) if line.endswith("\n")]
            found = [one for one in found if target is None or one.get("target") == target]
            return found if len(found) >= count else None
        return wire.wait_until(lines, "access log lines for %s" % target)

    def client(self, **options):
        return Client(self.port, **options)

    def ask(self, *arguments, **options):
        """One request on a connection of its own."""
        with self.client() as client:
            return client.ask(*arguments, **options)

    def wait_end(self):
        status = self.process.wait(TIMEOUT * 3)
        self.thread.join(TIMEOUT)
        self.process.stderr.close()
        return status

    def stop(self):
        """Ends it as an operator would; sanitizers and leaks show in the status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait_end()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("does not stop; the log says:\n" + "\n".join(self.lines)) from None
        shutil.rmtree(self.folder, ignore_errors=True)
        if status != 0:
            raise AssertionError("ended with %d; the log says:\n%s" % (status, "\n".join(self.lines)))

    def kill(self):
        self.process.kill()
        self.wait_end()
        shutil.rmtree(self.folder, ignore_errors=True)


CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0", %(listen)s }
neap.cache { max_memory = "16MB", max_object_size = "4MB" }
neap.pool { name = "app", backends = { %(backends)s }, %(pool)s }
neap.route { path = "/", pool = "app", cache = %(cache)s }
neap.log { access = "%(access)s" }
neap.engine { workers = %(workers)d, grace = "%(grace)s" }
%(more)s
"""


def config(*origins, backends=None, listen="", pool="", cache="true", grace="10s", workers=1, access="ACCESS_LOG",
           more=""):
    backends = backends or ", ".join('"%s"' % origin.address for origin in origins)
    return CONFIG % dict(backends=backends, listen=listen, pool=pool, cache=cache, grace=grace, workers=workers,
                         access=access, more=more)


class Case(unittest.TestCase):
    """Tests that share one gateway in front of one origin. Each uses a path of its own, self.path."""

    options = {}

    @classmethod
    def setUpClass(cls):
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        cls.gateway = Gateway(config(cls.origin, **cls.options))
        cls.addClassCleanup(cls.gateway.stop)

    def setUp(self):
        self.path = "/" + self.id().rpartition(".")[2]

    def client(self, **options):
        client = self.gateway.client(**options)
        self.addCleanup(client.close)
        return client

    def on(self, answer):
        self.origin.on(self.path, answer)

    def seen(self):
        return self.origin.for_path(self.path)

    def still_serves(self):
        """Nothing that was done before may have hurt others."""
        self.assertEqual(self.gateway.ask("/still-serves").status, 200)


__all__ = ["Case", "Client", "Gateway", "Malformed", "Origin", "TIMEOUT", "Truncated", "config", "early", "environment_for", "wire"]
