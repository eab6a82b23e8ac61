# SPDX-License-Identifier: Apache-2.0
"""What every framework's models have to do on GPUs, asked through the server; one class a framework says how its model file is made.

Each test starts a server of its own and says at once why it cannot run (unittest's skip): the backend is not in this prefix, the
framework has no GPU in it, the package that makes the model is not there, the machine has too few GPUs."""

import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import unittest

import numpy as np

import memcheck
import network
from driver import DRIVER
from machine import BACKENDS, MEMCHECK, PREFIX, DeviceMemory, GpuServer

CONFIG = """name: "{name}"
{framework}
max_batch_size: 16
input {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3, 16, 16 ] }}
output {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 10 ] }}
{more}
"""
LOADS = 4 if MEMCHECK else 16
FLAT_BYTES = 48 << 20  # what memory may still grow by after the first quarter of the loads


def need_packages(*names):
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise unittest.SkipTest(f"no Python package {name} here, which makes the model")


class Framework:
    """The tests; a subclass has `backend`, `config`, `file`, missing() and write()."""

    backend, config, file = "", "", ""

    @classmethod
    def missing(cls):
        """Why this framework cannot be tried here; None if it can."""
        return None

    @classmethod
    def write(cls, path):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        if DRIVER.count == 0:
            raise unittest.SkipTest(f"no GPU: {DRIVER.why}")
        if not (BACKENDS / cls.backend / f"libtriton_{cls.backend}.so").exists():
            raise unittest.SkipTest(f"this build has no {cls.backend} backend")
        why = cls.missing()
        if why:
            raise unittest.SkipTest(why)
        cls.made = tempfile.TemporaryDirectory(prefix="nereid-model-")
        cls.model_file = pathlib.Path(cls.made.name) / cls.file
        cls.write(cls.model_file)

    @classmethod
    def tearDownClass(cls):
        cls.made.cleanup()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="nereid-repository-")
        self.addCleanup(self.folder.cleanup)
        self.repository = pathlib.Path(self.folder.name)

    def add(self, name, groups, more="", files=None):
        """A model in the repository; `files` replaces {file name: bytes or None for the model} of its version."""
        version = self.repository / name / "1"
        version.mkdir(parents=True)
        for file, content in (files or {self.file: None}).items():
            (version / file).write_bytes(self.model_file.read_bytes() if content is None else content)
        (self.repository / name / "config.pbtxt").write_text(
            CONFIG.format(name=name, framework=self.config, more=f"instance_group [ {groups} ]\n{more}"))

    def serve(self, *arguments, **more):
        server = GpuServer(self.repository, *arguments, **more)
        self.addCleanup(server.stop)
        return server

    def assert_right(self, got, x, what=""):
        want = network.reference(x)
        self.assertEqual(got.shape, want.shape)
        self.assertLess(float(np.abs(got - want).max()), network.TOLERANCE, what)

    def ask(self, server, model, rows=1, seed=1):
        x = network.pictures(rows, seed)
        self.assert_right(server.infer(model, network.INPUT, x, network.OUTPUT), x, f"{model}, {rows} rows")

    def test_each_gpu_answers_what_numpy_does(self):
        for gpu in range(DRIVER.count):
            self.add(f"on_{gpu}", f"{{ kind: KIND_GPU gpus: [ {gpu} ] }}")
        server = self.serve()
        for gpu in range(DRIVER.count):
            for rows in (1, 5, 16):
                self.ask(server, f"on_{gpu}", rows, seed=rows)
            group = server.get(f"/v2/models/on_{gpu}/config")["instance_group"][0]
            self.assertEqual((group["kind"], group["gpus"]), ("KIND_GPU", [gpu]))

    def test_gpu_kind_without_gpus_means_all_of_them(self):
        self.add("everywhere", "{ kind: KIND_GPU count: 2 }")
        server = self.serve()
        self.assertEqual(server.get("/v2/models/everywhere/config")["instance_group"][0]["gpus"], list(range(DRIVER.count)))
        self.ask(server, "everywhere")

    def test_many_clients_get_their_own_answers_from_all_gpus(self):
        self.add("shared", "{ kind: KIND_GPU }", "dynamic_batching { max_queue_delay_microseconds: 200 }")
        server = self.serve()
        wrong = []

        def client(number):
            try:
                for i in range(30):
                    self.ask(server, "shared", 1 + (number + i) % 4, seed=100 * number + i)
            except Exception as error:  # a thread's failure is the test's
                wrong.append(f"client {number}: {error}")

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        counted = server.series("nv_inference_request_success", model="shared")
        self.assertEqual(sum(counted.values()), 240)
        self.assertEqual(len(counted), DRIVER.count)
        for name in ("nereid_gpu_request_success", "nereid_gpu_busy_duration_us"):
            self.assertEqual(len(server.series(name)), DRIVER.count, name)
        self.assertEqual(sum(server.series("nereid_gpu_request_success").values()), 240)
        if DRIVER.count > 1:
            self.assertGreater(min(counted.values()), 0, "a GPU got nothing")

    def test_cuda_shared_memory_is_read_and_written(self):
        self.add("direct", "{ kind: KIND_GPU gpus: [ 0 ] }")
        server = self.serve()
        x = network.pictures(8)
        with DeviceMemory(0, x.nbytes) as into, DeviceMemory(0, 8 * network.CLASSES * 4) as out:
            into.write(x)
            for name, memory in (("into", into), ("out", out)):
                self.assertEqual(server.share(name, memory), (200, ""))
            status, body = server.post("/v2/models/direct/infer", {
                "inputs": [{"name": network.INPUT, "datatype": "FP32", "shape": list(x.shape),
                            "parameters": {"shared_memory_region": "into", "shared_memory_byte_size": into.size}}],
                "outputs": [{"name": network.OUTPUT,
                             "parameters": {"shared_memory_region": "out", "shared_memory_byte_size": out.size}}]})
            self.assertEqual(status, 200, body)
            self.assert_right(out.read((8, network.CLASSES)), x)
            self.assertEqual(server.post("/v2/cudasharedmemory/unregister"), (200, ""))

    def test_file_of_the_gpus_compute_capability_is_loaded(self):
        capability = DRIVER.capability(0)
        self.add("chosen", "{ kind: KIND_GPU gpus: [ 0 ] }",
                 f'cc_model_filenames [ {{ key: "{capability}" value: "for_this.bin" }}, {{ key: "1.0" value: "other.bin" }} ]',
                 files={"for_this.bin": None, "other.bin": b"not a model", self.file: b"not a model either"})
        self.ask(self.serve(), "chosen")

    def test_gpu_that_is_not_there_is_refused(self):
        self.add("nowhere", "{ kind: KIND_GPU gpus: [ 99 ] }")
        server = self.serve(wait=False)
        self.assertEqual(server.process.wait(memcheck.patience(120)), 1)
        self.assertIn("instance group nowhere_0 of model nowhere specifies invalid or unsupported gpu id 99", server.log)

    def test_memory_is_flat_over_loads(self):
        self.add("often", "{ kind: KIND_GPU gpus: [ 0 ] }")
        server = self.serve("--model-control-mode=explicit")
        used = []
        for _ in range(LOADS):
            status, body = server.post("/v2/repository/models/often/load")
            self.assertEqual(status, 200, body)
            self.ask(server, "often", 4)
            self.assertEqual(server.post("/v2/repository/models/often/unload")[0], 200)
            while '"UNLOADING"' in server.post("/v2/repository/index")[1] or '"READY"' in server.post("/v2/repository/index")[1]:
                pass
            readings = list(server.series("nv_gpu_memory_used_bytes").values())
            if not readings:
                self.skipTest("NVML tells no memory of this GPU")
            used.append(readings[0])
        self.assertLess(used[-1] - used[LOADS // 4], FLAT_BYTES, f"bytes used after each unload: {used}")


class Pytorch(Framework, unittest.TestCase):
    backend, config, file = "pytorch", 'platform: "pytorch_libtorch"', "model.pt"

    @classmethod
    def missing(cls):
        need_packages("torch")
        import torch

        return None if torch.cuda.is_available() else "this PyTorch has no CUDA"

    @classmethod
    def write(cls, path):
        network.torchscript(path)


class Onnxruntime(Framework, unittest.TestCase):
    backend, config, file = "onnxruntime", 'platform: "onnxruntime_onnx"', "model.onnx"

    @classmethod
    def missing(cls):
        need_packages("onnx")
        places = [os.environ.get("NEREID_ONNXRUNTIME", ""), PREFIX / "lib/nereid/onnxruntime", BACKENDS / "onnxruntime"]
        for place in places:
            place = pathlib.Path(place).resolve()
            folder = place if place.is_dir() else place.parent
            if str(place) != "." and (folder / "libonnxruntime_providers_cuda.so").exists():
                return None
        return "no ONNX Runtime with CUDA here (libonnxruntime_providers_cuda.so)"

    @classmethod
    def write(cls, path):
        network.onnx(path)

    def test_captured_runs_answer_each_number_of_rows(self):
        graphs = "optimization { cuda { graphs: true } }"
        self.add("captured", "{ kind: KIND_GPU gpus: [ 0 ] }", f"dynamic_batching {{ max_queue_delay_microseconds: 500 }}\n{graphs}")
        server = self.serve()
        for round_of in range(2):  # captured, then launched
            for rows in (1, 5, 16, 3):
                self.ask(server, "captured", rows, seed=10 * round_of + rows)
        self.assertNotIn("runs without", server.log)

    def test_parameters_of_the_cuda_provider_are_taken(self):
        older = {"cudnn_conv_algo_search": 1, "gpu_mem_limit": 1 << 30, "arena_extend_strategy": 1, "do_copy_in_default_stream": 1}
        self.add("tuned", "{ kind: KIND_GPU gpus: [ 0 ] }", "optimization { execution_accelerators { gpu_execution_accelerator: [ "
                 '{ name: "cuda" parameters { key: "use_tf32" value: "0" } } ] } }\n' + "".join(
                     f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in older.items()))
        self.ask(self.serve(), "tuned", 4)

    def test_tensors_of_open_shapes_and_of_the_processor(self):
        from onnx import TensorProto as T, helper as h
        nodes = [h.make_node("NonZero", ["X"], ["FOUND"]), h.make_node("Reshape", ["X", "SHAPE"], ["TURNED"]),
                 h.make_node("Shape", ["X"], ["SEEN"])]
        inputs, outputs = [("X", T.FLOAT, ["a", "b"]), ("SHAPE", T.INT64, [2])], [
            ("FOUND", T.INT64, [2, "n"]), ("TURNED", T.FLOAT, ["c", "d"]), ("SEEN", T.INT64, [2])]
        graph = h.make_graph(nodes, "g", *([h.make_tensor_value_info(*one) for one in some] for some in (inputs, outputs)))
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
        version = self.repository / "open/1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(model.SerializeToString())
        (self.repository / "open/config.pbtxt").write_text(f'{self.config}\ninstance_group {{ kind: KIND_GPU gpus: [ 0 ] }}\n')
        server = self.serve()
        for x, shape in (([[0, 2, 0], [3, 0, 4]], [3, 2]), ([[0, 0, 0, 0]], [2, 2]), ([[5], [6]], [1, 2])):
            x = np.array(x, np.float32)
            status, body = server.post("/v2/models/open/infer", {"inputs": [
                {"name": "X", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()},
                {"name": "SHAPE", "datatype": "INT64", "shape": [2], "data": shape}]})
            self.assertEqual(status, 200, body)
            got = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in json.loads(body)["outputs"]}
            np.testing.assert_array_equal(got["FOUND"], np.stack(np.nonzero(x)))
            np.testing.assert_array_equal(got["TURNED"], x.reshape(shape))
            np.testing.assert_array_equal(got["SEEN"], x.shape)


class Tensorrt(Framework, unittest.TestCase):
    backend, config, file = "tensorrt", 'platform: "tensorrt_plan"', "model.plan"

    @classmethod
    def missing(cls):
        need_packages("onnx")
        return None

    @classmethod
    def write(cls, path):
        network.onnx(path.with_suffix(".onnx"))
        shape = ",".join(["{}"] + [str(d) for d in network.SHAPE]).replace(",", "x")
        options = [f"--{kind}Shapes={network.INPUT}:{shape.format(rows)}" for kind, rows in (("min", 1), ("opt", 8), ("max", 16))]
        # Without cuBLAS and cuDNN, which release 8 wants in versions of its own.
        options.append("--tacticSources=-CUBLAS,-CUBLAS_LT,-CUDNN,+EDGE_MASK_CONVOLUTIONS,+JIT_CONVOLUTIONS")
        built = subprocess.run([PREFIX / "bin/nereid", "build", path.with_suffix(".onnx"), "-o", path, *options],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            if "unable to find" in built.stdout or "without TensorRT" in built.stdout:
                raise unittest.SkipTest(f"nereid build makes no plan here: {built.stdout.strip().splitlines()[-1]}")
            raise AssertionError(f"nereid build: {built.stdout}")


class Tensorflow(Framework, unittest.TestCase):
    backend, config, file = "tensorflow", 'platform: "tensorflow_graphdef"', "model.graphdef"

    @classmethod
    def missing(cls):
        need_packages("tensorflow")
        import tensorflow

        return None if tensorflow.config.list_physical_devices("GPU") else "this TensorFlow has no GPU in it"

    @classmethod
    def write(cls, path):
        import tensorflow.compat.v1 as tf

        with tf.Graph().as_default() as graph:
            x = tf.placeholder(tf.float32, [None, *network.SHAPE], network.INPUT)
            pixels = tf.transpose(x, [0, 2, 3, 1])
            convolved = tf.nn.conv2d(pixels, network.FILTERS.transpose(2, 3, 1, 0), 1, "SAME") + network.OFFSETS
            pooled = tf.reduce_mean(tf.nn.relu(convolved), [1, 2])
            tf.nn.softmax(tf.matmul(pooled, network.MATRIX), name=network.OUTPUT)
            path.write_bytes(graph.as_graph_def().SerializeToString())


class Machine(unittest.TestCase):
    """What needs no framework: a server on this machine's GPUs."""

    def setUp(self):
        if DRIVER.count == 0:
            self.skipTest(f"no GPU: {DRIVER.why}")
        folder = tempfile.TemporaryDirectory(prefix="nereid-repository-")
        self.addCleanup(folder.cleanup)
        version = pathlib.Path(folder.name) / "echo/1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(
            'backend: "identity"\ninput { name: "I" data_type: TYPE_FP32 dims: [ -1 ] }\n'
            'output { name: "O" data_type: TYPE_FP32 dims: [ -1 ] }\n')
        self.server = GpuServer(folder.name)
        self.addCleanup(self.server.stop)

    def test_every_gpu_is_named_in_the_log_and_the_metrics(self):
        for gpu in range(DRIVER.count):
            self.assertRegex(self.server.log, rf"GPU {gpu}: (GPU|MIG)-[0-9a-f-]+, {DRIVER.name(gpu)}, compute capability "
                             rf"{DRIVER.capability(gpu)}, \d+ MiB")
        total = self.server.series("nv_gpu_memory_total_bytes")
        self.assertEqual(len(total), DRIVER.count)
        self.assertGreater(min(total.values()), 1 << 30)
        for name in ("nv_gpu_utilization", "nv_gpu_memory_used_bytes"):
            self.assertEqual(len(self.server.series(name)), DRIVER.count, name)

    def test_model_for_the_processor_reads_and_writes_memory_of_a_gpu(self):
        x = np.arange(1000, dtype=np.float32)
        with DeviceMemory(0, x.nbytes) as into, DeviceMemory(0, x.nbytes) as out:
            into.write(x)
            out.write(np.zeros_like(x))
            for name, memory in (("into", into), ("out", out)):
                self.assertEqual(self.server.share(name, memory), (200, ""))
            region = {"shared_memory_byte_size": x.nbytes}
            status, body = self.server.post("/v2/models/echo/infer", {
                "inputs": [{"name": "I", "datatype": "FP32", "shape": [1000],
                            "parameters": {"shared_memory_region": "into", **region}}],
                "outputs": [{"name": "O", "parameters": {"shared_memory_region": "out", **region}}]})
            if status == 501 and "which a backend built for the CPU cannot" in body:
                self.skipTest(f"refused by name: {body}")
            self.assertEqual(status, 200, body)
            np.testing.assert_array_equal(out.read(1000), x)

    def test_handle_of_nothing_is_refused_and_service_goes_on(self):
        class Nothing:
            gpu, size, handle = 0, 64, "AQEB" * 21 + "AQ=="
        status, body = self.server.share("nothing", Nothing)
        self.assertEqual(status, 400, body)
        self.assertIn("failed to register CUDA shared memory region: 'nothing'", body)
        self.assertEqual(self.server.request("GET", "/v2/health/ready")[0], 200)
