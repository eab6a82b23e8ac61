# SPDX-License-Identifier: Apache-2.0
"""Life of models: the same loads, unloads and changes on both servers, and after each step all that can be asked."""

import base64
import itertools
import json

import pytest

from servers import PROGRAMS, add_model, identity_config
from twins import Twins

BAD_BACKEND = identity_config("bad").replace('"identity"', '"no_such_backend"')
OVERRIDE = {"backend": "identity", "max_batch_size": 0,
            "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [2]}],
            "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [2]}],
            "instance_group": [{"kind": "KIND_CPU", "count": 2}]}
EXPLICIT = "--model-control-mode=explicit"
counter = itertools.count()


@pytest.fixture
def twins(tmp_path, table, request):
    if not all(program.exists() for program in PROGRAMS.values()):
        pytest.skip("needs both servers")
    name = "life_" + request.node.name.removeprefix("test_").split("[")[0]

    def start(make, *arguments, **more):
        return Twins(tmp_path / str(next(counter)), make, *arguments, table=table, name=name, **more)
    return start


def two(root):
    add_model(root, "a", identity_config("a"))
    add_model(root, "b", identity_config("b", extra="version_policy { all {} }\n"), versions=("1", "3"))


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_load_and_unload(twins, way):
    with twins(two, EXPLICIT) as t:
        t.observe("start", "a", "b", "none")
        t.load("a", way)
        t.observe("one", "a", "b")
        t.load("b", way)
        t.observe("two", "a", "b", versions=("", "1", "3", "7"))
        t.load("b", way)
        t.observe("again", "b")
        t.unload("a", way)
        t.observe("unloaded", "a", "b", versions=("", "1"))
        t.unload("a", way)
        t.unload("none", way)
        t.load("none", way)
        t.observe("none", "a", "none")
        t.load("a", way)
        t.unload("b", way, unload_dependents=True)
        t.observe("dependents", "a", "b", versions=("", "3"))


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_config_override(twins, way):
    with twins(two, EXPLICIT) as t:
        t.load("a", way, config=json.dumps(OVERRIDE))
        t.observe("fresh", "a")
        t.load("a", way)
        t.observe("reverted", "a")
        t.load("b", way)
        t.load("b", way, config=json.dumps({**OVERRIDE, "name": "b", "version_policy": {"latest": {"num_versions": 1}}}))
        t.observe("b", "b", versions=("", "1", "3"))
        for i, config in enumerate((
                "", "{", "[]", "null", "5", '{"name":"c"}', '{"nope":1}', '{"backend":"identity"}', "{}",
                '{"backend":"no_such_backend"}', '{"max_batch_size":"x"}', '{"platform":"p","backend":"identity"}',
                json.dumps({**OVERRIDE, "max_batch_size": -1}), json.dumps({**OVERRIDE, "name": "other"}),
                json.dumps({**OVERRIDE, "input": []}), json.dumps({**OVERRIDE, "version_policy": {"specific": {"versions": [9]}}}))):
            t.load("b", way, config=config)
            t.observe(f"bad{i}", "b")
            t.load("a", way, config=config)
        t.observe("end", "a", "b")
        t.load("c", way, config=json.dumps(OVERRIDE))
        t.observe("unknown", "c")
        t.unload("b", way)
        t.load("b", way)
        t.observe("back", "b")


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_file_override(twins, way):
    content = base64.b64encode(b"weights").decode() if way == "http" else b"weights"
    config = json.dumps(OVERRIDE)
    with twins(two, EXPLICIT) as t:
        t.load("a", way)
        t.load("a", way, config=config, **{"file:7/model.bin": content})
        t.observe("seven", "a", versions=("", "7", "1"))
        t.load("a", way, **{"file:7/model.bin": content})
        t.observe("no_config", "a")
        t.load("new", way, config=config, **{"file:2/model.bin": content, "file:2/sub/x": content, "file:labels.txt": content})
        t.observe("new", "new", versions=("", "2"))
        t.load("new", way)
        t.observe("new_plain", "new")
        t.load("a", way, config=config, **{"file:labels.txt": content})
        t.observe("no_version", "a")
        t.load("a", way, config="{", **{"file:1/x": content})
        t.load("a", way, config=config, **{"file:../x/1/y": content})
        t.load("a", way, config=config, **{"file:": content})
        t.load("a", way, config=config, **{"file:/etc/x": content})
        t.observe("refused", "a")
        t.load("a", way)
        t.observe("back", "a")
        t.unload("a", way)
        t.unload("new", way)
        t.observe("end", "a", "new")


