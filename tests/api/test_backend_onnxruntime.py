# SPDX-License-Identifier: Apache-2.0
"""The onnxruntime backend, in each server that is there: results are ONNX Runtime's own, bit for bit.

Expected values come from ONNX Runtime in this process, on the same model file.
"""

import concurrent.futures
import json
import os

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
http = pytest.importorskip("tritonclient.http")

import onnx_models as models  # noqa: E402
from onnx import TensorProto as T  # noqa: E402
from servers import PROGRAMS, Server, add_model  # noqa: E402

ARITHMETIC = [T.INT32, T.INT64, T.UINT32, T.UINT64, T.FLOAT16, T.FLOAT, T.DOUBLE]
BACKEND = 'backend: "onnxruntime"\n'


def io(role, name, kind, dims, extra=""):
    return f'{role} {{ name: "{name}" data_type: {models.TYPES[kind][1]} dims: {dims} {extra} }}\n'


def make_repository(root):
    def add(name, content, config=BACKEND, file="1/model.onnx"):
        add_model(root, name, None if config is None else f'name: "{name}"\n{config}', {file: content})

    for kind, (triton, _, _) in models.TYPES.items():
        add(f"same_{triton.lower()}", models.identity(kind, [None, None]))
        # The same with its configuration written out and a batch dimension.
        add(f"rows_{triton.lower()}", models.identity(kind, [None, 3]),
            BACKEND + "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 20000 }\n"
            + io("input", "X", kind, "[3]") + io("output", "Y", kind, "[3]"))
    for kind in ARITHMETIC:
        add(f"add_{models.TYPES[kind][0].lower()}", models.add_sub(kind, [None, 4]))
    add("network", models.network(), BACKEND + "max_batch_size: 16\ndynamic_batching "
        "{ preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 50000 }\ninstance_group { kind: KIND_CPU count: 2 }\n")
    add("static_network", models.network(), BACKEND + "max_batch_size: 4\n")
    add("open", models.open_shapes())
    add("scalar", models.scalar())
    add("scalar_input", models.scalar_input())
    add("folder", models.identity(T.FLOAT, [2]), file="1/model.onnx/model.onnx")
    add("named", models.identity(T.FLOAT, [2]), BACKEND + 'default_model_filename: "other.onnx"\n', "1/other.onnx")
    add("guessed", models.identity(T.FLOAT, [2]), None)
    add("optional", models.optional_input(), BACKEND + io("input", "X", T.FLOAT, "[4]")
        + io("input", "F", T.FLOAT, "[1]", "optional: true") + io("output", "Y", T.FLOAT, "[4]"))
    add("ragged", models.ragged(), BACKEND + "max_batch_size: 8\n" + io("input", "X", T.FLOAT, "[-1]", "allow_ragged_batch: true")
        + io("output", "Y", T.FLOAT, "[-1]")
        + 'batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ENDS" data_type: TYPE_FP32 source_input: "X" }\n'
        + 'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "Y" source_input: "X" }\n'
        + "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 2 ] }\n")
    add("tuned", models.network(), BACKEND + "max_batch_size: 4\noptimization { graph { level: 1 } }\n" + "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in {
            "intra_op_thread_count": 1, "inter_op_thread_count": 1, "execution_mode": 0, "enable_mem_arena": "true",
            "enable_mem_pattern": "false", "memory.enable_memory_arena_shrinkage": "cpu:0",
            "session.intra_op.allow_spinning": 0}.items()))
    add("accelerated", models.identity(T.FLOAT, [2]), BACKEND + "optimization { execution_accelerators { "
        'cpu_execution_accelerator: [ { name: "openvino" } ] gpu_execution_accelerator: [ { name: "tensorrt" } ] } }\n'
        "instance_group { kind: KIND_CPU }\n")
    return root


