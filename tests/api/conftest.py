# SPDX-License-Identifier: Apache-2.0
"""What the tests of the interfaces share: which servers there are."""

import pytest

from servers import PROGRAMS


@pytest.fixture(scope="session", params=sorted(PROGRAMS))
def server_name(request):
    """Each server that is there in turn: both must run our backends as they are."""
    if not PROGRAMS[request.param].exists():
        pytest.skip(f"{request.param} is not at {PROGRAMS[request.param]}")
    return request.param
