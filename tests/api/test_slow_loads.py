# SPDX-License-Identifier: Apache-2.0
"""Loads that take their time, beside requests that need a worker too."""

import gzip
import json
import threading
import time

import pytest
import tritonclient.grpc as triton

from servers import SLOWDOWN, Server, add_model, identity_config

LOADS = 16  # as many as there are workers for gRPC, twice as many as for HTTP
# Each load runs a warm-up of four seconds.
SLOW = """
parameters { key: "execute_delay_ms" value { string_value: "4000" } }
model_warmup { name: "w" batch_size: 1 inputs { key: "INPUT0" value { data_type: TYPE_FP32 dims: 1 zero_data: true } } }
"""


@pytest.fixture
def server(tmp_path):
    add_model(tmp_path, "echo", identity_config("echo"))
    for i in range(LOADS):
        add_model(tmp_path, f"slow{i}", identity_config(f"slow{i}", extra=SLOW))
    with Server("nereid", tmp_path, "--model-control-mode=explicit", "--load-model=echo", f"--model-load-thread-count={LOADS}") as s:
        yield s


def until_loading(server, count):
    """Until so many loads are under way; each takes four seconds from then on."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        states = [row.get("state") for row in json.loads(server.request("POST", "/v2/repository/index")[3])]
        if states.count("LOADING") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{count} should be loading: {states}")


def test_loads_do_not_hold_up_compressed_requests(server):
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(server.request("POST", f"/v2/repository/models/slow{i}/load")[0]))
               for i in range(LOADS)]
    for thread in threads:
        thread.start()
    until_loading(server, LOADS // 2)
    begun = time.monotonic()
    body = {"inputs": [{"name": "INPUT0", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
    status, _, _, text = server.request("POST", "/v2/models/echo/infer", body=gzip.compress(json.dumps(body).encode()),
                                        headers={"Content-Encoding": "gzip"})
    assert status == 200, text
    assert server.request("GET", "/v2/models/echo/config")[0] == 200
    assert time.monotonic() - begun < 1.5 * SLOWDOWN
    assert not answers  # all loads were still under way
    for thread in threads:
        thread.join()
    assert answers == [200] * LOADS


def test_loads_over_grpc_do_not_hold_up_other_calls(server):
    def load(i):
        with triton.InferenceServerClient(server.grpc_url) as c:
            c.load_model(f"slow{i}")

    threads = [threading.Thread(target=load, args=(i,)) for i in range(LOADS)]
    for thread in threads:
        thread.start()
    until_loading(server, LOADS)
    begun = time.monotonic()
    with triton.InferenceServerClient(server.grpc_url) as c:
        assert c.get_model_config("echo").config.name == "echo"
        states = {m.name: m.state for m in c.get_model_repository_index().models}
    assert states == {"echo": "READY", **{f"slow{i}": "LOADING" for i in range(LOADS)}}
    assert time.monotonic() - begun < 1.5 * SLOWDOWN
    for thread in threads:
        thread.join()
