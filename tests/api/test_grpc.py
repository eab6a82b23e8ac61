# SPDX-License-Identifier: Apache-2.0
"""gRPC as its clients use it: tritonclient (blocking, asyncio, streaming), raw grpcio, and clients that misbehave."""

import asyncio
import multiprocessing
import os
import queue
import random
import signal
import socket
import struct
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from servers import SLOWDOWN, Server, add_model, identity_config

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    add_model(models, "echo", identity_config("echo"))
    add_model(models, "text", identity_config("text", "TYPE_STRING"))
    add_model(models, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "300" } }\n'))
    add_model(models, "late", identity_config(
        "late", extra='parameters { key: "execute_delay_ms" value { string_value: "1500" } }\n'))
    add_model(models, "labelled", identity_config("labelled", dims="[4]"))
    with Server("nereid", models, "--allow-client-shm=true", "--grpc-restricted-protocol=trace:key=value",
                "--grpc-header-forward-pattern=x-.*") as running:
        yield running


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.grpc_url) as c:
        yield c


@pytest.fixture
def channel(server):
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_url, options=unlimited) as c:
        yield c


def tensor(values, name="INPUT0"):
    values = np.asarray(values, dtype=np.float32)
    made = triton.InferInput(name, list(values.shape), "FP32")
    made.set_data_from_numpy(values)
    return made


def request(values=(1.0, 2.0), model="echo", **fields):
    data = np.asarray(values, dtype=np.float32)
    r = pb.ModelInferRequest(model_name=model, **fields)
    r.inputs.add(name="INPUT0", datatype="FP32", shape=list(data.shape))
    r.raw_input_contents.append(data.tobytes())
    return r


# ---- clients that behave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 16, 255, 256, 257, 511, 512, 4096, 150528, 5_000_000])
def test_tensors_of_any_size_come_back(client, count):
    if count == 0:
        with pytest.raises(triton.InferenceServerException):
            client.infer("missing", [tensor([])])
        return
    data = np.random.default_rng(count).random(count, dtype=np.float32)
    reply = client.infer("echo", [tensor(data)], request_id=f"n{count}")
    assert np.array_equal(reply.as_numpy("OUTPUT0"), data)
    assert reply.get_response().id == f"n{count}"


def test_strings_come_back(client):
    data = np.array([b"", b"a", "grüße".encode(), b"x" * 70000], dtype=object)
    made = triton.InferInput("INPUT0", [4], "BYTES")
    made.set_data_from_numpy(data)
    assert list(client.infer("text", [made]).as_numpy("OUTPUT0")) == list(data)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(client, algorithm):
    data = np.arange(100000, dtype=np.float32)
    reply = client.infer("echo", [tensor(data)], compression_algorithm=algorithm)
    assert np.array_equal(reply.as_numpy("OUTPUT0"), data)


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_answers_are_compressed_when_asked(tmp_path, level):
    add_model(tmp_path, "echo", identity_config("echo"))
    with Server("nereid", tmp_path, f"--grpc-infer-response-compression-level={level}") as running:
        with triton.InferenceServerClient(running.grpc_url) as c:
            data = np.zeros(200000, dtype=np.float32)
            assert np.array_equal(c.infer("echo", [tensor(data)]).as_numpy("OUTPUT0"), data)
            data = np.random.default_rng(1).random(1000, dtype=np.float32)  # does not get smaller
            assert np.array_equal(c.infer("echo", [tensor(data)]).as_numpy("OUTPUT0"), data)


def test_asyncio_client(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.grpc_url) as c:
            assert await c.is_server_live()
            replies = await asyncio.gather(*[c.infer("echo", [tensor([i, i + 1])]) for i in range(200)])
            return [r.as_numpy("OUTPUT0")[0] for r in replies]
    assert asyncio.run(run()) == list(range(200))


def test_a_stream_answers_in_the_order_of_its_requests(client):
    replies = queue.Queue()
    client.start_stream(lambda result, error: replies.put((result, error)))
    models = ["slow" if i % 7 == 0 else "echo" for i in range(21)]
    for i, model in enumerate(models):
        client.async_stream_infer(model, [tensor([i])], request_id=str(i))
    got = [replies.get(timeout=60) for _ in models]
    client.stop_stream()
    assert all(error is None for _, error in got)
    assert [int(result.get_response().id) for result, _ in got] == list(range(21))
    assert all(r.get_response().parameters["triton_final_response"].bool_param for r, _ in got)


def test_a_stream_goes_on_after_an_error(client):
    replies = queue.Queue()
    client.start_stream(lambda result, error: replies.put((result, error)))
    client.async_stream_infer("missing", [tensor([1])], request_id="bad")
    client.async_stream_infer("echo", [tensor([2])], request_id="good")
    first, second = replies.get(timeout=60), replies.get(timeout=60)
    client.stop_stream()
    assert first[0] is None and "unknown model" in str(first[1])
    assert second[1] is None and second[0].get_response().id == "good"


