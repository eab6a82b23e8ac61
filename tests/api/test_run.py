# SPDX-License-Identifier: Apache-2.0
"""`nereid run` and `holoscan run`: applications that run, those that are refused with their places, signals, drawings, schema."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import textwrap
import time
import xml.etree.ElementTree

import jsonschema
import pytest
import yaml

from servers import PREFIX, Server

NEREID = str(PREFIX / "bin/nereid")
HOLOSCAN = str(PREFIX / "bin/holoscan")
ROOT = pathlib.Path(__file__).resolve().parents[2]
SLOWDOWN = int(os.environ.get("NEREID_SLOWDOWN", "1"))

PING = """\
operators:
  - {name: tx, type: PingTxOp, conditions: [{type: CountCondition, count: 5}]}
  - {name: rx, type: PingRxOp}
flows: [tx -> rx]
"""
ENDLESS = """\
operators:
  - {name: tx, type: PingTxOp, conditions: [{type: PeriodicCondition, recess_period: 1kHz}]}
  - {name: rx, type: PingRxOp, parameters: {quiet: true}}
flows: [tx -> rx]
"""


def environment(**more):
    """The environment without what would change a run."""
    return {k: v for k, v in os.environ.items() if not k.startswith("HOLOSCAN_")} | more


def run(*arguments, env=None, program=NEREID, timeout=60):
    done = subprocess.run([program, "run", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=timeout * SLOWDOWN, env=env or environment())
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def app(tmp_path):
    """Writes an application and returns its path."""
    def write(text, name="app.yaml"):
        (tmp_path / name).write_text(textwrap.dedent(text))
        return tmp_path / name
    return write


@pytest.fixture(scope="session")
def extension(tmp_path_factory):
    """A library of operators as users write them: one that fails, one that never comes back."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "mine.c").write_text(textwrap.dedent("""\
        #include <stdio.h>
        #include <unistd.h>
        #include "nereid/operator.h"
        static struct nrd_status *fail(struct nrd_compute *ctx, void *self)
        {
            (void)self;
            return nrd_compute_count(ctx) < 3 ? NULL : nrd_status_new(NRD_INTERNAL, "the sensor is gone");
        }
        static struct nrd_status *hang(struct nrd_compute *ctx, void *self)
        {
            (void)ctx;
            (void)self;
            dprintf(1, "stuck\\n");
            for (;;) {
                pause();
            }
        }
        static const struct nrd_operator_class failing = {.abi = NRD_OPERATOR_ABI, .name = "FailingOp", .state_size = 1, .compute = fail};
        static const struct nrd_operator_class hanging = {.abi = NRD_OPERATOR_ABI, .name = "HangingOp", .state_size = 1, .compute = hang};
        NRD_EXPORT_OPERATORS(&failing, &hanging);
        """))
    library = folder / "libmine.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{ROOT / 'include'}", "-o", library, folder / "mine.c", f"-L{PREFIX / 'lib'}", "-lnereid"],
                   check=True)
    return library


def rows(table):
    """The operator table as {name: [cells]}; the table of where models run has two columns and is none of it."""
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in cells if len(row) > 2}


# ---- running --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [NEREID, HOLOSCAN])
def test_run_prints_messages_and_a_table(app, program):
    code, out, err = run("--config", app(PING), program=program)
    assert code == 0, err
    assert [line for line in out.splitlines() if line.startswith("Rx")] == [f"Rx message value: {i}" for i in range(1, 6)]
    table = rows(out)
    assert table["tx"][0] == "5" and table["tx"][3] == "5"
    assert table["rx"][2] == "5"


def test_run_takes_its_application_from_the_environment(app):
    code, out, err = run("--quiet", env=environment(HOLOSCAN_CONFIG_PATH=str(app(PING))))
    assert (code, err) == (0, "") and out.count("Rx") == 5 and "operator" not in out


def test_run_example(app):
    code, out, err = run(ROOT / "examples/graphs/ping.yaml", "--quiet")
    assert code == 0, err
    assert out.count("Rx message value") == 10


def test_run_set_counts_over_the_file(app):
    code, out, _ = run(app(PING), "--quiet", "--set", "rx.quiet=true")
    assert (code, out) == (0, "")


@pytest.mark.parametrize("scheduler", [[], ["--scheduler=greedy"], ["--scheduler", "event", "--workers", "2"], ["--workers=2"],
                                       ["--scheduler=multi-thread"]])
def test_run_with_each_scheduler(app, scheduler):
    code, out, err = run(app(PING), "--quiet", *scheduler)
    assert code == 0, err
    assert out.count("Rx") == 5


def test_run_ends_after_its_duration(app):
    began = time.monotonic()
    code, out, err = run(app(ENDLESS), "--duration", "300ms")
    assert code == 0, err
    assert 0.25 < time.monotonic() - began < 5 * SLOWDOWN
    assert rows(out)["tx"][3] == rows(out)["rx"][2] != "0"


def test_run_tracks_paths(app, tmp_path):
    code, out, err = run(app(PING), f"--track={tmp_path / 'paths.csv'}")
    assert code == 0, err
    assert rows(out)["tx,rx"][0] == "5"
    with open(tmp_path / "paths.csv", newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    assert len(table) >= 2 and "tx,rx" in table[1][0]


def test_run_tracks_paths_as_the_file_says(app):
    code, out, err = run(app(PING + "tracking: {skip_first: 1, skip_last: 1}\n"))
    assert code == 0, err
    assert rows(out)["tx,rx"][0] == "3"
    code, out, _ = run(app(PING + "tracking: true\n"))  # which skips ten at each end
    assert code == 0 and rows(out)["tx,rx"] == ["0"] + ["-"] * 6
    code, out, _ = run(app(PING + "tracking: true\n"), "--quiet")
    assert code == 0 and "tx,rx" not in out


def test_run_says_which_operator_failed(app, extension):
    path = app(f"extensions: [{extension}]\noperators: {{bad: {{type: FailingOp}}}}\n")
    code, _, err = run(path)
    assert code == 1
    assert "operator 'bad'" in err and "the sensor is gone" in err
    assert err.startswith(f"{path}:2:18: ")


# ---- the seed's file ------------------------------------------------------------------------------------------------

SEED = ROOT / "examples/multi_gpu_triton/holoscan_multi_gpu.yaml"
OUTPUTS = {"resnet_model": "kind_probabilities", "densenet_model": "finish_probabilities"}


@pytest.fixture(scope="module")
def models_server():
    with Server("nereid", ROOT / "models", "--gpu-fallback=cpu") as server:
        yield server


@pytest.fixture
def seed(app, models_server):
    """The file word for word, but for the port, which is 8000 there."""
    return app(SEED.read_text().replace("localhost:8000", models_server.http_url))


def test_seed_asks_three_models_about_each_picture(seed):
    reports = [f"{m}_inference_report" for m in ("unet", "resnet", "densenet")]
    sets = [f"--set={r}.{p}" for r in reports for p in ("format=json", "interval=0", "summary=false")]
    code, out, err = run("--config", seed, "--quiet", "--source", ROOT / "examples/pictures", *sets, program=HOLOSCAN)
    assert code == 0, err
    assert "PictureSourceOp" in err and "ReportSinkOp" in err
    expected = {p["file"]: p["answers"] for p in json.loads((ROOT / "examples/pictures/expected.json").read_text())["pictures"]}
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 3 * len(expected)
    for answer in answers:
        one = expected[pathlib.Path(answer["file"]).name]
        for model, output in OUTPUTS.items():
            if output in answer["tensors"]:
                best = answer["tensors"][output][0]["classes"][0]
                assert best["class"] == one[model]["index"] and abs(best["score"] - one[model]["score"]) < 0.02
        for region in answer["tensors"].get("region_probabilities", [{"classes": []}])[0]["classes"]:
            shares = list(one["unet_model"]["shares"].values())
            assert abs(region["share"] - shares[region["class"]]) < 0.02


def test_seed_takes_a_pattern_and_a_duration(seed):
    code, out, err = run("--config", seed, "--source", "pattern", "--duration", "500ms", program=HOLOSCAN)
    assert code == 0, err
    table = rows(out)
    for name in ("unet", "resnet", "densenet"):
        assert table[f"{name}_inference"][2] == table[f"{name}_inference"][3] == table[f"{name}_inference_report"][2] == table["source"][3]


@pytest.mark.parametrize("arguments, text", [
    (["--source", "/nonexistent"], "source '/nonexistent': there is no such file or directory"),
    (["--set", "unet_inference.model_name=absent"], "absent"),
    (["--set", "unet_inference.server_url=localhost:1"], "cannot connect"),
    (["--set", "unet_inference.timeout=soon"], "'soon' is not a duration"),
])
def test_seed_says_what_is_absent(seed, arguments, text):
    code, out, err = run("--config", seed, "--log-level=OFF", *arguments, program=HOLOSCAN)
    assert code == 1 and out == ""
    assert text in err and "unet_inference" in err or "source" in err


# ---- a server that goes and comes -----------------------------------------------------------------------------------

ASKING = """\
operators:
  - {{name: source, type: PictureSourceOp, parameters: {{path: {pictures}, rate: 100, repeat: true, count: {count}}}}}
  - {{name: ask, type: TritonInferenceOp, parameters: {{model_name: resnet_model, server_url: "{url}", preprocess: auto, {more}}}}}
  - {{name: report, type: ReportSinkOp, parameters: {{format: json, interval: 0, summary: false, path: {path}}}}}
