# SPDX-License-Identifier: Apache-2.0
"""What the proofs on real GPUs share: a server and how it is asked, load from outside this process, memory, comparison, a record.

Python 3 with numpy; torch only where a caller needs it. The prefix under test is NEREID_PREFIX, else NEREID (as
tools/gpu_setup_there.sh sets it), else build/. Nothing here knows a framework: models.py makes networks, bare.py runs them alone.
Start at Server, Regions, load() and Report.
"""

import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ.setdefault("NEREID_PREFIX", os.environ.get("NEREID", str(ROOT / "build")))
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/gpu")]
import servers  # noqa: E402
from driver import DRIVER  # noqa: E402  (cuInit, names, contexts)
from machine import DeviceMemory  # noqa: E402  (cuMemAlloc with an IPC handle; write, read)
from servers import PREFIX  # noqa: E402

INFER_PATH = "/inference.GRPCInferenceService/ModelInfer"
DATATYPES = {"float32": "FP32", "float16": "FP16", "int64": "INT64", "int32": "INT32", "uint8": "UINT8"}


def gpu_count():
    return DRIVER.count


def need_gpus(count):
    """Leaves with 77 (skipped) and the reason when there are fewer."""
    if DRIVER.count < count:
        print(f"SKIPPED: {count} GPUs are needed, {DRIVER.count} are there. {DRIVER.why}")
        sys.exit(77)


def machine():
    """One line that says where figures come from."""
    gpus = [DRIVER.name(i) for i in range(DRIVER.count)]
    names = ", ".join(f"{gpus.count(name)} x {name}" for name in dict.fromkeys(gpus)) or f"no GPU ({DRIVER.why})"
    return f"{names}; {os.cpu_count()} processors"


# ---- the server -----------------------------------------------------------------------------------------------------


class Server(servers.Server):
    """`tritonserver` of the prefix on free ports, ready. In a `with`, which ends it as an operator would; `status` is its exit
    status then. Errors of requests are AssertionErrors with the end of its log."""

    status = None

    def __init__(self, repository, *arguments, timeout=180, **more):
        super().__init__("nereid", repository, "--allow-client-shm=true", *arguments, timeout=timeout, **more)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.process.poll() is None:
            try:
                self.status = self.terminate()
            except subprocess.TimeoutExpired:
                self.status = "did not end"
        else:
            self.status = self.process.returncode
        self.stop()

    def post(self, path, document=None, timeout=300):
        """(status, body)."""
        reply = self.request("POST", path, json.dumps(document or {}).encode(), timeout=timeout)
        return reply[0], reply[3].decode()

    def must(self, path, document=None, timeout=300):
        status, body = self.post(path, document, timeout)
        assert status == 200, f"{path}: {status} {body}\n{self.log[-3000:]}"
        return body

    def get(self, path):
        return json.loads(self.request("GET", path)[3])

    def ready(self, model):
        return self.request("GET", f"/v2/models/{model}/ready")[0] == 200

    def load(self, model, timeout=300):
        self.must(f"/v2/repository/models/{model}/load", None, timeout)

    def unload(self, model, timeout=60):
        """Returns when the model is gone, not only when it was asked to go."""
        self.must(f"/v2/repository/models/{model}/unload")
        end = time.monotonic() + timeout
        while self.ready(model) or any(m.get("state") == "READY" for m in json.loads(self.must("/v2/repository/index")) if m["name"] == model):
            assert time.monotonic() < end, f"{model} is still there after {timeout} s"
            time.sleep(0.005)

    def infer(self, model, inputs, outputs, timeout=120):
        """`inputs` {name: array}; returns {name: array} of `outputs`, by HTTP with tensors in the body."""
        head, body = http_body(model, inputs, outputs)
        status, _, headers, reply = self.request("POST", f"/v2/models/{model}/infer", body,
                                                 {"Inference-Header-Content-Length": str(head)}, timeout=timeout)
        assert status == 200, f"{model}: {status} {reply[:2000].decode(errors='replace')}\n{self.log[-3000:]}"
        length = int(next(value for key, value in headers if key.lower() == "inference-header-content-length"))
        return read_outputs(json.loads(reply[:length]), reply[length:])

    def metric(self, name, **labels):
        """The sum of a metric's lines that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            match = re.match(rf"{name}(?:{{(.*)}})? (\S+)$", line)
            if match and all(f'{key}="{value}"' in (match.group(1) or "") for key, value in labels.items()):
                total += float(match.group(2))
        return total


def read_outputs(document, body):
    kinds = {name: kind for kind, name in DATATYPES.items()}
    found, at = {}, 0
    for output in document["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = np.frombuffer(body[at:at + size], kinds[output["datatype"]]).reshape(output["shape"])
        at += size
    return found


def datatype(array):
    return DATATYPES[array.dtype.name]


# ---- memory that client and server share ----------------------------------------------------------------------------


class HostMemory:
    """POSIX shared memory, with DeviceMemory's functions."""

    def __init__(self, size):
        self.size = size
        self.file = tempfile.NamedTemporaryFile(prefix="nereid-bench-", dir="/dev/shm")
        self.file.truncate(size)
        self.key = "/" + os.path.basename(self.file.name)

    def write(self, array):
        self.file.seek(0)
        self.file.write(np.ascontiguousarray(array).tobytes())
        self.file.flush()

    def read(self, shape):
        with open(self.file.name, "rb") as file:
            return np.frombuffer(file.read(4 * int(np.prod(shape))), np.float32).reshape(shape)  # as DeviceMemory does

    def __exit__(self, *what):
        self.file.close()


