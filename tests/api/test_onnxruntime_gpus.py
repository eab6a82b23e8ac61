# SPDX-License-Identifier: Apache-2.0
"""The onnxruntime backend on GPUs that are pretended, with an ONNX Runtime that computes on the processor: which GPU a model goes
to, what is copied, which options arrive, what is said where the provider is missing. test_backend_onnxruntime.py has the results."""

import concurrent.futures
import re

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
http = pytest.importorskip("tritonclient.http")

import onnx_models as models  # noqa: E402
from onnx import TensorProto as T  # noqa: E402
from onnx import helper as h  # noqa: E402
from servers import Server, add_model  # noqa: E402
from test_backend_onnxruntime import ask  # noqa: E402

BACKEND = 'backend: "onnxruntime"\n'
GPU = "instance_group { kind: KIND_GPU count: 1 gpus: [ 0 ] }\n"


def accelerator(name, **parameters):
    rows = "".join(f' parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items())
    return f'optimization {{ execution_accelerators {{ gpu_execution_accelerator: [ {{ name: "{name}"{rows} }} ] }} }}\n'


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


@pytest.fixture
def one_model(tmp_path):
    def make(config, content=None):
        add_model(tmp_path, "m", 'name: "m"\n' + BACKEND + config, {"1/model.onnx": content or models.identity(T.FLOAT, [None, 4])})
        return tmp_path
    return make


def refused(repository, env, *options):
    """The log of a server that could not load its model."""
    server = Server("nereid", repository, *options, env=env, wait=False)
    try:
        assert server.process.wait(60) == 1
        return server.log
    finally:
        server.stop()


def kinds(server):
    with http.InferenceServerClient(server.http_url) as client:
        return [(g["kind"], g.get("gpus")) for g in client.get_model_config("m")["instance_group"]]


def test_model_without_a_group_goes_to_every_gpu(one_model):
    with Server("nereid", one_model("max_batch_size: 4\n"), env=models.pretended_gpus()) as server:
        assert kinds(server) == [("KIND_GPU", [0, 1])]


def test_library_without_the_provider_is_named(one_model):
    env = models.pretended_gpus(NEREID_ONNXRUNTIME=models.library())
    log = refused(one_model(GPU), env)
    assert "model 'm' asks for instances on a GPU (KIND_GPU): ONNX Runtime" in log
    assert "was built without the CUDA execution provider; the library of the package onnxruntime-gpu has it" in log


@pytest.mark.parametrize("group, options", [("", []), (GPU, ["--gpu-fallback=cpu"])])
def test_model_runs_on_the_processor_where_it_may_and_says_why(one_model, group, options):
    env = models.pretended_gpus(FAKE_ORT_CANNOT_LOAD="libcublasLt.so.13: cannot open shared object file")
    with Server("nereid", one_model(group), *options, env=env) as server:
        assert [kind for kind, _ in kinds(server)] == ["KIND_CPU"]
        assert re.search(r"model 'm' runs on the CPU though there are GPUs: the CUDA execution provider of ONNX Runtime .* cannot be "
                         r"loaded: .*libcublasLt.so.13: cannot open shared object file .*LD_LIBRARY_PATH", server.log)
        with http.InferenceServerClient(server.http_url) as client:
            x = np.ones((2, 4), np.float32)
            np.testing.assert_array_equal(ask(client, "m", {"X": x})["Y"], x)


def test_provider_that_cannot_be_loaded_is_named(one_model):
    log = refused(one_model(GPU), models.pretended_gpus(FAKE_ORT_CANNOT_LOAD="libcudnn.so.9: cannot open shared object file"))
    assert re.search(r"\(KIND_GPU\): the CUDA execution provider .* cannot be loaded: .*libcudnn.so.9", log)


@pytest.mark.parametrize("config, text", [
    (accelerator("zzz"), "unknown Execution Accelerator 'zzz' is requested"),
    (accelerator("tensorrt"), "asks for the execution accelerator 'tensorrt', which ONNX Runtime"),
    (accelerator("tensorrt", workspace=1), "unknown parameter 'workspace' is provided for TensorRT Execution Accelerator"),
    (accelerator("tensorrt", precision_mode="FP8"), "unsupported precision mode 'FP8' is requested"),
    (accelerator("tensorrt", trt_dla_enable="maybe"), "trt_dla_enable"),
    (accelerator("cuda", zzz=1), "Unknown provider option"),
    (accelerator("cuda", device_id=1), "parameter 'device_id' of the CUDA Execution Accelerator is set by the instance group"),
    (accelerator("cuda", gpu_mem_limit="much"), "'gpu_mem_limit' must be a number of bytes, not 'much'"),
    (parameter("cudnn_conv_algo_search", 3), "unsupported cudnn_conv_algo_search value '3' is requested"),
    (parameter("arena_extend_strategy", 2), "unsupported arena_extend_strategy value '2' is requested"),
    (parameter("gpu_mem_limit", -1), "'gpu_mem_limit' must be a number of bytes, not '-1'"),
])
def test_option_that_cannot_be_is_refused_by_name(one_model, config, text):
    assert text in refused(one_model(GPU + config), models.pretended_gpus())


def test_options_of_both_ways_are_taken(one_model):
    config = (GPU + accelerator("cuda", use_tf32="false", gpu_mem_limit=1000000) + parameter("cudnn_conv_algo_search", 1)
              + parameter("arena_extend_strategy", 1) + parameter("do_copy_in_default_stream", "true"))
    with Server("nereid", one_model(config), env=models.pretended_gpus()) as server:
        with http.InferenceServerClient(server.http_url) as client:
            x = np.ones((2, 4), np.float32)
            np.testing.assert_array_equal(ask(client, "m", {"X": x})["Y"], x)


@pytest.mark.parametrize("graphs", [accelerator("cuda", enable_cuda_graph=1), "optimization { cuda { graphs: true } }\n"])
def test_captured_runs_answer_each_batch_size_rightly(one_model, graphs):
    config = GPU + graphs + "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 20000 }\n"
    with Server("nereid", one_model(config, models.add_sub(T.FLOAT, [None, 4])), env=models.pretended_gpus()) as server:
        def one(seed):
            random = np.random.default_rng(seed)
            with http.InferenceServerClient(server.http_url, network_timeout=60, connection_timeout=60) as client:
                for _ in range(20):
                    a, b = (random.standard_normal((random.integers(1, 5), 1)).astype(np.float32).repeat(4, 1) for _ in range(2))
                    b = np.resize(b, a.shape)
                    outputs = [["SUM"], ["DIFF"], ["SUM", "DIFF"]][random.integers(0, 3)]
                    got = ask(client, "m", {"A": a, "B": b}, outputs)
                    assert set(got) == set(outputs)
                    for name, array in got.items():
                        np.testing.assert_array_equal(array, a + b if name == "SUM" else a - b)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(one, range(6)))


