# SPDX-License-Identifier: Apache-2.0
"""The C client against Nereid and against NVIDIA's server, over HTTP and gRPC: all four give the same answers."""

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest

from client_probe import PROGRAM, Failed, Probe, f32, tensor
from conformance.repository import make
from servers import PREFIX, PROGRAMS, ROOT, SANITIZED, SLOWDOWN, Server, add_model, identity_config

ONE = tensor("INPUT0", "FP32", [3], f32(1, 2, 3))


def start(name, repository, *arguments):
    if not PROGRAMS[name].exists():
        pytest.skip(f"{name} is not at {PROGRAMS[name]}")
    own = ["--allow-client-shm=true"] if name == "nereid" else []
    return Server(name, repository, *arguments, *own)


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def server(request, tmp_path_factory):
    repository = make(tmp_path_factory.mktemp("models"))
    add_model(repository, "slow", identity_config("slow", extra='parameters { key: "execute_delay_ms" value { string_value: "400" } }\n'))
    with start(request.param, repository, "--model-control-mode=explicit", "--load-model=*") as started:
        yield started


@pytest.fixture(params=["http", "grpc"])
def url(request, server):
    return f"http://{server.http_url}" if request.param == "http" else f"grpc://{server.grpc_url}"


@pytest.fixture
def probe(url):
    with Probe(url, timeout_ms=int(30000 * SLOWDOWN)) as opened:
        yield opened


def data_of(reply, index=0):
    return reply["outputs"][index]["data"]


def test_health_tells(probe):
    assert probe.ask("live") is True
    assert probe.ask("ready") is True
    assert probe.ask("model_ready", "id_f32") is True
    assert probe.ask("model_ready", "versions", "3") is True
    assert probe.ask("model_ready", "nobody") is False
    assert probe.ask("local") is True


def test_metadata_is_what_the_server_has(probe):
    assert probe.ask("server_metadata")["name"] == "triton"
    assert "binary_tensor_data" in probe.ask("server_metadata")["extensions"]
    two = probe.ask("metadata", "two")
    assert two["versions"] == ["1"]
    assert two["inputs"] == [{"name": f"INPUT{i}", "datatype": "FP32", "shape": [2]} for i in range(2)]
    assert two["outputs"] == [{"name": f"OUTPUT{i}", "datatype": "FP32", "shape": [2]} for i in range(2)]
    assert probe.ask("metadata", "batched")["inputs"][0]["shape"] == [-1, 2]
    assert probe.ask("metadata", "versions")["versions"] == ["1", "3"]


def test_configuration_and_statistics_are_json_of_one_form(server):
    with Probe(f"http://{server.http_url}") as http, Probe(f"grpc://{server.grpc_url}") as grpc:
        for model in ("id_f32", "dynamic", "reshaped", "labelled"):
            assert http.ask("config", model) == grpc.ask("config", model)
        http.infer("fixed", tensor("INPUT0", "FP32", [2, 3], f32(*range(6))))
        one, other = (p.ask("statistics", "fixed")["model_stats"][0] for p in (http, grpc))
        assert one["name"] == other["name"] == "fixed"
        assert set(one) - {"response_stats"} == set(other) - {"response_stats"}
        assert len(http.ask("statistics")["model_stats"]) == len(grpc.ask("statistics")["model_stats"]) > 10
        rows = http.ask("index")
        assert rows == grpc.ask("index")
        assert {"name": "id_f32", "version": "1", "state": "READY", "reason": ""} in rows


@pytest.mark.parametrize("dtype, short", [("BOOL", "bool"), ("UINT8", "u8"), ("UINT16", "u16"), ("UINT32", "u32"),
                                          ("UINT64", "u64"), ("INT8", "i8"), ("INT16", "i16"), ("INT32", "i32"),
                                          ("INT64", "i64"), ("FP16", "f16"), ("FP32", "f32"), ("FP64", "f64"),
                                          ("BF16", "bf16")])
