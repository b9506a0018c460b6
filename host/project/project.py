# SPDX-License-Identifier: Apache-2.0
"""What a new project holds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mcutrain.host.building.fitting import check_budget
from mcutrain.host.building.folder import LISTED, contents_of
from mcutrain.host.building.source import constant_bytes, copied_constant_bytes, step_calls
from mcutrain.host.places import PROJECT_DIR
from mcutrain.host.project.boards import ProjectBoard
from mcutrain.host.project.signal import SAMPLES, SEED, STEPS, Learned, MadeUpSignal, learn
from mcutrain.host.project.templates import c_of_model, filled, sources, template
from mcutrain.host.request import Request
from mcutrain.trainer.errors import BudgetError, ModelError
from mcutrain.trainer.notes import Note
from mcutrain.trainer.options import described, flag
from mcutrain.trainer.planner.memory import ARENA
from mcutrain.trainer.training_plan import TrainingPlan

# What the firmware prints, for the page of the project.
STORIES = {
    True: "It says what it sees, ten times a second. Hold a button for a while, and it learns. A "
    "line of each kind, with numbers that will be others:",
    False: "In place of buttons a script runs: the model sees some samples, learns forty, and sees "
    "some more. A line of each kind:",
}
TAKEN = ("board", "expected", "main", "sensor")  # names of the project's own files


@dataclass(frozen=True)
class Project:
    """What a project holds: its files by their paths in it, and what is to be told of it."""

    plan: TrainingPlan
    board: ProjectBoard
    learned: Learned
    files: Mapping[str, bytes]

    @property
    def notes(self) -> tuple[Note, ...]:
        return (*self.plan.notes, *([] if self.learned.helps else [self.not_learned]))

    @property
    def told(self) -> dict[str, Any]:
        """What is to be said of it, as JSON."""
        return {
            "model": self.plan.name,
            "update": self.plan.scheme.name,
            "board": self.board.target.name,
            "ram_bytes": ram_bytes(self.plan),
            "constant_bytes": constant_bytes(self.plan),
            "made_up_signal": {
                "samples": SAMPLES,
                "steps": STEPS,
                "before": self.learned.right(self.learned.before),
                "after": self.learned.right(self.learned.after),
            },
            "notes": [asdict(note) for note in self.notes],
        }

    @property
    def not_learned(self) -> Note:
        before, after = (self.learned.right(a) for a in (self.learned.before, self.learned.after))
        return Note(
            "project",
            "made-up signal",
            after,
            f"the made-up signal is not learned: {before} of {SAMPLES} samples right before "
            f"{STEPS} steps, {after} after; let more layers learn (--update), or the test of the "
            "project fails until your sensor is in it",
        )


def planned(request: Request, board: ProjectBoard) -> TrainingPlan:
    """The plan of a project. Raises Error for a model that no two buttons can teach, and
    BudgetError for one that the board has no room for."""
    plan = request.on(board.target.chip).plan()
    if not plan.takes_label:
        raise ModelError(
            f"{plan.name} learns without labels, and a new project teaches it with two buttons: "
            "leave --loss out, or put what `mcutrain generate` writes into a firmware of your own"
        )
    if plan.name in TAKEN:
        raise ModelError(
            f"the model may not be called {plan.name}, as a file of the project is: rename "
            f"{request.model}"
        )
    check_budget(plan, board.target)
    available, needed = board.target.chip.flash_bytes, constant_bytes(plan)
    if available and needed > available:
        raise BudgetError(
            f"constants need {needed:,} bytes of flash, {board.target.name} has {available:,}: "
            "take a smaller model, or a larger board",
            needed,
            available,
        )
    return plan


def project_of(request: Request, board: ProjectBoard, title: str) -> Project:
    """The project of a model's plan for a board. Raises Error."""
    plan = planned(request, board)
    learned = learn(plan)
    files = {
        **code(plan, board, learned),
        **board.files(),
        **library(plan, board),
        f"model/{request.model.name}": request.model.read_bytes(),
        **texts(request, plan, board, learned, title),
    }
    return Project(plan, board, learned, dict(sorted(files.items())))


def library(plan: TrainingPlan, board: ProjectBoard) -> dict[str, bytes]:
    """The model as a library of PlatformIO, with the link: what `generate --runtime` writes."""
    contents = contents_of([plan], board.target.board, has_link=True)
    found = {**contents.files, LISTED: contents.listing()}
    return {f"lib/{plan.name}/{path}": text.encode() for path, text in found.items()}


