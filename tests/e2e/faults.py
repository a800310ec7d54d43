"""A proxy that does to its connections what networks do: it stands between the gateway and a backend."""

import select
import socket
import threading

from wire import TIMEOUT


class FaultProxy:
    """Forwards to `target` (a port of 127.0.0.1). Each new connection gets the next of `faults`, or none when there are
    no more. A fault is a function (proxy, client, server) that carries the connection to its end, made by those below."""

    def __init__(self, target):
        self.target, self.faults, self.carried = target, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.open, self.ending = [], False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.carried += 1
            fault = self.faults.pop(0) if self.faults else through
            threading.Thread(target=self.carry, args=(fault, client), daemon=True).start()

    def carry(self, fault, client):
        server = socket.create_connection(("127.0.0.1", self.target), TIMEOUT)
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(TIMEOUT * 3)
            self.open.append(sock)
        try:
            fault(self, client, server)
        except OSError:  # ended by either side
            pass
        finally:
            for sock in (client, server):
                sock.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class Over(Exception):
    """The connection is to end now."""


def both_ways(client, server, to_server=None, to_client=None):
    """Carries until both directions have ended. `to_server` and `to_client` get what came and where it goes, and send
    what they like of it; b"" is the end of a direction. One thread serves both: a socket that another one waits on
    cannot be reset."""
    directions = {client: (server, to_server or pass_on), server: (client, to_client or pass_on)}
    try:
        while directions:
            for source in select.select(list(directions), [], [], TIMEOUT * 3)[0]:
                sink, carry = directions[source]
                data = source.recv(65536)
                carry(data, sink)
                if not data:
                    del directions[source]
    except Over:
        pass


def pass_on(data, sink):
    if data:
        sink.sendall(data)
    else:
        sink.shutdown(socket.SHUT_WR)


def through(_, client, server):
    both_ways(client, server)


def byte_by_byte(_, client, server):
    def drip(data, sink):
        for i in range(len(data)):
            sink.sendall(data[i:i + 1])
        if not data:
            sink.shutdown(socket.SHUT_WR)
    both_ways(client, server, drip, drip)


def delayed(event):
    """Holds the response back until `event` is set."""
    def fault(_, client, server):
        def late(data, sink):
            event.wait(TIMEOUT * 3)
            pass_on(data, sink)
        both_ways(client, server, None, late)
    return fault


def swallowed(_, client, server):
    """Takes everything and gives nothing back: a network that drops."""
    del server
    while client.recv(65536):
        pass


def ended_after(count, end):
    """Passes so many bytes of the responses on, then ends the connection."""
    def fault(_, client, server):
        left = [count]

        def cut(data, sink):
            sink.sendall(data[:left[0]])
            left[0] -= len(data)
            if left[0] <= 0 or not data:
                end(sink)
                raise Over
        both_ways(client, server, None, cut)
    return fault


def reset_after(count):
    return ended_after(count, reset)


def closed_after(count):
    return ended_after(count, lambda sock: sock.shutdown(socket.SHUT_RDWR))


def half_closed(_, client, server):
    """Says the end of what the backend sends as soon as it is connected, and goes on reading."""
    del server
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass
