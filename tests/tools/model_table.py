# SPDX-License-Identifier: Apache-2.0
"""The table of real models in docs/models.md: ``python -m tests.tools.model_table`` remakes it.

Every operator's output in the reference and in generated C against tflite-micro's; and steps of
each scheme in generated C against the reference. ``tests/trainer/test_real_models.py`` checks each
row.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcutrain.trainer.chip import GENERIC, Chip
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.losses import CROSS_ENTROPY, RECONSTRUCTION
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.bench import forward_plan
from tests.support.native import NativeModel
from tests.support.paths import ROOT, models_folder
from tests.support.random_models import samples
from tests.support.steps import assert_steps_are_equal

DOCUMENT = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- begin table -->\n", "<!-- end table -->\n"
HEADER = (
    "| model | operators | MMAC | outputs compared | mismatches | schemes | steps verified |\n"
    "|---|---|---|---|---|---|---|\n"
)
STEPS = 3
CLASSIFIER = ("head", "last:4", "bias", "full")
PAPER = tuple(f"mcunet-5fps-{size}.toml" for size in ("49kb", "74kb", "99kb", "124kb", "148kb"))


@dataclass(frozen=True)
class Subject:
    """A model file and what is trained of it."""

    path: str
    schemes: tuple[str, ...] = CLASSIFIER
    classes: int | None = None
    loss: str = CROSS_ENTROPY


SUBJECTS = {
    "watch": Subject("examples/watch/watch.tflite", ("head", "last:2", "bias", "full")),
    "kws": Subject("mlperf-tiny/kws_ref_model.tflite"),
    "resnet8": Subject("mlperf-tiny/pretrainedResnet_quant.tflite"),
    "vww": Subject("mlperf-tiny/vww_96_int8.tflite"),
    "person_detect": Subject("tflite-micro/person_detect.tflite"),
    "ad01": Subject("mlperf-tiny/ad01_int8.tflite", loss=RECONSTRUCTION),
    "mcunet-5fps": Subject(
        "tiny-training/mcunet-5fps_int8.tflite", (*CLASSIFIER, *PAPER), classes=10
    ),
}


def find(subject: Subject, folder: Path) -> Path:
    """The model's file, in the checkout or in the folder of real models."""
    inside = ROOT / subject.path
    return inside if inside.is_file() else folder / subject.path


def reference_outputs(model: Model, sample: Array) -> dict[Node, Array]:
    """Every node's output in the NumPy reference."""
    values = forward(model, sample)
    return {node: values[node.output] for node in model.graph.nodes}


def device_outputs(model: Model, folder: Path) -> Iterator[dict[Node, Array]]:
    """Every node's output in generated C, for each of the samples sent."""
    plan = forward_plan(model)
    device = NativeModel(plan, folder)
    sample: Array = yield {}
    while True:
        device[model.input][...] = sample
        device.step(np.zeros(plan.task.input.type.shape, np.int8), 0)
        sample = yield {node: device[node.output] for node in model.graph.nodes}


def compare_outputs(path: Path, folder: Path) -> tuple[int, int]:
    """(outputs compared, mismatches) over extremes and random inputs."""
    from tests.support.micro import Micro

    model, micro = load(path), Micro(path.read_bytes())
    device = device_outputs(model, folder)
    next(device)
    compared = mismatches = 0
    for sample in samples(model.input.type.shape, 3, seed=2):
        micro.run(sample)
        in_c = device.send(sample)
        for node, output in reference_outputs(model, sample).items():
            wanted = micro.tensor(node.output.file_index).ravel()
            for found in (output, in_c[node]):
                compared += wanted.size
                mismatches += int((found.ravel() != wanted).sum())
    return compared, mismatches


def plans(subject: Subject, path: Path, chip: Chip = GENERIC) -> Iterator[TrainingPlan]:
    """The plan of each scheme for a chip; a scheme file lies beside the model."""
    model = load(path)
    for scheme in subject.schemes:
        spec = str(path.parent / "schemes" / scheme) if scheme.endswith(".toml") else scheme
        yield make_plan(model, PlanOptions(spec, subject.classes, loss=subject.loss), chip)


def train(subject: Subject, path: Path, folder: Path) -> int:
    """Steps of all schemes that were equal in C and in the reference; raises if one was not."""
    steps = 0
    for k, plan in enumerate(plans(subject, path)):
        here = folder / str(k)
        here.mkdir()
        steps += assert_steps_are_equal(plan, here, STEPS).steps
    return steps


def row(name: str, models: Path, folder: Path) -> str:
    """The line of one model."""
    subject = SUBJECTS[name]
    path = find(subject, models)
    compared, mismatches = compare_outputs(path, folder)
    steps = train(subject, path, folder)
    model = load(path)
    kinds = Counter(type(node.op).tflite_name for node in model.graph.nodes)
    operators = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    macs = sum(node.op.macs(node) for node in model.graph.nodes) / 1e6
    left = next(plans(subject, path)).forward_macs / 1e6
    schemes = ", ".join(s.removesuffix(".toml") for s in subject.schemes)
    schemes += f" ({subject.classes} new classes)" if subject.classes else ""
    schemes += f" ({subject.loss})" if subject.loss != CROSS_ENTROPY else ""
    size = f"{macs:.2f}" if f"{left:.2f}" == f"{macs:.2f}" else f"{macs:.2f} -> {left:.2f}"
    return (
        f"| {name} | {operators} | {size} | {compared:,} | {mismatches} | {schemes} | {steps} |\n"
    )


def main() -> None:
    models = models_folder()
    if models is None:
        sys.exit("no real models: set MCUTRAIN_MODELS to their folder")
    rows = ""
    for name in SUBJECTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += row(name, models, Path(folder))
        print(rows.splitlines()[-1])
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    DOCUMENT.write_text(head + BEGIN + HEADER + rows + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