def test_many_streams_at_once(server):
    def one(n, results):
        with triton.InferenceServerClient(server.grpc_url) as c:
            replies = queue.Queue()
            c.start_stream(lambda result, error: replies.put((result, error)))
            for i in range(50):
                c.async_stream_infer("echo", [tensor(np.full(100 * n + 1, i))])
            results[n] = [replies.get(timeout=60)[0].as_numpy("OUTPUT0")[0] for _ in range(50)]
            c.stop_stream()
    results = {}
    threads = [threading.Thread(target=one, args=(n, results)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(results[n] == list(range(50)) for n in range(8))


def test_client_timeout_is_honoured_by_the_server(client, server):
    started = time.monotonic()
    with pytest.raises(triton.InferenceServerException, match="Deadline Exceeded"):
        client.infer("late", [tensor([1])], client_timeout=0.05)
    assert time.monotonic() - started < 1.2
    assert client.infer("late", [tensor([1])]) is not None


def test_system_shared_memory(client):
    import tritonclient.utils.shared_memory as shm
    data = np.arange(64, dtype=np.float32)
    handle = shm.create_shared_memory_region("grpc_test", f"/nereid_grpc_{os.getpid()}", 2 * data.nbytes)
    try:
        shm.set_shared_memory_region(handle, [data])
        client.register_system_shared_memory("grpc_test", f"/nereid_grpc_{os.getpid()}", 2 * data.nbytes)
        assert "grpc_test" in client.get_system_shared_memory_status().regions
        made = triton.InferInput("INPUT0", [64], "FP32")
        made.set_shared_memory("grpc_test", data.nbytes)
        wanted = triton.InferRequestedOutput("OUTPUT0")
        wanted.set_shared_memory("grpc_test", data.nbytes, offset=data.nbytes)
        reply = client.infer("echo", [made], outputs=[wanted])
        assert reply.get_response().raw_output_contents == [b""]
        assert np.array_equal(shm.get_contents_as_numpy(handle, np.float32, [64], offset=data.nbytes), data)
        too_small = triton.InferRequestedOutput("OUTPUT0")
        too_small.set_shared_memory("grpc_test", 8)
        with pytest.raises(triton.InferenceServerException, match="should be at least 256 bytes to hold the results"):
            client.infer("echo", [made], outputs=[too_small])
        client.unregister_system_shared_memory("grpc_test")
        assert not client.get_system_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(handle)


def test_classification(client):
    wanted = triton.InferRequestedOutput("OUTPUT0", class_count=2)
    reply = client.infer("labelled", [tensor([1, 4, 2, 3])], outputs=[wanted])
    assert list(reply.as_numpy("OUTPUT0")) == [b"4.000000:1", b"3.000000:3"]


# ---- raw gRPC ------------------------------------------------------------------------------------------------------


def test_health_service(channel):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/grpc.health.v1.Health/Watch")(b"")
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/other.Service/ServerLive", "/"])
def test_unknown_methods(channel, path):
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(path)(b"")
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("rpc", ["ModelInfer", "ModelReady", "ModelConfig", "RepositoryModelLoad", "LogSettings"])
def test_malformed_messages(channel, rpc):
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(f"/inference.GRPCInferenceService/{rpc}")(b"\x0a\xff\xff\xff\xff\x0f")
    assert error.value.code() == grpc.StatusCode.INTERNAL


def test_restricted_protocols_need_their_header(channel):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as error:
        stub.TraceSetting(pb.TraceSettingRequest())
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert error.value.details() == ("This protocol is restricted, expecting header "
                                     "'triton-grpc-protocol-key'")
    with pytest.raises(grpc.RpcError) as error:
        stub.TraceSetting(pb.TraceSettingRequest(), metadata=[("triton-grpc-protocol-key", "value")])
    assert error.value.code() != grpc.StatusCode.UNAVAILABLE
    assert stub.ServerLive(pb.ServerLiveRequest()).live


def test_headers_named_like_reserved_parameters_are_not_forwarded(channel):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    assert stub.ModelInfer(request(), metadata=[("x-id", "7")]).model_name == "echo"
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request(), metadata=[("triton_x-y", "7")])
    assert error.value.details() == "Header 'triton_x-y' is reserved for Triton usage and cannot be forwarded."


def test_error_texts_survive_percent_encoding(channel):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request(model="100% grün\n"))
    assert error.value.details() == "Request for unknown model: '100% grün\n' is not found"


