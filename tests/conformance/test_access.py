# SPDX-License-Identifier: Apache-2.0
"""Who may do what: restricted interfaces, forwarded headers and shared memory, on both servers."""

import json
import os
import re

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from servers import PROGRAMS, add_model, identity_config
from twins import Twins

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}
APIS = ("health", "metadata", "inference", "shared-memory", "model-config", "model-repository", "statistics", "trace", "logging")
PATHS = {
    "live": ("GET", "/v2/health/live", None), "ready": ("GET", "/v2/health/ready", None), "model_ready": ("GET", "/v2/models/m/ready", None),
    "server": ("GET", "/v2", None), "model": ("GET", "/v2/models/m", None), "config": ("GET", "/v2/models/m/config", None),
    "stats": ("GET", "/v2/models/m/stats", None), "all_stats": ("GET", "/v2/models/stats", None),
    "index": ("POST", "/v2/repository/index", b""), "load": ("POST", "/v2/repository/models/m/load", b""),
    "unload": ("POST", "/v2/repository/models/none/unload", b""), "logging": ("GET", "/v2/logging", None),
    "shm": ("GET", "/v2/systemsharedmemory/status", None), "shm_all": ("POST", "/v2/systemsharedmemory/unregister", b""),
    "cuda_shm": ("GET", "/v2/cudasharedmemory/status", None), "wrong_method": ("DELETE", "/v2", None),
    "wrong_infer": ("GET", "/v2/models/m/infer", None), "generate": ("POST", "/v2/models/m/generate", b"{}"),
    "not_there": ("GET", "/v2/nothing", None), "infer": ("POST", "/v2/models/m/infer", json.dumps(
        {"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()),
}
RPCS = {
    "live": ("ServerLive", pb.ServerLiveRequest()), "ready": ("ServerReady", pb.ServerReadyRequest()),
    "model_ready": ("ModelReady", pb.ModelReadyRequest(name="m")), "server": ("ServerMetadata", pb.ServerMetadataRequest()),
    "model": ("ModelMetadata", pb.ModelMetadataRequest(name="m")), "config": ("ModelConfig", pb.ModelConfigRequest(name="m")),
    "stats": ("ModelStatistics", pb.ModelStatisticsRequest(name="m")), "index": ("RepositoryIndex", pb.RepositoryIndexRequest()),
    "load": ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="m")),
    "unload": ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="none")),
    "logging": ("LogSettings", pb.LogSettingsRequest()), "shm": ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
    "shm_all": ("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest()),
    "cuda_shm": ("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest()), "infer": ("ModelInfer", pb.ModelInferRequest(model_name="m")),
}


def make(root):
    add_model(root, "m", identity_config("m"))
    add_model(root, "told", identity_config(
        "told", extra='parameters { key: "response_parameters" value { string_value: "true" } }\n'))


@pytest.fixture
def twins(tmp_path, table, request):
    if not all(program.exists() for program in PROGRAMS.values()):
        pytest.skip("needs both servers")
    name = "access_" + re.sub(r"\W+", "_", request.node.name.removeprefix("test_").rstrip("]"))

    def start(*arguments, **more):
        return Twins(tmp_path / "twins", make, *arguments, table=table, name=name, **more)
    return start


@pytest.mark.parametrize("groups", [[("all", APIS)], [("some", ("health", "inference", "model-repository")), ("rest", ("metadata", "logging"))],
                                    [("more", ("statistics", "shared-memory", "model-config", "trace"))]], ids=lambda g: g[0][0])
def test_restricted(twins, groups):
    arguments = [f"--{option}={','.join(apis)}:key-{name}=value {name}" for name, apis in groups
                 for option in ("http-restricted-api", "grpc-restricted-protocol")]
    with twins("--model-control-mode=explicit", "--load-model=*", *arguments) as t:
        tries = {"none": {}, "wrong": {f"key-{n}": "x" for n, _ in groups}, "right": {f"key-{n}": f"value {n}" for n, _ in groups},
                 "upper": {f"KEY-{n}": f"value {n}" for n, _ in groups}, "first": {f"key-{groups[0][0]}": f"value {groups[0][0]}"}}
        for kind, headers in tries.items():
            for label, (method, path, body) in PATHS.items():
                t.http(f"{label}_{kind}", method, path, body, headers)
            for label, (rpc, request) in RPCS.items():
                t.grpc(f"{label}_grpc_{kind}", rpc, request,
                       [(f"triton-grpc-protocol-{k.lower()}", v) for k, v in headers.items()])


@pytest.mark.parametrize("pattern", ["x-.*", "^X-Go$", "(Team|my_.*)", "", "c", "[0-9]$"])
def test_forwarded_headers(twins, pattern):
    sent = {"X-Go": "1", "x-other": "two words", "Team": "a,b", "my_key": "\u00e9".encode().decode("latin-1"), "Empty": "", "header9": "9"}
    with twins(f"--http-header-forward-pattern={pattern}", f"--grpc-header-forward-pattern={pattern}") as t:
        body = {"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "FP32", "data": [1]}]}
        for label, headers in {"sent": sent, "none": {}, "reserved": {"triton_x": "1"}, "known": {"priority": "2", "sequence_id": "5"}}.items():
            replies = {}
            for which, server in t.servers.items():
                status, _, _, text = server.request("POST", "/v2/models/told/infer", json.dumps(body), headers)
                replies[which] = {"status": status, "body": json.loads(text).get("parameters", text.decode())}
            t.note(f"{label}", replies)
            request = pb.ModelInferRequest(model_name="told")
            request.inputs.add(name="INPUT0", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
            t.grpc(f"{label}_grpc", "ModelInfer", request, [(k.lower(), v) for k, v in headers.items() if v.isascii()])


def refusal(call, *arguments, **named):
    try:
        return repr(call(*arguments, **named))
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"


@pytest.mark.parametrize("protocol", sorted(CLIENTS))
def test_shared_memory(twins, protocol):
    """One client, one region, the same calls on both; what differs between 2.51 and 2.73 is in test_shared_memory.py."""
    module = CLIENTS[protocol]
    key = f"/nereid_access_{os.getpid()}_{protocol}"
    region = shm.create_shared_memory_region("mine", key, 4096)
    second = shm.create_shared_memory_region("other", key + "_2", 2048)
    values = np.arange(16, dtype=np.float32)
    try:
        with twins() as t:
            clients = {which: module.InferenceServerClient(s.http_url if protocol == "http" else s.grpc_url) for which, s in t.servers.items()}

            def each(label, call):
                shm.set_shared_memory_region(region, [np.zeros(1024, dtype=np.float32)])
                for one in (region, second):
                    shm.set_shared_memory_region(one, [values])
                replies = {}
                for which, client in clients.items():
                    shm.set_shared_memory_region(region, [np.zeros(256, dtype=np.float32)], offset=1024)
                    reply = refusal(call, client)
                    after = shm.get_contents_as_numpy(region, np.float32, [16], 1024).tolist()
                    replies[which] = {"message": reply, "body": after}
                t.note(label, replies)

            def infer(given=None, wanted=None, model="m", shape=(16,), datatype="FP32"):
                def call(client):
                    tensor = module.InferInput("INPUT0", list(shape), datatype)
                    if given:
                        tensor.set_shared_memory(*given)
                    else:
                        tensor.set_data_from_numpy(values)
                    outputs = None
                    if wanted:
                        outputs = [module.InferRequestedOutput("OUTPUT0")]
                        outputs[0].set_shared_memory(*wanted)
                    reply = client.infer(model, [tensor], outputs=outputs)
                    return None if wanted else reply.as_numpy("OUTPUT0")
                return call

            each("before", infer(("r", 64)))
            each("register", lambda c: c.register_system_shared_memory("r", key, 4096))
            each("twice", lambda c: c.register_system_shared_memory("r", key, 4096))
            each("second_name", lambda c: c.register_system_shared_memory("s", key + "_2", 2048))
            each("no_key", lambda c: c.register_system_shared_memory("x", "/nereid_none", 64))
            each("in", infer(("r", 64)))
            each("out", infer(None, ("r", 64, 1024)))
            each("in_out", infer(("r", 64), ("r", 64, 1024)))
            each("in_out_two_names", infer(("s", 64), ("r", 64, 1024)))
            each("out_larger", infer(("r", 64), ("r", 3000, 1024)))
            each("out_too_small", infer(("r", 64), ("r", 60, 1024)))
            each("out_past_the_end", infer(("r", 64), ("r", 64, 4090)))
            each("out_offset_past_the_end", infer(("r", 64), ("r", 64, 5000)))
            each("out_unknown", infer(("r", 64), ("nope", 64)))
            each("in_past_the_end", infer(("r", 64, 4090)))
            each("in_offset_past_the_end", infer(("r", 64, 4096)))
            each("in_small_region", infer(("s", 64, 2032)))
            each("in_too_few_bytes", infer(("r", 60)))
            each("in_too_many_bytes", infer(("r", 128)))
            each("in_zero_bytes", infer(("r", 0)))
            each("in_unknown", infer(("nope", 64)))
            each("status", lambda c: str(c.get_system_shared_memory_status("nope")))
            t.http("status_all", "GET", "/v2/systemsharedmemory/status")
            t.http("status_one", "GET", "/v2/systemsharedmemory/region/r/status")
            t.grpc("status_grpc", "SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name="s"))
            each("unregister", lambda c: c.unregister_system_shared_memory("s"))
            each("unregister_twice", lambda c: c.unregister_system_shared_memory("s"))
            each("gone", infer(("s", 64)))
            each("unregister_all", lambda c: c.unregister_system_shared_memory())
            each("all_gone", infer(("r", 64)))
            for i, body in enumerate(("", "{", "{}", '{"key":5}', f'{{"key":"{key}"}}', f'{{"key":"{key}","byte_size":-1}}',
                                      f'{{"key":"{key}","byte_size":"4"}}', f'{{"key":"{key}","offset":-1,"byte_size":4}}',
                                      f'{{"key":"{key}","byte_size":64}}')):
                t.http(f"register{i}", "POST", f"/v2/systemsharedmemory/region/b{i}/register", body)
            t.http("status_end", "GET", "/v2/systemsharedmemory/status")
            for client in clients.values():
                client.close()
    finally:
        shm.destroy_shared_memory_region(second)
        shm.destroy_shared_memory_region(region)
