"""Framing and forwarding safety of the running gateway: one test for each row of docs/http-security.md. The number
of a test is the row's."""

import socket
import threading
import unittest

from harness import Case, Truncated, early, wire

HOST = "Host: a.test\r\n"
REFUSALS = {400, 413, 414, 417, 431, 501, 505}


class Requests(Case):
    """What a hostile or confused client sends."""

    def post(self, fields, body=""):
        return ("POST %s HTTP/1.1\r\n%s%s\r\n%s" % (self.path, HOST, fields, body)).encode("latin-1")

    def get(self, fields="", line=None):
        return ((line or "GET %s HTTP/1.1" % self.path) + "\r\n" + HOST + fields + "\r\n").encode("latin-1")

    def refused(self, *inputs, among=REFUSALS):
        """Each is answered with one refusal, then the connection is closed, and nothing reaches the origin; at
        once and byte by byte."""
        for data in inputs:
            for drip in (False, True):
                with self.subTest(data=data, drip=drip), self.client() as client:
                    (client.drip if drip else client.send)(data)
                    self.assertIn(client.response().status, among)
                    self.assertEqual(client.closed(), b"")
        self.still_serves()
        self.assertEqual(self.seen(), [])

    def aborted(self, *bodies, fields="Transfer-Encoding: chunked\r\n"):
        """The head is fine, the body is not: no success, and the origin gets no complete request."""
        for body in bodies:
            with self.subTest(body=body), self.client() as client:
                before = len(self.seen())
                client.send(self.post(fields) + body)
                try:
                    self.assertIn(client.response().status, REFUSALS)
                except Truncated as cut:
                    self.assertEqual(cut.partial, b"")
                self.assertEqual(client.closed(), b"")
                for message in self.seen()[before:]:
                    self.assertFalse(self.origin.wait_ended(message).complete)
        self.still_serves()

    def served(self, data, status=200, method="GET"):
        with self.client() as client:
            response = client.send(data).response(method)
            self.assertEqual(response.status, status)
        return response

    def test_01_length_and_coding(self):
        body = "5\r\nhello\r\n0\r\n\r\n"
        self.refused(self.post("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", body),
                     self.post("Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", body))

    def test_02_length_and_coding_then_a_second_request(self):
        smuggled = "GET /smuggled HTTP/1.1\r\n%s\r\n" % HOST
        self.refused(self.post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + smuggled),
                     self.post("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (5 + len(smuggled)),
                               "0\r\n\r\n" + smuggled))
        self.assertEqual(self.origin.for_path("/smuggled"), [])

    def test_03_two_lengths(self):
        self.refused(self.post("Content-Length: 5\r\nContent-Length: 3\r\n", "hello"),
                     self.post("Content-Length: 5, 3\r\n", "hello"))

    def test_04_equal_lengths(self):
        self.refused(self.post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
                     self.post("Content-Length: 5, 5\r\n", "hello"))

    def test_05_length_that_is_no_number(self):
        self.refused(*[self.post("Content-Length: %s\r\n" % value, "hello")
                       for value in ("+5", "-1", "0x5", "1 1", "5a", "")])

    def test_06_length_beyond_all_numbers(self):
        self.refused(*[self.post("Content-Length: %d\r\n" % value, "hello")
                       for value in (2 ** 63, 2 ** 64, 2 ** 64 + 5, 10 ** 40)])

    def test_07_space_before_the_colon_of_framing(self):
        self.refused(self.post("Content-Length : 5\r\n", "hello"),
                     self.post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"))

    def test_08_unknown_codings(self):
        self.refused(*[self.post("Transfer-Encoding: %s\r\n" % value, "0\r\n\r\n")
                       for value in ("xchunked", "identity", '"chunked"', "\vchunked", "gzip, chunked", "")])

    def test_09_chunked_is_not_final(self):
        self.refused(self.post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"))

    def test_10_chunked_twice_or_with_another_line(self):
        self.refused(self.post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
                     self.post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"))

    def test_11_chunked_in_any_case(self):
        self.served(self.post("Transfer-Encoding: ChUnKeD\r\n", "5\r\nhello\r\n0\r\n\r\n"))
        self.assertEqual(self.seen()[0].body, b"hello")

    def test_12_coding_in_http_1_0(self):
        self.refused(b"POST %s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % self.path.encode())

    def test_13_coding_on_a_folded_line(self):
        self.refused(self.post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"))

    def test_14_chunk_sizes_that_are_none(self):
        self.aborted(*[b"%s\r\nhello\r\n0\r\n\r\n" % size for size in (b"0x5", b"-5", b"+5", b"5g", b"", b" 5")])

    def test_15_chunk_size_beyond_64_bits(self):
        self.aborted(b"10000000000000005\r\nhello\r\n0\r\n\r\n", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
                     b"8000000000000000\r\nhello\r\n0\r\n\r\n")

    def test_16_chunk_longer_than_its_size(self):
        self.aborted(b"5\r\nhello!\r\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n")

    def test_17_chunk_lines_that_end_with_lf(self):
        self.aborted(b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"0\r\n\n", b"5\rhello\r\n0\r\n\r\n")

    def test_18_lf_inside_an_extension(self):
        self.aborted(b"5;\nhello\r\n0\r\n\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n")

    def test_19_extensions_are_ignored(self):
        self.served(self.post("Transfer-Encoding: chunked\r\n", '5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n'))
        self.assertEqual(self.seen()[0].body, b"hello")

    def test_20_a_hundred_kilobytes_of_extension(self):
        self.aborted(b"5;" + b"a" * 102400 + b"\r\nhello\r\n0\r\n\r\n",
                     (b"1;" + b"a" * 500 + b"\r\nx\r\n") * 400 + b"0\r\n\r\n")

    def test_21_zeros_before_chunk_sizes(self):
        self.served(self.post("Transfer-Encoding: chunked\r\n", "0005\r\nhello\r\n000\r\n\r\n"))
        self.assertEqual(self.seen()[0].body, b"hello")

    def test_22_trailers_are_never_merged(self):
        self.served(self.post("Transfer-Encoding: chunked\r\n",
                              "5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: evil\r\n"
                              "Authorization: evil\r\nX-Trailer: evil\r\n\r\n"))
        message = self.seen()[0]
        self.assertEqual(message.body, b"hello")
        self.assertNotIn(b"evil", message.raw)
        self.assertEqual(message.get("Host"), "a.test")
        self.assertFalse([line for line in message.trailers if b"X-Trailer" not in line])

    def test_23_client_closes_in_the_middle_of_its_body(self):
        for number, (fields, body) in enumerate((("Content-Length: 100\r\n", "hello"),
                                                 ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
                                                 ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
                                                 ("Transfer-Encoding: chunked\r\n", "50\r\nhello"))):
            for end in ("close", "reset"):
                with self.subTest(body=body, end=end):
                    with self.client() as client:
                        client.send(self.post(fields, body))
                        message = self.origin.wait(self.path, number * 2 + (end == "reset") + 1)
                        getattr(client, end)()
                    self.assertFalse(self.origin.wait_ended(message).complete)

    def test_24_folded_fields(self):
        self.refused(self.get("X: a\r\n b\r\n"), self.get("X: a\r\n\tb\r\n"))

    def test_25_blank_led_line_after_the_request_line(self):
        self.refused(b"GET %s HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n" % self.path.encode(),
                     b"GET %s HTTP/1.1\r\n Host: a.test\r\n\r\n" % self.path.encode())

    def test_26_space_before_a_colon(self):
        self.refused(self.get("Name : v\r\n"), self.get("Name\t: v\r\n"))

    def test_27_names_that_are_no_tokens(self):
        self.refused(*[self.get(field + "\r\n") for field in (": v", "a(: v", "a@b: v", "a\x80b: v", "abc")])

    def test_28_nul_in_a_value(self):
        self.refused(self.get("X: a\0b\r\n"))

    def test_29_bare_cr_in_a_value(self):
        self.refused(self.get("X: a\rb\r\n"), self.get("X: a\rEvil: b\r\n"))

    def test_30_other_control_bytes(self):
        self.refused(*[self.get("X: a%sb\r\n" % chr(byte)) for byte in (1, 8, 11, 27, 127)])

    def test_31_lines_that_end_with_cr(self):
        self.refused(self.get().replace(b"\r\n", b"\r"))

    def test_32_lines_that_end_with_lf(self):
        self.refused(self.get().replace(b"\r\n", b"\n"), self.get("X: y\n"))

    def test_33_underscores_do_not_frame(self):
        self.served(self.post("Content_Length: 100\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n", "hello"))
        self.assertEqual(self.seen()[0].body, b"hello")
        self.assertNotIn(b"_", self.seen()[0].raw.replace(self.path.encode(), b""))

    def test_34_no_host(self):
        self.refused(b"GET %s HTTP/1.1\r\n\r\n" % self.path.encode(),
                     b"GET http://a.test%s HTTP/1.1\r\n\r\n" % self.path.encode(), among={400})

    def test_35_two_hosts(self):
        self.refused(self.get(HOST), self.get("Host: b.test\r\n"), self.get("hOST: b.test\r\n"), among={400})

    def test_36_hosts_that_are_none(self):
        self.refused(*[b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (self.path.encode(), host)
                       for host in (b"a b", b"a/b", b"u@h", b"h:99999", b"h:x", b"", b"a,b", b"[::1")], among={400})

    def test_37_authority_of_the_target_replaces_host(self):
        self.served(b"GET http://target.test:81%s?q HTTP/1.1\r\nHost: other.test\r\n\r\n" % self.path.encode())
        message = self.origin.for_path(self.path + "?q")[0]
        self.assertEqual(message.get("Host"), "target.test:81")
        self.assertNotIn(b"other.test", message.raw)

    def test_38_space_or_control_byte_in_the_target(self):
        self.refused(*[self.get(line="GET %s%s HTTP/1.1" % (self.path, part)) for part in (" b", "\tb", "\x01", "\0")])

    def test_39_targets_of_no_form(self):
        self.refused(*[self.get(line="GET %s HTTP/1.1" % target) for target in ("a", "*", "ftp://a/", "a.test:80", "")])

    def test_40_fragment(self):
        self.refused(self.get(line="GET %s#x HTTP/1.1" % self.path))

    def test_41_connect(self):
        self.refused(self.get(line="CONNECT a.test:443 HTTP/1.1"))

    def test_42_methods_that_are_no_tokens(self):
        self.refused(*[self.get(line="%s %s HTTP/1.1" % (method, self.path)) for method in ("G(T", "G\xc3T", "", "\"GET\"")])

    def test_43_other_versions(self):
        self.refused(*[self.get(line="GET %s %s" % (self.path, version))
                       for version in ("HTTP/2.0", "HTTP/1.10", "http/1.1", "HTTP/0.9", "HTTP/1", "HTTP/1.1 ", "")],
                     b"GET %s\r\n\r\n" % self.path.encode(), among={400, 505})

    def test_44_empty_line_before_the_request_line(self):
        self.served(b"\r\n" + self.get())

    def test_45_target_of_a_hundred_kilobytes(self):
        with self.client() as client:
            self.in_background(client, self.get(line="GET %s?%s HTTP/1.1" % (self.path, "a" * 102400)))
            self.assertEqual(client.response().status, 414)
        self.assertEqual(self.seen(), [])

    def in_background(self, client, data):
        """Sends what the gateway will not read to its end."""
        thread = threading.Thread(target=lambda: self.ignoring_errors(client.send, data), daemon=True)
        thread.start()
        self.addCleanup(thread.join)

    @staticmethod
    def ignoring_errors(function, *arguments):
        try:
            function(*arguments)
        except OSError:
            pass

    def test_46_headers_without_end(self):
        with self.client() as other:
            for fields in ("X: %s\r\n" % ("a" * (2 << 20)), "".join("X%d: y\r\n" % i for i in range(20000)),
                           ("X: " + "a" * 1000 + "\r\n") * 2000):
                with self.subTest(fields=fields[:20]), self.client() as client:
                    self.in_background(client, self.get(fields))
                    self.assertEqual(client.response().status, 431)
                self.assertEqual(other.ask("/other").status, 200)
        self.assertEqual(self.seen(), [])

    def test_47_fields_named_by_connection(self):
        self.served(self.get("Connection: close, X-Hop\r\nX-Hop: 1\r\nX-Stays: 2\r\nx-hop: 3\r\n"))
        message = self.seen()[0]
        self.assertEqual(message.all("X-Hop"), [])
        self.assertEqual(message.all("X-Stays"), ["2"])
        self.assertNotIn("close", message.get("Connection", ""))

    def test_47_fields_of_a_hop_that_connection_does_not_name(self):
        hop = ("Keep-Alive", "Proxy-Connection", "TE", "Upgrade")
        self.served(self.get("".join("%s: x\r\n" % name for name in hop)))
        self.assertFalse([name for name in hop if name in self.seen()[0]])

    def test_48_connection_names_framing_and_host(self):
        self.served(self.post("Connection: Content-Length, Host, Transfer-Encoding\r\nContent-Length: 5\r\n", "hello"))
        message = self.seen()[0]
        self.assertEqual(message.body, b"hello")
        self.assertEqual(message.get("Host"), "a.test")

    def test_48_connection_names_what_the_gateway_adds(self):
        ours = ("Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
        self.served(self.get("Connection: %s, Forwarded\r\n" % ", ".join(ours)))
        self.assertEqual([len(self.seen()[0].all(name)) for name in ours], [1] * len(ours))

    def test_49_upgrade_is_not_forwarded(self):
        self.served(self.get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
        self.served(self.get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
        for message in self.seen():
            self.assertFalse([name for name in ("Upgrade", "HTTP2-Settings", "Connection") if name in message])

    def test_50_expectation(self):
        with self.client() as client:
            client.send(self.post("Content-Length: 5\r\nExpect: 100-continue\r\n"))
            self.assertEqual(client.head().start, "HTTP/1.1 100 Continue")
            self.assertEqual(client.send(b"hello").response().status, 200)
            self.assertEqual(client.ask().status, 200)
        self.assertEqual(self.seen()[0].body, b"hello")
        self.assertNotIn("Expect", self.seen()[0])

    def test_50_other_expectations(self):
        self.refused(self.post("Content-Length: 5\r\nExpect: 200-ok\r\n"), among={417})

    def test_51_expectation_in_http_1_0(self):
        with self.client() as client:
            client.send(b"POST %s HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello" % self.path.encode())
            self.assertEqual(client.response().status, 200)  # Malformed, were there a 100

    def test_52_chunked_origin_and_http_1_0_client(self):
        self.on(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        response = self.served(b"GET %s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % self.path.encode())
        self.assertNotIn("Transfer-Encoding", response)
        self.assertEqual(response.body, b"hello")

    def test_52_a_chunked_body_cut_short_is_no_whole_one_for_an_http_1_0_client(self):
        """The end of the connection is the end of the body: only a reset tells that it is none."""
        arrived = threading.Event()

        def answer(connection, _):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            arrived.wait(wire.TIMEOUT)
            connection.close()
        self.on(answer)
        with socket.create_connection(("127.0.0.1", self.gateway.port), wire.TIMEOUT) as client:
            client.sendall(b"GET %s HTTP/1.0\r\n\r\n" % self.path.encode())
            got = b""
            while not got.endswith(b"hello"):
                got += client.recv(4096)
            arrived.set()
            with self.assertRaises(ConnectionResetError):
                client.recv(4096)

    def test_53_pipelined_requests(self):
        with self.client() as client:
            client.send(b"".join(wire.request("%s-%d" % (self.path, i)) for i in range(3)))
            for i in range(3):
                self.assertEqual(client.response().body, b"%s-%d" % (self.path.encode(), i))
            client.send(wire.request(self.path, "POST", body=b"hello") + wire.request(self.path + "-last"))
            self.assertEqual(client.response().body, self.path.encode())
            self.assertEqual(client.response().body, self.path.encode() + b"-last")

    def test_54_get_with_a_body_and_a_next_request(self):
        with self.client() as client:
            inner = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
            client.send(wire.request(self.path, "GET", body=inner) + wire.request(self.path + "-next"))
            self.assertEqual(client.response().body, self.path.encode())
            self.assertEqual(client.response().body, self.path.encode() + b"-next")
        self.assertEqual(self.seen()[0].body, inner)
        self.assertEqual(self.origin.for_path("/inner"), [])

    def test_55_one_byte_at_a_time(self):
        with self.client() as client:
            client.drip(self.post("Transfer-Encoding: chunked\r\n", "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n"))
            self.assertEqual(client.response().status, 200)
            client.drip(wire.request(self.path, "POST", body=b"world"))
            self.assertEqual(client.response().status, 200)
        self.assertEqual([message.body for message in self.seen()], [b"hello", b"world"])


class Responses(Case):
    """What a hostile or broken origin answers."""

    FRESH = "Cache-Control: max-age=60\r\n"

    def answers(self, head, body=b"", close=True):
        def answer(connection, _):
            connection.send(head.encode("latin-1") + b"\r\n" + body)
            if close:
                connection.close()
        self.on(answer)

    def bad_gateway(self, *heads, body=b"hello"):
        for head in heads:
            with self.subTest(head=head), self.client() as client:
                self.answers(head, body)
                self.assertEqual(client.ask(self.path).status, 502)
        self.still_serves()

    def test_56_length_and_coding(self):
        self.answers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", False)
        response = self.gateway.ask(self.path)
        self.assertEqual((response.body, response.all("Content-Length")), (b"hello", []))
        self.assertEqual(self.gateway.ask(self.path).body, b"hello")
        first, second = self.seen()
        self.assertIsNot(first.connection, second.connection)  # such a connection is not reused

    def test_57_invalid_lengths(self):
        self.bad_gateway(*["HTTP/1.1 200 OK\r\n%s" % lines for lines in
                           ("Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5, 6\r\n",
                            "Content-Length: x\r\n", "Content-Length: -5\r\n", "Content-Length:\r\n",
                            "Content-Length: %d\r\n" % (2 ** 64 + 5), "Content-Length: 5 5\r\n",
                            "Content-Length : 5\r\n")])

    def test_58_space_before_colon_and_folding(self):
        self.bad_gateway("HTTP/1.1 200 OK\r\nX : v\r\nContent-Length: 5\r\n",
                         "HTTP/1.1 200 OK\r\nX: v\r\n w\r\nContent-Length: 5\r\n")

    def test_59_nul_and_bare_cr(self):
        self.bad_gateway("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n",
                         "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n")

    def test_60_nonsense_and_oversized_heads(self):
        self.bad_gateway("nonsense\r\n", "HTTP/1.1 xyz OK\r\n", "HTTP/1.1 20\r\n", "HTTP/3.0 200 OK\r\n", "\r\n",
                         "HTTP/1.1 200 OK\r\nX: %s\r\n" % ("a" * 200000),
                         "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 20000)

    def cut_short(self, head, body):
        """The client sees that the body is not whole, or, where nothing had been sent on yet, a 502."""
        with self.client() as client:
            self.answers(head, body)
            try:
                self.assertEqual(client.ask(self.path).status, 502)
            except Truncated:
                pass

    def test_61_truncated_bodies_are_truncated_for_the_client_and_not_stored(self):
        bodies = (("Content-Length: 10\r\n", b"hello"), ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
                  ("Transfer-Encoding: chunked\r\n", b"a\r\nhello"), ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n"),
                  ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\nx\r\n"),
                  ("Transfer-Encoding: chunked\r\n", b"5\r\nhelloX\r\n0\r\n\r\n"))
        for fields, body in bodies:
            with self.subTest(fields=fields, body=body):
                before = len(self.seen())
                self.cut_short("HTTP/1.1 200 OK\r\n" + self.FRESH + fields, body)
                self.on(wire.response(body=b"whole"))
                self.assertEqual(self.gateway.ask(self.path).body, b"whole")
                self.assertEqual(len(self.seen()), before + 2)

    def test_62_bytes_after_a_response_are_never_delivered(self):
        evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
        heads = (("GET", "HTTP/1.1 204 No Content\r\n"), ("GET", "HTTP/1.1 304 Not Modified\r\n"),
                 ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"),
                 ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"))
        for method, head in heads:
            with self.subTest(head=head), self.client() as client:
                self.answers(head, (b"0\r\n\r\n" if "chunked" in head else b"") + evil, close=False)
                first = client.ask(self.path, method)
                self.assertEqual(first.body, b"")
                self.assertEqual(client.ask("/next").body, b"/next")
                self.assertIsNot(self.seen()[-1].connection, self.origin.for_path("/next")[-1].connection)

    def test_62_bytes_on_an_idle_connection_are_never_delivered(self):
        sent = threading.Event()

        def answer(connection, _):
            connection.send(wire.response(body=b"hello"))
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
            sent.set()
        self.on(answer)
        with self.client() as client:
            self.assertEqual(client.ask(self.path).body, b"hello")
            self.assertTrue(sent.wait(wire.TIMEOUT))
            self.assertEqual(client.ask("/next").body, b"/next")

    def test_63_unasked_switch(self):
        self.bad_gateway("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n")

    def test_64_interim_responses(self):
        self.on(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Early: 1\r\n\r\n" + wire.response(body=b"hello"))
        with self.client() as client:
            response = client.send(wire.request(self.path)).response(interim=True)
            self.assertEqual((response.status, response.body), (200, b"hello"))
            self.assertNotIn("X-Early", response)

    def test_64_an_unasked_100_and_a_flood_of_interim_responses(self):
        self.on(b"HTTP/1.1 100 Continue\r\n\r\n" + wire.response(body=b"hello"))
        self.assertEqual(self.gateway.ask(self.path).body, b"hello")
        self.on(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10000 + wire.response(body=b"hello"))
        self.assertEqual(self.gateway.ask(self.path).status, 502)  # more than a head may be
        self.still_serves()

    def test_65_fields_named_by_connection(self):
        self.on(wire.response(fields=[("Connection", "X-Hop, close"), ("X-Hop", "1"), ("X-Stays", "2"), ("Keep-Alive", "x"),
                                      ("Proxy-Connection", "x"), ("Upgrade", "x")], body=b"hello"))
        with self.client() as client:
            response = client.ask(self.path)
            self.assertEqual([name for name in ("X-Hop", "Keep-Alive", "Proxy-Connection", "Upgrade") if name in response], [])
            self.assertEqual(response.all("X-Stays"), ["2"])
            self.assertEqual(client.ask("/next").status, 200)  # the origin's close is not the client's


class Trust(Case):
    """What the origin is told about the client comes from the gateway."""

    def test_forwarded_fields_are_ours(self):
        self.gateway.ask(self.path, fields=[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"),
                                            ("X-Forwarded-Host", "evil"), ("Forwarded", "for=6.6.6.6"),
                                            ("X_Forwarded_For", "6.6.6.6"), ("Via", "1.0 other")])
        message = self.seen()[0]
        self.assertEqual(message.all("X-Forwarded-For"), ["127.0.0.1"])
        self.assertEqual(message.all("X-Forwarded-Proto"), ["http"])
        self.assertEqual(message.all("X-Forwarded-Host"), ["example.test"])
        self.assertEqual(message.all("Forwarded"), [])
        self.assertEqual(message.all("Via"), ["1.0 other", "1.1 neap"])
        self.assertNotIn(b"6.6.6.6", message.raw)

    def test_a_refusal_in_mid_body_does_not_wait_for_the_origin(self):
        @early
        def answer(connection, message):
            connection.read_body(message)
        self.on(answer)
        with self.client() as client:
            client.send(b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % self.path.encode())
            message = self.origin.wait(self.path)
            client.send(b"zz\r\n")
            self.assertEqual(client.response().status, 400)
        self.assertFalse(self.origin.wait_ended(message).complete)


if __name__ == "__main__":
    unittest.main()
