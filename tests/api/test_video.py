# SPDX-License-Identifier: Apache-2.0
"""Recording and replaying by `nereid run`: what is recorded when the run is interrupted is whole; without libav's library what needs it is
named, and the rest works."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from servers import PREFIX, SLOWDOWN

NEREID = PREFIX / "bin/nereid"
CODEC = PREFIX / "lib/nereid/operators/libnereid_video.so"

needs_codec = pytest.mark.skipif(not CODEC.exists(), reason="libnereid_video.so is not built: libavformat is not here")


def write(folder, name, **app):
    """An application as JSON, which is YAML."""
    path = folder / name
    path.write_text(json.dumps(app))
    return path


def recording(folder, parameters, **source):
    return write(folder, "record.yaml", operators={
        "source": {"type": "PatternSourceOp", "parameters": {"width": 64, "height": 48, **source}},
        "recorder": {"type": "VideoStreamRecorderOp", "parameters": parameters}}, flows=["source -> recorder"])


def replay(folder, parameters, program=NEREID, **environment):
    app = write(folder, "replay.yaml", operators={
        "replayer": {"type": "VideoStreamReplayerOp",
                     "parameters": {"realtime": False, "ignore_corrupted_entities": False, **parameters}},
        "sink": {"type": "PingTensorRxOp"}}, flows=["replayer -> sink"])
    return subprocess.run([program, "run", app], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOWDOWN,
                          check=False, cwd=folder, env={**os.environ, **environment})


def frames_seen(done):
    assert done.returncode == 0, done.stdout
    return len(re.findall(r"^sink received message", done.stdout, re.M))


def table_row(text, operator):
    """The numbers of one operator in the table at the end: computes, per second, received, sent, dropped."""
    row = next(line for line in text.splitlines() if re.match(rf"\| {operator} ", line))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


KINDS = [
    pytest.param({"path": "a.mp4"}, marks=needs_codec),
    pytest.param({"path": "a.mkv", "codec": "ffv1"}, marks=needs_codec),
    pytest.param({"basename": "a"}),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.get("path", "recording"))
def test_an_interrupted_recording_is_whole(tmp_path, kind):
    files = {"path": str(tmp_path / kind["path"])} if "path" in kind else {"directory": str(tmp_path), "basename": "a"}
    app = recording(tmp_path, {**kind, **files}, rate=200)
    with subprocess.Popen([NEREID, "run", app], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        deadline = time.monotonic() + 30 * SLOWDOWN
        while not any(p.suffix in (".mp4", ".mkv", ".gxf_index") and p.stat().st_size > 0 for p in tmp_path.iterdir()):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60 * SLOWDOWN)
    recorded = int(table_row(out, "recorder")[2])
    assert recorded == int(table_row(out, "source")[3]) > 0
    assert frames_seen(replay(tmp_path, files)) == recorded


def test_without_the_codec_recordings_work_and_videos_are_refused_by_name(tmp_path):
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    shutil.copy(NEREID, prefix / "bin")
    for library in pathlib.Path(PREFIX / "lib").glob("*.so"):
        shutil.copy(library, prefix / "lib")
    program = prefix / "bin/nereid"
    files = {"directory": str(tmp_path), "basename": "a"}
    subprocess.run([program, "run", recording(tmp_path, files, count=7)], check=True, stdout=subprocess.DEVNULL, timeout=60 * SLOWDOWN,
                   env={**os.environ, "LD_LIBRARY_PATH": ""})
    assert frames_seen(replay(tmp_path, files, program)) == 7
    done = replay(tmp_path, {"path": "x.mp4"}, program)
    assert done.returncode == 1
    assert "operator 'replayer': this needs libnereid_video.so, which is built where libavformat is" in done.stdout


def test_recordings_are_looked_for_under_the_input_path(tmp_path):
    files = {"directory": str(tmp_path / "data/endoscopy"), "basename": "a"}
    subprocess.run([NEREID, "run", recording(tmp_path, files, count=3)], check=True, stdout=subprocess.DEVNULL, timeout=60 * SLOWDOWN)
    data = str(tmp_path / "data")
    assert frames_seen(replay(tmp_path, {"directory": "endoscopy", "basename": "a"}, HOLOSCAN_INPUT_PATH=data)) == 3
    assert frames_seen(replay(tmp_path, {"path": "endoscopy/a.gxf_entities"}, HOLOSCAN_INPUT_PATH=data)) == 3
    assert "cannot open" in replay(tmp_path, {"directory": "endoscopy", "basename": "b"}, HOLOSCAN_INPUT_PATH=data).stdout


@needs_codec
def test_damage_is_named_with_file_frame_and_place(tmp_path):
    files = {"path": str(tmp_path / "a.mkv")}
    subprocess.run([NEREID, "run", recording(tmp_path, {**files, "codec": "ffv1"}, count=20, pattern="noise")], check=True,
                   stdout=subprocess.DEVNULL, timeout=60 * SLOWDOWN)
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    data[len(data) // 2:len(data) // 2 + 64] = bytes(64)
    (tmp_path / "a.mkv").write_bytes(data)
    done = replay(tmp_path, files)
    assert done.returncode == 1
    assert re.search(r"operator 'replayer': '.*/a\.mkv': frame (9|10) \(before byte \d+\): ", done.stdout), done.stdout
