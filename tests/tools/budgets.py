# SPDX-License-Identifier: Apache-2.0
"""What training may cost, per model, scheme and board: tests/budgets.toml, and today's figures.

`python -m tests.tools.budgets` prints today's figures against the budgets; with `--write` they
become the budgets. That is how one is lowered after a saving, or raised on purpose.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.host.boards import board_names, chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.prediction.samples import random_samples
from mcutrain.host.simulation.counting import unit_of
from mcutrain.host.simulation.counts import Unit, read_counts
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.losses import RECONSTRUCTION
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import tomllib
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import ROOT, WATCH, models_folder
from tests.support.simulated_boards import BOARDS, PORTS, missing

FILE = ROOT / "tests" / "budgets.toml"
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Upper limits, by model, scheme and board: bytes of the whole firmware (gcc 12.2) with the exact
# instructions of a step and of an inference, which are cycles where the name says so, and bytes of
# the plan. Above them tests/project/test_budgets.py fails. `python -m tests.tools.budgets --write`
# takes over today's figures.
"""
STEPS = 3
WATCH_FILE = WATCH / "watch.tflite"
MCUNET_SCHEME = "tiny-training/schemes/mcunet-5fps-49kb.toml"
Figures = dict[str, int]


@dataclass(frozen=True)
class Entry:
    """One row: a model (a real one by its path among the real models), a scheme, a board.

    It is built and run, unless its plan ``counts_alone``, which takes less time.
    """

    name: str
    file: str
    scheme: str
    board: str
    classes: int | None = None
    counts_alone: bool = False
    loss: str | None = None

    @property
    def key(self) -> str:
        return f"{self.name}, {Path(self.scheme).stem}, {self.board}"

    @property
    def is_example(self) -> bool:
        """Whether it is the smartwatch example, with its own samples."""
        return not self.file

    def obstacle(self) -> str:
        """What keeps it from being measured here; empty if nothing does."""
        if not self.is_example and models_folder() is None:
            return "no real models: set MCUTRAIN_MODELS to their folder"
        return "" if self.counts_alone else missing(self.board)

    def plan(self) -> TrainingPlan:
        folder = models_folder()
        if self.is_example or folder is None:
            return make_plan(load(WATCH_FILE), PlanOptions(self.scheme), chip_of(self.board))
        scheme = str(folder / self.scheme) if self.scheme.endswith(".toml") else self.scheme
        loss = {} if self.loss is None else {"loss": self.loss}
        options = PlanOptions(scheme, self.classes, **loss)
        return make_plan(load(folder / self.file), options, chip_of(self.board))

    def samples(self, plan: TrainingPlan) -> list[tuple[Array, Array]]:
        """What the steps learn, and behind it what is asked; random for a real model."""
        if not self.is_example:
            return random_samples(plan, STEPS + 1)
        data = load_dataset(WATCH / "demo.npz", plan)
        parts = (data.x_train, data.x_test), (data.y_train, data.y_test)
        x, y = (np.concatenate([taught[:STEPS], asked[:1]]) for taught, asked in parts)
        return list(zip(x, y, strict=True))


KWS, RESNET = "mlperf-tiny/kws_ref_model.tflite", "mlperf-tiny/pretrainedResnet_quant.tflite"
MCUNET = "tiny-training/mcunet-5fps_int8.tflite"
VWW, AD01 = "mlperf-tiny/vww_96_int8.tflite", "mlperf-tiny/ad01_int8.tflite"
# A board for each core on which the real models are run; those that are not there are left out.
CORES = [
    board
    for board in (
        "mps2_an385_m0", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547"
    )
    if board in board_names()
]  # fmt: skip
ENTRIES = [
    *(Entry("watch", "", scheme, board) for board in BOARDS for scheme in ("head", "last:2")),
    Entry("kws", KWS, "head", "microbit", counts_alone=True),
    *(
        entry
        for board in CORES
        for entry in (
            Entry("kws", KWS, "head", board),
            Entry("resnet8", RESNET, "last:4", board),
            Entry("vww", VWW, "head", board),
            Entry("ad01", AD01, "full", board, loss=RECONSTRUCTION),
            Entry("mcunet-5fps", MCUNET, MCUNET_SCHEME, board, classes=10),
        )
    ),
]
# Of the real models, what each run of the suite builds: a model on each core, and the largest.
ALWAYS = {
    "kws, head, mps2_an385_m0",
    "ad01, full, mps2_an385",
    "resnet8, last:4, mps2_an386",
    "mcunet-5fps, mcunet-5fps-49kb, mps2_an500",
    "kws, head, mps2_an505",
    "kws, head, mps3_an547",
}
LONG = [
    entry
    for entry in ENTRIES
    if entry.key not in ALWAYS
    and not entry.counts_alone
    and (not entry.is_example or (entry.board in PORTS and entry.scheme == "head"))
]


