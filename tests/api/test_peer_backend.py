# SPDX-License-Identifier: Apache-2.0
"""A wall of the house: NVIDIA's own Python backend, the binary as shipped, in our server.

The peer's library libtriton_python.so is linked to the peer's core by an absolute arrangement of folders (RPATH); it gets the
same arrangement with our core in the place of the other. Batches, decoupled responses and requests that the
model itself makes (BLS) go through it.
"""

import json
import os
import pathlib
import queue
import shutil
import sys
import threading

import pytest

from servers import PEER, PREFIX, Server, add_model

CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "A" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "B" data_type: TYPE_FP32 dims: [ 4 ] }
instance_group { kind: KIND_CPU count: 1 }
"""
ADD = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor(
            "B", pb_utils.get_input_tensor_by_name(r, "A").as_numpy() + 1)]) for r in requests]
"""
STREAM = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            a = pb_utils.get_input_tensor_by_name(request, "A")
            for i in range(3):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("B", a.as_numpy() + i)]))
            added = pb_utils.InferenceRequest(model_name="add", requested_output_names=["B"], inputs=[a]).exec()
            b = pb_utils.get_output_tensor_by_name(added, "B").as_numpy()
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("B", b * 100)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
FAIL = """
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        raise RuntimeError("boom")
"""


def backend_folder(root):
    """The peer's backend beside our core; skips where the peer or its stub for this Python is not there."""
    ours = PREFIX / "lib/libtritonserver.so"
    there = PEER / "pytriton/tritonserver"
    stub = there / f"python_backend_stubs/3.{sys.version_info.minor}/triton_python_backend_stub"
    if not stub.exists() or not ours.exists():
        pytest.skip(f"{stub} or {ours} is not there")
    backend = root / "pytriton/tritonserver/backends/python"
    shutil.copytree(there / "backends/python", backend)
    shutil.copy(stub, backend)
    libraries = root / "nvidia_pytriton.libs"
    libraries.mkdir()
    for library in (PEER / "nvidia_pytriton.libs").iterdir():
        ours_instead = library.name.startswith("libtritonserver")
        (libraries / library.name).symlink_to(ours if ours_instead else library)
    return backend.parent


def python_of_its_day(root):
    """A Python environment for the stub, which is isolated and was built for NumPy 1.x: of NumPy 2's tensors it makes empty
    ones. Returns the folder to put first in PATH."""
    packages = [p for p in (PEER / "python", PEER) if list(p.glob("numpy-1.*.dist-info"))]
    if not packages:
        pytest.skip(f"no NumPy 1.x in {PEER / 'python'}")
    base = pathlib.Path(sys.base_prefix) / "bin"
    home = root / "python"
    library = home / f"lib/python3.{sys.version_info.minor}"
    (home / "bin").mkdir(parents=True)
    library.mkdir(parents=True)
    (library / "site-packages").symlink_to(packages[0])
    (home / "bin/python3").symlink_to(base / "python3")
    (home / "pyvenv.cfg").write_text(f"home = {base}\n")
    return home / "bin"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("peer_backend")
    backends = backend_folder(root)
    repository = root / "models"
    batching = "dynamic_batching { max_queue_delay_microseconds: 1000 }\n"
    add_model(repository, "add", CONFIG + batching, {"1/model.py": ADD})
    add_model(repository, "stream", CONFIG + "model_transaction_policy { decoupled: true }\n",
              {"1/model.py": STREAM})
    add_model(repository, "fail", CONFIG, {"1/model.py": FAIL})
    env = {"PATH": f"{python_of_its_day(root)}:{os.environ['PATH']}"}
    with Server("nereid", repository, f"--backend-directory={backends}", env=env) as started:
        yield started


def infer(server, model, values):
    body = {"inputs": [{"name": "A", "datatype": "FP32", "shape": [len(values) // 4, 4], "data": values}]}
    status, _, _, reply = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body))
    return status, json.loads(reply)


def test_answers(server):
    status, reply = infer(server, "add", [1, 2, 3, 4, 5, 6, 7, 8])
    assert status == 200, reply
    assert reply["outputs"][0]["data"] == [2, 3, 4, 5, 6, 7, 8, 9]


def test_batches_what_is_queued(server):
    def client():
        for _ in range(25):
            assert infer(server, "add", [1, 2, 3, 4])[0] == 200
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = json.loads(server.request("GET", "/v2/models/add/stats")[3])["model_stats"][0]
    assert stats["inference_count"] >= 200
    assert stats["execution_count"] < stats["inference_count"]


def test_error_of_the_model_reaches_the_client(server):
    status, reply = infer(server, "fail", [1, 2, 3, 4])
    assert status == 500
    assert "boom" in reply["error"]


def test_streams_and_calls_another_model(server):
    grpc = pytest.importorskip("tritonclient.grpc")
    numpy = pytest.importorskip("numpy")
    answers = queue.Queue()
    client = grpc.InferenceServerClient(server.grpc_url)
    client.start_stream(lambda result, error: answers.put((result, error)))
    value = grpc.InferInput("A", [1, 4], "FP32")
    value.set_data_from_numpy(numpy.array([[0, 1, 2, 3]], dtype=numpy.float32))
    client.async_stream_infer("stream", [value], enable_empty_final_response=True)
    got = []
    for _ in range(5):
        result, error = answers.get(timeout=30)
        assert error is None
        got.append(result)
    client.stop_stream()
    assert [r.as_numpy("B")[0].tolist() for r in got[:4]] == [
        [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [100, 200, 300, 400]]
    assert got[4].get_response().parameters["triton_final_response"].bool_param


def test_stops_in_good_order(server):
    assert server.terminate() == 0
