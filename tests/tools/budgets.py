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

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.host.simulation.instructions import read_counts
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.runners import simulated
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import tomllib
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import ROOT, WATCH, models_folder
from tests.support.simulated_boards import BOARDS, missing

FILE = ROOT / "tests" / "budgets.toml"
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Upper limits, by model, scheme and board: bytes of the whole firmware (gcc 12.2) with the exact
# instructions of a step and of an inference, or bytes of the plan alone. Above them
# tests/project/test_budgets.py fails. `python -m tests.tools.budgets --write` takes over
# today's figures.
"""
STEPS = 3
WATCH_FILE = WATCH / "watch.tflite"
MCUNET_SCHEME = "tiny-training/schemes/mcunet-5fps-49kb.toml"
Figures = dict[str, int]


@dataclass(frozen=True)
class Entry:
    """One row: a model (a real one by its path among the real models), a scheme, a board."""

    name: str
    file: str
    scheme: str
    board: str
    classes: int | None = None

    @property
    def key(self) -> str:
        return f"{self.name}, {Path(self.scheme).stem}, {self.board}"

    @property
    def is_built(self) -> bool:
        """Whether it is built and run; of a real model the plan alone counts, in less time."""
        return self.name == "watch"

    def obstacle(self) -> str:
        """What keeps it from being measured here; empty if nothing does."""
        if self.is_built:
            return missing(self.board)
        return "" if models_folder() else "no real models: set MCUTRAIN_MODELS to their folder"

    def plan(self) -> TrainingPlan:
        folder = models_folder()
        if self.is_built or folder is None:
            return make_plan(load(WATCH_FILE), PlanOptions(self.scheme), chip_of(self.board))
        scheme = str(folder / self.scheme) if self.scheme.endswith(".toml") else self.scheme
        options = PlanOptions(scheme, self.classes)
        return make_plan(load(folder / self.file), options, chip_of(self.board))


KWS, RESNET = "mlperf-tiny/kws_ref_model.tflite", "mlperf-tiny/pretrainedResnet_quant.tflite"
MCUNET = "tiny-training/mcunet-5fps_int8.tflite"
ENTRIES = [
    *(Entry("watch", "", scheme, board) for board in BOARDS for scheme in ("head", "last:2")),
    Entry("kws", KWS, "head", "microbit"),
    Entry("kws", KWS, "head", "mps2_an500"),
    Entry("resnet8", RESNET, "last:4", "mps2_an500"),
    Entry("mcunet-5fps", MCUNET, MCUNET_SCHEME, "mps2_an500", classes=10),
]


def figures(entry: Entry) -> Figures:
    """Today's figures of a row. Raises Error."""
    plan = entry.plan()
    if not entry.is_built:
        return {"arena": plan.memory.arena_bytes, "learned": plan.memory.state_bytes}
    built = build(plan, Target.parse(f"sim:{entry.board}"))
    cost = measured(built)
    data = load_dataset(WATCH / "demo.npz", plan)
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        with simulated(built, counts) as runner:
            runner.reset(1)
            runner.set_learning_rate(LearningRate.from_real(2.0**-6))
            for sample, target in list(zip(data.x_train, data.y_train, strict=True))[:STEPS]:
                runner.step(sample, target, wants_digest=False)
            runner.predict(data.x_test[0])
        found = read_counts(counts)
    return {
        "sram": cost["sram_bytes"],
        "flash": cost["flash_bytes"],
        "stack": cost["stack_bytes"],
        "step": max(found["step"]),
        "inference": max(found["forward"]),
    }


def budgets() -> dict[str, Figures]:
    """The file, by key."""
    table: dict[str, Figures] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return table


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
    write = parser.parse_args().write
    former = budgets() if FILE.is_file() else {}
    table = {}
    for entry in ENTRIES:
        budget = former.get(entry.key, {})
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