def test_every_type_goes_there_and_back(probe, dtype, short):
    size = {"BOOL": 1, "8": 1, "6": 2, "2": 4, "4": 8}[dtype if dtype == "BOOL" else dtype[-1]]
    data = bytes(i % 2 if dtype == "BOOL" else i for i in range(5 * size)).hex()
    reply = probe.infer(f"id_{short}", tensor("INPUT0", dtype, [5], data), "id=some/id \"quoted\"")
    output = reply["outputs"][0]
    assert (reply["model"], reply["version"], reply["id"], reply["final"]) == (f"id_{short}", "1", 'some/id "quoted"', True)
    assert (output["name"], output["dtype"], output["shape"], output["data"]) == ("OUTPUT0", dtype, [5], data)
    assert output["aligned"]


def test_bytes_go_there_and_back(probe):
    packed = b"".join(struct.pack("<I", len(x)) + x for x in (b"", b"abc", b"\0\xff" * 100))
    reply = probe.infer("id_bytes", tensor("INPUT0", "BYTES", [3], packed.hex()))
    assert data_of(reply) == packed.hex()


def test_several_tensors_and_chosen_outputs(probe):
    inputs = [tensor(f"INPUT{i}", "FP32", [2], f32(i, 10 + i)) for i in range(2)]
    reply = probe.infer("two", *inputs)
    assert {o["name"]: o["data"] for o in reply["outputs"]} == {"OUTPUT0": f32(0, 10), "OUTPUT1": f32(1, 11)}
    assert all(o["aligned"] for o in reply["outputs"])
    reply = probe.infer("two", *inputs, "output=OUTPUT1")
    assert [o["name"] for o in reply["outputs"] if o["name"] == "OUTPUT1"] == ["OUTPUT1"]


def test_outputs_go_to_the_caller_s_memory(probe):
    assert data_of(probe.infer("id_f32", ONE, "output=OUTPUT0:into=12")) == f32(1, 2, 3)
    with pytest.raises(Failed, match="output 'OUTPUT0' has 12 bytes, its memory has 11") as failed:
        probe.infer("id_f32", ONE, "output=OUTPUT0:into=11")
    assert failed.value.code == "Invalid argument"


def test_large_tensors_are_whole(probe):
    data = np.random.default_rng(1).random(50000, dtype=np.float32).tobytes().hex()
    assert data_of(probe.infer("id_f32", tensor("INPUT0", "FP32", [50000], data))) == data


def test_empty_tensor(probe):
    assert data_of(probe.infer("id_f32", tensor("INPUT0", "FP32", [0], ""))) == ""


def test_classes_come_as_texts(probe):
    values = [0, 7, 3, 1, 2, 9, 5, 4]
    reply = probe.infer("labelled", tensor("INPUT0", "FP32", [1, 8], f32(*values)), "output=OUTPUT0:classes=2")
    assert bytes.fromhex(data_of(reply)).count(b"9.000000:5:label5") == 1
    assert bytes.fromhex(data_of(reply)).count(b"7.000000:1:label1") == 1


def test_parameters_go_and_come(probe):
    reply = probe.infer("parameters", ONE, "param=a:s:text", "param=b:b:true", "param=c:i:-7", "param=d:d:0.5",
                        "priority=1", "timeout_us=1000000")
    assert reply["parameters"] == {"param0": "an example string parameter", "param1": 42, "param2": False}


def test_version_is_asked_for(probe):
    assert probe.infer("versions", ONE)["version"] == "3"
    assert probe.infer("versions", ONE, "version=1")["version"] == "1"


@pytest.mark.parametrize("words, code, text", [
    (["nobody", ONE], "Not found", "infer model 'nobody': Request for unknown model: 'nobody' is not found ("),
    (["id_f32", ONE, "version=9"], "Not found", "Request for unknown model: 'id_f32' version 9 is not found ("),
    (["id_f32", tensor("INPUT0", "FP16", [3], "00" * 6)], "Invalid argument", "data-type"),
    (["id_f32", tensor("NOBODY", "FP32", [3], f32(1, 2, 3))], "Invalid argument", "unexpected inference input 'NOBODY'"),
    (["id_f32", tensor("INPUT0", "FP32", [4], f32(1, 2, 3))], "Invalid argument",
     "input 'INPUT0' has 12 bytes, FP32 of shape [4] has 16"),
    (["", ONE], "Invalid argument", "no model is named"),
    (["id_f32", "input=:FP32:1:00000000"], "Invalid argument", "an input has no name"),
])
def test_errors_say_what_and_where(probe, url, words, code, text):
    with pytest.raises(Failed) as failed:
        probe.infer(*words)
    assert failed.value.code == code
    assert failed.value.text.startswith(f"{url}: infer") and text in failed.value.text


