# SPDX-License-Identifier: Apache-2.0
"""The control half of the core, seen through a front end: repositories, life cycle, states, readiness, metrics.

Each test runs on three servers: ours, NVIDIA's program on our core (the wall TRITONSERVER_*), and NVIDIA's own, which says
what is right. Where 2.73, our target, differs from the peer (2.51), the test says so.
"""

import base64
import json
import threading
import time

import pytest

from fronts import CORE, available, start
from servers import add_model, identity_config


@pytest.fixture(params=["nereid", "peer_on_core", "peer"])
def front(request):
    if not available(request.param):
        pytest.skip(f"{request.param} is not there")
    return request.param


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def post(server, path, body=None):
    status, _, _, text = server.request("POST", path, body=json.dumps(body or {}))
    return status, text.decode()


def get(server, path):
    status, _, _, text = server.request("GET", path)
    return status, text.decode()


def error_of(text):
    return json.loads(text)["error"]


def load(server, name, **parameters):
    return post(server, f"/v2/repository/models/{name}/load", {"parameters": parameters} if parameters else {})


def unload(server, name):
    return post(server, f"/v2/repository/models/{name}/unload")


def index(server, ready=None):
    body = {} if ready is None else {"ready": ready}
    return json.loads(post(server, "/v2/repository/index", body)[1])


def infer(server, name, values, version=None, timeout=30):
    version = f"/versions/{version}" if version else ""
    body = {"inputs": [{"name": "INPUT0", "shape": [len(values)], "datatype": "FP32", "data": values}]}
    status, _, _, text = server.request("POST", f"/v2/models/{name}{version}/infer", body=json.dumps(body),
                                        timeout=timeout)
    return status, text.decode()


def ready(server):
    return get(server, "/v2/health/ready")[0]


