# SPDX-License-Identifier: Apache-2.0
"""Clients that break every rule. After each of them the server answers, and its descriptors, threads and memory are back.

Everything is bounded and seeded; NEREID_ROBUSTNESS multiplies the rounds for a longer run.
"""

import json
import os
import pathlib
import random
import resource
import select
import socket
import ssl
import struct
import threading
import time

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from servers import SLOWDOWN, Server, add_model, identity_config

TIMES = int(os.environ.get("NEREID_ROBUSTNESS", "1"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SLOW_MS = 50
MANY = 1000 if resource.getrlimit(resource.RLIMIT_NOFILE)[0] not in range(2000) else 400  # conftest.py has asked for more


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    add_model(models, "echo", identity_config("echo"))
    add_model(models, "slow", identity_config(
        "slow", extra=f'parameters {{ key: "execute_delay_ms" value {{ string_value: "{SLOW_MS}" }} }}\n'))
    add_model(models, "queued", identity_config("queued", dims="[1]", batch=4, extra=(
        f'parameters {{ key: "execute_delay_ms" value {{ string_value: "{SLOW_MS}" }} }}\n'
        "dynamic_batching { default_queue_policy { max_queue_size: 32 default_timeout_microseconds: 300000 } }\n")))
    with Server("nereid", models) as running:
        for _ in range(3):  # pools and threads of the steady state
            well(running)
        yield running


def well(server):
    """It is alive, and infers over both protocols."""
    assert server.alive(), server.log[-4000:]
    assert server.request("GET", "/v2/health/ready")[0] == 200
    body = json.dumps({"inputs": [{"name": "INPUT0", "shape": [2], "datatype": "FP32", "data": [1, 2]}]})
    status, _, _, reply = server.request("POST", "/v2/models/echo/infer", body=body)
    assert (status, json.loads(reply)["outputs"][0]["data"]) == (200, [1.0, 2.0])
    with grpc.insecure_channel(server.grpc_url, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        reply = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer_message(), timeout=20)
    assert np.frombuffer(reply.raw_output_contents[0], np.float32).tolist() == [1, 2]
    assert server.request("GET", "/metrics", port=server.metrics_port)[0] == 200


def infer_message(model="echo", values=(1, 2), shape=None):
    data = np.asarray(values, dtype=np.float32)
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=shape or [len(data)])
    message.raw_input_contents.append(data.tobytes())
    return message


def held(server):
    process = pathlib.Path(f"/proc/{server.process.pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), server.rss_mb()


@pytest.fixture(autouse=True)
def back_to_normal(server):
    """Around each test: what the server held before is what it holds after, but for some memory that pools keep."""
    fds, threads, memory = held(server)
    yield
    well(server)
    end = time.monotonic() + 30 * SLOWDOWN
    while time.monotonic() < end:
        now = held(server)
        if now[0] <= fds + 2 and now[1] <= threads + 4:
            break
        time.sleep(0.05)
    assert now[0] <= fds + 2, f"{now[0]} descriptors, {fds} before"
    assert now[1] <= threads + 4, f"{now[1]} threads, {threads} before"
    assert now[2] <= memory + 96 * SLOWDOWN, f"{now[2]:.0f} MB, {memory:.0f} before"


def dial(port):
    s = socket.create_connection(("127.0.0.1", port), 30 * SLOWDOWN)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def slam(s):
    """Ends a connection with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def push(s, data):
    """Sends what the other side still takes; True if it took all."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def drain(s, seconds=20):
    """All that comes until the end of the connection, or until the time is over (then None is the last)."""
    parts, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready = select.poll()  # select() knows no descriptor from 1024 on, and the whole suite has that many
        ready.register(s, select.POLLIN)
        if not ready.poll(left * 1000):
            break
        try:
            part = s.recv(1 << 20)
        except OSError:
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None


def http_infer(model="echo", values=(1, 2), binary=False, shape=None):
    data = np.asarray(values, dtype=np.float32)
    tensor = {"name": "INPUT0", "shape": shape or [len(data)], "datatype": "FP32"}
    if binary:
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": data.nbytes}}],
                           "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}]}).encode()
        body, more = head + data.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n"
    else:
        body, more = json.dumps({"inputs": [{**tensor, "data": data.tolist()}]}).encode(), ""
    return f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(path=b"/inference.GRPCInferenceService/ModelInfer"):
    block = b"\x83\x86"  # POST, http
    for name, value in ((b":path", path), (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")):
        block += b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return block


def grpc_call(stream=1, model="echo", values=(1, 2), shape=None):
    """HEADERS and DATA of one whole ModelInfer call."""
    body = infer_message(model, values, shape).SerializeToString()
    data = b"\0" + struct.pack(">I", len(body)) + body
    parts = [data[i:i + 16384] for i in range(0, len(data), 16384)]
    return frame(1, 4, stream, headers()) + b"".join(
        frame(0, 1 if i == len(parts) - 1 else 0, stream, part) for i, part in enumerate(parts))


def ports(server):
    return server.http_port, server.grpc_port, server.metrics_port


# ---- clients that go away ---------------------------------------------------------------------------------------------

def test_vanish_in_the_middle_of_a_request(server):
    rng = random.Random(1)
    whole = [http_infer(), http_infer("slow"), http_infer("echo", range(40000), binary=True), http_infer("queued", [1], shape=[1, 1])]
    for _ in range(150 * TIMES):
        request = rng.choice(whole)
        s = dial(server.http_port)
        push(s, request[:rng.randrange(len(request) + 1)])
        if rng.random() < 0.3:
            time.sleep(rng.random() / 100)
        slam(s) if rng.random() < 0.5 else s.close()


def test_reset_while_the_reply_is_on_its_way(server):
    request = http_infer("echo", np.zeros(1_000_000), binary=True)
    for i in range(12 * TIMES):
        s = dial(server.http_port)
        push(s, request)
        if i % 3:
            s.recv(1 + i * 1000)
        slam(s)


def test_replies_that_nobody_reads(server):
    request = http_infer("echo", np.zeros(500_000), binary=True)
    crowd = [dial(server.http_port) for _ in range(8)]
    for s in crowd:
        s.settimeout(1)
        for _ in range(4):
            if not push(s, request):
                break
    time.sleep(0.2)
    well(server)
    for s in crowd:
        slam(s)


def test_half_closed_clients_get_their_reply(server):
    for model in ("echo", "slow"):
        s = dial(server.http_port)
        push(s, http_infer(model))
        s.shutdown(socket.SHUT_WR)
        reply = drain(s)
        assert reply is not None and reply.startswith(b"HTTP/1.1 200"), reply
        s.close()


@pytest.mark.parametrize("model", ["slow", "queued"])
def test_grpc_clients_killed_in_mid_request_again_and_again(server, model):
    rng = random.Random(2)
    shape = [1, 1] if model == "queued" else None
    call = [grpc_call(2 * i + 1, model, [1], shape) for i in range(4)]
    large = grpc_call(1, "echo", range(60000))
    for _ in range(10 * TIMES):
        crowd = [dial(server.grpc_port) for _ in range(64)]
        for s in crowd:
            push(s, PREFACE + frame(4))
            if rng.random() < 0.2:
                push(s, large[:rng.randrange(len(large))])
            else:
                sent = b"".join(call[:rng.randrange(1, 5)])
                push(s, sent[:rng.randrange(len(sent) // 2, len(sent) + 1)])
        time.sleep(0.02)
        rng.shuffle(crowd)
        for s in crowd:
            slam(s) if rng.random() < 0.7 else s.close()
        assert server.alive(), server.log[-4000:]
    well(server)


def test_cancelled_calls_free_their_place(server):
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3 * TIMES):
            calls = [stub.ModelInfer.future(infer_message("queued", [1], [1, 1])) for _ in range(24)]
            time.sleep(0.01)
            for call in calls:
                call.cancel()
            begin = time.monotonic()
            while True:
                try:
                    assert stub.ModelInfer(infer_message("queued", [1], [1, 1]), timeout=30).model_name == "queued"
                    break
                except grpc.RpcError as error:  # what is cancelled counts until the scheduler comes by
                    assert "Exceeds maximum queue size" in error.details() and time.monotonic() - begin < 10 * SLOWDOWN
            assert time.monotonic() - begin < 10 * SLOWDOWN


def test_streams_cancelled_in_mid_flight(server):
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        for i in range(10 * TIMES):
            stream = stub.ModelStreamInfer(iter([infer_message("slow")] * 6 + [infer_message("echo")] * 6))
            if i % 2:
                next(stream)
            stream.cancel()
    time.sleep(12 * SLOW_MS / 1000)


# ---- clients that are slow --------------------------------------------------------------------------------------------

def test_trickled_requests_are_served(server):
    """Many at once, each a byte at a time; others are served meanwhile."""
    request = http_infer("echo", [1, 2])
    crowd = [dial(server.http_port) for _ in range(50)]
    for i in range(len(request)):
        for s in crowd:
            push(s, request[i:i + 1])
        if i % 60 == 0:
            assert server.request("GET", "/v2/health/live")[0] == 200
    for s in crowd:
        assert s.recv(100).startswith(b"HTTP/1.1 200")
        s.close()


def test_trickled_calls_are_served(server):
    whole = PREFACE + frame(4) + grpc_call()
    crowd = [dial(server.grpc_port) for _ in range(20)]
    for i in range(len(whole)):
        for s in crowd:
            push(s, whole[i:i + 1])
    for s in crowd:
        got, end = b"", time.monotonic() + 20 * SLOWDOWN
        while b"echo" not in got and time.monotonic() < end:
            got += s.recv(65536)
        assert b"echo" in got
        s.close()


def test_connections_that_say_nothing(server):
    crowd = [dial(port) for port in ports(server) for _ in range(100)]
    well(server)
    for s in crowd:
        s.close()


def test_a_thousand_connections(server):
    crowd = [dial(server.http_port) for _ in range(MANY)]
    for s in crowd:
        push(s, http_infer())
    for s in crowd:
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    well(server)
    for i, s in enumerate(crowd):
        slam(s) if i % 2 else s.close()


def test_pipelined_requests_come_in_order_or_not_at_all(server):
    values = list(range(200))
    s = dial(server.http_port)
    push(s, b"".join(http_infer("slow" if v % 50 == 0 else "echo", [v]) for v in values))
    s.shutdown(socket.SHUT_WR)
    reply = drain(s, 20) or b""
    # One that is still queued three seconds after the client's end is cancelled, and has its reply in its place.
    got = [None if part.endswith(b'{"error":""}') else int(part.split(b'"data":[')[1].split(b".")[0])
           for part in reply.split(b"HTTP/1.1 ")[1:]]
    assert got.count(None) <= 1, reply
    assert all(g in (v, None) for g, v in zip(got, values)) and len(got) <= len(values)
    s.close()
    for cut in (10, 100, 1000):
        s = dial(server.http_port)
        push(s, b"".join(http_infer("slow", [v]) for v in range(20)))
        s.recv(cut)
        slam(s)
    time.sleep(0.1)


# ---- clients that talk nonsense ---------------------------------------------------------------------------------------

def test_garbage_on_every_port(server):
    rng = random.Random(3)
    for _ in range(60 * TIMES):
        for port in ports(server):
            s = dial(port)
            push(s, rng.randbytes(rng.choice([1, 9, 24, 100, 1000, 20000])))
            if rng.random() < 0.2:
                s.settimeout(0.05)
                try:
                    s.recv(1000)
                except OSError:
                    pass
            slam(s) if rng.random() < 0.5 else s.close()


def test_mutated_requests(server):
    """Valid bytes with some of them changed, doubled or cut out."""
    rng = random.Random(4)
    seeds = [(server.http_port, http_infer()), (server.http_port, http_infer("echo", range(50), binary=True)),
             (server.grpc_port, PREFACE + frame(4) + grpc_call()),
             (server.grpc_port, PREFACE + frame(4) + grpc_call(1, "slow") + frame(8, 0, 0, b"\0\0\xff\xff") + grpc_call(3))]
    for _ in range(150 * TIMES):
        port, seed = rng.choice(seeds)
        data = bytearray(seed)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at:at] = data[at:at + rng.randrange(40)]
            elif kind == 2:
                del data[at:at + rng.randrange(1, 20)]
            else:
                data[at] ^= 1 << rng.randrange(8)
        s = dial(port)
        push(s, bytes(data))
        if rng.random() < 0.3:
            s.settimeout(0.02)
            try:
                s.recv(4096)
            except OSError:
                pass
        slam(s) if rng.random() < 0.5 else s.close()


@pytest.mark.parametrize("name", ["line", "uri", "many", "value", "endless"])
def test_huge_heads_are_refused(server, name):
    head = {"line": b"A" * 4_000_000, "uri": b"GET /" + b"x" * 4_000_000 + b" HTTP/1.1\r\n\r\n",
            "many": b"GET /v2 HTTP/1.1\r\n" + b"".join(b"h%d: v\r\n" % i for i in range(200_000)) + b"\r\n",
            "value": b"GET /v2 HTTP/1.1\r\nh: " + b"v" * 4_000_000 + b"\r\n\r\n",
            "endless": b"GET /v2 HTTP/1.1\r\n" + b"h: v\r\n" * 500_000}[name]
    for port in (server.http_port, server.metrics_port):
        s = dial(port)
        push(s, head)
        reply = drain(s)
        assert reply is not None, "the connection stays open"
        assert b" 200 " not in reply.split(b"\r\n")[0]
        s.close()


def test_the_wrong_protocol_on_each_port(server):
    hello = client_hello()
    http1 = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    for port, data in ((server.http_port, PREFACE + frame(4)), (server.http_port, hello), (server.grpc_port, http1),
                       (server.grpc_port, hello), (server.metrics_port, hello), (server.metrics_port, PREFACE + frame(4))):
        s = dial(port)
        push(s, data)
        reply = drain(s)
        assert reply is not None, f"port {ports(server).index(port)} stays open after {data[:10]!r}"
        assert not reply.startswith(b"HTTP/1.1 200")
        s.close()


def client_hello():
    out = ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


@pytest.mark.parametrize("name, frames", [
    ("cut header", b"\0\0\x10\x01"), ("cut payload", frame(1, 4, 1, headers())[:30]), ("no end of headers", frame(1, 0, 1, headers())),
    ("continuation without end", frame(1, 0, 1, headers()[:10]) + frame(9, 0, 1, headers()[10:])),
    ("many continuations", frame(1, 0, 1, b"\x83") + frame(9, 0, 1, b"\x10\x01a\x01b") * 20000),
    ("data before headers", frame(0, 1, 1, b"\0\0\0\0\0")), ("headers twice", frame(1, 4, 1, headers()) * 2),
    ("padding over length", frame(0, 8, 1, b"\xff")), ("priority of itself", frame(1, 0x24, 1, struct.pack(">IB", 1, 0) + headers())),
    ("settings flood", frame(4) * 20000), ("ping flood", frame(6, 0, 0, b"12345678") * 20000),
    ("empty data flood", frame(1, 4, 1, headers()) + frame(0, 0, 1) * 20000), ("unknown frames", frame(0x77, 0xff, 5, b"x" * 100) * 100),
    ("window flood", frame(8, 0, 0, b"\0\0\0\1") * 20000), ("goaway first", frame(7, 0, 0, b"\0" * 8)), ("reset idle", frame(3, 0, 9, b"\0\0\0\x08")),
    ("call twice on one stream", grpc_call(1) + grpc_call(1)), ("descending streams", grpc_call(5) + grpc_call(3)),
    ("length larger than data", frame(1, 4, 1, headers()) + frame(0, 1, 1, b"\0\0\1\0\0abc")),
    ("message cut short", frame(1, 4, 1, headers()) + frame(0, 1, 1, b"\0\0")),
    ("bad path", frame(1, 5, 1, headers(b"/\xff\xfe"))), ("zero settings", frame(4, 0, 0, struct.pack(">HI", 5, 0))),
    ("tiny window", frame(4, 0, 0, struct.pack(">HI", 4, 1)) + grpc_call(1, "echo", range(1000))),
], ids=lambda v: v if isinstance(v, str) else "")
def test_frames_that_make_no_sense(server, name, frames):
    for ending in (slam, socket.socket.close):
        s = dial(server.grpc_port)
        push(s, PREFACE + frame(4) + frames)
        s.settimeout(0.1)
        try:
            s.recv(4096)
        except OSError:
            pass
        ending(s)
    assert server.alive(), server.log[-4000:]


# ---- all together -----------------------------------------------------------------------------------------------------

def test_good_clients_are_served_amid_the_bad(server):
    """While all this goes on, a client that behaves sees no failure."""
    stop, failures, served = threading.Event(), [], [0]

    def good():
        with grpc.insecure_channel(server.grpc_url, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            while not stop.is_set():
                try:
                    stub.ModelInfer(infer_message(), timeout=30)
                    assert server.request("GET", "/v2/health/ready")[0] == 200
                    served[0] += 1
                except Exception as error:  # noqa: BLE001
                    failures.append(repr(error))

    thread = threading.Thread(target=good)
    thread.start()
    rng = random.Random(5)
    end = time.monotonic() + 3 * TIMES
    while time.monotonic() < end:
        port = rng.choice(ports(server))
        s = dial(port)
        push(s, rng.choice([rng.randbytes(500), http_infer()[:60], PREFACE + frame(4) + grpc_call(1, "slow")[:200], PREFACE, client_hello()]))
        slam(s) if rng.random() < 0.5 else s.close()
    stop.set()
    thread.join()
    assert failures == [] and served[0] > 20
