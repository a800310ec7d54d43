"""HTTP/1 on raw sockets, for both ends of a test: strict where the gateway must be, and without opinions where
a test wants to send nonsense."""

import os
import select
import signal
import socket
import time

TIMEOUT = 10.0  # nothing in these tests takes so long; what does has failed


class Truncated(Exception):
    """The other side ended the connection in the middle of a message."""

    def __init__(self, partial):
        super().__init__("cut short after %d bytes: %r" % (len(partial), bytes(partial[:300])))
        self.partial = bytes(partial)


class Malformed(Exception):
    """What came is not HTTP/1 as a strict reader understands it."""


class Message:
    """A request or a response: `start` is its first line, `fields` are (name, value) in order."""

    def __init__(self, start, fields, raw):
        self.start, self.fields, self.raw = start, fields, raw
        self.body, self.complete, self.trailers = b"", False, []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The value of a field that must not be there more than once."""
        values = self.all(name)
        if len(values) > 1:
            raise Malformed("%s is there %d times" % (name, len(values)))
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    def __repr__(self):
        return "<%s %r %r>" % (self.start, self.fields, self.body[:80])


class Reader:
    """Reads messages from a socket, byte-exactly: what follows one stays for the next."""

    def __init__(self, sock):
        self.sock, self.buffer, self.ended = sock, bytearray(), False

    def fill(self):
        """Reads some more; False at the end of the stream."""
        if self.ended:
            return False
        try:
            got = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            got = b""
        self.ended = not got
        self.buffer += got
        return bool(got)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Truncated(self.buffer)
        end = self.buffer.index(mark) + len(mark)
        out = bytes(self.buffer[:end])
        del self.buffer[:end]
        return out

    def exactly(self, size, into=None):
        into = bytearray() if into is None else into
        while size > 0:
            if not self.buffer and not self.fill():
                raise Truncated(into)
            part = self.buffer[:size]
            into += part
            del self.buffer[:len(part)]
            size -= len(part)
        return into

    def head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        if any("\r" in line or "\n" in line for line in lines):
            raise Malformed("bare CR or LF in %r" % raw)
        return Message(lines[0], [split_field(line) for line in lines[1:]], raw)

    def body(self, message, body=None):
        """The body of a request, or of a response that is known to have one."""
        length, coding = message.get("Content-Length"), message.get("Transfer-Encoding")
        if length is not None and coding is not None:
            raise Malformed("both Content-Length and Transfer-Encoding")
        body = bytearray() if body is None else body
        if coding is not None:
            if coding != "chunked":
                raise Malformed("Transfer-Encoding: %s" % coding)
            self.chunks(message, body)
        elif length is not None:
            self.exactly(int(length), body)
        return body

    def chunks(self, message, body):
        while True:
            line = self.until(b"\r\n")[:-2]
            if not line or line.strip(b"0123456789abcdef"):
                raise Malformed("chunk size %r" % line)
            size = int(line, 16)
            if size == 0:
                break
            try:
                self.exactly(size, body)
            except Truncated:
                raise Truncated(body) from None
            if self.exactly(2) != b"\r\n":
                raise Malformed("no CR LF after a chunk")
        while True:
            line = self.until(b"\r\n")[:-2]
            if not line:
                return
            message.trailers.append(line)

    def to_end(self):
        while self.fill():
            pass
        out = bytes(self.buffer)
        self.buffer.clear()
        return out


def split_field(line):
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise Malformed("field %r" % line)
    return name, value.strip(" \t")


class Client:
    """One connection to the gateway."""

    def __init__(self, port, timeout=TIMEOUT, receive_buffer=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)
        self.port = self.sock.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes so that the other side gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        """Sends; a gateway that has refused already may have closed."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def drip(self, data):
        for i in range(len(data)):
            self.send(data[i:i + 1])
        return self

    def end(self):
        """Says that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def head(self):
        """The next head, whatever it is."""
        return self.reader.head()

    def response(self, method="GET", interim=False):
        """The next final response, whole. Interim ones are an error unless `interim`."""
        message = self.head()
        while message.status < 200:
            if not interim:
                raise Malformed("unasked %s" % message.start)
            message = self.head()
        if method == "HEAD" or message.status in (204, 304):
            pass
        elif "Content-Length" in message or "Transfer-Encoding" in message:
            message.body = self.reader.body(message)
        else:
            message.body = self.reader.to_end()
        message.body, message.complete = bytes(message.body), True
        return message

    def ask(self, target="/", method="GET", fields=(), body=b"", host="example.test", version="1.1"):
        """One request and its response."""
        return self.send(request(target, method, fields, body, host, version)).response(method)

    def closed(self):
        """Waits for the end of the stream; the bytes that came before it."""
        return self.reader.to_end()

    def is_open(self):
        """True when the gateway has neither closed nor sent anything."""
        readable, _, _ = select.select([self.sock], [], [], 0)
        return not readable and not self.reader.buffer

    def quiet_for(self, seconds):
        """True when nothing at all comes within that time."""
        return not self.reader.buffer and not select.select([self.sock], [], [], seconds)[0]


def request(target="/", method="GET", fields=(), body=b"", host="example.test", version="1.1"):
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    if host is not None:
        lines.append("Host: " + host)
    lines += ["%s: %s" % field for field in fields]
    if body:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def response(status=200, fields=(), body=b"", length=True, phrase="OK", version="1.1"):
    lines = ["HTTP/%s %d %s" % (version, status, phrase)] + ["%s: %s" % field for field in fields]
    if length:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def wait_until(condition, what, timeout=TIMEOUT):
    """For what cannot be waited for otherwise: asks again every few milliseconds. `what`: text, or what makes it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain for " + (what() if callable(what) else what))
        time.sleep(0.005)


def freeze(pid):
    """Stops a process; when this returns it does nothing more until SIGCONT."""
    os.kill(pid, signal.SIGSTOP)

    def stopped():
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"

    wait_until(stopped, "process %d to stop" % pid)
