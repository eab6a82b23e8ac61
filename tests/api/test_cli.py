# SPDX-License-Identifier: Apache-2.0
"""The command line: tritonserver's, word for word; what is not built is refused by name; exit codes, log lines, signals."""

import re
import signal
import socket
import subprocess
import time

import pytest

from servers import PREFIX, PROGRAMS, SLOWDOWN, Server, add_model, free_ports, identity_config

TRITONSERVER = str(PROGRAMS["nereid"])
NEREID = str(PREFIX / "bin/nereid")


def run(*arguments, timeout=60):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SLOWDOWN, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def models(tmp_path):
    add_model(tmp_path / "models", "one", identity_config("one"))
    return tmp_path / "models"


def test_help_prints_usage_on_stderr_and_exits_1():
    code, out, err = run(TRITONSERVER, "--help")
    assert code == 1 and out == ""
    assert err.startswith("Usage: tritonserver [options]")
    assert "--model-repository <string>" in err


def test_help_names_each_option_of_the_peer():
    if not PROGRAMS["peer"].exists():
        pytest.skip("the peer is not unpacked")
    theirs = set(re.findall(r"^  --([a-z0-9-]+)", run(str(PROGRAMS["peer"]), "--help")[2], re.M))
    ours = set(re.findall(r"^  --([a-z0-9-]+)", run(TRITONSERVER, "--help")[2], re.M))
    assert theirs - ours == set()
    assert ours - theirs == {"allow-client-shm", "http-max-input-size", "grpc-infer-thread-count",
                             "grpc-max-response-pool-size", "gpu-fallback", "gpu-fault", "gpu-map", "placement", "placement-load"}


