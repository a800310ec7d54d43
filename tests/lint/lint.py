"""Checks what the compiler does not: who may include whom, one ffi.cdef, unique magics, names, no clocks.

Prints `file:line: rule: text` for each finding. Usage: python3 tests/lint/lint.py [ROOT]
Rules are the functions in RULES; each gets the tree and yields findings. self_test.py shows that each can fail.
"""

import os
import re
import subprocess
import sys

# Folder -> folders it may include. base/ and include/neap/ are open to all (but include/ to nobody's code), the
# folder itself always; "all" is all. Order is bottom up.
MAY_INCLUDE = {
    "include": [],
    "base": [],
    "policy": [],
    "resp": [],
    "http": [],
    "store": ["policy"],
    "loop": [],
    "remote": ["resp", "loop"],
    "tier": ["policy", "store", "loop", "remote"],
    "upstream": ["policy", "loop", "remote"],
    "sim": ["policy", "store", "upstream"],
    "route": ["policy", "http"],
    "scale": ["policy", "loop", "remote", "upstream"],
    "observe": ["policy", "loop", "remote"],
    "script": ["policy"],
    "flow": ["policy", "resp", "http", "store", "loop", "remote", "tier", "upstream", "route", "observe"],
    "front": ["http", "resp", "loop", "store", "tier", "flow", "observe"],
    "server": "all",
    "bin": ["server", "sim"],
}
# Seen from outside a folder: <folder>/<folder>.h, and these.
FACADES = {"policy/abi.h", "flow/exchange.h", "store/codec.h", "sim/verify.h"}
# A third party's headers -> the only folder that may include them.
ONLY_IN = {
    r"(lua|lualib|lauxlib|luajit)\.h": "script",
    r"uv\.h": "loop",
    r"curl/.*\.h": "remote",
}
CLOCK = re.compile(
    r"\b(clock_gettime|gettimeofday|timespec_get|clock_nanosleep|nanosleep|usleep|uv_now|uv_hrtime|__rdtsc)\s*\("
    r"|(?<![\w.>])(time\s*\(\s*(NULL|0|&)|clock\s*\(\s*\))"
)
LUA_CLOCK = re.compile(r"\bos\.(time|clock|date)\b")
MAGIC = re.compile(r"\b(\w*MAGIC\w*)\s*=?\s*(0[xX][0-9a-fA-F]+)")
# Paths of somebody's machine, put together so that this file does not hold them itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(" + "|".join(["ho" + "me", "wo" + "rk", "ro" + "ot", "Us" + "ers"]) + r")/\w")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
# Mutable globals that there are, each with its reason.
MUTABLE = {  # threads and their memory barrier belong to the process, not to a cache (store/seat.c, store/epoch.c)
    "seats_lock", "seats_key", "seats_once", "seats_cache_ids", "epoch_once", "neap_epoch_fenced",
    "kept_chunks",  # bytecode of the embedded runtime, made of constants alone (script/chunks.c)
}
TEXT = (".c", ".h", ".lua", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".in", ".map", ".1", "")
NAMES = [  # (where, what a file there is called)
    (r"core/.*\.[ch]$", r"core/[a-z]+(/neap)?/[a-z][a-z0-9_]*\.[ch]"),
    (r"tests/unit/.*\.c$", r"tests/unit/[a-z]+/test_[a-z0-9_]+\.c"),
    (r"tests/bench/.*\.c$", r"tests/bench/bench_[a-z0-9_]+\.c"),
    (r"tests/fuzz/.*\.c$", r"tests/fuzz/fuzz_[a-z0-9_]+\.c"),
    (r"policies/.*\.lua$", r"policies/[a-z]+/[a-z0-9_]+\.lua"),
    (r".*\.lua$", r"([a-z0-9_-]+/)*[a-z][a-z0-9_]*\.lua"),
    (r"docs/decisions/", r"docs/decisions/\d{4}-[a-z0-9-]+\.md"),
    (r"docs/.*\.md$", r"docs/([a-z0-9-]+/)*[a-z0-9-]+\.md"),
]


