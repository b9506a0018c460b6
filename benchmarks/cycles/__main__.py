# SPDX-License-Identifier: Apache-2.0
"""Prints cycles of training steps on the RTL of an Ibex core, verilated.

    python -m benchmarks.cycles [--write]

Needs verilator and the Python package of the RTL, and says how to install them. The first run makes
the cores, in some minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.cycles.ibex import BOARD, CONFIGURATIONS, Configuration, run
from benchmarks.document import put_section
from benchmarks.instructions.__main__ import DOCUMENT
from benchmarks.places import ROOT
from mcutrain.host.boards import chip_of
from mcutrain.trainer.errors import Error
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_net
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan

SECTION = "cycles"
HEADER = (
    "| model | learns | core | step, cycles | instructions | cycles of each | "
    "inference, cycles | instructions | cycles of each |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
)


def mlp() -> TrainingPlan:
    """64 inputs, 32 neurons with a ReLU, 10 classes, with first weights; all of it learns."""
    net = NetBuilder((64,))
    net.dense(32, activation="relu")
    net.dense(10)
    calibration = np.random.default_rng(0).normal(size=(64, 64))
    file = ROOT / "build" / "ibex" / "mlp.tflite"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(quantize_net(net.net, net.params, calibration))
    return make_plan(load(file), PlanOptions("full"), chip_of(BOARD))


def watch() -> TrainingPlan:
    model = load(ROOT / "examples" / "watch" / "watch.tflite")
    return make_plan(model, PlanOptions("last:2"), chip_of(BOARD))


def row(plan: TrainingPlan, configuration: Configuration) -> str:
    """The last step, and the inference."""
    found = run(plan, configuration)
    cells = [plan.name, f"`{plan.scheme.name}`", f"Ibex, {configuration.name}"]
    for cycles, instructions in (found.steps[-1], found.inference):
        cells += [f"{cycles:,}", f"{instructions:,}", f"{cycles / instructions:.2f}"]
    return f"| {' | '.join(cells)} |\n"


def rows() -> Iterator[str]:
    for plan in (mlp(), watch()):
        for configuration in CONFIGURATIONS:
            yield row(plan, configuration)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cycles")
    parser.add_argument("--write", action="store_true", help=f"remake the table of {DOCUMENT.name}")
    asked = parser.parse_args()
    print(HEADER, end="")
    lines = []
    try:
        for line in rows():
            lines.append(line)
            print(line, end="", flush=True)
    except Error as error:
        sys.exit(f"error: {error}")
    if asked.write:
        put_section(DOCUMENT, SECTION, HEADER + "".join(lines))


if __name__ == "__main__":
    main()