def test_many_calls_at_once(probe):
    assert probe.ask("crowd", "id_f32", ONE, "count=500") == {"done": 500, "failed": 0, "first_error": ""}


def test_cancelled_calls_end(probe):
    reply = probe.ask("crowd", "slow", ONE, "count=3", "cancel=1")
    assert (reply["done"], reply["failed"]) == (3, 3)
    assert "Cancelled: " in reply["first_error"] and "cancelled by the caller" in reply["first_error"]
    assert data_of(probe.infer("id_f32", ONE)) == f32(1, 2, 3)


def test_time_is_kept(probe, url):
    with pytest.raises(Failed) as failed:
        probe.infer("slow", ONE, "timeout_ms=50")
    assert failed.value.code == "Unavailable"
    assert f"{url}: infer model 'slow': " in failed.value.text
    assert "no answer within 50 ms" in failed.value.text or "Deadline Exceeded" in failed.value.text
    assert data_of(probe.infer("slow", ONE)) == f32(1, 2, 3)


@pytest.mark.parametrize("way", [1, 2])
def test_compressed_bodies(url, way):
    data = f32(*[i % 7 for i in range(20000)])
    with Probe(url, request_compression=way, response_compression=way) as probe:
        output = probe.infer("id_f32", tensor("INPUT0", "FP32", [20000], data))["outputs"][0]
        assert output["data"] == data and output["aligned"]
        with pytest.raises(Failed, match="is not found"):
            probe.infer("nobody", ONE)


def test_shared_memory_in_and_out(probe):
    name = probe.ask("shm_create", 64)
    try:
        probe.ask("shm_write", 0, f32(4, 5, 6))
        assert [row["name"] for row in probe.ask("shm_status")] == [name]
        reply = probe.infer("id_f32", f"input=INPUT0:FP32:3:@{name}:0:12", f"output=OUTPUT0:@{name}:32:12")
        assert reply["outputs"][0]["region"] == name and reply["outputs"][0]["data"] is None
        assert probe.ask("shm_read", 32, 12) == f32(4, 5, 6)
        assert probe.ask("shm_status", name)[0]["byte_size"] == 64
    finally:
        probe.ask("shm_destroy")
    assert probe.ask("shm_status") == []


def test_shared_memory_is_refused_in_words(probe):
    with pytest.raises(Failed, match="Unable to open shared memory region: '/nobody-made-this'"):
        probe.ask("shm_register", "r", "/nobody-made-this", 0, 64)
    with pytest.raises(Failed, match="Unable to find system shared memory region: 'r'"):
        probe.ask("shm_status", "r")
    assert probe.ask("shm_unregister") is None
    with pytest.raises(Failed, match="register CUDA shared memory 'cuda': "):
        probe.ask("cuda_shm")
        probe.answer()


def test_models_are_loaded_and_unloaded(probe):
    assert probe.ask("unload", "id_i8") is None
    with pytest.raises(Failed, match="id_i8"):
        for _ in range(200):
            probe.infer("id_i8", tensor("INPUT0", "INT8", [1], "07"))
    assert probe.ask("load", "id_i8") is None
    assert data_of(probe.infer("id_i8", tensor("INPUT0", "INT8", [1], "07"))) == "07"
    config = json.dumps({"backend": "identity", "max_batch_size": 0,
                         "input": [{"name": "INPUT0", "data_type": "TYPE_INT8", "dims": [2]}],
                         "output": [{"name": "OUTPUT0", "data_type": "TYPE_INT8", "dims": [2]}],
                         "instance_group": [{"kind": "KIND_CPU"}]})
    assert probe.ask("load", "id_i8", config) is None
    assert probe.ask("metadata", "id_i8")["inputs"][0]["shape"] == [2]
    assert probe.ask("load", "id_i8", config, "1/some.file", "00ff") is None
    with pytest.raises(Failed, match="load model 'nobody': failed to load 'nobody'"):
        probe.ask("load", "nobody")
    assert probe.ask("unload", "id_i8", "dependents") is None
    assert probe.ask("load", "id_i8") is None


