# SPDX-License-Identifier: Apache-2.0
"""Instance groups on machines of 0 to 8 pretended GPUs, line by line of what NVIDIA's server does, and what metrics say of them.

The models are of the `probe` backend (tests/support/probe_backend), which tells what it was given; where no GPU is needed, NVIDIA's server
is given the same model and has to say the same."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers import PLAIN_PREFIX, PREFIX, SANITIZED, Server

FAKE = PREFIX / "tests/fake"
BACKENDS = PREFIX / "tests/backends"
CONFIG = """{kind}
max_batch_size: 4
input {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }}
output {{ name: "REPORT" data_type: TYPE_STRING dims: [ 1 ] }}
{more}
"""


@pytest.fixture(autouse=True)
def built():
    for path in (FAKE / "libcuda.so.1", BACKENDS / "probe/libtriton_probe.so"):
        if not path.exists():
            pytest.fail(f"{path} is not there: make test-programs builds it")


def machine(gpus, **more):
    """The environment of a machine with that many GPUs."""
    if gpus == 0:
        return {}
    settings = ",".join([f"gpus={gpus}", *(f"{name}={value}" for name, value in more.items())])
    return {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": settings}


def add(repository, name, groups, more="", kind='backend: "probe"'):
    (repository / name / "1").mkdir(parents=True)
    text = f"instance_group [ {groups} ]\n" if groups is not None else ""
    (repository / name / "config.pbtxt").write_text(CONFIG.format(kind=kind, more=text + more))
    return repository


def serve(repository, gpus, *options, wait=True, env=None, **more):
    return Server("nereid", repository, f"--backend-directory={BACKENDS}", *options, wait=wait, env={**machine(gpus, **more), **(env or {})})


def instances(server):
    """What each instance was given, in the order in which they were made."""
    return [json.loads(json.loads(line)) for line in re.findall(r'probe\.c:1\] (".*")$', server.log, re.M)]


def places(server):
    return [(each["name"], each["kind"], each["device"]) for each in instances(server)]


def groups_of(server, model="m"):
    return json.loads(server.request("GET", f"/v2/models/{model}/config")[3])["instance_group"]


def ask(server, model="m"):
    """The report of the instance that answers."""
    status, _, _, body = server.request("POST", f"/v2/models/{model}/infer", json.dumps(
        {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}))
    assert status == 200, body
    return json.loads(json.loads(body)["outputs"][0]["data"][0])


def refusal(repository, gpus, *options, **more):
    """The text with which the load of `m` is refused."""
    server = serve(repository, gpus, *options, wait=False, **more)
    assert server.process.wait(60) == 1
    log = server.log
    server.stop()
    found = re.search(r"failed to load 'm' version 1: (.*)\"$|Poll failed for model directory 'm': (.*)\"$", log, re.M)
    assert found, log
    return found.group(1) or found.group(2)


# ---- kinds, counts, names -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("gpus", range(1, 9))
def test_kind_gpu_means_count_instances_on_each_gpu(tmp_path, gpus):
    with serve(add(tmp_path, "m", "{ kind: KIND_GPU count: 2 }"), gpus) as server:
        assert places(server) == [(f"m_0_{c}", "GPU", gpu) for c in range(2) for gpu in range(gpus)]
        assert [list(each["policy"]) for each in instances(server)] == [[f"gpu_{gpu}"] for _ in range(2) for gpu in range(gpus)]
        (group,) = groups_of(server)
        assert (group["name"], group["kind"], group["count"], group["gpus"]) == ("m_0", "KIND_GPU", 2, list(range(gpus)))


@pytest.mark.parametrize("gpus, kind", [(0, "CPU"), (1, "GPU"), (8, "GPU")])
@pytest.mark.parametrize("groups, name", [(None, "m_0"), ("{ }", "m_0_0"), ("{ kind: KIND_AUTO }", "m_0_0"), ("{ name: \"own\" }", "own_0")])
def test_groups_left_open_are_on_every_gpu_or_the_processor(tmp_path, groups, name, gpus, kind):
    with serve(add(tmp_path, "m", groups), gpus) as server:
        assert places(server) == [(name, kind, device) for device in range(max(gpus, 1))]
        (group,) = groups_of(server)
        assert (group["name"], group["kind"], group["count"]) == (name[:-2], f"KIND_{kind}", 1)
        assert group["gpus"] == list(range(gpus))


def test_listed_gpus_are_honoured_in_their_order(tmp_path):
    with serve(add(tmp_path, "m", "{ kind: KIND_GPU gpus: [ 3, 1 ] count: 2 }"), 4) as server:
        assert places(server) == [("m_0_0", "GPU", 3), ("m_0_0", "GPU", 1), ("m_0_1", "GPU", 3), ("m_0_1", "GPU", 1)]
        assert groups_of(server)[0]["gpus"] == [3, 1]


def test_groups_are_numbered_and_mixed(tmp_path):
    groups = "{ kind: KIND_GPU gpus: 1 }, { kind: KIND_CPU count: 2 }, { name: \"named\" kind: KIND_MODEL }, { kind: KIND_AUTO gpus: 0 }"
    with serve(add(tmp_path, "m", groups), 2) as server:
        assert places(server) == [("m_0_0", "GPU", 1), ("m_1_0", "CPU", 0), ("m_1_1", "CPU", 0), ("named_0", "MODEL", 0), ("m_3_0", "GPU", 0)]
        assert [list(each["policy"])[0] for each in instances(server)] == ["gpu_1", "cpu", "cpu", "model", "gpu_0"]
        assert [group["kind"] for group in groups_of(server)] == ["KIND_GPU", "KIND_CPU", "KIND_MODEL", "KIND_GPU"]


@pytest.mark.parametrize("backend, count", [("onnxruntime", 2), ("tensorflow", 2), ("probe", 1)])
def test_processor_gets_two_instances_of_two_backends(tmp_path, backend, count):
    add(tmp_path, "m", "{ kind: KIND_CPU }", kind=f'backend: "{backend}"' + ('\nplatform: "tensorflow_graphdef"' if backend == "tensorflow" else ""))
    shutil.copy(BACKENDS / "probe/libtriton_probe.so", tmp_path / f"m/libtriton_{backend}.so")
    with serve(tmp_path, 0) as server:
        assert len(instances(server)) == count
        assert groups_of(server)[0]["count"] == count


def test_gpus_below_the_least_compute_capability_do_not_count(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU }")
    with serve(tmp_path, 3, cc="9.0:5.2:6.1") as server:
        assert places(server) == [("m_0_0", "GPU", 0), ("m_0_0", "GPU", 2)]
    with serve(tmp_path, 3, "--min-supported-compute-capability=7.0", cc="9.0:5.2:6.1") as server:
        assert places(server) == [("m_0_0", "GPU", 0)]


def test_auto_group_whose_gpu_is_too_old_is_for_the_processor(tmp_path):
    # Which then may not list GPUs: Triton's answer, too.
    add(tmp_path, "m", "{ kind: KIND_AUTO gpus: [ 0, 1 ] }")
    assert refusal(tmp_path, 2, cc="9.0:5.2") == "Invalid argument: instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"


# ---- refusals -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("gpus, groups, options, text", [
    (2, "{ kind: KIND_GPU gpus: [ 0, 2 ] }", [], "instance group m_0 of model m specifies invalid or unsupported gpu id 2. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 1"),
    (8, "{ kind: KIND_GPU gpus: [ 8 ] }", ["--min-supported-compute-capability=9.0"],
     "instance group m_0 of model m specifies invalid or unsupported gpu id 8. GPUs with at least the minimum required CUDA compute "
     "compatibility of 9.000000 are: 0, 1, 2, 3, 4, 5, 6, 7"),
    (2, "{ kind: KIND_GPU gpus: [ -1 ] }", [], "instance group m_0 of model m specifies invalid or unsupported gpu id -1. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 1"),
    (1, "{ kind: KIND_GPU }", ["--min-supported-compute-capability=9.9"], "instance group m_0 of model m has kind KIND_GPU but no GPUs are available"),
    (1, "{ kind: KIND_CPU gpus: [ 0 ] }", [], "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"),
    (1, "{ kind: KIND_MODEL gpus: [ 0 ] }", [], "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs"),
])
def test_group_that_does_not_fit_the_machine_is_refused_in_tritons_words(tmp_path, gpus, groups, options, text):
    assert refusal(add(tmp_path, "m", groups), gpus, *options) == f"Invalid argument: {text}"


@pytest.mark.skipif(bool(SANITIZED), reason="the peer loads no library of a sanitizer")
@pytest.mark.parametrize("groups", [
    "{ kind: KIND_GPU }", "{ kind: KIND_GPU gpus: [ 0 ] }", "{ kind: KIND_GPU gpus: [ 1 ] count: 3 }", "{ kind: KIND_CPU gpus: [ 0 ] }",
    "{ kind: KIND_MODEL gpus: [ 1 ] }", "{ gpus: [ 0 ] }", "{ kind: KIND_AUTO gpus: [ 0, 1 ] }", '{ kind: KIND_CPU profile: [ "1" ] }',
    '{ name: "own" kind: KIND_GPU }', "{ kind: KIND_CPU }, { kind: KIND_GPU }",
])
def test_refusals_without_a_gpu_are_the_peers(tmp_path, groups):
    add(tmp_path, "m", groups)
    ours = refusal(tmp_path, 0)
    peer = Server("peer", tmp_path, f"--backend-directory={PLAIN_PREFIX / 'tests/backends'}", wait=False)
    assert peer.wait_end() == 1
    log = peer.log
    peer.stop()
    assert ours.partition(": ")[2] in log, log


@pytest.mark.skipif(bool(SANITIZED), reason="the peer loads no library of a sanitizer")
@pytest.mark.parametrize("groups, more", [
    (None, ""), ("{ }", ""), ("{ count: 3 }", ""), ("{ kind: KIND_CPU count: 2 }, { kind: KIND_MODEL }", ""), ("{ count: -5 }", ""),
    ('{ name: "a" kind: KIND_CPU host_policy: "mine" }', ""), ("{ kind: KIND_CPU secondary_devices: [ { kind: KIND_NVDLA device_id: 2 } ] }", ""),
    ("{ kind: KIND_CPU passive: true }, { kind: KIND_CPU }", ""),
    ('{ kind: KIND_CPU rate_limiter: { resources: [ { name: "r" count: 2 }, { name: "g" global: true count: 1 } ] priority: 2 } }', ""),
])
def test_instances_without_a_gpu_are_the_peers(tmp_path, groups, more):
    add(tmp_path, "m", groups, more)
    policy = "--host-policy=mine,cpu-cores=0-0"
    with serve(tmp_path, 0, policy) as server, \
            Server("peer", tmp_path, f"--backend-directory={PLAIN_PREFIX / 'tests/backends'}", policy) as peer:
        ours, theirs = instances(server), instances(peer)
        assert sorted(map(json.dumps, ours)) == sorted(map(json.dumps, theirs))
        assert groups_of(server) == groups_of(peer)


# ---- what an instance is told ---------------------------------------------------------------------------------------

def test_passive_instances_are_made_and_never_asked(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU gpus: 0 passive: true }, { kind: KIND_GPU gpus: 1 }")
    with serve(tmp_path, 2) as server:
        assert [(each["device"], each["passive"]) for each in instances(server)] == [(0, True), (1, False)]
        assert {ask(server)["device"] for _ in range(20)} == {1}
        assert groups_of(server)[0]["passive"] is True


def test_secondary_devices_reach_the_backend(tmp_path):
    groups = "{ kind: KIND_GPU gpus: 1 secondary_devices: [ { kind: KIND_NVDLA device_id: 0 }, { kind: KIND_NVDLA device_id: 1 } ] }"
    with serve(add(tmp_path, "m", groups), 2) as server:
        assert instances(server)[0]["secondary"] == [["KIND_NVDLA", 0], ["KIND_NVDLA", 1]]


def test_profiles_are_for_tensorrt_alone(tmp_path):
    add(tmp_path / "refused", "m", '{ kind: KIND_GPU profile: [ "1" ] }')
    assert refusal(tmp_path / "refused", 1) == ("Invalid argument: instance group m_0 of model m and platform specifies profile field which is only "
                                                "supported for TensorRT models")
    add(tmp_path / "taken", "m", '{ kind: KIND_GPU profile: [ "0", "3" ] }', kind='platform: "tensorrt_plan"')
    shutil.copy(BACKENDS / "probe/libtriton_probe.so", tmp_path / "taken/m/libtriton_tensorrt.so")
    with serve(tmp_path / "taken", 1) as server:
        assert instances(server)[0]["profiles"] == ["0", "3"]


@pytest.mark.parametrize("profile, text", [
    ("-1", "instance group m_0 of model m and platform tensorrt_plan specifies invalid profile -1. The field should contain the string "
           "representation of a non-negative integer."), ("x", "unable to parse 'x': stoi")])
def test_profile_that_is_no_index_is_refused(tmp_path, profile, text):
    add(tmp_path, "m", f'{{ kind: KIND_GPU profile: [ "{profile}" ] }}', kind='platform: "tensorrt_plan"')
    shutil.copy(BACKENDS / "probe/libtriton_probe.so", tmp_path / "m/libtriton_tensorrt.so")
    assert refusal(tmp_path, 1).endswith(text)


def test_host_policies_are_found_by_name_and_by_device(tmp_path):
    add(tmp_path, "m", '{ kind: KIND_GPU }, { kind: KIND_CPU }, { kind: KIND_GPU gpus: 1 host_policy: "mine" }')
    last = max(os.sched_getaffinity(0))
    with serve(tmp_path, 2, f"--host-policy=gpu_1,cpu-cores={last}", "--host-policy=mine,cpu-cores=0", "--host-policy=cpu,cpu-cores=0") as server:
        policies = [each["policy"] for each in instances(server)]
        assert policies == [{"gpu_0": {}}, {"gpu_1": {"cpu-cores": str(last)}}, {"cpu": {"cpu-cores": "0"}}, {"mine": {"cpu-cores": "0"}}]
        assert [each["cpus"] for each in instances(server)][1:] == [str(last), "0", "0"]


def test_configuration_by_name_comes_with_its_groups(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_CPU }")
    add(tmp_path, "other", "{ kind: KIND_CPU }")
    (tmp_path / "m/configs").mkdir()
    (tmp_path / "m/configs/big.pbtxt").write_text(CONFIG.format(kind='backend: "probe"', more="instance_group [ { kind: KIND_GPU count: 2 } ]"))
    with serve(tmp_path, 2, "--model-config-name=big") as server:
        assert len([place for place in places(server) if place[1] == "GPU"]) == 4
        assert groups_of(server, "other")[0]["kind"] == "KIND_CPU"  # it has no such configuration: config.pbtxt


def test_rate_limits_are_kept_in_the_configuration_and_refused_as_a_mode(tmp_path):
    add(tmp_path, "m", '{ kind: KIND_GPU rate_limiter { resources [ { name: "r" count: 4 } ] priority: 2 } }')
    with serve(tmp_path, 1) as server:
        assert groups_of(server)[0]["rate_limiter"] == {"resources": [{"name": "r", "global": False, "count": 4}], "priority": 2}
        assert ask(server)["device"] == 0
    server = serve(tmp_path, 1, "--rate-limit=execution_count", wait=False)
    assert server.process.wait(60) == 1
    assert "rate" in server.log and "not built" in server.log
    server.stop()


# ---- near the GPU ---------------------------------------------------------------------------------------------------

def pretend_nodes(root, gpus):
    """A /sys of two NUMA nodes with one processor each; `gpus` are the nodes of the GPUs."""
    def put(path, text):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    put("devices/system/node/online", "0-1")
    for node in range(2):
        put(f"devices/system/node/node{node}/cpulist", str(node))
    for gpu, node in enumerate(gpus):
        put(f"bus/pci/devices/ffff:{gpu:02x}:1f.0/numa_node", str(node))
        put(f"bus/pci/devices/ffff:{gpu:02x}:1f.0/local_cpulist", str(node))
    return {"NEREID_SYSFS": str(root)}


@pytest.mark.skipif(not {0, 1} <= os.sched_getaffinity(0), reason="processors 0 and 1 are not both this process's")
def test_threads_of_an_instance_run_near_its_gpu(tmp_path):
    env = pretend_nodes(tmp_path / "sys", [1, 0, -1])
    add(tmp_path / "models", "m", '{ kind: KIND_GPU }, { kind: KIND_CPU }, { kind: KIND_GPU gpus: 0 host_policy: "far" }')
    with serve(tmp_path / "models", 3, "--host-policy=far,cpu-cores=0", env=env) as server:
        every = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
        cpus = [each["cpus"] for each in instances(server)]
        assert cpus[:2] == ["1", "0"]
        assert cpus[2] == cpus[3] and cpus[2] not in ("0", "1"), f"all of {every}: no node is known of GPU 2, and none matters to the processor"
        assert cpus[4] == "0", "the host policy says where"


def test_machine_of_one_node_pins_nobody(tmp_path):
    env = pretend_nodes(tmp_path / "sys", [0])
    (tmp_path / "sys/devices/system/node/online").write_text("0\n")
    add(tmp_path / "models", "m", "{ kind: KIND_GPU }")
    with serve(tmp_path / "models", 1, env=env) as server:
        assert len(re.split("[,-]", instances(server)[0]["cpus"])) == min(len(os.sched_getaffinity(0)), 2)


# ---- memory ---------------------------------------------------------------------------------------------------------

def hold(what):
    return f'parameters {{ key: "hold" value {{ string_value: "{what}" }} }}'


def test_model_larger_than_the_pool_takes_from_the_device(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU }", hold("gpu:64000000"))
    with serve(tmp_path, 2, "--cuda-memory-pool-byte-size=0:1048576", "--cuda-memory-pool-byte-size=1:0", memory="256M") as server:
        used = [float(line.rpartition(" ")[2]) for line in server.metrics().splitlines() if line.startswith("nv_gpu_memory_used_bytes{")]
        assert len(used) == 2 and min(used) >= 64000000


def test_model_larger_than_its_gpu_fails_by_name_and_leaves_nothing(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU gpus: [ 0, 1 ] }", hold("gpu:400000000"))
    add(tmp_path, "small", "{ kind: KIND_GPU gpus: 1 }", hold("gpu:1000000"))
    with serve(tmp_path, 2, "--exit-on-error=false", "--strict-readiness=false", memory="1G:256M") as server:
        text = re.search(r"failed to load 'm' version 1: (.*)\"$", server.log, re.M).group(1)
        assert "GPU 1" in text and "out of memory" in text.lower(), text
        assert ask(server, "small")["device"] == 1
        used = [float(line.rpartition(" ")[2]) for line in server.metrics().splitlines() if line.startswith("nv_gpu_memory_used_bytes{")]
        assert used[0] < 100e6, "what the model had taken of GPU 0 before it failed was given back"


def test_pinned_memory_is_counted_and_limited(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU gpus: 0 }", hold("pinned:1000000"))
    with serve(tmp_path, 1, "--pinned-memory-pool-byte-size=4194304") as server:
        metrics = server.metrics()
        assert "nv_pinned_memory_pool_total_bytes 4194304" in metrics
        assert 1000000 <= float(re.search(r"^nv_pinned_memory_pool_used_bytes (\S+)$", metrics, re.M).group(1)) <= 1100000


@pytest.mark.parametrize("limit, text", [
    (4194304, "failed to allocate pinned system memory: GPU 0: pinned memory pool of 4194304 bytes has no room for 5000000 bytes"),
    (0, "failed to allocate pinned system memory: no pinned memory pool")])
def test_pinned_memory_over_the_limit_is_refused_in_tritons_words(tmp_path, limit, text):
    add(tmp_path, "m", "{ kind: KIND_GPU gpus: 0 }", hold("pinned:5000000"))
    assert refusal(tmp_path, 1, f"--pinned-memory-pool-byte-size={limit}") == f"Unavailable: {text}"


@pytest.mark.parametrize("what, text", [("gpu", "GPU memory allocation not supported"), ("pinned", "Pinned memory allocation not supported")])
def test_memory_of_gpus_is_refused_where_there_are_none(tmp_path, what, text):
    add(tmp_path, "m", "{ kind: KIND_CPU }", hold(f"{what}:100"))
    assert refusal(tmp_path, 0) == f"Unsupported: {text}"


# ---- metrics --------------------------------------------------------------------------------------------------------

def series(server, name):
    """{labels: value} of one family."""
    return {match.group(1) or "": float(match.group(2)) for match in
            re.finditer(rf"^{name}(?:{{(.*)}})? (\S+)$", server.metrics(), re.M)}


def uuid(gpu, prefix="GPU"):
    return f"{prefix}-{gpu:02x}fafafa-fafa-fafa-fafa-fafafafafafa"


def load(server, count, model="m"):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: ask(server, model)["device"], range(count)))


def test_series_of_a_model_are_told_apart_by_gpu_uuid(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU }, { kind: KIND_CPU }", 'metric_tags { key: "z" value: "1" }\n'
        'parameters { key: "work_us" value { string_value: "2000" } }')
    with serve(tmp_path, 2) as server:
        load(server, 60)
        for name in ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count"):
            counted = series(server, name)
            assert list(counted) == [f'_z="1",gpu_uuid="{uuid(0)}",model="m",version="1"', f'_z="1",gpu_uuid="{uuid(1)}",model="m",version="1"',
                                     '_z="1",model="m",version="1"']
            assert sum(counted.values()) == 60 and min(counted.values()) > 0, counted
        for name in ("nv_inference_request_duration_us", "nv_inference_compute_infer_duration_us", "nereid_gpu_model_busy_duration_us"):
            spent = series(server, name)
            assert len(spent) == (2 if name.startswith("nereid") else 3)
            assert all(value >= 2000 for value in spent.values()), (name, spent)
        assert list(series(server, "nv_inference_pending_request_count")) == ['_z="1",model="m",version="1"']
        assert len(series(server, "nv_inference_request_failure")) == 4
        assert len(series(server, "nereid_gpu_model_pending_request_count")) == 2


def test_series_of_a_gpu_outlive_models(tmp_path):
    for name in ("m", "other"):
        add(tmp_path, name, "{ kind: KIND_GPU }", 'parameters { key: "work_us" value { string_value: "1000" } }')
    with serve(tmp_path, 2, "--model-control-mode=explicit", "--load-model=*") as server:
        devices = load(server, 30) + load(server, 30, "other")
        want = {f'gpu_uuid="{uuid(gpu)}"': devices.count(gpu) for gpu in range(2)}
        assert series(server, "nereid_gpu_request_success") == want
        busy = series(server, "nereid_gpu_busy_duration_us")
        assert server.request("POST", "/v2/repository/models/m/unload")[0] == 200
        while b'"UNAVAILABLE"' not in server.request("POST", "/v2/repository/index")[3]:
            pass
        for name in ("nereid_gpu_request_success", "nereid_gpu_inference_count", "nereid_gpu_exec_count"):
            assert series(server, name) == want, name
        assert series(server, "nereid_gpu_busy_duration_us") == busy
        assert len(series(server, "nv_inference_count")) == 2, "those of the model are gone with it"
        assert server.request("POST", "/v2/repository/models/m/load")[0] == 200
        load(server, 10)
        assert sum(series(server, "nereid_gpu_request_success").values()) == 70
        assert set(series(server, "nereid_gpu_lost").values()) == {0}
        assert all(value >= 0 for value in series(server, "nereid_gpu_queue_duration_us").values())


def test_requests_that_wait_show_at_the_gpu(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU }", 'parameters { key: "work_us" value { string_value: "1500000" } }')
    with serve(tmp_path, 1) as server, ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(ask, server) for _ in range(5)]
        most = 0
        while not answers[0].done() and most < 4:
            (now,) = series(server, "nereid_gpu_pending_request_count").values()
            assert series(server, "nereid_gpu_model_pending_request_count").keys() == {f'gpu_uuid="{uuid(0)}",model="m",version="1"'}
            most = max(most, now)
        assert most == 4


def test_machine_without_gpus_has_no_such_series(tmp_path):
    with serve(add(tmp_path, "m", "{ kind: KIND_CPU }"), 0) as server:
        ask(server)
        assert "nereid_gpu" not in server.metrics() and "gpu_uuid" not in server.metrics()
    with serve(tmp_path, 2, "--allow-gpu-metrics=false") as server:
        assert "nereid_gpu_request" not in server.metrics() and "nv_gpu" not in server.metrics()


# ---- slices ---------------------------------------------------------------------------------------------------------

def test_slice_of_a_gpu_goes_by_its_own_uuid(tmp_path):
    add(tmp_path, "m", "{ kind: KIND_GPU }")
    with serve(tmp_path, 2, mig="1:0") as server:
        assert f"GPU 0: {uuid(0, 'MIG')}, Fake GPU" in server.log and f"GPU 1: {uuid(1)}, Fake GPU" in server.log
        ask(server)
        both = [f'gpu_uuid="{uuid(0, "MIG")}"', f'gpu_uuid="{uuid(1)}"']
        for name in ("nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes", "nereid_gpu_request_success"):
            assert list(series(server, name)) == both, name
        assert list(series(server, "nv_inference_count")) == [f'{labels},model="m",version="1"' for labels in both]
