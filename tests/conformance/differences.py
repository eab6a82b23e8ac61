# SPDX-License-Identifier: Apache-2.0
"""Reads the table of intended differences out of docs/compatibility.md.

A row is "| `case` | aspects | reason |"; `case` may hold *; aspects are a comma list of status, reason, headers, body (HTTP)
or code, details, message (gRPC). A difference that no row covers fails the suite, and so does a row's aspect that
covers none: the table says what is, no less and no more.
"""

import fnmatch
import pathlib
import re

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/compatibility.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z, ]+) \| (.+) \|$", re.M)


class Table:
    def __init__(self, text=None):
        text = DOCUMENT.read_text() if text is None else text
        self.rows = [(case, {a.strip() for a in aspects.split(",")}, reason) for case, aspects, reason in ROW.findall(text)]
        self.used = set()

    def allowed(self, case):
        """The aspects in which this case may differ."""
        found = set()
        for pattern, aspects, _ in self.rows:
            if fnmatch.fnmatchcase(case, pattern):
                found |= aspects
        return found

    def mark(self, case, aspects):
        """Notes that the rows for this case were needed for these aspects."""
        for pattern, allowed, _ in self.rows:
            if fnmatch.fnmatchcase(case, pattern):
                self.used |= {(pattern, a) for a in aspects & allowed}

    def stale(self, prefix_free_cases):
        """Rows about the given cases that no difference needed."""
        return sorted(
            (pattern, aspect) for pattern, aspects, _ in self.rows for aspect in aspects
            if any(fnmatch.fnmatchcase(case, pattern) for case in prefix_free_cases) and (pattern, aspect) not in self.used)