def test_log_settings(probe):
    before = probe.ask("log")
    assert probe.ask("log", '{"log_verbose_level":1,"log_info":false}') == {**before, "log_verbose_level": 1, "log_info": False}
    assert probe.ask("log", json.dumps({"log_verbose_level": before["log_verbose_level"], "log_info": True})) == before
    with pytest.raises(Failed, match="log settings"):
        probe.ask("log", '{"log_info":7}')


def test_trace_settings(server, probe):
    if server.name == "nereid":
        with pytest.raises(Failed, match="trace settings: "):
            probe.ask("trace")
        return
    assert probe.ask("trace")["trace_rate"] == "1000"
    assert probe.ask("trace", "id_f32", '{"trace_rate":"7"}')["trace_rate"] == "7"
    assert probe.ask("trace", "id_f32", '{"trace_rate":null}')["trace_rate"] == "1000"
    assert probe.ask("trace")["trace_level"] == ["OFF"]


def test_stream_carries_many_requests(server):
    with Probe(f"grpc://{server.grpc_url}") as probe:
        for borrow in (0, 1):
            reply = probe.ask("stream", "id_f32", ONE, "count=20", f"borrow={borrow}")
            assert reply["end"] is None and reply["sent"] == 20 * borrow
            assert sorted(r["id"] for r in reply["responses"]) == sorted(f"r{i}" for i in range(20))
            assert all(data_of(r) == f32(1, 2, 3) and r["final"] for r in reply["responses"])


def test_stream_goes_on_after_an_error(server):
    with Probe(f"grpc://{server.grpc_url}") as probe:
        reply = probe.ask("stream", "nobody", ONE, "count=2")
        assert reply["end"] is None
        assert all("Request for unknown model: 'nobody' is not found" in r["error"]["text"] for r in reply["responses"])
        assert len(reply["responses"]) == 2


def test_stream_can_be_cancelled_and_timed(server):
    with Probe(f"grpc://{server.grpc_url}") as probe:
        reply = probe.ask("stream", "slow", ONE, "count=2", "cancel=1", "borrow=1")
        assert reply["end"]["error"]["code"] == "Cancelled" and reply["sent"] == 2
        reply = probe.ask("stream", "slow", ONE, "count=1", "open=1", "stream_ms=100")
        assert reply["end"]["error"]["code"] == "Unavailable"


def test_streams_are_of_grpc_alone(server):
    with Probe(f"http://{server.http_url}") as probe, pytest.raises(Failed, match="only grpc:// and grpcs:// have streams"):
        probe.ask("stream", "id_f32", ONE, "count=1")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_server_that_goes_and_comes_back(tmp_path, name, scheme):
    add_model(tmp_path, "slow", identity_config("slow", extra='parameters { key: "execute_delay_ms" value { string_value: "3000" } }\n'))
    add_model(tmp_path, "quick", identity_config("quick"))
    with start(name, tmp_path) as first:
        ports = [f"--http-port={first.http_port}", f"--grpc-port={first.grpc_port}", f"--metrics-port={first.metrics_port}"]
        url = f"{scheme}://{first.http_url if scheme == 'http' else first.grpc_url}"
        with Probe(url) as probe, Probe(url, retries=100, backoff_ms=20) as patient:
            for p in (probe, patient):
                assert data_of(p.infer("quick", ONE)) == f32(1, 2, 3)
            probe.send("infer", "slow", ONE)
            first.process.kill()
            first.process.wait()
            with pytest.raises(Failed) as failed:
                probe.answer()
            assert failed.value.code == "Unavailable" and f"{url}: infer model 'slow': " in failed.value.text
            with pytest.raises(Failed, match="cannot connect: Connection refused"):
                probe.infer("quick", ONE)
            patient.send("infer", "quick", ONE)
            second = Server(name, tmp_path, *ports, wait=False)
            second.metrics_port = first.metrics_port
            try:
                second.wait_ready()
                assert data_of(patient.answer()) == f32(1, 2, 3)
                assert data_of(probe.infer("quick", ONE)) == f32(1, 2, 3)
            finally:
                second.stop()


