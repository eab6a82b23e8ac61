# SPDX-License-Identifier: Apache-2.0
"""A wall of the house: NVIDIA's own Python backend, the binary as shipped, in our server. It uses the most of the interface of
all backends: 121 functions of the host, the server's own interface among them.

The peer's library libtriton_python.so is linked to the peer's core by an absolute arrangement of folders (RPATH); it gets the
same arrangement with our core in the place of the other. Batches, decoupled responses, metrics, completed configurations and
requests that the model itself makes (BLS) go through it.
"""

import json
import os
import pathlib
import queue
import shutil
import sys
import threading
import time

import pytest

from servers import PEER, PREFIX, Server, add_model

CONFIG = """
backend: "python"
input {{ name: "IN" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ kind: KIND_CPU }}
{extra}
"""

DOUBLE = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        family = pb.MetricFamily(name="doubled_total", description="Rows doubled", kind=pb.MetricFamily.COUNTER)
        self.metric = family.Metric(labels={"model": "double"})
        self.family = family

    def execute(self, requests):
        replies = []
        for request in requests:
            data = pb.get_input_tensor_by_name(request, "IN").as_numpy()
            self.metric.increment(data.size)
            if data[0] < 0:
                replies.append(pb.InferenceResponse(error=pb.TritonError("below zero")))
            else:
                replies.append(pb.InferenceResponse([pb.Tensor("OUT", data * 2)]))
        return replies
"""

CALLER = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        replies = []
        for request in requests:
            tensor = pb.get_input_tensor_by_name(request, "IN")
            inner = pb.InferenceRequest(model_name="double", requested_output_names=["OUT"], inputs=[tensor]).exec()
            if inner.has_error():
                replies.append(pb.InferenceResponse(error=inner.error()))
            else:
                out = pb.get_output_tensor_by_name(inner, "OUT").as_numpy()
                replies.append(pb.InferenceResponse([pb.Tensor("OUT", out + 1)]))
        return replies
"""

STREAM = """
import numpy
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for i in range(int(pb.get_input_tensor_by_name(request, "IN").as_numpy()[0])):
                sender.send(pb.InferenceResponse([pb.Tensor("OUT", numpy.array([i], numpy.float32))]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

COMPLETES = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "IN", "data_type": "TYPE_FP32", "dims": [3]})
        config.add_output({"name": "OUT", "data_type": "TYPE_FP32", "dims": [3]})
        config.set_max_batch_size(6)
        config.set_dynamic_batching()
        return config

    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("OUT", pb.get_input_tensor_by_name(r, "IN").as_numpy())]) for r in requests]
"""


BATCHED = """
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

MIXED = """
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
    root = tmp_path_factory.mktemp("wall")
    backends = backend_folder(root)
    repository = root / "models"
    decoupled = "model_transaction_policy { decoupled: true }\n"
    for name, config, code in (
            ("double", CONFIG.format(extra=""), DOUBLE), ("caller", CONFIG.format(extra=""), CALLER),
            ("stream", CONFIG.format(extra=decoupled), STREAM), ("completes", 'backend: "python"\n', COMPLETES),
            ("broken", CONFIG.format(extra=""), "raise RuntimeError('no such luck')\n"),
            ("add", BATCHED + "dynamic_batching { max_queue_delay_microseconds: 1000 }\n", ADD),
            ("mixed", BATCHED + decoupled, MIXED), ("fail", BATCHED, FAIL)):
        add_model(repository, name, config, {"1/model.py": code})
    env = {"PATH": f"{python_of_its_day(root)}:{os.environ['PATH']}"}
    with Server("nereid", repository, f"--backend-directory={backends}", "--exit-on-error=false", env=env) as started:
        maps = pathlib.Path(f"/proc/{started.process.pid}/maps").read_text()
        assert "libtriton_python.so" in maps and str(PEER / "nvidia_pytriton.libs/libtritonserver") not in maps
        yield started