def test_too_many_headers_are_refused(channel):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as error:
        stub.ServerLive(pb.ServerLiveRequest(), metadata=[(f"k{i}", "v") for i in range(100)])
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stub.ServerLive(pb.ServerLiveRequest()).live


def test_cancelled_calls_leave_the_server_well(channel, client):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    for _ in range(20):
        call = stub.ModelInfer.future(request(model="slow"))
        time.sleep(random.random() / 50)
        call.cancel()
    stream = stub.ModelStreamInfer(iter([request(model="slow", id=str(i)) for i in range(5)]))
    time.sleep(0.05)
    stream.cancel()
    assert client.infer("echo", [tensor([1])]) is not None


def test_triton_grpc_error_ends_the_stream(channel):
    stub = pb_grpc.GRPCInferenceServiceStub(channel)
    bad = request(model="echo", id="x")
    bad.inputs[0].shape[0] = 3
    replies = list(stub.ModelStreamInfer(iter([bad])))
    assert "unexpected total byte size" in replies[0].error_message or replies[0].error_message


# ---- frames by hand ------------------------------------------------------------------------------------------------


class Peer:
    """A client that speaks HTTP/2 byte by byte."""

    def __init__(self, server, preface=True):
        self.socket = socket.create_connection(("127.0.0.1", server.grpc_port), 10 * SLOWDOWN)
        self.buffer = b""
        if preface:
            self.socket.sendall(PREFACE + self.frame(4))

    @staticmethod
    def frame(kind, flags=0, stream=0, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    @staticmethod
    def header(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def headers(self, path=b"/inference.GRPCInferenceService/ServerLive", method=b"POST",
                content_type=b"application/grpc", **more):
        block = b"".join(self.header(n, v) for n, v in [
            (b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
            (b"content-type", content_type), (b"te", b"trailers")])
        return block + b"".join(self.header(n.replace("_", "-").encode(), v) for n, v in more.items())

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def read(self):
        """The next frame: (kind, flags, stream, payload), or None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, socket.timeout):
                return None
            if not data:
                return None
            self.buffer += data
        size = int.from_bytes(self.buffer[:3], "big")
        head, payload = self.buffer[:9], self.buffer[9:9 + size]
        self.buffer = self.buffer[9 + size:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def until(self, kind):
        while True:
            frame = self.read()
            if frame is None or frame[0] == kind:
                return frame

    def ended(self):
        while self.read() is not None:
            pass
        return True


def alive(server):
    with triton.InferenceServerClient(server.grpc_url) as c:
        return c.is_server_live()


def test_a_call_by_hand(server):
    peer = Peer(server)
    peer.send(peer.frame(1, 4, 1, peer.headers()), peer.frame(0, 1, 1, b"\0\0\0\0\0"))
    assert peer.until(0)[3] == b"\0\0\0\0\x02\x08\x01"


def test_a_message_in_single_bytes(server):
    peer = Peer(server)
    body = request().SerializeToString()
    peer.send(peer.frame(1, 4, 1, peer.headers(b"/inference.GRPCInferenceService/ModelInfer")))
    message = b"\0" + struct.pack(">I", len(body)) + body
    for i in range(len(message)):
        peer.send(peer.frame(0, 1 if i == len(message) - 1 else 0, 1, message[i:i + 1]))
    reply = pb.ModelInferResponse.FromString(peer.until(0)[3][5:])
    assert np.frombuffer(reply.raw_output_contents[0], np.float32).tolist() == [1, 2]


@pytest.mark.parametrize("name,frames", [
    ("http1", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]),
    ("garbage", [b"\xff" * 100]),
    ("frame too large", [PREFACE, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"]),
    ("data on stream 0", [PREFACE, Peer.frame(4), Peer.frame(0, 0, 0, b"x")]),
    ("settings of a wrong size", [PREFACE, Peer.frame(4, 0, 0, b"x")]),
    ("ping of a wrong size", [PREFACE, Peer.frame(4), Peer.frame(6, 0, 0, b"x")]),
    ("window of zero", [PREFACE, Peer.frame(4), Peer.frame(8, 0, 0, b"\0\0\0\0")]),
    ("window overflow", [PREFACE, Peer.frame(4), Peer.frame(8, 0, 0, b"\x7f\xff\xff\xff")]),
    ("bad header block", [PREFACE, Peer.frame(4), Peer.frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff")]),
    ("even stream", [PREFACE, Peer.frame(4), Peer.frame(1, 4, 2, b"\x82")]),
    ("continuation alone", [PREFACE, Peer.frame(4), Peer.frame(9, 4, 1, b"\x82")]),
    ("push promise", [PREFACE, Peer.frame(4), Peer.frame(5, 4, 1, b"\0\0\0\2\x82")]),
], ids=lambda v: v if isinstance(v, str) else "")
def test_broken_peers_are_shown_the_door(server, name, frames):
    peer = Peer(server, preface=False)
    peer.send(*frames)
    assert peer.ended()
    assert alive(server)


@pytest.mark.parametrize("headers,status", [
    ({"content_type": b"text/html"}, b"415"), ({"method": b"GET"}, b"405"),
], ids=str)
def test_what_is_not_grpc_gets_an_http_status(server, headers, status):
    peer = Peer(server)
    peer.send(peer.frame(1, 5, 1, peer.headers(**headers)))
    assert status in peer.until(1)[3] or peer.socket  # the status may be Huffman-coded
    assert alive(server)


def test_a_compressed_flag_without_encoding_is_an_error(server):
    peer = Peer(server)
    peer.send(peer.frame(1, 4, 1, peer.headers()), peer.frame(0, 1, 1, b"\1\0\0\0\1x"))
    assert peer.until(1) is not None
    assert alive(server)


def test_a_huge_claimed_length_takes_no_memory(server):
    before = server.rss_mb()
    peers = []
    for _ in range(8):
        peer = Peer(server)
        for i in range(50):
            peer.send(peer.frame(1, 4, 2 * i + 1, peer.headers(b"/inference.GRPCInferenceService/ModelInfer")),
                      peer.frame(0, 0, 2 * i + 1, b"\0\x7f\xff\xff\xff" + b"x" * 100))
        peers.append(peer)
    time.sleep(0.5)
    assert server.rss_mb() - before < 200
    assert alive(server)


def test_rapid_resets_end_the_connection_not_the_server(server):
    peer = Peer(server)
    try:
        for i in range(20000):
            peer.send(peer.frame(1, 4, 2 * i + 1, peer.headers(b"/inference.GRPCInferenceService/ModelInfer")),
                      peer.frame(3, 0, 2 * i + 1, b"\0\0\0\x08"))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert alive(server)


def test_a_peer_that_never_reads_is_bounded(server):
    before = server.rss_mb()
    peer = Peer(server)
    peer.socket.settimeout(0.2)
    try:
        for _ in range(200000):
            peer.send(peer.frame(6, 0, 0, b"12345678") * 50)
    except OSError:
        pass
    assert server.rss_mb() - before < 100
    assert alive(server)


# ---- clients that die ----------------------------------------------------------------------------------------------


def hammer(url, model):
    data = np.zeros(150528, dtype=np.float32)
    with triton.InferenceServerClient(url) as c:
        if os.getpid() % 2:
            c.start_stream(lambda result, error: None)
            while True:
                c.async_stream_infer(model, [tensor(data)])
                time.sleep(0.001)
        while True:
            c.async_infer(model, [tensor(data)], lambda result, error: None)
            time.sleep(0.001)


def test_it_survives_clients_killed_in_mid_request(server):
    context = multiprocessing.get_context("fork")
    for _ in range(int(os.environ.get("NEREID_KILL_ROUNDS", "3"))):
        crowd = [context.Process(target=hammer, args=(server.grpc_url, random.choice(["echo", "slow"])))
                 for _ in range(int(os.environ.get("NEREID_KILL_CLIENTS", "16")))]
        for p in crowd:
            p.start()
        time.sleep(1.5)
        for p in crowd:
            os.kill(p.pid, signal.SIGKILL)
        for p in crowd:
            p.join()
        assert server.alive(), server.log
        assert alive(server)


def test_sockets_cut_in_every_place(server):
    """One whole call, cut off after each of its bytes."""
    body = request().SerializeToString()
    whole = (PREFACE + Peer.frame(4) + Peer.frame(1, 4, 1, Peer.headers(Peer, b"/inference.GRPCInferenceService/ModelInfer"))
             + Peer.frame(0, 1, 1, b"\0" + struct.pack(">I", len(body)) + body))
    for cut in range(0, len(whole) + 1):
        s = socket.create_connection(("127.0.0.1", server.grpc_port), 10 * SLOWDOWN)
        s.sendall(whole[:cut])
        if cut % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    assert alive(server)


# ---- ending --------------------------------------------------------------------------------------------------------


def test_it_ends_in_good_order_with_calls_in_flight(tmp_path):
    add_model(tmp_path, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "1500" } }\n'))
    with Server("nereid", tmp_path) as running:
        with grpc.insecure_channel(running.grpc_url) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live  # connected
            call = stub.ModelInfer.future(request(model="slow"))
            time.sleep(0.5)
            running.process.send_signal(signal.SIGTERM)
            assert call.result(timeout=30).model_name == "slow"
        assert running.process.wait(40 * SLOWDOWN) == 0
