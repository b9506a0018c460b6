# SPDX-License-Identifier: Apache-2.0
"""Compile a plan with codegen and load it: the device's code in this process, with UBSan."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import emit_header
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import chip_of
from mcutrain.host.building.compilers import compile_c
from mcutrain.host.building.kernel_archive import kernel_archive
from mcutrain.host.building.library import LibraryModel
from mcutrain.host.building.linkless import MODEL_FLAGS
from mcutrain.host.building.target import NATIVE
from mcutrain.host.places import cache_dir
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import FIRMWARE, ROOT

WARNINGS = [
    "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
    "-Wno-sign-conversion", "-Wmissing-prototypes", "-Wdouble-promotion", "-Werror",
]  # fmt: skip
SANITIZERS = ["-fsanitize=undefined", "-fno-sanitize-recover"]
IN_C = "-DMCT_INSTRUCTIONS_IN_C"  # mct/dsp.h and mct/mve.h: what this computer cannot do
RUN_HERE = chip_of(NATIVE).features | {"dsp", "mve"}
FLAGS = ["-O1", "-g", "-fPIC", IN_C, *WARNINGS, *SANITIZERS]


def write_sources(plan: TrainingPlan, folder: Path) -> Path:
    """The generated C of ``plan`` in ``folder``; the path of the ``.c``."""
    image = lay_out(plan)
    (folder / f"{plan.name}.h").write_text(emit_header(image))
    source = folder / f"{plan.name}.c"
    source.write_text(emit_source(image))
    return source


def compile_shared(
    sources: Iterable[Path], includes: Iterable[Path], out: Path, *flags: str
) -> ctypes.CDLL:
    command = ["gcc", *FLAGS, "-shared", *flags, *(f"-I{folder}" for folder in includes)]
    subprocess.run([*command, *map(str, sources), "-o", str(out)], check=True)
    return ctypes.CDLL(str(out))


@cache
def kernel_library() -> Path:
    """The kernels of all instruction sets that can run here and the digest, as one static library
    for all models; it is kept for the next session."""
    version = subprocess.run(
        ["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return kernel_archive(ROOT / "build" / "kernels" / f"gcc-{version}", FLAGS, FIRMWARE, RUN_HERE)


class NativeModel(LibraryModel):
    """A generated model that stops at undefined behaviour. Sources among ``flags`` come before the
    archive of kernels, and take the place of what it has of them."""

    def __init__(self, plan: TrainingPlan, folder: Path, *flags: str) -> None:
        self.image = lay_out(plan)
        sources = [write_sources(plan, folder), kernel_library()]
        output = folder / f"{plan.name}.so"
        compile_shared(sources, (FIRMWARE, folder), output, *flags)
        super().__init__(plan, output)

    def begin(self, label: int) -> int:
        return int(self.call("begin", label))

    def announce(self, tensor: Tensor, function: str = "push") -> None:
        """Hand over what was written where it lies, as a sensor or a DMA does."""
        assert self.push(function, 0, self[tensor].reshape(-1)) == 0

    def run(self, max_calls: int) -> bool:
        return bool(self.call("run", max_calls) & 0xFF)


class FastModel(NativeModel):
    """A generated model with the kernels as this computer trains with them, vectors and all."""

    def __init__(self, plan: TrainingPlan, folder: Path) -> None:
        self.image = lay_out(plan)
        output = folder / f"{plan.name}.so"
        archive = kernel_archive(cache_dir() / "kernels" / NATIVE)
        flags = [*MODEL_FLAGS, "-shared", f"-I{FIRMWARE}", f"-I{folder}"]
        compile_c(flags, [write_sources(plan, folder), archive], output)
        LibraryModel.__init__(self, plan, output)


def push(device: NativeModel, offset: int, part: np.ndarray) -> int:
    """A piece of a sample that arrives row by row; the status."""
    return status(device.push("push", offset, np.ascontiguousarray(part)))


def status(returned: int) -> int:
    """The int8 in the low byte."""
    return (returned & 0xFF ^ 0x80) - 0x80
