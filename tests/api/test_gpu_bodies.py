# SPDX-License-Identifier: Apache-2.0
"""Large bodies that go to a GPU again and again are page-locked, on pretended GPUs: they get there without a copy on the host, within the
limit of pinned memory, and are left alone until the GPU has read them. The pretended driver reads page-locked memory when the copy's
time has come, as a real one does, and anything else within the call.
"""

import collections
import concurrent.futures
import contextlib
import pathlib
import re
import time

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

from tritonclient.utils import InferenceServerException

from servers import PREFIX, Server

FAKE = PREFIX / "tests/fake"
BACKEND = PREFIX / "tests/backends/gpu_echo/libtriton_gpu_echo.so"
MIB = 1 << 20
SIZE = MIB  # few of them are less than what the pool keeps when it is quiet, however slow the machine
PIECES = SIZE // (MIB // 2)  # in which memory that is not page-locked is staged
CONFIG = """backend: "gpu_echo"
input {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ kind: KIND_{kind} count: {count} }}
parameters {{ key: "gpu_us" value {{ string_value: "{gpu_us}" }} }}
{extra}
"""


@pytest.fixture
def serve(tmp_path):
    for needed in (FAKE / "libcuda.so.1", BACKEND):
        if not needed.exists():
            pytest.fail(f"{needed} is not there: make test-programs builds it")

    def start(*arguments, gpu_us=0, kind="GPU", count=1, extra=""):
        folder = tmp_path / "models/m"
        (folder / "1").mkdir(parents=True)
        (folder / "libtriton_gpu_echo.so").symlink_to(BACKEND)
        (folder / "config.pbtxt").write_text(CONFIG.format(kind=kind, count=count, gpu_us=gpu_us, extra=extra))
        return Server("nereid", tmp_path / "models", *arguments,
                      env={"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": "gpus=1,memory=2G,report=1"})
    return start


def client_of(server, way):
    if way == "grpc":
        return grpc_client, grpc_client.InferenceServerClient(server.grpc_url)
    return http_client, http_client.InferenceServerClient(server.http_url, network_timeout=60, connection_timeout=60)


def ask(library, client, values, **more):
    made = library.InferInput("INPUT0", list(values.shape), "FP32")
    made.set_data_from_numpy(values)
    assert np.array_equal(client.infer("m", [made], **more).as_numpy("OUTPUT0"), values)


def pinned_bytes(server):
    return int(float(re.search(r"^nv_pinned_memory_pool_used_bytes (\S+)", server.metrics(), re.M)[1]))


def calls(server):
    """How often the driver's functions were called, once the server has ended."""
    server.terminate()
    return collections.Counter({name: int(count) for name, count in
                                re.findall(r"^fake_cuda: (\w+) (\d+)$", server.log, re.M)})


def warm(server, library, client, size=SIZE):
    """Asks until a body is page-locked; how often that was."""
    for i in range(3):
        ask(library, client, np.full(size // 4, i, np.float32))
    before = pinned_bytes(server)
    for i in range(3, 100):
        ask(library, client, np.full(size // 4, i, np.float32))
        if pinned_bytes(server) >= before + size:
            return i + 1
        time.sleep(0.01)  # another thread is at it
    pytest.fail("no body was page-locked")


def thread_names(server):
    return {path.read_text().strip() for path in pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/comm")}


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_warm_bodies_reach_the_gpu_without_a_copy_on_the_host(serve, way):
    with serve() as server:
        library, client = client_of(server, way)
        with client:
            asked = warm(server, library, client)
            for i in range(80):
                ask(library, client, np.full(SIZE // 4, -i, np.float32))
        called = calls(server)
    # Staged, each of the 80 would have been PIECES copies. A few may be: where the next request comes before the last one's body is
    # back, there is a second buffer to be warmed.
    assert called["cuMemcpyHtoDAsync_v2"] <= (asked + 20) * PIECES + 60, called
    assert called["cuMemHostRegister_v2"] == called["cuMemHostUnregister"] >= 1, called
    assert called["cuMemHostAlloc"] == called["cuMemFreeHost"], called


def test_smaller_bodies_move_to_pages_of_their_own(serve):
    with serve() as server:
        library, client = client_of(server, "grpc")
        with client:
            warm(server, library, client, 602 * 1024)
            for i in range(20):
                ask(library, client, np.random.default_rng(i).random(602 * 256, np.float32))
        called = calls(server)
    assert called["cuMemHostRegister_v2"] == called["cuMemHostUnregister"] >= 1, called


def test_locked_bodies_have_half_of_the_pinned_memory(serve):
    with serve("--pinned-memory-pool-byte-size=6000000") as server:  # half: two bodies of 1.25 MiB
        values = [np.random.default_rng(i).random(SIZE // 4, np.float32) for i in range(6)]

        def many(i):
            with grpc_client.InferenceServerClient(server.grpc_url) as client:
                for _ in range(25):
                    ask(grpc_client, client, values[i])
                    assert pinned_bytes(server) <= 6000000

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(many, range(6)))
        called = calls(server)
        assert server.log.count("not all large request bodies are page-locked") <= 1
    assert called["cuMemHostRegister_v2"] == called["cuMemHostUnregister"], called


@pytest.mark.parametrize("why", ["limit", "processor", "configuration"])
def test_bodies_stay_pageable_where_they_should(serve, why):
    arguments = ["--pinned-memory-pool-byte-size=2000000"] if why == "limit" else []
    extra = "optimization { input_pinned_memory { enable: false } }" if why == "configuration" else ""
    with serve(*arguments, kind="CPU" if why == "processor" else "GPU", extra=extra) as server:
        library, client = client_of(server, "grpc")
        with client:
            for i in range(20):
                ask(library, client, np.full(SIZE // 4, i, np.float32))
        assert why == "limit" or "body-locks" not in thread_names(server)
        called = calls(server)
        assert server.log.count("not all large request bodies are page-locked") == (why == "limit")
    assert called["cuMemHostRegister_v2"] == 0, called


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_a_body_is_left_alone_until_the_gpu_has_read_it(serve, way):
    """Each batch's kernel keeps the stream busy before the copy of its input begins, and clients that give up leave bodies behind that
    are still to be read: a body that others got meanwhile would show in the echo."""
    with serve("--pinned-memory-pool-byte-size=200000000", gpu_us=4000, count=2) as server:
        def many(seed):
            random = np.random.default_rng(seed)
            library, client = client_of(server, way)
            with client:
                for _ in range(40):
                    ask(library, client, random.random(SIZE // 4, np.float32))

        def impatient(seed):
            values = np.full(SIZE // 4, seed, np.float32)
            with grpc_client.InferenceServerClient(server.grpc_url) as client:
                for _ in range(60):
                    with contextlib.suppress(InferenceServerException):  # most are too late
                        ask(grpc_client, client, values, client_timeout=0.004)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            tasks = [pool.submit(many, seed) for seed in range(6)]
            if way == "grpc":
                tasks += [pool.submit(impatient, seed) for seed in range(100, 102)]
            for task in tasks:
                task.result()
        called = calls(server)
    assert called["cuMemHostRegister_v2"] == called["cuMemHostUnregister"] >= 1, called
