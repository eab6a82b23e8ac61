#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A GPU lost in the middle of load: GPU 0's context is poisoned by a kernel that writes where nothing is. Needs two GPUs.

Models on both GPUs: `lossy` (the test backend that breaks the GPU when a request asks for it) and, where PyTorch and its backend are,
`torch`, whose instance on GPU 0 dies with it, since frameworks of a process share a GPU's context. Drivers differ in whether GPU 1 dies, too
(580 poisons the whole process): then service goes on on the processor with --fallback cpu, and is refused by name with
--fallback none. Clients in processes of their own check every answer. Prints for each model how many requests were sent and answered, errors, wrong answers, the rate before and
after, and how long no answer came; then what readiness, index and metrics say, whether a model can be unloaded, and how the
server ends. Exit status 1 when anything was not as it should be, 77 without two GPUs.
    python3 bench/gpu/lost.py [--fallback cpu|none] [--seconds 6] [--lossy build/tests/backends/lossy/libtriton_lossy.so] [--no-torch]
"""

import argparse
import collections
import http.client
import json
import multiprocessing
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np

from common import PREFIX, Report, Server, http_body, need_gpus, read_outputs

LOSSY = """backend: "lossy"
max_batch_size: 8
input { name: "INPUT" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "GPU" data_type: TYPE_INT32 dims: [ 1 ] }
instance_group { kind: KIND_GPU count: 2 }
dynamic_batching { }
parameters { key: "busy_us" value { string_value: "300" } }
"""
TORCH = """backend: "pytorch"
max_batch_size: 8
input { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 64 ] }
output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 64 ] }
instance_group { kind: KIND_GPU count: 1 }
dynamic_batching { }
"""


def make_torch(path):
    """A linear layer of small whole numbers: its answers are exact, and so can be checked without PyTorch."""
    import torch
    weights = (np.arange(64 * 64).reshape(64, 64) % 5 - 2).astype(np.float32)
    layer = torch.nn.Linear(64, 64, bias=False)
    layer.weight.data = torch.from_numpy(weights)
    torch.jit.script(torch.nn.Sequential(layer).eval()).save(str(path))
    return weights


class Client(threading.Thread):
    """Requests one after another until `stop`; [(time, "0" or "1" or "error ..." or "wrong ...")]."""

    def __init__(self, port, model, number, weights, stop):
        super().__init__(daemon=True)
        self.port, self.model, self.number, self.weights, self.stop = port, model, number, weights, stop
        self.said, self.sent = [], 0

    def question(self):
        value = self.number * 4096 + self.sent % 4096  # exact in 24 bits
        if self.model == "lossy":
            return np.array([[value, 0, self.sent % 7, 1]], np.float32)
        return (np.arange(64, dtype=np.float32).reshape(1, 64) + value) % 8

    def check(self, x, answer):
        if self.model == "lossy":
            return str(int(answer["GPU"][0, 0])) if np.array_equal(answer["OUTPUT"], x) else f"wrong {answer['OUTPUT']}"
        return "right" if np.array_equal(answer["OUTPUT__0"], x @ self.weights.T) else "wrong"

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        lossy = self.model == "lossy"
        while not self.stop.is_set():
            x = self.question()
            head, body = http_body(self.model, {"INPUT" if lossy else "INPUT__0": x}, ["OUTPUT", "GPU"] if lossy else ["OUTPUT__0"])
            self.sent += 1
            try:
                connection.request("POST", f"/v2/models/{self.model}/infer", body, {"Inference-Header-Content-Length": str(head)})
                reply = connection.getresponse()
                data = reply.read()
                if reply.status == 200:
                    length = int(reply.getheader("Inference-Header-Content-Length"))
                    said = self.check(x, read_outputs(json.loads(data[:length]), data[length:]))
                else:
                    said = f"error {reply.status} {data.decode(errors='replace')}"
            except OSError as error:
                said = f"no answer: {error!r}"
                connection.close()
            self.said.append((time.monotonic(), said))


def clients(port, model, first, count, weights, stop, results):
    group = [Client(port, model, first + i, weights, stop) for i in range(count)]
    for client in group:
        client.start()
    for client in group:
        client.join(90)
    results.put((model, sum(client.sent for client in group), [item for client in group for item in client.said]))


def break_gpu(server, report):
    """Asks until the GPU is lost; by the server's own word."""
    begin = time.monotonic()
    asked = 0
    while server.metric("nereid_gpu_lost") == 0 and time.monotonic() < begin + 20:
        for _ in range(4):
            head, body = http_body("lossy", {"INPUT": np.array([[0, 1, 0, 0]], np.float32)}, ["OUTPUT", "GPU"])
            server.request("POST", "/v2/models/lossy/infer", body, {"Inference-Header-Content-Length": str(head)})
            asked += 1
    time.sleep(0.2)
    lost = [line[-1] == "1" for line in server.metrics().splitlines() if line.startswith("nereid_gpu_lost{")]
    report.row(f"lost after {asked} requests that break GPU 0 where they meet it: GPUs {[i for i, gone in enumerate(lost) if gone]} of {len(lost)}")
    return begin, lost