class Tree:
    """All text files below a root, read once."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in ("build", ".git", "corpus", "__pycache__"))
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root)
                if name != ".git" and os.path.splitext(name)[1] in TEXT and not os.path.islink(os.path.join(root, path)):
                    self.read(path)

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                self.files[path] = file.read().split("\n")
        except UnicodeDecodeError:
            pass

    def lines(self, pattern):
        """(path, number, line) of every line of the files whose path matches."""
        for path, lines in self.files.items():
            if re.match(pattern, path):
                for number, line in enumerate(lines, 1):
                    yield path, number, line


def without_comments(tree, pattern):
    """Like lines(), but comments of C, Lua and strings' contents are blanked as far as one line tells."""
    inside = None
    for path, number, line in tree.lines(pattern):
        if inside != path:
            inside, in_comment = path, False
        if path.endswith(".lua"):
            yield path, number, re.sub(r"--.*", "", line)
            continue
        if in_comment:
            end = line.find("*/")
            if end < 0:
                continue
            line, in_comment = line[end + 2:], False
        line = re.sub(r"/\*.*?\*/|//.*", "", line)
        start = line.find("/*")
        if start >= 0:
            line, in_comment = line[:start], True
        yield path, number, line


def folder_of(path):
    return path.split("/")[1]


def includes(tree):
    for path, number, line in tree.lines(r"core/.*\.[ch]$"):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield path, number, match.group(1) == '"', match.group(2)


def rule_include_table(tree):
    """A folder includes only what its row of the table names."""
    for path, number, _, header in includes(tree):
        folder = folder_of(path)
        if folder not in MAY_INCLUDE:
            yield path, number, "core/%s/ is not in the table of folders" % folder
            continue
        there = header.split("/")[0]
        there = "include" if there == "neap" else there
        if there not in MAY_INCLUDE or there in (folder, "include"):
            continue
        allowed = MAY_INCLUDE[folder]
        if folder == "include" or (there != "base" and allowed != "all" and there not in allowed):
            yield path, number, "%s/ may not include %s" % (folder, header)


def rule_facade(tree):
    """Another folder is seen through <folder>/<folder>.h only."""
    for path, number, _, header in includes(tree):
        parts = header.split("/")
        if parts[0] not in MAY_INCLUDE or parts[0] in ("base", "include", folder_of(path)):
            continue
        if header not in FACADES and header != "%s/%s.h" % (parts[0], parts[0]):
            yield path, number, "%s is internal to %s/: include %s/%s.h" % (header, parts[0], parts[0], parts[0])


def rule_third_party(tree):
    """lua.h belongs to script/, uv.h to loop/, libcurl to remote/; public headers include none of others."""
    for path, number, quoted, header in includes(tree):
        for pattern, folder in ONLY_IN.items():
            if re.fullmatch(pattern, header) and folder_of(path) != folder:
                yield path, number, "%s may be included in %s/ only" % (header, folder)
        if path.startswith("core/include/") and not quoted and "/" in header:
            yield path, number, "public headers include no third party's (%s)" % header


def rule_clock(tree):
    """Only loop/ reads a clock."""
    for path, number, line in without_comments(tree, r"core/(?!loop/).*\.[ch]$"):
        if CLOCK.search(line):
            yield path, number, "time is a parameter: clocks are read in loop/ only"
    for path, number, line in without_comments(tree, r"(lua|policies)/.*\.lua$"):
        if LUA_CLOCK.search(line):
            yield path, number, "policies and runtime read no clock"


def rule_magic(tree):
    """Magics are unique."""
    seen = {}
    for path, number, line in without_comments(tree, r"core/.*\.[ch]$"):
        for name, value in MAGIC.findall(line):
            first = seen.setdefault(int(value, 16), (path, number, name))
            if first[:2] != (path, number):
                yield path, number, "%s is the same as %s of %s:%d" % (name, first[2], first[0], first[1])


