"""Nodes of tests/fault/node.c around a Redis, a proxy that delays and holds what they and Redis say, and the judgement
of `neap verify` on what their clients saw."""

import asyncio
import json
import os
import random
import subprocess
import tempfile
import threading
import time

from harness import PROGRAM, TIMEOUT

NODE = os.path.join(os.path.dirname(PROGRAM), "tests", "fault_node")
LEAVE_OUT = {"R1": 1 << 1, "R2": 1 << 2, "R4": 1 << 4, "R5": 1 << 5, "tombstones": 1 << 6, "heartbeat": 1 << 7}


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Pipe:
    """One direction of a connection: what comes in leaves in order, later, and not while it is held."""

    def __init__(self, carry, upwards, reader, writer):
        self.carry, self.upwards, self.reader, self.writer = carry, upwards, reader, writer
        self.held, self.waiting, self.passed = False, 0, b""

    async def run(self):
        chunks, last = asyncio.Queue(), 0.0
        sender = asyncio.ensure_future(self.send(chunks))
        try:
            while True:
                data = await self.reader.read(65536)
                if not data:
                    break
                if self.upwards:
                    self.carry.look_at(data)
                last = max(last, time.monotonic() + self.carry.delay())
                self.waiting += len(data)
                chunks.put_nowait((last, data))
        except OSError:
            pass
        finally:
            chunks.put_nowait(None)
            await sender

    async def send(self, chunks):
        while True:
            item = await chunks.get()
            if item is None:
                break
            due, data = item
            while self.is_held() or due > time.monotonic():
                await asyncio.sleep(0.001 if self.is_held() else due - time.monotonic())
                if self.carry.ended:
                    return
            if self.writer.is_closing():
                break
            self.writer.write(data)
            self.waiting -= len(data)
            self.passed = (self.passed + data)[-4096:]
        self.carry.end()

    def is_held(self):
        return self.held or self.carry.kind in self.carry.proxy.holds


class Carry:
    """One connection of a node."""

    def __init__(self, proxy, node, server):
        self.proxy, self.kind, self.ended = proxy, "data", False
        self.writers = [node[1], server[1]]
        self.up, self.down = Pipe(self, True, node[0], server[1]), Pipe(self, False, server[0], node[1])

    def look_at(self, data):
        if b"SUBSCRIBE" in data:
            self.kind = "channel"
        if self.proxy.trap and self.proxy.trap in data:
            self.proxy.trap, self.proxy.trapped, self.down.held = None, self.down, True

    def delay(self):
        usual, seldom = self.proxy.delays.get(self.kind, (0, 0))
        return self.proxy.random.random() * (usual if self.proxy.random.random() < 0.9 else seldom)

    def end(self):
        self.ended = True
        for writer in self.writers:
            writer.close()


class Proxy:
    """Stands between one node and Redis. What a test may set, at any time:

    delays  {kind: (most seconds, most seconds of one in ten)} of each message; kind is "data" or "channel"
    holds   kinds of which nothing passes, in either direction
    closed  connections are refused
    trap    bytes: the next connection that asks something with these in it gets no answer until release()"""

    def __init__(self, target, seed=0):
        self.target, self.random = target, random.Random(seed)
        self.delays, self.holds, self.closed, self.trap, self.trapped = {}, set(), False, None, None
        self.carries, self.loop = [], asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self.call(asyncio.start_server(self.accept, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    async def accept(self, reader, writer):
        try:
            if self.closed:
                raise OSError
            server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        carry = Carry(self, (reader, writer), server)
        self.carries.append(carry)
        try:
            await asyncio.gather(carry.up.run(), carry.down.run())
        except asyncio.CancelledError:  # the test is over
            carry.end()
        self.carries.remove(carry)

    def kill(self, kind=None):
        async def end():
            for carry in list(self.carries):
                if kind in (None, carry.kind):
                    carry.end()
        self.call(end())

    def release(self):
        self.trapped.held = False

    def answer_is_held(self):
        return self.trapped is not None and self.trapped.waiting > 0

    def channel_has_passed(self, text):
        return any(text in carry.down.passed for carry in list(self.carries) if carry.kind == "channel")

    def forget(self):
        """What has passed until now is not meant by channel_has_passed."""
        for carry in list(self.carries):
            carry.down.passed = b""

    def close(self):
        self.closed = True
        self.kill()
        self.call(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT)
        self.loop.close()

    async def end(self):
        self.server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Node:
    """A process. `history` grows as its clients are answered."""

    def __init__(self, name, addresses, layout="single", **settings):
        self.name, self.history, self.said, self.count = name, [], [], 0
        self.news = threading.Condition()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [NODE, name, layout, addresses] + ["%s=%d" % one for one in settings.items()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            with self.news:
                (self.said if line.startswith("#") else self.history).append(line.strip())
                self.news.notify_all()

    def send(self, text, *args):
        self.process.stdin.write((text % args if args else text) + "\n")
        self.process.stdin.flush()

    def ask(self, text, *args, limit=TIMEOUT):
        """A command that is answered with a line of its own."""
        with self.news:
            before = len(self.said)
            self.send(text, *args)
            if not self.news.wait_for(lambda: len(self.said) > before, limit):
                raise AssertionError("%s: no answer to %s" % (self.name, text))
            return self.said[before][2:]

    def begin(self, verb, key, value="", port=0, mode="eventual"):
        """Starts an operation; what it returns tells the result when called, waiting for it."""
        self.count += 1
        mark = '"note":"#%d ' % self.count
        self.send("%s %d %s %s %s", verb, port, mode, key, value)

        def result():
            def mine():
                return [line for line in self.history if mark in line]
            with self.news:
                if not self.news.wait_for(mine, TIMEOUT):
                    raise AssertionError("%s: %s %s is not answered" % (self.name, verb, key))
                return json.loads(mine()[0])
        return result

    def do(self, verb, key, value="", port=0, mode="eventual"):
        return self.begin(verb, key, value, port, mode)()

    def waiting(self):
        return int(self.ask("waiting").split()[1])

    def close(self):
        """Ends it; what it has said on its way is in the error."""
        self.process.stdin.close()
        try:
            code = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(TIMEOUT)
        self.thread.join(TIMEOUT)
        self.process.stdout.close()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace")
        self.errors.close()
        if code != 0:
            raise AssertionError("%s ended with %d: %s" % (self.name, code, said[-4000:]))


def verify(lines, *checks, staleness=None, any_start=False):
    """Runs `neap verify` on a history. Returns its report by check; {"verdict": "holds"} and the like."""
    kept = os.environ.get("NEAP_HISTORIES")  # a folder
    with tempfile.NamedTemporaryFile("w", prefix="history-", suffix=".jsonl", dir=kept, delete=not kept) as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        command = [PROGRAM, "verify", "--check", ",".join(checks), "--format", "json"]
        command += ["--staleness", staleness] if staleness else []
        command += ["--any-start"] if any_start else []
        done = subprocess.run(command + [file.name], capture_output=True, text=True, timeout=TIMEOUT * 12, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise AssertionError("neap verify: %s" % done.stderr)
    return json.loads(done.stdout)