@pytest.mark.parametrize("arguments, text", [
    (["--http-port=abc"], 'Bad option: "--http-port".\nInvalid option value. Got abc'),
    (["--http-port=99999999999"], "Provided option value is out of bound. Got 99999999999"),
    (["--allow-http=maybe"], 'Bad option: "--allow-http".\ninvalid value for bool option: maybe'),
    (["--log-verbose=x"], "Invalid option value. Got x"),
    (["--rate-limit=zz"], "invalid argument for --rate-limit"),
    (["--model-control-mode=foo"], "invalid argument for --model-control-mode"),
    (["--log-format=zz"], "invalid argument for --log-format"),
    (["stray"], "Unexpected argument: stray"),
    (["--backend-config=foo"], "--backend-config option format is '<backend name>,<setting>=<value>'. Got foo"),
    (["--backend-config=,a=b"], "No backend specified. --backend-config option format is"),
    (["--http-restricted-api=foo"], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got foo"),
    (["--http-restricted-api=foo:a=b"], "unknown restricted api 'foo'"),
    (["--host-policy=a"], "--host-policy option format is '<policy name>,<setting>=<value>'. Got a"),
    (["--metrics-config=a"], "--metrics-config option format is <setting>=<value>. Got a"),
    (["--http-port=8001"], "The server cannot listen to HTTP requests and GRPC requests at the same address and port 0.0.0.0:8001"),
    (["--load-model=x"], "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well."),
    (["--http-max-input-size=0"], "Error: --http-max-input-size must be greater than 0."),
    (["--grpc-infer-thread-count=1"], "Must be in the range 2 to 128."),
    (["--model-config-name="], "Error: empty argument for --model-config-name"),
])
def test_bad_value_is_named_after_the_usage(arguments, text):
    code, _, err = run(TRITONSERVER, *arguments)
    assert code == 1
    assert err.startswith("Usage: tritonserver [options]")
    assert text in err


@pytest.mark.parametrize("arguments", [["--nope"], ["--model-repository"], ["--log=1"]])
def test_unknown_incomplete_or_ambiguous_option_exits_1(arguments):
    code, _, err = run(TRITONSERVER, *arguments)
    assert code == 1 and "Usage: tritonserver" in err


@pytest.mark.parametrize("option", [
    "--allow-sagemaker=true", "--sagemaker-port=8080", "--allow-vertex-ai=true", "--vertex-ai-default-model=x",
    "--trace-config=level=TIMESTAMPS", "--cache-config=local,size=1048576", "--rate-limit=execution_count",
    "--rate-limit-resource=r:1", "--repoagent-directory=/x", "--trace-level=TIMESTAMPS",
])
def test_option_that_is_not_built_is_refused_by_name(option, models):
    code, _, err = run(TRITONSERVER, f"--model-repository={models}", option)
    assert code == 1
    assert f'Bad option: "{option.split("=")[0]}"' in err and "not built yet" in err


@pytest.mark.parametrize("command", ["bench", "top"])
def test_command_that_is_not_built_is_refused_by_name(command):
    code, _, err = run(NEREID, command)
    assert code == 1 and f"nereid: '{command}' is not built yet" in err


@pytest.mark.parametrize("arguments, text", [
    ([], "error: creating server: Invalid argument - --model-repository must be specified"),
    (["--model-repository=/nonexist"], "error: creating server: Internal - failed to stat file /nonexist"),
])
def test_start_up_failure_has_tritons_text(arguments, text):
    code, _, err = run(TRITONSERVER, *arguments)
    assert code == 1 and text in err


def test_failed_model_ends_the_start_unless_told_otherwise(models):
    add_model(models, "broken", 'backend: "identity"\nnonsense: 1\n')
    ports = free_ports(3)
    arguments = [f"--model-repository={models}", f"--http-port={ports[0]}", f"--grpc-port={ports[1]}",
                 f"--metrics-port={ports[2]}", f"--backend-directory={PREFIX / 'lib/nereid/backends'}"]
    code, _, err = run(TRITONSERVER, *arguments)
    assert code == 1 and "error: creating server: Internal - failed to load all models" in err
    with Server("nereid", models, "--exit-on-error=false") as server:
        assert server.request("GET", "/v2/models/one/ready")[0] == 200
        assert server.request("GET", "/v2/models/broken/ready")[0] == 404
        assert "failed to read text proto from" in server.log


def test_log_lines_that_people_grep_for(models):
    with Server("nereid", models, "--log-verbose=1") as server:
        log = server.log
    assert re.search(r'^I\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ \S+:\d+\] "Started GRPCInferenceService at 127.0.0.1:\d+"$', log, re.M)
    assert re.search(r'"Started HTTPService at 127.0.0.1:\d+"$', log, re.M)
    assert re.search(r'"Started Metrics Service at 127.0.0.1:\d+"$', log, re.M)
    assert '"successfully loaded \'one\'"' in log and '"loading: one:1"' in log
    assert re.search(r"^\| one +\| 1 +\| READY +\|$", log, re.M)


def test_iso_log_format_and_log_file(models, tmp_path):
    path = tmp_path / "server.log"
    with Server("nereid", models, "--log-format=ISO8601", f"--log-file={path}"):
        text = path.read_text()
    assert re.search(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I \d+ \S+:\d+\] "Started HTTPService', text, re.M)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_well(models, number):
    with Server("nereid", models) as server:
        server.process.send_signal(number)
        assert server.process.wait(40 * SLOWDOWN) == 0
        assert f"Signal ({int(number)}) received." in server.log


def test_running_request_is_answered_before_the_end(tmp_path):
    add_model(tmp_path, "slow", identity_config("slow", extra='parameters { key: "execute_delay_ms" value { string_value: "1500" } }\n'))
    with Server("nereid", tmp_path) as server:
        body = b'{"inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":[5]}]}'
        with socket.create_connection(("127.0.0.1", server.http_port)) as s:
            s.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            reply = b""
            while chunk := s.recv(4096):
                reply += chunk
        assert reply.startswith(b"HTTP/1.1 200") and b"5.0" in reply
        assert server.process.wait(40 * SLOWDOWN) == 0


def test_exit_timeout_ends_it_with_1(tmp_path):
    add_model(tmp_path, "slow", identity_config("slow", extra='parameters { key: "execute_delay_ms" value { string_value: "8000" } }\n'))
    with Server("nereid", tmp_path, "--exit-timeout-secs=1") as server:
        body = b'{"inputs":[{"name":"INPUT0","shape":[1],"datatype":"FP32","data":[5]}]}'
        with socket.create_connection(("127.0.0.1", server.http_port)) as s:
            s.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            time.sleep(0.5)
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(40 * SLOWDOWN) == 1
        assert time.monotonic() - begin < 6 * SLOWDOWN
        assert "Exit timeout expired. Exiting immediately." in server.log


def test_prefix_of_an_option_and_both_spellings_work(models):
    ports = free_ports(3)
    process = subprocess.Popen([TRITONSERVER, "--model-repository", str(models), "--log-warn", "false", "--http-port", str(ports[0]),
                                "--grpc-port", str(ports[1]), "--metrics-port", str(ports[2])],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60 * SLOWDOWN
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", ports[2]), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_port_in_use_is_named(models):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http, metrics = free_ports(2)
        code, _, err = run(TRITONSERVER, f"--model-repository={models}", "--grpc-address=127.0.0.1", f"--grpc-port={port}",
                           f"--http-port={http}", f"--metrics-port={metrics}", "--http-address=127.0.0.1")
    assert code == 1 and str(port) in err


def test_nereid_serve_is_tritonserver(models):
    with Server("nereid", models, program=[NEREID, "serve"]) as server:
        assert server.request("GET", "/v2/health/ready")[0] == 200