BROKEN = {
    "none": ("", None, "unable to find"),
    "garbage": ("", b"not a model", "onnx runtime error"),
    "sequence": ("", models.sequence_output(), "Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'S'"),
    "batch": ("max_batch_size: 4\n", models.identity(T.FLOAT, [2]), "model does not support batching while non-zero"),
    "type": (io("input", "X", T.INT32, "[2]") + io("output", "Y", T.FLOAT, "[2]"), models.identity(T.FLOAT, [2]),
             "configuration expects datatype TYPE_INT32 for input 'X', model provides TYPE_FP32"),
    "dims": (io("input", "X", T.FLOAT, "[3]") + io("output", "Y", T.FLOAT, "[2]"), models.identity(T.FLOAT, [2]),
             "the model expects 1 dimensions (shape [2]) but the model configuration specifies 1 dimensions (shape [3])"),
    "name": (io("input", "Z", T.FLOAT, "[2]") + io("output", "Y", T.FLOAT, "[2]"), models.identity(T.FLOAT, [2]),
             "unexpected inference input 'Z', allowed inputs are: X"),
    "count": (io("input", "A", T.FLOAT, "[2]") + io("output", "SUM", T.FLOAT, "[2]"), models.add_sub(T.FLOAT, [2]),
              "configuration expects 1 inputs, model provides 2"),
    "mode": ('parameters { key: "execution_mode" value { string_value: "2" } }\n', models.identity(T.FLOAT, [2]),
             "Expected values for  execution_mode are 0 or 1 but got 2 ."),
    "threads": ('parameters { key: "intra_op_thread_count" value { string_value: "many" } }\n',
                models.identity(T.FLOAT, [2]), "failed to convert 'many' to int"),
    "accelerator": ('optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "zzz" } ] } }\n',
                    models.identity(T.FLOAT, [2]), "unknown Execution Accelerator 'zzz' is requested"),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module", params=[*sorted(PROGRAMS), "nereid-gpus"])
def server(request, repository):
    """Each server that is there, and ours on two pretended GPUs, to which every model goes that may."""
    name, _, gpus = request.param.partition("-")
    if not PROGRAMS[name].exists():
        pytest.skip(f"{name} is not at {PROGRAMS[name]}")
    env = models.pretended_gpus() if gpus else {"NEREID_ONNXRUNTIME": models.library()}
    with Server(name, repository, "--exit-on-error=false", env=env) as started:
        yield started


@pytest.fixture(scope="module")
def client(server):
    with http.InferenceServerClient(server.http_url, concurrency=16, network_timeout=60, connection_timeout=60) as c:
        yield c


def ask(client, name, arrays, outputs=None, types=None, **more):
    """{output: array} of one request."""
    inputs = []
    for key, array in arrays.items():
        names = {v[2]: v[0] for v in models.TYPES.values()}
        datatype = (types or {}).get(key) or names[array.dtype.type]
        tensor = http.InferInput(key, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=True)
        inputs.append(tensor)
    wanted = None if outputs is None else [http.InferRequestedOutput(o, binary_data=True) for o in outputs]
    result = client.infer(name, inputs, outputs=wanted, **more)
    return {o["name"]: result.as_numpy(o["name"]) for o in result.get_response()["outputs"]}


def ask_many(server, count, one):
    """one(client, i) for i < count, on so many threads at once; each with a client of its own, as they are not shared."""
    def run(i):
        with http.InferenceServerClient(server.http_url, network_timeout=60, connection_timeout=60) as client:
            return one(client, i)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(run, range(count)))


def reference(repository, name, arrays, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(str(repository / name / "1/model.onnx"), options,
                                           providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays)))


