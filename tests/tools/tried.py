# SPDX-License-Identifier: Apache-2.0
"""The tables of tried files and of operators in docs/models.md: ``python -m tests.tools.tried``.

Each file of the folders ``zoo`` and ``converted`` is trained whole, else the largest part of it
that can be; the others are refused, and the row says why. Every output of every operator is
compared with tflite-micro's, and steps in generated C with the reference. ``tests/trainer/
test_tried_files.py`` checks the tables. With names of files only their rows are made again;
``--operators`` makes the table of operators alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.op import Op
from mcutrain.trainer.losses import CROSS_ENTROPY, SQUARED_ERROR
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.options import WHOLE, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.folding import FOLDS
from mcutrain.trainer.tflite.reader import importers, load, parse
from mcutrain.trainer.tflite.sections import largest
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.op_cases import CASES
from tests.support.paths import ROOT, models_folder
from tests.support.random_models import MAKERS, random_model
from tests.support.steps import assert_steps_are_equal

DOCUMENT = ROOT / "docs" / "models.md"
FOLDERS = ("zoo", "converted/keras", "converted/pytorch")
WHOLE_FILE, PART, REFUSED = "whole", "part", "refused"
HEADER = (
    "| file | trains | layers | outputs compared | mismatches | steps verified |\n"
    "|---|---|---|---|---|---|\n"
)
OPERATORS_HEADER = (
    "| operator | computed by | gradient | rows | random models swept |\n|---|---|---|---|---|\n"
)
LAYERS, STEPS = 2, 2
LONGEST_CAUSE = 160  # characters


@dataclass(frozen=True)
class Tried:
    """What became of a file: its row in the document."""

    name: str
    trains: str
    layers: str = "-"
    compared: str = "-"
    mismatches: str = "-"
    steps: str = "-"

    @property
    def kind(self) -> str:
        return self.trains.split(":")[0].split(" ")[0]

    def __str__(self) -> str:
        cells = (self.trains, self.layers, self.compared, self.mismatches, self.steps)
        return f"| {self.name} | {' | '.join(cells)} |\n"

    @classmethod
    def of_line(cls, line: str) -> Tried:
        return cls(*(cell.strip() for cell in line.strip().strip("|").split(" | ")))


def files(folder: Path) -> dict[str, Path]:
    """The tried files by their name in the document."""
    return {f"{each}/{p.name}": p for each in FOLDERS for p in sorted((folder / each).iterdir())}


def begin(table: str) -> str:
    return f"<!-- begin {table} -->\n"


def end(table: str) -> str:
    return f"<!-- end {table} -->\n"


def read_table(table: str, header: str) -> list[str]:
    text = DOCUMENT.read_text()
    return text.split(begin(table) + header)[1].split(end(table))[0].splitlines()


def tried_rows() -> dict[str, Tried]:
    """The rows of the document, by file."""
    return {row.name: row for row in map(Tried.of_line, read_table("tried", HEADER))}


def in_cell(text: str) -> str:
    """A text as a table of the document can hold it, on one line."""
    line = text.replace("|", "/").replace("<", "(").replace(">", ")")
    return line if len(line) <= LONGEST_CAUSE else line[: LONGEST_CAUSE - 3] + "..."


def found_model(name: str, path: Path) -> tuple[Tried, Model | None]:
    """How a file trains, by reading it and planning a training; the rest of its row is open."""
    try:
        model: Model | None = load(path)
    except ModelError as err:
        model, cause = largest(path), err.cause
    if model is None:
        why = cause.removeprefix(f"{path}: ").removeprefix(f"{path} ")
        return Tried(name, f"{REFUSED}: {in_cell(why)}"), None
    trains = WHOLE_FILE if model.section == WHOLE else f"{PART}: `{model.section.arguments}`"
    return Tried(name, trains, str(len(model.weighted))), model


def plan_of(model: Model) -> TrainingPlan:
    """A plan with cross-entropy; with squared errors where the output is no row of classes, and of
    a new head alone where no other layer can learn."""
    update = f"last:{min(LAYERS, len(trim(model).weighted))}"
    try:
        return make_plan(model, PlanOptions(update, loss=CROSS_ENTROPY), thorough=False)
    except SchemeError:
        options = PlanOptions("head", model.classes, loss=CROSS_ENTROPY)
        return make_plan(model, options, thorough=False)
    except ModelError:
        return make_plan(model, PlanOptions(update, loss=SQUARED_ERROR), thorough=False)


def compare(path: Path, model: Model) -> tuple[str, str]:
    """(outputs compared with tflite-micro's, mismatches). Another process does it: tflite-micro
    refuses operators and types that it has not, and dies of some scales."""
    words = shlex.split(model.section.arguments)
    command = [sys.executable, "-m", "mcutrain", "check", str(path), *words, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True)
    if not ran.stdout:
        return "not by tflite-micro", "-"
    found = json.loads(ran.stdout)
    return f"{found['outputs']:,}", str(found["mismatches"])


def tried(name: str, path: Path) -> Tried:
    """The row of a file. Raises what a training in C that differs from the reference raises."""
    row, model = found_model(name, path)
    if model is None:
        return row
    compared, mismatches = compare(path, model)
    with tempfile.TemporaryDirectory() as folder:
        steps = assert_steps_are_equal(plan_of(model), Path(folder), STEPS).steps
    return Tried(row.name, row.trains, row.layers, compared, mismatches, str(steps))


def summary(rows: dict[str, Tried]) -> str:
    """How many files of each folder train, in a sentence each."""
    lines = []
    for folder in ("zoo", "converted"):
        kinds = Counter(row.kind for row in rows.values() if row.name.startswith(folder))
        lines.append(
            f"- `{folder}`: {kinds.total()} files, of which {kinds[WHOLE_FILE]} train whole, "
            f"{kinds[PART]} in part, and {kinds[REFUSED]} are refused.\n"
        )
    return "".join(lines)


# Operators.


def made_of(kind: str) -> list[type[Op]]:
    """The operators that compute one of the schema, by what random models of it are read as."""
    wanted: dict[type[Op], None] = {}
    for maker, seed in product(makers_of(kind), range(4)):
        try:
            model = parse(random_model(maker, seed), "m")
        except ModelError:  # options that are refused
            continue
        last = max(node.index for node in model.graph.nodes)
        indices = [n.index for n in model.graph.nodes if n.name.startswith(f"{kind.lower()}_")]
        nodes = [n for n in model.graph.nodes if n.index in (indices or [last])]
        wanted |= dict.fromkeys(type(node.op) for node in nodes)
    return list(wanted)


def makers_of(kind: str) -> list[str]:
    """The makers of random models of an operator; some have a word more in their names."""
    return [name for name in MAKERS if name.split(",")[0] == kind]


def has_gradient(op: type[Op]) -> bool:
    return op.vjp is not Op.vjp


def operator_row(kind: str) -> str:
    makers = makers_of(kind)
    if not makers:
        return f"| {kind} | at import: shapes alone | - | - | - |\n"
    ops = made_of(kind)
    modules = {op.__module__ for op in ops}
    rows = sum(type(case.op).__module__ in modules for case in CASES)
    gradient = "yes" if all(map(has_gradient, ops)) else "no: frozen, or behind the logits"
    names = ", ".join(op.__name__ for op in ops)
    return f"| {kind} | {names} | {gradient} | {rows} | {sum(MAKERS[m][1] for m in makers)} |\n"


def operator_rows() -> Iterator[str]:
    """A row for each operator that a file can hold."""
    return map(operator_row, sorted({*importers(), *FOLDS}))


# The document.


def written(text: str, table: str, content: str) -> str:
    head, rest = text.split(begin(table))
    return head + begin(table) + content + end(table) + rest.split(end(table))[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="files to try again, by parts of their names")
    parser.add_argument("--operators", action="store_true", help="the table of operators alone")
    given = parser.parse_args()
    text = written(DOCUMENT.read_text(), "operators", OPERATORS_HEADER + "".join(operator_rows()))
    DOCUMENT.write_text(text)
    if given.operators:
        return
    folder = models_folder()
    if folder is None:
        sys.exit("no real models: set MCUTRAIN_MODELS to their folder")
    old = tried_rows()
    found = files(folder)
    rows = {name: old[name] for name in found if name in old}
    for name, path in found.items():
        if not given.names or any(part in name for part in given.names):
            rows[name] = tried(name, path)
            print(rows[name], end="", flush=True)
            write_rows({name: rows[name] for name in found if name in rows})


def write_rows(rows: dict[str, Tried]) -> None:
    text = written(DOCUMENT.read_text(), "tried", HEADER + "".join(map(str, rows.values())))
    DOCUMENT.write_text(written(text, "counts", summary(rows)))


if __name__ == "__main__":
    main()
