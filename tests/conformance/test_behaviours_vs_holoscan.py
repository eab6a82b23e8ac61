# SPDX-License-Identifier: Apache-2.0
"""Small applications in Holoscan and in Nereid, side by side: what their operators saw, in which order, and whether the run failed.

Each is written twice, in tests/support/holoscan_behaviours.py and in tests/tools/client_graph.c. The oracle is Holoscan 4.6
(tools/setup.sh puts it into build/peer-holoscan). What differs on purpose is in the table of docs/internals/graph.md, and not here.
"""

import json
import os
import pathlib
import resource
import subprocess

import pytest

from servers import PEER, PREFIX, run_original

HOLOSCAN = PEER.parent / "peer-holoscan"
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "support/holoscan_behaviours.py"

pytestmark = pytest.mark.skipif(not (HOLOSCAN / ".made").exists(), reason=f"Holoscan is not in {HOLOSCAN}")


def saw(run, command, **options):
    done = run(command, text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAW ")]
    assert done.returncode == 0 and len(lines) == 1, done.stdout + done.stderr
    seen = json.loads(lines[0][4:])
    return seen["log"], seen["failed"]


def theirs(case):
    libraries = [str(p) for p in HOLOSCAN.glob("lib/python3*/site-packages/nvidia/cu13/lib")]
    environment = {**os.environ, "HOLOSCAN_LOG_LEVEL": "OFF",
                   "LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])}
    for name in ("LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS"):
        environment.pop(name, None)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = 32 << 20 if hard == resource.RLIM_INFINITY else min(32 << 20, hard)
    return saw(run_original, [HOLOSCAN / "bin/python", SCRIPT, case], env=environment,
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (stack, hard)))


def ours(case):
    return saw(subprocess.run, [PREFIX / "tests/tools/client_graph", case])


@pytest.mark.parametrize("case", [
    "batch_leaves_the_rest", "any_size_ends_with_the_shortest", "source_waits_for_room", "shorter_count_ends", "boolean_false_never_runs",
    "empty_input_gives_nothing", "two_emits_fault", "failing_start", "failing_compute",
])
def test_same_messages_in_the_same_order_and_the_same_end(case):
    assert ours(case) == theirs(case)


@pytest.mark.parametrize("policy", ["CatchUpMissedTicks", "MinTimeBetweenTicks", "NoCatchUpMissedTicks"])
def test_ticks_after_a_late_one_come_when_holoscans_do(policy):
    # The policies differ by 50 ms; a busy machine may spoil a run, so there are three tries.
    differences = []
    for _ in range(3):
        ticks, expected = ours(f"periodic_{policy}")[0], theirs(f"periodic_{policy}")[0]
        assert len(ticks) == len(expected) == 5
        differences.append(max(abs(a - b) for a, b in zip(ticks, expected)))
        if differences[-1] < 0.025:
            return
    pytest.fail(f"off by {differences} s")
