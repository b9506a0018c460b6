# SPDX-License-Identifier: Apache-2.0
"""Compile a plan with codegen and load it: the device's code in this process, with UBSan."""

from __future__ import annotations

import atexit
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from codegen.emit import emit_source
from codegen.header import emit_header
from codegen.image import lay_out
from trainer.interpreter import StepRecord
from trainer.memory import ARENA, STATE
from trainer.ops.sgd import LearningRate
from trainer.plan import TrainingPlan
from trainer.tensor import Array, Tensor

FIRMWARE = Path(__file__).parents[1] / "firmware"
WARNINGS = [
    "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
    "-Wno-sign-conversion", "-Wmissing-prototypes", "-Wdouble-promotion", "-Werror",
]  # fmt: skip
SANITIZERS = ["-fsanitize=undefined", "-fno-sanitize-recover"]
FLAGS = ["-O1", "-g", "-fPIC", *WARNINGS, *SANITIZERS]


class CLoss(ctypes.Structure):
    _fields_ = [(field, ctypes.c_uint32) for field in ("sum", "distance")]


class CRegion(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("nbytes", ctypes.c_uint32)]


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
def kernel_library(firmware: Path) -> Path:
    """The kernels and the digest as a static library, compiled once in a session."""
    folder = Path(tempfile.mkdtemp(prefix="kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sources = [*firmware.glob("kernels/*.c"), firmware / "mct/digest.c", firmware / "mct/crc32.c"]
    for source in sources:
        command = ["gcc", *FLAGS, "-c", f"-I{firmware}", str(source)]
        subprocess.run([*command, "-o", str(folder / f"{source.stem}.o")], check=True)
    library = folder / "kernels.a"
    subprocess.run(["ar", "rcs", str(library), *map(str, sorted(folder.glob("*.o")))], check=True)
    return library


class NativeModel:
    """A generated model in a shared library; its tensors are NumPy views of its RAM."""

    def __init__(self, plan: TrainingPlan, folder: Path, firmware: Path = FIRMWARE) -> None:
        self.plan, self.image = plan, lay_out(plan)
        sources = [write_sources(plan, folder), kernel_library(firmware)]
        self.lib = compile_shared(sources, (firmware, folder), folder / f"{plan.name}.so")
        self._function("loss").restype = CLoss
        self._function("digest").restype = ctypes.c_uint32
        self._function("input").restype = ctypes.c_void_p
        regions = (CRegion * 2).in_dll(self.lib, f"{plan.name}_regions")
        views = [self._view(r.data, r.nbytes) for r in regions]
        self.regions = dict(zip((ARENA, STATE), views, strict=True))
        self.input = self._view(self._function("input")(), plan.input.type.nbytes)
        self.reset(0)

    def _function(self, name: str):
        return getattr(self.lib, f"{self.plan.name}_{name}")

    @staticmethod
    def _view(address: int, nbytes: int) -> Array:
        return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), np.uint8)

    def __getitem__(self, tensor: Tensor) -> Array:
        where = self.plan.memory.place(tensor)
        assert where is not None
        region, offset = where
        raw = self.regions[region][offset : offset + tensor.type.nbytes]
        return raw.view(tensor.type.dtype.np).reshape(tensor.type.shape)

    def reset(self, seed: int) -> None:
        self._function("reset")(ctypes.c_uint32(seed))

    def set_learning_rate(self, rate: LearningRate) -> None:
        self._function("set_learning_rate")(rate.multiplier, rate.shift)

    def write_input(self, sample: Array) -> None:
        self.input[:] = sample.reshape(-1).view(np.uint8)

    def step(self, sample: Array, target: int | Array = 0) -> StepRecord:
        self.write_input(sample)
        label = int(target) if self.plan.takes_label else 0
        if not self.plan.takes_label and self.plan.target is not None:
            self[self.plan.target][...] = np.reshape(target, self.plan.target.type.shape)
        assert self._function("step")(ctypes.c_uint32(label)) == 0
        loss = self._function("loss")()
        return StepRecord(loss.sum, loss.distance, self.call("predicted"))

    def infer(self, sample: Array) -> Array:
        self.write_input(sample)
        assert self._function("infer")() == 0
        return self[self.plan.logits].reshape(-1).copy()

    def call(self, name: str, *args: int) -> Any:
        """The result of ``<model>_<name>`` with uint32 arguments."""
        return self._function(name)(*map(ctypes.c_uint32, args))

    def begin(self, label: int) -> int:
        return int(self.call("begin", label))

    def run(self, max_calls: int) -> bool:
        return bool(self._function("run")(ctypes.c_uint32(max_calls)) & 0xFF)

    def digest(self) -> int:
        return int(self._function("digest")())

    def state(self) -> dict[Tensor, Array]:
        return {t: self[t].copy() for t in self.plan.state}
