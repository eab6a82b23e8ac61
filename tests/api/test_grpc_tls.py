# SPDX-License-Identifier: Apache-2.0
"""gRPC over TLS, with and without certificates of clients."""

import pathlib
import socket
import subprocess

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from servers import PROGRAMS, Server, add_model, identity_config


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    add_model(folder, "echo", identity_config("echo"))
    return folder


def files(keys, *names):
    return [(keys / name).read_bytes() for name in names]


def echo(channel, count):
    data = np.random.default_rng(count).random(count, dtype=np.float32)
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[count])
    request.raw_input_contents.append(data.tobytes())
    reply = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)
    return reply.raw_output_contents[0] == data.tobytes()


def live(server, credentials):
    with grpc.secure_channel(server.grpc_url, credentials) as channel:
        return pb_grpc.GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=5).live


def test_tls_carries_tensors_of_any_size(keys, models):
    with Server("nereid", models, "--grpc-use-ssl=true", f"--grpc-server-cert={keys}/server.crt",
                f"--grpc-server-key={keys}/server.key") as server:
        credentials = grpc.ssl_channel_credentials(*files(keys, "ca.crt"))
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.secure_channel(server.grpc_url, credentials, unlimited) as channel:
            assert all(echo(channel, count) for count in (1, 1000, 150528, 3_000_000))
        with triton.InferenceServerClient(server.grpc_url, ssl=True, root_certificates=str(keys / "ca.crt")) as client:
            assert client.is_server_ready()
        with grpc.insecure_channel(server.grpc_url) as channel, pytest.raises(grpc.RpcError):
            echo(channel, 1)
        with pytest.raises(grpc.RpcError):
            live(server, grpc.ssl_channel_credentials(*files(keys, "stranger_ca.crt")))
        for garbage in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00" + b"x" * 600, b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.grpc_port), 5) as s:
                s.sendall(garbage)
        assert live(server, credentials)


def test_mutual_tls_wants_the_client_s_certificate(keys, models):
    with Server("nereid", models, "--grpc-use-ssl-mutual=true", f"--grpc-server-cert={keys}/server.crt",
                f"--grpc-server-key={keys}/server.key", f"--grpc-root-cert={keys}/ca.crt") as server:
        root, key, chain = files(keys, "ca.crt", "client.key", "client.crt")
        assert live(server, grpc.ssl_channel_credentials(root, key, chain))
        with pytest.raises(grpc.RpcError):
            live(server, grpc.ssl_channel_credentials(root))
        key, chain = files(keys, "stranger.key", "stranger.crt")
        with pytest.raises(grpc.RpcError):
            live(server, grpc.ssl_channel_credentials(root, key, chain))


@pytest.mark.parametrize("cert,key", [("missing", "server.key"), ("server.crt", "missing"), ("server.crt", "client.key")])
def test_unusable_files_end_the_start(keys, models, cert, key):
    done = subprocess.run(
        [PROGRAMS["nereid"], f"--model-repository={models}", "--grpc-use-ssl=true", f"--grpc-server-cert={keys}/{cert}",
         f"--grpc-server-key={keys}/{key}", "--http-port=0", "--grpc-port=0", "--metrics-port=0",
         f"--backend-directory={pathlib.Path(PROGRAMS['nereid']).parent.parent}/lib/nereid/backends"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False)
    assert done.returncode == 1
    assert b"failed to use the server" in done.stdout
