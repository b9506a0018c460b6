# SPDX-License-Identifier: Apache-2.0
"""The tables in docs/memory.md that compare with other engines, and without and with recomputation:
``python -m tests.tools.rival_table`` remakes them. ``tests/trainer/planner/test_placement.py``
checks what of them the plans alone say. Steps are not scaled, as those of other engines are not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.cost import measured
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.formats import PLAIN, Formats
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import models_folder
from tests.tools.memory_table import DOCUMENT
from tests.tools.model_table import PAPER, SUBJECTS, find

BOARD = "sim:mps2_an500"
INT8 = Formats(weights="int8")
E8 = Formats(errors="e8")
E8_INT8 = Formats(errors="e8", weights="int8")

# KiB of RAM with TinyEngine (MCUNetV3), its hidden stack counted, of the configurations that build
# once two missing kernels are supplied; measured with gcc 12.2, -Ofast. 124kb is an estimate.
TINY_ENGINE = dict(zip(PAPER, (246, 265, 291, 315, 338), strict=True))
# Bytes of the inference arena with CMSIS-NN under tflite-micro on a Cortex-M4.
CMSIS_NN = {"kws": 16_000, "resnet8": 49_728, "vww": 64_512, "mcunet-5fps": 163_840}
TRAINED = (("head", False), ("head", True), ("last:4", False), ("full", False))
Step = tuple[str, str, bool, Formats]
# (model, scheme, --stream-input, formats); the streamed ones take half a minute.
RECOMPUTED = (
    *((name, "full", False, Formats()) for name in ("kws", "resnet8", "vww", "person_detect")),
    ("mcunet-5fps", "full", False, Formats()),
    ("mcunet-5fps", "mcunet-5fps-74kb.toml", True, Formats()),
    ("mcunet-5fps", "mcunet-5fps-74kb.toml", True, E8),
)
BOUGHT = {
    "as it is": (False, Formats()),
    "`--stream-input`": (True, Formats()),
    "`--errors e8`": (False, E8),
    "`--stream-input --errors e8`": (True, E8),
    "`--weights int8`": (False, INT8),
    "`--stream-input --errors e8 --weights int8`": (True, E8_INT8),
}


def mcunet(models: Path, scheme: str, streams: bool, formats: Formats) -> TrainingPlan:
    path = find(SUBJECTS["mcunet-5fps"], models)
    file = str(path.parent / "schemes" / scheme)
    options = formats.within(PlanOptions(file, 10, stream_input=streams))
    return make_plan(load(path), options, chip_of(BOARD.removeprefix("sim:")))


def cells(plan: TrainingPlan) -> str:
    memory = plan.memory
    return f"{memory.arena_bytes:,} | {memory.state_bytes:,}"


def beside(plan: TrainingPlan) -> int:
    """Bytes of stack, link and other RAM in a build."""
    cost = measured(build(plan, Target.parse(BOARD)))
    return int(cost["sram_bytes"]) - plan.memory.arena_bytes - plan.memory.state_bytes


def kib(nbytes: int) -> str:
    return f"{nbytes / 1024:.1f}"


def bought(models: Path, rest: int | None) -> list[str]:
    """Rows of scheme 49kb; with what a build adds where it was measured."""
    lines = []
    for name, (streams, formats) in BOUGHT.items():
        plan = mcunet(models, PAPER[0], streams, formats)
        line = f"| {name} | {cells(plan)} |"
        if rest is not None:
            other = beside(plan)
            total = plan.memory.arena_bytes + plan.memory.state_bytes + other
            line += f" {other:,} | {total:,} | {kib(total)} |"
        lines.append(line)
    return lines


def schemes(models: Path, rest: int | None) -> list[str]:
    """Rows of the published schemes, each in both formats of the weights."""
    lines = []
    for scheme, rival in TINY_ENGINE.items():
        for formats in (Formats(), INT8):
            plan = mcunet(models, scheme, False, formats)
            line = f"| {scheme[12:-5]} | {formats.weights} | {cells(plan)} |"
            if rest is not None:
                total = plan.memory.arena_bytes + plan.memory.state_bytes + rest
                line += f" {kib(total)} | {rival} | {100 * total / 1024 / rival:.0f} % |"
            lines.append(line)
    return lines


def inference_arenas(models: Path) -> list[str]:
    """Rows of arena + learned state against the arena of an inference elsewhere."""
    lines = []
    for name, rival in CMSIS_NN.items():
        subject = SUBJECTS[name]
        model = load(find(subject, models))
        found = []
        for scheme, streams in TRAINED:
            try:
                asked = PlanOptions(scheme, subject.classes, stream_input=streams)
                plan = make_plan(model, PLAIN.within(asked))
                total = plan.memory.arena_bytes + plan.memory.state_bytes
                found.append(f"{plan.memory.arena_bytes:,} ({total:,})")
            except ModelError:
                found.append("-")
        lines.append(f"| {name} | {rival:,} | {' | '.join(found)} |")
    return lines


def recomputed(models: Path, steps: Sequence[Step] = RECOMPUTED) -> list[str]:
    """Rows of arenas without and with recomputation, as far as it goes, and what it costs."""
    lines = []
    for name, scheme, streams, formats in steps:
        path = find(SUBJECTS[name], models)
        file = str(path.parent / "schemes" / scheme) if scheme.endswith(".toml") else scheme
        asked = PlanOptions(file, SUBJECTS[name].classes, stream_input=streams, recompute=True)
        plan = make_plan(load(path), formats.within(asked))
        arena, again = plan.memory.arena_bytes, plan.recomputed_macs
        whole, options = arena + plan.saved_bytes, " --stream-input" if streams else ""
        options += f" --errors {formats.errors}" if formats == E8 else ""
        told = f"`{plan.scheme.name.removeprefix('mcunet-5fps-')}{options}`"
        lines.append(
            f"| {name} | {told} | {whole:,} | {arena:,} | {100 * (1 - arena / whole):.1f} % | "
            f"{100 * again / (plan.step_macs - again):.1f} % |"
        )
    return lines


TABLES = {
    "bought": (
        "| mcunet-5fps, 49kb | arena | learned | stack, link, other | RAM in all | KiB |\n"
        "|---|---|---|---|---|---|\n"
    ),
    "schemes": (
        "| scheme | weights | arena | learned | RAM in all, KiB | TinyEngine, KiB | of it |\n"
        "|---|---|---|---|---|---|---|\n"
    ),
    "inference": (
        "| model | CMSIS-NN, inference | `head` | `head --stream-input` | `last:4` | `full` |\n"
        "|---|---|---|---|---|---|\n"
    ),
    "recomputed": (
        "| model | scheme | arena | with `--recompute` | saved | MACs of a step more |\n"
        "|---|---|---|---|---|---|\n"
    ),
}


def marks(name: str) -> tuple[str, str]:
    return f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"


def table_of(name: str) -> list[str]:
    """The rows of a table in the document."""
    begin, end = marks(name)
    text = DOCUMENT.read_text().split(begin)[1].split(end)[0]
    return text.removeprefix(TABLES[name]).splitlines()


def main() -> None:
    models = models_folder()
    if models is None:
        sys.exit("no real models: set MCUTRAIN_MODELS to their folder")
    rest = beside(mcunet(models, PAPER[0], False, Formats()))
    found = {
        "bought": bought(models, rest),
        "schemes": schemes(models, rest),
        "inference": inference_arenas(models),
        "recomputed": recomputed(models),
    }
    text = DOCUMENT.read_text()
    for name, lines in found.items():
        begin, end = marks(name)
        head, tail = text.split(begin)[0], text.split(end)[1]
        text = head + begin + TABLES[name] + "".join(f"{line}\n" for line in lines) + end + tail
        print("\n".join(lines))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