def test_file_override_is_base64(twins):
    config = json.dumps(OVERRIDE)
    with twins(two, EXPLICIT) as t:
        for i, content in enumerate(("", "d2VpZ2h0cw", "d2VpZ2h0cw==", "d2Vp Z2h0", "d2Vp\nZ2h0", "=", "!!!!", "é")):
            t.load("a", config=config, **{"file:4/x": content})
            if content.startswith("d2"):
                t.observe(f"content{i}", "a")
            t.unload("a")


def test_bodies_of_load_and_unload(twins):
    with twins(two, EXPLICIT) as t:
        for i, body in enumerate(("", "{", "[]", "null", "5", "{}", '{"parameters":{}}', '{"parameters":[]}', '{"parameters":null}',
                                  '{"parameters":{"config":5}}', '{"parameters":{"config":null}}', '{"parameters":{"nope":"x"}}',
                                  '{"parameters":{"nope":5}}', '{"parameters":{"nope":true}}', '{"parameters":{"file:1/x":5}}',
                                  '{"x":1}', '{"parameters":{"config":{"backend":"identity"}}}')):
            t.http(f"load{i}", "POST", "/v2/repository/models/a/load", body)
            t.http(f"index{i}", "POST", "/v2/repository/index")
        for i, body in enumerate(("", "{", "[]", "null", "{}", '{"parameters":{}}', '{"parameters":[]}', '{"parameters":{"unload_dependents":1}}',
                                  '{"parameters":{"unload_dependents":"x"}}', '{"parameters":{"unload_dependents":false}}',
                                  '{"parameters":{"nope":1}}')):
            t.load("a")
            t.http(f"unload{i}", "POST", "/v2/repository/models/a/unload", body)
            t.rest()
            t.http(f"unload_index{i}", "POST", "/v2/repository/index")
        t.http("named", "POST", "/v2/repository/x/models/a/load", "{}")
        t.http("named_unload", "POST", "/v2/repository/x/models/a/unload", "{}")
        t.http("get", "GET", "/v2/repository/models/a/load")


def test_grpc_parameters_of_load_and_unload(twins):
    with twins(two, EXPLICIT) as t:
        t.load("a", "grpc", config=5)
        t.load("a", "grpc", config=True)
        t.load("a", "grpc", config=b"{}")
        t.load("a", "grpc", nope="x")
        t.load("a", "grpc", **{"file:1/x": "text", "config": json.dumps(OVERRIDE)})
        t.load("a", "grpc", **{"file:1/x": b"text"})
        t.load("", "grpc")
        t.load("a", "grpc")
        t.unload("a", "grpc", unload_dependents="x")
        t.observe("text", "a")
        t.unload("a", "grpc", nope=True)
        t.observe("nope", "a")
        t.unload("", "grpc")


def test_reload_after_change(twins):
    with twins(two, EXPLICIT, "--load-model=a", "--load-model=b") as t:
        t.observe("start", "a", "b")
        t.change(lambda root: add_model(root, "a", identity_config("a"), versions=("2",)))
        t.observe("before", "a")
        t.load("a")
        t.observe("new_version", "a", versions=("", "1", "2"))
        t.change(lambda root: (root / "a/2").rmdir())
        t.load("a")
        t.observe("gone_version", "a", versions=("", "1", "2"))
        t.change(lambda root: add_model(root, "a", identity_config("a", batch=4)))
        t.load("a")
        t.observe("batch", "a")
        t.change(lambda root: add_model(root, "a", "name: \"a\"\nbackend: \"identity\"\n"))
        t.load("a")
        t.observe("broken", "a")
        t.change(lambda root: (root / "a/config.pbtxt").unlink())
        t.load("a")
        t.observe("no_config", "a")
        t.change(lambda root: add_model(root, "a", identity_config("other")))
        t.load("a")
        t.observe("other_name", "a")
        t.change(lambda root: add_model(root, "a", identity_config("a").replace("TYPE_FP32", "TYPE_INT32", 1)))
        t.load("a")
        t.observe("mixed_types", "a")
        t.change(lambda root: add_model(root, "a", identity_config("a")))
        t.load("a")
        t.observe("mended", "a")
        t.change(lambda root: add_model(root, "a", identity_config("a").replace("count: 1", "count: 3")))
        t.load("a")
        t.observe("instances", "a")
        t.unload("a")
        t.load("a")
        t.change(lambda root: (root / "b/1").rmdir())
        t.change(lambda root: (root / "b/3").rmdir())
        t.load("b")
        t.observe("b_no_versions", "b", versions=("", "1", "3"))
        t.change(lambda root: (root / "b").rename(root / "c"))
        t.load("b")
        t.observe("b_gone", "b")
        t.unload("b")
        t.observe("b_unloaded", "b")
        t.load("c")
        t.observe("c", "c")


