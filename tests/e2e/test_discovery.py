"""Backends that are found: in a file, by DNS (dnsmasq), in etcd. Real servers of both."""

import base64
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.request

from harness import PROGRAM, Gateway, Origin, TIMEOUT, wire
from test_control import Line

CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.pool { name = "app", balance = "round_robin", %(pool)s }
neap.route { path = "/", pool = "app" }
neap.log { access = "ACCESS_LOG" }
neap.engine { workers = 2, name_servers = { %(servers)s } }
%(more)s
"""


def config(pool, servers="", more=""):
    return CONFIG % {"pool": pool, "servers": servers, "more": more}


def free_port():
    """A port that is free for both TCP and UDP: name servers listen on both."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    return True


class Service:
    """A server process in a folder of its own."""

    def __init__(self, *command):
        self.folder = tempfile.mkdtemp(prefix="neap-service-")
        self.process = subprocess.Popen([part.replace("FOLDER", self.folder) for part in command], cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait(TIMEOUT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Etcd(Service):
    def __init__(self, client_port=None):
        self.port = client_port or free_port()
        url, peer = "http://127.0.0.1:%d" % self.port, "http://127.0.0.1:%d" % free_port()
        super().__init__("etcd", "--data-dir", "FOLDER/data", "--listen-client-urls", url, "--advertise-client-urls",
                         url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
                         "default=" + peer)
        wire.wait_until(self.is_ready, "etcd", TIMEOUT * 3)

    def is_ready(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/health" % self.port, timeout=TIMEOUT) as answer:
                return json.load(answer)["health"] == "true"
        except OSError:
            return False

    def call(self, path, **fields):
        body = json.dumps({key: base64.b64encode(value.encode()).decode() for key, value in fields.items()})
        request = urllib.request.Request("http://127.0.0.1:%d/v3/kv/%s" % (self.port, path), body.encode())
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return json.load(answer)

    def put(self, key, value):
        self.call("put", key=key, value=value)

    def delete(self, key):
        self.call("deleterange", key=key)


class Discovery(unittest.TestCase):
    def make_origin(self, body, host="127.0.0.1", port=0):
        origin = Origin(host, port)
        self.addCleanup(origin.close)
        origin.on("/", wire.response(body=body))
        return origin

    def start(self, *arguments, **options):
        gateway = Gateway(config(*arguments, **options))
        self.addCleanup(gateway.stop)
        return gateway

    @staticmethod
    def bodies(gateway, count=8):
        answers = [gateway.ask("/") for _ in range(count)]
        return {answer.body if answer.status == 200 else answer.status for answer in answers}

    def wait_bodies(self, gateway, *wanted):
        wire.wait_until(lambda: self.bodies(gateway) == set(wanted), "answers %r" % (wanted,), TIMEOUT * 2)

    # --- a file

    def test_a_file_of_backends_is_followed(self):
        one, two = self.make_origin(b"one"), self.make_origin(b"two")
        folder = tempfile.mkdtemp(prefix="neap-backends-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "backends")

        def write(text):
            with open(path + ".new", "w") as file:
                file.write(text)
            os.rename(path + ".new", path)
        write("# ours\n%s weight=2\n" % one.address)
        gateway = self.start('discover = "file:%s"' % path)
        self.wait_bodies(gateway, b"one")
        write("%s\n%s\n" % (one.address, two.address))
        self.wait_bodies(gateway, b"one", b"two")
        before = len(gateway.lines)
        write("%s\nnonsense\n" % two.address)
        gateway.wait_line(r"discover_failed pool=app source=\"file:.*backends:2: 'nonsense' is not host:port", before)
        self.assertEqual(self.bodies(gateway), {b"one", b"two"})
        for bad in ("::1:%d" % one.port, "256.1.1.1:80", "no-such-host.invalid:80"):
            before = len(gateway.lines)
            write("%s\n" % bad)
            gateway.wait_line("discover_failed|discover_join_failed", before)
            self.assertEqual(self.bodies(gateway), {b"one", b"two"})  # a wrong list empties no pool
        write("%s\n" % two.address)
        self.wait_bodies(gateway, b"two")

    def test_what_is_known_of_those_that_stay_is_kept_and_the_file_names_some_itself(self):
        one, two, three = self.make_origin(b"one"), self.make_origin(b"two"), self.make_origin(b"three")
        folder = tempfile.mkdtemp(prefix="neap-backends-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "backends")
        with open(path, "w") as file:
            file.write("%s\n%s\n" % (one.address, two.address))
        pool = 'backends = { "%s" }, discover = "file:%s"' % (one.address, path)
        gateway = self.start(pool)
        self.wait_bodies(gateway, b"one", b"two")
        with gateway.client() as client:  # a connection to each is kept
            for _ in range(4):
                client.ask("/")
            accepted = one.accepted, two.accepted
            with open(path, "w") as file:
                file.write("%s\n" % three.address)
            self.wait_bodies(gateway, b"one", b"three")  # "one" stays, for the configuration names it
            gateway.reload(config(pool), r"reloaded generation=2")
            self.assertEqual(self.bodies(gateway), {b"one", b"three"})  # at once: nothing is asked anew
        self.assertLessEqual(one.accepted, accepted[0] + 2)
        gateway.reload(config('backends = { "%s" }' % one.address), r"reloaded generation=3")
        self.wait_bodies(gateway, b"one")

    # --- DNS

    def start_names(self, *more):
        for _ in range(5):  # another process may take the port meanwhile
            port = free_port()
            service = Service("dnsmasq", "--keep-in-foreground", "--port=%d" % port, "--listen-address=127.0.0.1",
                              "--bind-interfaces", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=",
                              "--user=root", "--log-facility=/dev/null", "--local=/test/", "--local-ttl=1",
                              "--hostsdir=FOLDER", *more)
            self.addCleanup(service.stop)
            wire.wait_until(lambda: is_listening(port) or service.process.poll() is not None, "dnsmasq")
            if service.process.poll() is None:
                return service, '"127.0.0.1:%d"' % port
        raise AssertionError("dnsmasq does not start")

    @staticmethod
    def write_hosts(service, text):
        """dnsmasq reads what is new in its folder, and forgets nothing: each time a file of another name."""
        number = len(os.listdir(service.folder))
        with open(os.path.join(service.folder, "hosts%d" % number), "w") as file:
            file.write(text)

    def test_addresses_of_a_name_are_followed(self):
        one = self.make_origin(b"one")
        self.make_origin(b"two", "127.0.0.2", one.port)
        names, servers = self.start_names()
        self.write_hosts(names, "127.0.0.1 app.test\n")
        gateway = self.start('discover = "dns:app.test:%d"' % one.port, servers=servers)
        self.wait_bodies(gateway, b"one")
        self.write_hosts(names, "127.0.0.2 app.test\n")
        self.wait_bodies(gateway, b"one", b"two")

    def test_the_last_answer_stays_when_the_name_server_goes(self):
        one = self.make_origin(b"one")
        names, servers = self.start_names()
        self.write_hosts(names, "127.0.0.1 app.test\n")
        gateway = self.start('discover = "dns:app.test:%d"' % one.port, servers=servers)
        self.wait_bodies(gateway, b"one")
        before = len(gateway.lines)
        names.process.kill()
        gateway.wait_line(r"discover_failed pool=app source=\"dns:app.test", before)
        self.assertEqual(self.bodies(gateway), {b"one"})

    def neap(self, gateway, *words):
        return subprocess.run([PROGRAM, *words, "--json", "--config", gateway.config], capture_output=True, text=True,
                              timeout=TIMEOUT * 3, check=False)

    def test_a_name_in_a_list_is_tried_until_it_is_known(self):
        one, two = self.make_origin(b"one"), self.make_origin(b"two")
        names, servers = self.start_names()
        folder = tempfile.mkdtemp(prefix="neap-backends-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "backends")
        with open(path, "w") as file:
            file.write("%s\nlater.test:%d\n" % (one.address, two.port))
        gateway = self.start('discover = "file:%s"' % path, servers=servers)
        self.wait_bodies(gateway, b"one")
        gateway.wait_line(r"discover_join_failed pool=app backend=later.test:%d error=\"later.test: there is no such name"
                          % two.port)
        self.assertIn("later.test: there is no such name", self.neap(gateway, "status").stdout)
        self.write_hosts(names, "127.0.0.1 later.test\n")
        self.wait_bodies(gateway, b"one", b"two")  # though the list is the same
        with open(path, "w") as file:  # one that stays keeps what it has: nothing is looked up for it
            file.write("later.test:%d priority=1\n%s\n" % (two.port, one.address))
        self.wait_bodies(gateway, b"one")
        self.assertNotIn("no such name", self.neap(gateway, "status").stdout)

    def test_while_a_name_cannot_be_looked_up_nobody_leaves_and_nothing_stands_still(self):
        one = self.make_origin(b"one")
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # a name server that never answers
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        folder = tempfile.mkdtemp(prefix="neap-backends-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "backends")
        with open(path, "w") as file:
            file.write(one.address + "\n")
        gateway = self.start('discover = "file:%s"' % path, servers='"127.0.0.1:%d"' % silent.getsockname()[1])
        self.wait_bodies(gateway, b"one")
        with open(path, "w") as file:
            file.write("".join("never%d.test:80\n" % i for i in range(100)))
        gateway.wait_line("discovered pool=app .*backends=100 joined=0 awaited=100 failed=0 left=0")
        with Line(os.path.join(gateway.folder, "neap.sock")) as adding:
            asked = {"verb": "add", "args": {"pool": "app", "backend": "never.test:80"}}
            adding.send(json.dumps(asked).encode() + b"\n")
            self.assertEqual(self.neap(gateway, "add", "app", one.address).returncode, 1)  # it is there: answered at once
            self.assertEqual(select.select([adding.sock], [], [], 0)[0], [])
            self.assertEqual(self.bodies(gateway), {b"one"})
            gateway.stop()  # tells those that wait
            self.assertIn("stopping", adding.answer()["error"])

    def test_a_backend_is_added_by_its_name(self):
        one, two = self.make_origin(b"one"), self.make_origin(b"two")
        names, servers = self.start_names()
        self.write_hosts(names, "127.0.0.1 two.test\n")
        gateway = self.start('backends = { "%s" }' % one.address, servers=servers)
        done = self.neap(gateway, "add", "app", "Two.test:%d" % two.port)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.bodies(gateway), {b"one", b"two"})
        gateway.reload(config('backends = { "%s" }' % one.address, servers=servers), r"reloaded generation=2")
        self.assertEqual(self.bodies(gateway), {b"one", b"two"})
        self.assertEqual(self.neap(gateway, "remove", "app", "two.test:%d" % two.port).returncode, 0)
        self.assertEqual(self.bodies(gateway), {b"one"})
        done = self.neap(gateway, "add", "app", "no-such.test:80")
        self.assertIn("no-such.test: there is no such name", done.stdout)

    def test_services_bring_ports_and_priorities(self):
        one, two, spare = self.make_origin(b"one"), self.make_origin(b"two"), self.make_origin(b"spare")
        names, servers = self.start_names(*("--srv-host=_http._tcp.app.test,host.test,%d,%d,1" % (port, priority)
                                            for port, priority in ((one.port, 0), (two.port, 0), (spare.port, 1))))
        self.write_hosts(names, "127.0.0.1 host.test\n")
        gateway = self.start('discover = "srv:_http._tcp.app.test"', servers=servers)
        self.wait_bodies(gateway, b"one", b"two")  # the spare one waits for both to fail

    def test_thousands_of_backends_come_and_go_quickly(self):
        gateway = self.start('backends = { "127.0.0.1:9" }, discover = "file:list"')
        tasks = "/proc/%d/task" % gateway.process.pid

        def cpu_s():
            ns = 0
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, "schedstat")) as file:
                    ns += int(file.read().split()[0])
            return ns / 1e9

        def write(count):
            path = os.path.join(gateway.folder, "list")
            with open(path + ".new", "w") as file:
                file.writelines("127.1.%d.%d:9\n" % (i // 250, i % 250) for i in range(count))
            os.rename(path + ".new", path)

        begun = cpu_s()
        write(1500)
        gateway.wait_line(r"discovered pool=app .* backends=1500 joined=1500 awaited=0 failed=0 left=0")
        few = cpu_s() - begun
        write(15000)
        gateway.wait_line(r"discovered pool=app .* backends=15000 joined=13500 awaited=0 failed=0 left=0")
        write(5000)
        gateway.wait_line(r"discovered pool=app .* backends=5000 joined=0 awaited=0 failed=0 left=10000")
        many = cpu_s() - begun - few
        rows = json.loads(self.neap(gateway, "backends").stdout)["backends"]
        self.assertEqual(len(rows), 5001)
        self.assertLess(many, 100 * few)  # 25 to 40 times; where each looks for each it is 150 times

    # --- etcd

    def test_keys_of_etcd_are_followed(self):
        origins = [self.make_origin(b"%d" % i) for i in range(3)]
        etcd = Etcd()
        self.addCleanup(etcd.stop)
        etcd.put("/services/app/a", origins[0].address)
        etcd.put("/services/apple", origins[2].address)  # not below the prefix
        gateway = self.start('discover = "etcd:http://127.0.0.1:%d/services/app/"' % etcd.port)
        self.wait_bodies(gateway, b"0")
        etcd.put("/services/app/b", json.dumps({"address": "127.0.0.1", "port": origins[1].port, "weight": 3}))
        self.wait_bodies(gateway, b"0", b"1")
        before = len(gateway.lines)
        etcd.put("/services/app/c", "nonsense")
        gateway.wait_line(r"discover_failed .*key /services/app/c: 'nonsense' is not host:port", before)
        self.assertEqual(self.bodies(gateway), {b"0", b"1"})
        etcd.put("/services/app/c", json.dumps({"address": "127.0.0.1", "port": origins[1].port, "weight": "7"}))
        gateway.wait_line(r"key /services/app/c: its weight is no whole number", before)
        etcd.put("/services/app/d\nerror forged line", "nonsense")
        etcd.delete("/services/app/c")
        gateway.wait_line(r"key /services/app/d\?error forged line", before)
        self.assertIsNone(gateway.find_line("^error forged", 0))
        etcd.delete("/services/app/d\nerror forged line")
        etcd.put("/services/app/c", origins[2].address)
        self.wait_bodies(gateway, b"0", b"1", b"2")
        etcd.delete("/services/app/a")
        self.wait_bodies(gateway, b"1", b"2")

    def test_etcd_may_go_and_come_back(self):
        one, two = self.make_origin(b"one"), self.make_origin(b"two")
        etcd = Etcd()
        self.addCleanup(etcd.stop)
        etcd.put("/app/a", one.address)
        gateway = self.start('discover = "etcd:http://127.0.0.1:%d/app/"' % etcd.port)
        self.wait_bodies(gateway, b"one")
        before = len(gateway.lines)
        etcd.process.kill()
        gateway.wait_line(r"discover_failed pool=app source=\"etcd:", before)
        self.assertEqual(self.bodies(gateway), {b"one"})
        again = Etcd(etcd.port)  # empty
        self.addCleanup(again.stop)
        again.put("/app/b", two.address)
        self.wait_bodies(gateway, b"two")

    def test_credentials_in_a_url_are_shown_nowhere(self):
        spec = "etcd:http://someone:g3heim@127.0.0.1:%d/app/" % free_port()
        gateway = self.start('discover = "%s", backends = { "127.0.0.1:9" }' % spec)
        gateway.wait_line(r"discover_failed pool=app source=\"etcd:http://\*\*\*@127.0.0.1:\d+/app/\"")
        wrong = 'discover = "etcd:http://someone:g3heim@127.0.0.1"'
        gateway.reload(config(wrong), r"etcd:http://\*\*\*@127.0.0.1\": write")
        for verb in ("status", "config"):
            shown = self.neap(gateway, verb).stdout
            self.assertIn("http://***@127.0.0.1", shown)
            self.assertNotIn("g3heim", shown)
        self.assertNotIn("g3heim", "".join(gateway.lines))

    def test_bad_sources_are_errors_of_the_configuration(self):
        gateway = self.start('backends = { "127.0.0.1:9" }')
        for pool, pattern in (('discover = "consul:x"', r"neap.lua:4: error: pool.discover\[1\]: \"consul:x\": write"),
                              ('discover = {}', r"neap.lua:4: error: pool.discover: must not be empty"),
                              ('params = {}', r"neap.lua:4: error: pool: needs backends, or discover")):
            gateway.reload(config(pool), pattern)


if __name__ == "__main__":
    unittest.main()
