# SPDX-License-Identifier: Apache-2.0
"""Another of the walls: a backend as NVIDIA built it, in our server. It is their Python backend, the one that uses the most of
the interface: 121 functions of the host, the server's own interface among them.

Their library finds its host by a name with a hash, in ../../../../nvidia_pytriton.libs; so a copy of it lies in a tree where
that name leads to ours.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from fronts import CORE
from servers import PEER, PROGRAMS, Server, add_model

STUBS = PEER / "pytriton/tritonserver/python_backend_stubs"


def find_python():
    """An interpreter for models and the stub made for it: the stub of that time wants numpy 1."""
    ask = "import sys, numpy; assert numpy.__version__ < '2'; print('%d.%d' % sys.version_info[:2])"
    for python in (os.environ.get("NEREID_PEER_PYTHON"), PEER.parents[2] / "bin/python", sys.executable):
        if python and pathlib.Path(python).exists():
            done = subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            stub = STUBS / done.stdout.decode().strip() / "triton_python_backend_stub"
            if done.returncode == 0 and stub.is_file():
                return pathlib.Path(python), stub
    return None, None


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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not CORE.exists() or not PROGRAMS["nereid"].exists() or not PROGRAMS["peer"].exists():
        pytest.skip("the server or the peer is not there")
    python, stub = find_python()
    if stub is None:
        pytest.skip("no Python with numpy 1 for the peer's backend (NEREID_PEER_PYTHON names one)")
    home = tmp_path_factory.mktemp("wall")
    libraries = home / "nvidia_pytriton.libs"
    libraries.mkdir()
    for library in (PEER / "nvidia_pytriton.libs").iterdir():
        target = CORE.resolve() if library.name.startswith("libtritonserver") else library
        (libraries / library.name).symlink_to(target)
    backends = home / "pytriton/tritonserver/backends"
    shutil.copytree(PEER / "pytriton/tritonserver/backends/python", backends / "python")
    shutil.copy(stub, backends / "python")
    repository = home / "models"
    for name, code, extra in (("double", DOUBLE, ""), ("caller", CALLER, ""), (
            "stream", STREAM, "model_transaction_policy { decoupled: true }")):
        add_model(repository, name, CONFIG.format(extra=extra), {"1/model.py": code})
    add_model(repository, "completes", 'backend: "python"\n', {"1/model.py": COMPLETES})
    add_model(repository, "broken", CONFIG.format(extra=""), {"1/model.py": "raise RuntimeError('no such luck')\n"})
    # The Python inside the stub finds its modules by the interpreter that the path names.
    paths = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    with Server("nereid", repository, f"--backend-directory={backends}", "--exit-on-error=false", env=paths) as started:
        maps = open(f"/proc/{started.process.pid}/maps").read()
        assert "libtriton_python.so" in maps and str(PEER / "nvidia_pytriton.libs/libtritonserver") not in maps
        yield started


def infer(server, name, values):
    body = {"inputs": [{"name": "IN", "shape": [len(values)], "datatype": "FP32", "data": values}]}
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


def test_it_leaves_in_peace(server):
    assert server.terminate() == 0
    assert "successfully unloaded 'caller' version 1" in server.log
