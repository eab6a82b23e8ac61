# SPDX-License-Identifier: Apache-2.0
"""Each gRPC case goes to both servers; status code, details and message have to be equal, but for docs/compatibility.md."""

import re

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import service_pb2 as pb

import grpc_cases

SERVICE = "/inference.GRPCInferenceService/"


def reply_class(rpc):
    return getattr(pb, {"ModelStreamInfer": "ModelStreamInferResponse"}.get(rpc, f"{rpc}Response"))


def call(server, rpc, request):
    with grpc.insecure_channel(server.grpc_url) as channel:
        method = channel.unary_unary(SERVICE + rpc, request_serializer=type(request).SerializeToString,
                                     response_deserializer=reply_class(rpc).FromString)
        try:
            reply = method(request, timeout=20)
        except grpc.RpcError as error:
            return {"code": error.code().name, "details": error.details(), "message": None}
    return {"code": "OK", "details": "", "message": text_format.MessageToString(reply)}


def stream(server, requests):
    with grpc.insecure_channel(server.grpc_url) as channel:
        method = channel.stream_stream(SERVICE + "ModelStreamInfer",
                                       request_serializer=pb.ModelInferRequest.SerializeToString,
                                       response_deserializer=pb.ModelStreamInferResponse.FromString)
        replies, code, details = [], "OK", ""
        try:
            for reply in method(iter(requests), timeout=20):
                replies.append(text_format.MessageToString(reply))
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
    return {"code": code, "details": details, "message": "\n---\n".join(replies)}


def compare(name, both, table):
    if name in grpc_cases.STREAMS:
        nereid, peer = (stream(server, grpc_cases.STREAMS[name]) for server in both)
    else:
        nereid, peer = (call(server, *grpc_cases.CASES[name]) for server in both)
    differs = {aspect for aspect in nereid if nereid[aspect] != peer[aspect]}
    table.mark(name, differs)
    return differs - table.allowed(name), nereid, peer


ALL = sorted({**grpc_cases.CASES, **grpc_cases.STREAMS})


@pytest.mark.parametrize("name", ALL)
def test_same_reply(name, both, table):
    unexplained, nereid, peer = compare(name, both, table)
    text = "\n".join(f"{a}:\n  nereid {nereid[a]!r}\n  peer   {peer[a]!r}" for a in sorted(unexplained))
    assert not unexplained, f"{name}\n{text}"


def test_table_of_differences_has_no_stale_row(both, table):
    for name in ALL:
        compare(name, both, table)
    assert table.stale(ALL) == []


def test_unknown_method_and_service_are_unimplemented(both):
    for path in (SERVICE + "Nope", "/no.Service/Nope", "/grpc.health.v1.Health/Watch"):
        answers = []
        for server in both:
            with grpc.insecure_channel(server.grpc_url) as channel:
                with pytest.raises(grpc.RpcError) as caught:
                    list(channel.unary_stream(path)(b"", timeout=20))
                answers.append(caught.value.code())
        assert answers[0] == answers[1] == grpc.StatusCode.UNIMPLEMENTED, (path, answers)


def test_health_check(both):
    """grpc.health.v1: field 1 of the reply is the status, 1 is SERVING."""
    for server in both:
        with grpc.insecure_channel(server.grpc_url) as channel:
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20) == b"\x08\x01"


def test_statistics_have_the_same_shape(both):
    def shape(server):
        reply = call(server, "ModelStatistics", pb.ModelStatisticsRequest(name="two"))["message"]
        return re.sub(r"\d+", "0", reply)
    assert re.findall(r"^\s*\w+", shape(both[0]), re.M)[:3] == re.findall(r"^\s*\w+", shape(both[1]), re.M)[:3]
