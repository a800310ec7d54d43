"""Requests that went through a shredder, from fixed seeds: whatever comes, the gateway answers in well-formed HTTP or
closes, forwards nothing that it does not answer, and goes on serving."""

import random
import unittest

from harness import Case, Malformed, Truncated, wire

SEEDS = 1000
PIECES = (b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n",
          b"0\r\n\r\n", b"Host: b\r\n", b"Connection: Content-Length\r\n", b"HTTP/1.0", b"\xff", b";", b"5\r\n", b"-1", b"0x")


def template(tag):
    host = b" HTTP/1.1\r\nHost: a.test\r\n"
    return (b"GET /" + tag + b"/get" + host + b"Cookie: x\r\n\r\n"
            b"POST /" + tag + b"/sized" + host + b"Content-Length: 11\r\n\r\nhello world"
            b"PUT /" + tag + b"/chunked" + host + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
            b"HEAD /" + tag + b"/head" + host + b"Connection: close, X\r\nX: y\r\n\r\n")


def shred(source, tag):
    data = bytearray(template(tag))
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data))
        kind = source.randrange(5)
        if kind == 0:
            data[at] = source.randrange(256)
        elif kind == 1:
            del data[at:at + source.randint(1, 8)]
        elif kind == 2:
            data[at:at] = source.choice(PIECES)
        elif kind == 3:
            other = source.randrange(len(data))
            data[at:at] = data[other:other + source.randint(1, 60)]
        else:
            del data[at:]
            break
    return bytes(data)


class Shredded(Case):
    def answers(self, data, drip):
        """How many final responses come before the end of the connection."""
        count = 0
        with self.client() as client:
            if drip:
                client.drip(data)
            else:
                client.send(data)
            try:
                client.end()
            except OSError:  # closed already
                pass
            try:
                while True:
                    message = client.head()
                    if message.status < 200:
                        continue
                    count += 1
                    # A response to HEAD has no body, whatever its length says: told by what the origin names.
                    if message.get("X-Method") != "HEAD":
                        client.reader.body(message)
            except Truncated:
                return count

    def test_shredded_pipelines(self):
        def answer(connection, request):
            body = b"" if request.method == "HEAD" else b"ok"
            connection.send(wire.response(fields=[("X-Method", request.method)], body=body))
        self.origin.answers = type("Any", (dict,), {"get": lambda *_: answer})()
        for seed in range(SEEDS):
            source, tag = random.Random(seed), b"t%d" % seed
            data = shred(source, tag)
            before = len(self.origin.seen)
            try:
                answered = self.answers(data, drip=seed % 4 == 0)
            except Malformed as error:
                self.fail("seed %d: %s for %r" % (seed, error, data))
            complete = sum(message.complete for message in self.origin.seen[before:])
            self.assertLessEqual(complete, answered, "seed %d: %r" % (seed, data))
        self.still_serves()


if __name__ == "__main__":
    unittest.main()
