# SPDX-License-Identifier: Apache-2.0
"""Restricted interfaces, forwarded headers and classification, through the real clients."""

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from servers import PROGRAMS, Server, add_model, identity_config

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@pytest.fixture(scope="module")
def server(server_name, tmp_path_factory):
    root = tmp_path_factory.mktemp("restricted")
    labelled = identity_config("labelled", dims="[4]", batch=8).replace(
        'name: "OUTPUT0"', 'name: "OUTPUT0" label_filename: "labels.txt"')
    add_model(root, "labelled", labelled, {"labels.txt": "cat\ndog\n\nbird\n"})
    add_model(root, "ints", identity_config("ints", "TYPE_INT8"))
    add_model(root, "text", identity_config("text", "TYPE_STRING"))
    with Server(server_name, root, "--http-restricted-api=logging,statistics:admin=secret",
                "--grpc-restricted-protocol=logging,statistics:admin=secret",
                r"--http-header-forward-pattern=^(?:x-go|triton_)\w*?\d$",
                r"--grpc-header-forward-pattern=^(?:x-go|triton_)\w*?\d$") as started:
        yield started


@pytest.fixture(params=sorted(CLIENTS))
def protocol(request):
    return CLIENTS[request.param]


@pytest.fixture
def client(server, protocol):
    url = server.http_url if protocol is tritonclient.http else server.grpc_url
    with protocol.InferenceServerClient(url) as connected:
        yield connected


def test_restricted_without_the_key(client, protocol):
    key = "admin" if protocol is tritonclient.http else "triton-grpc-protocol-admin"
    for headers in (None, {key: "Secret"}, {key: ""}, {"other": "secret"}):
        for call in (client.get_log_settings, client.get_inference_statistics):
            with pytest.raises(InferenceServerException) as error:
                call(headers=headers)
            assert f"is restricted, expecting header '{key}'" in error.value.message()
    assert client.is_server_live()
    assert client.get_log_settings(headers={key: "secret"})
    assert client.get_inference_statistics(headers={key: "secret"})


def test_restricted_status_over_http(server):
    status, _, _, body = server.request("GET", "/v2/logging")
    assert (status, body) == (403, b'{"error":"This API is restricted, expecting header \'admin\'"}')
    assert server.request("GET", "/v2/logging", headers={"ADMIN": "secret"})[0] == 200


def classify(client, protocol, model, values, k, datatype="FP32"):
    given = protocol.InferInput("INPUT0", list(values.shape), datatype)
    given.set_data_from_numpy(values)
    result = client.infer(model, [given], outputs=[protocol.InferRequestedOutput("OUTPUT0", class_count=k)])
    return result.as_numpy("OUTPUT0")


def test_classification(client, protocol):
    values = np.array([[0.5, 2, -1, 0.25], [1, 1, 8, 3]], dtype=np.float32)
    classes = classify(client, protocol, "labelled", values, 2)
    assert classes.shape == (2, 2)
    assert classes.tolist() == [[b"2.000000:1:dog", b"0.500000:0:cat"], [b"8.000000:2", b"3.000000:3:bird"]]
    assert classify(client, protocol, "labelled", values[:1], 100).shape == (1, 4)
    ints = np.array([3, -128, 127], dtype=np.int8)
    assert classify(client, protocol, "ints", ints, 2, "INT8").tolist() == [b"127:2", b"3:0"]


def test_classification_of_text_is_refused(server_name, client, protocol):
    if server_name != "nereid":
        pytest.skip("2.51 ends with a signal")
    with pytest.raises(InferenceServerException) as error:
        classify(client, protocol, "text", np.array([b"a", b"b"], dtype=object), 1, "BYTES")
    assert "class result not available for output due to unsupported type 'BYTES'" in error.value.message()
    assert client.is_server_live()


def test_forwarded_headers_may_not_take_tritons_names(server_name, client, protocol):
    given = protocol.InferInput("INPUT0", [1], "INT8")
    given.set_data_from_numpy(np.array([1], dtype=np.int8))
    for headers in ({"x-go1": "a", "triton_x": "b"}, {"x-go_a2": "", "x-other1": "c"}):
        assert client.infer("ints", [given], headers=headers).as_numpy("OUTPUT0").tolist() == [1]
    if server_name != "nereid":
        return  # 2.51 forwards them
    with pytest.raises(InferenceServerException) as error:
        client.infer("ints", [given], headers={"triton_x1": "b"})
    assert "triton_" in error.value.message() and "reserved for Triton usage" in error.value.message()