def describe(report, model, sent, said, lost_at, end, goes_on, lost):
    words = collections.Counter(word.split()[0] for _, word in said)
    times = sorted(at for at, word in said if word in ("0", "1", "-1", "right"))
    gaps = [b - a for a, b in zip(times, times[1:]) if b > lost_at - 0.5]
    window = max(1.0, end - lost_at - 1)
    before = sum(lost_at - window <= at < lost_at for at in times) / window
    after = sum(end - window <= at < end for at in times) / window
    report.row(f"{model}: sent {sent}, answered {len(said)}, errors {words['error']}, wrong {words['wrong']}, without an answer {words['no']}; "
               f"{before:.0f}/s before, {after:.0f}/s after; longest pause {1000 * max(gaps, default=0):.0f} ms; by {dict(words)}",
               model=model, sent=sent, answered=len(said), errors=words["error"], wrong=words["wrong"], before=before, after=after,
               pause_ms=1000 * max(gaps, default=0))
    for text in sorted({word for _, word in said if word[0] in "ewn"})[:5]:
        report.row("  " + text[:300])
    report.check(len(said) == sent and words["no"] == 0, f"{model}: each request has an answer")
    report.check(words["wrong"] == 0, f"{model}: no answer is wrong")
    late = {word for at, word in said if at > end - 1}
    if goes_on:
        report.check(words["error"] == 0, f"{model}: no request failed")
        dead = {str(gpu) for gpu, gone in enumerate(lost) if gone}
        report.check(bool(late) and not late & dead, f"{model}: service goes on elsewhere ({sorted(late)})")
    else:
        report.check(all(word.startswith("error 503") or word.startswith("error 400") for word in late), f"{model}: refused by name: {sorted(late)[:1]}")


def add_lossy(repository, library):
    """The model "lossy" of the test backend at `library`."""
    (repository / "lossy/1").mkdir(parents=True)
    (repository / "lossy/config.pbtxt").write_text(LOSSY)
    (repository / "lossy/libtriton_lossy.so").symlink_to(pathlib.Path(library).resolve(strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--lossy", default=str(PREFIX / "tests/backends/lossy/libtriton_lossy.so"))
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--fallback", choices=["cpu", "none"], default="cpu")
    options = parser.parse_args()
    need_gpus(2)
    report = Report("lost")
    with tempfile.TemporaryDirectory(prefix="nereid-lost-") as folder:
        repository = pathlib.Path(folder)
        add_lossy(repository, options.lossy)
        models, weights = ["lossy"], None
        if not options.no_torch and (PREFIX / "lib/nereid/backends/pytorch/libtriton_pytorch.so").exists():
            try:
                (repository / "torch/1").mkdir(parents=True)
                (repository / "torch/config.pbtxt").write_text(TORCH)
                weights = make_torch(repository / "torch/1/model.pt")
                models.append("torch")
            except ImportError as error:
                report.skip(f"PyTorch: {error}")
        run(report, repository, models, weights, options)
    return report.end()


def run(report, repository, models, weights, options):
    seconds = options.seconds
    spawn = multiprocessing.get_context("fork")  # the children make no CUDA call
    arguments = ["--model-control-mode=explicit", f"--gpu-fallback={options.fallback}", "--gpu-fault=stay", *(f"--load-model={model}" for model in models)]
    with Server(repository, *arguments) as server:
        stop, results, processes = spawn.Event(), spawn.Queue(), []
        for number in range(4):
            model = models[number % len(models)]
            processes.append(spawn.Process(target=clients, args=(server.http_port, model, 16 * number, 16, weights, stop, results)))
            processes[-1].start()
        time.sleep(seconds / 2)
        lost_at, lost = break_gpu(server, report)
        goes_on = options.fallback == "cpu" or not all(lost)
        time.sleep(seconds / 2)
        end = time.monotonic()
        stop.set()
        found = collections.defaultdict(lambda: [0, []])
        for _ in processes:
            model, sent, said = results.get(timeout=120)
            found[model][0] += sent
            found[model][1] += said
        for model in models:
            describe(report, model, *found[model], lost_at, end, goes_on, lost)
        rows = {row["name"]: row for row in json.loads(server.must("/v2/repository/index"))}
        for model in models:
            report.row(f"{model} in the index: {rows[model]}; ready: {server.ready(model)}; retried: "
                       f"{server.metric('nereid_inference_retry_count', model=model):.0f}")
            report.check(server.ready(model) == goes_on and "GPU 0" in rows[model].get("reason", ""), f"{model}: readiness and reason are true")
        report.check((server.request("GET", "/v2/health/ready")[0] == 200) == goes_on, "the server's readiness is true")
        report.check(server.request("GET", "/v2/health/live")[0] == 200, "the server lives")
        for model in models:
            server.unload(model)
            report.row(f"{model} is unloaded with a dead GPU")
        log = server.log
    report.check(server.status == 0, f"the server ends by itself: {server.status}")
    for line in log.splitlines():
        if "lost" in line or "ERR" in line[:3]:
            print("  log: " + line[:240])


if __name__ == "__main__":
    sys.exit(main())
