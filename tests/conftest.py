# SPDX-License-Identifier: Apache-2.0
"""Makes tests/servers.py importable from every test folder."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
