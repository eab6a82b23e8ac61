# SPDX-License-Identifier: Apache-2.0
"""`nereid build`: its command line, and what it says where something is missing. That plans come out right needs a GPU and a
real TensorRT (tests/gpu); what TensorRT is asked for is tested with a pretended one."""

import os
import subprocess

import pytest

from servers import PREFIX

NEREID = PREFIX / "bin/nereid"


def build(*arguments, **environment):
    done = subprocess.run([NEREID, "build", *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "NEREID_TENSORRT": "", **environment}, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not read by these tests")
    return path


@pytest.mark.parametrize("arguments, text", [
    ([], "no model is named"),
    (["m.onnx"], "no plan is named: -o FILE says where it goes"),
    (["m.onnx", "other.onnx", "-o", "p"], "two models are named: 'm.onnx' and 'other.onnx'"),
    (["m.onnx", "-o"], "--saveEngine wants FILE"),
    (["m.onnx", "-o", "p", "--fp17"], "there is no option '--fp17'"),
    (["m.onnx", "-o", "p", "--fp16=1"], "--fp16 takes no argument"),
    (["m.onnx", "-o", "p", "--minShapes=x"], "--minShapes: 'x' is no NAME:1x3x224x224"),
    (["m.onnx", "-o", "p", "--optShapes=x:1x-3"], "--optShapes: 'x:1x-3' is no NAME:1x3x224x224"),
    (["m.onnx", "-o", "p", "--shapes=x:1x1x1x1x1x1x1x1x1"], "is no NAME:1x3x224x224"),
    (["m.onnx", "-o", "p", "--profile=99"], "--profile wants a number below 16, not '99'"),
    (["m.onnx", "-o", "p", "--profile=1", "--shapes=x:1"], "profile 1 has shapes, profile 0 has none"),
    (["m.onnx", "-o", "p", "--memPoolSize=work:1G"], "'work:1G' is no pool and its size"),
    (["m.onnx", "-o", "p", "--workspace=much"], "--workspace wants SIZE, not 'much'"),
    (["m.onnx", "-o", "p", "--sparsity=force"], "--sparsity wants disable|enable, not 'force'"),
    (["m.onnx", "-o", "p", "--device=x"], "--device wants the number of a GPU, not 'x'"),
    (["--loadEngine=p"], "--loadEngine: a plan is run by `nereid serve` or a graph"),
    (["m.onnx", "-o", "p", "--useCudaGraph"], "--useCudaGraph: this command builds and does not measure"),
    (["m.onnx", "-o", "p", "--layerPrecisions=*:fp16"], "--layerPrecisions: precisions of single layers are not built"),
])
def test_a_command_line_that_is_wrong_is_named(arguments, text):
    code, out, err = build(*arguments)
    assert code == 1 and out == ""
    assert err.startswith("nereid build: ") and text in err


def test_help_lists_every_option():
    code, out, _ = build("--help")
    assert code == 0
    for option in ("--onnx FILE", "--saveEngine FILE", "--fp16", "--int8", "--bf16", "--best", "--minShapes", "--optShapes",
                   "--maxShapes", "--workspace", "--memPoolSize", "--timingCacheFile", "--tacticSources", "--verbose"):
        assert option in out


def test_a_model_that_is_absent_is_named(tmp_path):
    code, _, err = build("/proc/nowhere/model.onnx", "-o", tmp_path / "plan")
    assert code == 1 and "/proc/nowhere/model.onnx" in err


def test_without_tensorrt_the_build_is_refused_by_name(model, tmp_path):
    code, _, err = build(model, "-o", tmp_path / "plan", f"--tensorrt={tmp_path}")
    assert code == 1 and not (tmp_path / "plan").exists()
    assert "built without TensorRT headers" in err or f"there is no libnvinfer.so.* in '{tmp_path}'" in err
