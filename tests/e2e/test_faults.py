"""Bad networks between gateway and backend, and a real nginx behind it."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import faults
from faults import FaultProxy
from harness import Gateway, Origin, TIMEOUT, Truncated, config, wire


class Nginx:
    """A real one: files of a folder of its own, one worker."""

    CONF = """
daemon off; master_process off; worker_processes 1; pid %(folder)s/pid; error_log %(folder)s/error.log;
events { worker_connections 512; }
http {
  access_log off; keepalive_requests 1000000; default_type text/plain;
  client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
  server {
    listen 127.0.0.1:%(port)d;
    root %(folder)s/www;
    location /cached/ { add_header Cache-Control max-age=60; alias %(folder)s/www/; }
    location = /echo { return 200 "$request_method $host $http_x_forwarded_for $http_via\\n"; }
  }
}
"""

    def __init__(self, files):
        self.folder = tempfile.mkdtemp(prefix="neap-nginx-")
        os.mkdir(os.path.join(self.folder, "www"))
        os.chmod(self.folder, 0o755)
        for name, body in files.items():
            with open(os.path.join(self.folder, "www", name), "wb") as file:
                file.write(body)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.start()

    def start(self):
        conf = os.path.join(self.folder, "nginx.conf")
        with open(conf, "w") as file:
            file.write(self.CONF % {"folder": self.folder, "port": self.port})
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-e", self.folder + "/error.log", "-c", conf],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wire.wait_until(self.is_ready, "nginx")

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(TIMEOUT)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


BIG = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(40000))  # 1.28 MB that do not repeat


class BehindFaults(unittest.TestCase):
    """One backend behind a proxy that misbehaves, one that is well."""

    def setUp(self):
        self.origin, self.good = Origin(), Origin()
        self.addCleanup(self.origin.close)
        self.addCleanup(self.good.close)
        self.proxy = FaultProxy(self.origin.port)
        self.addCleanup(self.proxy.close)
        for origin in (self.origin, self.good):
            origin.on("/", wire.response(body=b"well"))
            origin.on("/big", wire.response(body=BIG))

    def start(self, *backends, **options):
        options.setdefault("cache", "false")
        gateway = Gateway(config(*backends, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def test_bytes_that_come_one_by_one_are_a_response_too(self):
        gateway = self.start(self.proxy)
        self.proxy.faults = [faults.byte_by_byte] * 3
        self.origin.on("/post", lambda connection, request: connection.send(wire.response(body=request.body)))
        with gateway.client() as client:
            self.assertEqual(client.ask("/").body, b"well")
            self.assertEqual(client.ask("/post", "POST", body=b"x" * 3000).body, b"x" * 3000)
            self.assertEqual(client.ask("/nothing-here").body, b"/nothing-here")

    def test_a_response_that_is_late_arrives_all_the_same(self):
        gateway, go = self.start(self.proxy), threading.Event()
        self.proxy.faults = [faults.delayed(go)]
        with gateway.client() as client:
            client.send(wire.request("/"))
            self.origin.wait("/")
            self.assertTrue(client.quiet_for(0.05))
            go.set()
            self.assertEqual(client.response().body, b"well")

    def test_what_is_swallowed_ends_by_time(self):
        gateway = self.start(self.proxy, pool='response_timeout = "200ms"')
        self.proxy.faults = [faults.swallowed]
        answer = gateway.ask("/")
        self.assertEqual(answer.status, 504)
        self.assertEqual(gateway.access("/")[0]["reason"], "backend_timeout")
        self.assertEqual(gateway.ask("/").body, b"well")

    def test_a_reset_before_the_head_is_whole_is_tried_elsewhere(self):
        for count in (0, 1, 15, 30):
            with self.subTest(bytes=count):
                gateway = self.start(self.proxy, self.good)
                self.proxy.faults = [faults.reset_after(count)] * 20
                for _ in range(4):
                    self.assertEqual(gateway.ask("/").body, b"well")

    def test_an_end_before_the_head_is_whole_is_tried_elsewhere(self):
        for fault in (faults.closed_after(0), faults.closed_after(20), faults.half_closed):
            with self.subTest(fault=fault):
                gateway = self.start(self.proxy, self.good)
                self.proxy.faults = [fault] * 20
                for _ in range(4):
                    self.assertEqual(gateway.ask("/").body, b"well")

    def test_a_body_that_is_cut_is_cut_for_the_client_and_not_stored(self):
        self.origin.on("/big", wire.response(fields=[("Cache-Control", "max-age=60")], body=BIG))
        for fault in (faults.reset_after(100000), faults.closed_after(100000)):
            with self.subTest(fault=fault):
                gateway = self.start(self.proxy, cache="true")
                self.proxy.faults = [fault]
                with self.assertRaises(Truncated) as cut:
                    gateway.ask("/big")
                self.assertEqual(bytes(cut.exception.partial), BIG[:len(cut.exception.partial)])
                whole = gateway.ask("/big")
                self.assertEqual(whole.body, BIG)
                self.assertIn("fwd=uri-miss", whole.get("Cache-Status"))

    def test_faults_at_random_places_never_mix_responses(self):
        """Two backends behind bad networks: what arrives whole is right, and belongs to its request."""
        proxies = [FaultProxy(self.origin.port), FaultProxy(self.good.port)]
        for proxy in proxies:
            self.addCleanup(proxy.close)
        paths = ["/path-%d" % i for i in range(40)]
        for origin in (self.origin, self.good):
            for i, path in enumerate(paths):
                origin.on(path, wire.response(body=path.encode() * (1 + 97 * i)))
        gateway = self.start(*proxies, workers=2, pool="max_retries = 7, retry_budget = 1")
        for number, proxy in enumerate(proxies):
            proxy.faults = [faults.reset_after((7919 * i + number) % 9000) if i % 3 else faults.through
                            for i in range(200)]
        whole = cut = 0
        for _ in range(3):
            for i, path in enumerate(paths):
                try:
                    answer = gateway.ask(path)
                except Truncated:
                    cut += 1
                    continue
                if answer.status == 200:
                    self.assertEqual(answer.body, path.encode() * (1 + 97 * i))
                    whole += 1
                else:
                    self.assertEqual(answer.status, 502)
        self.assertGreater(whole, 30)
        self.assertGreater(cut, 0)


class RealNginx(unittest.TestCase):
    def start_nginx(self):
        nginx = Nginx({"small": b"small", "big": BIG, "empty": b""})
        self.addCleanup(nginx.close)
        return nginx

    def start(self, *backends, **options):
        gateway = Gateway(config(*backends, **options))
        self.addCleanup(gateway.stop)
        return gateway

    def test_files_heads_validators_and_errors(self):
        nginx = self.start_nginx()
        gateway = self.start(nginx)
        with gateway.client() as client:
            self.assertEqual(client.ask("/small").body, b"small")
            self.assertEqual(client.ask("/big").body, BIG)
            self.assertEqual(client.ask("/empty").body, b"")
            self.assertEqual(client.ask("/big", "HEAD").get("Content-Length"), str(len(BIG)))
            self.assertEqual(client.ask("/gone").status, 404)
            etag = client.ask("/small").get("ETag")
            self.assertEqual(client.ask("/small", fields=[("If-None-Match", etag)]).status, 304)
            part = client.ask("/big", fields=[("Range", "bytes=1000-1999")])
            self.assertEqual((part.status, part.body), (206, BIG[1000:2000]))
            self.assertEqual(client.ask("/small", "POST", body=b"x" * 100000).status, 405)
            self.assertEqual(client.ask("/echo").body, b"GET example.test 127.0.0.1 1.1 neap\n")
        self.assertEqual(nginx.process.poll(), None)

    def test_hits_are_what_nginx_sent(self):
        nginx = self.start_nginx()
        gateway = self.start(nginx)
        self.assertEqual(gateway.ask("/cached/big").body, BIG)
        nginx.kill()
        hit = gateway.ask("/cached/big")
        self.assertEqual((hit.body, hit.all("Cache-Status")), (BIG, ["neap; hit"]))

    def test_one_of_two_killed_and_brought_back_under_load_costs_nothing(self):
        nginxes = [self.start_nginx(), self.start_nginx()]
        gateway = self.start(*nginxes, workers=2, cache="false", pool='down_time = "100ms", eject = { time = "100ms" }')
        stop, failures, counts = threading.Event(), [], [0]

        def keep_asking():
            try:
                with gateway.client() as client:
                    while not stop.is_set():
                        answer = client.ask("/small")
                        if answer.body != b"small":
                            raise AssertionError(repr(answer))
                        counts[0] += 1
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        threads = [threading.Thread(target=keep_asking) for _ in range(6)]
        for thread in threads:
            thread.start()

        def some_load():
            before = counts[0]
            wire.wait_until(lambda: counts[0] > before + 300 or failures, "load", TIMEOUT * 3)
        for _ in range(3):
            some_load()
            nginxes[0].kill()
            some_load()
            nginxes[0].start()
        before = len(gateway.access("/small"))

        def both_serve():
            lines = gateway.access("/small", before)[before:]
            return {line["backend"] for line in lines} == {nginx.address for nginx in nginxes} or failures
        wire.wait_until(both_serve, "the one brought back to serve", TIMEOUT * 3)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
