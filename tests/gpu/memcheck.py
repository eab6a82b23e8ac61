# SPDX-License-Identifier: Apache-2.0
"""Programs under NVIDIA's compute-sanitizer: where it is, how it runs one, how that is ended, and what it found; and the time that a
run may take (--limit), since a program is ten to fifty times slower under it. Standard library only; start at find() and found()."""

import glob
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

SLOWDOWN = 20
GRACE = 60  # what a test that began in time may wait for, in seconds, when the time is over


def on():
    return os.environ.get("NEREID_MEMCHECK", "") != ""


def turn_on():
    os.environ["NEREID_MEMCHECK"] = "1"


def find():
    """The path of compute-sanitizer: on the PATH or in a CUDA toolkit; None if it is in neither."""
    toolkits = [os.environ.get("CUDA_HOME", ""), "/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"), reverse=True)]
    inside = (f"{folder}/{place}/compute-sanitizer" for folder in toolkits if folder for place in ("bin", "compute-sanitizer"))
    return next((path for path in (shutil.which("compute-sanitizer"), *map(shutil.which, inside)) if path), None)


def command(program, *options):
    # Errors of calls are left out: frameworks ask for what may fail, and read the answer. It waits for ever for a program that
    # opens the driver late, as one does that first loads a framework.
    return [find() or "compute-sanitizer", "--tool", "memcheck", *options, "--report-api-errors", "no", "--launch-timeout", "0",
            "--error-exitcode", "9", *program]


def found(log):
    """What is wrong with a run that printed `log`; None if it was checked and clean."""
    unsupported = re.search(r".*[Dd]evice not supported.*", log)
    if unsupported:
        return f"compute-sanitizer does not work on this machine: {unsupported.group(0)}"
    counted = re.findall(r"ERROR SUMMARY: (\d+) error", log)
    if not counted:
        return f"compute-sanitizer did not come to its end:\n{log[-3000:]}"
    first = log.find("=========", log.find("COMPUTE-SANITIZER") + 17)
    return None if set(counted) == {"0"} else f"compute-sanitizer:\n{log[max(first, 0):][:6000]}\n{log[-500:]}"


def below(pid):
    """The processes that `pid` started, and those that they started."""
    all_of_them = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            children = [int(child) for child in pathlib.Path(task).read_text().split()]
        except OSError:
            continue
        for child in children:
            all_of_them += [child, *below(child)]
    return all_of_them


def kill(process):
    """Ends by force what leads a session of its own, and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or leads none
    process.wait()


def end(process, program, limit):
    """Ends `program` under `process`, a compute-sanitizer, as an operator would, so that it can report; by force after `limit` s."""
    for pid in below(process.pid):
        try:
            if os.path.samefile(f"/proc/{pid}/exe", program):
                os.kill(pid, signal.SIGTERM)
        except OSError:
            pass  # it has ended
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        kill(process)


# ---- time -----------------------------------------------------------------------------------------------------------

def set_limit(seconds):
    os.environ["NEREID_CHECK_UNTIL"] = f"{time.monotonic() + seconds} {min(GRACE, seconds)}"


def patience(seconds):
    """How long to wait for what may take `seconds` without a checker."""
    until, longest = os.environ.get("NEREID_CHECK_UNTIL"), seconds * (SLOWDOWN if on() else 1)
    if not until:
        return longest
    end_of_run, grace = map(float, until.split())
    return min(longest, max(grace, end_of_run - time.monotonic()))


def time_is_over():
    until = os.environ.get("NEREID_CHECK_UNTIL")
    return bool(until) and time.monotonic() >= float(until.split()[0])
