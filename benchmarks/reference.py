# SPDX-License-Identifier: Apache-2.0
"""Seconds of one training step in the NumPy reference: ``python -m benchmarks.reference``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load

MCUNET = "tiny-training/mcunet-5fps_int8.tflite"
CASES = {
    "kws, full": ("mlperf-tiny/kws_ref_model.tflite", "full", None),
    "resnet8, full": ("mlperf-tiny/pretrainedResnet_quant.tflite", "full", None),
    "person_detect, full": ("tflite-micro/person_detect.tflite", "full", None),
    "mcunet-5fps, 49kb": (MCUNET, "tiny-training/schemes/mcunet-5fps-49kb.toml", 10),
    "mcunet-5fps, full": (MCUNET, "full", 10),
}
REPEATS = 5


def reference_of(models: Path, case: str) -> tuple[Interpreter, Array]:
    """A case's reference, and a sample for it."""
    file, scheme, classes = CASES[case]
    spec = str(models / scheme) if scheme.endswith(".toml") else scheme
    reference = Interpreter(make_plan(load(models / file), PlanOptions(spec, classes)))
    shape = reference.plan.task.input.type.shape
    return reference, np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


def step_seconds(models: Path, case: str) -> float:
    """The least of a few steps, after one that is not counted."""
    reference, sample = reference_of(models, case)
    taken = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        reference.step(sample, 1)
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


def main() -> None:
    folder = os.environ.get("MCUTRAIN_MODELS")
    if folder is None:
        sys.exit("no real models: set MCUTRAIN_MODELS to their folder")
    for case in CASES:
        print(f"{case:22} {step_seconds(Path(folder), case):.3f} s")


if __name__ == "__main__":
    main()
