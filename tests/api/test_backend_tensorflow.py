# SPDX-License-Identifier: Apache-2.0
"""The tensorflow backend, in each server that is there: results are TensorFlow's own, on the same files.

Expected values come from TensorFlow in this process. A session and a function of TensorFlow may choose different kernels
for one graph, so a network's results may differ in their last bits: TOLERANCE. Everything else is compared bit for bit.
"""

import concurrent.futures
import json

import frameworks
import numpy as np
import pytest

tf = frameworks.tensorflow()
http = pytest.importorskip("tritonclient.http")

import tf_models as models  # noqa: E402
from servers import Server, add_model  # noqa: E402

TOLERANCE = dict(rtol=1e-6, atol=1e-7)
SAVED = 'platform: "tensorflow_savedmodel"\n'
GRAPH = 'platform: "tensorflow_graphdef"\n'


def io(role, name, kind, dims, extra=""):
    return f'{role} {{ name: "{name}" data_type: {kind} dims: {dims} {extra} }}\n'


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


def make_repository(root):
    def saved(name, make, *arguments, config=SAVED, file="1/model.savedmodel"):
        folder = add_model(root, name, None if config is None else f'name: "{name}"\n{config}')
        make(folder / file, *arguments)
        return folder

    for triton, (kind, _, dtype) in models.TYPES.items():
        saved(f"same_{triton.lower()}", models.identity, dtype, [None, None])
        saved(f"rows_{triton.lower()}", models.identity, dtype, [None, 3], config=SAVED + "max_batch_size: 8\n"
              "dynamic_batching { max_queue_delay_microseconds: 20000 }\n" + io("input", "x", kind, "[3]")
              + io("output", "y", kind, "[3]"))
    saved("network", models.network, config=SAVED + "max_batch_size: 16\ndynamic_batching { preferred_batch_size: [ 8 ] "
          "max_queue_delay_microseconds: 50000 }\n" + parameter("MAX_SESSION_SHARE_COUNT", 2))
    saved("tuned", models.network, config=SAVED + "max_batch_size: 4\noptimization { graph { level: -1 } }\n"
          + parameter("TF_NUM_INTRA_THREADS", 1) + parameter("TF_NUM_INTER_THREADS", 1)
          + parameter("TF_USE_PER_SESSION_THREADS", "on"))
    saved("guessed", models.identity, tf.float32, [2], config=None)
    saved("named", models.identity, tf.float32, [2], file="1/other",
          config=SAVED + 'default_model_filename: "other"\n')
    saved("scalar", lambda p: models.save(p, {"x": (tf.float32, [2])}, lambda x: {"total": tf.reduce_sum(x)}))
    saved("scalar_input", lambda p: models.save(p, {"f": (tf.float32, [])}, lambda f: {"y": f * tf.ones([3])}))
    saved("any_shape", lambda p: models.save(p, {"x": (tf.float32, None)}, lambda x: {"y": x * 2.0}),
          config=SAVED + io("input", "x", "TYPE_FP32", "[-1, 2]") + io("output", "y", "TYPE_FP32", "[-1, 2]"))
    saved("any_shape_add", lambda p: models.save(p, {"x": (tf.float32, None)}, lambda x: {"y": x + tf.ones([2])}),
          config=SAVED + io("input", "x", "TYPE_FP32", "[-1, -1]") + io("output", "y", "TYPE_FP32", "[-1, -1]"))
    saved("mixed", lambda p: models.save(p, {"a": (tf.float32, [None, 2]), "b": (tf.string, [None, 1])}, lambda a, b: {
        "sum": tf.reduce_sum(a, 1, keepdims=True), "text": tf.strings.join([tf.repeat(b, 2, 1), tf.strings.as_string(a)], "/"),
        "unused": tf.cast(a, tf.int64)}), config=SAVED + "max_batch_size: 4\n"
          + io("output", "text", "TYPE_STRING", "[2]") + io("output", "sum", "TYPE_FP32", "[1]"))
    saved("part", lambda p: models.save(p, {"x": (tf.float32, [None, 2])}, lambda x: {"y": x, "z": -x}),
          config=SAVED + "max_batch_size: 2\n" + 'output { name: "z" }\n')
    saved("counts_apart", models.counter, config=SAVED + "instance_group { kind: KIND_CPU count: 2 }\n")
    saved("counts_together", models.counter, config=SAVED + "instance_group { kind: KIND_CPU count: 2 }\n"
          + parameter("MAX_SESSION_SHARE_COUNT", 2))
    for name, more in {"tag_serve": "", "tag_other": parameter("TF_GRAPH_TAG", "other"),
                       "signature": parameter("TF_SIGNATURE_DEF", "negated")}.items():
        saved(name, models.two_tags, config=SAVED + more)
    saved("odd_signature", lambda p: models.save(p, {"x": (tf.float32, [2])}, lambda x: {"y": x}, "predict"))
    saved("ragged", models.ragged, config=SAVED + "max_batch_size: 8\n"
          + io("input", "x", "TYPE_FP32", "[-1]", "allow_ragged_batch: true") + io("output", "y", "TYPE_FP32", "[-1]")
          + 'batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_FP32 source_input: "x" }\n'
          'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "y" source_input: "x" }\n'
          "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 2 ] }\n")
    arithmetic = io("input", "A", "TYPE_FP32", "[4]") + io("input", "B", "TYPE_FP32", "[4]")
    folder = add_model(root, "graph", f'name: "graph"\n{GRAPH}max_batch_size: 8\n' + arithmetic + "".join(
        io("output", name, "TYPE_STRING" if name == "TEXT" else "TYPE_FP32", "[4]") for name in ("SUM", "DIFF", "TEXT")))
    models.graph_arithmetic(folder / "1/model.graphdef")
    for name, place in (("init_version", "1/"), ("init_model", "")):
        folder = add_model(root, name, f'name: "{name}"\n{GRAPH}' + io("input", "X", "TYPE_STRING", "[-1]")
                           + io("output", "Y", "TYPE_INT64", "[-1]") + parameter("TF_INIT_OPS_FILE", "ops.json"),
                           {place + "ops.json": '{"init_ops": ["fill"]}'})
        models.graph_with_init(folder / "1/model.graphdef")
    return root


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("tf"))