class Regions:
    """One region for the input and one for the output of requests to a model, registered at `server`: on GPU `gpu`, or in the
    host's shared memory if that is None. The output has the input's type. In a `with`."""

    count = 0

    def __init__(self, server, x, out_shape, gpu=0):
        self.server, self.gpu, self.x, self.out_shape = server, gpu, x, tuple(out_shape)
        self.out_size = x.itemsize * int(np.prod(out_shape))
        Regions.count += 1
        self.names = (f"in{Regions.count}", f"out{Regions.count}")
        sizes = (x.nbytes, self.out_size)
        self.memory = [DeviceMemory(gpu, size) if gpu is not None else HostMemory(size) for size in sizes]
        self.memory[0].write(x)
        self.memory[1].write(np.full(out_shape, np.nan, x.dtype))
        for name, memory in zip(self.names, self.memory):
            if gpu is None:
                server.must(f"/v2/systemsharedmemory/region/{name}/register", {"key": memory.key, "offset": 0, "byte_size": memory.size})
            else:
                server.must(f"/v2/cudasharedmemory/region/{name}/register",
                            {"raw_handle": {"b64": memory.handle}, "device_id": gpu, "byte_size": memory.size})

    def output(self):
        return self.memory[1].read((self.out_size // 4,)).view(self.x.dtype).reshape(self.out_shape)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        kind = "systemsharedmemory" if self.gpu is None else "cudasharedmemory"
        for name, memory in zip(self.names, self.memory):
            if self.server.alive():
                self.server.post(f"/v2/{kind}/region/{name}/unregister")
            memory.__exit__(None, None, None)


# ---- requests as bytes ----------------------------------------------------------------------------------------------


def http_body(model, inputs, outputs):
    """(length of the JSON, JSON and tensors)."""
    head = json.dumps({
        "inputs": [{"name": name, "datatype": datatype(x), "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
                   for name, x in inputs.items()],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs]}).encode()
    return len(head), head + b"".join(np.ascontiguousarray(x).tobytes() for x in inputs.values())


def http_request(model, inputs, outputs):
    """A whole HTTP/1.1 request, for load()."""
    head, body = http_body(model, inputs, outputs)
    return (f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: {head}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def http_shared_request(model, name, regions, output):
    document = json.dumps({
        "inputs": [{"name": name, "datatype": datatype(regions.x), "shape": list(regions.x.shape),
                    "parameters": {"shared_memory_region": regions.names[0], "shared_memory_byte_size": regions.x.nbytes}}],
        "outputs": [{"name": output, "parameters": {"shared_memory_region": regions.names[1],
                                                    "shared_memory_byte_size": regions.out_size}}]}).encode()
    return (f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(document)}\r\n\r\n").encode() + document


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def _field(number, payload):
    """One length-delimited field of a protobuf message."""
    if isinstance(payload, str):
        payload = payload.encode()
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _parameter(number, key, value):
    inner = _field(3, value) if isinstance(value, str) else _varint(2 << 3) + _varint(value)
    return _field(number, _field(1, key) + _field(2, inner))


def _tensor(name, x, parameters=b""):
    shape = b"".join(_varint(n) for n in x.shape)
    return _field(5, _field(1, name) + _field(2, datatype(x)) + _field(3, shape) + parameters)


def _framed(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def grpc_request(model, inputs, outputs):
    """A framed ModelInferRequest with raw contents, for load()."""
    message = _field(1, model) + b"".join(_tensor(name, x) for name, x in inputs.items())
    message += b"".join(_field(6, _field(1, name)) for name in outputs)
    return _framed(message + b"".join(_field(7, np.ascontiguousarray(x).tobytes()) for x in inputs.values()))


def grpc_shared_request(model, name, regions, output):
    def where(number, region, size):
        return _parameter(number, "shared_memory_region", region) + _parameter(number, "shared_memory_byte_size", size)
    message = _field(1, model) + _tensor(name, regions.x, where(4, regions.names[0], regions.x.nbytes))
    message += _field(6, _field(1, output) + where(2, regions.names[1], regions.out_size))
    return _framed(message)


# ---- load -----------------------------------------------------------------------------------------------------------


class Load:
    """bench/load (C) in processes of its own: `streams` is a list of (kind, request bytes), one process each; each keeps
    `concurrency` requests under way for `seconds`. start(), then result()."""

    def __init__(self, server, streams, seconds, concurrency=1):
        self.processes, self.files = [], {}
        program = PREFIX / "bench/load"
        assert program.exists(), f"{program} is not built (make bench-programs)"
        for kind, request in streams:
            file = self.files.get(id(request))
            if file is None:
                file = self.files[id(request)] = tempfile.NamedTemporaryFile(prefix="nereid-request-", dir="/dev/shm")
                file.write(request)
                file.flush()
            port = server.grpc_port if kind == "grpc" else server.http_port
            command = [program, kind, "127.0.0.1", str(port), str(concurrency), str(seconds), file.name]
            self.processes.append(subprocess.Popen([*command, INFER_PATH] if kind == "grpc" else command,
                                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def result(self):
        """{"rate": requests/s, "requests", "errors", "p50_us", "p99_us"}: sums, and the worst of the processes for latencies."""
        total = {"rate": 0.0, "requests": 0, "errors": 0, "p50_us": 0.0, "p99_us": 0.0}
        for process in self.processes:
            out, err = process.communicate()
            assert process.returncode == 0, f"bench/load: {err}{out}"
            one = json.loads(out)
            total["rate"] += (one["requests"] - one["errors"]) / one["seconds"]
            total["requests"] += one["requests"]
            total["errors"] += one["errors"]
            for key in ("p50_us", "p99_us"):
                total[key] = max(total[key], one[key])
        for file in self.files.values():
            file.close()
        return total


def load(server, kind, requests, seconds, concurrency=1):
    """Load() and its result: `requests` is a list of request bytes, one process each."""
    return Load(server, [(kind, request) for request in requests], seconds, concurrency).result()


def warm(server, streams, concurrency=1, seconds=0.5, limit=90):
    """Loads until two in a row agree within a tenth: frameworks compile and choose kernels during their first runs, TorchScript for
    seconds for each instance. Returns how long it took."""
    begin, before = time.monotonic(), None
    while time.monotonic() - begin < limit:
        rate = Load(server, streams, seconds, concurrency).result()["rate"]
        if before and abs(rate - before) <= 0.1 * before:
            break
        before = rate
    return time.monotonic() - begin


# ---- what is in use -------------------------------------------------------------------------------------------------


def gpu_used(gpu):
    """Bytes in use on a GPU by all processes, this one's context among them."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    DRIVER.enter(gpu)
    try:
        DRIVER.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    finally:
        DRIVER.leave()
    return total.value - free.value


# ---- comparison and record ------------------------------------------------------------------------------------------


def difference(got, want):
    """The relative difference in the Euclidean norm; infinite for anything that is no number."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    if not np.isfinite(got).all():
        return float("inf")
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30))


class Report:
    """Prints as it goes, remembers what was wrong, and writes all rows as JSON where NEREID_RESULTS (or $OUT) names a folder:
    NAME.json or, for several runs of one program, NAME-TAG.json. tables.py makes tables of them."""

    def __init__(self, name, tag=""):
        self.name, self.rows, self.wrong, self.goals_missed = name, [], [], []
        self.file = f"{name}-{tag}.json" if tag else f"{name}.json"
        print(f"# {name}: {machine()}", flush=True)

    def row(self, text, **values):
        if values:
            self.rows.append(values)
        print(text, flush=True)

    def check(self, right, text):
        """A claim that must hold."""
        if not right:
            self.wrong.append(text)
        print(("right: " if right else "WRONG: ") + text, flush=True)
        return right

    def goal(self, met, text):
        """A figure that should hold: told, but no failure of the run."""
        if not met:
            self.goals_missed.append(text)
        print(("goal met: " if met else "goal missed: ") + text, flush=True)

    def skip(self, text):
        print("SKIPPED: " + text, flush=True)

    def end(self):
        """The exit status."""
        folder = os.environ.get("NEREID_RESULTS") or os.environ.get("OUT")
        if folder:
            command = " ".join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])
            document = {"name": self.name, "command": command, "machine": machine(), "rows": self.rows, "wrong": self.wrong,
                        "goals_missed": self.goals_missed}
            (pathlib.Path(folder) / self.file).write_text(json.dumps(document, indent=1) + "\n")
        print(f"# {self.name}: " + (f"{len(self.wrong)} WRONG" if self.wrong else "all right") +
              (f", {len(self.goals_missed)} goals missed" if self.goals_missed else ""), flush=True)
        return 1 if self.wrong else 0