def test_graphs_of_open_shapes_are_left_out_with_a_warning(one_model):
    config = GPU + "optimization { cuda { graphs: true } }\n"
    with Server("nereid", one_model(config, models.open_shapes()), env=models.pretended_gpus()) as server:
        assert "model 'm' asks for CUDA graphs, but an input has an open shape or is read on the CPU: it runs without" in server.log
        with http.InferenceServerClient(server.http_url) as client:
            x = np.array([[0, 2], [3, 0]], np.float32)
            np.testing.assert_array_equal(ask(client, "m", {"X": x}, ["FOUND", "NEGATED"])["FOUND"], np.stack(np.nonzero(x)))


def test_tensors_of_the_processor_stay_there(one_model):
    """A shape that a Reshape reads, and an output that is made on the processor: neither is taken to the GPU."""
    content = models.model(
        [h.make_node("Reshape", ["X", "CPU_SHAPE"], ["Y"]), h.make_node("Identity", ["CPU_SHAPE"], ["CPU_SEEN"])],
        [models.info("X", T.FLOAT, [None]), models.info("CPU_SHAPE", T.INT64, [2])],
        [models.info("Y", T.FLOAT, [None, None]), models.info("CPU_SEEN", T.INT64, [2])])
    with Server("nereid", one_model(GPU, content), env=models.pretended_gpus()) as server:
        with http.InferenceServerClient(server.http_url) as client:
            got = ask(client, "m", {"X": np.arange(6, dtype=np.float32), "CPU_SHAPE": np.array([3, 2], np.int64)})
    np.testing.assert_array_equal(got["Y"], np.arange(6, dtype=np.float32).reshape(3, 2))
    np.testing.assert_array_equal(got["CPU_SEEN"], [3, 2])
