# SPDX-License-Identifier: Apache-2.0
"""Folders as ``generate`` writes them, in programs of other people, and what these must compute."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mcutrain.host.building.folder import write_folder
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.small_models import residual_model

STEPS, SEED = 3, 1
# A program that trains a model and ends with 0 if its digest is the expected one. Valid as C99 and
# as C++17.
LEARN = """
static int {name}_learns(uint32_t expected)
{{
    static int8_t sample[{upper}_INPUT_BYTES];
    {name}_reset({seed}u);
    for (uint32_t step = 0; step < {steps}u; step++) {{
        for (uint32_t k = 0; k < {upper}_INPUT_BYTES; k++) {{
            sample[k] = (int8_t)((int32_t)((k * 37u + step * 101u) % 251u) - 125);
        }}
        if ({name}_push(0, sample, sizeof sample) != MCT_OK || {name}_step(step) != MCT_OK) {{
            return 2;
        }}
    }}
    return {name}_digest() == expected ? 0 : 3;
}}
"""


def small_plan(folder: Path, name: str, update: str = "full", seed: int = 0) -> TrainingPlan:
    """The plan of a small residual network that is called ``name``."""
    path = folder / f"{name}.tflite"
    path.write_bytes(residual_model(seed))
    return make_plan(load(path), PlanOptions(update))


def written(folder: Path, *plans: TrainingPlan, has_link: bool = False) -> Path:
    """The folder, with C for any board."""
    write_folder(plans, folder, "", has_link=has_link)
    return folder


def renamed(plan: TrainingPlan, name: str) -> TrainingPlan:
    return replace(plan, name=name)


def expected_digest(plan: TrainingPlan) -> int:
    """The reference's, of what LEARN does."""
    reference = Interpreter(plan, seed=SEED)
    shape = plan.task.input.type.shape
    k = np.arange(np.prod(shape), dtype=np.uint32)
    for step in range(STEPS):
        sample = ((k * 37 + step * 101) % 251).astype(np.int32) - 125
        reference.step(sample.astype(np.int8).reshape(shape), step)
    return reference.digest()


def functions(*plans: TrainingPlan) -> str:
    return "".join(
        LEARN.format(name=plan.name, upper=plan.name.upper(), steps=STEPS, seed=SEED)
        for plan in plans
    )


def program(*plans: TrainingPlan) -> str:
    """The text of a program that ends with 0 if each model learns as the reference."""
    headers = "".join(f'#include "{plan.name}.h"\n' for plan in plans)
    calls = " + ".join(f"{plan.name}_learns({expected_digest(plan)}u)" for plan in plans)
    return f"{headers}{functions(*plans)}\nint main(void)\n{{\n    return {calls};\n}}\n"


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in (folder / "src").rglob("*.c"))


def compiled(
    compiler: Sequence[str], files: Iterable[Path], objects: Path, cwd: Path | None = None
) -> list[Path]:
    """An object file of each source, named so that none meets another."""
    objects.mkdir(exist_ok=True)
    made = []
    for k, file in enumerate(files):
        made.append(objects / f"{k}-{file.stem}.o")
        said(compiler, "-c", file, "-o", made[-1], cwd=cwd)
    return made


def said(
    command: Sequence[str],
    *args: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """What a command that succeeds prints, its warnings and errors too."""
    words = [*command, *map(str, args)]
    done = subprocess.run(
        words, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout


def refused(command: Sequence[str], *args: object) -> str:
    """What a command says that must not succeed."""
    words = [*command, *map(str, args)]
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0
    return done.stdout
