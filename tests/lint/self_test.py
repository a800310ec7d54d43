"""Shows that the lint can fail: a tree with one fault per rule, and one without any."""

import os
import subprocess
import sys
import tempfile

import lint

GOOD = {
    "core/base/base.h": "#ifndef NEAP_BASE_BASE_H\n#include <stdint.h>\n#include \"neap/neap.h\"\n",
    "core/include/neap/neap.h": "#ifndef NEAP_NEAP_H\n",
    "core/store/room.c": "#include \"base/base.h\"\n#include \"policy/policy.h\"\n#include \"policy/abi.h\"\n"
                         "enum { ROOM_MAGIC = 0x1 }; /* clock_gettime(), 0x1 */\nuint64_t time_of(int time);\n",
    "core/loop/clock.c": "#include <uv.h>\nclock_gettime(0, 0);\n",
    "core/script/vm.c": "#include <lua.h>\n",
    "lua/neap/abi.lua": "ffi.cdef(text) -- ffi.C\n",
    "policies/evict/lru.lua": "return 1\n",
    "policies/evict/lru_spec.lua": "local ffi = require 'ffi'\n",
    "docs/decisions/0001-why.md": "",
    "tests/unit/store/test_room.c": "",
}
# File -> (text, the findings it must cause).
BAD = {
    "core/base/up.c": ("#include \"store/store.h\"\n", ["include-table"]),
    "core/attic/x.c": ("\n#include \"base/base.h\"\n", ["include-table"]),
    "core/include/neap/x.h": ("#ifndef NEAP_X_H\n#include \"base/base.h\"\n#include <sys/x.h>\n",
                              ["include-table", "third-party"]),
    "core/store/in.c": ("#include \"policy/guts.h\"\n", ["facade"]),
    "core/store/lua.c": ("#include <lauxlib.h>\n", ["third-party"]),
    "core/http/uv.c": ("#include <uv.h>\n", ["third-party"]),
    "core/upstream/curl.c": ("#include <curl/curl.h>\n", ["third-party"]),
    "core/store/late.c": ("/* one\n two */ x = time(NULL);\ny = clock_gettime(1, &t);\n", ["clock", "clock"]),
    "core/store/twin.c": ("#define TWIN_MAGIC 0x01\n", ["magic"]),
    "lua/neap/two.lua": ("ffi.cdef 'int x;'\nlocal x = ffi.C.x\n", ["ffi", "ffi"]),
    "lua/neap/when.lua": ("return os.time()\n", ["clock"]),
    "core/store/wrong.h": ("#ifndef WRONG_H\n", ["guard"]),
    "core/store/CamelCase.c": ("", ["name"]),
    "tests/unit/store/room_test.c": ("", ["name"]),
    "tests/unit/attic/test_x.c": ("", ["name"]),
    "docs/decisions/why.md": ("", ["name"]),
    "policies/evict/new.lua": ("return 1\n", ["spec"]),
    "docs/paths.md": ("see /ho" + "me/me/neap\n", ["machine-path"]),
    "lua/neap/later.lua": ("-- TO" + "DO: later\n", ["unfinished"]),
}


# Objects, and what the rules that look into them must find.
OBJECTS = [
    ("const int neap_a = 1; static const char *const b[] = {\"x\"}; const char *neap_b(void) { return b[0]; }", []),
    ("int neap_count; int neap_more = 1; const int oops = 1;", ["exported", "global", "mutable", "mutable"]),
]


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def build(root, source):
    """What stands in for the release build."""
    folder = os.path.join(root, "build/release")
    write(root, "build/release/x.c", source)
    for command in (["cc", "-fPIC", "-c", "x.c"], ["ar", "rc", "libneap_static.a", "x.o"],
                    ["cc", "-shared", "-o", "libneap.so", "x.o"]):
        subprocess.run(command, cwd=folder, check=True)


def lint_of(files, source=None):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            write(root, path, text)
        if source:
            build(root, source)
        return sorted((path, rule) for path, _, rule, _ in lint.findings(root))


def main():
    cases = [("a tree without faults", dict(GOOD), None, [])]
    cases += [(path, dict(GOOD, **{path: text}), None, rules) for path, (text, rules) in BAD.items()]
    cases += [("objects", {}, source, rules) for source, rules in OBJECTS]
    status = 0
    for name, files, source, expected in cases:
        found = lint_of(files, source)
        if sorted(rule for _, rule in found) != expected:
            print("tests/lint/self_test.py:1: self-test: %s: expected %s, found %s" % (name, expected, found))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
