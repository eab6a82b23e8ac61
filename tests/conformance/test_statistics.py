# SPDX-License-Identifier: Apache-2.0
"""Counters: the same good, bad and batched requests to both servers, then statistics and metrics side by side."""

import concurrent.futures
import json
import re

import pytest
from tritonclient.grpc import service_pb2 as pb

from servers import PROGRAMS, add_model, identity_config
from twins import Twins

# What measures time or the machine, not behaviour.
MEASURED = re.compile(r"_duration_us\b|_summary_us|_histogram|_load_duration_secs|^nv_cpu|^nv_gpu|^nv_energy|^nv_pinned")
DELAYED = "dynamic_batching { max_queue_delay_microseconds: 100000 }\n"


def repository(root):
    add_model(root, "plain", identity_config("plain"))
    add_model(root, "batched", identity_config("batched", dims="[2]", batch=4))
    add_model(root, "pair", identity_config("pair", pairs=2))
    add_model(root, "tagged", identity_config(
        "tagged", extra='metric_tags { key: "team" value: "imaging" }\nmetric_tags { key: "a" value: "x\\"y\\\\z" }\n'))
    add_model(root, "versions", identity_config("versions", extra="version_policy { all {} }\n"), versions=("1", "2"))
    add_model(root, "untouched", identity_config("untouched"))


@pytest.fixture
def start(tmp_path, table, request):
    if not all(program.exists() for program in PROGRAMS.values()):
        pytest.skip("needs both servers")
    name = "count_" + re.sub(r"\W+", "_", request.node.name.removeprefix("test_").rstrip("]"))

    def make(fill, *arguments, **more):
        return Twins(tmp_path / "twins", fill, *arguments, table=table, name=name, **more)
    return make


def statistics(t, label, *models):
    t.http(f"{label}_all", "GET", "/v2/models/stats")
    t.grpc(f"{label}_grpc_all", "ModelStatistics", pb.ModelStatisticsRequest())
    for model in models:
        t.http(f"{label}_{model}", "GET", f"/v2/models/{model}/stats")


def parse(text):
    """[(name, help, type, [(labels, value)])] in the order of the text."""
    families, current = [], None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            current = {"name": name, "help": words, "type": None, "samples": []}
            families.append(current)
        elif line.startswith("# TYPE "):
            current["type"] = line.split()[-1]
        elif line:
            sample = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            current["samples"].append((sample.group(1), sample.group(2), sample.group(3)))
    return families


def metrics(t, label):
    """Each family's head and samples; values of counters of requests, not of times. The peer's samples are in no order."""
    families = {which: {f["name"]: f for f in parse(server.metrics())} for which, server in t.servers.items()}
    t.note(f"{label}_names", {which: {"body": list(found)} for which, found in families.items()})
    for name in families["nereid"].keys() & families["peer"].keys():
        t.note(f"{label}_{name}", {which: {
            "body": (found[name]["help"], found[name]["type"],
                     sorted((s, labels, None if MEASURED.search(name) else value) for s, labels, value in found[name]["samples"])),
        } for which, found in families.items()})


def traffic(t):
    for i in range(3):
        t.infer(f"good{i}", "plain", [1, 2, i])
        t.infer(f"good_grpc{i}", "plain", [1, 2, i], way="grpc")
    for rows in (1, 2, 4, 2):
        t.infer("rows", "batched", [0] * 2 * rows, shape=[rows, 2])
    t.infer("too_many_rows", "batched", [0] * 10, shape=[5, 2])
    t.infer("wrong_shape", "batched", [0] * 3, shape=[1, 3])
    t.infer("wrong_rank", "batched", [0] * 2, shape=[2])
    t.infer("unknown_input", "plain", name="NOPE")
    t.infer("missing_input", "pair")
    t.infer("unknown_model", "nope")
    t.infer("unknown_version", "versions", version=9)
    t.infer("version", "versions", version=1)
    t.infer("newest", "versions")
    t.infer("tagged", "tagged")
    t.http("not_json", "POST", "/v2/models/plain/infer", "{")
    t.infer("reserved", "plain", triton_x=1)


def test_good_and_bad_requests(start):
    with start(repository) as t:
        statistics(t, "before", "plain", "batched")
        metrics(t, "before_metrics")
        traffic(t)
        t.counted()
        statistics(t, "after", "plain", "batched", "pair", "tagged", "versions")
        t.http("version", "GET", "/v2/models/versions/versions/2/stats")
        metrics(t, "after_metrics")


@pytest.mark.parametrize("setting", ["counter_latencies=false", "histogram_latencies=true", "summary_latencies=false"])
def test_families_of_the_metrics(start, setting):
    with start(repository, f"--metrics-config={setting}") as t:
        traffic(t)
        t.counted()
        metrics(t, "metrics")


@pytest.mark.parametrize("argument", ["--allow-cpu-metrics=false", "--allow-gpu-metrics=false", "--metrics-interval-ms=100"])
def test_switches_of_the_metrics(start, argument):
    with start(repository, argument) as t:
        metrics(t, "metrics")


def test_paths_of_the_metrics_port(start):
    with start(repository) as t:
        for i, (method, path) in enumerate((("GET", "/"), ("GET", "/metrics/"), ("POST", "/metrics"), ("GET", "/v2"), ("HEAD", "/metrics"),
                                            ("GET", "/metrics?x=1"))):
            t.note(f"path{i}", {which: {"status": reply[0], "body": len(reply[3]) > 0, "headers": [h for h in reply[2] if h[0] != "Content-Length"]}
                                for which, server in t.servers.items()
                                for reply in [server.request(method, path, port=server.metrics_port)]})


def at_once(server, model, count, shape=(1, 2)):
    """That many single requests, all in flight together; the statuses and texts, sorted."""
    size = 1
    for dim in shape:
        size *= dim
    body = json.dumps({"inputs": [{"name": "INPUT0", "shape": list(shape), "datatype": "FP32", "data": [0] * size}]})

    def one(_):
        status, _, _, text = server.request("POST", f"/v2/models/{model}/infer", body=body)
        return status, text.decode() if status != 200 else ""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(one, range(count)))


@pytest.mark.parametrize("count", [1, 3, 6, 8])
def test_the_batch_that_a_held_scheduler_makes(start, count):
    """TRITONSERVER_DELAY_SCHEDULER holds a scheduler until so many requests wait, so that its batch is certain."""
    def make(root):
        add_model(root, "m", identity_config("m", dims="[2]", batch=8, extra=DELAYED))

    with start(make, env={"TRITONSERVER_DELAY_SCHEDULER": str(count)}) as t:
        t.note("replies", {which: {"body": at_once(server, "m", count)} for which, server in t.servers.items()})
        t.counted()
        statistics(t, "batches", "m")
        metrics(t, "metrics")
