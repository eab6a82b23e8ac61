# SPDX-License-Identifier: Apache-2.0
"""A GPU that is lost in the middle of load, on pretended GPUs: each request has one answer, the load moves, readiness tells.

The lossy backend (tests/support/lossy_backend) breaks its GPU's context when a request asks for it.
"""

import json
import queue
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from servers import PREFIX, SLOWDOWN, Server

FAKE = PREFIX / "tests/fake"
LOSSY = PREFIX / "tests/backends/lossy/libtriton_lossy.so"
ANY, FAIL = 100, 200
CONFIG = """backend: "lossy"
max_batch_size: 4
input {{ name: "INPUT" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "GPU" data_type: TYPE_INT32 dims: [ 1 ] }}
{group}
{scheduling}
parameters {{ key: "busy_us" value {{ string_value: "{busy_us}" }} }}
parameters {{ key: "by_execute" value {{ string_value: "{by_execute}" }} }}
parameters {{ key: "report" value {{ string_value: "{report}" }} }}
parameters {{ key: "load_ms" value {{ string_value: "{load_ms}" }} }}
"""


@pytest.fixture
def repository(tmp_path):
    for needed in (FAKE / "libcuda.so.1", LOSSY):
        if not needed.exists():
            pytest.fail(f"{needed} is not there: make test-programs builds it")

    def make(name, group="instance_group { kind: KIND_GPU }", scheduling="dynamic_batching { }", busy_us=200,
             by_execute="false", report="false", load_ms=0):
        folder = tmp_path / "models" / name
        (folder / "1").mkdir(parents=True)
        (folder / "libtriton_lossy.so").symlink_to(LOSSY)
        (folder / "config.pbtxt").write_text(CONFIG.format(**{k: v for k, v in locals().items() if k != "folder"}))
        return tmp_path / "models"
    return make