@pytest.fixture(scope="module")
def server(server_name, repository):
    with Server(server_name, repository, "--exit-on-error=false", timeout=180) as started:
        yield started


@pytest.fixture(scope="module")
def client(server):
    with http.InferenceServerClient(server.http_url, concurrency=16, network_timeout=60, connection_timeout=60) as c:
        yield c


def ask(client, name, arrays, outputs=None, types=None, **more):
    """{output: array} of one request."""
    names = {v[1]: k for k, v in models.TYPES.items()}
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
    if b.dtype == np.object_:
        return a.shape == b.shape and [x if isinstance(x, bytes) else x.encode() for x in a.ravel()] == [
            x if isinstance(x, bytes) else x.encode() for x in b.ravel()]
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def sample(triton, shape, seed=1):
    random = np.random.default_rng(seed)
    numpy = models.TYPES[triton][1]
    if triton == "BYTES":
        words = ["", "a", "straße", "x" * 300, "日本", "tab\tnew\nline", "twenty-two bytes long.", "twenty-three bytes long"]
        return np.array([words[i] for i in random.integers(0, len(words), int(np.prod(shape)))], np.object_).reshape(shape)
    if triton == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if triton == "BF16":  # values that bfloat16 has
        return random.integers(-128, 128, shape).astype(numpy)
    if numpy in (np.float16, np.float32, np.float64):
        return random.standard_normal(shape).astype(numpy)
    limits = np.iinfo(numpy)
    return random.integers(limits.min, limits.max, shape, dtype=numpy, endpoint=True)


