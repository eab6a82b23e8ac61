#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kernel's fault on a real GPU, and a server that begins anew in its place (--gpu-fault=restart, docs/lost-gpus.md).

    python3 bench/gpu/restart.py [--seconds 4] [--lossy LIBRARY]

Sixteen callers, each request on a connection of its own, while one request makes a kernel write to an illegal address. Each must be
answered: by the model, or for those under way at that moment by an error. Prints how long nobody was served.
"""

import argparse
import collections
import json
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np

from common import PREFIX, Report, Server, http_body, need_gpus, read_outputs
from lost import add_lossy


def ask(server, number, order=0):
    """What the answer is: the GPU, "error STATUS ...", "wrong" or "no answer ..."."""
    x = np.array([[number, order, number % 7, 1]], np.float32)
    head, body = http_body("lossy", {"INPUT": x}, ["OUTPUT", "GPU"])
    try:
        status, _, headers, reply = server.request("POST", "/v2/models/lossy/infer", body, {"Inference-Header-Content-Length": str(head)})
    except OSError as error:
        return f"no answer: {error!r}"
    if status != 200:
        return f"error {status} {reply[:80].decode(errors='replace')}"
    length = int(dict(headers)["Inference-Header-Content-Length"])
    answer = read_outputs(json.loads(reply[:length]), reply[length:])
    return int(answer["GPU"][0, 0]) if np.array_equal(answer["OUTPUT"], x) else "wrong"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--lossy", default=str(PREFIX / "tests/backends/lossy/libtriton_lossy.so"))
    options = parser.parse_args()
    need_gpus(1)
    report = Report("restart")
    with tempfile.TemporaryDirectory(prefix="nereid-restart-") as folder:
        repository = pathlib.Path(folder)
        add_lossy(repository, options.lossy)
        with Server(repository, "--gpu-fault=restart") as server:
            run(report, server, options.seconds)
            report.row(f"process {server.process.pid} begins anew: {server.log.count('begins anew in its place')} time")
            report.check(server.log.count("begins anew in its place") == 1, "the server began anew, once")
        report.check(server.status == 0, f"the server ends by itself: {server.status}")
    return report.end()


def run(report, server, seconds):
    said, stop = [], threading.Event()

    def caller(first):
        number = first
        while not stop.is_set():
            answer = ask(server, number)
            said.append((time.monotonic(), answer))
            number += 16

    callers = [threading.Thread(target=caller, args=(first,)) for first in range(16)]
    for thread in callers:
        thread.start()
    time.sleep(seconds / 2)
    broken_at = time.monotonic()
    ask(server, 0, order=100)
    time.sleep(seconds)
    stop.set()
    for thread in callers:
        thread.join()
    right = sorted(at for at, answer in said if isinstance(answer, int))
    gap = max((b - a for a, b in zip(right, right[1:])), default=seconds)
    words = collections.Counter(f"GPU {answer}" if isinstance(answer, int) else answer for _, answer in said)
    late = {answer for at, answer in said if at > broken_at + seconds - 1}
    report.row(f"{len(said)} requests: {dict(words)}; longest time without service {1000 * gap:.0f} ms", requests=len(said),
               pause_ms=1000 * gap)
    report.check(not any(str(answer).startswith(("no answer", "wrong")) for _, answer in said), "each request has an answer, and none is wrong")
    report.check(bool(late) and all(isinstance(answer, int) for answer in late), f"service goes on on GPUs {sorted(map(str, late))}")


if __name__ == "__main__":
    sys.exit(main())