def test_restricted_interfaces_open_with_headers(tmp_path):
    add_model(tmp_path, "quick", identity_config("quick"))
    flags = ["--http-restricted-api=inference:key1=secret", "--grpc-restricted-protocol=inference:key1=secret"]
    with start("nereid", tmp_path, *flags) as server:
        for url, header in ((f"http://{server.http_url}", "Key1"), (f"grpc://{server.grpc_url}", "Triton-Grpc-Protocol-Key1")):
            with Probe(url) as probe, pytest.raises(Failed, match="restricted, expecting header") as failed:
                probe.infer("quick", ONE)
            assert failed.value.code == "Unavailable"
            with Probe(url, header=f"{header}:secret") as probe:
                assert data_of(probe.infer("quick", ONE)) == f32(1, 2, 3)


def test_tls_is_checked(keys, tmp_path):
    add_model(tmp_path, "quick", identity_config("quick"))
    flags = ["--grpc-use-ssl-mutual=true", f"--grpc-server-cert={keys / 'server.crt'}", f"--grpc-server-key={keys / 'server.key'}",
             f"--grpc-root-cert={keys / 'ca.crt'}"]
    mine = {"ca": keys / "ca.crt", "certificate": keys / "client.crt", "key": keys / "client.key"}
    with start("nereid", tmp_path, *flags) as server:
        url = f"grpcs://{server.grpc_url}"
        large = f32(*range(100000))
        with Probe(url, **mine) as probe:
            assert data_of(probe.infer("quick", tensor("INPUT0", "FP32", [100000], large))) == large
            assert probe.ask("crowd", "quick", ONE, "count=50")["failed"] == 0
        with Probe(url, **{**mine, "ca": keys / "stranger_ca.crt"}) as probe, pytest.raises(Failed, match="certificate is refused"):
            probe.infer("quick", ONE)
        with Probe(url, **mine, name="else.where") as probe, pytest.raises(Failed, match="certificate is refused: hostname mismatch"):
            probe.infer("quick", ONE)
        with Probe(url, certificate=mine["certificate"], key=mine["key"], insecure=1) as probe:
            assert data_of(probe.infer("quick", ONE)) == f32(1, 2, 3)
        with Probe(url, ca=mine["ca"]) as probe, pytest.raises(Failed, match=url):
            probe.infer("quick", ONE)


def test_example_builds_and_prints(tmp_path):
    if SANITIZED or shutil.which("cc") is None:
        pytest.skip("the library needs a sanitizer's run time, or there is no compiler")
    program = tmp_path / "infer"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", ROOT / "examples/client/infer.c", "-o", program,
                    f"-L{PREFIX / 'lib'}", "-lnereid", f"-Wl,-rpath,{PREFIX / 'lib'}"], check=True)
    models = tmp_path / "models"
    add_model(models, "picture", identity_config("picture", dims="[3, 224, 224]", batch=4))
    with start("nereid", models) as server:
        for url in (f"http://{server.http_url}", f"grpc://{server.grpc_url}"):
            done = subprocess.run([program, url, "picture"], stdout=subprocess.PIPE, check=True)
            assert done.stdout.decode().startswith("OUTPUT0 FP32 [1,3,224,224] 0 6.64328e-06")
        done = subprocess.run([program, f"http://{server.http_url}", "nobody"], stderr=subprocess.PIPE)
        assert done.returncode == 1 and b"'nobody' is not found" in done.stderr


@pytest.mark.parametrize("url, text", [("ftp://x", "unknown scheme"), ("http://", "malformed host or port"),
                                       ("http://a:99999", "the port is not in"), ("grpc://a/b", "gRPC takes no path")])
def test_url_that_is_none(url, text):
    done = subprocess.run([PROGRAM, url], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and text in json.loads(done.stdout)["error"]["text"]