@pytest.mark.parametrize("triton", models.TYPES)
def test_every_type_passes_unchanged(client, triton):
    array = sample(triton, (3, 5))
    assert equal(ask(client, f"same_{triton.lower()}", {"x": array}, types={"x": triton})["y"], array)


@pytest.mark.parametrize("triton", models.TYPES)
def test_every_type_is_joined_and_divided(server, triton):
    def one(client, i):
        array = sample(triton, (1 + i % 2, 3), i)
        return equal(ask(client, f"rows_{triton.lower()}", {"x": array}, types={"x": triton})["y"], array)

    assert all(ask_many(server, 16, one))


@pytest.mark.parametrize("name", ["network", "tuned"])
def test_network_is_tensorflows(client, repository, name):
    for rows in (1, 3, 4):
        x = np.random.default_rng(rows).standard_normal((rows, 16, 16, 3)).astype(np.float32)
        got, want = ask(client, name, {"x": x})["y"], models.run(repository / name / "1/model.savedmodel", {"x": x})["y"]
        assert got.shape == want.shape and np.allclose(got, want, **TOLERANCE)


def test_batched_requests_get_their_own_rows(server, client, repository):
    xs = [np.random.default_rng(i).standard_normal((1 + i % 3, 16, 16, 3)).astype(np.float32) for i in range(32)]
    want = models.run(repository / "network/1/model.savedmodel", {"x": np.concatenate(xs)})["y"]
    got = ask_many(server, len(xs), lambda client, i: ask(client, "network", {"x": xs[i]})["y"])
    assert [g.shape[0] for g in got] == [x.shape[0] for x in xs]
    assert np.allclose(np.concatenate(got), want, **TOLERANCE)
    stats = client.get_inference_statistics("network")["model_stats"][0]
    assert stats["inference_count"] > stats["execution_count"], "nothing was batched"
    assert stats["inference_stats"]["compute_infer"]["ns"] > 0


def test_graphdef(client):
    a, b = sample("FP32", (3, 4), 2), sample("FP32", (3, 4), 3)
    got = ask(client, "graph", {"A": a, "B": b})
    assert list(got) == ["DIFF", "SUM", "TEXT"]
    assert equal(got["SUM"], a + b) and equal(got["DIFF"], a - b)
    assert equal(got["TEXT"], tf.strings.as_string(a).numpy())
    assert list(ask(client, "graph", {"A": a, "B": b}, ["SUM"])) == ["SUM"]


@pytest.mark.parametrize("name", ["init_version", "init_model"])
def test_initial_operations_have_run(client, name):
    assert ask(client, name, {"X": np.array(["b", "a", "other"], np.object_)})["Y"].tolist() == [1, 0, 2]


def test_tags_and_signatures(client):
    x = np.array([[1, -2]], np.float32)
    assert ask(client, "tag_serve", {"x": x})["y"].tolist() == [[2, -4]]
    assert ask(client, "tag_other", {"x": x})["y"].tolist() == [[3, -6]]
    assert ask(client, "signature", {"x": x})["z"].tolist() == [[-2, 4]]
    assert ask(client, "odd_signature", {"x": x[0]})["y"].tolist() == [1, -2]


@pytest.mark.parametrize("name", ["guessed", "named"])
def test_where_the_model_is_found(client, name):
    assert ask(client, name, {"x": np.array([1, -2], np.float32)})["y"].tolist() == [1, -2]


def test_scalars_and_open_ranks(client):
    assert ask(client, "scalar", {"x": np.array([1, 2.5], np.float32)})["total"].tolist() == [3.5]
    assert ask(client, "scalar_input", {"f": np.array([2.5], np.float32)})["y"].tolist() == [2.5] * 3
    assert ask(client, "any_shape", {"x": np.array([[1, 2]], np.float32)})["y"].tolist() == [[2, 4]]


