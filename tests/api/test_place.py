# SPDX-License-Identifier: Apache-2.0
"""Placement by measurement, on pretended GPUs: `nereid place`, and `nereid serve --placement=measured`.

gpu_echo (tests/support/gpu_echo) takes memory and time as its parameters say; the pretended driver keeps both.
"""

import json
import os
import subprocess

import numpy as np
import pytest
import tritonclient.http as http_client

from servers import PREFIX, Server

FAKE = PREFIX / "tests/fake"
BACKENDS = PREFIX / "tests/backends"
CONFIG = """backend: "gpu_echo"
max_batch_size: {batch}
input {{ name: "I" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "O" data_type: TYPE_FP32 dims: [ 4 ] }}
parameters {{ key: "gpu_memory_mib" value {{ string_value: "{mib}" }} }}
parameters {{ key: "gpu_us" value {{ string_value: "{us}" }} }}
{more}
"""


class Place:
    """A repository, a cache, and a pretended machine."""

    def __init__(self, folder):
        self.models, self.cache = folder / "models", folder / "cache"
        self.models.mkdir()

    def add(self, name, mib, us, more="", batch=1):
        (self.models / name / "1").mkdir(parents=True)
        (self.models / name / "config.pbtxt").write_text(CONFIG.format(mib=mib, us=us, more=more, batch=batch))

    def environment(self, gpus=2, **more):
        settings = ",".join([f"gpus={gpus}", *(f"{key}={value}" for key, value in more.items())])
        return {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": settings, "NEREID_CACHE_DIR": str(self.cache)}

    def run(self, *arguments, env=None, **machine):
        """(exit status, standard output, standard error) of `nereid place`."""
        done = subprocess.run(
            [PREFIX / "bin/nereid", "place", f"--model-repository={self.models}", f"--backend-directory={BACKENDS}", *arguments],
            env={**os.environ, **(env if env is not None else self.environment(**machine))}, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def plan(self, *arguments, **machine):
        code, out, err = self.run("--json", *arguments, **machine)
        assert code == 0, err
        return json.loads(out)

    def serve(self, *arguments, env=None, **machine):
        return Server("nereid", self.models, f"--backend-directory={BACKENDS}", *arguments, env=env or self.environment(**machine))

    def records(self):
        return sorted((self.cache / "placement").glob("*.json"))


@pytest.fixture
def place(tmp_path):
    for needed in (FAKE / "libcuda.so.1", BACKENDS / "gpu_echo/libtriton_gpu_echo.so"):
        if not needed.exists():
            pytest.fail(f"{needed} is not there: make test-programs builds it")
    return Place(tmp_path)


def gpus(plan):
    return {model["name"]: model["gpus"] for model in plan["models"]}


def served(server, name):
    with http_client.InferenceServerClient(server.http_url) as client:
        return [group["gpus"] for group in client.get_model_config(name)["instance_group"]]


def test_machine_without_gpus_is_told_so(place):
    place.add("m", 10, 100)
    code, out, err = place.run(env={"LD_LIBRARY_PATH": "", "NEREID_CACHE_DIR": str(place.cache)})
    assert (code, out) == (1, "")
    assert err == "nereid place: there is no GPU here, so there is nothing to place\n"


def test_models_are_spread_by_memory_and_time_and_the_reasons_are_said(place):
    place.add("large", 600, 12000)
    place.add("middle", 500, 3000)
    place.add("small", 300, 500)
    code, out, err = place.run("--explain", memory="1G")
    assert code == 0, err
    plan = place.plan(memory="1G")
    assert gpus(plan)["middle"] == gpus(plan)["small"] and len(gpus(plan)["large"]) == 1  # 800 MiB beside 600 MiB
    assert gpus(plan)["large"] != gpus(plan)["middle"]
    own, other = gpus(plan)["large"][0], gpus(plan)["middle"][0]
    assert f"model 'large' goes to GPU {own} (100 % of its requests, " in out
    assert f"  not on GPU {other}: GPU {other} has no room for it: it needs 6" in out
    assert "No placement is better by these figures.\n" in out and "| large  |" in out
    large = next(model for model in plan["models"] if model["name"] == "large")
    assert large["ground"] == "open" and 12 <= large["placed"][0]["ms_per_request"] < 24
    assert large["placed"][0]["memory_bytes"] >= 600 << 20


def test_copies_are_made_where_memory_is_plenty(place):
    place.add("a", 100, 1000)
    place.add("b", 100, 300)
    plan = place.plan("--load=a=10", "--load=b=0", memory="1G")
    assert gpus(plan) == {"a": [0, 1], "b": [0, 1]}
    assert sum(part["for_bursts"] for part in plan["models"][1]["placed"]) == 1


def test_faster_gpu_gets_the_model_that_is_asked_for_most(place):
    place.add("busy", 600, 3000)
    place.add("idle", 600, 3000)
    plan = place.plan("--load", "busy=100", "--load=idle=10", memory="1G", speed="1:2")
    assert gpus(plan) == {"busy": [1], "idle": [0]}
    assert plan["demand"] == "requests/s" and plan["sustains"] > 1
    plan = place.plan("--load", "busy=10", "--load=idle=100", memory="1G", speed="1:2")
    assert gpus(plan) == {"busy": [0], "idle": [1]}


def test_model_is_measured_once_for_each_kind_of_gpu(place):
    place.add("m", 50, 200)
    place.plan(gpus=3, speed="1:1:2", memory="1G")
    before = {path: path.stat().st_mtime_ns for path in place.records()}
    assert len(before) == 2
    plan = place.plan(gpus=3, speed="1:1:2", memory="1G")
    assert {path: path.stat().st_mtime_ns for path in place.records()} == before
    assert len(plan["models"][0]["measured"]) >= 2
    (place.models / "m/1/weights").write_text("other")
    place.plan(gpus=1, memory="1G")
    assert len(place.records()) == 3


def test_record_that_cannot_be_read_is_named_and_measured_anew(place):
    place.add("m", 50, 200)
    place.plan(gpus=1, memory="1G")
    record, = place.records()
    record.write_text('{"schema": 99}')
    code, _, err = place.run(gpus=1, memory="1G")
    assert code == 0
    assert f"{record} is not used: no record of schema 1: 'schema'" in err
    assert json.loads(record.read_text())["schema"] == 1


def test_model_that_fits_nowhere_is_named(place):
    place.add("fits", 300, 200)
    place.add("giant", 900, 200)
    code, out, err = place.run(memory="800M")
    assert code == 1
    assert "model 'giant' has no place: GPU 1: cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)\n" in out
    assert "| giant | none | " in out and "| fits  | 0    | " in out
    assert "model 'giant' cannot be measured on GPU 0: " in err


def test_models_that_do_not_fit_together_are_named(place):
    for name in "abc":
        place.add(name, 600, 200)
    code, out, _ = place.run(memory="1G")
    assert code == 1
    assert out.count("has no place: it needs 6") == 1 and out.count("| none |") == 1


def test_model_that_refuses_made_up_requests_goes_by_its_memory(place):
    place.add("odd", 300, 200, 'parameters { key: "max_rows" value { string_value: "1" } }', batch=4)
    code, out, _ = place.run("--explain", memory="1G")
    assert code == 0
    assert "its times are not known: 1 rows at most" in out


def test_write_appends_a_group_and_leaves_groups_of_their_own_alone(place):
    place.add("bare", 600, 200)
    place.add("own", 600, 200, "instance_group { count: 2 }")
    before = (place.models / "own/config.pbtxt").read_text()
    code, out, err = place.run("--write", memory="2G")
    assert code == 0, err
    text = (place.models / "bare/config.pbtxt").read_text()
    assert text.startswith(CONFIG.format(mib=600, us=200, more="", batch=1))
    assert "# By nereid place.\ninstance_group [ { kind: KIND_GPU count: 1 gpus: [ " in text
    assert (place.models / "own/config.pbtxt").read_text() == before
    assert "own/config.pbtxt: has instance groups of its own; not changed. Put into them: gpus: [ " in out
    with place.serve(memory="2G") as server:
        assert str(served(server, "bare")[0]) in text.replace("[ ", "[").replace(" ]", "]")


def test_server_places_only_when_it_is_asked_to(place):
    place.add("a", 600, 1000)
    place.add("b", 600, 1000)
    place.add("fixed", 10, 100, "instance_group { kind: KIND_GPU gpus: [ 1 ] }")
    place.plan(memory="1G")  # the pretended memory has no pages: what was measured in one process leaves it in pieces
    with place.serve("--placement=measured", memory="1G") as server:
        where = served(server, "a"), served(server, "b")
        assert sorted(where) == [[[0]], [[1]]]
        assert served(server, "fixed") == [[1]]
        assert "model 'a' goes to GPU " in server.log and "placement of 3 models on 2 GPUs: sustains " in server.log
        assert "model 'fixed' stays on GPU 1" in server.log
    with place.serve(memory="4G") as server:
        assert served(server, "a") == served(server, "b") == [[0, 1]]
        assert "placement" not in server.log


def test_model_can_ask_for_placement_by_its_parameter(place):
    place.add("a", 800, 500, 'parameters { key: "nereid_placement" value { string_value: "measured" } }')
    place.add("b", 100, 500)
    place.plan(memory="1400M:500M")
    with place.serve(memory="1400M:500M") as server:
        assert served(server, "a") == [[0]]
        assert served(server, "b") == [[0, 1]]


def test_model_that_is_loaded_later_goes_around_those_that_are_served(place):
    place.add("first", 600, 1000)
    place.add("second", 300, 200)
    with place.serve("--placement=measured", "--model-control-mode=explicit", "--load-model=first", memory="1G:500M") as server:
        with http_client.InferenceServerClient(server.http_url) as client:
            client.load_model("second")
        assert served(server, "first") == [[0]] and served(server, "second") == [[1]]
        assert "model 'first' is served on GPU 0 (" in server.log


def test_model_of_a_lost_gpu_goes_where_it_has_room(place):
    place.add("big", 600, 100)
    place.add("other", 10, 100)
    loads, machine = ("--placement-load=big=0", "--placement-load=other=100"), {"gpus": 3, "memory": "1G:400M:1G"}
    plan = place.plan(*loads, **machine)
    (own,) = gpus(plan)["big"]
    assert own in (0, 2) and gpus(plan)["other"] == [0, 1, 2]
    with place.serve("--placement=measured", *loads, env=place.environment(**machine, fault=f"{own}@30")) as server:
        assert served(server, "big") == [[own]]
        x = np.ones((1, 4), np.float32)
        with http_client.InferenceServerClient(server.http_url, connection_timeout=30, network_timeout=30) as client:
            given = http_client.InferInput("I", x.shape, "FP32")
            given.set_data_from_numpy(x)
            for _ in range(60):
                assert (client.infer("big", [given]).as_numpy("O") == x).all()
        assert f"is made anew on GPU {2 - own}" in server.log


@pytest.mark.parametrize("arguments, text", [
    (["--placement=some"], "invalid argument for --placement: all or measured"),
    (["--placement-load=x"], "MODEL=REQUESTS_PER_SECOND[@ROWS]"),
    (["--load", "x"], "MODEL=REQUESTS_PER_SECOND[@ROWS]"),
    (["--nonsense"], "nonsense"),
])
def test_bad_arguments_are_named(place, arguments, text):
    code, _, err = place.run(*arguments)
    assert code == 1 and text in err