flows: [source -> ask -> report]
"""


def ask_while(tmp_path, server, protocol, act, count, more):
    """Runs an application and does `act` to its server after the first answers. (status, stderr, answers)"""
    url = server.http_url if protocol == "http" else f"grpc://{server.grpc_url}"
    lines = tmp_path / "answers.json"
    (tmp_path / "ask.yaml").write_text(ASKING.format(pictures=ROOT / "examples/pictures", count=count, url=url, more=more, path=lines))
    process = start(tmp_path / "ask.yaml")
    deadline = time.monotonic() + 30 * SLOWDOWN
    while not lines.exists() or lines.read_text().count("\n") < 5:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    act()
    _, err = process.communicate(timeout=30 * SLOWDOWN)
    return process.returncode, err, lines.read_text().count("\n")


@pytest.mark.parametrize("shared", ["true", "false"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_server_that_comes_back_answers_each_message(tmp_path, protocol, shared):
    arguments = ["--gpu-fallback=cpu", "--allow-client-shm=true"]
    second = []
    with Server("nereid", ROOT / "models", *arguments) as server:
        def restart():
            server.process.kill()
            server.process.wait()
            second.append(Server("nereid", ROOT / "models", *arguments, f"--http-port={server.http_port}", f"--grpc-port={server.grpc_port}"))
        code, err, answers = ask_while(tmp_path, server, protocol, restart, 100, f"retries: 12, shared_memory: {shared}")
        second[0].stop()
    assert (code, answers) == (0, 100), err


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("number, text", [(signal.SIGKILL, "cannot connect: Connection refused"), (signal.SIGSTOP, "no answer within")])
def test_server_that_is_gone_ends_the_run_in_time(tmp_path, protocol, number, text):
    with Server("nereid", ROOT / "models", "--gpu-fallback=cpu", "--allow-client-shm=true") as server:
        began = []

        def leave():
            began.append(time.monotonic())
            server.process.send_signal(number)
        code, err, answers = ask_while(tmp_path, server, protocol, leave, 100000, "timeout: 2s, retries: 2")
        assert time.monotonic() - began[0] < 6 * SLOWDOWN  # waited for once, not for each region of shared memory
        assert code == 1 and answers >= 5
        assert f"{tmp_path / 'ask.yaml'}:3:5: operator 'ask': " in err and text in err and "resnet_model" in err


# ---- what cannot be written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, place, finding", [
    (PING.replace("PingRxOp}", "PingTensorRxOp}").replace("PingTxOp", "PatternSourceOp").replace("PingTensorRxOp}", "ReportSinkOp, parameters: {path: /dev/full, interval: 0}}"),
     ":3:5: ", "operator 'rx': cannot write to /dev/full: No space left on device"),
    (PING + "tracking: {log: /dev/full}\n", "", "flow tracking: the log /dev/full could not be written whole"),
])
def test_full_disk_fails_the_run(app, text, place, finding):
    path = app(text)
    code, _, err = run(path)
    assert code == 1 and (f"{path}{place}" if place else "") + finding in err


def test_full_standard_output_fails_the_run(app):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([NEREID, "run", str(app(PING))], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=20 * SLOWDOWN)
    assert done.returncode == 1 and "cannot write to standard output: No space left on device" in done.stderr


def test_reader_that_leaves_ends_the_run(app):
    process = start(app(ENDLESS.replace("{quiet: true}", "{}")))
    process.stdout.close()
    assert process.wait(timeout=20 * SLOWDOWN) == 1
    assert "operator 'rx': cannot write to standard output: Broken pipe" in process.stderr.read()
    process.stderr.close()


# ---- signals --------------------------------------------------------------------------------------------------------


def start(path, *arguments):
    """Begins a run; SIGHUP ends it even where nohup, which has it ignored, runs the tests."""
    return subprocess.Popen([NEREID, "run", str(path), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=environment(), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_and_lets_messages_arrive(app, number):
    process = start(app(ENDLESS.replace("{quiet: true}", "{}")))
    assert process.stdout.readline().startswith("Rx message value: ")  # it runs
    process.send_signal(number)
    out, err = process.communicate(timeout=30 * SLOWDOWN)
    assert process.returncode == 0, err
    assert "stopping" in err
    assert rows(out)["tx"][3] == rows(out)["rx"][2] != "0"


def test_second_signal_ends_at_once(app, extension):
    process = start(app(f"extensions: [{extension}]\noperators: {{stuck: {{type: HangingOp}}}}\n"))
    assert process.stdout.readline() == "stuck\n"
    process.send_signal(signal.SIGINT)
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30 * SLOWDOWN)
    assert process.returncode == 130


# ---- what is refused ------------------------------------------------------------------------------------------------

REFUSED = [
    ("operators: [", ":2:1: did not find expected node content"),
    ("operators:\n  - {name: a, type: PingTXOp2}", ":2:21: operator 'a': unknown operator class 'PingTXOp2' (did you mean 'PingTxOp'?)"),
    ("operators:\n  a: {type: PingRxOp, parameters: {quiet: 3}}",
     ":2:43: operator 'a' (PingRxOp): parameter 'quiet': '3' is not true or false"),
    ("operators:\n  a: {type: PingRxOp, parameters: {quite: on}}",
     ":2:36: operator 'a' (PingRxOp): there is no parameter 'quite' (did you mean 'quiet'?)"),
    ("operators:\n  tx: {type: PingTxOp}\n  rx: {type: PingRxOp}\nflows: [tx.oot -> rx]", ":4:9: "),
    ("operators:\n  tx: {type: PingTxOp}\nflows:\n  - tx -> rx", ":4:5: flow: there is no operator 'rx'"),
    ("operators:\n  tx: {type: PingTxOp}", ":2:7: operator 'tx' (PingTxOp): no flow leaves output 'out'"),
    ("name: a\ncomponents: []\n---\nname: b", ":1:1: this is a GXF graph"),
    ("{}", ":1:1: there are no operators"),
    ("operators:\n  tx: {type: PingTxOp, conditions: [{type: CuontCondition}]}", ":2:37: "),
    ("operators:\n  tx: {type: PingTxOp}\nscheduler: {type: greedy, wrker: 3}", ":3:"),
]


@pytest.mark.parametrize("flag", [["--check"], []])
@pytest.mark.parametrize("text, finding", REFUSED)
def test_refusals_have_file_line_and_column(app, text, finding, flag):
    path = app(text)
    code, out, err = run(path, *flag)
    assert code == 1 and out == ""
    assert f"{path}{finding}" in err
    assert all(line.startswith(f"{path}:") for line in err.splitlines())


def test_check_lists_all_findings(app):
    path = app("operators:\n  a: {type: NoSuchOp}\n  b: {type: PingRxOp, parameters: {quiet: x}}\nflows: [c -> b, d -> b]\n")
    code, _, err = run("--check", path)
    assert code == 1
    assert [int(line.split(":")[1]) for line in err.splitlines()] == [2, 3, 4, 4, 4, 4] or len(err.splitlines()) >= 4


def test_flows_to_a_refused_operator_say_nothing_more(app):
    path = app("operators:\n  a: {type: NoSuchOp}\n  b: {type: PingRxOp}\nflows: [a -> b, a.out -> b.in]\n")
    code, _, err = run("--check", path)
    assert code == 1 and len(err.splitlines()) == 1 and f"{path}:2:13: operator 'a': unknown operator class 'NoSuchOp'" in err


def test_cycle_is_named_with_its_place(app):
    path = app("operators:\n  - {name: a, type: JoinOp}\n  - {name: b, type: JoinOp}\nflows: [a -> b, b -> a]\n")
    code, _, err = run("--check", path)
    assert code == 1 and f"{path}:2:5: operator 'a': operators that wait for each other from the start: 'a', 'b'" in err


def test_check_runs_nothing(app):
    code, out, err = run("--check", app(PING))
    assert (code, err) == (0, "") and "nothing is wrong" in out and "Rx" not in out


@pytest.mark.parametrize("arguments, text", [
    ([], "no application is named"),
    (["gone.yaml"], "there is no file 'gone.yaml'"),
    (["/"], "'/' is a directory"),
    (["--nonsense", "x"], "there is no option '--nonsense'"),
    (["a.yaml", "b.yaml"], "two applications are named"),
    (["a.yaml", "--workers", "0"], "--workers wants a number from 1 to 1024, not '0'"),
    (["a.yaml", "--duration", "soon"], "--duration wants seconds"),
    (["a.yaml", "--set", "x=1"], "--set wants OPERATOR.PARAMETER=VALUE"),
    (["a.yaml", "--log-level", "LOUD"], "there is no log level 'LOUD'"),
    (["--config"], "--config wants FILE"),
])
def test_bad_command_lines_exit_1(arguments, text):
    code, out, err = run(*arguments)
    assert code == 1 and out == ""
    assert text in err


def test_bad_queue_policy_is_named(app):
    code, _, err = run(app(PING), env=environment(HOLOSCAN_QUEUE_POLICY="never"))
    assert code == 1 and "HOLOSCAN_QUEUE_POLICY is 'never', not pop, reject or fail" in err


# ---- what is printed ------------------------------------------------------------------------------------------------


def test_graph_is_drawn_with_all_names(app, tmp_path):
    code, out, err = run("--check", "--graph", tmp_path / "a.svg", app(PING))
    assert code == 0, err
    texts = {e.text for e in xml.etree.ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")}
    assert {"tx", "rx", "PingTxOp", "PingRxOp", "out", "in", "CountCondition"} <= texts


def test_operators_are_listed_and_described():
    code, out, _ = run("--list-operators")
    names = [line.split()[0] for line in out.splitlines()]
    assert code == 0 and names == sorted(names) and {"PingTxOp", "PingRxOp", "ReportSinkOp"} <= set(names)
    for name in names:
        code, out, err = run("--describe", name)
        assert code == 0, err
        assert out.startswith(f"{name}: ")
    code, out, _ = run("--describe", "holoscan::ops::PingRx")
    assert code == 0 and "\n  in: int64\n" in out and "\n  quiet: true or false [false]\n" in out
    code, _, err = run("--describe", "Nothing")
    assert code == 1 and "there is no operator 'Nothing'" in err


def test_help_names_each_option():
    code, out, _ = run("--help")
    assert code == 0
    for option in ("config", "source", "check", "graph", "set", "scheduler", "workers", "duration", "track", "log-level", "quiet"):
        assert f"--{option}" in out


# ---- the schema -----------------------------------------------------------------------------------------------------

SCHEMA = ROOT / "docs/schema/nereid-app.schema.json"


@pytest.fixture(scope="session")
def schema():
    return json.loads(SCHEMA.read_text())


def test_schema_is_what_the_program_says():
    code, out, _ = run("--schema")
    assert code == 0
    assert out == SCHEMA.read_text(), "run: make schema"


def examples():
    return [p for p in sorted((ROOT / "examples").rglob("*.yaml")) if {"operators", "fragments", "gxf_application"} & set(yaml.safe_load(p.read_text()))]


@pytest.mark.parametrize("path", examples(), ids=lambda p: p.name)
def test_schema_validates_examples(schema, path):
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text()), schema, cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize("text", [
    "operators: [{name: a, type: PingRxOp, parameters: {quiet: 3}}]",
    "operators: [{name: a, type: PingRxOp, parameters: {quite: true}}]",
    "operators: [{name: a, type: 'holoscan::ops::PingRx', parameters: {quiet: loud}}]",
    "operators: [{name: a}]",
    "operators: [{name: a, type: PingTxOp}]\nflows: [a b]",
    "operators: [{name: a, type: PingTxOp}]\nflows: [{from: a, to: b, policy: drop}]",
    "flows: []",
])
def test_schema_refuses_what_the_program_refuses(schema, app, text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema, cls=jsonschema.Draft7Validator)
    assert run("--check", app(text))[0] == 1
