# SPDX-License-Identifier: Apache-2.0
"""The tensorrt backend without TensorRT and without a GPU: a pretended TensorRT (tests/support/fake_trt), whose plans are text, on the
pretended driver. What real plans give is measured by bench/gpu_tensorrt.py."""

import shutil
import subprocess
import time

import numpy as np
import pytest
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

from servers import BACKENDS, PLAIN_BACKENDS, PREFIX, Server, add_model

FAKE = PREFIX / "tests/fake"
FAKE_TRT = PREFIX / "tests/fake_trt"
PLAN = "input x FP32 -1,4\noutput y FP32 -1,4 copy x\nrange x 0 1,4 2,4 8,4\n"
CONFIG = """platform: "tensorrt_plan"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
instance_group { kind: KIND_GPU count: 1 gpus: [ 0 ] }
"""


class Machine(Server):
    """A server that does not wait for its clients to leave before it ends."""

    def __init__(self, *arguments, **more):
        self.clients = []
        super().__init__(*arguments, **more)

    def leave(self):
        while self.clients:
            self.clients.pop().close()

    def terminate(self, timeout=40):
        self.leave()
        return super().terminate(timeout)

    def stop(self):
        self.leave()
        super().stop()


@pytest.fixture
def machine(tmp_path):
    """Makes a server: the backend in a folder with the pretended shim, a repository, two GPUs."""
    folder = tmp_path / "backends/tensorrt"
    folder.mkdir(parents=True)
    (folder / "libtriton_tensorrt.so").symlink_to((BACKENDS / "tensorrt/libtriton_tensorrt.so").resolve())
    (folder / "libnereid_trt_8.5.so").symlink_to((FAKE_TRT / "libnvinfer.so.8").resolve())

    def start(*arguments, gpus="gpus=2,memory=2G", **more):
        env = {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": gpus, "FAKE_TRT_TRACE": str(tmp_path / "trace"), "NEREID_TENSORRT": str(FAKE_TRT)}
        return Machine("nereid", tmp_path / "models", f"--backend-directory={tmp_path / 'backends'}", *arguments, env=env, **more)
    start.models = tmp_path / "models"
    start.trace = lambda: (tmp_path / "trace").read_text().splitlines()
    return start


def model(machine, name="m", plan=PLAN, config=CONFIG, file="model.plan"):
    add_model(machine.models, name, config, {f"1/{file}": plan})


def client(server):
    c = http_client.InferenceServerClient(server.http_url, concurrency=16)
    getattr(server, "clients", []).append(c)
    return c


def infer(c, values, name="m", inputs="x", outputs=("y",), **more):
    tensors = []
    for key, array in (values if isinstance(values, dict) else {inputs: values}).items():
        kind = {"float32": "FP32", "float16": "FP16", "int32": "INT32", "int64": "INT64", "int8": "INT8", "bool": "BOOL", "uint8": "UINT8"}
        tensor = http_client.InferInput(key, list(array.shape), kind[str(array.dtype)])
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    result = c.infer(name, tensors, outputs=[http_client.InferRequestedOutput(o) for o in outputs], **more)
    return {o: result.as_numpy(o) for o in outputs}


def together(c, requests, name="m", outputs=("y",)):
    """All at once: [array of x] -> [answer y]."""
    running = []
    for x in requests:
        tensor = http_client.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        running.append(c.async_infer(name, [tensor], outputs=[http_client.InferRequestedOutput(o) for o in outputs]))
    return [r.get_result().as_numpy(outputs[0]) for r in running]


def rows(count, first=0.0, width=4):
    return np.arange(count * width, dtype=np.float32).reshape(count, width) + np.float32(first)


def load_error(machine, name="m"):
    with machine("--exit-on-error=false") as server:
        c = client(server)
        found = next(entry for entry in c.get_model_repository_index() if entry["name"] == name)
        assert found["state"] == "UNAVAILABLE", found
        return found["reason"]


# ---- serving ----

def statistics(c, good, bad=0, name="m"):
    """The statistics of a model once so many requests are in them: answers go out first."""
    end = time.monotonic() + 20
    while True:
        stats = c.get_inference_statistics(name)["model_stats"][0]
        counts = [stats["inference_stats"][kind]["count"] for kind in ("success", "fail")]
        if counts == [good, bad] or time.monotonic() > end:
            assert counts == [good, bad]
            return stats
        time.sleep(0.02)


def test_a_plan_is_served_and_answers(machine):
    model(machine)
    with machine() as server:
        c = client(server)
        for count in (1, 3, 8):
            x = rows(count)
            assert np.array_equal(infer(c, x)["y"], x)
        stats = statistics(c, 3)
    assert stats["inference_count"] == 12 and stats["inference_stats"]["compute_infer"]["count"] == 3


def test_the_seeds_file_name_is_taken(machine):
    model(machine, config=CONFIG + 'default_model_filename: "model.trt"\n', file="model.trt")
    with machine() as server:
        assert np.array_equal(infer(client(server), rows(2))["y"], rows(2))


def test_a_file_for_the_compute_capability_is_taken(machine):
    model(machine, config=CONFIG + 'cc_model_filenames { key: "9.0" value: "hopper.plan" }\n', file="hopper.plan")
    with machine() as server:
        assert np.array_equal(infer(client(server), rows(2))["y"], rows(2))


@pytest.mark.parametrize("kind, dtype", [("FP16", np.float16), ("INT8", np.int8), ("INT32", np.int32), ("INT64", np.int64),
                                         ("BOOL", np.bool_), ("UINT8", np.uint8)])
def test_types_pass(machine, kind, dtype):
    model(machine, plan=PLAN.replace("FP32", kind), config=CONFIG.replace("FP32", kind))
    x = (rows(3) % 2).astype(dtype)
    with machine() as server:
        y = infer(client(server), x)["y"]
    assert y.dtype == dtype and np.array_equal(x, y)


def test_requests_that_are_joined_get_their_own_rows(machine):
    slow = PLAN + "slow 30\n"
    model(machine, plan=slow, config=CONFIG + "dynamic_batching { max_queue_delay_microseconds: 20000 }\n")
    with machine() as server:
        c = client(server)
        answers = together(c, [rows(1 + k % 2, 100 * k) for k in range(12)])
        stats = statistics(c, 12)
    for k, answer in enumerate(answers):
        assert np.array_equal(answer, rows(1 + k % 2, 100 * k)), k
    assert stats["inference_count"] == 18 and stats["execution_count"] < 12


def test_the_next_batch_is_queued_while_one_computes(machine):
    model(machine, plan=PLAN + "slow 150\n")
    with machine("--disable-auto-complete-config") as server:
        together(client(server), [rows(1, k) for k in range(4)])
    events = [line.split()[0] for line in machine.trace() if line.startswith(("enqueue", "done"))]
    ahead, most = 0, 0
    for event in events:
        ahead += 1 if event == "enqueue" else -1
        most = max(most, ahead)
    assert events.count("enqueue") == 4 and most == 3 or most == 2, events


def test_an_instance_a_gpu_shares_nothing_it_must_not(machine):
    model(machine, config=CONFIG.replace("count: 1 gpus: [ 0 ]", "count: 2 gpus: [ 0, 1 ]"))
    with machine() as server:
        c = client(server)
        for k in range(20):
            assert np.array_equal(infer(c, rows(2, k))["y"], rows(2, k))
    assert machine.trace().count("load") == 4  # open shapes: before release 10 each instance has its own


def test_a_plan_of_fixed_shapes_is_shared_by_a_gpus_instances(machine):
    model(machine, plan="input x FP32 1,4\noutput y FP32 1,4 copy x\n", config=CONFIG.replace("max_batch_size: 8", "max_batch_size: 1").replace(
        "count: 1", "count: 3"))
    with machine() as server:
        assert np.array_equal(infer(client(server), rows(1))["y"], rows(1))
        assert server.terminate() == 0
    assert machine.trace().count("load") == 1 and machine.trace().count("unload") == 1


def test_a_run_that_fails_answers_with_the_reason_and_service_goes_on(machine):
    model(machine, plan=PLAN + "fail enqueue\n")
    model(machine, name="good")
    with machine() as server:
        c = client(server)
        for _ in range(5):
            with pytest.raises(InferenceServerException, match="unable to enqueue for m_0_0: made to fail: enqueue"):
                infer(c, rows(2))
        assert np.array_equal(infer(c, rows(2), name="good")["y"], rows(2))
        statistics(c, 0, bad=5)


def test_device_memory_is_flat_over_loads(machine):
    model(machine, config=CONFIG + "optimization { cuda { graphs: true } }\n")
    with machine("--model-control-mode=explicit", "--load-model=m") as server:
        c = client(server)

        def used():
            text = server.metrics()
            return [line for line in text.splitlines() if line.startswith("nv_gpu_memory_used_bytes")][0].split()[-1]
        seen = []
        for _ in range(20):
            c.unload_model("m")
            end = time.monotonic() + 30
            while c.is_model_ready("m") and time.monotonic() < end:
                time.sleep(0.01)
            c.load_model("m")
            infer(c, rows(8))
            seen.append(used())
        assert len(set(seen[2:])) == 1, seen


# ---- completion ----

def completed(server, name="m"):
    return client(server).get_model_config(name)


def test_a_model_without_a_configuration_is_completed_from_its_plan(machine):
    model(machine, config=None)
    with machine() as server:
        config = completed(server)
        assert np.array_equal(infer(client(server), rows(5))["y"], rows(5))
    assert config["platform"] == "tensorrt_plan" and config["max_batch_size"] == 8 and "dynamic_batching" in config
    assert config["input"][0]["name"] == "x" and config["input"][0]["dims"] in ([4], ["4"]) and config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["output"][0]["name"] == "y" and config["output"][0]["dims"] in ([4], ["4"])


@pytest.mark.parametrize("config, limit", [
    ("", 8),
    ("max_batch_size: 3", 3),
    ('input { name: "x" dims: [ 4 ] data_type: TYPE_FP32 }', 8),
    ('input { name: "x" dims: [ -1, 4 ] data_type: TYPE_FP32 }', 0),
    ('instance_group { kind: KIND_GPU profile: [ "1" ] }', 32),
    ('instance_group { kind: KIND_GPU profile: [ "0", "1" ] }', 32),
])
def test_the_batch_limit_is_that_of_the_profiles(machine, config, limit):
    plan = "profiles 2\n" + PLAN + "range x 1 1,4 16,4 32,4\n"
    model(machine, plan=plan, config=f'platform: "tensorrt_plan"\n{config}\n')
    with machine() as server:
        found = completed(server)
    assert found["max_batch_size"] == limit
    assert ("dynamic_batching" in found) == (limit > 1)


@pytest.mark.parametrize("config, text", [
    ("max_batch_size: 9", "configuration specified max-batch 9 but TensorRT engine only supports max-batch 8"),
    ('input { name: "z" dims: [ 4 ] data_type: TYPE_FP32 }', "unexpected inference input 'z', allowed inputs are: x"),
    ('output { name: "z" dims: [ 4 ] data_type: TYPE_FP32 }', "unexpected inference output 'z', allowed outputs are: y"),
    ('input { name: "x" dims: [ 4 ] data_type: TYPE_FP32 } output { name: "y" dims: [ -1, 4 ] data_type: TYPE_FP32 }',
     "model tensor configurations are contradicting each other in terms of whether batching is supported"),
    ('instance_group { kind: KIND_GPU profile: [ "3" ] }',
     "configuration specified invalid profile 3 . Number of profiles supported by TensorRT engine: 1"),
])
def test_a_configuration_that_cannot_be_completed_is_refused(machine, config, text):
    model(machine, config=f'platform: "tensorrt_plan"\n{config}\n')
    assert text in load_error(machine)


# ---- checks ----

@pytest.mark.parametrize("old, new, text", [
    ("TYPE_FP32 dims: [ 4 ] }\noutput", "TYPE_FP16 dims: [ 4 ] }\noutput",
     "unexpected datatype TYPE_FP32 for inference input 'x', expecting TYPE_FP16 for m_0_0"),
    ("TYPE_FP32 dims: [ 4 ] }\noutput", "TYPE_UINT16 dims: [ 4 ] }\noutput", "unsupported datatype TYPE_UINT16 for input 'x' for model 'm'"),
    ("dims: [ 4 ] }\noutput", "dims: [ 5 ] }\noutput",
     "model 'm', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 2 dimensions (an initial "
     "batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete shape [-1,5])"),
    ('name: "x"', 'name: "q"', "unexpected inference input 'q', allowed inputs are: x"),
    ('name: "y"', 'name: "q"', "unexpected inference output 'q', allowed outputs are: y"),
    ('input {', 'input { is_shape_tensor: true', "input 'x' for model 'm' is incorrectly marked as a shape tensor in the model configuration."),
    ('output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }', 'output { name: "y" data_type: TYPE_FP32 dims: [ 1, 2, 2 ] is_non_linear_format_io: true }',
     "output 'y' for model 'm' uses a linear IO format, but 'is_non_linear_format_io' is incorrectly set to true"),
    ("gpus: [ 0 ]", 'gpus: [ 0 ] profile: [ "4" ]', "Can not set the specified optimization profile 4[4] for m. Expected optimization profile "
                                                    "index range 0-0"),
    ("gpus: [ 0 ]", 'gpus: [ 0 ] profile: [ "a" ]', "unable to parse 'a': stoi"),
    ("kind: KIND_GPU count: 1 gpus: [ 0 ]", "kind: KIND_CPU", "unable to load model 'm', TensorRT backend supports only GPU device"),
])
def test_a_configuration_that_differs_from_the_plan_is_refused(machine, old, new, text):
    assert old in CONFIG
    model(machine, config=CONFIG.replace(old, new, 1))
    with machine("--exit-on-error=false", "--disable-auto-complete-config") as server:
        reason = client(server).get_model_repository_index()[0]["reason"]
    assert text in reason


@pytest.mark.parametrize("plan, config, text", [
    (PLAN + "input z FP32 -1,4\nrange z 0 1,4 1,4 8,4\n", CONFIG, "expected configuration for input 'z' for m_0_0"),
    (PLAN + "output z FP32 -1,4 copy x\n", CONFIG, "expected configuration for output 'z' for m_0_0"),
    (PLAN, CONFIG.replace("output", 'input { name: "z" data_type: TYPE_FP32 dims: [ 4 ] }\noutput', 1),
     "configuration expects 2 inputs, model provides at most 1"),
    ("implicit\n" + PLAN, CONFIG, "plan with an implicit batch dimension"),
    (PLAN.replace("output y FP32", "output y FP8"), CONFIG, "output 'y' is of a type of TensorRT (6) that Triton's protocol does not have"),
    (PLAN, CONFIG.replace("gpus: [ 0 ]", "gpus: [ 0 ] secondary_devices { kind: KIND_NVDLA device_id: 0 }"),
     "m_0_0 asks for a secondary device (NVDLA)"),
    ("nonsense\n", CONFIG, "unable to load plan of model 'm': TensorRT cannot read the plan"),
    (PLAN + "fail context\n", CONFIG, "unable to create TensorRT context for m_0_0: made to fail: context"),
    (PLAN, CONFIG + 'parameters { key: "execution_context_allocation_strategy" value { string_value: "ALWAYS" } }\n',
     "Invalid value for 'execution_context_allocation_strategy': 'ALWAYS'"),
    (PLAN, CONFIG + 'parameters { key: "execution_context_allocation_strategy" value { string_value: "ON_PROFILE_CHANGE" } }\n',
     "ON_PROFILE_CHANGE needs TensorRT 10"),
    (PLAN, CONFIG + 'parameters { key: "enable_multi_device" value { string_value: "true" } }\n', "enable_multi_device"),
    ("input padded FP32 -1,1,2,2\noutput y FP32 -1,4 copy padded\nrange padded 0 1,1,2,2 2,1,2,2 8,1,2,2\n", CONFIG.replace('"x"', '"padded"').replace(
        "dims: [ 4 ] }\noutput", "dims: [ 1, 2, 2 ] is_non_linear_format_io: true }\noutput"), "is laid out as CHW4; only LINEAR tensors are supported"),
    (PLAN, CONFIG + "optimization { cuda { graphs: true graph_spec { batch_size: 9 } } }\n",
     "graph spec expects 'batch_size' to be >= 1 and <= 8"),
    (PLAN, CONFIG + "optimization { cuda { graphs: true graph_spec { batch_size: 2 graph_lower_bound { batch_size: 3 } } } }\n",
     "graph lower bound spec expects 'batch_size' to be <= graph spec 'batch_size'"),
])
def test_a_plan_that_cannot_be_served_is_refused_by_name(machine, plan, config, text):
    model(machine, plan=plan, config=config)
    with machine("--exit-on-error=false", "--disable-auto-complete-config") as server:
        reason = client(server).get_model_repository_index()[0]["reason"]
    assert text in reason


def test_without_tensorrt_each_model_says_so(machine, tmp_path):
    model(machine)
    (tmp_path / "backends/tensorrt/libnereid_trt_8.5.so").unlink()
    assert "model 'm': Nereid was built without TensorRT headers" in load_error(machine)


def test_a_setting_of_version_compatible_plans_is_refused_where_the_release_lacks_it(machine):
    model(machine)
    with machine("--exit-on-error=false", "--backend-config=tensorrt,version-compatible=true") as server:
        assert "version-compatible plans need TensorRT 8.6" in client(server).get_model_repository_index()[0]["reason"]


# ---- profiles and shapes ----

def test_the_profile_that_is_tuned_for_the_shape_runs(machine):
    plan = "profiles 3\n" + PLAN + "range x 1 1,4 8,4 16,4\nrange x 2 4,4 16,4 32,4\n"
    model(machine, plan=plan, config=CONFIG.replace("max_batch_size: 8", "max_batch_size: 32").replace(
        "gpus: [ 0 ]", 'gpus: [ 0 ] profile: [ "0", "1", "2" ]'))
    with machine() as server:
        c = client(server)
        for count in (1, 3, 8, 12, 16, 30):
            assert np.array_equal(infer(c, rows(count))["y"], rows(count))
    assert [line.split()[-1] for line in machine.trace() if line.startswith("enqueue")] == ["0", "0", "1", "1", "2", "2"]


def test_a_shape_out_of_the_profile_is_refused_with_its_bounds(machine):
    plan = "input x FP32 -1,-1\noutput y FP32 -1,-1 copy x\nrange x 0 1,4 2,8 8,16\n"
    model(machine, plan=plan, config=CONFIG.replace("[ 4 ]", "[ -1 ]"))
    with machine() as server:
        c = client(server)
        assert np.array_equal(infer(c, rows(2, width=16))["y"], rows(2, width=16))
        with pytest.raises(InferenceServerException,
                           match="request specifies invalid shape for input 'x' for m_0_0. Error details: model expected the shape of dimension 1 "
                                 "to be between 4 and 16 but received 17"):
            infer(c, rows(2, width=17))
        assert np.array_equal(infer(c, rows(8, width=4))["y"], rows(8, width=4))


def test_shape_tensors_get_the_batch_in_front_and_give_values_back(machine):
    plan = ("input x FP32 -1,4\ninput s INT32 2 shape\noutput y FP32 -1,4 copy x\noutput r INT64 2 shape s\n"
            "range x 0 1,4 2,4 8,4\nrange s 0 1,1 2,3 8,9\n")
    config = CONFIG + ('input { name: "s" data_type: TYPE_INT32 dims: [ 1 ] is_shape_tensor: true }\n'
                       'output { name: "r" data_type: TYPE_INT64 dims: [ 1 ] is_shape_tensor: true }\n')
    model(machine, plan=plan, config=config)
    with machine() as server:
        c = client(server)
        found = infer(c, {"x": rows(3), "s": np.array([5], np.int32)}, outputs=("y", "r"))
        assert np.array_equal(found["y"], rows(3)) and found["r"].tolist() == [[5], [5], [5]]
        with pytest.raises(InferenceServerException, match="The shape value at index 1 is expected to be in range from 1 to 9, Got: 10"):
            infer(c, {"x": rows(1), "s": np.array([10], np.int32)}, outputs=("y", "r"))
    assert "values s 3,5" in machine.trace()


def test_an_output_whose_size_only_the_run_tells(machine):
    plan = "input x FP32 -1,4\noutput y FP32 -1,4 data x\nrange x 0 1,4 2,4 8,4\n"
    config = CONFIG.replace("max_batch_size: 8", "max_batch_size: 0").replace("[ 4 ]", "[ -1, 4 ]")
    model(machine, plan=plan, config=config)
    with machine() as server:
        c = client(server)
        for count in (2, 8, 5, 1):
            assert np.array_equal(infer(c, rows(count))["y"], rows(count)[:-1])


def test_ragged_requests_are_joined_with_their_counts(machine):
    plan = ("input x FP32 -1\ninput n FP32 -1,1\noutput y FP32 -1 copy x\noutput m FP32 -1,1 copy n\n"
            "range x 0 1 8 64\nrange n 0 1,1 2,1 8,1\n")
    config = """platform: "tensorrt_plan"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "n" data_type: TYPE_FP32 source_input: "x" }
output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "m" data_type: TYPE_FP32 dims: [ 1 ] }
batch_output { target_name: "y" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "x" }
instance_group { kind: KIND_GPU count: 1 gpus: [ 0 ] }
dynamic_batching { max_queue_delay_microseconds: 50000 }
"""
    model(machine, plan=plan, config=config)
    with machine() as server:
        answers = together(client(server), [rows(1, k, width=2 + k) for k in range(4)])
    for k, answer in enumerate(answers):
        assert np.array_equal(answer.reshape(-1), rows(1, k, width=2 + k).reshape(-1))


# ---- CUDA graphs ----

def test_graphs_serve_the_sizes_that_they_were_captured_for(machine):
    model(machine, config=CONFIG + "optimization { cuda { graphs: true graph_spec { batch_size: 1 } graph_spec { batch_size: 4 } } }\n")
    with machine() as server:
        c = client(server)
        before = len([line for line in machine.trace() if line.startswith("enqueue")])
        for k in range(6):
            assert np.array_equal(infer(c, rows(4, k))["y"], rows(4, k))
            assert np.array_equal(infer(c, rows(1, k))["y"], rows(1, k))
        assert len([line for line in machine.trace() if line.startswith("enqueue")]) == before
        assert np.array_equal(infer(c, rows(3))["y"], rows(3))
        assert len([line for line in machine.trace() if line.startswith("enqueue")]) == before + 1


def test_a_graph_with_a_lower_bound_serves_fewer_rows(machine):
    model(machine, config=CONFIG + "optimization { cuda { graphs: true graph_spec { batch_size: 8 graph_lower_bound { batch_size: 3 } } } }\n")
    with machine() as server:
        c = client(server)
        before = len([line for line in machine.trace() if line.startswith("enqueue")])
        for count in (8, 3, 5):
            assert np.array_equal(infer(c, rows(count))["y"], rows(count))
        assert len([line for line in machine.trace() if line.startswith("enqueue")]) == before
        assert np.array_equal(infer(c, rows(2))["y"], rows(2))


# ---- building ----

@pytest.fixture
def builder(tmp_path):
    """A prefix whose `nereid build` finds the pretended TensorRT."""
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy(PREFIX / "bin/nereid", prefix / "bin/nereid")
    (prefix / "lib/nereid/backends/tensorrt").mkdir(parents=True)
    (prefix / "lib/nereid/backends/tensorrt/libnereid_trt_8.5.so").symlink_to((FAKE_TRT / "libnvinfer.so.8").resolve())
    for library in ("libtritonserver.so", "libnereid.so"):
        (prefix / "lib" / library).symlink_to((PREFIX / "lib" / library).resolve())
    (tmp_path / "model.onnx").write_text("onnx, or so it says")

    def build(*arguments):
        done = subprocess.run([prefix / "bin/nereid", "build", *arguments], capture_output=True, text=True, check=False, timeout=60,
                              env={"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": "gpus=1", "NEREID_TENSORRT": str(FAKE_TRT)})
        return done.returncode, done.stdout, done.stderr
    return build


def test_build_asks_tensorrt_for_what_the_command_line_says(builder, tmp_path):
    plan = tmp_path / "out.trt"
    code, out, err = builder(
        f"--onnx={tmp_path / 'model.onnx'}", f"--saveEngine={plan}", "--fp16", "--noTF32", "--minShapes=x:1x4", "--maxShapes='x':8x4",
        "--profile=1", "--shapes=x:16x4", "--memPoolSize=workspace:2G,dlaSRAM:512K", "--tacticSources=-CUDNN,+JIT_CONVOLUTIONS", "--avgTiming=3",
        "--inputIOFormats=fp16:chw", f"--timingCacheFile={tmp_path / 'cache'}", "--verbose")
    assert code == 0, err
    text = plan.read_text()
    assert "range x 0 1,4 8,4 8,4" in text and "range x 1 16,4 16,4 16,4" in text and "profiles 2" in text
    assert "switches 0x11" in text and f"pools {2 << 30} {512 << 10} -1 -1" in text
    assert "tactics -CUDNN,+JIT_CONVOLUTIONS" in text and "timing -1 3" in text and "formats fp16:chw none" in text
    assert (tmp_path / "cache").read_text() == "timings"
    assert "TensorRT 8.5.3, GPU 0" in out and "7 layers" in out and "input  x: FP32 [-1,4]" in out and "out.trt: " in out
    assert "[TensorRT V] building" in err


def test_build_and_serve(builder, machine, tmp_path):
    (machine.models / "m/1").mkdir(parents=True)
    code, out, err = builder(str(tmp_path / "model.onnx"), "-o", str(machine.models / "m/1/model.plan"), "--minShapes=x:1x4",
                             "--optShapes=x:2x4", "--maxShapes=x:8x4", "--quiet")
    assert (code, out) == (0, ""), err
    with machine() as server:
        assert np.array_equal(infer(client(server), rows(8))["y"], rows(8))


def test_a_model_that_the_parser_refuses_is_named(builder, tmp_path):
    (tmp_path / "bad.onnx").write_text("none")
    code, _, err = builder(str(tmp_path / "bad.onnx"), "-o", str(tmp_path / "plan"))
    assert code == 1 and "bad.onnx: the ONNX parser refuses the model: node 3: it is fake" in err
    assert not (tmp_path / "plan").exists()


def test_a_gpu_that_is_not_there_is_named(builder, tmp_path):
    code, _, err = builder(str(tmp_path / "model.onnx"), "-o", str(tmp_path / "plan"), "--device=3")
    assert code == 1 and "--device=3: there are 1 GPUs" in err


def test_the_same_file_loads_into_each_server(server_name, machine, tmp_path):
    """NVIDIA's server cannot use the pretended GPUs; that it finds all that the library wants of it shows in what the model then says."""
    model(machine, config=CONFIG.replace("kind: KIND_GPU count: 1 gpus: [ 0 ]", "kind: KIND_CPU"))
    (tmp_path / "backends/tensorrt/libnereid_trt_8.5.so").unlink()
    if server_name == "peer":  # a sanitizer's run time has to be in the program itself
        library = tmp_path / "backends/tensorrt/libtriton_tensorrt.so"
        library.unlink()
        library.symlink_to((PLAIN_BACKENDS / "tensorrt/libtriton_tensorrt.so").resolve())
    with Server(server_name, machine.models, f"--backend-directory={tmp_path / 'backends'}", "--exit-on-error=false", wait=True) as server:
        found = client(server).get_model_repository_index()[0]
    assert found["state"] == "UNAVAILABLE"
    assert "model 'm': Nereid was built without TensorRT headers" in found["reason"]
