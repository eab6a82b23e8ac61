# SPDX-License-Identifier: Apache-2.0
"""Batches that go out with an event count with the time that their GPU took, on the pretended driver: a client in the server's
process (tests/tools/event_client.c) gives many at once to one instance, whose kernel takes 5 ms at speed 1."""
import json
import os
import subprocess
from pathlib import Path

import pytest

PREFIX = Path(os.environ.get("NEREID_PREFIX", "build")).resolve()
CLIENT = PREFIX / "tests/tools/event_client"
CONFIG = """name: "e"
backend: "gpu_echo"
max_batch_size: 1
input [{{name: "INPUT0", data_type: TYPE_FP32, dims: [-1]}}]
output [{{name: "OUTPUT0", data_type: TYPE_FP32, dims: [-1]}}]
instance_group [{{kind: KIND_GPU, count: 1, gpus: [{gpus}]}}]
parameters {{key: "gpu_us" value {{string_value: "5000"}}}}
"""


def serve(tmp_path, count, *more, gpus=1, speeds="1"):
    """Seconds until all was answered, until all was there, answers with an event, and the statistics in seconds."""
    (tmp_path / "e/1").mkdir(parents=True)
    (tmp_path / "e/config.pbtxt").write_text(CONFIG.format(gpus=", ".join(map(str, range(gpus)))))
    env = {**os.environ, "LD_LIBRARY_PATH": str(PREFIX / "tests/fake"), "FAKE_CUDA": f"gpus={gpus},memory=1G,speed={speeds}"}
    done = subprocess.run([CLIENT, tmp_path, PREFIX / "tests/backends", "e", str(count), *more], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    text = next(i for i, line in enumerate(lines) if line.startswith('{"model_stats"'))
    answered, there, with_event = map(int, lines[text - 1].split())
    stats = json.loads(lines[text])["model_stats"][0]
    return answered / 1e9, there / 1e9, with_event, stats


def seconds(stats):
    return {name: part["ns"] / 1e9 for name, part in stats["inference_stats"].items()}


@pytest.mark.parametrize("speed, each", [("1", 0.005), ("2", 0.0025)])
def test_batches_in_flight_compute_no_longer_than_their_gpu(tmp_path, speed, each):
    answered, there, with_event, stats = serve(tmp_path, 16, speeds=speed)
    assert with_event == 16 and answered < there
    took = seconds(stats)
    assert 16 * each * 0.99 <= took["compute_infer"] <= there, (took, there)
    assert took["compute_infer"] < 16 * each * 1.5, took
    # The one that came last waited for the 15 before it: 120 of these spans in all.
    assert 40 * each < took["queue"] < 16 * there, took
    parts = took["queue"] + took["compute_input"] + took["compute_infer"] + took["compute_output"]
    assert abs(parts - took["success"]) < 0.0005, took
    assert took["success"] <= 16 * there, (took, there)
    batch = stats["batch_stats"][0]
    assert batch["compute_infer"] == stats["inference_stats"]["compute_infer"]


def test_batch_that_is_waited_for_behind_departed_ones_counts_its_own_time(tmp_path):
    _, there, with_event, stats = serve(tmp_path, 16, "wait")
    assert with_event == 8
    took = seconds(stats)
    assert 0.079 < took["compute_infer"] <= there, (took, there)
    assert took["compute_infer"] < 0.12, took


@pytest.mark.parametrize("speeds", ["1:4", "4:1"])
def test_departed_batches_tell_the_router_which_gpu_is_faster(tmp_path, speeds):
    """The time to queue is the same on both; half of the burst on each would take 120 ms."""
    best = 1.0
    for attempt in range(4):  # a busy machine may keep one of the two from asking
        _, there, with_event, _ = serve(tmp_path / str(attempt), 48, "warm", gpus=2, speeds=speeds)
        assert with_event == 48
        best = min(best, there)
        if best < 0.1:
            return
    assert best < 0.1, best
