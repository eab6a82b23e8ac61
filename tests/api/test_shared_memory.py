# SPDX-License-Identifier: Apache-2.0
"""System shared memory through the real clients: what a client puts there is read there, and answered there.

Runs on each server that is there; what came after 2.51 (the default of being closed, unregistering in use) on Nereid.
"""

import struct
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from servers import PROGRAMS, Server, add_model, identity_config

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}
FLOATS = np.arange(64, dtype=np.float32)


def repository(root):
    add_model(root, "plain", identity_config("plain"))
    add_model(root, "pair", identity_config("pair", pairs=2))
    add_model(root, "text", identity_config("text", "TYPE_STRING"))
    add_model(root, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "1000" } }\n'))
    return root


@pytest.fixture(scope="module")
def server(server_name, tmp_path_factory):
    allow = ["--allow-client-shm=true"] if server_name == "nereid" else []
    with Server(server_name, repository(tmp_path_factory.mktemp("shm")), *allow) as started:
        yield started


@pytest.fixture(params=sorted(CLIENTS))
def protocol(request):
    return CLIENTS[request.param]


def connect(server, protocol):
    url = server.http_url if protocol is tritonclient.http else server.grpc_url
    return protocol.InferenceServerClient(url)


@pytest.fixture
def client(server, protocol):
    with connect(server, protocol) as connected:
        connected.unregister_system_shared_memory()
        yield connected
        connected.unregister_system_shared_memory()


@pytest.fixture
def region():
    handle = shm.create_shared_memory_region("client side", f"/nereid_test_{time.monotonic_ns()}", 8192)
    yield handle
    shm.destroy_shared_memory_region(handle)


def tensor(protocol, name, size, region=None, byte_size=None, offset=0, datatype="FP32"):
    made = protocol.InferInput(name, [size], datatype)
    if region:
        made.set_shared_memory(region, byte_size or 4 * size, offset)
    return made


def place(protocol, name, region, byte_size, offset=0):
    made = protocol.InferRequestedOutput(name)
    made.set_shared_memory(region, byte_size, offset)
    return made


def names(status):
    regions = status if isinstance(status, list) else list(status.regions.values())
    return sorted(r["name"] if isinstance(r, dict) else r.name for r in regions)


def code_of(error):
    return str(error.value.status()).replace("StatusCode.", "")


def test_in_and_out_of_one_region(client, protocol, region):
    shm.set_shared_memory_region(region, [FLOATS], offset=512)
    client.register_system_shared_memory("r", region._shm_key, 8192)
    client.infer("plain", [tensor(protocol, "INPUT0", 64, "r", offset=512)],
                 outputs=[place(protocol, "OUTPUT0", "r", 256, 4096)])
    np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.float32, [64], 4096), FLOATS)


def test_beside_plain_tensors(client, protocol, region):
    shm.set_shared_memory_region(region, [FLOATS])
    client.register_system_shared_memory("r", region._shm_key, 8192)
    plain = tensor(protocol, "INPUT1", 64)
    plain.set_data_from_numpy(FLOATS * 2)
    result = client.infer("pair", [tensor(protocol, "INPUT0", 64, "r"), plain],
                          outputs=[protocol.InferRequestedOutput("OUTPUT0"), place(protocol, "OUTPUT1", "r", 256, 1024)])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), FLOATS)
    np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.float32, [64], 1024), FLOATS * 2)


def test_bytes_tensors(client, protocol, region):
    words = [b"one", b"", "zwölf".encode()]
    serialized = b"".join(struct.pack("<I", len(word)) + word for word in words)
    shm.set_shared_memory_region(region, [np.frombuffer(serialized, dtype=np.uint8)])
    client.register_system_shared_memory("r", region._shm_key, 8192)
    result = client.infer("text", [tensor(protocol, "INPUT0", 3, "r", len(serialized), datatype="BYTES")])
    assert list(result.as_numpy("OUTPUT0")) == words