def code(plan: TrainingPlan, board: ProjectBoard, learned: Learned) -> dict[str, bytes]:
    """The C and C++ that is the user's, and the test."""
    parts = {"streamed": plan.arriving is not None}
    axes = MadeUpSignal(plan.task.input.type.shape).axes
    numbers = {"ROWS": axes.rows, "COLUMNS": axes.columns, "CHANNELS": axes.channels}
    found = {path.relative_to(PROJECT_DIR).as_posix(): template(str(path)) for path in sources()}
    for name in {"board_script.c", board.board_file}:
        found[f"src/{name}"] = template(f"src/{name}")
    for name, value in numbers.items():
        sensor = found["lib/sensor/sensor.c"]
        found["lib/sensor/sensor.c"] = sensor.replace(f"MODEL_{name}", str(value))
    if board.board_file.endswith(".cpp"):  # C of this kind is C++, too
        found["src/main.cpp"] = found.pop("src/main.c")
    texts = {path: c_of_model(text, plan.name, parts) for path, text in found.items()}
    texts["test/test_learning/expected.h"] = expected(learned)
    texts["test/test_custom_runner.py"] = template("test/test_custom_runner.py")
    return {path: text.encode() for path, text in texts.items()}


def expected(learned: Learned) -> str:
    """What the test compares with, as C."""
    answers = "\n".join(
        f"static const uint8_t expected_{name}[EXPECTED_SAMPLES] = {{{listed(values)}}};"
        for name, values in (("before", learned.before), ("after", learned.after))
    )
    digests = ",\n".join(f"    0x{digest:08x}u" for digest in learned.digests)
    return f"""/* SPDX-License-Identifier: Apache-2.0 */
/* What mcutrain's reference learns from the made-up signal of lib/sensor: its answers before and
 * after, and the digest after each step. */
#ifndef EXPECTED_H
#define EXPECTED_H

#include <stdint.h>

enum {{ EXPECTED_SEED = {SEED}, EXPECTED_STEPS = {STEPS}, EXPECTED_SAMPLES = {SAMPLES} }};

{answers}
static const uint32_t expected_digests[EXPECTED_STEPS] = {{
{digests}}};

#endif
"""


def listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def texts(
    request: Request, plan: TrainingPlan, board: ProjectBoard, learned: Learned, title: str
) -> dict[str, bytes]:
    """platformio.ini, the page that explains the project, and what a server runs with each
    change."""
    options = shlex.join(option_words(request))
    model = f"model/{request.model.name}"
    install = f"sudo apt-get update -q && sudo apt-get install -y -q {board.install}"
    words: dict[str, Any] = {
        "title": title,
        "env": board.env,
        "sections": board.sections,
        "with_compilers": " and the board's compiler" if board.install else "",
        "install": f"{install}\n          " if board.install else "",
        "board_title": board.title,
        "model": plan.name,
        "update": plan.scheme.name,
        "pp": "pp" if board.board_file.endswith(".cpp") else "",
        "board_file": f"src/{board.board_file}",
        "run": board.run,
        "digest": learned.digests[-1],
        "story": STORIES[board.has_buttons],
        "samples": SAMPLES,
        "steps": STEPS,
        "before": learned.right(learned.before),
        "after": learned.right(learned.after),
        "ram": f"{ram_bytes(plan):,}",
        "constants": f"{constant_bytes(plan):,}",
        "calls": step_calls(plan),
        "train": f"{shlex.quote(model)} {options}".strip(),
        "new": f"--model {shlex.quote(model)} --board {board.target.name} {options}".strip(),
    }
    named = {
        "platformio.ini": "platformio.ini.in",
        "README.md": "README.md.in",
        ".gitignore": "gitignore.in",
        ".github/workflows/build.yml": "build.yml.in",
    }
    return {path: filled(template(name), words).encode() for path, name in named.items()}


def ram_bytes(plan: TrainingPlan) -> int:
    """Of arena and learned state, and of constants where the chip copies them from flash."""
    return plan.memory.ram_bytes[ARENA] + copied_constant_bytes(plan, plan.chip)


def option_words(request: Request) -> list[str]:
    """The options that were asked for, as they are written on the command line."""
    found: list[str] = []
    for each in fields(request.options):
        value = getattr(request.options, each.name)
        if each.name not in request.given:
            continue
        if value is True:
            found.append(f"--{flag(each)}")
        else:
            joined = ",".join(value) if described(each).is_listed else str(value)
            found += [f"--{flag(each)}", joined]
    return found
