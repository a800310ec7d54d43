"""Bodies on their way: streamed both ways, slowly, in pieces, with connections kept on both sides."""

import threading
import time
import unittest

from harness import Case, Truncated, early, wire

BIG = bytes(range(256)) * (8 << 12)  # 8 MiB: more than all buffers on the way hold


class Streaming(Case):
    options = {"cache": "false"}

    def test_a_response_is_streamed_as_it_comes(self):
        for head, pack in ((b"Content-Length: 10\r\n", bytes), (b"Transfer-Encoding: chunked\r\n", wire.chunk)):
            with self.subTest(head=head):
                go = threading.Event()

                def answer(connection, _, head=head, pack=pack, go=go):
                    connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + pack(b"first"))
                    go.wait(wire.TIMEOUT)
                    connection.send(pack(b"later") + (b"0\r\n\r\n" if pack is wire.chunk else b""))
                self.on(answer)
                with self.client() as client:
                    client.send(wire.request(self.path))
                    message = client.head()
                    client.reader.until(b"first")  # before the origin goes on
                    go.set()
                    self.assertTrue(client.reader.until(b"later"))
                    if "Transfer-Encoding" in message:
                        self.assertEqual(client.reader.until(b"0\r\n\r\n"), b"\r\n0\r\n\r\n")
                    self.assertEqual(client.ask("/next").status, 200)

    def test_a_request_is_streamed_as_it_comes(self):
        @early
        def answer(connection, message):
            self.assertEqual(connection.reader.until(b"first")[-5:], b"first")
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire.chunk(b"got first"))
            self.assertEqual(connection.reader.until(b"later")[-5:], b"later")
            if "Transfer-Encoding" in message:
                connection.reader.until(b"0\r\n\r\n")
            connection.send(wire.chunk(b"got later") + b"0\r\n\r\n")
        self.on(answer)
        for framing, pack, end in (("Content-Length: 10\r\n", bytes, b""),
                                   ("Transfer-Encoding: chunked\r\n", wire.chunk, b"0\r\n\r\n")):
            with self.subTest(framing=framing), self.client() as client:
                client.send(b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (self.path.encode(), framing.encode())
                            + pack(b"first"))
                head = client.reader.until(b"got first")
                client.send(pack(b"later") + end)
                client.reader.until(b"got later")
                client.reader.until(b"0\r\n\r\n")
                # the head was sent while the body was not read: the connection could not be promised
                self.assertIn(b"Connection: close", head)
                self.assertEqual(client.closed(), b"")

    def test_large_bodies_go_both_ways_unharmed(self):
        def answer(connection, message):
            connection.send(wire.response(body=message.body))
        self.on(answer)
        with self.client() as client:
            thread = threading.Thread(target=client.send, args=(wire.request(self.path, "POST", body=BIG),))
            thread.start()
            response = client.response()
            thread.join()
            self.assertTrue(response.body == BIG)
            self.assertEqual(client.ask("/next").status, 200)

    def test_large_chunked_bodies_in_odd_pieces(self):
        pieces, at, size = [], 0, 1
        while at < len(BIG):
            pieces.append(BIG[at:at + size])
            at, size = at + size, size * 3 % 70001 + 1

        def answer(connection, message):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                connection.send(wire.chunk(piece))
            connection.send(b"0\r\n\r\n")
            self.assertTrue(message.body == BIG)
        self.on(answer)
        with self.client() as client:
            head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % self.path.encode()
            data = head + b"".join(map(wire.chunk, pieces)) + b"0\r\n\r\n"
            thread = threading.Thread(target=client.send, args=(data,))
            thread.start()
            self.assertTrue(client.response().body == BIG)
            thread.join()
            self.assertEqual(client.ask("/next").status, 200)
        self.assertTrue(self.seen()[0].body == BIG)

    def test_a_slow_reader_holds_up_the_origin_and_nobody_else(self):
        progress = [0]
        done = threading.Event()

        def answer(connection, _):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * len(BIG)))
            for i in range(0, 4 * len(BIG), 65536):
                connection.send(BIG[i % len(BIG):i % len(BIG) + 65536])
                progress[0] = i
            done.set()
        self.on(answer)
        with self.client(receive_buffer=4096) as slow:
            slow.send(wire.request(self.path))
            slow.head()
            for _ in range(20):
                self.gateway.ask("/others")
            self.assertFalse(done.is_set())
            self.assertLess(progress[0], 4 * len(BIG) - 1)  # not all of it lies in the gateway
            got = slow.reader.exactly(4 * len(BIG))
            self.assertTrue(got == BIG * 4)
            self.assertTrue(done.wait(wire.TIMEOUT))

    def test_http_1_0_clients(self):
        self.on(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        with self.client() as client:
            response = client.send(b"GET %s HTTP/1.0\r\n\r\n" % self.path.encode()).response()
            self.assertEqual(response.body, b"hello world")
            self.assertNotIn("Transfer-Encoding", response)
            self.assertEqual(response.get("Connection"), "close")
        self.on(wire.response(body=b"hello"))
        with self.client() as client:
            keep = b"GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % self.path.encode()
            for _ in range(2):
                response = client.send(keep).response()
                self.assertEqual((response.body, response.get("Connection")), (b"hello", "keep-alive"))
            client.send(b"GET %s HTTP/1.0\r\n\r\n" % self.path.encode())
            self.assertEqual(client.response().body, b"hello")
            self.assertEqual(client.closed(), b"")

    def test_http_1_0_origin_that_closes(self):
        self.on(lambda connection, _: connection.send(b"HTTP/1.0 200 OK\r\n\r\nhello").close())
        with self.client() as client:
            for _ in range(3):
                response = client.ask(self.path)
                self.assertEqual((response.body, response.get("Transfer-Encoding")), (b"hello", "chunked"))

    def test_connections_are_kept_on_both_sides(self):
        with self.client() as client:
            for _ in range(20):
                self.assertEqual(client.ask(self.path).status, 200)
        with self.client() as client:
            self.assertEqual(client.ask(self.path).status, 200)
        self.assertEqual(len({message.connection.number for message in self.seen()}), 1)

    def test_close_is_honoured(self):
        with self.client() as client:
            response = client.ask(self.path, fields=[("Connection", "close")])
            self.assertEqual(response.get("Connection"), "close")
            self.assertEqual(client.closed(), b"")

    def test_a_kept_connection_that_the_origin_closed_costs_no_request(self):
        self.on(lambda connection, _: connection.send(wire.response(body=b"x")).close())
        with self.client() as client:
            for _ in range(10):
                self.assertEqual(client.ask(self.path).status, 200)

    def test_pipelined_hits_and_misses_keep_their_order(self):
        def slow(connection, _):
            time.sleep(0.02)  # so that a later answer could overtake
            connection.send(wire.response(body=b"slow"))
        self.origin.on(self.path + "/slow", slow)
        with self.client() as client:
            targets = [self.path + "/slow" if i % 3 == 0 else "%s/%d" % (self.path, i) for i in range(30)]
            client.send(b"".join(map(wire.request, targets)))
            for target in targets:
                self.assertEqual(client.response().body, b"slow" if target.endswith("slow") else target.encode())

    def test_a_pipeline_ends_with_close(self):
        with self.client() as client:
            client.send(wire.request(self.path, fields=[("Connection", "close")]) + wire.request(self.path + "/never"))
            self.assertEqual(client.response().status, 200)
            self.assertEqual(client.closed(), b"")
        self.still_serves()
        self.assertEqual(self.origin.for_path(self.path + "/never"), [])

    def test_an_early_answer_to_a_long_upload(self):
        @early
        def answer(connection, _):
            connection.send(wire.response(413, fields=[("Connection", "close")], body=b"too large"))
            connection.sock.shutdown(1)
            connection.reader.to_end()
        self.on(answer)
        with self.client() as client:
            client.send(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" % self.path.encode() + b"x" * 1000)
            response = client.response()
            self.assertEqual((response.status, response.body), (413, b"too large"))
            self.assertEqual(response.get("Connection"), "close")  # half of its body was never read

    def test_empty_bodies(self):
        for status in (200, 204, 304):
            self.on(wire.response(status, length=status == 200))
            with self.client() as client:
                self.assertEqual(client.ask(self.path).status, status)
                self.assertEqual(client.ask(self.path, "HEAD").status, status)
                self.assertEqual(client.ask("/next").status, 200)
        with self.client() as client:
            client.send(b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % self.path.encode())
            self.assertEqual(client.response().status, 304)

    def test_head_has_no_body_whatever_the_origin_says(self):
        self.on(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.client() as client:
            self.assertEqual(client.ask(self.path, "HEAD").body, b"")
            self.assertEqual(client.ask("/next").body, b"/next")

    def test_many_clients_at_once(self):
        failures = []

        def ask(number):
            try:
                with self.gateway.client() as client:
                    for i in range(20):
                        target = "%s/%d/%d" % (self.path, number, i)
                        if client.ask(target).body != target.encode():
                            failures.append(target)
            except (OSError, Truncated) as error:
                failures.append(error)
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_a_client_that_resets_in_the_middle_of_a_response_hurts_nobody(self):
        gone = threading.Event()

        def answer(connection, _):
            try:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
                connection.sock.recv(1)
            except OSError:
                pass
            gone.set()
        self.on(answer)
        with self.client() as client:
            client.send(wire.request(self.path))
            client.head()
            client.reset()
        self.assertTrue(gone.wait(wire.TIMEOUT))  # the origin is told
        self.still_serves()


class Pinned(Case):
    """Hits whose entry goes away while they are being read."""

    def test_a_slow_reader_of_a_hit_gets_the_whole_of_what_it_began(self):
        old, new = b"o" * (3 << 20), b"n" * (3 << 20)
        fresh = [("Cache-Control", "max-age=60")]
        self.on(wire.response(fields=fresh, body=old))
        self.gateway.ask(self.path)
        with self.client(receive_buffer=4096) as slow, self.client() as gone:
            gone.send(wire.request(self.path)).head()
            slow.send(wire.request(self.path))
            head = slow.head()
            self.assertEqual(head.all("Cache-Status"), ["neap; hit"])
            self.on(wire.response(fields=fresh, body=new))
            self.gateway.ask(self.path, "POST", body=b"x")  # invalidates
            self.assertTrue(self.gateway.ask(self.path).body == new)
            for number in range(8):  # more than the cache holds
                self.origin.on("/fill/%d" % number, wire.response(fields=fresh, body=new))
                self.gateway.ask("/fill/%d" % number)
            gone.reset()
            self.assertTrue(slow.reader.body(head) == old)
            self.assertEqual(slow.ask("/next").status, 200)


class Timeouts(Case):
    options = {"listen": 'header_timeout = "300ms", idle_timeout = "300ms"',
               "pool": 'response_timeout = "300ms", connect_timeout = "300ms"'}

    def test_a_head_that_does_not_end_is_answered_408(self):
        with self.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            self.assertEqual(client.response().status, 408)
            self.assertEqual(client.closed(), b"")

    def test_a_head_that_drips_has_one_time_for_all_of_it(self):
        with self.client() as client:
            started = time.monotonic()
            client.send(b"GET / HTTP/1.1\r\n")
            while client.quiet_for(0.05) and time.monotonic() - started < wire.TIMEOUT:
                client.send(b"X: y\r\n")
            self.assertEqual(client.response().status, 408)

    def test_an_idle_connection_is_closed_without_a_word(self):
        with self.client() as client:
            client.ask(self.path)
            self.assertEqual(client.closed(), b"")
        with self.client() as client:
            self.assertEqual(client.closed(), b"")

    def test_an_origin_that_says_nothing_is_given_up_with_504(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.on(lambda *_: release.wait(wire.TIMEOUT))
        self.assertEqual(self.gateway.ask(self.path).status, 504)

    def test_an_origin_that_stops_in_mid_body_truncates(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def answer(connection, _):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            release.wait(wire.TIMEOUT)
        self.on(answer)
        with self.assertRaises(Truncated):
            self.gateway.ask(self.path)


if __name__ == "__main__":
    unittest.main()
