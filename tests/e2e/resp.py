"""A client of Redis that shows replies as they are, byte by byte, and a real server to compare with."""

import shutil
import socket
import subprocess
import tempfile

from harness import Gateway, TIMEOUT, wire

AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}


def command(*args):
    """A request: words are texts, bytes or numbers."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = arg if isinstance(arg, bytes) else str(arg).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


class RespClient:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def raw(self):
        """One whole reply, as its bytes; b"" at the end."""
        line = self.file.readline()
        kind = line[:1]
        if kind in (b"$", b"=") and line[1:2] != b"-":
            return line + self.file.read(int(line[1:]) + 2)
        if kind in AGGREGATES and line[1:2] != b"-":
            return line + b"".join(self.raw() for _ in range(int(line[1:]) * AGGREGATES[kind]))
        return line

    def ask(self, *args):
        """One command and its raw reply."""
        return self.send(command(*args)).raw()

    def value(self, *args):
        """The same, plainly: bytes, a number, None, a list, or "-ERR ..." of an error."""
        return plain(self.ask(*args))[0]


def plain(raw):
    """The value that raw bytes begin with, and what follows."""
    line, _, rest = raw.partition(b"\r\n")
    kind, text = line[:1], line[1:]
    if kind == b"+":
        return text, rest
    if kind == b"-":
        return "-" + text.decode("latin-1"), rest
    if kind == b":":
        return int(text), rest
    if kind == b"_" or text == b"-1":
        return None, rest
    if kind in (b"$", b"="):
        return rest[:int(text)], rest[int(text) + 2:]
    out = []
    for _ in range(int(text) * AGGREGATES[kind]):
        one, rest = plain(rest)
        out.append(one)
    return out, rest


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Redis:
    """A real redis-server with nothing in it."""

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="neap-redis-")
        self.port = free_port()
        self.options = list(options)
        self.start()

    def start(self):
        """Starts it, or after kill() again with what is in its folder."""
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
             "--dir", self.folder] + self.options,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wire.wait_until(self.answers, "redis-server")

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT)

    def ask(self, *args):
        with RespClient(self.port) as client:
            return client.value(*args)

    def answers(self):
        try:
            with RespClient(self.port) as client:
                return client.send(b"PING\r\n").raw() != b""
        except OSError:
            return None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


CONFIG = """
local neap = require "neap"
neap.listen { resp = "127.0.0.1:0", %(listen)s }
neap.keys { max_memory = "%(memory)s", %(keys)s }
neap.log { access = "off" }
neap.engine { workers = %(workers)d, grace = "10s" }
%(more)s
"""


def config(listen="", memory="64MB", keys="", workers=1, more=""):
    return CONFIG % dict(listen=listen, memory=memory, keys=keys, workers=workers, more=more)


class RespGateway(Gateway):
    """A neap process with a RESP port, which is `port`."""

    ready = r"listening.* resp=127\.0\.0\.1:(\d+)"

    def client(self, **options):
        return RespClient(self.port, **options)


__all__ = ["free_port", "Redis", "RespClient", "RespGateway", "command", "config", "plain"]