def test_strings_beside_numbers(client):
    got = ask(client, "mixed", {"a": np.array([[1, 2], [3, 4]], np.float32), "b": np.array([["p"], ["q"]], np.object_)})
    assert list(got) == ["sum", "text"] and got["sum"].tolist() == [[3], [7]]
    assert got["text"].tolist() == [[b"p/1.000000", b"p/2.000000"], [b"q/3.000000", b"q/4.000000"]]


def test_output_of_no_elements(client):
    assert ask(client, "same_fp32", {"x": np.zeros((2, 0), np.float32)})["y"].shape == (2, 0)


def test_ragged_requests_in_one_batch(server, client):
    def one(client, i):
        length = [3, 5, 1, 8, 2, 6, 4, 7][i]
        x = np.arange(length, dtype=np.float32).reshape(1, length)
        return length, ask(client, "ragged", {"x": x}, ["y"])["y"]

    for length, got in ask_many(server, 8, one):
        assert got.shape == (1, length)
        assert got.ravel().tolist() == [got[0, 0] + i for i in range(length)]
    stats = client.get_inference_statistics("ragged")["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"], "nothing was batched"


def test_variables_are_an_instances_own_unless_shared(server):
    def count(name):
        return sorted(ask_many(server, 24, lambda c, i: ask(c, name, {"x": np.zeros(1, np.int32)})["y"][0]))

    together = count("counts_together")
    assert together[-1] == 24
    apart = count("counts_apart")
    assert apart[-1] <= 24 and sum(apart) <= sum(together)


def test_completed_configuration(client):
    config = client.get_model_config("same_fp32")
    assert config["max_batch_size"] == 4 and config["dynamic_batching"] is not None
    assert [(i["name"], i["data_type"], i["dims"]) for i in config["input"]] == [("x", "TYPE_FP32", [-1])]
    config = client.get_model_config("scalar")
    assert config["max_batch_size"] == 0 and "dynamic_batching" not in config
    assert config["output"][0]["dims"] == [1]
    config = client.get_model_config("guessed")
    assert (config["backend"], config["platform"]) == ("tensorflow", "tensorflow_savedmodel")
    config = client.get_model_config("part")
    assert [(o["name"], o["data_type"], o["dims"]) for o in config["output"]] == [("z", "TYPE_FP32", [2])]
    assert [i["name"] for i in config["input"]] == ["x"]
    # Two instances a CPU group unless told otherwise, as in Triton.
    assert client.get_model_config("tuned")["instance_group"][0]["count"] == 2


def test_error_of_a_run_is_told_and_the_server_lives(server, client):
    with pytest.raises(Exception, match="(?i)shape|incompatible|dimension"):
        ask(client, "any_shape_add", {"x": np.zeros((1, 3), np.float32)})
    assert server.alive()


