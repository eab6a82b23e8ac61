# SPDX-License-Identifier: Apache-2.0
"""Every method of the four real clients (HTTP and gRPC, blocking and asyncio), and curl, on each server that is there.

What one protocol alone can do is in test_http.py and test_grpc.py.
"""

import asyncio
import gzip
import inspect
import json
import queue
import shutil
import subprocess
import threading
import time
import zlib

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.http.auth import BasicAuth
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from servers import Server, add_model, identity_config

MODULES = {"http": tritonclient.http, "http.aio": tritonclient.http.aio, "grpc": tritonclient.grpc, "grpc.aio": tritonclient.grpc.aio}
RNG = np.random.default_rng(7)
ARRAYS = {
    "TYPE_BOOL": np.array([[True, False, True]]), "TYPE_UINT8": np.array([[0, 255]], np.uint8), "TYPE_UINT16": np.array([[0, 65535]], np.uint16),
    "TYPE_UINT32": np.array([[0, 2**32 - 1]], np.uint32), "TYPE_UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "TYPE_INT8": np.array([[-128, 127]], np.int8), "TYPE_INT16": np.array([[-2**15, 2**15 - 1]], np.int16),
    "TYPE_INT32": np.array([[-2**31, 2**31 - 1]], np.int32), "TYPE_INT64": np.array([[-2**63, 2**63 - 1]], np.int64),
    "TYPE_FP16": np.array([[0.5, -65504, np.inf]], np.float16), "TYPE_FP32": np.array([[0.1, -3.4e38, np.inf]], np.float32),
    "TYPE_FP64": np.array([[0.1, -1.7e308, np.nan]], np.float64), "TYPE_STRING": np.array([[b"", b"one", "zw\u00f6lf".encode()]], np.object_),
}


@pytest.fixture(scope="module")
def server(server_name, tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for datatype in [*ARRAYS, "TYPE_BF16"]:
        add_model(models, datatype.lower(), identity_config(datatype.lower(), datatype, dims="[-1, -1]"))
    add_model(models, "pair", identity_config("pair", dims="[2]", batch=4, pairs=2))
    labelled = identity_config("labelled", dims="[4]", batch=8).replace('name: "OUTPUT0"', 'name: "OUTPUT0" label_filename: "labels.txt"')
    add_model(models, "labelled", labelled, {"labels.txt": "cat\ndog\nfox\nbird\n"})
    add_model(models, "slow", identity_config("slow", extra='parameters { key: "execute_delay_ms" value { string_value: "300" } }\n'))
    add_model(models, "spare", identity_config("spare"))
    with Server(server_name, models, "--model-control-mode=explicit", "--load-model=*") as running:
        yield running


class Blocking:
    """A client of either kind, whose methods wait."""

    def __init__(self, kind, server):
        self.kind, self.module = kind, MODULES[kind]
        self.loop = asyncio.new_event_loop() if kind.endswith(".aio") else None
        url = server.http_url if kind.startswith("http") else server.grpc_url
        self.client = self.wait(self.make(url))

    async def _aio(self, url):
        return self.module.InferenceServerClient(url)

    def make(self, url):
        return self._aio(url) if self.loop else self.module.InferenceServerClient(url)

    def wait(self, value):
        return self.loop.run_until_complete(value) if inspect.isawaitable(value) else value

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *arguments, **named: self.wait(method(*arguments, **named))

    def tensor(self, array, name="INPUT0", datatype=None, **more):
        made = self.module.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
        made.set_data_from_numpy(array, **more)
        return made

    def output(self, name="OUTPUT0", **more):
        return self.module.InferRequestedOutput(name, **more)

    @property
    def json(self):
        """gRPC's methods give JSON when asked."""
        return {} if self.kind.startswith("http") else {"as_json": True}

    def close(self):
        self.wait(self.client.close())
        if self.loop:
            self.loop.close()


@pytest.fixture(params=sorted(MODULES))
def client(request, server):
    made = Blocking(request.param, server)
    yield made
    made.close()


# ---- inference --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("datatype", sorted(ARRAYS))
def test_every_type_comes_back(client, datatype):
    array = ARRAYS[datatype]
    reply = client.infer(datatype.lower(), [client.tensor(array)], request_id="x")
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT0"), array)
    if client.kind.startswith("http") and datatype not in ("TYPE_FP16",):
        finite = array if datatype not in ("TYPE_FP32", "TYPE_FP64") else array[:, :2]
        reply = client.infer(datatype.lower(), [client.tensor(finite, binary_data=False)], outputs=[client.output(binary_data=False)])
        got = reply.as_numpy("OUTPUT0")
        got = np.array([[v.encode() if isinstance(v, str) else v for v in row] for row in got], object) if datatype == "TYPE_STRING" else got
        np.testing.assert_array_equal(got, finite)


def test_bfloat16_comes_back(client):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([[1.0, -2.5, 3.140625]], ml_dtypes.bfloat16)
    reply = client.infer("type_bf16", [client.tensor(array, datatype="BF16")])
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT0").astype(np.float32), array.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (3, 0), (7, 11), (512, 300)])
def test_shapes_come_back(client, shape):
    array = RNG.random(shape, dtype=np.float32)
    reply = client.infer("type_fp32", [client.tensor(array)]).as_numpy("OUTPUT0")
    assert reply is None or np.array_equal(reply.reshape(shape), array)


def test_several_inputs_and_chosen_outputs(client):
    one, two = RNG.random((3, 2), np.float32), RNG.random((3, 2), np.float32)
    inputs = [client.tensor(two, "INPUT1"), client.tensor(one, "INPUT0")]
    reply = client.infer("pair", inputs)
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT0"), one)
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT1"), two)
    reply = client.infer("pair", inputs, outputs=[client.output("OUTPUT1")])
    assert reply.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT1"), two)
    assert reply.get_output("OUTPUT1") is not None


def test_every_argument_of_infer(client):
    array = RNG.random((1, 2), np.float32)
    common = {"model_version": "1", "request_id": "id 5", "sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 1,
              "timeout": 1_000_000, "headers": {"x-header": "1"}, "parameters": {"text": "a", "number": 5, "flag": True}}
    if client.kind.startswith("http"):
        common["query_params"] = {"a": "b c"}
    else:
        common["client_timeout"] = 20
    reply = client.infer("type_fp32", [client.tensor(array)], outputs=[client.output()], **common)
    np.testing.assert_array_equal(reply.as_numpy("OUTPUT0"), array)
    response = reply.get_response(**client.json)
    assert (response["id"], response["model_name"], response["model_version"]) == ("id 5", "type_fp32", "1")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client, algorithm):
    array = np.arange(30000, dtype=np.float32).reshape(100, 300)
    if client.kind.startswith("http"):
        ways = [{"request_compression_algorithm": algorithm}, {"response_compression_algorithm": algorithm},
                {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}]
    else:
        ways = [{"compression_algorithm": algorithm}]
    for way in ways:
        np.testing.assert_array_equal(client.infer("type_fp32", [client.tensor(array)], **way).as_numpy("OUTPUT0"), array)


