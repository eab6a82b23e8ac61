# SPDX-License-Identifier: Apache-2.0
"""Several frameworks in one process, each with its own copy of what it brings, at work at once; and models that are given
to GPUs, on a machine without, with --gpu-fallback=cpu: each stays with the framework whose file it has.
"""

import concurrent.futures
import shutil

import frameworks
import numpy as np
import pytest

torch = frameworks.Torch()
tf = frameworks.tensorflow()
http = pytest.importorskip("tritonclient.http")

import onnx_models  # noqa: E402
import tf_models  # noqa: E402
from onnx import TensorProto  # noqa: E402
from servers import Server, add_model  # noqa: E402

GPU = "instance_group { kind: KIND_GPU count: 1 gpus: [ %d ] }\n"
TENSORS = """input { name: "%s" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "%s" data_type: TYPE_FP32 dims: [ 4 ] }
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    files = torch.make(tmp_path_factory.mktemp("files"))
    batch = "max_batch_size: 8\n"
    folder = add_model(root, "torch", 'name: "torch"\nplatform: "pytorch_libtorch"\n' + batch + TENSORS % ("x", "y") + GPU % 2)
    shutil.copy(files / "twice.pt", folder / "1/model.pt")
    folder = add_model(root, "tf", 'name: "tf"\nplatform: "tensorflow_savedmodel"\n' + batch + GPU % 1)
    tf_models.save(folder / "1/model.savedmodel", {"x": (tf.float32, [None, 4])}, lambda x: {"y": x + x})
    add_model(root, "onnx", 'name: "onnx"\nplatform: "onnxruntime_onnx"\n' + batch + GPU % 0,
              {"1/model.onnx": onnx_models.model([onnx_models.h.make_node("Add", ["x", "x"], ["y"])],
                                                 [onnx_models.info("x", TensorProto.FLOAT, [None, 4])],
                                                 [onnx_models.info("y", TensorProto.FLOAT, [None, 4])])})
    return root


def test_three_frameworks_at_once(repository):
    names = ["torch", "tf", "onnx"]
    with Server("nereid", repository, "--gpu-fallback=cpu", timeout=120) as server:
        def one(i):
            with http.InferenceServerClient(server.http_url, network_timeout=60) as client:
                x = np.random.default_rng(i).standard_normal((1 + i % 3, 4)).astype(np.float32)
                tensor = http.InferInput("x", list(x.shape), "FP32")
                tensor.set_data_from_numpy(x)
                return np.array_equal(client.infer(names[i % 3], [tensor]).as_numpy("y"), x + x)

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            assert all(pool.map(one, range(90)))
        with http.InferenceServerClient(server.http_url) as client:
            backends = {name: client.get_model_config(name)["backend"] for name in names}
        assert backends == {"torch": "pytorch", "tf": "tensorflow", "onnx": "onnxruntime"}
        assert server.terminate() == 0


def test_frameworks_are_given_back_and_taken_again(repository):
    with Server("nereid", repository, "--gpu-fallback=cpu", "--model-control-mode=explicit", timeout=120) as server:
        def rounds(count):
            for _ in range(count):
                for name in ("torch", "tf"):
                    assert server.request("POST", f"/v2/repository/models/{name}/load", "{}", timeout=60)[0] == 200
                    assert server.request("POST", f"/v2/repository/models/{name}/unload", "{}")[0] == 200

        rounds(5)
        before = server.rss_mb()
        rounds(20)
        assert server.rss_mb() < before + 40, "memory grows with each load"
