# SPDX-License-Identifier: Apache-2.0
"""Both servers, up side by side on the same repository, for the whole run."""

import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import differences  # noqa: E402
import repository  # noqa: E402
from servers import PROGRAMS, Server  # noqa: E402


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """(nereid, peer) on one repository."""
    for name, program in PROGRAMS.items():
        if not program.exists():
            pytest.skip(f"{name} is not at {program}")
    models = repository.make(tmp_path_factory.mktemp("models"))
    with Server("nereid", models) as nereid, Server("peer", models) as peer:
        yield nereid, peer


@pytest.fixture(scope="session")
def table():
    return differences.Table()
