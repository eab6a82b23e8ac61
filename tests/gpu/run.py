#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that needs a real GPU, in one run, with one count: make check-gpu.

    python3 tests/gpu/run.py [--prefix build] [--memcheck] [--limit SECONDS] [--require N] [ONLY ...]

The programs of tests/gpu (driver, memory, kernels, graphs), then a server on the GPUs of this machine with every framework
that is there. Needs Python 3.9 and numpy, no pytest, nothing built here: the prefix may have been carried from elsewhere
(make gpu-bundle). Every test that could not run is named with its reason, at the end and loudly. ONLY keeps tests whose
name has one of these parts. --memcheck runs all of it under compute-sanitizer, of which no more than three fit into ten minutes:
run parts of it (ONLY) side by side, each with --limit, after which no test begins and those that did not are named.
Exit status: 0 all that ran passed; 1 something failed, or fewer than N GPUs were there; 77 there is no GPU: nothing was checked.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest

import memcheck

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NOTHING_CHECKED = 77
STARS = "*" * 100
OVER = "the time of --limit was over"


class Tally:
    """What ran: how many passed, and [(name, why)] of what failed and of what was skipped."""

    def __init__(self, only):
        self.only, self.passed, self.failed, self.skipped = only, 0, [], []

    def wants(self, name):
        return not self.only or any(part in name for part in self.only)

    def note(self, name, result, why=""):
        mark = {"ok": "[       OK ]", "failed": "[  FAILED  ]", "skipped": "[  SKIPPED ]"}[result]
        print(f"{mark} {name}{': ' + why.strip() if why else ''}", flush=True)
        if result == "ok":
            self.passed += 1
        else:
            (self.failed if result == "failed" else self.skipped).append((name, why.strip()))


# ---- programs ----

def run_program(path, tally, checked, environment, gpus):
    """One program that prints as cmocka does. A test that it skips has its reason in the lines before."""
    group = path.name
    if tally.only and not any(part.startswith(group) for part in tally.only):
        return
    if not path.exists():
        tally.note(group, "skipped", f"not in this prefix: {path}")
        return
    if memcheck.time_is_over():
        tally.note(group, "skipped", OVER)
        return
    command = memcheck.command([str(path)], "--leak-check", "full") if checked else [str(path)]
    # A session of its own, so that all of it can be ended: compute-sanitizer's program would go on, and hold the pipe.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               env={**os.environ, **environment}, start_new_session=True)
    try:
        output, code = process.communicate(timeout=memcheck.patience(90 if checked else 300))[0], process.returncode
    except subprocess.TimeoutExpired:
        memcheck.kill(process)
        output, code = process.communicate()[0], "none: it ran too long"
    output = output.decode("utf-8", "replace")
    why, reason, failures = "", "no GPU", 0
    for line in output.splitlines():
        found = re.match(r"\[ +(OK|FAILED|SKIPPED|RUN|ERROR) +\] (.*)", line)
        if not found:
            said = re.match(r" *skipped: (.*)", line)
            reason = said.group(1) if said else reason
            if not said and not re.match(r"\d+ passed, \d+ failed", line):
                print(line)
        elif found.group(1) == "RUN":
            why, reason = "", reason if "NO GPU" in output else "it does not say why"
        elif found.group(1) == "ERROR":
            why += found.group(2) + "\n"
        elif tally.wants(f"{group}.{found.group(2)}"):
            result = {"OK": "ok", "FAILED": "failed", "SKIPPED": "skipped"}[found.group(1)]
            failures += result == "failed"
            tally.note(f"{group}.{found.group(2)}", result, {"ok": "", "failed": why, "skipped": reason}[result])
    found = memcheck.found(output) if checked else None
    if code != 0 and not failures:
        tally.note(group, "failed", f"{found or ''}\nexit status {code}")
    elif found:
        tally.note(f"{group}.under_compute_sanitizer", "failed", found)
    elif checked and gpus and "NO GPU" in output:
        tally.note(f"{group}.under_compute_sanitizer", "failed", "the program saw no GPU there")