def until(condition, seconds=30):
    """Waits for what comes by itself, such as the end of an unloading."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def state_of(server, name):
    return [(row.get("version"), row.get("state"), row.get("reason")) for row in index(server) if row["name"] == name]


# ---- explicit mode --------------------------------------------------------------------------------------------------

def test_load_and_unload(front, repo):
    add_model(repo, "a", identity_config("a"))
    add_model(repo, "b", identity_config("b"))
    with start(front, repo, "--model-control-mode=explicit") as server:
        assert index(server) == [{"name": "a"}, {"name": "b"}]
        assert ready(server) == 200
        status, text = infer(server, "a", [1])
        assert (status, error_of(text)) == (404, "Request for unknown model: 'a' is not found")
        assert load(server, "a") == (200, "")
        assert state_of(server, "a") == [("1", "READY", None)]
        assert index(server, ready=True) == [{"name": "a", "version": "1", "state": "READY"}]
        assert json.loads(infer(server, "a", [1.5])[1])["outputs"][0]["data"] == [1.5]
        assert unload(server, "a") == (200, "")
        assert until(lambda: state_of(server, "a") == [("1", "UNAVAILABLE", "unloaded")])
        assert ready(server) == 200
        assert error_of(infer(server, "a", [1])[1]) == "Request for unknown model: 'a' has no available versions"
        assert infer(server, "a", [1], version=1)[0] in (503, 400)
        assert unload(server, "never-heard-of") == (200, "")
        assert load(server, "a") == (200, "")
        assert infer(server, "a", [2])[0] == 200


def test_load_of_what_is_not_there(front, repo):
    add_model(repo, "broken", 'name: "broken"\nbackend: "identity"\nno_such_field: 1\n')
    with start(front, repo, "--model-control-mode=explicit") as server:
        for name in ("nowhere", "broken"):
            status, text = load(server, name)
            assert (status, error_of(text)) == (
                500, f"failed to load '{name}', failed to poll from model repository")
        assert ready(server) == 200
        assert index(server) == [{"name": "broken"}]


def test_failed_load_tells_why_and_spoils_readiness(front, repo):
    add_model(repo, "bad", identity_config("bad").replace('"identity"', '"no_such_backend"'))
    add_model(repo, "good", identity_config("good"))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=good") as server:
        status, text = load(server, "bad")
        reason = ("Invalid argument: unable to find backend library for backend 'no_such_backend', try specifying "
                  "runtime on the model configuration.")
        assert status == 400
        assert error_of(text) == f"load failed for model 'bad': version 1 is at UNAVAILABLE state: {reason};\n"
        assert state_of(server, "bad") == [("1", "UNAVAILABLE", reason)]
        assert ready(server) == 400
        assert infer(server, "good", [1])[0] == 200
        status, text = infer(server, "bad", [1], version=1)
        assert error_of(text) == "Request for unknown model: 'bad' version 1 is not at ready state"
        # Mended, it loads, and all is well again.
        add_model(repo, "bad", identity_config("bad"))
        assert load(server, "bad") == (200, "")
        assert ready(server) == 200


def test_no_version_is_selected(front, repo):
    add_model(repo, "none", identity_config("none"), versions=("02", "words"))
    with start(front, repo, "--model-control-mode=explicit") as server:
        status, text = load(server, "none")
        assert status == 400
        assert error_of(text) == ("load failed for model 'none': at least one version must be available under the "
                                  "version policy of model 'none'\n")
        assert "ignore version directory '02' which contains leading zeros" in server.log
        assert "ignore version directory 'words' which fails to convert to integral number" in server.log


def test_version_policies(front, repo):
    add_model(repo, "all", identity_config("all", extra="version_policy { all {} }\n"), versions=("1", "3", "12"))
    add_model(repo, "latest", identity_config("latest", extra="version_policy { latest { num_versions: 2 } }\n"),
              versions=("1", "3", "12"))
    add_model(repo, "specific", identity_config("specific", extra="version_policy { specific { versions: [3, 7] } }\n"),
              versions=("1", "3"))
    add_model(repo, "default", identity_config("default"), versions=("0", "1"))
    with start(front, repo) as server:
        for name, versions in (("all", ["1", "3", "12"]), ("latest", ["3", "12"]), ("specific", ["3"]),
                               ("default", ["1"])):
            assert json.loads(get(server, f"/v2/models/{name}")[1])["versions"] == versions
        assert json.loads(infer(server, "all", [1])[1])["model_version"] == "12"
        assert json.loads(infer(server, "all", [1], version=3)[1])["model_version"] == "3"
        assert json.loads(get(server, "/v2/models/all/versions/3")[1])["versions"] == ["3"]
        status, text = infer(server, "latest", [1], version=1)
        assert error_of(text) == "Request for unknown model: 'latest' version 1 is not found"
        assert "version 7 is specified for model 'specific'" in server.log or front == "peer"


def test_versions_load_together_or_not_at_all(front, repo):
    config = identity_config("pair", extra="version_policy { all {} }\n")
    # The second version brings a library of its own which is none.
    add_model(repo, "pair", config, {"2/libtriton_identity.so": "not a library"}, versions=("1", "2"))
    with start(front, repo, "--model-control-mode=explicit") as server:
        status, text = load(server, "pair")
        assert status == 400
        assert error_of(text).startswith("load failed for model 'pair': version 2 is at UNAVAILABLE state: Not found: "
                                         "unable to load shared library: ")
        assert until(lambda: state_of(server, "pair")[0] == ("1", "UNAVAILABLE", "unloaded"))
        assert infer(server, "pair", [1])[0] != 200


def test_failed_reload_leaves_the_old_one_in_service(front, repo):
    add_model(repo, "m", identity_config("m"))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        time.sleep(0.05)
        add_model(repo, "m", identity_config("m").replace('"identity"', '"no_such_backend"'))
        assert load(server, "m")[0] == 400
        assert infer(server, "m", [1])[0] == 200
        assert ready(server) == 200
        add_model(repo, "m", 'name: "other"\nbackend: "identity"\n')
        assert load(server, "m")[0] == 500
        assert "unexpected directory name 'm' for model 'other', directory name must equal model name" in server.log
        assert infer(server, "m", [1])[0] == 200


def test_reload_never_interrupts_service(front, repo):
    add_model(repo, "m", identity_config("m"))
    failures, answers, stop = [], [], threading.Event()

    def hammer(server):
        while not stop.is_set():
            status, text = infer(server, "m", [1])
            (answers if status == 200 else failures).append(text)

    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        threads = [threading.Thread(target=hammer, args=(server,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(5):
            time.sleep(0.02)
            add_model(repo, "m", identity_config("m", batch=0, extra=f'metric_tags {{ key: "n" value: "{i}" }}\n'))
            assert load(server, "m") == (200, "")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == [] and len(answers) > 5
        assert json.loads(get(server, "/v2/models/m/config")[1])["metric_tags"] == {"n": "4"}


def test_new_version_replaces_the_old_one(front, repo):
    add_model(repo, "m", identity_config("m"))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        time.sleep(0.05)
        add_model(repo, "m", identity_config("m"), versions=("2",))
        assert load(server, "m") == (200, "")
        assert json.loads(infer(server, "m", [1])[1])["model_version"] == "2"
        assert until(lambda: state_of(server, "m") == [("1", "UNAVAILABLE", "unloaded"), ("2", "READY", None)])
        assert ready(server) == 200


def test_unload_lets_requests_finish(front, repo):
    slow = 'parameters { key: "execute_delay_ms" value { string_value: "2000" } }\n'
    add_model(repo, "slow", identity_config("slow", extra=slow))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=slow") as server:
        results = []
        thread = threading.Thread(target=lambda: results.append(infer(server, "slow", [4])))
        thread.start()
        time.sleep(0.5)
        begin = time.monotonic()
        assert unload(server, "slow") == (200, "")
        assert time.monotonic() - begin < 1
        assert state_of(server, "slow") == [("1", "UNLOADING", None)]
        assert infer(server, "slow", [1])[0] != 200
        thread.join()
        assert results[0][0] == 200
        assert until(lambda: state_of(server, "slow") == [("1", "UNAVAILABLE", "unloaded")])


def test_config_override_holds_until_the_files_change(front, repo):
    add_model(repo, "m", identity_config("m"))
    config = {"name": "m", "backend": "identity", "max_batch_size": 4,
              "input": [{"name": "INPUT0", "data_type": "TYPE_INT32", "dims": [2]}],
              "output": [{"name": "OUTPUT0", "data_type": "TYPE_INT32", "dims": [2]}]}
    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        assert load(server, "m", config=json.dumps(config)) == (200, "")
        got = json.loads(get(server, "/v2/models/m/config")[1])
        assert got["max_batch_size"] == 4 and got["input"][0]["data_type"] == "TYPE_INT32"
        status, text = load(server, "m", config="{not json")
        assert (status, error_of(text)) == (500, "failed to load 'm', failed to poll from model repository")
        assert load(server, "m") == (200, "")
        assert json.loads(get(server, "/v2/models/m/config")[1])["max_batch_size"] == 4
        time.sleep(0.05)
        add_model(repo, "m", identity_config("m", batch=2))
        assert load(server, "m") == (200, "")
        assert json.loads(get(server, "/v2/models/m/config")[1])["max_batch_size"] == 2
        assert load(server, "m", config=json.dumps(config)) == (200, "")
        assert unload(server, "m") == (200, "")
        assert load(server, "m") == (200, "")
        assert json.loads(get(server, "/v2/models/m/config")[1])["max_batch_size"] == 2


def test_file_override_and_back(front, repo):
    add_model(repo, "m", identity_config("m"))
    config = json.dumps({"backend": "identity", "max_batch_size": 2,
                         "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
                         "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}]})
    blob = base64.b64encode(b"weights").decode()
    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        assert load(server, "m", config=config, **{"file:7/model.bin": blob}) == (200, "")
        assert json.loads(get(server, "/v2/models/m")[1])["versions"] == ["7"]
        status, text = load(server, "m", **{"file:7/model.bin": blob})
        assert (status, error_of(text)) == (500, "failed to load 'm', failed to poll from model repository")
        assert "Load parameter 'config' must be specified for model file override" in server.log
        status, text = load(server, "m", config=config, **{"file:../../x": blob})
        assert status == 500
        assert "must stay within model directory" in server.log
        assert load(server, "m") == (200, "")
        assert json.loads(get(server, "/v2/models/m")[1])["versions"] == ["1"]


def test_a_model_in_two_repositories_is_not_served(front, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    add_model(one, "m", identity_config("m"))
    add_model(two, "m", identity_config("m"))
    add_model(two, "n", identity_config("n"))
    with start(front, [one, two], "--exit-on-error=false") as server:
        assert index(server) == [
            {"name": "m", "state": "UNAVAILABLE", "reason": "model appears in two or more repositories"},
            {"name": "n", "version": "1", "state": "READY"}]
        assert infer(server, "n", [1])[0] == 200
        assert infer(server, "m", [1])[0] in (400, 404)
        assert "failed to poll model 'm': not unique across all model repositories" in server.log


def test_wildcard_and_named_models_at_the_start(front, repo):
    add_model(repo, "a", identity_config("a"))
    add_model(repo, "b", identity_config("b"))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=*") as server:
        assert [row["state"] for row in index(server)] == ["READY", "READY"]
    with start(front, repo, "--model-control-mode=explicit", "--load-model=b") as server:
        assert index(server) == [{"name": "a"}, {"name": "b", "version": "1", "state": "READY"}]


# ---- the other modes ------------------------------------------------------------------------------------------------

def test_mode_none_refuses_control(front, repo):
    add_model(repo, "m", identity_config("m"))
    with start(front, repo) as server:
        text = "explicit model load / unload is not allowed if polling is enabled"
        for call in (load, unload):
            status, body = call(server, "m")
            assert (status, error_of(body)) == (503, text)


def test_poll_mode_follows_the_repository(front, repo):
    add_model(repo, "a", identity_config("a"))
    with start(front, repo, "--model-control-mode=poll", "--repository-poll-secs=1") as server:
        add_model(repo, "b", identity_config("b"))
        assert until(lambda: infer(server, "b", [1])[0] == 200)
        (repo / "a").rename(repo.parent / "gone")
        assert until(lambda: infer(server, "a", [1])[0] != 200)
        assert infer(server, "b", [1])[0] == 200
        add_model(repo, "b", identity_config("b", batch=2))
        assert until(lambda: json.loads(get(server, "/v2/models/b/config")[1])["max_batch_size"] == 2)
        assert until(lambda: ready(server) == 200)


@pytest.mark.parametrize("arguments, text", [
    (["--model-control-mode=none"], "error: creating server: Internal - failed to load all models"),
    (["--model-control-mode=explicit", "--load-model=bad"],
     "error: creating server: Invalid argument - load failed for model 'bad': version 1 is at UNAVAILABLE state: "),
    (["--model-control-mode=explicit", "--load-model=nowhere"],
     "error: creating server: Internal - failed to load all models"),
])
def test_startup_failures_exit_with_their_text(front, repo, arguments, text):
    add_model(repo, "bad", identity_config("bad").replace('"identity"', '"no_such_backend"'))
    with start(front, repo, *arguments, wait=False) as server:
        assert server.wait_end(20) == 1
        assert text in server.log


def test_a_repository_that_is_none(front, tmp_path):
    with start(front, tmp_path / "nonexist", wait=False) as server:
        assert server.wait_end(20) == 1
        assert f"error: creating server: Internal - failed to stat file {tmp_path}/nonexist" in server.log


def test_exit_on_error_false_serves_the_rest(front, repo):
    add_model(repo, "bad", identity_config("bad").replace('"identity"', '"no_such_backend"'))
    add_model(repo, "good", identity_config("good"))
    with start(front, repo, "--exit-on-error=false") as server:
        assert infer(server, "good", [1])[0] == 200
        assert ready(server) == 400
    with start(front, repo, "--exit-on-error=false", "--strict-readiness=false") as server:
        assert ready(server) == 200


# ---- places ---------------------------------------------------------------------------------------------------------

GPU_GROUP = "instance_group { kind: KIND_GPU count: 2 }\n"


def gpu_config(name):
    return identity_config(name).replace("instance_group { kind: KIND_CPU count: 1 }\n", GPU_GROUP)


def test_a_gpu_group_without_a_gpu_is_refused(front, repo):
    add_model(repo, "g", gpu_config("g"))
    with start(front, repo, "--model-control-mode=explicit") as server:
        status, text = load(server, "g")
        if status == 200:
            pytest.skip("this machine has a GPU")
        assert status == 400
        assert error_of(text) == ("load failed for model 'g': version 1 is at UNAVAILABLE state: Invalid argument: "
                                  "instance group g_0 of model g has kind KIND_GPU but no GPUs are available;\n")


@pytest.mark.parametrize("name, argument", [
    ("nereid", "--gpu-fallback=cpu"), ("peer_on_core", "--backend-config=nereid-gpu-fallback=cpu")])
def test_a_gpu_group_falls_back_to_the_cpu_if_told_to(repo, name, argument):
    if not available(name):
        pytest.skip(f"{name} is not there")
    add_model(repo, "g", gpu_config("g"))
    add_model(repo, "c", identity_config("c"))
    with start(name, repo, argument) as server:
        assert json.loads(infer(server, "g", [3])[1])["outputs"][0]["data"] == [3.0]
        groups = json.loads(get(server, "/v2/models/g/config")[1])["instance_group"]
        assert [(group["kind"], group["count"]) for group in groups] == [("KIND_CPU", 2)]
        stats = {s["name"]: s for s in json.loads(get(server, "/v2/models/stats")[1])["model_stats"]}
        assert stats["g"]["gpu_fallback"] == "cpu" and "gpu_fallback" not in stats["c"]
        assert "it is placed on the CPU" in server.log


# ---- documents and metrics ------------------------------------------------------------------------------------------

def test_statistics_of_unknown_models(front, repo):
    add_model(repo, "m", identity_config("m"))
    with start(front, repo) as server:
        status, text = get(server, "/v2/models/x/stats")
        assert (status, error_of(text)) == (400, "requested model 'x' is not available")
        status, text = get(server, "/v2/models/m/versions/4/stats")
        assert (status, error_of(text)) == (400, "requested model version is not available for model 'm'")
        infer(server, "m", [1, 2])

        def counts():  # of what was answered, a moment after the answer
            stats = json.loads(get(server, "/v2/models/stats")[1])["model_stats"]
            return [(s["name"], s["version"], s["inference_count"], s["execution_count"]) for s in stats]
        assert until(lambda: counts() == [("m", "1", 1, 1)]), counts()
        stats = json.loads(get(server, "/v2/models/stats")[1])["model_stats"]
        assert list(stats[0]["inference_stats"]) == ["success", "fail", "queue", "compute_input", "compute_infer",
                                                     "compute_output", "cache_hit", "cache_miss"]


def test_metrics_come_and_go_with_the_model(front, repo):
    add_model(repo, "m", identity_config("m", extra='metric_tags { key: "team" value: "x\\"y" }\n'))
    with start(front, repo, "--model-control-mode=explicit", "--load-model=m") as server:
        labels = '_team="x\\"y",model="m",version="1"'
        infer(server, "m", [1])
        assert until(lambda: f"nv_inference_request_success{{{labels}}} 1\n" in server.metrics())  # counted after the answer
        text = server.metrics()
        for reason in ("OTHER", "BACKEND", "CANCELED", "REJECTED"):
            assert f'nv_inference_request_failure{{_team="x\\"y",model="m",reason="{reason}",version="1"}} 0\n' in text
        assert "# TYPE nv_cpu_memory_total_bytes gauge" in text
        assert "# TYPE nv_pinned_memory_pool_total_bytes gauge" in text
        unload(server, "m")
        assert until(lambda: "nv_inference_request_success{" not in server.metrics())


def test_metrics_have_the_names_and_order_of_the_peer(repo):
    if not (available("peer") and available("peer_on_core")):
        pytest.skip("the peer is not there")
    add_model(repo, "m", identity_config("m"))
    heads = []
    for name in ("peer", "peer_on_core"):
        with start(name, repo) as server:
            heads.append([line for line in server.metrics().splitlines() if line.startswith("#")])
    # 2.73 has one more than 2.51.
    assert heads[0] == [line for line in heads[1] if "nv_model_load_duration_secs" not in line]


def test_tables_of_the_start(front, repo):
    add_model(repo, "m", identity_config("m"))
    with start(front, repo) as server:
        log = server.log
    assert "| Repository Agent | Path |" in log
    assert "| Backend  | Path" in log and '{"cmdline":{"auto-complete-config":"true","backend-directory":' in log
    assert "| m     | 1       | READY  |" in log
    assert "| model_control_mode               | MODE_NONE" in log
    assert "successfully loaded 'm'" in log


def test_a_hundred_models_start_and_stop(front, repo):
    for i in range(100):
        add_model(repo, f"m{i:03}", identity_config(f"m{i:03}"))
    with start(front, repo) as server:
        assert len(index(server, ready=True)) == 100
        assert infer(server, "m099", [1])[0] == 200
        assert server.terminate() == 0
        assert server.log.count("successfully unloaded") == 100


def test_the_wall_is_tested_for_real(repo):
    """The program of the wall runs on our core, not on its own."""
    if not available("peer_on_core"):
        pytest.skip("the peer is not there")
    add_model(repo, "m", identity_config("m"))
    with start("peer_on_core", repo) as server:
        maps = open(f"/proc/{server.process.pid}/maps").read()
        assert str(CORE.resolve()) in maps
        assert "nvidia_pytriton.libs/libtritonserver" not in maps