def broken(root):
    add_model(root, "good", identity_config("good"))
    add_model(root, "bad", BAD_BACKEND)
    add_model(root, "syntax", 'name: "syntax"\nbackend: "identity"\nno_such_field: 1\n')
    add_model(root, "empty", None)
    add_model(root, "no_versions", None, {"config.pbtxt": identity_config("no_versions")}, versions=())
    add_model(root, "words", identity_config("words"), versions=("one", "02"))
    add_model(root, "wrong_name", identity_config("right_name"))
    add_model(root, "no_tensors", 'name: "no_tensors"\nbackend: "identity"\n')
    add_model(root, "types", identity_config("types").replace("TYPE_FP32", "TYPE_INT32", 1))
    add_model(root, "gpu", identity_config("gpu").replace("KIND_CPU", "KIND_GPU"))
    add_model(root, "count", identity_config("count").replace("count: 1", "count: -1"))
    add_model(root, "no_library", identity_config("no_library"), {"1/libtriton_identity.so": "no library"})
    add_model(root, "mixed", identity_config("mixed", extra="version_policy { all {} }\n"),
              {"2/libtriton_identity.so": "no library"}, versions=("1", "2", "3"))
    add_model(root, "specific", identity_config("specific", extra="version_policy { specific { versions: [9] } }\n"))
    (root / "a_file").write_text("not a model")
    (root / ".hidden").mkdir()


BROKEN = ("bad", "syntax", "empty", "no_versions", "words", "wrong_name", "no_tensors", "types", "gpu", "count", "no_library", "mixed",
          "specific", "a_file", ".hidden", "absent")


@pytest.mark.parametrize("strict", [True, False])
def test_broken_models_one_after_another(twins, strict):
    with twins(broken, EXPLICIT, "--load-model=good", f"--strict-readiness={str(strict).lower()}") as t:
        t.observe("start", "good", "bad")
        for model in BROKEN:
            t.load(model)
            t.load(model, "grpc")
            t.rest()
            t.observe(model, "good", model, versions=("", "1"))
        for model in BROKEN:
            t.unload(model)
        t.observe("unloaded", "good", *BROKEN)
        t.change(lambda root: add_model(root, "bad", identity_config("bad")))
        t.load("bad")
        t.observe("mended", "good", "bad")


@pytest.mark.parametrize("arguments", [("--exit-on-error=false",), ("--exit-on-error=false", "--strict-readiness=false"),
                                       ("--exit-on-error=false", "--disable-auto-complete-config")], ids=" ".join)
def test_broken_models_at_the_start(twins, arguments):
    with twins(broken, *arguments) as t:
        t.rest()
        t.observe("start", "good", *BROKEN, versions=("", "1"))


@pytest.mark.parametrize("models", [("bad",), ("good", "syntax"), ("good", "absent"), ("*", "good"), ("*",)], ids=" ".join)
@pytest.mark.parametrize("more", [(), ("--exit-on-error=false",)], ids=lambda m: " ".join(m))
def test_named_models_at_the_start(twins, models, more):
    def make(root):
        add_model(root, "good", identity_config("good"))
        add_model(root, "bad", BAD_BACKEND)
        add_model(root, "syntax", 'name: "syntax"\nbackend: "identity"\nno_such_field: 1\n')

    arguments = [f"--load-model={model}" for model in models]
    if more:
        if "*" in models and len(models) > 1:
            pytest.skip("ends both")
        with twins(make, EXPLICIT, *arguments, *more) as t:
            t.rest()
            t.observe("start", "good", "bad", "syntax")
        return
    with twins(make, EXPLICIT, *arguments, wait=False) as t:
        ends = {which: server.wait_end(30) for which, server in t.servers.items()}
        errors = {which: [line for line in server.log.splitlines() if line.startswith(("error: ", "Error: ")) and "NVML" not in line]
                  for which, server in t.servers.items()}
        t.servers = {}
    assert ends["nereid"] == ends["peer"]
    assert errors["nereid"] == errors["peer"]


def test_a_name_in_two_repositories(twins):
    def make(root, i):
        add_model(root, "m", identity_config("m"))
        add_model(root, f"only{i}", identity_config(f"only{i}"))

    with twins(make, "--exit-on-error=false", repositories=2) as t:
        t.observe("none", "m", "only0", "only1")
    with twins(make, EXPLICIT, repositories=2) as t:
        t.observe("start", "m")
        t.load("m")
        t.observe("twice", "m")
        t.load("only1")
        t.observe("one", "m", "only0", "only1")
        t.change(lambda root: (root / "m").rename(root / "old") if root.name == "models1" else None)
        t.load("m")
        t.observe("once", "m", "old")
        t.change(lambda root: add_model(root, "m", identity_config("m")))
        t.load("m")
        t.observe("twice_again", "m", "only0")
        t.unload("m")
        t.observe("unloaded", "m")


