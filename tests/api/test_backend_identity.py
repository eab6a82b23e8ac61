# SPDX-License-Identifier: Apache-2.0
"""The identity backend, in each server that is there: what goes in comes out."""

import json
import time

import pytest

from servers import Server, add_model, identity_config

MISMATCH = 'input { name: "INPUT0" data_type: TYPE_FP32 dims: [2] }\n'
BROKEN = {
    "types": (MISMATCH + 'output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [2] }\n',
              "expected input and output datatype to match, got TYPE_FP32 and TYPE_INT32"),
    "shapes": (MISMATCH + 'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [3] }\n',
               "expected input and output shape to match, got [2] and [3]"),
    "pairs": (MISMATCH + 'output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [2] }, '
              '{ name: "OUTPUT1" data_type: TYPE_FP32 dims: [2] } ]\n', "must have equal input/output pairs"),
    "decoupled": (MISMATCH + 'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [2] }\n'
                  "model_transaction_policy { decoupled: true }\n", "does not support the decoupled"),
    "delay": (MISMATCH + 'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [2] }\n'
              'parameters { key: "execute_delay_ms" value { string_value: "soon" } }\n',
              "failed to convert 'soon' to int"),
}


@pytest.fixture(scope="module")
def server(server_name, tmp_path_factory):
    root = tmp_path_factory.mktemp("identity")
    add_model(root, "plain", identity_config("plain", dims="[-1]", batch=8, extra="dynamic_batching {}\n"))
    add_model(root, "crossed", 'name: "crossed"\nbackend: "identity"\n'
              'input [ { name: "INPUT1" data_type: TYPE_INT32 dims: [2] }, { name: "INPUT0" data_type: TYPE_FP32 dims: [2] } ]\n'
              'output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [2] }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: [2] } ]\n')
    add_model(root, "renamed", 'name: "renamed"\nbackend: "identity"\n'
              'input { name: "image" data_type: TYPE_UINT8 dims: [2] }\noutput { name: "copy" data_type: TYPE_UINT8 dims: [2] }\n')
    add_model(root, "optional", identity_config("optional", "TYPE_INT32", "[-1]", pairs=2).replace(
        'name: "INPUT1"', 'name: "INPUT1" optional: true'))
    add_model(root, "slow", identity_config(
        "slow", extra='parameters { key: "execute_delay_ms" value { string_value: "120" } }\n'))
    add_model(root, "told", identity_config(
        "told", extra='parameters { key: "response_parameters" value { string_value: "true" } }\n'
                      'parameters { key: "input_byte_size_counter" value { string_value: "true" } }\n'))
    with Server(server_name, root) as started:
        yield started


def infer(server, model, inputs, outputs=None):
    """[(output name, data)] of a request whose inputs are (name, type, shape, data)."""
    body = {"inputs": [dict(zip(("name", "datatype", "shape", "data"), i)) for i in inputs]}
    if outputs is not None:
        body["outputs"] = [{"name": name} for name in outputs]
    status, _, _, reply = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body))
    reply = json.loads(reply)
    assert status == 200, reply
    return [(o["name"], o["data"]) for o in reply["outputs"]], reply


def test_echo(server):
    assert infer(server, "plain", [("INPUT0", "FP32", [2, 2], [1, 2, 3, 4])])[0] == [("OUTPUT0", [1, 2, 3, 4])]


def test_pairs_go_by_number_then_by_place(server):
    inputs = [("INPUT0", "FP32", [2], [0.5, 1]), ("INPUT1", "INT32", [2], [7, 8])]
    assert dict(infer(server, "crossed", inputs)[0]) == {"OUTPUT0": [0.5, 1], "OUTPUT1": [7, 8]}
    assert infer(server, "crossed", inputs, ["OUTPUT1"])[0] == [("OUTPUT1", [7, 8])]
    assert infer(server, "renamed", [("image", "UINT8", [2], [1, 2])])[0] == [("copy", [1, 2])]


def test_optional_input_that_is_absent_comes_back_as_zeros(server):
    one = ("INPUT0", "INT32", [2], [1, 2])
    assert dict(infer(server, "optional", [one])[0]) == {"OUTPUT0": [1, 2], "OUTPUT1": [0]}
    both = dict(infer(server, "optional", [one, ("INPUT1", "INT32", [3], [4, 5, 6])])[0])
    assert both == {"OUTPUT0": [1, 2], "OUTPUT1": [4, 5, 6]}


def test_delay_is_kept_and_counted(server):
    start = time.monotonic()
    infer(server, "slow", [("INPUT0", "FP32", [1], [1])])
    assert time.monotonic() - start >= 0.12
    for _ in range(100):  # the answer goes out before it is counted
        stats = json.loads(server.request("GET", "/v2/models/slow/stats")[3])["model_stats"][0]
        if stats["inference_stats"]["success"]["count"] > 0:
            break
        time.sleep(0.01)
    assert stats["inference_stats"]["compute_infer"]["ns"] >= 120e6
    assert stats["inference_stats"]["success"]["count"] == 1


def test_parameters_and_metric(server):
    reply = infer(server, "told", [("INPUT0", "FP32", [3], [1, 2, 3])])[1]
    assert reply["parameters"] == {"param0": "an example string parameter", "param1": 42, "param2": False}
    assert 'input_byte_size_counter{model="told",version="1"} 12' in server.metrics()


@pytest.fixture(scope="module")
def broken(server_name, tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    for name, (config, _) in BROKEN.items():
        add_model(root, name, f'name: "{name}"\nbackend: "identity"\n{config}')
    with Server(server_name, root, "--exit-on-error=false", "--model-control-mode=explicit") as started:
        yield started


@pytest.mark.parametrize("name", BROKEN)
def test_configurations_that_cannot_be_echoed_are_refused(broken, name):
    status, _, _, reply = broken.request("POST", f"/v2/repository/models/{name}/load", "{}")
    assert status == 400 and BROKEN[name][1] in json.loads(reply)["error"], reply.decode()