def figures(entry: Entry) -> Figures:
    """Today's figures of a row. Raises Error."""
    plan = entry.plan()
    of_plan = {"arena": plan.memory.arena_bytes, "learned": plan.memory.state_bytes}
    if entry.counts_alone:
        return of_plan
    built = build(plan, Target.parse(f"sim:{entry.board}"))
    cost = measured(built)
    *taught, (asked, _) = entry.samples(plan)
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        with simulated(built, counts) as runner:
            runner.reset(1)
            runner.set_learning_rate(LearningRate.from_real(2.0**-6))
            for sample, target in taught:
                runner.step(sample, target, wants_digest=False)
            runner.infer(asked)
        found = read_counts(counts)
    # Of a board that counts cycles the names say so.
    behind = "_cycles" if unit_of(entry.board) is Unit.CYCLES else ""
    return {
        **({} if entry.is_example else of_plan),
        "sram": cost["sram_bytes"],
        "flash": cost["flash_bytes"],
        "stack": cost["stack_bytes"],
        f"step{behind}": max(found["step"]),
        f"inference{behind}": max(found["forward"]),
    }


def budgets() -> dict[str, Figures]:
    """The file, by key."""
    table: dict[str, Figures] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return table


def against(found: Figures, budget: Figures) -> list[str]:
    """A line for each figure: what it is, its budget, and the one in percent of the other."""
    return [
        f"{name} {value:,} of {budget[name]:,}, {100 * value / budget[name]:.1f} %"
        for name, value in found.items()
        if budget.get(name)
    ]


def change(found: Figures, budget: Figures) -> list[str]:
    """A line for each figure that differs from its budget: what it was, is, and the difference."""
    lines = []
    for name, value in found.items():
        limit = budget.get(name)
        if limit is None:
            lines.append(f"{name} {value:,}, no budget")
        elif value != limit:
            share = 100 * (value - limit) / limit if limit else 0.0
            lines.append(f"{name} {limit:,} -> {value:,} ({value - limit:+,}, {share:+.1f} %)")
    return lines


def written(table: dict[str, Figures]) -> str:
    """The text of the file."""
    rows = (
        f'\n["{key}"]\n' + "".join(f"{name} = {value}\n" for name, value in found.items())
        for key, found in table.items()
    )
    return HEADER + "".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Today's figures against tests/budgets.toml.")
    parser.add_argument("--write", action="store_true", help="make them the budgets")
    parser.add_argument("--board", help="measure only the rows of a board", metavar="BOARD")
    parser.add_argument("--new", action="store_true", help="measure only what has no budget")
    asked = parser.parse_args()
    write = asked.write
    former = budgets() if FILE.is_file() else {}
    table = {}
    for entry in ENTRIES:
        budget = former.get(entry.key, {})
        if (asked.new and budget) or asked.board not in (None, entry.board):
            table |= {entry.key: budget} if budget else {}
            continue
        if reason := entry.obstacle():
            print(f"{entry.key}: not measured: {reason}")
            table |= {entry.key: budget} if budget else {}
            continue
        table[entry.key] = found = figures(entry)
        print(f"{entry.key}: {'; '.join(change(found, budget)) or 'as its budget'}", flush=True)
    if write:
        FILE.write_text(written(table), encoding="utf-8")


if __name__ == "__main__":
    main()
