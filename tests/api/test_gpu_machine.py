# SPDX-License-Identifier: Apache-2.0
"""A server on a machine with GPUs, which are pretended ones here: build/tests/fake holds a driver and an NVML of memory and time."""

import base64
import urllib.request

import pytest
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from servers import PREFIX, Server

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