@pytest.mark.parametrize("policy, versions", [
    ("all {}", ("1", "3", "12")), ("latest { num_versions: 1 }", ("1", "3")), ("latest { num_versions: 2 }", ("1", "3", "12")),
    ("latest {}", ("1", "3")), ("latest { num_versions: 9 }", ("1", "3")), ("specific { versions: [1, 3, 7] }", ("1", "3", "12")),
    ("specific { versions: [] }", ("1",)), ("specific { versions: [3, 3] }", ("1", "3")), ("", ("0", "5")),
    ("all {}", ("00", "1", "x", "1.5", "9223372036854775807"))], ids=str)
def test_version_policies(twins, policy, versions):
    def make(root):
        add_model(root, "m", identity_config("m", extra=f"version_policy {{ {policy} }}\n" if policy else ""), versions=versions)

    with twins(make, EXPLICIT) as t:
        t.load("m")
        t.rest()
        t.observe("m", "m", versions=("", "0", "1", "3", "5", "7", "12"))


def test_auto_complete_can_be_forbidden(twins):
    def make(root):
        add_model(root, "whole", identity_config("whole"))
        add_model(root, "bare", 'backend: "identity"\n')
        add_model(root, "none.identity", None)
        add_model(root, "nameless", identity_config("nameless").replace('name: "nameless"\n', ""))
        add_model(root, "x.identity", 'input { name: "INPUT0" data_type: TYPE_FP32 dims: [2] }\n'
                                      'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [2] }\n')
        add_model(root, "batching", identity_config("batching", batch=4, extra="dynamic_batching {}\n"))

    models = ("whole", "bare", "none.identity", "nameless", "x.identity", "batching")
    for argument in ("--disable-auto-complete-config", "--strict-model-config=false"):
        with twins(make, EXPLICIT, argument) as t:
            for model in models:
                t.load(model)
            t.rest()
            t.observe("all", *models)


def test_named_configurations(twins):
    def make(root):
        add_model(root, "m", identity_config("m"), {"configs/big.pbtxt": identity_config("m", batch=8)})
        add_model(root, "n", identity_config("n"))
        add_model(root, "broken", identity_config("broken"), {"configs/big.pbtxt": "nope: 1\n"})
        add_model(root, "only", None, {"configs/big.pbtxt": identity_config("only", batch=2)})
        add_model(root, "other", None, {"configs/small.pbtxt": identity_config("other", batch=2)})

    models = ("m", "n", "broken", "only", "other")
    for arguments in (("--model-config-name=big",), ("--model-config-name=nope",), ()):
        with twins(make, EXPLICIT, *arguments) as t:
            for model in models:
                t.load(model)
            t.rest()
            t.observe("all", *models)
            t.change(lambda root: add_model(root, "m", None, {"configs/big.pbtxt": identity_config("m", batch=16)}))
            t.load("m")
            t.observe("changed", "m")


def state(server, name):
    rows = json.loads(server.request("POST", "/v2/repository/index")[3])
    return [(row.get("version"), row.get("state")) for row in rows if row["name"] == name]


def test_poll_mode(twins):
    with twins(two, "--model-control-mode=poll", "--repository-poll-secs=1") as t:
        t.observe("start", "a", "b")
        t.load("a")
        t.unload("a")
        t.change(lambda root: add_model(root, "c", identity_config("c")))
        t.both_until(lambda server: state(server, "c") == [("1", "READY")])
        t.observe("c", "a", "b", "c")
        t.change(lambda root: (root / "a").rename(root.parent / f"{root.name}_gone_a"))
        t.both_until(lambda server: state(server, "a") in ([("1", "UNAVAILABLE")], []))
        t.observe("a_gone", "a", "b")
        t.change(lambda root: add_model(root, "b", identity_config("b", extra="version_policy { latest { num_versions: 1 } }\n")))
        t.both_until(lambda server: ("1", "UNAVAILABLE") in state(server, "b") and ("3", "READY") in state(server, "b"))
        t.observe("b_latest", "b", versions=("", "1", "3"))
        t.change(lambda root: add_model(root, "c", "nope: 1\n"))
        t.both_until(lambda server: server.log.count("nope") > 0)
        t.observe("c_broken", "c")
        t.change(lambda root: add_model(root, "c", BAD_BACKEND.replace('"bad"', '"c"')))
        t.both_until(lambda server: "no_such_backend" in server.log)
        t.rest()
        t.observe("c_no_backend", "c")
        t.change(lambda root: add_model(root, "c", identity_config("c", batch=2)))
        t.both_until(lambda server: b'"max_batch_size":2' in server.request("GET", "/v2/models/c/config")[3])
        t.observe("c_mended", "c")
