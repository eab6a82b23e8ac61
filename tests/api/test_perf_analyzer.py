# SPDX-License-Identifier: Apache-2.0
"""perf_analyzer, the load tool that Triton's users have, runs against the server as it is.

With HTTP and --async it stands still itself in about one run of two hundred, against Triton as against Nereid: each of its
threads waits for another to wake it, and nothing is under way on its connections. Such a run is ended, said, and made anew.
"""

import os
import re
import subprocess

import pytest

from servers import PEER, SLOWDOWN, Server, add_model, identity_config, peer_crashes

PERF = PEER / "bin/perf_analyzer"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not PERF.exists():
        pytest.skip("perf_analyzer is not unpacked")
    models = tmp_path_factory.mktemp("models")
    add_model(models, "batched", identity_config("batched", dims="[16]", batch=8, extra="dynamic_batching {}\n"))
    with Server("nereid", models) as running:
        yield running


def perf_analyzer(*arguments):
    for _ in range(3):
        try:
            return subprocess.run([PERF, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOWDOWN, check=False,
                                  env={**os.environ, "LD_LIBRARY_PATH": str(PEER / "perf_lib")})
        except subprocess.TimeoutExpired:
            if "--async" not in arguments or "http" not in arguments:
                break
            peer_crashes.append(f"perf_analyzer {' '.join(arguments)}: stood still")
    raise AssertionError(f"perf_analyzer {' '.join(arguments)} does not end")


@pytest.mark.parametrize("arguments", [
    ["-i", "http"], ["-i", "http", "--async"], ["-i", "grpc"], ["-i", "grpc", "--async"], ["-i", "grpc", "--streaming"],
    ["-i", "grpc", "-b", "8"], ["-i", "http", "-b", "4"],
], ids=" ".join)
def test_runs_without_errors(server, arguments):
    url = server.http_url if "http" in arguments else server.grpc_url
    done = perf_analyzer("-m", "batched", "-u", url, "--concurrency-range", "4", "--request-count", "400", *arguments)
    text = done.stdout.decode()
    assert done.returncode == 0, text
    rate = re.search(r"Throughput: ([\d.]+) infer/sec", text)
    assert rate and float(rate.group(1)) > 0, text