def equal(a, b):
    if b.dtype == np.object_:
        return a.shape == b.shape and [x if isinstance(x, bytes) else x.encode() for x in a.ravel()] == [
            x if isinstance(x, bytes) else x.encode() for x in b.ravel()]
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def sample(kind, shape, seed=1):
    random = np.random.default_rng(seed)
    numpy = models.TYPES[kind][2]
    if kind == T.STRING:
        words = ["", "a", "straße", "x" * 300, "日本", "tab\tnew\nline"]
        return np.array([words[i] for i in random.integers(0, len(words), int(np.prod(shape)))], np.object_).reshape(shape)
    if kind == T.BOOL:
        return random.integers(0, 2, shape).astype(np.bool_)
    if kind == T.BFLOAT16:  # values that bfloat16 has
        return random.integers(-128, 128, shape).astype(numpy)
    if numpy in (np.float16, np.float32, np.float64):
        return random.standard_normal(shape).astype(numpy)
    limits = np.iinfo(numpy)
    return random.integers(limits.min, limits.max, shape, dtype=numpy, endpoint=True)


@pytest.mark.parametrize("kind", models.TYPES, ids=[v[0] for v in models.TYPES.values()])
def test_every_type_passes_unchanged(client, kind):
    triton = models.TYPES[kind][0]
    array = sample(kind, (3, 5))
    got = ask(client, f"same_{triton.lower()}", {"X": array}, types={"X": triton})["Y"]
    assert equal(got, array)


@pytest.mark.parametrize("kind", ARITHMETIC, ids=[models.TYPES[k][0] for k in ARITHMETIC])
def test_arithmetic_is_onnxruntimes(client, repository, kind):
    name = f"add_{models.TYPES[kind][0].lower()}"
    arrays = {"A": sample(kind, (2, 4), 2), "B": sample(kind, (2, 4), 3)}
    got, want = ask(client, name, arrays), reference(repository, name, arrays)
    assert got.keys() == want.keys() and all(equal(got[k], want[k]) for k in want)


# The level of optimisation decides which kernels run, so it decides the last bits: 1 of Triton is "extended".
@pytest.mark.parametrize("name, level", [
    ("static_network", onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL),
    ("tuned", onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)])
def test_network_is_onnxruntimes_bit_for_bit(client, repository, name, level):
    for rows in (1, 3, 4):
        x = np.random.default_rng(rows).standard_normal((rows, 3, 16, 16)).astype(np.float32)
        assert equal(ask(client, name, {"X": x})["Y"], reference(repository, name, {"X": x}, level)["Y"])


def test_batched_requests_get_their_own_rows(server, client, repository):
    def one(client, i):
        x = np.random.default_rng(i).standard_normal((1 + i % 3, 3, 16, 16)).astype(np.float32)
        return equal(ask(client, "network", {"X": x})["Y"], reference(repository, "network", {"X": x})["Y"])

    assert all(ask_many(server, 48, one))
    stats = client.get_inference_statistics("network")["model_stats"][0]
    assert stats["inference_count"] > stats["execution_count"], "nothing was batched"
    assert stats["inference_stats"]["compute_infer"]["ns"] > 0


@pytest.mark.parametrize("kind", models.TYPES, ids=[v[0] for v in models.TYPES.values()])
def test_every_type_is_joined_and_divided(server, kind):
    triton = models.TYPES[kind][0]

    def one(client, i):
        array = sample(kind, (1 + i % 2, 3), i)
        return equal(ask(client, f"rows_{triton.lower()}", {"X": array}, types={"X": triton})["Y"], array)

    assert all(ask_many(server, 16, one))


def test_open_shapes_and_order_of_outputs(client, repository):
    x = np.array([[0, 1.5, 0], [2, 0, -3]], np.float32)
    got, want = ask(client, "open", {"X": x}), reference(repository, "open", {"X": x})
    assert list(got) == ["FOUND", "NEGATED"]
    assert all(equal(got[k], want[k]) for k in want)
    assert list(ask(client, "open", {"X": x}, ["NEGATED"])) == ["NEGATED"]


def test_output_of_no_elements(client):
    got = ask(client, "open", {"X": np.zeros((2, 2), np.float32)})
    assert got["FOUND"].shape == (2, 0)


def test_scalars(client):
    assert ask(client, "scalar", {"X": np.array([1, 2, 3, 4], np.float32)})["TOTAL"].tolist() == [10.0]
    got = ask(client, "scalar_input", {"X": np.ones(4, np.float32), "F": np.array([2.5], np.float32)})
    assert got["Y"].tolist() == [2.5] * 4


