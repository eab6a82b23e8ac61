#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables for docs/performance.md from what the programs of this folder wrote where NEREID_RESULTS said.

    python3 bench/gpu/tables.py FOLDER
"""

import json
import pathlib
import sys


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def served(rows):
    ways = list(dict.fromkeys(row["way"] for row in rows if row["way"] != "bare"))
    cases = {}
    for row in rows:
        cases.setdefault((row["framework"], row["model"], row["batch"]), {})[row["way"]] = row

    def cell(row):
        return "-" if row is None else f"{row['rate']:,.0f} ({100 * row['ratio']:.0f} %)"
    table(["framework", "model", "batch", "bare", *ways],
          [[*case, f"{found['bare']['rate']:,.0f}" if "bare" in found else "-", *(cell(found.get(way)) for way in ways)]
           for case, found in cases.items()])


def frameworks(rows):
    def ms(value):
        return "-" if value is None else f"{value:.3f}"
    table(["framework", "model", "batch", "ms", "as a CUDA graph", "from PyTorch in fp32 by"],
          [[row["framework"], row["model"], row["batch"], ms(row["ms"]), ms(row["graph_ms"]), f"{row['difference']:.1e}"] for row in rows])


def two(rows):
    table(["framework", "model", "batch", "memory", "pictures/s by GPUs (each round)", "times one GPU"],
          [[row["framework"], row["model"], row["batch"], row["way"],
            "; ".join(f"{gpus}: " + ", ".join(f"{rate:,.0f}" for rate in rates) for gpus, rates in row["rates"].items()),
            f"{row['ratio']:.2f}"] for row in rows])


def loads(rows):
    table(["framework", "loads", "MiB of the GPU in use, by eighths", "the server's resident MB"],
          [[row["framework"], row["loads"], ", ".join(str(n >> 20) for n in row["gpu"]), ", ".join(f"{n:.0f}" for n in row["host_mb"])]
           for row in rows])


def seed(rows):
    table(["model", "requests/s over gRPC while all run", "p50, ms"],
          [[row["model"], f"{row['rate']:.0f}", f"{row['p50_us'] / 1e3:.2f}"] for row in rows])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    writers = {"served": served, "frameworks": frameworks, "two": two, "loads": loads, "seed": seed}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        document = json.loads(path.read_text())
        if document.get("name") not in writers:
            continue
        print(f"{document['machine']}; `python3 {document['command']}`\n")
        writers[document["name"]](document["rows"])
        for text in document["wrong"]:
            print(f"WRONG: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
