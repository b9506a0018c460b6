# SPDX-License-Identifier: Apache-2.0
"""Prints instructions of models on cores, beside those of other engines.

    python -m benchmarks.instructions [--model M]... [--core C]... [--nodes] [--write]

MCUTRAIN_MODELS names the folder of real models; without it the smartwatch example alone is counted.
"""

from __future__ import annotations

import argparse

from benchmarks.data.fetch import DataUnavailable
from benchmarks.document import put_section
from benchmarks.instructions.counting import Count, count, variants
from benchmarks.instructions.subjects import CORES, SUBJECTS, boards
from benchmarks.instructions.table import HEADER, SECTION, row, table
from benchmarks.places import ROOT
from mcutrain.host.show.profile import profile_tables
from mcutrain.trainer.errors import Error

DOCUMENT = ROOT / "docs" / "instructions.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--model", action="append", choices=SUBJECTS, help="these alone")
    parser.add_argument("--core", action="append", choices=CORES, help="these alone")
    parser.add_argument("--nodes", action="store_true", help="print each node, too")
    parser.add_argument("--write", action="store_true", help=f"remake the table of {DOCUMENT.name}")
    found = parser.parse_args()
    if found.write and (found.model or found.core):
        parser.error("--write is for all models and cores")
    return found


def main() -> None:
    asked = arguments()
    found: list[Count] = []
    skipped: list[str] = []
    for core in asked.core or CORES:
        if not boards(core):
            skipped.append(f"{core}: there is no board {' or '.join(CORES[core])}")
    print(HEADER, end="")
    for model in asked.model or SUBJECTS:
        for core in (c for c in asked.core or CORES if boards(c)):
            for variant in variants(core):
                try:
                    counted = count(model, core, variant)
                except (Error, DataUnavailable) as reason:
                    skipped.append(f"{model}, {core}, {variant}: {reason}")
                    continue
                found.append(counted)
                print(row(counted), end="", flush=True)
                if asked.nodes:
                    profile_tables({"profile": counted.profile})
    for line in skipped:
        print(f"skipped: {line}")
    if asked.write:
        put_section(DOCUMENT, SECTION, table(found))


if __name__ == "__main__":
    main()