def rule_ffi(tree):
    """One ffi.cdef in all; C functions come in structs, never from ffi.C."""
    code = list(without_comments(tree, r"(lua|policies|core)/.*\.(lua|cmake|c)$"))
    cdefs = [(path, number) for path, number, line in code if re.search(r"\bffi\.cdef\b", line)]
    for path, number in cdefs[1:]:
        yield path, number, "ffi.cdef is also at %s:%d: there is one" % cdefs[0]
    for path, number, line in code:
        if re.search(r"\bffi\.C\b", line):
            yield path, number, "ffi.C would find the host's symbols"
        elif not cdefs and re.search(r"require\W*ffi\b", line):
            yield path, number, "ffi is used, but ffi.cdef is nowhere"


def rule_guard(tree):
    """Header guards are NEAP_<FOLDER>_<FILE>_H."""
    for path in tree.files:
        match = re.match(r"core/(?:include/)?([a-z]+)/([a-z0-9_]+)\.h$", path)
        if not match:
            continue
        words = [match.group(1), match.group(2)]
        guard = "_".join(["NEAP"] + [w.upper() for w in words if not (w == "neap" and w is words[0])]) + "_H"
        if "#ifndef " + guard not in tree.files[path]:
            yield path, 1, "header guard is not " + guard


def rule_name(tree):
    """Files are named as the house rules say."""
    for path in tree.files:
        for where, what in NAMES:
            if re.match(where, path) and not re.fullmatch(what, path):
                yield path, 1, "name does not match " + what
                break
        match = re.match(r"tests/unit/([a-z]+)/", path)
        if match and match.group(1) not in MAY_INCLUDE:
            yield path, 1, "tests/unit/ mirrors core/, which has no %s/" % match.group(1)


def rule_spec(tree):
    """Every policy has a spec."""
    for path in tree.files:
        match = re.match(r"policies/([a-z]+)/([a-z0-9_]+)\.lua$", path)
        if not match or match.group(2).endswith("_spec"):
            continue
        spec = "%s_spec.lua" % match.group(2)
        if not any(p.endswith("/" + spec) for p in tree.files):
            yield path, 1, "the policy has no " + spec


def rule_machine_path(tree):
    """No path of somebody's machine."""
    for path, number, line in tree.lines(r".*"):
        if MACHINE_PATH.search(line):
            yield path, number, "absolute path of one machine"


def rule_unfinished(tree):
    """What is left to do belongs in an issue."""
    for path, number, line in tree.lines(r"(core|lua|policies|tests|examples)/.*"):
        if UNFINISHED.search(line):
            yield path, number, "a note of unfinished work"


def symbols(command, tree):
    """Lines of a binutils command, or nothing where the library is not built."""
    if not os.path.exists(os.path.join(tree.root, command[-1])):
        return []
    run = subprocess.run(command, cwd=tree.root, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def rule_exported(tree):
    """libneap.so shows neap_* alone."""
    library = "build/release/libneap.so"
    for line in symbols(["nm", "-D", "--defined-only", library], tree):
        kind, name = line.split()[-2:]
        if kind != "A" and not name.startswith("neap_"):
            yield library, 1, "exports " + name


def rule_global(tree):
    """Outer names in the objects start with neap_, those of llhttp aside."""
    library = "build/release/libneap_static.a"
    for line in symbols(["nm", "-g", "--defined-only", library], tree):
        words = line.split()
        if len(words) == 3 and not words[2].startswith(("neap_", "llhttp_")):
            yield library, 1, "%s is not static and does not start with neap_" % words[2]


def rule_mutable(tree):
    """No mutable globals: state hangs off an engine or a worker."""
    library = "build/release/libneap_static.a"
    member = ""
    for line in symbols(["objdump", "-t", library], tree):
        if ": " in line and "file format" in line:
            member = line.split(":")[0]
        match = re.search(r" O \.(data|bss)\s.*\s(\S+)$", line)
        if match and match.group(2) not in MUTABLE:
            yield library, 1, "%s in %s is a mutable global" % (match.group(2), member)


RULES = [value for name, value in sorted(globals().items()) if name.startswith("rule_")]


def findings(root):
    tree = Tree(root)
    for rule in RULES:
        name = rule.__name__[len("rule_"):].replace("_", "-")
        for path, number, text in rule(tree):
            yield path, number, name, text


def main(root):
    count = 0
    for path, number, rule, text in findings(root):
        print("%s:%d: %s: %s" % (path, number, rule, text))
        count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
