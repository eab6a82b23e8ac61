# SPDX-License-Identifier: Apache-2.0
"""Each HTTP case goes to both servers; status, reason, headers and body have to be equal, but for docs/compatibility.md."""

import gzip
import json
import re
import zlib

import pytest

import http_cases

# What names a moment or a duration, not a behaviour.
VOLATILE = re.compile(rb'"(ns|last_inference|count|inference_count|execution_count)":\d+')


def canonical(reply):
    """(status, reason, headers, body) in a form that can be compared; compressed bodies are unpacked first."""
    status, reason, headers, body = reply
    kept = [(name, value) for name, value in headers]
    names = {name.lower(): value for name, value in headers}
    encoding = names.get("content-encoding")
    if encoding == "gzip":
        body = gzip.decompress(body)
    elif encoding == "deflate":
        body = zlib.decompress(body)
    if encoding is not None:  # the length of compressed bytes is the compressor's affair
        kept = [(n, v) for n, v in kept if n.lower() != "content-length"]
    if b'"model_stats"' in body:
        kept = [(n, v) for n, v in kept if n.lower() != "content-length"]
        body = VOLATILE.sub(rb'"\1":0', body)
    return {"status": status, "reason": reason, "headers": kept, "body": body}


def compare(name, both, table):
    method, path, headers, body = http_cases.CASES[name]
    nereid, peer = (canonical(server.request(method, path, body, headers)) for server in both)
    assert both[0].alive() and both[1].alive()
    differs = {aspect for aspect in nereid if nereid[aspect] != peer[aspect]}
    if "body" in differs and "headers" in differs:  # a text of another length is one difference, not two
        strip = lambda hs: [(n, v) for n, v in hs if n.lower() not in ("content-length", "inference-header-content-length")]  # noqa: E731
        if strip(nereid["headers"]) == strip(peer["headers"]):
            differs.discard("headers")
    table.mark(name, differs)
    return differs - table.allowed(name), nereid, peer


COMPARED = sorted(set(http_cases.CASES) - set(http_cases.DEADLY))


@pytest.mark.parametrize("name", COMPARED)
def test_same_reply(name, both, table):
    unexplained, nereid, peer = compare(name, both, table)
    text = "\n".join(f"{a}:\n  nereid {nereid[a]!r}\n  peer   {peer[a]!r}" for a in sorted(unexplained))
    assert not unexplained, f"{http_cases.CASES[name][:2]}\n{text}"


def test_table_of_differences_has_no_stale_row(both, table):
    for name in COMPARED:
        compare(name, both, table)
    assert table.stale(COMPARED) == []


@pytest.mark.parametrize("name", sorted(http_cases.DEADLY))
def test_what_ends_the_peer_is_answered(name, both):
    method, path, headers, body = http_cases.CASES[name]
    status, _, _, reply = both[0].request(method, path, body, headers)
    assert (status, http_cases.DEADLY[name][1] in reply) == (http_cases.DEADLY[name][0], True), reply
    assert both[0].alive()


def test_stats_json_is_well_formed(both):
    for server in both:
        stats = json.loads(server.request("GET", "/v2/models/stats")[3])
        assert {m["name"] for m in stats["model_stats"]} >= {"id_f32", "batched"}
