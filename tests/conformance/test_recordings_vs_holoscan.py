# SPDX-License-Identifier: Apache-2.0
"""Recordings: what Holoscan writes we read and write again byte for byte; what we write Holoscan reads.

The oracle is Holoscan 4.6 (tools/setup.sh puts it into build/peer-holoscan). Its main thread wants a stack of 32 MB.
"""

import hashlib
import json
import os
import pathlib
import resource
import struct
import subprocess

import pytest

from servers import PEER, PREFIX, run_original

HOLOSCAN = PEER.parent / "peer-holoscan"
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "support/holoscan_recordings.py"
NEREID = PREFIX / "bin/nereid"

pytestmark = pytest.mark.skipif(not (HOLOSCAN / ".made").exists(), reason=f"Holoscan is not in {HOLOSCAN}")


def holoscan(*arguments):
    """Runs Holoscan's side; returns the frames it saw."""
    libraries = [str(p) for p in HOLOSCAN.glob("lib/python3*/site-packages/nvidia/cu13/lib")]
    environment = {**os.environ, "HOLOSCAN_LOG_LEVEL": "ERROR",
                   "LD_LIBRARY_PATH": ":".join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])}
    for name in ("LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS"):
        environment.pop(name, None)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = 32 << 20 if hard == resource.RLIM_INFINITY else min(32 << 20, hard)
    done = run_original([HOLOSCAN / "bin/python", SCRIPT, *arguments], env=environment, text=True, timeout=120,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (stack, hard)))
    assert done.returncode == 0, done.stdout
    return [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("FRAME ")]


def nereid(folder, text):
    path = folder / "app.yaml"
    path.write_text(text)
    done = subprocess.run([NEREID, "run", path], text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def record_again(folder):
    """Replays `theirs` and records it as `ours`, by Nereid."""
    nereid(folder, f"""
operators:
  replayer:
    type: VideoStreamReplayerOp
    parameters: {{directory: {folder}, basename: theirs, realtime: false, ignore_corrupted_entities: false}}
  recorder: {{type: VideoStreamRecorderOp, parameters: {{directory: {folder}, basename: ours}}}}
flows: [replayer -> recorder]
""")


def entities(folder, name):
    return (folder / f"{name}.gxf_entities").read_bytes()


def index(folder, name):
    """(size, offset) of each frame; the times differ."""
    return [record[1:] for record in struct.iter_unpack("<QQQ", (folder / f"{name}.gxf_index").read_bytes())]


@pytest.mark.parametrize("case", ["frames", "unnamed", "types", "ranks", "timed"])
def test_a_recording_of_holoscans_comes_back_byte_for_byte(tmp_path, case):
    holoscan("record", tmp_path, "theirs", case)
    record_again(tmp_path)
    assert entities(tmp_path, "ours") == entities(tmp_path, "theirs")
    assert index(tmp_path, "ours") == index(tmp_path, "theirs")


def test_columns_first_are_made_rows_first(tmp_path):
    holoscan("record", tmp_path, "theirs", "columns")
    record_again(tmp_path)
    assert entities(tmp_path, "ours") != entities(tmp_path, "theirs")
    seen = holoscan("replay", tmp_path, "ours")
    assert seen == holoscan("replay", tmp_path, "theirs")
    assert len(seen) == 5 and seen[0]["frame"][1] == [32, 48, 3]


def test_holoscan_replays_what_we_record(tmp_path):
    nereid(tmp_path, f"""
operators:
  source: {{type: PatternSourceOp, parameters: {{pattern: noise, width: 70, height: 40, seed: 5, count: 9, out_tensor_name: video}}}}
  recorder: {{type: VideoStreamRecorderOp, parameters: {{directory: {tmp_path}, basename: ours, flush_on_tick: true}}}}
flows: [source -> recorder]
""")
    bytes_ = entities(tmp_path, "ours")
    seen = holoscan("replay", tmp_path, "ours")
    assert len(seen) == 9
    for i, (_, offset) in enumerate(index(tmp_path, "ours")):
        body = bytes_[offset + 40 + 32 + 5 + 116:][:40 * 70 * 3]
        # The time at which a frame was acquired comes along, as with Holoscan's own sources that say it.
        assert sorted(seen[i]) == ["timestamp", "video"]
        assert seen[i]["video"] == ["uint8", [40, 70, 3], hashlib.sha256(body).hexdigest()]
    assert len({frame["video"][2] for frame in seen}) == 9
