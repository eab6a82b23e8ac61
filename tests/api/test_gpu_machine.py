# SPDX-License-Identifier: Apache-2.0
"""A server on a machine with GPUs, which are pretended ones here: build/tests/fake holds a driver and an NVML of memory and time."""

import base64
import json
import os
import re
import subprocess
import urllib.request

import numpy as np
import pytest
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

import onnx_models
from servers import BACKENDS, PREFIX, Server

FAKE = PREFIX / "tests/fake"
CONFIG = """backend: "identity"
max_batch_size: 8
input {{ name: "I" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "O" data_type: TYPE_FP32 dims: [ 4 ] }}
instance_group {{ {group} }}
"""


@pytest.fixture
def repository(tmp_path):
    def make(group):
        (tmp_path / "models/m/1").mkdir(parents=True)
        (tmp_path / "models/m/config.pbtxt").write_text(CONFIG.format(group=group))
        return tmp_path / "models"
    if not (FAKE / "libcuda.so.1").exists():
        pytest.fail(f"the pretended driver is not at {FAKE}: make test-programs builds it")
    return make


def machine(gpus, **more):
    settings = ",".join([f"gpus={gpus}", *(f"{name}={value}" for name, value in more.items())])
    return {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": settings}


def metrics(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as answer:
        return answer.read().decode()


def test_gpu_metrics_have_tritons_names(repository):
    with Server("nereid", repository("kind: KIND_CPU"), env=machine(2)) as server:
        text = metrics(server)
    for name in ("nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes", "nv_gpu_power_usage",
                 "nv_gpu_power_limit", "nv_energy_consumption"):
        assert sum(line.startswith(f'{name}{{gpu_uuid="GPU-') for line in text.splitlines()) == 2, name


def test_gpu_metrics_can_be_turned_off(repository):
    with Server("nereid", repository("kind: KIND_CPU"), "--allow-gpu-metrics=false", env=machine(2)) as server:
        assert "nv_gpu_" not in metrics(server)


def test_gpu_that_is_not_there_is_refused_with_tritons_text(repository):
    server = Server("nereid", repository("kind: KIND_GPU gpus: [ 2 ]"), env=machine(2), wait=False)
    assert server.process.wait(30) == 1
    assert ("instance group m_0 of model m specifies invalid or unsupported gpu id 2. GPUs with at least the minimum required CUDA "
            "compute compatibility of 6.000000 are: 0, 1" in server.log)
    server.stop()


def test_backend_for_the_processor_alone_refuses_a_gpu(repository):
    server = Server("nereid", repository("kind: KIND_GPU"), env=machine(1), wait=False)
    assert server.process.wait(30) == 1
    assert "'identity' backend only supports CPU instances" in server.log
    server.stop()


def test_shared_memory_of_a_gpu_that_nobody_exported_is_refused(repository):
    with Server("nereid", repository("kind: KIND_CPU"), "--allow-client-shm=true", env=machine(1)) as server:
        with http_client.InferenceServerClient(server.http_url) as client:
            with pytest.raises(InferenceServerException) as bad_handle:
                client.register_cuda_shared_memory("r", base64.b64encode(b"\1" * 64), 0, 64)
            with pytest.raises(InferenceServerException) as bad_device:
                client.register_cuda_shared_memory("r", base64.b64encode(b"\1" * 64), 3, 64)
            assert client.get_cuda_shared_memory_status() == []
    assert "failed to register CUDA shared memory region: 'r', GPU 0: cuIpcOpenMemHandle" in str(bad_handle.value)
    assert "there is no GPU 3" in str(bad_device.value)


@pytest.mark.parametrize("group, options", [("kind: KIND_AUTO", []), ("kind: KIND_GPU gpus: [ 0 ]", ["--gpu-fallback=cpu"])])
def test_backend_for_the_processor_alone_runs_there_where_it_may(repository, group, options):
    with Server("nereid", repository(group), *options, env=machine(2)) as server:
        with http_client.InferenceServerClient(server.http_url) as client:
            assert client.get_model_config("m")["instance_group"][0]["kind"] == "KIND_CPU"


# ---- GPUs that the configurations name and that are not there -----------------------------------------------------------------

ECHO = PREFIX / "tests/backends"


@pytest.fixture
def three_models(tmp_path):
    """The seed's three models and their GPUs 0, 1 and 2, of a backend that runs on pretended GPUs."""
    for gpu, name in enumerate(("unet_model", "resnet_model", "densenet_model")):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(
            f'backend: "gpu_echo"\ninstance_group {{\n  kind: KIND_GPU\n  count: 1\n  gpus: [{gpu}]   # Assign to GPU {gpu}\n}}\n')
    return tmp_path / "models"


def answers(client, model):
    tensor = http_client.InferInput("INPUT0", [4], "FP32")
    sent = np.array([1, 2, 3, 4], np.float32)
    tensor.set_data_from_numpy(sent)
    return np.array_equal(client.infer(model, [tensor]).as_numpy("OUTPUT0"), sent)


@pytest.mark.parametrize("gpus, option, places", [
    (1, "--gpu-fallback=cpu", [0, 0, 0]), (2, "--gpu-fallback=cpu", [0, 1, 0]), (3, "--gpu-fallback=cpu", [0, 1, 2]),
    (8, "--gpu-fallback=cpu", [0, 1, 2]), (2, "--gpu-map=2:1", [0, 1, 1]), (2, "--gpu-map=wrap", [0, 1, 0]), (3, None, [0, 1, 2]),
])
def test_three_models_on_the_gpus_that_there_are(three_models, gpus, option, places):
    options = [f"--backend-directory={ECHO}", *([option] if option else [])]
    with Server("nereid", three_models, *options, env=machine(gpus)) as server:
        with http_client.InferenceServerClient(server.http_url) as client:
            for asked, (model, place) in enumerate(zip(("unet_model", "resnet_model", "densenet_model"), places)):
                group = client.get_model_config(model)["instance_group"][0]
                assert (group["kind"], group["gpus"]) == ("KIND_GPU", [place])
                assert answers(client, model)
                stats = client.get_inference_statistics(model)["model_stats"][0]
                assert stats.get("gpu_map", {}) == ({str(asked): place} if asked != place else {})
        log = server.log
    warnings = [line for line in log.splitlines() if line.startswith("W") and "asks for GPU" in line]
    assert len(warnings) == sum(asked != place for asked, place in enumerate(places)), warnings


def test_same_models_without_gpus_are_on_the_processor(three_models):
    with Server("nereid", three_models, f"--backend-directory={ECHO}", "--gpu-fallback=cpu") as server:
        with http_client.InferenceServerClient(server.http_url) as client:
            for model in ("unet_model", "resnet_model", "densenet_model"):
                assert client.get_model_config(model)["instance_group"][0]["kind"] == "KIND_CPU"
                assert answers(client, model)


@pytest.mark.parametrize("options", [[], ["--gpu-fallback=none"], ["--gpu-fallback=cpu", "--gpu-map=none"], ["--gpu-map=7:1"]])
def test_gpu_2_of_two_is_refused_unless_somebody_says_what_it_means(three_models, options):
    server = Server("nereid", three_models, f"--backend-directory={ECHO}", *options, env=machine(2), wait=False)
    assert server.process.wait(30) == 1
    assert "instance group densenet_model_0 of model densenet_model specifies invalid or unsupported gpu id 2" in server.log
    assert "resnet_model' to READY" in server.log or "successfully loaded 'resnet_model'" in server.log, server.log
    server.stop()


def test_gpu_map_that_makes_no_sense_is_refused(three_models):
    server = Server("nereid", three_models, "--gpu-map=2:1,1:0", wait=False)
    assert server.process.wait(30) == 1
    assert "GPU map '2:1,1:0': a GPU that another one is mapped to is mapped itself" in server.log
    server.stop()


GRAPH = """operators:
  source: {{type: PingTensorTxOp, parameters: {{rows: 4, columns: 0, data_type: float}}, conditions: [{{type: CountCondition, count: 5}}]}}
  model:
    type: InferenceOp
    parameters:
      backend: gpu_echo
      model_path_map: {{{paths}}}
      device_map: {{unet_model: 0, resnet_model: 1, densenet_model: 2}}
      pre_processor_map: {{unet_model: [tensor], resnet_model: [tensor], densenet_model: [tensor]}}
      inference_map: {{unet_model: [a], resnet_model: [b], densenet_model: [c]}}
      gpu_fallback: {fallback}
  report: {{type: ReportSinkOp}}
flows: [source -> model -> report]
"""


def run_graph(tmp_path, gpus, fallback="cpu"):
    names = ("unet_model", "resnet_model", "densenet_model")
    for name in names:
        (tmp_path / f"{name}.echo").write_text("nothing")
    application = tmp_path / "app.yaml"
    application.write_text(GRAPH.format(paths=", ".join(f"{n}: {tmp_path}/{n}.echo" for n in names), fallback=fallback))
    env = {**os.environ, "NEREID_BACKENDS": str(ECHO), **(machine(gpus) if gpus else {})}
    return subprocess.run([PREFIX / "bin/nereid", "run", application], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60)


@pytest.mark.parametrize("gpus, places", [
    (0, ["CPU (GPU 0 was asked for)", "CPU (GPU 1 was asked for)", "CPU (GPU 2 was asked for)"]),
    (1, ["GPU 0", "GPU 0 (GPU 1 was asked for)", "GPU 0 (GPU 2 was asked for)"]), (2, ["GPU 0", "GPU 1", "GPU 0 (GPU 2 was asked for)"]),
    (3, ["GPU 0", "GPU 1", "GPU 2"]), (8, ["GPU 0", "GPU 1", "GPU 2"]),
])
def test_graph_runs_its_models_on_the_gpus_that_there_are_and_says_so(tmp_path, gpus, places):
    done = run_graph(tmp_path, gpus)
    assert done.returncode == 0, done.stdout
    assert re.search(r"report: 5 messages", done.stdout), done.stdout
    expected = ", ".join(f"{name} on {place}" for name, place in zip(("unet_model", "resnet_model", "densenet_model"), places))
    assert f"| model    | {expected} |" in done.stdout, done.stdout


def test_graph_that_wants_its_gpus_is_refused_without_them(tmp_path):
    done = run_graph(tmp_path, 2, "none")
    assert done.returncode == 1
    assert "specifies invalid or unsupported gpu id 2" in done.stdout and "app.yaml:4:5:" in done.stdout, done.stdout


# ---- tensors of GPUs from model to model ----------------------------------------------------------------------------------------

def chain(tmp_path, models, sink, change=lambda text: text, more=None):
    """A source of 20 tensors of 4 KB, models (name, GPU or None) one behind the other, a sink."""
    operators = ["  source: {type: PingTensorTxOp, parameters: {rows: 1024, columns: 0, data_type: float, data: "
                 f"{list(np.arange(1, 9, dtype=np.float32).tobytes())}}}, conditions: [{{type: CountCondition, count: 20}}]}}"]
    tensor = "tensor"
    for name, gpu in models:
        (tmp_path / f"{name}.echo").write_text("nothing")
        where = "infer_on_cpu: true" if gpu is None else f"device_map: {{{name}: {gpu}}}"
        operators.append(f"  {name}: {{type: InferenceOp, parameters: {{backend: gpu_echo, model_path_map: {{{name}: {tmp_path}/{name}.echo}}, {where}, "
                         f"pre_processor_map: {{{name}: [{tensor}]}}, inference_map: {{{name}: [{name}_out]}}, gpu_fallback: none}}}}")
        tensor = f"{name}_out"
    flow = " -> ".join(["source", *(name for name, _ in models), "sink"])
    (tmp_path / "app.yaml").write_text(change("operators:\n" + "\n".join(operators) + f"\n  sink: {{type: {sink}}}\nflows: [{flow}]\n"))
    # A copy of a tensor within a GPU takes 41 ms.
    env = {**os.environ, "NEREID_BACKENDS": str(ECHO), **machine(2, device="0.0001", peer="0.0001", report=1), **(more or {})}
    done = subprocess.run([PREFIX / "bin/nereid", "run", tmp_path / "app.yaml"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_models_of_a_graph_hand_gpu_tensors_on_without_a_wait(tmp_path):
    out = chain(tmp_path, [("a", 0), ("b", 0), ("c", 1)], "PingTensorRxOp")
    assert out.count("sink received message") == 20
    calls = dict(re.findall(r"^fake_cuda: (\w+) (\d+)$", out, re.M))
    assert int(calls["cuMemcpyDtoDAsync_v2"]) == 60 and int(calls["cuMemcpyPeerAsync"]) == 20
    # GPU 0 alone has 40 copies to do, 1.6 s; the host was done long before.
    assert float(re.search(r"^([\d.]+) s$", out, re.M).group(1)) < 0.5, out
    assert not {"cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize"} & set(calls)


def test_onnx_models_of_a_graph_hand_gpu_tensors_on(tmp_path):
    names = ("a", "b", "c")
    for name in names:
        (tmp_path / f"{name}.onnx").write_bytes(onnx_models.identity(onnx_models.T.FLOAT, [1024]))
    out = chain(tmp_path, [(name, 0 if name < "c" else None) for name in names], "ReportSinkOp",
                lambda text: text.replace("backend: gpu_echo, ", "").replace(".echo", ".onnx"),
                {"NEREID_BACKENDS": str(PREFIX / "lib/nereid/backends"), **onnx_models.pretended_gpus()})
    assert "sink: 20 messages" in out
    assert "norm 14.28, mean 0.03516, 0 to 8" in out, out
    assert "a on GPU 0 " in out and "b on GPU 0 " in out and "c on CPU " in out


def test_tensorrt_model_of_a_graph_reads_its_tensor_in_place_when_it_is_there(tmp_path):
    (tmp_path / "c.plan").write_text("input x FP32 1024\noutput y FP32 1024 copy x\n")
    folder = tmp_path / "backends"
    (folder / "tensorrt").mkdir(parents=True)
    (folder / "gpu_echo").symlink_to(ECHO / "gpu_echo")
    (folder / "tensorrt/libtriton_tensorrt.so").symlink_to((BACKENDS / "tensorrt/libtriton_tensorrt.so").resolve())
    (folder / "tensorrt/libnereid_trt_8.5.so").symlink_to((PREFIX / "tests/fake_trt/libnvinfer.so.8").resolve())
    out = chain(tmp_path, [("a", 0), ("b", 1), ("c", 1)], "ReportSinkOp",
                lambda text: text.replace(f"backend: gpu_echo, model_path_map: {{c: {tmp_path}/c.echo}}", f"model_path_map: {{c: {tmp_path}/c.plan}}"),
                {"NEREID_BACKENDS": str(folder), "NEREID_TENSORRT": str(PREFIX / "tests/fake_trt"), "FAKE_TRT_TRACE": str(tmp_path / "trace"), "GPU_ECHO_US": "30000"})
    assert "sink: 20 messages" in out
    assert "c_out: 20480 vectors, mean norm 0.03516" in out, out


def test_model_that_knows_no_events_gets_its_bytes_when_they_are_there(tmp_path):
    out = chain(tmp_path, [("a", 0), ("b", 1), ("c", None)], "ReportSinkOp")
    assert "sink: 20 messages" in out
    assert "norm 14.28, mean 0.03516, 0 to 8" in out, out
