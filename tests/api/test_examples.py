# SPDX-License-Identifier: Apache-2.0
"""Both methods of running many models at once, end to end, as examples/ shows them: pictures in, an overlay video and latencies out."""

import os
import re
import shutil
import subprocess

import pytest

from servers import PREFIX, ROOT, SANITIZED, Server

MODELS = ROOT / "models"


def run(*command, cwd=None, timeout=300):
    done = subprocess.run([str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                          stdin=subprocess.DEVNULL, text=True, env={**os.environ, "CTEST_OUTPUT_ON_FAILURE": "1"})
    assert done.returncode == 0, done.stdout
    return done.stdout


def frames_of(video, folder):
    """The frames of a video file, counted by reading them again."""
    application = folder / "read.yaml"
    application.write_text(f"""operators:
  replayer: {{type: VideoStreamReplayerOp, parameters: {{path: "{video}", realtime: false}}}}
  sink: {{type: PictureSinkOp, parameters: {{directory: "{folder}/frames"}}}}
flows: [replayer -> sink]
""")
    run(PREFIX / "bin/nereid", "run", "--quiet", application)
    return len(list((folder / "frames").glob("*.png")))


@pytest.fixture
def served():
    """The server on the port that the examples name, if that is free."""
    with Server("nereid", ROOT / "examples/multi_gpu_triton/models", "--allow-client-shm=true", "--gpu-fallback=cpu") as server:
        yield server


def test_method_1_short_form_word_for_word(served, tmp_path):
    text = (ROOT / "examples/multi_gpu_triton/holoscan_multi_gpu.yaml").read_text()
    application = tmp_path / "holoscan_multi_gpu.yaml"
    application.write_text(text.replace("localhost:8000", f"localhost:{served.http_port}"))
    out = run(PREFIX / "bin/holoscan", "run", "--config", application, "--source", ROOT / "examples/pictures")
    assert "PictureSourceOp) feeds each operator that has no flow into it" in out
    for model in ("unet", "resnet", "densenet"):
        assert re.search(rf"{model}_inference_report: 12 messages", out), out
        assert re.search(rf"^\| {model}_inference +\| {model}_model on (CPU|GPU \d) of localhost:\d+ +\|$", out, re.M), out


def test_method_1_whole_application(served, tmp_path):
    text = (ROOT / "examples/multi_gpu_triton/pipeline.yaml").read_text()
    application = tmp_path / "pipeline.yaml"
    application.write_text(text.replace("localhost:8000", f"grpc://localhost:{served.grpc_port}")
                           .replace("path: overlay.mp4", f"path: {tmp_path}/overlay.mp4").replace("rate: 10, count: 36", "count: 24"))
    out = run(PREFIX / "bin/nereid", "run", application, "--track", cwd=ROOT)
    assert re.search(r"^report: \d+ messages", out, re.M), out
    assert re.search(r"^\| report +\| \d+ +\| [\d.]+ +\| 48 ", out, re.M), out
    assert "source,unet,regions,overlay,video" in out
    assert frames_of(tmp_path / "overlay.mp4", tmp_path) == 24


@pytest.mark.skipif(bool(SANITIZED), reason="a program without the sanitizer cannot link a library that has it")
def test_method_2_built_by_cmake_and_run(tmp_path):
    shutil.copytree(ROOT / "examples/multi_gpu_direct", tmp_path / "direct", ignore=shutil.ignore_patterns("build"))
    build = tmp_path / "direct/build"
    build.mkdir()
    run("cmake", f"-DCMAKE_PREFIX_PATH={PREFIX}", "..", cwd=build)
    run("make", cwd=build)
    out = run("./holoscan_multi_gpu", "--models", MODELS, "--source", ROOT / "examples/pictures", "--frames", "24", cwd=build)
    for name, model in (("UnetInference", "unet"), ("ResNetInference", "resnet"), ("DenseNetInference", "densenet")):
        assert re.search(rf"^{name}: {model}_model on (CPU|GPU \d)( \(GPU \d was asked for\))?$", out, re.M), out
    for path in ("UnetInference,regions", "ResNetInference", "DenseNetInference"):
        assert re.search(rf"^source,converter,{path},overlay,video +\d+ +\d", out, re.M), out
    assert frames_of(build / "overlay.mp4", tmp_path) == 24
    for wrong in ("many", "12x", "0", ""):
        done = subprocess.run(["./holoscan_multi_gpu", "--frames", wrong], cwd=build, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 1 and f"--frames: '{wrong}' is no number of frames" in done.stderr


def test_method_2_without_a_model_names_it(tmp_path):
    application = tmp_path / "app.yaml"
    application.write_text("""operators:
  source: {type: PatternSourceOp, parameters: {count: 1}}
  model:
    type: InferenceOp
    parameters: {model_path_map: {m: /proc/nowhere/m.onnx}, pre_processor_map: {m: [x]}, inference_map: {m: [y]}}
  report: {type: ReportSinkOp}
flows: [source -> model -> report]
""")
    done = subprocess.run([PREFIX / "bin/nereid", "run", application], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 1
    assert "app.yaml:4:5:" in done.stdout and "operator 'model'" in done.stdout
    assert "model 'm': there is no '/proc/nowhere/m.onnx'" in done.stdout
