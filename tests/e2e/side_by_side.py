"""Runs the files of tests side by side, as many at a time as there are processors: tests mostly wait.

Usage: python3 side_by_side.py. What a file prints comes when it is done; exits with 1 if one failed.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

# These take longest, so they begin first: then no processor waits for the last one.
FIRST = ["test_health", "test_discovery", "test_coherence"]


def run(name):
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "unittest", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, check=False)
    return name, done.returncode, time.monotonic() - start, done.stdout


def main():
    names = sorted(path.stem for path in pathlib.Path().glob("test_*.py"))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    failed = []
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, name) for name in names]):
            name, code, seconds, text = future.result()
            print("--- %s (%.0f s)%s\n%s" % (name, seconds, ": FAILED" if code else "", text), flush=True)
            failed += [name] if code else []
    print("%d files, %s" % (len(names), "failed: " + " ".join(failed) if failed else "all passed"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
