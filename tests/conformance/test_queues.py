# SPDX-License-Identifier: Apache-2.0
"""Queue policies: a slow model, a queue behind it, and what becomes of each request on both servers.

The first request keeps the only instance busy; the others come one after another, far enough apart that their order is
certain, and end as the policy says. Compared are the replies in the order of sending and the order of the good ones' ends.
"""

import json
import threading
import time

import pytest

from servers import PROGRAMS, add_model, identity_config
from twins import Twins

BUSY_MS = 700
GAP = 0.06


def model(name, policy, batch=1, delay=BUSY_MS):
    return identity_config(name, dims="[1]", batch=batch, extra=(
        f'parameters {{ key: "execute_delay_ms" value {{ string_value: "{delay}" }} }}\n'
        f"dynamic_batching {{ {policy} }}\n"))


# name -> (policy, parameters of each request after the first)
CASES = {
    "full": ("default_queue_policy { max_queue_size: 2 }", [{}] * 5),
    "reject": ("default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 200000 }", [{}] * 3),
    "delay": ("default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 200000 }", [{}] * 3),
    "override": ("default_queue_policy { default_timeout_microseconds: 3000000 allow_timeout_override: true }",
                 [{}, {"timeout": 200000}, {"timeout": 0}, {"timeout": 200000}]),
    "no_override": ("default_queue_policy { default_timeout_microseconds: 3000000 }", [{"timeout": 1}, {"timeout": 200000}]),
    "longer_override": ("default_queue_policy { default_timeout_microseconds: 200000 allow_timeout_override: true }",
                        [{}, {"timeout": 5000000}]),
    "no_default": ("default_queue_policy { allow_timeout_override: true }", [{"timeout": 1000}, {}]),
    "levels": ("priority_levels: 3 default_priority_level: 2",
               [{"priority": 3}, {}, {"priority": 1}, {"priority": 3}, {"priority": 1}, {"priority": 2}]),
    "odd_levels": ("priority_levels: 2 default_priority_level: 2", [{"priority": 9}, {"priority": 0}, {"priority": 1}]),
    "level_policies": ("priority_levels: 2 default_priority_level: 2 default_queue_policy { max_queue_size: 4 } "
                       "priority_queue_policy { key: 1 value { max_queue_size: 1 default_timeout_microseconds: 200000 } }",
                       [{"priority": 1}, {"priority": 1}, {"priority": 2}, {"priority": 1}]),
    "ordered": ("preserve_ordering: true default_queue_policy { max_queue_size: 2 }", [{}] * 4),
}


@pytest.fixture(scope="module")
def twins(tmp_path_factory, table):
    if not all(program.exists() for program in PROGRAMS.values()):
        pytest.skip("needs both servers")

    def make(root):
        for name, (policy, _) in CASES.items():
            add_model(root, name, model(name, policy))
    with Twins(tmp_path_factory.mktemp("queues") / "twins", make, name="queue") as both:
        both.table = table
        yield both
        if len(both.notes) < 3 * len(CASES):
            both.table = None  # a part of the cases was asked for: no row can be called stale


def play(server, name, requests):
    """What became of each: (status, error), and the order in which those that were served ended."""
    replies, ended = [None] * (len(requests) + 1), []

    def send(i, parameters):
        body = {"inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "FP32", "data": [i]}], "parameters": parameters}
        status, _, _, text = server.request("POST", f"/v2/models/{name}/infer", body=json.dumps(body))
        replies[i] = (status, json.loads(text).get("error"))
        if status == 200:
            ended.append(i)

    threads = []
    for i, parameters in enumerate([{}, *requests]):
        threads.append(threading.Thread(target=send, args=(i, parameters)))
        threads[-1].start()
        time.sleep(GAP)
    for thread in threads:
        thread.join()
    return {"body": replies, "message": ended}


@pytest.mark.parametrize("name", sorted(CASES))
def test_fate_of_the_queued(twins, name):
    found = {}
    players = [threading.Thread(target=lambda w=which, s=server: found.update({w: play(s, name, CASES[name][1])}))
               for which, server in twins.servers.items()]
    for player in players:
        player.start()
    for player in players:
        player.join()
    before = len(twins.differences)
    twins.note(name, found)
    wrong, twins.differences[before:] = twins.differences[before:], []
    assert not wrong, "\n".join(wrong)
    twins.counted()
    twins.http(f"{name}_stats", "GET", f"/v2/models/{name}/stats")
    failures = {which: {"body": sorted(line for line in server.metrics().splitlines()
                                       if line.startswith("nv_inference_request_failure") and f'model="{name}"' in line)}
                for which, server in twins.servers.items()}
    twins.note(f"{name}_failures", failures)
    wrong, twins.differences[before:] = twins.differences[before:], []
    assert not wrong, "\n".join(wrong)