BROKEN = {
    "none": (SAVED, None, "unable to find"),
    "garbage": (SAVED, "garbage", "Could not find"),
    "graph_garbage": (GRAPH + io("input", "A", "TYPE_FP32", "[4]") + io("output", "B", "TYPE_FP32", "[4]"),
                      "graph_garbage", "Invalid GraphDef"),
    "graph_name": (GRAPH + io("input", "Z", "TYPE_FP32", "[4]") + io("output", "SUM", "TYPE_FP32", "[-1, 4]"), "graph",
                   "unexpected inference input 'Z', allowed inputs are: A, B"),
    "graph_count": (GRAPH + "".join(io("input", n, "TYPE_FP32", "[4]") for n in "ABC")
                    + io("output", "SUM", "TYPE_FP32", "[-1, 4]"), "graph",
                    "configuration expects 3 inputs, model provides at most 2"),
    "tag": (SAVED + parameter("TF_GRAPH_TAG", "nobody"), "plain", "nobody"),
    "signature": (SAVED + parameter("TF_SIGNATURE_DEF", "nobody"), "plain",
                  "unable to load model 'signature', expected 'nobody' signature"),
    "batch": (SAVED + "max_batch_size: 4\n", "plain",
              "configuration specified max-batch 4 but model signature does not support batching"),
    "type": (SAVED + io("input", "x", "TYPE_INT32", "[2]") + io("output", "y", "TYPE_FP32", "[2]"), "plain",
             "configuration expects datatype TYPE_INT32 for input 'x', model provides TYPE_FP32"),
    "dims": (SAVED + io("input", "x", "TYPE_FP32", "[3]") + io("output", "y", "TYPE_FP32", "[2]"), "plain",
             "the model expects 1 dimensions (shape [2]) but the model configuration specifies 1 dimensions (shape [3])"),
    "output": (SAVED + io("output", "q", "TYPE_FP32", "[2]"), "plain",
               "unexpected inference output 'q', allowed outputs are: y"),
    "complex": (SAVED, "complex", "unsupported datatype 'DT_COMPLEX64'"),
    "rank": (SAVED, "rank", "the rank of model tensor 'x' is 0 and dimensions are not defined"),
    "share": (SAVED + parameter("MAX_SESSION_SHARE_COUNT", 0), "plain",
              "parameter 'MAX_SESSION_SHARE_COUNT' must be positive number"),
    "threads": (SAVED + parameter("TF_NUM_INTRA_THREADS", "many"), "plain", "failed to convert 'many' to int"),
    "accelerator": (SAVED + 'optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "openvino" } ] } }\n',
                    "plain", "CPU Execution Accelerator is not supported in TensorFlow backend"),
    "plugin": (SAVED + 'model_operations { op_library_filename: "/nonexistent.so" }\n', "plain", "/nonexistent.so"),
    "ops": (SAVED + parameter("TF_INIT_OPS_FILE", "ops.json"), "plain", "ops.json"),
}
FILES = {
    "plain": lambda folder: models.identity(folder / "1/model.savedmodel", tf.float32, [2]),
    "garbage": lambda folder: (folder / "1/model.savedmodel").mkdir(),
    "graph": lambda folder: models.graph_arithmetic(folder / "1/model.graphdef"),
    "graph_garbage": lambda folder: (folder / "1/model.graphdef").write_bytes(b"not a graph"),
    "complex": lambda folder: models.identity(folder / "1/model.savedmodel", tf.complex64, [2]),
    "rank": lambda folder: models.identity(folder / "1/model.savedmodel", tf.float32, None),
}


@pytest.fixture(scope="module")
def broken(server_name, tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    for name, (config, file, _) in BROKEN.items():
        folder = add_model(root, name, f'name: "{name}"\n{config}')
        if file is not None:
            FILES[file](folder)
    with Server(server_name, root, "--exit-on-error=false", "--model-control-mode=explicit") as started:
        yield started


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_refused_by_name(broken, name):
    status, _, _, reply = broken.request("POST", f"/v2/repository/models/{name}/load", "{}", timeout=60)
    assert status == 400 and BROKEN[name][2] in json.loads(reply)["error"], reply.decode()
    assert broken.alive()


def test_library_that_is_not_there_is_named(server_name, repository, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/guessed").symlink_to(repository / "guessed")
    nowhere = str(tmp_path / "nowhere.so")
    with Server(server_name, tmp_path / "r", "--exit-on-error=false", env={"NEREID_TENSORFLOW": nowhere}) as started:
        assert nowhere in started.log and "NEREID_TENSORFLOW" in started.log


def test_library_is_named_by_a_setting(server_name, repository, tmp_path):
    (tmp_path / "guessed").symlink_to(repository / "guessed")
    library = frameworks.FOLDER / "tensorflow/tensorflow/libtensorflow_cc.so.2"
    with Server(server_name, tmp_path, f"--backend-config=tensorflow,library-path={library}",
                "--backend-config=tensorflow,default-max-batch-size=2") as started:
        assert f"TensorFlow {tf.__version__} from '{library}'" in started.log