def test_classification(client):
    array = np.array([[0.5, 4, -1, 2], [9, 1, 8, 3]], np.float32)
    reply = client.infer("labelled", [client.tensor(array)], outputs=[client.output(class_count=2)])
    assert reply.as_numpy("OUTPUT0").tolist() == [[b"4.000000:1:dog", b"2.000000:3:bird"], [b"9.000000:0:cat", b"8.000000:2:fox"]]


def test_errors_have_status_and_text(client):
    array = np.zeros((1, 2), np.float32)
    for arguments, status, text in (
            (("nowhere", [client.tensor(array)]), ("404", "NOT_FOUND"), "Request for unknown model: 'nowhere' is not found"),
            (("type_int8", [client.tensor(array)]), ("400", "INVALID_ARGUMENT"), "inference input 'INPUT0' data-type is 'FP32', but model 'type_int8' expects 'INT8'"),
            (("pair", [client.tensor(array)]), ("400", "INVALID_ARGUMENT"), "expected 2 inputs but got 1 inputs for model 'pair'"),
            (("type_fp32", [client.tensor(array, "NOPE")]), ("400", "INVALID_ARGUMENT"), "unexpected inference input 'NOPE'"),
            (("labelled", [client.tensor(np.zeros((9, 4), np.float32))]), ("400", "INVALID_ARGUMENT"), "must be <= 8")):
        with pytest.raises(InferenceServerException) as error:
            client.infer(*arguments)
        found = (error.value.status() or "").replace("StatusCode.", "")
        assert found in status or client.kind.startswith("http") and found in ("", *status), found
        assert text in error.value.message()


def test_a_timeout_of_the_client(client):
    array = np.zeros(1, np.float32)
    if client.kind.startswith("grpc"):
        with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
            client.infer("slow", [client.tensor(array)], client_timeout=0.05)
    assert client.infer("slow", [client.tensor(array)]).as_numpy("OUTPUT0").tolist() == [0]


# ---- the rest of each interface ---------------------------------------------------------------------------------------

