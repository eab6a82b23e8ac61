# SPDX-License-Identifier: Apache-2.0
"""The pytorch backend, in each server that is there: results are libtorch's own, bit for bit, on the same files.

Models and expected values come from tests/tools/torch_models, a program on the libtorch that the backend is built with.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess

import frameworks
import ml_dtypes
import numpy as np
import pytest

torch = frameworks.Torch()
http = pytest.importorskip("tritonclient.http")

from servers import Server, add_model  # noqa: E402

SCRIPT = 'platform: "pytorch_libtorch"\n'
TYPES = {
    "BOOL": ("TYPE_BOOL", np.bool_), "UINT8": ("TYPE_UINT8", np.uint8), "INT8": ("TYPE_INT8", np.int8),
    "INT16": ("TYPE_INT16", np.int16), "INT32": ("TYPE_INT32", np.int32), "INT64": ("TYPE_INT64", np.int64),
    "FP16": ("TYPE_FP16", np.float16), "FP32": ("TYPE_FP32", np.float32), "FP64": ("TYPE_FP64", np.float64),
    "BF16": ("TYPE_BF16", ml_dtypes.bfloat16),
}


def io(role, name, kind, dims, extra=""):
    return f'{role} {{ name: "{name}" data_type: {kind} dims: {dims} {extra} }}\n'


def pair(kind, dims, one="INPUT__0", other="OUTPUT__0"):
    return io("input", one, kind, dims) + io("output", other, kind, dims)


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return torch.make(tmp_path_factory.mktemp("files"))


def make_repository(root, files):
    def add(name, file, config, place="1/model.pt"):
        folder = add_model(root, name, f'name: "{name}"\n{SCRIPT}{config}')
        shutil.copy(files / f"{file}.pt", folder / place)

    for triton, (kind, _) in TYPES.items():
        add(f"same_{triton.lower()}", "same", pair(kind, "[-1, -1]"))
        add(f"rows_{triton.lower()}", "same", pair(kind, "[3]") + "max_batch_size: 8\n"
            "dynamic_batching { max_queue_delay_microseconds: 20000 }\n")
    picture, scores = "[3, 16, 16]", "[10]"
    network = io("input", "x", "TYPE_FP32", picture) + io("output", "scores", "TYPE_FP32", scores)
    add("network", "network", network + "max_batch_size: 16\ndynamic_batching { preferred_batch_size: [ 8 ] "
        "max_queue_delay_microseconds: 50000 }\ninstance_group { kind: KIND_CPU count: 2 }\n"
        + parameter("ENABLE_WEIGHT_SHARING", "true"))
    add("tuned", "network", network + "max_batch_size: 4\n" + "".join(parameter(k, v) for k, v in {
        "DISABLE_OPTIMIZED_EXECUTION": "true", "INFERENCE_MODE": "false", "DISABLE_CUDNN": "true",
        "ENABLE_CACHE_CLEANING": "true", "ENABLE_JIT_PROFILING": "false", "ENABLE_JIT_EXECUTOR": "false",
        "ENABLE_TENSOR_FUSER": "false", "INTRA_OP_THREAD_COUNT": 1, "INTER_OP_THREAD_COUNT": 1}.items()))
    add("model_kind", "network", network + "max_batch_size: 4\ninstance_group { kind: KIND_MODEL count: 1 }\n")
    add("untold", "network", "max_batch_size: 16\n")
    add("named", "same", pair("TYPE_FP32", "[2]") + 'default_model_filename: "other.pt"\n', "1/other.pt")
    folder = add_model(root, "backend_only", 'name: "backend_only"\nbackend: "pytorch"\n' + pair("TYPE_FP32", "[2]"))
    shutil.copy(files / "same.pt", folder / "1/model.pt")
    both = [("SUM", "TYPE_FP32"), ("DIFF", "TYPE_FP32")]
    outputs = "".join(io("output", name, kind, "[4]") for name, kind in both)
    indexed = io("output", "OUTPUT__1", "TYPE_FP32", "[4]") + io("output", "OUTPUT__0", "TYPE_FP32", "[4]")
    for name, (one, other) in {"by_argument": ("b", "a"), "by_index": ("INPUT__1", "INPUT__0"), "by_order": ("P", "Q")}.items():
        add(name, "add_sub", io("input", one, "TYPE_FP32", "[4]") + io("input", other, "TYPE_FP32", "[4]")
            + (indexed if name == "by_index" else outputs))
    add("dict", "dict", io("input", "b", "TYPE_FP32", "[2]") + io("input", "a", "TYPE_FP32", "[2]")
        + io("output", "OUTPUT__0", "TYPE_FP32", "[2]"))
    add("strings", "strings", pair("TYPE_STRING", "[-1]"))
    add("string_rows", "strings", io("input", "INPUT__0", "TYPE_STRING", "[1]", "reshape { shape: [ ] }")
        + io("output", "OUTPUT__0", "TYPE_STRING", "[1]", "reshape { shape: [ ] }") + "max_batch_size: 8\n"
        "dynamic_batching { max_queue_delay_microseconds: 20000 }\n")
    add("mixed", "mixed", io("input", "x", "TYPE_STRING", "[-1]") + io("input", "y", "TYPE_FP32", "[-1]")
        + io("output", "OUTPUT__0", "TYPE_STRING", "[-1]") + io("output", "OUTPUT__1", "TYPE_FP32", "[-1]"))
    add("in_place", "in_place", pair("TYPE_FP32", "[4]"))
    add("total", "total", io("input", "x", "TYPE_FP32", "[4]") + io("output", "OUTPUT__0", "TYPE_FP32", "[1]"))
    add("lazy", "lazy", io("input", "x", "TYPE_FP32", "[-1, -1]") + io("output", "OUTPUT__0", "TYPE_FP32", "[-1, -1]")
        + io("output", "OUTPUT__1", "TYPE_FP32", "[-1, -1]"))
    add("picky", "picky", pair("TYPE_FP32", "[-1]"))
    for name, more in {"counts_apart": "", "counts_together": parameter("ENABLE_WEIGHT_SHARING", "1")}.items():
        add(name, "counter", pair("TYPE_INT32", "[1]") + "instance_group { kind: KIND_CPU count: 2 }\n" + more)
    add("ragged", "ragged", "max_batch_size: 8\n" + io("input", "x", "TYPE_FP32", "[-1]", "allow_ragged_batch: true")
        + io("output", "OUTPUT__0", "TYPE_FP32", "[-1]")
        + 'batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_FP32 source_input: "x" }\n'
        'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "OUTPUT__0" source_input: "x" }\n'
        "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 2 ] }\n")
    add("too_few", "same", pair("TYPE_FP32", "[2]") + io("output", "OUTPUT__5", "TYPE_FP32", "[2]"))
    add("other_type", "same", io("input", "x", "TYPE_FP32", "[2]") + io("output", "OUTPUT__0", "TYPE_INT32", "[2]"))
    add("tensor_list", "tensor_list", pair("TYPE_FP32", "[2]"))
    add("dict_out", "dict_out", pair("TYPE_FP32", "[2]"))
    return root


@pytest.fixture(scope="module")
def repository(tmp_path_factory, files):
    return make_repository(tmp_path_factory.mktemp("torch"), files)


@pytest.fixture(scope="module")
def server(server_name, repository):
    with Server(server_name, repository, "--exit-on-error=false", timeout=120) as started:
        yield started


@pytest.fixture(scope="module")
def client(server):
    with http.InferenceServerClient(server.http_url, concurrency=16, network_timeout=60, connection_timeout=60) as c:
        yield c


def ask(client, name, arrays, outputs=None, types=None, **more):
    """{output: array} of one request."""
    names = {v[1]: k for k, v in TYPES.items()} | {np.object_: "BYTES"}
    inputs = []
    for key, array in arrays.items():
        tensor = http.InferInput(key, list(array.shape), (types or {}).get(key) or names[array.dtype.type])
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


def equal(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def sample(triton, shape, seed=1):
    random = np.random.default_rng(seed)
    numpy = TYPES[triton][1]
    if triton == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if triton == "BF16":  # values that bfloat16 has
        return random.integers(-128, 128, shape).astype(numpy)
    if numpy in (np.float16, np.float32, np.float64):
        return random.standard_normal(shape).astype(numpy)
    limits = np.iinfo(numpy)
    return random.integers(limits.min, limits.max, shape, dtype=numpy, endpoint=True)


@pytest.mark.parametrize("triton", TYPES)
def test_every_type_passes_unchanged(client, triton):
    array = sample(triton, (3, 5))
    got = ask(client, f"same_{triton.lower()}", {"INPUT__0": array}, types={"INPUT__0": triton})["OUTPUT__0"]
    assert equal(got, array)


@pytest.mark.parametrize("triton", TYPES)
def test_every_type_is_joined_and_divided(server, triton):
    def one(client, i):
        array = sample(triton, (1 + i % 2, 3), i)
        got = ask(client, f"rows_{triton.lower()}", {"INPUT__0": array}, types={"INPUT__0": triton})["OUTPUT__0"]
        return equal(got, array)

    assert all(ask_many(server, 16, one))


@pytest.mark.parametrize("name", ["network", "tuned", "model_kind"])
def test_network_is_libtorchs_bit_for_bit(client, files, name):
    for rows in (1, 3, 4):
        x = np.random.default_rng(rows).standard_normal((rows, 3, 16, 16)).astype(np.float32)
        want = torch.run(files / "network.pt", [x])[0]
        for _ in range(3):  # the executor profiles first, optimises then
            assert equal(ask(client, name, {"x": x})["scores"], want)


def test_a_file_whose_layers_tell_completes_the_configuration(server, client, files):
    config = json.loads(server.request("GET", "/v2/models/untold/config")[3])
    told = [(t["name"], t["data_type"], [int(n) for n in t["dims"]]) for t in config["input"] + config["output"]]
    assert told == [("INPUT__0", "TYPE_FP32", [3, -1, -1]), ("OUTPUT__0", "TYPE_FP32", [10])]
    x = sample("FP32", (5, 3, 16, 16))
    assert equal(ask(client, "untold", {"INPUT__0": x})["OUTPUT__0"], ask(client, "network", {"x": x})["scores"])


def test_batched_requests_get_their_own_rows(server, client, files):
    xs = [np.random.default_rng(i).standard_normal((1 + i % 3, 3, 16, 16)).astype(np.float32) for i in range(32)]
    want = torch.run(files / "network.pt", [np.concatenate(xs)])[0]
    got = ask_many(server, len(xs), lambda client, i: ask(client, "network", {"x": xs[i]})["scores"])
    assert [g.shape[0] for g in got] == [x.shape[0] for x in xs]
    # Rows of another batch size may take another kernel.
    assert np.allclose(np.concatenate(got), want, rtol=1e-6, atol=1e-7)
    stats = client.get_inference_statistics("network")["model_stats"][0]
    assert stats["inference_count"] > stats["execution_count"], "nothing was batched"
    assert stats["inference_stats"]["compute_infer"]["ns"] > 0


@pytest.mark.parametrize("name, first, second, outputs", [
    ("by_argument", "a", "b", ("SUM", "DIFF")), ("by_index", "INPUT__0", "INPUT__1", ("OUTPUT__0", "OUTPUT__1")),
    ("by_order", "P", "Q", ("SUM", "DIFF"))])
def test_naming_conventions(client, files, name, first, second, outputs):
    a, b = sample("FP32", (4,), 2), sample("FP32", (4,), 3)
    got, want = ask(client, name, {second: b, first: a}), torch.run(files / "add_sub.pt", [a, b])
    assert list(got) == sorted(outputs)
    assert equal(got[outputs[0]], want[0]) and equal(got[outputs[1]], want[1])
    assert list(ask(client, name, {first: a, second: b}, [outputs[1]])) == [outputs[1]]


def test_dict_of_tensors(client):
    got = ask(client, "dict", {"a": np.array([5, 7], np.float32), "b": np.array([1, 2], np.float32)})
    assert got["OUTPUT__0"].tolist() == [4, 5]


def test_lists_of_strings(client, server):
    words = np.array(["", "a", "straße", "x" * 300, "a\0b"], np.object_)
    assert ask(client, "strings", {"INPUT__0": words})["OUTPUT__0"].tolist() == [w.encode() for w in words]
    got = ask(client, "mixed", {"x": words[:2], "y": np.array([1, 2, 3], np.float32)})
    assert got["OUTPUT__0"].tolist() == [b"", b"a"] and got["OUTPUT__1"].tolist() == [2, 4, 6]

    def one(client, i):
        text = np.array([[f"{i} {'.' * i}"]], np.object_)
        return ask(client, "string_rows", {"INPUT__0": text})["OUTPUT__0"].ravel().tolist() == [text[0, 0].encode()]

    assert all(ask_many(server, 16, one))


def test_a_model_that_writes_to_its_input_leaves_the_clients_memory(client, server):
    x = np.array([1, 2, 3, 4], np.float32)
    body = {"inputs": [{"name": "INPUT__0", "shape": [4], "datatype": "FP32", "data": x.tolist()}]}
    for _ in range(3):
        status, _, _, reply = server.request("POST", "/v2/models/in_place/infer", json.dumps(body))
        assert status == 200 and json.loads(reply)["outputs"][0]["data"] == [2, 3, 4, 5]
        assert ask(client, "in_place", {"INPUT__0": x})["OUTPUT__0"].tolist() == [2, 3, 4, 5]


def test_results_that_are_views(client, files):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    got, want = ask(client, "lazy", {"x": x}), torch.run(files / "lazy.pt", [x])
    assert equal(got["OUTPUT__0"], want[0]) and equal(got["OUTPUT__1"], want[1])
    assert got["OUTPUT__0"].tolist() == x.T.tolist()


def test_scalar_and_empty_results(client):
    assert ask(client, "total", {"x": np.array([1, 2, 3, 4.5], np.float32)})["OUTPUT__0"].tolist() == [10.5]
    assert ask(client, "same_fp32", {"INPUT__0": np.zeros((2, 0), np.float32)})["OUTPUT__0"].shape == (2, 0)


def test_ragged_requests_in_one_batch(server, client):
    def one(client, i):
        length = [3, 5, 1, 8, 2, 6, 4, 7][i]
        x = np.arange(length, dtype=np.float32).reshape(1, length)
        return length, ask(client, "ragged", {"x": x})["OUTPUT__0"]

    for length, got in ask_many(server, 8, one):
        assert got.shape == (1, length)
        assert got.ravel().tolist() == [got[0, 0] + i for i in range(length)]
    stats = client.get_inference_statistics("ragged")["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"], "nothing was batched"


def test_state_is_an_instances_own_unless_weights_are_shared(server):
    def count(name):
        return sorted(int(ask_many(server, 1, lambda c, i: ask(c, name, {"INPUT__0": np.zeros(1, np.int32)})["OUTPUT__0"][0])[0])
                      for _ in range(24))

    assert count("counts_together")[-1] == 24
    apart = count("counts_apart")
    assert apart[-1] <= 24 and len(apart) == 24


@pytest.mark.parametrize("name", ["named", "backend_only"])
def test_where_the_model_is_found(client, name):
    assert ask(client, name, {"INPUT__0": np.array([1, -2], np.float32)})["OUTPUT__0"].tolist() == [1, -2]


FAILING = {
    "picky": (np.zeros(5, np.float32), "too many rows"),
    "too_few": (np.zeros(2, np.float32), "output 'OUTPUT__5' is result 5 of model 'too_few', which gives 1"),
    "other_type": (np.zeros(2, np.float32),
                   "configuration expects datatype TYPE_INT32 for output 'OUTPUT__0', model provides TYPE_FP32"),
    "tensor_list": (np.zeros(2, np.float32), "must be of type Tensor or List[str], received List[Tensor]"),
    "dict_out": (np.zeros(2, np.float32), "It should not be a List / Dictionary of Tensors or a Scalar"),
}


@pytest.mark.parametrize("name", FAILING)
def test_runs_that_fail_say_why(server, client, name):
    array, text = FAILING[name]
    key = "x" if name == "other_type" else "INPUT__0"
    for _ in range(2):
        with pytest.raises(Exception) as error:
            ask(client, name, {key: array})
        assert text in str(error.value)
    if name == "picky":
        assert ask(client, name, {key: array[:2]})["OUTPUT__0"].tolist() == [0, 0]
    assert server.alive()


BROKEN = {
    "silent": ("max_batch_size: 4\n", "twice", "model configuration must contain at least one input, none were specified."),
    "none": (pair("TYPE_FP32", "[2]"), None, "unable to find"),
    "garbage": (pair("TYPE_FP32", "[2]"), "garbage", "failed to load model 'garbage'"),
    "count": (pair("TYPE_FP32", "[2]"), "add_sub", "configuration expects 1 inputs, model provides 2"),
    "number": (io("input", "x", "TYPE_FP32", "[2]") + io("input", "factor", "TYPE_FP32", "[1]")
               + io("output", "OUTPUT__0", "TYPE_FP32", "[2]"), "number", "An input of type 'float' was detected in the model."),
    "two_dicts": (io("input", "x", "TYPE_FP32", "[2]") + io("input", "d", "TYPE_FP32", "[2]")
                  + io("output", "OUTPUT__0", "TYPE_FP32", "[2]"), "two_dicts", "Multiple inputs of kind DictType were detected"),
    "twice": (io("input", "INPUT__0", "TYPE_FP32", "[2]") + io("input", "OTHER__0", "TYPE_FP32", "[2]")
              + io("output", "OUTPUT__0", "TYPE_FP32", "[2]"), "add_sub", "are both argument 0 of model 'twice'"),
    "beyond": (io("input", "INPUT__0", "TYPE_FP32", "[2]") + io("input", "INPUT__7", "TYPE_FP32", "[2]")
               + io("output", "OUTPUT__0", "TYPE_FP32", "[2]"), "add_sub",
               "input 'INPUT__7' is argument 7 of model 'beyond', which takes 2"),
    "rank": (pair("TYPE_STRING", "[2, 2]"), "strings", "Triton only supports 1 dimensional List of String as input"),
    "flag": (pair("TYPE_FP32", "[2]") + parameter("INFERENCE_MODE", "maybe"), "same", "failed to convert 'maybe' to boolean"),
    "threads": (pair("TYPE_FP32", "[2]") + parameter("INTRA_OP_THREAD_COUNT", "many"), "same", "failed to convert 'many' to int"),
}


@pytest.fixture(scope="module")
def broken(server_name, files, tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    for name, (config, file, _) in BROKEN.items():
        folder = add_model(root, name, f'name: "{name}"\n{SCRIPT}{config}')
        if file == "garbage":
            (folder / "1/model.pt").write_bytes(b"not a model")
        elif file is not None:
            shutil.copy(files / f"{file}.pt", folder / "1/model.pt")
    folder = add_model(root, "package", 'name: "package"\nplatform: "torch_aoti"\n' + pair("TYPE_FP32", "[2]"))
    (folder / "1/model.pt2").write_bytes(b"not a package")
    with Server(server_name, root, "--exit-on-error=false", "--model-control-mode=explicit") as started:
        yield started


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_refused_by_name(broken, name):
    status, _, _, reply = broken.request("POST", f"/v2/repository/models/{name}/load", "{}")
    assert status == 400 and BROKEN[name][2] in json.loads(reply)["error"], reply.decode()
    assert broken.alive()


def test_packages_are_refused_by_a_libtorch_that_is_too_old(broken, server_name):
    if tuple(map(int, torch.version().split(".")[:2])) >= (2, 6):
        pytest.skip("this libtorch can load packages")
    if server_name == "peer":
        pytest.skip("Triton 2.51 does not know the platform torch_aoti")
    status, _, _, reply = broken.request("POST", "/v2/repository/models/package/load", "{}")
    assert status == 400 and "(model.pt2) need libtorch 2.6 or newer" in json.loads(reply)["error"], reply.decode()


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Made by PyTorch itself: NEREID_TORCH_PYTHON names a Python that has one of the version that the backend is built with."""
    python = os.environ.get("NEREID_TORCH_PYTHON")
    if tuple(map(int, torch.version().split(".")[:2])) < (2, 6) or not python:
        pytest.skip("packages (model.pt2) need libtorch 2.6 or newer, and NEREID_TORCH_PYTHON")
    folder = pathlib.Path(os.environ.get("NEREID_TORCH_PACKAGES") or tmp_path_factory.mktemp("packages"))
    if not (folder / "device").exists():
        subprocess.run([python, pathlib.Path(__file__).parent / "torch_packages.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def package_server(server_name, packages, tmp_path_factory):
    root = tmp_path_factory.mktemp("pt2")
    on_gpu = (packages / "device").read_text() == "cuda"
    group = f"instance_group {{ kind: {'KIND_GPU' if on_gpu else 'KIND_CPU'} count: 1 }}\n"
    head = 'backend: "pytorch"\ndefault_model_filename: "model.pt2"\n' + group

    def add(name, file, config):
        folder = add_model(root, name, f'name: "{name}"\n{config}')
        shutil.copy(packages / f"{file}.pt2", folder / "1/model.pt2")

    network = io("input", "ARGS[0]", "TYPE_FP32", "[3, 16, 16]") + io("output", "RESULT", "TYPE_FP32", "[10]")
    add("network", "network", head + "max_batch_size: 16\ndynamic_batching { }\n" + network)
    add("ordinal", "nested", head + "".join(io("input", f"INPUT__{i}", "TYPE_FP32", "[2, 3]") for i in (3, 2, 0, 1))
        + "".join(io("output", f"OUTPUT__{i}", "TYPE_FP32", "[2, 3]") for i in range(3)))
    inputs, outputs = ("ARGS[0]", "ARGS[1][b]", "ARGS[1][a]", "KWARGS[scale]"), ("RESULT[sum]", "RESULT[more][0]", "RESULT[more][1]")
    add("named", "nested", head + "".join(io("input", n, "TYPE_FP32", "[2, 3]") for n in inputs)
        + "".join(io("output", n, "TYPE_FP32", "[2, 3]") for n in outputs))
    add("unknown", "network", head + pair("TYPE_FP32", "[3, 16, 16]", "ARGS[7]", "RESULT"))
    add("beyond", "network", head + network.replace("ARGS[0]", "INPUT__9"))
    if server_name == "nereid":
        add("aoti", "network", 'platform: "torch_aoti"\nmax_batch_size: 4\n' + group + network)
    with Server(server_name, root, "--exit-on-error=false", timeout=120) as started:
        yield started


def test_package_is_pytorchs(package_server, packages, server_name):
    known = np.load(packages / "network.npz")
    with http.InferenceServerClient(package_server.http_url, network_timeout=60) as client:
        for name in ["network"] + (["aoti"] if server_name == "nereid" else []):
            got = ask(client, name, {"ARGS[0]": known["x"]})["RESULT"]
            assert equal(got, known["y"]) if (packages / "device").read_text() == "cpu" else np.allclose(got, known["y"], atol=1e-5)

    def one(client, i):
        rows = slice(i % 4, i % 4 + 1)
        return np.allclose(ask(client, "network", {"ARGS[0]": known["x"][rows]})["RESULT"], known["y"][rows], rtol=1e-5, atol=1e-6)

    assert all(ask_many(package_server, 16, one))


def test_package_names(package_server):
    x, a, b, scale = (np.full((2, 3), v, np.float32) for v in (1, 10, 100, 3))
    with http.InferenceServerClient(package_server.http_url, network_timeout=60) as client:
        named = ask(client, "named", {"KWARGS[scale]": scale, "ARGS[1][a]": a, "ARGS[0]": x, "ARGS[1][b]": b})
        ordinal = ask(client, "ordinal", {"INPUT__0": x, "INPUT__1": a, "INPUT__2": b, "INPUT__3": scale})
    assert [named[f"RESULT{n}"][0, 0] for n in ("[sum]", "[more][0]", "[more][1]")] == [11, 3, 99]
    assert [ordinal[f"OUTPUT__{i}"][0, 0] for i in range(3)] == [11, 3, 99]


def test_package_with_a_name_that_it_does_not_have_is_refused(package_server):
    index = json.loads(package_server.request("POST", "/v2/repository/index")[3])
    reasons = {row["name"]: row.get("reason", "") for row in index}
    assert "unexpected inference input 'ARGS[7]', allowed inputs are: ARGS[0]" in reasons["unknown"]
    assert "unexpected inference input 'INPUT__9'" in reasons["beyond"]
