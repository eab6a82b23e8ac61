#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and prints one count at the end.

cmocka programs (--unit), fuzz corpus replays (--fuzz) and pytest folders (--pytest, run by the interpreter that runs
this script) each in a process of their own. The last line is "N passed, N failed, N skipped"; skipped tests
are named above it. Exit status 1 when anything failed or nothing ran.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET


class Count:
    """Totals over all programs, with the names of what was skipped or failed."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []


def run_unit(path, count, timeout):
    """One cmocka program: its "[ OK ]" lines are counted; a crash counts as one failure."""
    name = path.split("/tests/", 1)[-1]
    start = time.monotonic()
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        output, code = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode("utf-8", "replace") + "\n(timed out)", -1
    ran = re.findall(r"^\[ +OK \] (\S+)", output, re.M)
    bad = sorted(set(re.findall(r"^\[  FAILED  \] ([A-Za-z_]\S*)$", output, re.M)) - set(ran))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] ([A-Za-z_]\S*)$", output, re.M)))
    count.passed += len(ran)
    count.failed += [f"{name}: {test}" for test in bad]
    count.skipped += [f"{name}: {test}" for test in skipped]
    if code != 0 and not bad:
        count.failed.append(f"{name}: exit status {code}")
    if not ran and not bad and not skipped and code == 0:
        count.failed.append(f"{name}: ran no test")
    if code != 0:
        print(output)
    print(f"  {'ok  ' if code == 0 else 'FAIL'} {name}: {len(ran)} passed"
          + (f", {len(bad)} failed" if bad else "") + (f", {len(skipped)} skipped" if skipped else "")
          + f" ({time.monotonic() - start:.1f} s)", flush=True)


def run_fuzz(path, corpus_root, count, timeout):
    """Replays a fuzz target's corpus: one test a target."""
    name = os.path.basename(path)
    corpus = os.path.join(corpus_root, name.removeprefix("fuzz_"))
    files = sorted(os.path.join(corpus, f) for f in os.listdir(corpus)) if os.path.isdir(corpus) else []
    if not files:
        count.failed.append(f"{name}: no corpus")
        return
    done = subprocess.run([path] + files, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    if done.returncode == 0:
        count.passed += 1
    else:
        print(done.stdout.decode("utf-8", "replace"))
        count.failed.append(f"{name}: exit status {done.returncode}")
    print(f"  {'ok  ' if done.returncode == 0 else 'FAIL'} {name}: {len(files)} inputs replayed", flush=True)


def run_pytest(folders, report, extra, count):
    """pytest over the folders; its JUnit report gives the counts."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--junitxml={report}"]
    code = subprocess.run(command + extra + folders, stdin=subprocess.DEVNULL).returncode
    try:
        root = ET.parse(report).getroot()
    except (OSError, ET.ParseError):
        count.failed.append(f"pytest: exit status {code}, no report")
        return
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed.append(name)
        elif case.find("skipped") is not None:
            count.skipped.append(f"{name}: {case.find('skipped').get('message')}")
        else:
            count.passed += 1
    if code not in (0, 1):
        count.failed.append(f"pytest: exit status {code}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unit", nargs="*", default=[])
    parser.add_argument("--fuzz", nargs="*", default=[])
    parser.add_argument("--corpus", default="tests/fuzz/corpus")
    parser.add_argument("--pytest", nargs="*", default=[])
    parser.add_argument("--pytest-args", default="")
    parser.add_argument("--report", default="build/pytest.xml")
    parser.add_argument("--timeout", type=float, default=300)
    args = parser.parse_args()
    count = Count()
    for path in args.unit:
        run_unit(path, count, args.timeout)
    for path in args.fuzz:
        run_fuzz(path, args.corpus, count, args.timeout)
    if args.pytest:
        run_pytest(args.pytest, args.report, args.pytest_args.split(), count)
    for what in count.skipped:
        print(f"skipped: {what}")
    for what in count.failed:
        print(f"FAILED: {what}")
    print(f"{count.passed} passed, {len(count.failed)} failed, {len(count.skipped)} skipped")
    return 1 if count.failed or count.passed + len(count.skipped) == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