@pytest.mark.parametrize("name", ["folder", "named", "guessed", "accelerated"])
def test_where_the_model_is_found(client, name):
    assert ask(client, name, {"X": np.array([1, -2], np.float32)})["Y"].tolist() == [1, -2]


def test_optional_input_has_the_models_default(client):
    x = np.ones(4, np.float32)
    assert ask(client, "optional", {"X": x})["Y"].tolist() == [3] * 4
    assert ask(client, "optional", {"X": x, "F": np.array([5], np.float32)})["Y"].tolist() == [5] * 4


def test_ragged_requests_in_one_batch(server, client):
    def one(client, i):
        length = [3, 5, 1, 8, 2, 6, 4, 7][i]
        x = np.arange(length, dtype=np.float32).reshape(1, length)
        return length, ask(client, "ragged", {"X": x}, ["Y"])["Y"]

    together = set()
    for length, got in ask_many(server, 8, one):
        assert got.shape == (1, length)
        total = got[0, 0]
        assert got.ravel().tolist() == [total + i for i in range(length)]
        together.add(total > length)
    assert True in together, "nothing was batched"
    stats = client.get_inference_statistics("ragged")["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"], "nothing was batched"


def test_json_inputs_and_outputs(server):
    body = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "ü\u0000b"]}]}
    status, _, _, reply = server.request("POST", "/v2/models/same_bytes/infer", json.dumps(body))
    assert status == 200
    assert json.loads(reply)["outputs"][0]["data"] == ["a", "ü\u0000b"]


def test_completed_configuration(client):
    config = client.get_model_config("same_fp32")
    assert config["max_batch_size"] == 4 and config["dynamic_batching"] is not None
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [("X", "TYPE_FP32", [-1])]
    config = client.get_model_config("scalar")
    assert config["max_batch_size"] == 0 and "dynamic_batching" not in config
    assert config["output"][0]["dims"] == [1]
    assert client.get_model_config("guessed")["backend"] == "onnxruntime"


@pytest.fixture(scope="module")
def broken(server_name, tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    for name, (config, content, _) in BROKEN.items():
        add_model(root, name, f'name: "{name}"\n{BACKEND}{config}', {} if content is None else {"1/model.onnx": content})
    env = {"NEREID_ONNXRUNTIME": models.library()}
    with Server(server_name, root, "--exit-on-error=false", "--model-control-mode=explicit", env=env) as started:
        yield started


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_refused_by_name(broken, name):
    status, _, _, reply = broken.request("POST", f"/v2/repository/models/{name}/load", "{}")
    assert status == 400 and BROKEN[name][2] in json.loads(reply)["error"], reply.decode()
    assert broken.alive()


def test_library_that_is_not_there_is_named(server_name, tmp_path):
    add_model(tmp_path / "r", "m", f'name: "m"\n{BACKEND}', {"1/model.onnx": models.identity(T.FLOAT, [2])})
    nowhere = str(tmp_path / "nowhere.so")
    with Server(server_name, tmp_path / "r", "--exit-on-error=false",
                env={"NEREID_ONNXRUNTIME": nowhere}) as started:
        assert nowhere in started.log and "NEREID_ONNXRUNTIME" in started.log


def test_shared_thread_pool(server_name, repository, tmp_path):
    os.symlink(repository / "static_network", tmp_path / "static_network")
    with Server(server_name, tmp_path, "--backend-config=onnxruntime,enable-global-threadpool=1",
                "--backend-config=onnxruntime,intra_op_thread_count=2",
                f"--backend-config=onnxruntime,library-path={models.library()}") as started:
        x = np.random.default_rng(5).standard_normal((2, 3, 16, 16)).astype(np.float32)
        with http.InferenceServerClient(started.http_url) as client:
            assert equal(ask(client, "static_network", {"X": x})["Y"], reference(repository, "network", {"X": x})["Y"])
