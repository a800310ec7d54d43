"""Every recipe of docs/cookbook-routing.md, and with them every rule of policies/route, inside a running gateway."""

import base64
import os
import re
import shutil
import tempfile
import unittest

from harness import Gateway, Origin

COOKBOOK = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "cookbook-routing.md")
with open(COOKBOOK) as file:
    RECIPES = dict(re.findall(r"```lua (\w+)\n(.*?)```", file.read(), re.S))


class Recipes(unittest.TestCase):
    def start(self, name, files=()):
        self.app, self.beta = Origin(), Origin()
        for origin in (self.app, self.beta):
            self.addCleanup(origin.close)
        recipe = RECIPES[name]
        folder = None
        for path, text in files:
            if folder is None:
                folder = tempfile.mkdtemp(prefix="neap-rules-")
                self.addCleanup(shutil.rmtree, folder)
            with open(os.path.join(folder, path), "w") as file:
                file.write(text)
            recipe = recipe.replace('"%s"' % path, '"%s/%s"' % (folder, path))
        self.folder = folder
        self.gateway = Gateway("""
            local neap = require "neap"
            neap.listen { http = "127.0.0.1:0" }
            neap.log { access = "ACCESS_LOG" }
            neap.engine { workers = 1 }
            neap.pool { name = "app", backends = { "%s" } }
            neap.pool { name = "beta", backends = { "%s" } }
            %s""" % (self.app.address, self.beta.address, recipe))
        self.addCleanup(self.gateway.stop)

    def ask(self, *arguments, **options):
        return self.gateway.ask(*arguments, **options)

    def pool(self, target="/", **fields):
        """Which pool answers a request with these headers (x_version for x-version)."""
        seen = len(self.app.seen), len(self.beta.seen)
        response = self.ask(target, fields=[(name.replace("_", "-"), value) for name, value in fields.items()])
        self.assertEqual(response.status, 200)
        return "app" if len(self.app.seen) > seen[0] else "beta" if len(self.beta.seen) > seen[1] else None

    def status(self, target="/", host="example.test", **fields):
        fields = [(name.replace("_", "-"), value) for name, value in fields.items()]
        return self.ask(target, host=host, fields=fields).status

    def test_canary(self):
        self.start("canary")
        self.assertEqual(self.pool(x_version="beta"), "beta")
        pools = {user: self.pool(cookie="session=%d" % user) for user in range(100)}
        self.assertTrue(0 < list(pools.values()).count("beta") < 20)
        self.assertEqual({user: self.pool(cookie="session=%d" % user) for user in range(100)}, pools)

    def test_ab(self):
        self.start("ab")
        self.assertEqual(self.pool(cookie="group=a"), "app")
        self.assertEqual(self.pool(cookie="group=b"), "beta")
        self.assertEqual(self.beta.seen[-1].get("x-group"), "b")
        cookie = self.ask("/new").get("Set-Cookie")
        self.assertRegex(cookie, r"^group=[ab]; Path=/; Max-Age=2592000; SameSite=Lax$")
        self.assertEqual(self.gateway.access("/new")[0]["tag"], cookie[6])

    def test_tenants(self):
        self.start("tenants")
        self.assertEqual([self.pool(x_tenant=tenant) for tenant in ("acme", "small")], ["beta", "app"])
        self.assertEqual(self.pool(), "app")

    def test_geography(self):
        self.start("geography")
        self.assertEqual([self.pool(cf_ipcountry=country) for country in ("DE", "us")], ["beta", "app"])
        self.assertEqual(self.status(cf_ipcountry="XX"), 451)
        self.assertEqual((self.pool(), self.app.seen[-1].get("x-country")), ("app", "at"))

    def test_bots(self):
        self.start("bots")
        self.assertEqual([self.status(user_agent="Googlebot") for _ in range(3)], [200, 200, 429])
        self.assertEqual([self.status(user_agent="bingbot") for _ in range(3)], [200, 200, 429])
        self.assertEqual([self.status(user_agent="Mozilla/5.0") for _ in range(5)], [200] * 5)

    def test_maintenance(self):
        self.start("maintenance", [("closed.csv", "# nobody\n")])
        self.assertEqual(self.status(host="shop.example.com"), 200)
        path = os.path.join(self.folder, "closed.csv")
        with open(path + ".new", "w") as file:
            file.write("shop.example.com\n")
        os.rename(path + ".new", path)
        self.gateway.wait_line("table loaded name=closed rows=1")
        response = self.ask("/", host="shop.example.com")
        self.assertEqual((response.status, response.get("Retry-After")), (503, "600"))
        self.assertEqual(self.status(host="other.example.com"), 200)
        self.assertEqual(self.status(host="shop.example.com", cookie="staff=1"), 200)

    def test_keys(self):
        self.start("keys")
        self.assertEqual([self.status(x_api_key=key) for key in ("k-0123456789", "k-", "")], [200, 401, 401])
        self.assertEqual((self.app.seen[-1].get("x-owner"), self.app.seen[-1].get("x-api-key")), ("acme", None))
        self.assertEqual([self.status(), self.status("/health")], [401, 200])

    def test_password(self):
        self.start("password")
        def basic(text):
            return "Basic " + base64.b64encode(text.encode()).decode()
        self.assertEqual(self.status("/admin/x", authorization=basic("joe:correct horse")), 200)
        self.assertEqual(self.app.seen[-1].get("x-user"), "joe")
        self.assertEqual([self.status("/admin", authorization=basic("joe:x")), self.status("/admin"), self.status("/")],
                         [401, 401, 200])

    def test_key(self):
        self.start("key")
        self.assertEqual([self.pool("/a?x=1"), self.pool("/a?utm_source=n&x=1"), self.pool("/a?x=2")],
                         ["app", None, "app"])
        self.assertEqual([self.pool("/text", accept_language="de-AT"), self.pool("/text", accept_language="de"),
                          self.pool("/text", accept_language="fr"), self.pool("/text")], ["app", None, "app", None])

    def test_move(self):
        self.start("move")
        self.assertEqual((self.pool("/shop/cart?a=1"), self.beta.seen[-1].target), ("beta", "/cart?a=1"))
        self.assertEqual(self.ask("/old/a/b?c=d").get("Location"), "/new/a/b?c=d")
        self.assertEqual(self.pool("/shopping"), "app")

    def test_mirror(self):
        self.start("mirror")
        self.assertEqual(self.ask("/x").body, b"/x")
        self.beta.wait("/x")

    def test_cors(self):
        self.start("cors")
        response = self.ask("/api", "OPTIONS", fields=[("Origin", "https://a.example.com"),
                                                       ("Access-Control-Request-Method", "PUT")])
        self.assertEqual((response.status, response.get("Access-Control-Allow-Origin"),
                          response.get("Access-Control-Allow-Methods")), (204, "https://a.example.com", "GET, PUT"))

    def test_plans(self):
        self.start("plans")
        self.assertEqual([self.status(x_api_key="k-gold") for _ in range(5)], [200] * 5)
        self.assertEqual([self.status(x_api_key="k-other") for _ in range(3)], [200, 200, 429])
        self.assertEqual(self.status(x_api_key="k-none"), 429)

    def test_every_recipe_is_tried(self):
        tried = {name[5:] for name in dir(self) if name.startswith("test_")}
        self.assertEqual(set(RECIPES) - tried, set())


if __name__ == "__main__":
    unittest.main()
