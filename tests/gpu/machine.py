# SPDX-License-Identifier: Apache-2.0
"""What the served tests need of the machine: its GPUs by the driver alone, memory on them that a server can open, and a server
that may run under NVIDIA's memory checker. Standard library and numpy; no framework."""

import base64
import ctypes
import json
import os
import pathlib
import re
import sys

import numpy as np

import memcheck
from driver import DRIVER

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import servers  # noqa: E402
from servers import PREFIX  # noqa: E402

BACKENDS = PREFIX / "lib/nereid/backends"
MEMCHECK = memcheck.on()


class DeviceMemory:
    """Memory on a GPU, and its handle for another process. In a `with`, which frees it."""

    def __init__(self, gpu, size):
        self.gpu, self.size, self.pointer = gpu, size, ctypes.c_uint64()
        handle = (ctypes.c_char * 64)()
        self.do(("cuMemAlloc_v2", ctypes.byref(self.pointer), ctypes.c_size_t(size)), ("cuIpcGetMemHandle", handle, self.pointer))
        self.handle = base64.b64encode(bytes(handle)).decode()

    def do(self, *calls):
        DRIVER.enter(self.gpu)
        try:
            for call in calls:
                DRIVER.call(*call)
        finally:
            DRIVER.leave()

    def write(self, array):
        array = np.ascontiguousarray(array)
        self.do(("cuMemcpyHtoDAsync_v2", self.pointer, array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes), None),
                ("cuCtxSynchronize",))

    def read(self, shape):
        array = np.zeros(shape, np.float32)
        self.do(("cuMemcpyDtoHAsync_v2", array.ctypes.data_as(ctypes.c_void_p), self.pointer, ctypes.c_size_t(array.nbytes), None),
                ("cuCtxSynchronize",))
        return array

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.do(("cuMemFree_v2", self.pointer))


class GpuServer(servers.Server):
    """A server of this prefix, under compute-sanitizer if NEREID_MEMCHECK is set: then what it finds fails the test that stops it."""

    session = MEMCHECK

    def __init__(self, repository, *arguments, **more):
        program = [PREFIX / "bin/tritonserver"]
        super().__init__("nereid", repository, "--metrics-interval-ms=10", "--allow-client-shm=true", *arguments,
                         program=memcheck.command(program) if MEMCHECK else program, timeout=memcheck.patience(60), **more)

    def wait_ready(self, timeout=60):
        try:
            super().wait_ready(timeout)
        except AssertionError:
            memcheck.kill(self.process)
            raise

    def stop(self):
        found = None
        if MEMCHECK and not self.log_file.closed:
            if self.process.poll() is None:
                memcheck.end(self.process, PREFIX / "bin/tritonserver", memcheck.patience(30))
            found = memcheck.found(self.log)
        super().stop()
        if found:
            raise AssertionError(found)

    def post(self, path, document=None):
        """(status, body)."""
        reply = self.request("POST", path, json.dumps(document or {}).encode(), timeout=memcheck.patience(120))
        return reply[0], reply[3].decode()

    def get(self, path):
        return json.loads(self.request("GET", path)[3])

    def infer(self, model, name, x, output, timeout=60):
        """The answer of `model` to one FP32 tensor, as an array."""
        head = json.dumps({"inputs": [{"name": name, "datatype": "FP32", "shape": list(x.shape),
                                       "parameters": {"binary_data_size": x.nbytes}}],
                           "outputs": [{"name": output, "parameters": {"binary_data": True}}]}).encode()
        status, _, headers, body = self.request("POST", f"/v2/models/{model}/infer", head + x.tobytes(),
                                                {"Inference-Header-Content-Length": str(len(head))}, timeout=memcheck.patience(timeout))
        if status != 200:
            raise AssertionError(f"{model}: {status} {body.decode()}\n{self.log[-3000:]}")
        length = int(next(value for key, value in headers if key.lower() == "inference-header-content-length"))
        return np.frombuffer(body[length:], np.float32).reshape(json.loads(body[:length])["outputs"][0]["shape"])

    def share(self, name, memory):
        return self.post(f"/v2/cudasharedmemory/region/{name}/register",
                         {"raw_handle": {"b64": memory.handle}, "device_id": memory.gpu, "byte_size": memory.size})

    def series(self, name, **labels):
        """{labels: value} of one metric, of those lines that have these labels."""
        found = {}
        for line in self.metrics().splitlines():
            match = re.match(rf"{name}(?:{{(.*)}})? (\S+)$", line)
            if match and all(f'{key}="{value}"' in (match.group(1) or "") for key, value in labels.items()):
                found[match.group(1) or ""] = float(match.group(2))
        return found
