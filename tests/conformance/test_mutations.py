# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody thought of: good ones, changed at random places, to both servers; the replies have to be equal.

A change is to the document (a member dropped, doubled, renamed, of another type or size) or to its bytes. The seed is fixed;
NEREID_MUTATIONS sets how many. What is known to differ, by its reason, is in KNOWN.
"""

import copy
import http.client
import json
import os
import random
import re
import subprocess

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import service_pb2 as pb

import grpc_cases
import http_cases
import repository
from servers import PROGRAMS, Server

COUNT = int(os.environ.get("NEREID_MUTATIONS", "400"))
SEED = int(os.environ.get("NEREID_SEED", "1"))
SEEDS = [name for name, (method, path, headers, body) in http_cases.CASES.items()
         if method == "POST" and path.endswith("/infer") and body and body[:1] == b"{" and not headers
         and not name.startswith(("classify_bytes", "trace"))]
ATOMS = [None, True, False, 0, 1, -1, 2, 3, 5, 1.5, -0.0, 1e39, 2**31, 2**32, 2**63, 2**64, -2**63, "", "x", "INPUT0", "OUTPUT0", "FP32", "INT32",
         "BYTES", "FP16", "BOOL", [], {}, [1], [1, 2], [[1, 2]], [2, 2], ["a"], {"a": 1}, {"binary_data": True}, "\u00e9\"\\\n", "triton_x"]
KEYS = ["id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data", "binary_data_size", "binary_data_output",
        "classification", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "sequence_id", "sequence_start", "sequence_end",
        "priority", "timeout", "x", "triton_x", "headers"]


def places(value, found):
    """Each (container, key) below `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        found.append((value, key))
        places(below, found)
    return found


def mutate_document(rng, document):
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = places(document, [])
        if not found:
            break
        container, key = rng.choice(found)
        kind = rng.randrange(5)
        if kind == 0:
            del container[key]
        elif kind == 1:
            container[key] = copy.deepcopy(rng.choice(ATOMS))
        elif kind == 2 and isinstance(container, dict):
            container[rng.choice(KEYS)] = copy.deepcopy(rng.choice(ATOMS))
        elif kind == 3 and isinstance(container, dict):
            container[rng.choice(KEYS)] = container.pop(key)
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        else:
            container[key] = [container[key]]
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")


def mutate_bytes(rng, body):
    body = bytearray(body)
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(body))
        kind = rng.randrange(4)
        if kind == 0:
            body[at] = rng.choice(b'{}[],:"\\0123456789.eE+-truefalsn \t\n\x00\x1f\x7f')
        elif kind == 1:
            del body[at:at + rng.randrange(1, 6)]
        elif kind == 2:
            body[at:at] = rng.choice([b'"', b",", b"}", b"]", b"{", b"[", b"\\u0041", b"\\ud83d\\ude00", b"1e5", b"00", b" ", b"//", b"\xff", b"null"])
        else:
            del body[at:]
        if not body:
            break
    return bytes(body)


def http_requests():
    rng = random.Random(SEED)
    for i in range(COUNT):
        name = rng.choice(SEEDS)
        _, path, _, body = http_cases.CASES[name]
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        changed = mutate_document(rng, document) if isinstance(document, dict) and rng.random() < 0.6 else mutate_bytes(rng, body)
        yield i, path, changed


# Differences that are meant, as patterns over "theirs -> ours"; the reasons stand in docs/compatibility.md.
KNOWN = [
    r"Unable to parse 'data': Shape does not match .* -> .*Failed to parse 'data' field: shape does not match",
    r" -> .*causes total element count to exceed maximum size",
    r" -> .*contains one or more invalid dimensions",
    r" -> .*output '[^']*' already exists in request",
    r" -> .*exceeds the maximum allowed value of \d+ bytes. Use --http-max-input-size",
    r"raw_input.* -> .*input byte size mismatch for input 'INPUT0'",
    r"Invalid value. at .* -> .*The document is empty. at",
    r" -> .*The surrogate pair in string is invalid",
    r"Got input\(s\) .* -> .*Got input\(s\)",
    r" -> .*failed to parse the request JSON buffer: Invalid value. at",
    r" -> .*contains an invalid dimension", r" -> .*batch-size must be <=",
    # Of several mistakes in one request each names the first it meets, and the peer walks tensors and parameters in its hash tables' order.
    r"parameter.* -> .*(parameter|for '\w+', expected value)", r"for '\w+', expected value.* -> .*parameter", r"input byte size mismatch.* -> .*data-type is", r"data-type is.* -> .*input byte size mismatch",
    r"input 'INPUT1'.* -> .*input 'INPUT0'",
]


def reply_of(server, path, body):
    status, _, headers, reply = server.request("POST", path, body)
    text = reply.decode("utf-8", "replace")
    if status == 200:  # the peer's numbers are not always the shortest
        text = re.sub(r"(?<=[\[,])-?\d+\.\d+(?:e-?\d+)?(?=[\],])", lambda number: repr(float(number.group())), text)
    return status, text, dict(headers).get("Content-Type")


def change_call(rng, request):
    """One random change to a ModelInferRequest."""
    kind = rng.randrange(12)
    tensor = rng.choice(request.inputs) if request.inputs else request.inputs.add(name="INPUT0")
    if kind == 0:
        tensor.name = rng.choice(["", "INPUT0", "INPUT1", "x"])
    elif kind == 1:
        tensor.datatype = rng.choice(["", "FP32", "INT8", "BYTES", "FP16", "BOOL", "UINT64", "fp32"])
    elif kind == 2:
        tensor.shape[:] = [rng.choice([-1, 0, 1, 2, 3, 5]) for _ in range(rng.randrange(4))]
    elif kind == 3 and request.raw_input_contents:
        at = rng.randrange(len(request.raw_input_contents))
        request.raw_input_contents[at] = rng.choice([b"", b"x", request.raw_input_contents[at] * 2, request.raw_input_contents[at][:-1]])
    elif kind == 4:
        request.raw_input_contents.append(rng.choice([b"", b"abcd", b"\1\0\0\0a"]))
    elif kind == 5 and request.raw_input_contents:
        del request.raw_input_contents[rng.randrange(len(request.raw_input_contents))]
    elif kind == 6:
        request.inputs.add().CopyFrom(tensor)
    elif kind == 7:
        del request.inputs[rng.randrange(len(request.inputs))]
    elif kind == 8:
        field = rng.choice(["fp32", "int", "uint", "bool", "fp64", "int64"])
        getattr(tensor.contents, f"{field}_contents").append(1)
    elif kind == 9:
        request.outputs.add(name=rng.choice(["OUTPUT0", "OUTPUT1", "", "NOPE"]))
    elif kind == 10:
        owner = rng.choice([request, tensor, *request.outputs])
        value = owner.parameters[rng.choice([k for k in KEYS if k != "headers"])]
        field = rng.choice(["bool_param", "int64_param", "string_param", "double_param", "uint64_param"])
        setattr(value, field, {"bool_param": True, "string_param": "x", "double_param": 1.5}.get(field, rng.choice([0, 1, 2, 8])))
    else:
        request.model_version = rng.choice(["", "1", "3", "0", "-1", "x", "99999999999999999999"])
        request.model_name = rng.choice([request.model_name, "id_bytes", "batched", "two", "id_f32"])


def grpc_requests():
    rng = random.Random(SEED)
    seeds = sorted(name for name, (rpc, _) in grpc_cases.CASES.items() if rpc == "ModelInfer")
    for i in range(COUNT):
        request = pb.ModelInferRequest()
        request.CopyFrom(grpc_cases.CASES[rng.choice(seeds)][1])
        for _ in range(rng.choice([1, 1, 2, 3])):
            change_call(rng, request)
        if not any("classification" in output.parameters for output in request.outputs):  # of text, it ends the peer
            yield i, request


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    if not all(program.exists() for program in PROGRAMS.values()):
        pytest.skip("needs both servers")
    return repository.make(tmp_path_factory.mktemp("models"))


class Pair:
    """Both servers; the peer is started anew when a request has ended it (some do), which Nereid has to survive."""

    def __init__(self, models):
        self.models, self.deaths = models, 0
        self.nereid, self.peer = Server("nereid", models), Server("peer", models)

    def theirs(self, ask):
        try:
            return ask(self.peer)
        except (OSError, http.client.HTTPException):
            self.deaths += 1
            self.peer.stop()
            self.peer = Server("peer", self.models)
            return None

    def stop(self):
        self.nereid.stop()
        self.peer.stop()


@pytest.fixture(scope="module")
def pair(models):
    made = Pair(models)
    yield made
    made.stop()


def known(theirs, mine):
    text = f"{theirs[0]} {theirs[1]} -> {mine[0]} {mine[1]}"
    return any(re.search(pattern, text, re.S) for pattern in KNOWN)


def test_http(pair):
    wrong, statuses = [], {}
    for i, path, body in http_requests():
        mine = reply_of(pair.nereid, path, body)
        theirs = pair.theirs(lambda server: reply_of(server, path, body))
        statuses[mine[0]] = statuses.get(mine[0], 0) + 1
        if theirs is not None and mine != theirs and not known(theirs, mine):
            wrong.append(f"{i} {path}\n  sent   {body!r}\n  nereid {mine}\n  peer   {theirs}")
    assert not wrong, f"{len(wrong)} of {COUNT} ({statuses}, {pair.deaths} ended the peer)\n" + "\n".join(wrong)
    assert len(statuses) >= 3 and pair.nereid.alive()


def ended(server):
    """Whether it has; a process that crashes closes its sockets a moment before."""
    try:
        return server.process.wait(1) is not None
    except subprocess.TimeoutExpired:
        return False


def call(server, request):
    with grpc.insecure_channel(server.grpc_url, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=pb.ModelInferRequest.SerializeToString,
                                     response_deserializer=pb.ModelInferResponse.FromString)
        try:
            return "OK", text_format.MessageToString(method(request, timeout=20))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE and ended(server):
                raise OSError("the server has ended") from error
            return error.code().name, error.details()


def test_grpc(pair):
    wrong, codes = [], {}
    for i, request in grpc_requests():
        mine = call(pair.nereid, request)
        theirs = pair.theirs(lambda server: call(server, request))
        codes[mine[0]] = codes.get(mine[0], 0) + 1
        if theirs is not None and mine != theirs and not known(theirs, mine):
            sent = text_format.MessageToString(request, as_one_line=True)
            wrong.append(f"{i} grpc\n  sent   {sent!r}\n  nereid {mine}\n  peer   {theirs}")
    assert not wrong, f"{len(wrong)} of {COUNT} ({codes}, {pair.deaths} ended the peer)\n" + "\n".join(wrong)
    assert len(codes) >= 3 and pair.nereid.alive()