def test_status_and_unregister(server_name, client, region):
    if server_name != "nereid":
        pytest.skip("2.51 registers a part of an object once")
    client.register_system_shared_memory("b", region._shm_key, 2048, offset=4096)
    client.register_system_shared_memory("a", region._shm_key, 100)
    assert names(client.get_system_shared_memory_status()) == ["a", "b"]
    assert names(client.get_system_shared_memory_status("a")) == ["a"]
    client.unregister_system_shared_memory("a")
    client.unregister_system_shared_memory("never was")
    assert names(client.get_system_shared_memory_status()) == ["b"]
    client.unregister_system_shared_memory()
    assert names(client.get_system_shared_memory_status()) == []
    assert names(client.get_cuda_shared_memory_status()) == []


def test_errors_have_tritons_texts(server_name, client, protocol, region):
    def refused(call, *arguments, **named):
        with pytest.raises(InferenceServerException) as error:
            call(*arguments, **named)
        return error.value.message()

    register = client.register_system_shared_memory
    register("r", region._shm_key, 256)
    assert refused(register, "r", region._shm_key, 256) == "shared memory region 'r' already in manager"
    assert refused(register, "x", "/nereid_none", 256) == "Unable to open shared memory region: '/nereid_none'"
    if server_name == "nereid":  # 2.51 opens an object once
        assert refused(register, "x", region._shm_key, 8193) == (
            "failed to register shared memory region 'x': invalid args")
    assert refused(client.get_system_shared_memory_status, "x") == "Unable to find system shared memory region: 'x'"
    assert refused(client.get_cuda_shared_memory_status, "x") == "Unable to find cuda shared memory region: 'x'"
    assert "Unable to find shared memory region: 'x'" in refused(
        client.infer, "plain", [tensor(protocol, "INPUT0", 64, "x")])
    assert "Invalid offset for shared memory region: 'r'" in refused(
        client.infer, "plain", [tensor(protocol, "INPUT0", 64, "r", offset=256)])
    assert "Invalid offset + byte size for shared memory region: 'r'" in refused(
        client.infer, "plain", [tensor(protocol, "INPUT0", 64, "r", offset=4)])
    assert names(client.get_system_shared_memory_status()) == ["r"]


def test_output_that_does_not_fit(client, protocol, region):
    client.register_system_shared_memory("r", region._shm_key, 8192)
    with pytest.raises(InferenceServerException):
        client.infer("plain", [tensor(protocol, "INPUT0", 64, "r")], outputs=[place(protocol, "OUTPUT0", "r", 100, 4096)])
    client.unregister_system_shared_memory("r")
    assert names(client.get_system_shared_memory_status()) == []


def test_unregister_in_use_waits(server_name, server, client, protocol, region):
    if server_name != "nereid":
        pytest.skip("unregistering what is in use came after 2.51")
    shm.set_shared_memory_region(region, [FLOATS])
    client.register_system_shared_memory("r", region._shm_key, 8192)
    answers = []

    def infer():
        with connect(server, protocol) as other:
            answers.append(other.infer("slow", [tensor(protocol, "INPUT0", 64, "r")]).as_numpy("OUTPUT0"))

    thread = threading.Thread(target=infer)
    thread.start()
    time.sleep(0.4)
    client.unregister_system_shared_memory("r")
    assert names(client.get_system_shared_memory_status()) == ["r"]
    thread.join()
    np.testing.assert_array_equal(answers[0], FLOATS)
    assert names(client.get_system_shared_memory_status()) == []
    client.register_system_shared_memory("r", region._shm_key, 8192)


def test_cuda_regions_are_refused_by_name(server_name, client):
    if server_name != "nereid":
        pytest.skip("the peer was built with CUDA")
    with pytest.raises(InferenceServerException) as error:
        client.register_cuda_shared_memory("c", b"A" * 88, 0, 64)
    assert error.value.message() == "failed to register CUDA shared memory region: 'c', GPUs not supported"


def test_closed_unless_asked_for(protocol, region, tmp_path):
    if not PROGRAMS["nereid"].exists():
        pytest.skip("nereid is not built")
    text = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
    with Server("nereid", repository(tmp_path)) as closed, connect(closed, protocol) as client:
        for call in (lambda: client.register_system_shared_memory("r", region._shm_key, 8192),
                     lambda: client.unregister_system_shared_memory("r"),
                     client.unregister_system_shared_memory):
            with pytest.raises(InferenceServerException) as error:
                call()
            assert error.value.message() == text
            assert code_of(error) in ("501", "UNIMPLEMENTED")
        assert names(client.get_system_shared_memory_status()) == []
