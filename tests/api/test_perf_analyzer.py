# SPDX-License-Identifier: Apache-2.0
"""perf_analyzer, the load tool that Triton's users have, runs against the server as it is."""

import os
import re
import subprocess

import pytest

from servers import PEER, Server, add_model, identity_config

PERF = PEER / "bin/perf_analyzer"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not PERF.exists():
        pytest.skip("perf_analyzer is not unpacked")
    models = tmp_path_factory.mktemp("models")
    add_model(models, "batched", identity_config("batched", dims="[16]", batch=8, extra="dynamic_batching {}\n"))
    with Server("nereid", models) as running:
        yield running


@pytest.mark.parametrize("arguments", [
    ["-i", "http"], ["-i", "http", "--async"], ["-i", "grpc"], ["-i", "grpc", "--async"], ["-i", "grpc", "--streaming"],
    ["-i", "grpc", "-b", "8"], ["-i", "http", "-b", "4"],
], ids=" ".join)
def test_runs_without_errors(server, arguments):
    url = server.http_url if "http" in arguments else server.grpc_url
    done = subprocess.run(
        [PERF, "-m", "batched", "-u", url, "--concurrency-range", "4", "--request-count", "400", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(PEER / "perf_lib")})
    text = done.stdout.decode()
    assert done.returncode == 0, text
    rate = re.search(r"Throughput: ([\d.]+) infer/sec", text)
    assert rate and float(rate.group(1)) > 0, text
