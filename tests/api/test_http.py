# SPDX-License-Identifier: Apache-2.0
"""HTTP as its clients use it: tritonclient (blocking and asyncio), curl, raw sockets, and clients that misbehave."""

import asyncio
import gzip
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from servers import PEER, PLAIN_BACKENDS, PLAIN_PREFIX, SLOWDOWN, Server, add_model, free_ports, identity_config


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    add_model(models, "echo", identity_config("echo"))
    add_model(models, "text", identity_config("text", "TYPE_STRING"))
    add_model(models, "half", identity_config("half", "TYPE_FP16"))
    add_model(models, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "300" } }\n'))
    with Server("nereid", models) as running:
        yield running


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.http_url, concurrency=4, network_timeout=60) as c:
        yield c


def tensor(values, name="INPUT0", datatype="FP32", binary=True):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def dial(server):
    s = socket.create_connection(("127.0.0.1", server.http_port), 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_reply(s):
    """One reply with a Content-Length: (status line, headers, body)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            return data, b"", b""
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    line, _, headers = head.partition(b"\r\n")
    length = 0
    for header in headers.split(b"\r\n"):
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += s.recv(1 << 20)
    return line, headers, body


def infer_bytes(count, model="echo", extra=b""):
    values = struct.pack(f"<{count}f", *range(count))
    head = json.dumps({"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [count],
                                   "parameters": {"binary_data_size": len(values)}}],
                       "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}]}).encode()
    return (b"POST /v2/models/%s/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n%s\r\n"
            % (model.encode(), len(head), len(head) + len(values), extra)) + head + values, values


# ---- the client library

def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("echo")
    assert client.get_server_metadata()["name"] == "triton"
    assert client.get_model_metadata("echo")["inputs"][0]["name"] == "INPUT0"
    assert client.get_model_config("echo")["backend"] == "identity"
    assert {m["name"] for m in client.get_model_repository_index()} == {"echo", "text", "half", "slow"}
    assert client.get_inference_statistics("echo")["model_stats"][0]["name"] == "echo"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("count", [1, 16, 5000])
def test_infer(client, binary_in, binary_out, count):
    values = np.random.default_rng(count).random(count, dtype=np.float32)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary_out)]
    result = client.infer("echo", [tensor(values, binary=binary_in)], outputs=outputs, request_id="r1")
    assert result.get_response()["id"] == "r1"
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), values)


def test_large_tensor(client):
    values = np.random.default_rng(1).random(4_000_000, dtype=np.float32)
    np.testing.assert_array_equal(client.infer("echo", [tensor(values)]).as_numpy("OUTPUT0"), values)


@pytest.mark.parametrize("binary", [True, False])
def test_bytes(client, binary):
    values = np.array([b"", b"one", "zwölf".encode(), b"x" * 10000], dtype=np.object_)
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary)]
    result = client.infer("text", [tensor(values, datatype="BYTES", binary=binary)], outputs=outputs)
    got = [v if isinstance(v, bytes) else v.encode() for v in result.as_numpy("OUTPUT0")]
    assert got == list(values)


def test_half_is_binary_only(client):
    values = np.arange(5, dtype=np.float16)
    np.testing.assert_array_equal(client.infer("half", [tensor(values, datatype="FP16")]).as_numpy("OUTPUT0"), values)
    with pytest.raises(InferenceServerException, match="FP16 data via JSON is not supported"):
        client.infer("half", [tensor(values, datatype="FP16")],
                     outputs=[triton.InferRequestedOutput("OUTPUT0", binary_data=False)])


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
def test_compression(client, request_coding, response_coding):
    values = np.arange(20000, dtype=np.float32)
    result = client.infer("echo", [tensor(values)], request_compression_algorithm=request_coding,
                          response_compression_algorithm=response_coding)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), values)


def test_async_infer_many_at_once(client):
    values = [np.full(100, i, dtype=np.float32) for i in range(64)]
    waiting = [client.async_infer("echo", [tensor(v)]) for v in values]
    for one, v in zip(waiting, values):
        np.testing.assert_array_equal(one.get_result().as_numpy("OUTPUT0"), v)


def test_asyncio(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.http_url) as c:
            assert await c.is_server_ready()
            values = [np.full(1000, i, dtype=np.float32) for i in range(32)]
            results = await asyncio.gather(*(c.infer("echo", [tensor(v)]) for v in values))
            for r, v in zip(results, values):
                np.testing.assert_array_equal(r.as_numpy("OUTPUT0"), v)
    asyncio.run(run())


def test_raw_binary_request(server):
    values = struct.pack("<3f", 1, 2, 3)
    status, _, headers, body = server.request("POST", "/v2/models/echo/infer", values,
                                              {"Inference-Header-Content-Length": "0"})
    assert status == 200 and body.endswith(values)
    assert dict(headers)["Content-Type"] == "application/octet-stream"


def test_generate(server):
    status, _, headers, body = server.request("POST", "/v2/models/echo/generate", b'{"INPUT0":[1,2.5]}')
    assert status == 200 and json.loads(body) == {"OUTPUT0": [1.0, 2.5], "model_name": "echo", "model_version": "1"}
    status, _, headers, body = server.request("POST", "/v2/models/text/generate_stream", b'{"INPUT0":"hello"}')
    assert status == 200 and dict(headers)["Content-Type"] == "text/event-stream; charset=utf-8"
    assert body == b'data: {"OUTPUT0":"hello","model_name":"text","model_version":"1"}\n\n'


def test_metrics(server):
    assert "nv_inference_request_success" in server.metrics()
    assert server.request("GET", "/other", port=server.metrics_port)[::3] == (200, b"")
    assert server.request("POST", "/metrics", b"", port=server.metrics_port)[0] == 405


# ---- curl

@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_sends_a_large_file(server, tmp_path):
    values = np.random.default_rng(2).random(1_000_000, dtype=np.float32).tobytes()
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(values)
    for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        subprocess.run(["curl", "-sf", "-H", "Inference-Header-Content-Length: 0", *extra, "--data-binary", f"@{source}",
                        "-o", target, f"http://{server.http_url}/v2/models/echo/infer"], check=True, timeout=30)
        assert target.read_bytes().endswith(values)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_head_ends(server):
    done = subprocess.run(["curl", "-sI", f"http://{server.http_url}/v2", f"http://{server.http_url}/v2"],
                          capture_output=True, timeout=10, check=True)
    assert done.stdout.count(b"405 Not Allowed") == 2


# ---- raw sockets

def test_pipelined_infer_keeps_its_order(server):
    with dial(server) as s:
        slow, _ = infer_bytes(2, "slow")
        quick, values = infer_bytes(7)
        s.sendall(slow + quick + b"GET /v2/health/live HTTP/1.1\r\n\r\n" + quick)
        assert b'"slow"' in read_reply_exact(s)[2]
        assert read_reply_exact(s)[2].endswith(values)
        assert read_reply_exact(s)[2] == b""
        assert read_reply_exact(s)[2].endswith(values)


def read_reply_exact(s):
    """As read_reply, but takes no byte of the next reply."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    line, _, headers = head.partition(b"\r\n")
    length = [int(h.split(b":")[1]) for h in headers.split(b"\r\n") if h.lower().startswith(b"content-length:")][0]
    body = b""
    while len(body) < length:
        body += s.recv(length - len(body))
    return line, headers, body


def test_request_byte_by_byte(server):
    with dial(server) as s:
        request, values = infer_bytes(3)
        for i in range(len(request)):
            s.sendall(request[i:i + 1])
        assert read_reply(s)[2].endswith(values)


@pytest.mark.parametrize("text, status", [
    (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
    (b"GET /v2 HTTP/1.1\nHost: x\n\n", b"400"),
    (b"GET /v2 HTTP/1.1\r\nA: b\r\n c\r\n\r\n", b"400"),
    (b"GET /v2 HTTP/1.1\r\nA : b\r\n\r\n", b"400"),
    (b"GET /v2 HTTP/1.1\r\nA: b\0c\r\n\r\n", b"400"),
    (b"POST /v2/repository/index HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
    (b"POST /v2/repository/index HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", b"400"),
    (b"POST /v2/repository/index HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
    (b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 100000 + b"\r\n\r\n", b"431"),
])
def test_malformed_requests_are_refused_and_closed(server, text, status):
    with dial(server) as s:
        s.settimeout(5)
        s.sendall(text)
        line, headers, body = read_reply(s)
        assert line.split()[1] == status and b"Connection: close" in headers
        assert json.loads(body)["error"]
        assert s.recv(1) == b""


def test_body_over_two_gigabytes_is_refused_at_once(server):
    with dial(server) as s:
        s.settimeout(5)
        s.sendall(b"POST /v2/models/echo/infer HTTP/1.1\r\nContent-Length: 3000000000\r\n\r\nabc")
        line, _, body = read_reply(s)
        assert line.split()[1] == b"400"
        assert json.loads(body)["error"] == ("Unable to parse Content-Length, value is out of range [ -2147483648, "
                                             "2147483647 ], got: 3000000000")


def test_inflated_body_has_a_limit(server):
    bomb = gzip.compress(b"\0" * (80 << 20))
    status, _, _, body = server.request("POST", "/v2/models/echo/infer", bomb, {"Content-Encoding": "gzip"})
    assert status == 400
    assert json.loads(body)["error"] == ("Decompressed data size exceeds the maximum allowed value of 67108864 bytes. Use "
                                         "--http-max-input-size to increase the limit.")


def test_too_many_chunks(server):
    with dial(server) as s:
        s.settimeout(10)
        s.sendall(b"POST /v2/models/echo/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            s.sendall(b"1\r\na\r\n" * 65537)
        except OSError:
            pass
        line, _, body = read_reply(s)
        assert line.split()[1] == b"400" and b"exceeds maximum of 65536 non-empty chunks" in body


# ---- clients that go away

def test_clients_that_vanish_leave_no_trace(server):
    """Connections broken off everywhere: in the head, the body, while the model runs, while the reply is sent."""
    request, _ = infer_bytes(150_000)
    slow, _ = infer_bytes(4, "slow")
    rng = random.Random(5)
    for round_ in range(60):
        s = dial(server)
        kind = round_ % 4
        if kind == 0:
            s.sendall(request[:rng.randrange(1, 100)])
        elif kind == 1:
            s.sendall(request[:rng.randrange(1000, len(request))])
        elif kind == 2:
            s.sendall(slow)
        else:
            s.sendall(request)
            s.recv(10)
        if round_ % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    status, _, _, body = server.request("POST", "/v2/models/echo/generate", b'{"INPUT0":[1]}')
    assert status == 200 and server.alive()


def test_many_connections_come_and_go(server):
    def churn():
        for _ in range(100):
            with dial(server) as s:
                s.sendall(b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert read_reply(s)[0] == b"HTTP/1.1 200 OK"
    threads = [threading.Thread(target=churn) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert server.alive()


# ---- the server's end

def test_stop_lets_running_requests_finish(tmp_path):
    add_model(tmp_path, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "1500" } }\n'))
    with Server("nereid", tmp_path) as running:
        request, values = infer_bytes(4, "slow")
        with dial(running) as s:
            s.sendall(request)
            time.sleep(0.5)
            running.process.send_signal(signal.SIGTERM)
            line, _, body = read_reply(s)
            assert line == b"HTTP/1.1 200 OK" and body.endswith(values)
        assert running.process.wait(40 * SLOWDOWN) == 0


def test_port_in_use_is_told(tmp_path):
    add_model(tmp_path, "echo", identity_config("echo"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        second = Server("nereid", tmp_path, f"--http-port={port}", wait=False)
        try:
            assert second.process.wait(40 * SLOWDOWN) == 1
            assert f"Socket '127.0.0.1:{port}' already in use" in second.log
        finally:
            second.stop()


# ---- a wall: our front end on the original's core

@pytest.fixture(scope="module")
def front_on_peer(tmp_path_factory):
    program = PLAIN_PREFIX / "tests/tools/front_end"
    libraries = PEER / "nvidia_pytriton.libs"
    found = sorted(libraries.glob("libtritonserver*.so")) if libraries.exists() else []
    if not program.exists() or not found:
        pytest.skip("needs tests/tools/front_end and the peer's library")
    models = tmp_path_factory.mktemp("peer-models")
    add_model(models, "echo", identity_config("echo"))
    links = tmp_path_factory.mktemp("links")
    (links / "libtritonserver.so").symlink_to(found[0])
    http_port, metrics_port = free_ports(2)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([program, models, PLAIN_BACKENDS, str(http_port), str(metrics_port)], stdout=log, stderr=log,
                                   env={**os.environ, "LD_LIBRARY_PATH": f"{links}:{libraries}"})
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", metrics_port), 1).close()
                break
            except OSError:
                assert process.poll() is None, log.seek(0) or log.read()
                time.sleep(0.05)
        yield http_port
        process.terminate()
        assert process.wait(40 * SLOWDOWN) == 0


def test_front_end_on_the_originals_core(front_on_peer):
    with triton.InferenceServerClient(f"127.0.0.1:{front_on_peer}", concurrency=8) as c:
        assert c.get_server_metadata()["version"].startswith("2.")
        for count in (1, 16, 150_000):
            values = np.arange(count, dtype=np.float32)
            np.testing.assert_array_equal(c.infer("echo", [tensor(values)]).as_numpy("OUTPUT0"), values)
        waiting = [c.async_infer("echo", [tensor(np.full(10, i, dtype=np.float32))]) for i in range(50)]
        for i, one in enumerate(waiting):
            assert one.get_result().as_numpy("OUTPUT0")[0] == i
        with pytest.raises(InferenceServerException, match="Request for unknown model: 'none' is not found"):
            c.infer("none", [tensor(np.zeros(1, dtype=np.float32))])