def compare_header(tally):
    """Our statement of the driver's ABI beside NVIDIA's cuda.h, where that is."""
    name = "abi.cuda_h_agrees_with_driver_abi_h"
    if not tally.wants(name):
        return
    folders = [os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"]
    include = next((f"{folder}/include" for folder in folders if folder and os.path.exists(f"{folder}/include/cuda.h")), None)
    compiler = next((found for found in map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")) if found), None)
    if not include or not compiler:
        tally.note(name, "skipped", "no cuda.h here" if not include else "no C compiler here")
        return
    done = subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-Isrc", "-Iinclude", "-I.", "-isystem", include, "-fsyntax-only",
                           "tests/gpu/check_abi.c"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tally.note(name, "ok" if done.returncode == 0 else "failed", done.stdout)


# ---- served ----

class Result(unittest.TestResult):
    """Hands what unittest finds to the tally; a class that is skipped whole counts with each of its tests."""

    def __init__(self, tally, cases):
        super().__init__()
        self.tally, self.cases, self.begun = tally, cases, set()

    def startTest(self, test):
        self.begun.add(test)
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        if memcheck.time_is_over():
            self.stop()

    @staticmethod
    def name(test):
        return ".".join(test.id().split(".")[-2:]).replace("test_", "", 1)

    def addSuccess(self, test):
        self.tally.note(self.name(test), "ok")

    def addError(self, test, err):
        self.tally.note(self.name(test), "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSkip(self, test, reason):
        whole = re.match(r"setUpClass \((\S+)\)", test.id()) if not isinstance(test, unittest.TestCase) else None
        if whole is None:
            self.tally.note(self.name(test), "skipped", reason)
            return
        for case in self.cases:
            if type(case).__qualname__ == whole.group(1).split(".")[-1]:
                self.begun.add(case)
                self.tally.note(self.name(case), "skipped", reason)


def cases_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases_of(test)
        else:
            yield test


def run_served(tally):
    try:
        import served
    except ImportError as error:
        tally.note("served", "skipped", f"the served tests need {error.name}: {error}")
        return
    cases = [case for case in cases_of(unittest.defaultTestLoader.loadTestsFromModule(served)) if tally.wants(Result.name(case))]
    result = Result(tally, cases)
    if not memcheck.time_is_over():
        unittest.TestSuite(cases).run(result)
    for case in cases:
        if case not in result.begun:
            tally.note(Result.name(case), "skipped", OVER)


# ---- the whole ----

def report(tally, driver, seconds):
    """The end of the run: what was skipped by reason, what failed, the counts. Loud, so that no one takes a skip for a pass."""
    reasons = {}
    for name, why in tally.skipped:
        reasons.setdefault(why.splitlines()[0] if why else "it does not say why", []).append(name)
    print(STARS)
    for why, names in reasons.items():
        print(f"**** SKIPPED {len(names)}: {why}")
        for name in names:
            print(f"****     {name}")
    for name, why in tally.failed:
        print(f"**** FAILED {name}: {why.splitlines()[-1] if why else ''}")
    gpus = ", ".join(driver.name(gpu) for gpu in range(driver.count))
    if driver.count == 0:
        print(f"**** NOTHING WAS CHECKED ON A GPU: {driver.why}")
    print(f"**** {tally.passed} passed, {len(tally.failed)} FAILED, {len(tally.skipped)} SKIPPED in {seconds:.0f} s on "
          f"{driver.count} GPUs{': ' + gpus if gpus else ''}")
    print(STARS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*")
    parser.add_argument("--prefix", default=os.environ.get("NEREID_PREFIX", str(ROOT / "build")))
    parser.add_argument("--memcheck", action="store_true")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="begin no test after so many; one under way may take a minute more")
    parser.add_argument("--require", type=int, default=0, metavar="N", help="fail where there are fewer than N GPUs")
    args = parser.parse_args()
    prefix = pathlib.Path(args.prefix).resolve()
    os.environ["NEREID_PREFIX"] = str(prefix)
    carried = prefix / "lib/carried"
    if carried.is_dir() and not (prefix / "lib/missing").is_dir():  # tools/gpu_setup_there.sh has chosen what is needed of it
        os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(carried)]))
    begin = time.monotonic()
    tally = Tally(args.only)
    environment = {}
    if args.memcheck:
        if memcheck.find() is None:
            print(f"{STARS}\n**** NOTHING WAS CHECKED: no compute-sanitizer here, on the PATH or in a CUDA toolkit\n{STARS}")
            return NOTHING_CHECKED
        memcheck.turn_on()
        # One test faults on purpose; a tenth of the cases shows as much of a kernel's addresses.
        environment = {"NEREID_NO_FAULT": "1", "NEREID_KERNEL_CASES": "56"}
    if args.limit:
        memcheck.set_limit(args.limit)
    import driver as driver_module

    driver = driver_module.DRIVER
    compare_header(tally)
    for program in ("check_gpu", "check_graph"):
        run_program(prefix / "tests/gpu" / program, tally, args.memcheck, environment, driver.count)
    run_served(tally)
    report(tally, driver, time.monotonic() - begin)
    if driver.count == 0:
        return NOTHING_CHECKED
    return 1 if tally.failed or driver.count < args.require or tally.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