def test_health(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("pair") and client.is_model_ready("pair", "1")
    assert not ready(client, "pair", "7") and not ready(client, "nowhere")


def ready(client, *model):
    """Since 2.73 gRPC names what is unknown instead of saying no."""
    try:
        return client.is_model_ready(*model)
    except InferenceServerException as error:
        assert error.status() == "StatusCode.NOT_FOUND" and client.kind.startswith("grpc")
        return False


def test_documents(client):
    assert client.get_server_metadata(**client.json)["name"] == "triton"
    model = client.get_model_metadata("pair", model_version="1", **client.json)
    assert model["name"] == "pair" and [t["name"] for t in model["inputs"]] == ["INPUT0", "INPUT1"]
    config = client.get_model_config("pair", **client.json)
    config = config.get("config", config)
    assert config["max_batch_size"] == 4 and [t["name"] for t in config["output"]] == ["OUTPUT0", "OUTPUT1"]
    for call in (client.get_model_metadata, client.get_model_config):
        with pytest.raises(InferenceServerException, match="Request for unknown model: 'nowhere' is not found"):
            call("nowhere")


def test_statistics(client):
    before = statistics(client, "pair")
    client.infer("pair", [client.tensor(np.zeros((3, 2), np.float32), f"INPUT{i}") for i in range(2)])
    end = time.monotonic() + 5
    while (after := statistics(client, "pair")) == before and time.monotonic() < end:
        time.sleep(0.02)  # the peer counts after it has replied
    assert (after[0] - before[0], after[1] - before[1]) == (3, 1)
    everything = client.get_inference_statistics(**client.json)["model_stats"]
    assert {s["name"] for s in everything} >= {"pair", "labelled", "type_fp32"}


def statistics(client, model):
    stats = client.get_inference_statistics(model, **client.json)["model_stats"][0]
    return int(stats.get("inference_count", 0)), int(stats.get("execution_count", 0))


def test_repository(client):
    def state():
        index = client.get_model_repository_index(**client.json)
        rows = index if isinstance(index, list) else index["models"]
        return [(row.get("version"), row.get("state")) for row in rows if row["name"] == "spare"]

    assert ("1", "READY") in state()
    client.unload_model("spare")
    assert not ready(client, "spare")
    client.unload_model("spare", unload_dependents=True)
    client.load_model("spare")
    assert client.is_model_ready("spare")
    config = {"backend": "identity", "max_batch_size": 2, "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
              "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}]}
    client.load_model("spare", config=json.dumps(config), files={"file:5/model.bin": b"weights"})
    assert client.get_model_metadata("spare", **client.json)["versions"] == ["5"]
    with pytest.raises(InferenceServerException, match="failed to load 'spare', failed to poll from model repository"):
        client.load_model("spare", config="{")
    with pytest.raises(InferenceServerException, match="failed to load 'nowhere', failed to poll from model repository"):
        client.load_model("nowhere")
    client.load_model("spare")
    assert client.get_model_metadata("spare", **client.json)["versions"] == ["1"]


def test_log_settings(client):
    def setting(settings, name):
        value = settings.get("settings", settings)[name]
        return next(iter(value.values())) if isinstance(value, dict) else value

    first = client.get_log_settings(**client.json)
    assert setting(first, "log_info") is True and setting(first, "log_format") == "default"
    changed = client.update_log_settings({"log_verbose_level": 1, "log_info": False}, **client.json)
    assert int(setting(changed, "log_verbose_level")) == 1 and setting(changed, "log_info") is False
    back = client.update_log_settings({"log_verbose_level": 0, "log_info": True}, **client.json)
    assert int(setting(back, "log_verbose_level")) == 0 and setting(back, "log_info") is True
    with pytest.raises(InferenceServerException):
        client.update_log_settings({"log_format": "zz"})


def test_trace_settings(client, server_name):
    if server_name == "nereid":
        for call in (client.get_trace_settings, lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})):
            with pytest.raises(InferenceServerException, match="^\\[(501|StatusCode.UNIMPLEMENTED)\\] trace settings are not"):
                call()
        return
    settings = client.get_trace_settings(**client.json)
    assert "trace_level" in settings.get("settings", settings)


def test_shared_memory_status(client):
    for status in (client.get_system_shared_memory_status(**client.json), client.get_cuda_shared_memory_status(**client.json)):
        assert not (status if isinstance(status, list) else status.get("regions"))


# ---- what is one client's alone ---------------------------------------------------------------------------------------

def test_futures_of_the_http_client(server):
    with tritonclient.http.InferenceServerClient(server.http_url, concurrency=8) as client:
        arrays = [RNG.random((2, 3), np.float32) for _ in range(32)]
        waiting = []
        for array in arrays:
            given = tritonclient.http.InferInput("INPUT0", [2, 3], "FP32")
            given.set_data_from_numpy(array)
            waiting.append(client.async_infer("type_fp32", [given]))
        for one, array in zip(waiting, arrays):
            np.testing.assert_array_equal(one.get_result().as_numpy("OUTPUT0"), array)