def machine(gpus, **more):
    settings = ",".join([f"gpus={gpus}", "memory=1G", *(f"{name}={value}" for name, value in more.items())])
    return {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": settings}


class Load:
    """Requests in flight over gRPC, `width` at a time; who was answered, how often, and with what."""

    def __init__(self, server, model="m", width=64):
        self.client = grpc_client.InferenceServerClient(server.grpc_url)
        self.model = model
        self.free = threading.Semaphore(width)
        self.lock = threading.Lock()
        self.answers = {}
        self.sent = 0

    def send(self, order=0):
        number = self.sent
        self.sent += 1
        row = np.array([[number, order, number % 7, i] for i in range(1 + number % 3)], np.float32)
        tensor = grpc_client.InferInput("INPUT", row.shape, "FP32")
        tensor.set_data_from_numpy(row)
        self.free.acquire()

        def answered(result, error):
            if error is None:
                right = np.array_equal(result.as_numpy("OUTPUT"), row)
                said = int(result.as_numpy("GPU")[0, 0]) if right else f"wrong {result.as_numpy('OUTPUT')} for {row}"
            else:
                said = error
            with self.lock:
                self.answers.setdefault(number, []).append(said)
            self.free.release()
        self.client.async_infer(self.model, [tensor], answered, client_timeout=60 * SLOWDOWN)
        return number

    def finish(self):
        """All answers, in the order of the requests: the GPU that gave it, or the error."""
        end = time.monotonic() + 60 * SLOWDOWN
        while time.monotonic() < end:
            with self.lock:
                if len(self.answers) == self.sent:
                    break
            time.sleep(0.01)
        time.sleep(0.05)  # a second answer would come about now
        with self.lock:
            assert [len(self.answers.get(i, [])) for i in range(self.sent)] == [1] * self.sent
            return [self.answers[i][0] for i in range(self.sent)]


def until(what, seconds=20):
    end = time.monotonic() + seconds * SLOWDOWN
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def index(server):
    return {row["name"]: row for row in json.loads(server.request("POST", "/v2/repository/index", "{}")[3])}


def ready(server, model=None):
    return server.request("GET", f"/v2/models/{model}/ready" if model else "/v2/health/ready")[0] == 200


def lost_gpus(server):
    return [line[-1] for line in server.metrics().splitlines() if line.startswith("nereid_gpu_lost{")]


@pytest.mark.parametrize("gpus", [2, 8])
@pytest.mark.parametrize("scheduling", ["", "dynamic_batching { }", "dynamic_batching { preserve_ordering: true }"])
@pytest.mark.parametrize("by_execute", ["false", "true"])
def test_gpu_lost_in_the_middle_of_load_costs_no_answer(repository, gpus, scheduling, by_execute):
    models = repository("m", scheduling=scheduling, by_execute=by_execute)
    with Server("nereid", models, env=machine(gpus)) as server:
        load = Load(server)
        for i in range(2000):
            load.send(order=1 if 700 <= i < 1380 else 0)  # one of these meets GPU 0, and breaks it
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set()
        # Who takes how much is measured (test_gpu_routing.py), so not each of many GPUs need show among the last ones.
        assert 0 in answers[:600] and set(answers[:600]) <= set(range(gpus))
        assert set(answers[-600:]) <= set(range(1, gpus))
        until(lambda: "reason" in index(server)["m"])
        row = index(server)["m"]
        assert row["state"] == "READY" and ready(server) and ready(server, "m")
        assert row["reason"].startswith("GPU 0 (GPU-00fafafa-fafa-fafa-fafa-fafafafafafa) is lost: ")
        assert row["reason"].endswith(f"; {gpus - 1} of {gpus} instances are left")
        assert lost_gpus(server) == ["1"] + ["0"] * (gpus - 1)
        moved = [line for line in server.metrics().splitlines() if line.startswith("nereid_inference_retry_count{")]
        assert len(moved) == 1 and float(moved[0].split()[-1]) >= 1
        statistics = json.loads(server.request("GET", "/v2/models/m/stats")[3])["model_stats"][0]["inference_stats"]
        assert int(statistics["success"]["count"]) == 2000 and int(statistics["fail"]["count"]) == 0
        assert "model 'm' version 1 goes on: GPU 0 (GPU-00fafafa-fafa-fafa-fafa-fafafafafafa) is lost: " in server.log


def test_fault_of_the_driver_itself_in_the_middle_of_load(repository):
    with Server("nereid", repository("m"), env=machine(2, fault="1@150")) as server:
        load = Load(server)
        for _ in range(2000):
            load.send()
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set()
        assert set(answers[-600:]) == {0}


def test_gpu_that_falls_off_the_bus_is_seen_without_load(repository):
    with Server("nereid", repository("m", busy_us=10), env=machine(2, unplug="1@1")) as server:
        load = Load(server, width=1)
        while 1 not in set(lost for lost in range(2) if lost_gpus(server)[lost] == "1"):
            load.send()
        assert {a for a in load.finish() if not isinstance(a, int)} == set()
        assert ready(server)


def test_all_gpus_lost_refuses_by_name_and_the_server_stays(repository):
    models = repository("m")
    repository("c", group="instance_group { kind: KIND_CPU }")
    with Server("nereid", models, "--gpu-fault=stay", env=machine(2)) as server:
        load = Load(server)
        for i in range(1500):
            load.send(order=ANY if i in (500, 501, 502) else 0)
        answers = load.finish()
        refused = [a for a in answers if not isinstance(a, int)]
        assert refused and "wrong" not in refused
        assert {error.status() for error in refused} <= {"StatusCode.UNAVAILABLE", "StatusCode.INTERNAL"}
        until(lambda: index(server)["m"]["state"] == "UNAVAILABLE")
        assert index(server)["m"]["reason"].endswith("; no instance is left")
        assert index(server)["m"]["reason"].count("is lost") == 2
        assert not ready(server) and not ready(server, "m") and ready(server, "c")
        until(lambda: "not served any more" in server.log)
        late = Load(server)
        late.send()
        error, = late.finish()
        assert error.status() == "StatusCode.UNAVAILABLE"
        assert error.message().endswith("model 'm' has no device in service: GPU 0, GPU 1 are out of service")
        cpu = Load(server, "c")
        cpu.send()
        assert cpu.finish() == [-1] and server.alive()
        server.process.terminate()
        assert server.process.wait(10 * SLOWDOWN) == 0


def test_fault_that_breaks_all_gpus_of_the_process_is_told_at_once(repository):
    with Server("nereid", repository("m"), "--gpu-fault=stay", env=machine(4, faults="shared")) as server:
        load = Load(server)
        for i in range(1000):
            load.send(order=ANY if i == 500 else 0)
        answers = load.finish()
        refused = [a for a in answers if not isinstance(a, int)]
        assert refused and {error.status() for error in refused} <= {"StatusCode.UNAVAILABLE", "StatusCode.INTERNAL"}
        until(lambda: lost_gpus(server) == ["1"] * 4)
        assert not ready(server) and not ready(server, "m") and server.alive()


def test_fault_that_breaks_all_gpus_leaves_the_processor(repository):
    with Server("nereid", repository("m", load_ms=200), "--gpu-fallback=cpu", env=machine(4, faults="shared")) as server:
        load = Load(server)
        for i in range(1500):
            load.send(order=ANY if i == 500 else 0)
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set()
        assert set(answers[-400:]) == {-1}
        assert lost_gpus(server) == ["1"] * 4 and ready(server)


@pytest.mark.parametrize("group", ["kind: KIND_GPU gpus: [ 0 ]", "kind: KIND_GPU"])
def test_processor_takes_over_where_it_may(repository, group):
    models = repository("m", group=f"instance_group {{ {group} }}", load_ms=300)
    with Server("nereid", models, "--gpu-fallback=cpu", "--gpu-map=none", env=machine(1)) as server:
        load = Load(server)
        for i in range(1500):
            load.send(order=ANY if i == 500 else 0)
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set()
        assert set(answers[:400]) == {0} and set(answers[-400:]) == {-1}
        assert ready(server) and ready(server, "m")
        statistics = json.loads(server.request("GET", "/v2/models/m/stats")[3])["model_stats"][0]
        assert statistics["gpu_fallback"] == "cpu"
        assert "instance m_0_0 of GPU 0 is made anew on the processor" in server.log


def test_another_gpu_takes_over_where_the_map_allows_it(repository):
    models = repository("m", group="instance_group { kind: KIND_GPU gpus: [ 1 ] }")
    repository("strict", group="instance_group { kind: KIND_GPU gpus: [ 1 ] }")
    with Server("nereid", models, "--gpu-map=wrap", env=machine(2)) as server:
        load = Load(server)
        for i in range(1000):
            load.send(order=2 if i == 500 else 0)
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set()
        assert set(answers[:400]) == {1} and set(answers[-400:]) == {0}
        other = Load(server, "strict")
        other.send()
        assert other.finish() == [0]


def test_gpus_that_are_named_are_kept_to(repository):
    models = repository("m", group="instance_group { kind: KIND_GPU gpus: [ 1 ] }")
    repository("free")
    with Server("nereid", models, "--model-control-mode=explicit", "--load-model=*", env=machine(2)) as server:
        load = Load(server)
        load.send(order=2)
        error, = load.finish()
        assert error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.INTERNAL")
        until(lambda: "not served any more" in server.log)
        assert not ready(server, "m") and ready(server, "free")
        with http_client.InferenceServerClient(server.http_url) as client:
            with pytest.raises(InferenceServerException, match="is for GPU 1, which is lost"):
                client.load_model("m")
            client.unload_model("m")
            until(lambda: index(server)["m"].get("reason") == "unloaded")
            assert ready(server)
            client.load_model("free", config=json.dumps({"backend": "lossy", "max_batch_size": 4,
                "input": [{"name": "INPUT", "data_type": "TYPE_FP32", "dims": [4]}],
                "output": [{"name": "OUTPUT", "data_type": "TYPE_FP32", "dims": [4]},
                           {"name": "GPU", "data_type": "TYPE_INT32", "dims": [1]}],
                "instance_group": [{"kind": "KIND_GPU"}]}))
            assert client.get_model_config("free")["instance_group"][0]["gpus"] == [0]


def test_model_that_serves_no_more_can_be_loaded_anew(repository):
    models = repository("m", group="instance_group { kind: KIND_GPU gpus: [ 1 ] }")
    with Server("nereid", models, "--model-control-mode=explicit", "--load-model=m", env=machine(2)) as server:
        load = Load(server)
        load.send(order=2)
        load.finish()
        until(lambda: index(server)["m"]["state"] == "UNAVAILABLE")
        with http_client.InferenceServerClient(server.http_url) as client:
            text = (models / "m/config.pbtxt").read_text()
            (models / "m/config.pbtxt").write_text(text.replace("gpus: [ 1 ]", "gpus: [ 0 ]"))
            client.load_model("m")
        load = Load(server)
        load.send()
        assert load.finish() == [0]
        assert ready(server) and "reason" not in index(server)["m"]


def test_backend_that_tells_of_a_loss_is_believed(repository):
    with Server("nereid", repository("m", report="true"), env=machine(2)) as server:
        load = Load(server)
        for i in range(600):
            load.send(order=1 if 200 <= i < 380 else 0)
        answers = load.finish()
        assert {a for a in answers if not isinstance(a, int)} == set() and set(answers[-200:]) == {1}
        assert "is lost: the lossy backend says so" in server.log


def test_error_that_is_the_request_s_own_is_not_tried_again(repository):
    with Server("nereid", repository("m"), env=machine(2)) as server:
        load = Load(server, width=1)
        load.send(order=FAIL)
        load.send()
        error, other = load.finish()
        assert error.message().endswith("the request asked to fail") and other in (0, 1)
        assert lost_gpus(server) == ["0", "0"] and ready(server)


def test_exit_with_a_lost_gpu_and_requests_under_way(repository):
    with Server("nereid", repository("m", busy_us=20000), env=machine(1)) as server:
        load = Load(server)
        for i in range(40):
            load.send(order=ANY if i == 20 else 0)
        server.process.terminate()
        answers = load.finish()
        assert len(answers) == 40
        assert server.process.wait(20 * SLOWDOWN) == 0
