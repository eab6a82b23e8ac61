# SPDX-License-Identifier: Apache-2.0
"""A model on several devices of different speed, which are pretended GPUs: who answers is who is expected to be done first.

A batch keeps a GPU busy for a set time divided by the GPU's speed, in real time; so the tests look at shares, with wide bounds. The
rule itself is tested on a clock in the test's hand (tests/unit/core/test_route.c).
"""

import collections
import queue

import numpy as np
import pytest
import tritonclient.grpc as grpc_client

from servers import PREFIX, Server

FAKE = PREFIX / "tests/fake"
BACKEND = PREFIX / "tests/backends/lossy/libtriton_lossy.so"
CONFIG = """backend: "lossy"
max_batch_size: 4
input {{ name: "INPUT" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "GPU" data_type: TYPE_INT32 dims: [ 1 ] }}
{groups}
{scheduling}
parameters {{ key: "busy_us" value {{ string_value: "{busy_us}" }} }}
"""


@pytest.fixture
def serve(tmp_path):
    for needed in (FAKE / "libcuda.so.1", BACKEND):
        if not needed.exists():
            pytest.fail(f"{needed} is not there: make test-programs builds it")

    def start(speeds, groups="instance_group { kind: KIND_GPU }", scheduling="", busy_us=16000):
        folder = tmp_path / "models/m"
        (folder / "1").mkdir(parents=True)
        (folder / "libtriton_lossy.so").symlink_to(BACKEND)
        (folder / "config.pbtxt").write_text(CONFIG.format(groups=groups, scheduling=scheduling, busy_us=busy_us))
        settings = f"gpus={len(speeds)},memory=1G,speed={':'.join(map(str, speeds))}"
        return Server("nereid", tmp_path / "models", env={"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": settings})
    return start


def tensor(number):
    row = np.array([[number, 0, 0, 1]], np.float32)
    made = grpc_client.InferInput("INPUT", [1, 4], "FP32")
    made.set_data_from_numpy(row)
    return row, made


def one_by_one(server, count):
    """By which device each of `count` requests was answered; -1 is the processor."""
    who = []
    with grpc_client.InferenceServerClient(server.grpc_url) as client:
        for i in range(count):
            row, made = tensor(i)
            result = client.infer("m", [made])
            assert np.array_equal(result.as_numpy("OUTPUT"), row)
            who.append(int(result.as_numpy("GPU")[0, 0]))
    return who


def at_once(server, count, width):
    """The same with `width` requests in flight."""
    done = queue.Queue()
    who = {}
    with grpc_client.InferenceServerClient(server.grpc_url) as client:
        def send(i):
            client.async_infer("m", [tensor(i)[1]], lambda result, error, i=i: done.put((i, result, error)))
        for i in range(width):
            send(i)
        for i in range(width, count + width):
            number, result, error = done.get(timeout=60)
            assert error is None, error
            assert result.as_numpy("OUTPUT")[0, 0] == number and number not in who
            who[number] = int(result.as_numpy("GPU")[0, 0])
            if i < count:
                send(i)
    return [who[i] for i in range(count)]


def test_one_request_after_another_goes_to_the_fast_gpus(serve):
    with serve([1, 2, 4, 8], busy_us=40000) as server:
        one_by_one(server, 12)  # each GPU is tried
        shares = collections.Counter(one_by_one(server, 80))
    assert shares[3] + shares[2] >= 65 and shares[3] >= 30 and shares[0] <= 8, shares


def test_gpu_is_left_out_where_the_processor_is_faster(serve):
    # This backend does nothing on the processor, and keeps a GPU busy.
    groups = "instance_group { kind: KIND_CPU }\ninstance_group { kind: KIND_GPU gpus: [ 0 ] }"
    with serve([1], groups) as server:
        one_by_one(server, 8)
        shares = collections.Counter(one_by_one(server, 60))
    assert shares[-1] >= 45, shares


@pytest.mark.parametrize("scheduling", ["", "dynamic_batching { }", "dynamic_batching { preserve_ordering: true }"])
def test_equal_gpus_share_the_load(serve, scheduling):
    with serve([4, 4], scheduling=scheduling) as server:
        shares = collections.Counter(at_once(server, 400, 24))
    assert min(shares[0], shares[1]) >= 120, shares


def test_slow_gpu_helps_by_what_it_is_worth(serve):
    # Far longer than a busy machine's processor takes for a request: where that is what all wait for, a slow GPU is as good as a fast one.
    with serve([1, 4], busy_us=64000) as server:
        shares = collections.Counter(at_once(server, 240, 32))
    assert 12 <= shares[0] <= 96, shares  # one to four is 48