def test_bodies_made_apart_from_the_client(server):
    array = RNG.random((2, 3), np.float32)
    given = tritonclient.http.InferInput("INPUT0", [2, 3], "FP32")
    given.set_data_from_numpy(array)
    body, length = tritonclient.http.InferenceServerClient.generate_request_body([given])
    status, _, head, reply = server.request("POST", "/v2/models/type_fp32/infer", body, {"Inference-Header-Content-Length": str(length)})
    assert status == 200
    length = int(dict(head).get("Inference-Header-Content-Length", 0)) or None
    parsed = tritonclient.http.InferenceServerClient.parse_response_body(reply, header_length=length)
    np.testing.assert_array_equal(parsed.as_numpy("OUTPUT0"), array)


def test_plugin_of_the_client(server):
    with tritonclient.http.InferenceServerClient(server.http_url) as client:
        client.register_plugin(BasicAuth("user", "password"))
        assert client.is_server_ready()


def test_callbacks_and_cancelling_of_the_grpc_client(server):
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        done = queue.Queue()
        given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
        given.set_data_from_numpy(np.array([5], np.float32))
        for i in range(4):
            client.async_infer("spare", [given], lambda result, error: done.put((result, error)), request_id=str(i))
        replies = [done.get(timeout=10) for _ in range(4)]
        assert all(error is None for _, error in replies)
        assert {result.get_response().id for result, _ in replies} == set("0123")
        call = client.async_infer("slow", [given], lambda result, error: done.put((result, error)))
        call.cancel()
        result, error = done.get(timeout=10)
        assert result is None and "ancel" in str(error)


def test_streams_of_the_grpc_client(server):
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        done = queue.Queue()
        client.start_stream(lambda result, error: done.put((result, error)), compression_algorithm="gzip", headers={"x": "y"})
        given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
        for i in range(20):
            given.set_data_from_numpy(np.array([i], np.float32))
            client.async_stream_infer("spare", [given], request_id=str(i), enable_empty_final_response=i == 19)
        values = [done.get(timeout=10)[0].as_numpy("OUTPUT0")[0] for _ in range(20)]
        assert values == list(range(20))
        client.stop_stream()


def test_streams_of_the_asyncio_grpc_client(server):
    async def run():
        async with tritonclient.grpc.aio.InferenceServerClient(server.grpc_url) as client:
            async def requests():
                for i in range(10):
                    given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
                    given.set_data_from_numpy(np.array([i], np.float32))
                    yield {"model_name": "spare", "inputs": [given], "request_id": str(i)}
            return [result.as_numpy("OUTPUT0")[0] async for result, error in client.stream_infer(requests())]
    assert asyncio.run(run()) == list(range(10))


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_many_threads_share_a_server(server, kind):
    wrong = []

    def work(n):
        client = Blocking(kind, server)
        for i in range(40):
            array = np.full((1, 3), n * 1000 + i, np.float32)
            if not np.array_equal(client.infer("type_fp32", [client.tensor(array)]).as_numpy("OUTPUT0"), array):
                wrong.append((n, i))
        client.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- curl -------------------------------------------------------------------------------------------------------------

BODY = json.dumps({"inputs": [{"name": "INPUT0", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]})


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("arguments", [
    [], ["--compressed"], ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"], ["-H", "Connection: close"],
    ["-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked", "--compressed"], ["-H", "Accept-Encoding: deflate", "--compressed"],
    ["-H", "Content-Encoding: gzip"], ["-H", "Content-Encoding: deflate"], ["--http2"]], ids=" ".join)
def test_curl(server, tmp_path, arguments):
    coding = {"Content-Encoding: gzip": gzip.compress, "Content-Encoding: deflate": zlib.compress}
    body = coding.get(arguments[-1] if arguments else "", bytes)(BODY.encode())
    (tmp_path / "body").write_bytes(body)
    url = f"http://{server.http_url}/v2/models/type_fp32/infer"
    done = subprocess.run(["curl", "-sS", *arguments, "--data-binary", f"@{tmp_path / 'body'}", "-w", "\n%{http_code}", url, "--next", "-sS",
                           "-w", "\n%{http_code}", f"http://{server.http_url}/v2/health/ready"], capture_output=True, timeout=20, check=True)
    lines = done.stdout.decode().splitlines()
    assert json.loads(lines[0])["outputs"][0]["data"] == [1.0, 2.0]
    assert lines[1] == "200" and lines[-1] == "200"
