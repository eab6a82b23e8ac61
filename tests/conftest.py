# SPDX-License-Identifier: Apache-2.0
"""For every test folder: makes tests/servers.py importable, and deals with peers that crash (servers.py says why)."""

import pathlib
import resource
import sys

import pytest
from _pytest.outcomes import OutcomeException
from _pytest.runner import runtestprotocol

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import servers  # noqa: E402

# A thousand connections have two ends; many a shell gives 1024 descriptors, and lets who asks have more.
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
if SOFT != resource.RLIM_INFINITY and SOFT < 20000:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000 if HARD == resource.RLIM_INFINITY else max(SOFT, min(HARD, 20000)), HARD))


def tear_down(item):
    """All that is set up, the session's too: servers that tests share are started anew by who asks for them next."""
    while item.session._setupstate.stack:
        try:
            item.session._setupstate.teardown_exact(None)
        except (Exception, OutcomeException):  # a fixture that finds its peer ended says so
            pass


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A test that failed while a peer crashed, or after one that it shares did, runs once more with everything set up anew; what
    the second run says counts."""
    before = len(servers.peer_crashes)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports) and (servers.note_crashes() or len(servers.peer_crashes) > before):
        servers.peer_crashes.append(f"run once more: {item.nodeid}")
        tear_down(item)
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter):
    for line in servers.peer_crashes:
        terminalreporter.write_line(f"peer crashed: {line}")
