"""Whatever is asked while something else is under way has one sane answer: reloads, rollbacks, promotions, shadows and
canaries in every order, and what a rollback goes back to after them."""

import json
import os
import signal
import unittest

import wire
from harness import Gateway
from test_control import Line

CONFIG = """
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.pool { name = "app", backends = { "127.0.0.1:9", "127.0.0.1:10" } }
neap.route { path = "/", respond = { body = "%s" } }
neap.log { access = "off" }
neap.engine { workers = 4 }
%s
"""
# Long enough for somebody to ask for something else, far below the budget of a file's top level. Each VM runs it.
SLOW = "local x = 0 for i = 1, 4000000 do x = bit.bxor(x * 3, i) end"


class Pairs(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway(CONFIG % ("1", ""))
        self.addCleanup(self.gateway.stop)
        self.path = os.path.join(self.gateway.folder, "neap.sock")

    def line(self):
        line = Line(self.path)
        self.addCleanup(line.__exit__)
        return line

    def ask(self, verb, **args):
        with Line(self.path) as line:
            return line.ask(verb, **args)

    def done(self, verb, **args):
        answer = self.ask(verb, **args)
        self.assertTrue(answer["ok"], answer)
        return answer

    def refused(self, word, verb, **args):
        answer = self.ask(verb, **args)
        self.assertFalse(answer["ok"], answer)
        self.assertIn(word, answer["error"])
        return answer

    def write(self, body, more=""):
        self.gateway.write_config(CONFIG % (body, more))

    def reload(self, body, more=""):
        self.write(body, more)
        return self.done("reload")["generation"]

    def candidate(self, body, more=""):
        path = os.path.join(self.gateway.folder, "next.lua")
        with open(path, "w") as file:
            file.write(CONFIG % (body, more))
        return path

    def canary(self, body, more=""):
        return self.done("canary", file=self.candidate(body, more), share="50%", by="header X-User", min_requests=20)

    def serves(self, body):
        self.assertEqual({self.gateway.ask("/").body.decode() for _ in range(8)}, {body})

    def users(self, count=40):
        """What each of so many users gets: some of them get a canary."""
        with self.gateway.client() as client:
            return {client.ask("/", fields=[("X-User", str(i))]).body.decode() for i in range(count)}

    def begin(self, verb, **args):
        """Asks for something that takes its time; returns when it is under way."""
        line = self.line()
        line.send(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
        first = json.loads(line.file.readline())
        self.assertEqual(first.get("step"), "compile", first)
        return line

    def then(self, verb, **args):
        """Asks for something that has to wait."""
        line = self.line()
        line.send(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
        first = json.loads(line.file.readline())
        self.assertEqual(first.get("step"), "wait", first)
        return line

    # --- what a rollback goes back to

    def test_a_rollback_after_a_mended_reload_does_not_bring_back_the_bad_one(self):
        for number in (2, 3):
            self.reload(str(number))
        self.done("rollback")  # 3 was bad
        self.serves("2")
        self.reload("5")  # mended, and bad again
        self.done("rollback")
        self.serves("2")
        self.done("rollback")
        self.serves("1")
        self.refused("no earlier", "rollback")
        self.done("rollback", generation=3)  # it is there for who wants it
        self.serves("3")
        self.done("rollback")
        self.serves("2")

    def test_every_number_that_was_told_can_be_gone_back_to(self):
        self.reload("2")
        self.assertEqual(self.done("rollback")["generation"], 3)  # made of 1
        self.reload("4")
        self.assertEqual(self.done("reload")["generation"], 5)  # nothing has changed
        self.reload("6")
        self.done("rollback", generation=3)
        self.serves("1")
        self.done("rollback", generation=5)
        self.serves("4")
        self.refused("serves", "rollback", generation=4)
        self.refused("not kept", "rollback", generation=1000)

    def test_reloads_that_change_nothing_do_not_use_up_what_is_kept(self):
        self.reload("2")
        for _ in range(7):
            self.done("reload")
        self.reload("3")
        for _ in range(7):
            self.done("reload")
        states = [(one["state"], one["source"]) for one in self.done("status")["generations"]
                  if one["state"] != "finishing"]
        self.assertEqual(states, [("serving", 10), ("kept", 2), ("kept", 1)])
        self.done("rollback")
        self.serves("2")

    def test_what_is_kept_can_be_gone_back_to_however_long_ago_it_was_made(self):
        """A configuration manager reloads twice an hour, for weeks; numbers are remembered of 512 generations."""
        with Line(self.path) as line:
            for body in ("1", "3"):
                self.gateway.write_config(CONFIG.replace("workers = 4", "workers = 1") % (body, ""))
                line.ask("reload")
            for _ in range(520):
                newest = line.ask("reload")["generation"]
        self.refused("serves", "rollback", generation=3)
        self.done("rollback", generation=2)
        self.serves("1")
        self.refused("not kept", "rollback", generation=4)
        self.done("rollback", generation=newest)
        self.serves("3")

    def test_the_last_to_serve_is_the_last_to_be_forgotten(self):
        keep = "neap.reload { keep = 1 }"
        for number in (1, 2, 3):
            self.reload(str(number), keep)
        self.done("rollback")
        self.serves("2")
        self.reload("6", keep)
        self.done("rollback")  # not to 3, which is newer, and not to nothing
        self.serves("2")

    # --- after a canary

    def test_a_rollback_after_a_canary_that_ended_takes_nothing_good_out(self):
        self.reload("2")
        self.canary("9", 'neap.route { path = "/never", pool = "app" }')
        self.assertEqual(self.users(), {"2", "9"})
        self.done("rollback")
        told = self.refused("the canary is rolled back already", "rollback")
        self.assertIn("neap rollback 1", told["error"])
        self.serves("2")
        self.assertEqual(self.done("status")["generation"], 2)
        self.done("rollback", generation=1)  # whoever says where to has their way
        self.serves("1")

    def test_a_rollback_after_a_canary_that_ended_by_itself_takes_nothing_good_out(self):
        self.reload("2")
        bad = self.candidate("9")
        with open(bad, "w") as file:  # each of its requests is an error
            file.write((CONFIG % ("9", "")).replace('respond = { body = "9" }', "respond = 500"))
        self.done("canary", file=bad, share="50%", by="header X-User", min_requests=20)

        def ended():
            self.users(100)
            return self.ask("canary")["state"] == "rolled back"
        wire.wait_until(ended, "the end of the canary")
        self.refused("the canary is rolled back already", "rollback")
        self.serves("2")
        self.reload("3")  # a change: that one can be undone
        self.done("rollback")
        self.serves("2")

    def test_a_rollback_after_a_second_canary_ends_that(self):
        self.canary("8")
        self.done("rollback")
        self.canary("9")
        self.assertEqual(self.done("rollback")["state"], "rolled back")
        self.assertEqual(self.users(), {"1"})
        self.refused("nothing earlier is kept", "rollback")

    # --- while a canary is under way

    def test_beside_a_canary_only_what_decides_on_it_is_done(self):
        self.reload("2")
        self.canary("9")
        for verb, args in (("reload", {}), ("shadow", {"file": "p2c"}), ("canary", {"file": "p2c"})):
            self.refused("a canary is under way", verb, **args)
        self.refused("no shadow runs", "shadow", stop=True)
        self.refused("not kept", "rollback", generation=77)
        self.gateway.signal(signal.SIGHUP)
        self.gateway.wait_line("reload_refused .*a canary is under way")
        self.assertEqual(self.users(), {"2", "9"})
        self.done("promote")
        self.serves("9")
        self.refused("no candidate", "promote")

    def test_a_rollback_with_a_number_ends_a_canary_and_goes_there(self):
        self.reload("2")
        self.canary("9")
        self.done("rollback", generation=1)
        self.assertEqual(self.users(), {"1"})
        self.assertEqual(self.done("canary")["state"], "rolled back")

    def test_a_canary_that_is_rolled_back_while_it_is_promoted_is_not_promoted(self):
        self.canary("9", SLOW)
        promotion = self.begin("promote")
        self.assertEqual(self.done("rollback")["state"], "rolled back")
        answer = promotion.answer()
        self.assertFalse(answer["ok"])
        self.assertIn("ended meanwhile", answer["error"])
        self.assertEqual(self.users(), {"1"})

    def test_a_share_is_at_most_a_half(self):
        path = self.candidate("9")
        for share in ("100%", "1", "50.1%", "-5%", "nan", "5x", ""):
            self.refused("share", "canary", file=path, share=share)
        self.assertEqual(self.users(), {"1"})
        self.done("canary", file=path, share="0.5", by="header X-User")
        self.assertEqual(self.users(), {"1", "9"})

    # --- while a shadow is under way

    def test_a_shadow_gives_way_to_whatever_comes(self):
        def shadow():
            self.done("shadow", file=self.candidate("9"))

        def found():
            return self.done("shadow")["state"]
        self.reload("2")
        shadow()
        self.done("shadow", file="p2c", pool="app")
        self.assertEqual(self.done("shadow")["file"], "p2c")
        self.done("reload")
        self.assertEqual(found(), "overtaken by a reload")
        shadow()
        self.done("rollback")  # a shadow is no change: there is one before it to undo
        self.assertEqual(found(), "overtaken by a rollback")
        self.serves("1")
        shadow()
        self.canary("8")
        self.assertEqual(self.users(), {"1", "8"})
        self.done("rollback")
        shadow()
        self.done("promote")
        self.assertEqual(found(), "promoted")
        self.serves("9")

    def test_a_shadow_that_is_stopped_while_it_is_promoted_is_not_promoted(self):
        self.done("shadow", file=self.candidate("9", SLOW))
        promotion = self.begin("promote")
        self.assertEqual(self.done("shadow", stop=True)["state"], "stopped")
        self.assertIn("ended meanwhile", promotion.answer()["error"])
        self.serves("1")

    # --- while a reload is under way

    def test_a_rollback_during_a_reload_undoes_it(self):
        self.reload("2")
        self.write("3", SLOW)
        reload = self.begin("reload")
        rollback = self.then("rollback")
        self.assertEqual(reload.answer()["generation"], 3)
        self.assertEqual(rollback.answer()["generation"], 4)
        self.serves("2")

    def test_a_rollback_during_a_reload_that_is_refused_takes_nothing_good_out(self):
        self.reload("2")
        taken = 'neap.listen { http = "127.0.0.1:%d" }' % self.port_in_use()
        self.write("3", SLOW + "\n" + taken)  # found to be in use at the end
        reload = self.begin("reload")
        rollback = self.then("rollback")
        self.assertFalse(reload.answer()["ok"])
        answer = rollback.answer()
        self.assertFalse(answer["ok"])
        self.assertIn("refused; to go back further, say neap rollback 1", answer["error"])
        self.serves("2")
        reload, to_one = self.begin("reload"), self.then("rollback", generation=1)
        self.assertFalse(reload.answer()["ok"])
        self.assertTrue(to_one.answer()["ok"])
        self.serves("1")
        self.refused("no earlier", "rollback")

    def port_in_use(self):
        listener = wire.socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        return listener.getsockname()[1]

    def test_a_reload_between_is_what_a_waiting_rollback_undoes(self):
        self.reload("2")
        self.write("3", SLOW + '\nneap.listen { http = "127.0.0.1:%d" }' % self.port_in_use())
        first, second = self.begin("reload"), self.then("reload")
        self.write("4")
        rollback = self.then("rollback")
        self.assertFalse(first.answer()["ok"])
        self.assertTrue(second.answer()["ok"])
        self.assertTrue(rollback.answer()["ok"])
        self.serves("2")

    def test_candidates_wait_for_a_reload_and_stand_beside_what_it_made(self):
        self.write("2", SLOW)
        reload, canary = self.begin("reload"), self.then("canary", file=self.candidate("9"), share="50%",
                                                         by="header X-User")
        self.assertTrue(reload.answer()["ok"])
        self.assertTrue(canary.answer()["ok"])
        self.assertEqual(self.users(), {"2", "9"})

    def test_a_rollback_that_waits_for_a_canary_ends_it(self):
        self.reload("2")
        canary = self.begin("canary", file=self.candidate("9", SLOW), share="50%", by="header X-User")
        rollback = self.then("rollback")
        self.assertTrue(canary.answer()["ok"])
        self.assertEqual(rollback.answer()["state"], "rolled back")
        self.assertEqual(self.users(), {"2"})

    def test_a_promotion_that_waits_for_a_reload_finds_the_candidate_gone(self):
        self.done("shadow", file=self.candidate("9"))
        self.write("2", SLOW)
        reload, promotion = self.begin("reload"), self.then("promote")
        self.assertTrue(reload.answer()["ok"])
        self.assertIn("gone", promotion.answer()["error"])
        self.serves("2")

    def test_a_reload_that_waits_for_a_promotion_loads_the_file(self):
        self.done("shadow", file=self.candidate("9", SLOW))
        promotion, reload = self.begin("promote"), self.then("reload")
        self.assertTrue(promotion.answer()["ok"])
        self.assertTrue(reload.answer()["ok"])
        self.serves("1")

    # --- promotion and the file watch

    def test_what_is_promoted_stays_though_its_file_has_changed(self):
        watch = "neap.reload { watch = true }"
        self.reload("2", watch)
        self.done("shadow", file=self.candidate("9", watch))
        self.candidate("10", watch)  # edited since
        self.done("promote")
        then = self.done("status")["uptime_s"]
        wire.wait_until(lambda: self.done("status")["uptime_s"] > then, "many times the watch's time")
        self.assertEqual(self.done("status")["generation"], 4)
        self.serves("9")
        self.write("3", watch)  # its own file is watched still
        self.gateway.wait_line("reloaded generation=5 by=watch")
        self.serves("3")
        self.done("rollback")
        self.serves("9")


if __name__ == "__main__":
    unittest.main()