def infer(server, name, values, tensor="IN", shape=None):
    body = {"inputs": [{"name": tensor, "shape": shape or [len(values)], "datatype": "FP32", "data": values}]}
    status, _, _, text = server.request("POST", f"/v2/models/{name}/infer", body=json.dumps(body))
    return status, json.loads(text)


def test_it_infers_and_fails_as_told(server):
    assert infer(server, "double", [1, 2.5])[1]["outputs"][0]["data"] == [2.0, 5.0]
    status, reply = infer(server, "double", [-1])
    assert status == 500 and "below zero" in reply["error"]


def test_it_calls_the_server_from_within(server):
    assert infer(server, "caller", [1, 2])[1]["outputs"][0]["data"] == [3.0, 5.0]
    status, reply = infer(server, "caller", [-3])
    assert status == 500 and "below zero" in reply["error"]


def test_it_answers_many_times(server):
    status, _, _, text = server.request("POST", "/v2/models/stream/generate_stream", body=json.dumps({"IN": 3.0}))
    got = [json.loads(line[6:]) for line in text.decode().split("\n\n") if line.startswith("data: ")]
    assert status == 200 and [reply["OUT"] for reply in got] == [0.0, 1.0, 2.0]


def test_its_metrics_are_shown(server):
    infer(server, "double", [1, 2, 3])
    assert '# TYPE doubled_total counter\ndoubled_total{model="double"} ' in server.metrics()


def test_it_completes_configurations(server):
    config = json.loads(server.request("GET", "/v2/models/completes/config")[3])
    assert config["max_batch_size"] == 6 and config["input"][0]["dims"] == [3] and "dynamic_batching" in config


def test_its_failures_are_told(server):
    rows = {row["name"]: row for row in json.loads(server.request("POST", "/v2/repository/index")[3])}
    assert rows["broken"]["state"] == "UNAVAILABLE"
    assert rows["broken"]["reason"].startswith("Internal: RuntimeError: no such luck")
    assert server.request("GET", "/v2/health/ready")[0] == 400


def test_it_keeps_rows_in_order(server):
    status, reply = infer(server, "add", [1, 2, 3, 4, 5, 6, 7, 8], "A", [2, 4])
    assert status == 200, reply
    assert reply["outputs"][0]["data"] == [2, 3, 4, 5, 6, 7, 8, 9]


def test_it_gets_batches_of_what_is_queued(server):
    def client():
        for _ in range(25):
            assert infer(server, "add", [1, 2, 3, 4], "A", [1, 4])[0] == 200
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(100):  # the last answers are counted a moment after they are given
        stats = json.loads(server.request("GET", "/v2/models/add/stats")[3])["model_stats"][0]
        if stats["inference_count"] >= 200:
            break
        time.sleep(0.02)
    assert stats["inference_count"] >= 200
    assert stats["execution_count"] < stats["inference_count"]


def test_its_exception_reaches_the_client(server):
    status, reply = infer(server, "fail", [1, 2, 3, 4], "A", [1, 4])
    assert status == 500
    assert "boom" in reply["error"]


def test_it_streams_and_calls_over_grpc(server):
    grpc = pytest.importorskip("tritonclient.grpc")
    numpy = pytest.importorskip("numpy")
    answers = queue.Queue()
    client = grpc.InferenceServerClient(server.grpc_url)
    client.start_stream(lambda result, error: answers.put((result, error)))
    value = grpc.InferInput("A", [1, 4], "FP32")
    value.set_data_from_numpy(numpy.array([[0, 1, 2, 3]], dtype=numpy.float32))
    client.async_stream_infer("mixed", [value], enable_empty_final_response=True)
    got = []
    for _ in range(5):
        result, error = answers.get(timeout=30)
        assert error is None
        got.append(result)
    client.stop_stream()
    assert [r.as_numpy("B")[0].tolist() for r in got[:4]] == [
        [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [100, 200, 300, 400]]
    assert got[4].get_response().parameters["triton_final_response"].bool_param


def test_it_leaves_in_peace(server):
    assert server.terminate() == 0
    assert "successfully unloaded 'caller' version 1" in server.log
