# SPDX-License-Identifier: Apache-2.0
"""A kernel's fault ends CUDA for the whole process, as with real drivers: the server begins anew in its own place.

On pretended GPUs (FAKE_CUDA=...,faults=shared); the lossy backend breaks its GPU's context when a request asks for it.
"""

import json
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as grpc_client

import test_gpu_lost as lost
from servers import SLOWDOWN, Server

repository = lost.repository


def machine(gpus, **more):
    return lost.machine(gpus, faults="shared", **more)


def ask(server, order=0, model="m"):
    """The GPU that answers one request over a connection of its own; None: the server says that it is not available."""
    status, _, _, body = server.request("POST", f"/v2/models/{model}/infer", json.dumps(
        {"inputs": [{"name": "INPUT", "shape": [1, 4], "datatype": "FP32", "data": [7.0, order, 3.0, 1.0]}]}))
    if status != 200:
        assert status in (500, 503), body
        return None
    outputs = {row["name"]: row["data"] for row in json.loads(body)["outputs"]}
    assert outputs["OUTPUT"][0] == 7.0 and outputs["OUTPUT"][2:] == [3.0, 1.0]
    return outputs["GPU"][0]


def wait_for_restart(server, times=1):
    lost.until(lambda: server.log.count("the server begins anew in its place") == times)
    lost.until(lambda: server.log.count("Started Metrics Service") == times + 1)


@pytest.mark.parametrize("gpus", [1, 2])
def test_server_begins_anew_and_goes_on_with_all_gpus(repository, gpus):
    with Server("nereid", repository("m"), env=machine(gpus)) as server:
        process = server.process.pid
        assert {ask(server) for _ in range(20)} <= set(range(gpus))
        ask(server, order=lost.ANY)
        wait_for_restart(server)
        assert server.process.pid == process and server.alive()
        lost.until(lambda: lost.ready(server))
        assert {ask(server) for _ in range(40)} == set(range(gpus))
        assert lost.lost_gpus(server) == ["0"] * gpus
        server.process.terminate()
        assert server.process.wait(20 * SLOWDOWN) == 0


def test_each_request_of_a_load_is_answered_and_connections_wait(repository):
    """Callers that open a connection for each request see no refusal: what comes meanwhile waits for the server."""
    with Server("nereid", repository("m", load_ms=200), env=machine(2)) as server:
        answers, failures = [], []
        stop = threading.Event()

        def client():
            while not stop.is_set():
                try:
                    answers.append(ask(server))
                except (ConnectionError, OSError, AssertionError) as error:
                    failures.append(error)
                    return

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        lost.until(lambda: len(answers) > 100)
        ask(server, order=lost.ANY)
        wait_for_restart(server)
        enough = len(answers) + 200
        lost.until(lambda: len(answers) > enough or failures)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert set(answers[-100:]) == {0, 1}


def test_models_that_were_loaded_by_request_are_loaded_again(repository):
    models = repository("m")
    repository("other")
    repository("never")
    with Server("nereid", models, "--model-control-mode=explicit", "--load-model=m", env=machine(2)) as server:
        assert server.request("POST", "/v2/repository/models/other/load", "{}")[0] == 200
        ask(server, order=lost.ANY)
        wait_for_restart(server)
        assert lost.ready(server, "m") and lost.ready(server, "other") and not lost.ready(server, "never")


def test_fault_after_fault_is_not_gone_through_for_ever(repository):
    with Server("nereid", repository("m"), env=machine(1)) as server:
        for times in range(1, 6):
            ask(server, order=lost.ANY)
            wait_for_restart(server, times)
        ask(server, order=lost.ANY)
        lost.until(lambda: "the server does not begin anew, and stays without GPUs: 5 restarts in" in server.log)
        assert server.alive() and not lost.ready(server) and ask(server) is None


def test_server_stays_where_it_is_told_to(repository):
    with Server("nereid", repository("m"), "--gpu-fault=stay", env=machine(2)) as server:
        ask(server, order=lost.ANY)
        lost.until(lambda: "no GPU can be used in this process any more" in server.log)
        time.sleep(0.2)
        assert "begins anew" not in server.log and server.alive() and not lost.ready(server)


def test_gpu_that_is_lost_by_itself_restarts_nothing(repository):
    with Server("nereid", repository("m", busy_us=10), env=lost.machine(1, unplug="0@1")) as server:
        while ask(server) is not None:
            pass
        lost.until(lambda: not lost.ready(server))
        time.sleep(0.2)
        assert "begins anew" not in server.log and server.alive()


def test_stream_that_is_open_ends_with_an_error_and_may_be_opened_again(repository):
    with Server("nereid", repository("m"), env=machine(2)) as server:
        row = grpc_client.InferInput("INPUT", [1, 4], "FP32")
        row.set_data_from_numpy(np.array([[7, 0, 3, 1]], np.float32))

        def over_a_stream():
            said = []
            done = threading.Event()
            with grpc_client.InferenceServerClient(server.grpc_url) as client:
                client.start_stream(lambda result, error: (said.append(error), done.set()))
                client.async_stream_infer("m", [row])
                assert done.wait(20 * SLOWDOWN)
                yield said
                client.stop_stream()

        first = over_a_stream()
        assert next(first) == [None]
        ask(server, order=lost.ANY)
        wait_for_restart(server)
        again = over_a_stream()
        assert next(again) == [None]
        for stream in (first, again):
            stream.close()
