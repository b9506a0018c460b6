# SPDX-License-Identifier: Apache-2.0
"""How close the integer gradients of whole networks come to those in float64.

``python -m tests.tools.network_gradients [NET ...]`` prints a table over 200 samples, in
minutes.
The inputs are drawn: smooth random images, and labels at random; but for watch, whose data are
real. Its columns are properties of
``Gradients``: four cosines, and two that would be 1 as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.data.watch import EXAMPLE, load_people
from mcutrain.trainer.fixedpoint import Int64, narrow23
from mcutrain.trainer.graph.tensor import Array, Role, Tensor, TensorType
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.error import format_of
from mcutrain.trainer.ops.sgd import BiasUpdate, LearningRate
from mcutrain.trainer.ops.weighted_gradients import WeightedUpdate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.attention_model import attention_model
from tests.support.float_graph import FloatGraph, Learned, Values, learned_tensors
from tests.support.nested_model import nested_model
from tests.support.paths import models_folder

SAMPLES = 200
MCUNET_49KB = "tiny-training/schemes/mcunet-5fps-49kb.toml"
CHUNK = 10  # samples whose activations are in memory at once
STOPPED = LearningRate(0, 0)


@dataclass(frozen=True)
class Data:
    """Samples (N, ...) int8 and their labels (N,)."""

    samples: Array
    labels: Array

    def one(self, k: int) -> tuple[Array, int]:
        """Sample and label ``k``, from the first again after the last."""
        k %= len(self.samples)
        return self.samples[k], int(self.labels[k])

    def part(self, begin: int, count: int) -> Data:
        part = slice(begin, begin + count)
        return Data(self.samples[part], self.labels[part])


def draw(type_: TensorType, classes: int, count: int, seed: int = 0) -> Data:
    """Smooth random images with noise, or normal values of another shape, and labels at random."""
    rng = np.random.default_rng(seed)
    if len(type_.shape) != 4:
        samples = rng.normal(0, 1, (count, *type_.shape[1:])) / type_.scale + type_.zero_point
        quanta = np.clip(np.rint(samples), -128, 127).astype(np.int8)
        return Data(quanta, rng.integers(0, classes, count))
    _, height, width, channels = type_.shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., None]
    one = (count, 1, 1, 1)
    images = rng.normal(0, 0.2, (count, height, width, channels)) + rng.normal(0, 0.5, one)
    for waves in (1, 2, 4):
        down, right, phase = rng.normal(0, waves, (3, count, 1, 1, channels))
        images += np.sin(2 * np.pi * (down * y + right * x + phase)) / waves
    images *= rng.uniform(20, 90, one)
    clipped = np.clip(np.rint(images), -128, 127).astype(np.int8)
    return Data(clipped, rng.integers(0, classes, count))


def watch_data(count: int) -> Data:
    """Recorded exercises of the smartwatch example, drawn from all people."""
    people = load_people().values()
    samples, labels = (np.concatenate(column) for column in zip(*people, strict=True))
    chosen = np.random.default_rng(0).permutation(len(samples))[:count]
    return Data(samples[chosen], labels[chosen])


@dataclass(frozen=True)
class Net:
    """A network to check. A new head of ``classes`` learns alone first, as it starts from zero."""

    name: str
    model: Callable[[Path], Model]
    classes: int | None = None
    head_steps: int = 0
    schemes: tuple[str, ...] = ("last:4", "full")
    recorded: Callable[[int], Data] | None = None
    is_shipped: bool = False  # with this project: it needs no folder of models

    def interpreter(self, folder: Path, scheme: str, samples: Data) -> Interpreter:
        """What trains it by the scheme, after the new head has learned."""
        model = self.model(folder)
        scheme = str(folder / scheme) if scheme.endswith(".toml") else scheme
        interpreter = Interpreter(
            make_plan(model, PlanOptions(scheme, self.classes, precondition="off"))
        )
        if self.head_steps:
            head = Interpreter(
                make_plan(model, PlanOptions("head", self.classes, precondition="off"))
            )
            for k in range(self.head_steps):
                head.step(*samples.one(k))
            learned = {t.name: value for t, value in head.state.items() if t.role is Role.PARAM}
            interpreter.state |= {
                t: learned[t.name] for t in interpreter.state if t.name in learned
            }
        return interpreter

    def data(self, folder: Path, count: int) -> Data:
        if self.recorded is not None:
            return self.recorded(count)
        model = self.model(folder)
        return draw(model.input.type, self.classes or model.classes, count)


NETS = {
    net.name: net
    for net in (
        Net("resnet8", lambda folder: load(folder / "mlperf-tiny/pretrainedResnet_quant.tflite")),
        Net("kws", lambda folder: load(folder / "mlperf-tiny/kws_ref_model.tflite")),
        Net(
            "watch", lambda _: load(EXAMPLE / "watch.tflite"), recorded=watch_data, is_shipped=True
        ),
        Net("nested", lambda _: parse(nested_model(), "nested"), is_shipped=True),
        Net(
            "attention",
            lambda _: parse(attention_model(), "attention"),
            schemes=("full",),
            is_shipped=True,
        ),
        Net(
            "mcunet-5fps",
            lambda folder: load(folder / "tiny-training/mcunet-5fps_int8.tflite"),
            classes=10,
            head_steps=50,
            schemes=("last:4", MCUNET_49KB, "full"),
        ),
    )
}


def applied(gradient: Int64) -> Int64:
    """What the update makes a step of."""
    value, dropped = narrow23(gradient)
    return value << dropped


def integer_gradient(plan: TrainingPlan, values: Values) -> dict[Tensor, Array]:
    """(2, ...): dL/dw or dL/db of one step, in reals, from what the update nodes read.

    First as it is summed (SPEC 1.4); then with the bits that the update of each band keeps
    (SPEC 1.5).
    """
    found: dict[Tensor, Array] = {}
    for node in plan.operations:
        if isinstance(node.op, WeightedUpdate):
            w, _, x, _, exponent, _ = node.inputs
            bands = [dw.reshape(w.type.shape) for dw in weight_bands(node.op, node.inputs, values)]
            unit = x.type.scale * 2.0 ** int(values[exponent][0])
            found[w] = np.array([sum(bands), sum(map(applied, bands))]) * unit
        elif isinstance(node.op, BiasUpdate):
            b, dout, exponent, _ = node.inputs
            db = values[dout].reshape(-1, b.type.size).astype(np.int64).sum(axis=0)
            found[b] = np.array([db, applied(db)]) * 2.0 ** int(values[exponent][0])
    return found


def weight_bands(op: WeightedUpdate, inputs: Sequence[Tensor], values: Values) -> Iterator[Array]:
    """dW of each band of output rows, int64."""
    w, _, x, dout, _, _ = inputs
    g = op.layer.geometry(x.type, w.type)
    read, zero_point = values[x].reshape(g.in_h, g.in_w, g.in_ch), x.type.zero_point
    errors = values[dout].reshape(g.out_h, g.out_w, -1).astype(np.float64)
    band_rows = format_of(dout.type).band_rows(g)
    for row in range(0, g.out_h, band_rows):
        yield op.gradient(g, read, zero_point, errors, slice(row, row + band_rows)).astype(np.int64)


@dataclass
class Seconds:
    """Where the time of a measurement goes."""

    integer: float = 0.0
    float64: float = 0.0


@dataclass(frozen=True)
class Gradients:
    """Of one learned tensor, summed over the samples, without dead channels.

    ``applied`` is the integer gradient with the bits that its update keeps.
    ``straight`` is the float64 gradient at the int8 activations, ``real`` that of the float
    network at its own.
    """

    learned: Learned
    integer: Array
    applied: Array
    straight: Array
    real: Array

    @property
    def cosine(self) -> float:
        return cosine(self.integer, self.straight)

    @property
    def cosine_applied(self) -> float:
        return cosine(self.applied, self.straight)

    @property
    def cosine_real(self) -> float:
        return cosine(self.integer, self.real)

    @property
    def cosine_rounded(self) -> float:
        """Of the two float64 gradients: what the rounding of the forward pass alone leaves."""
        return cosine(self.straight, self.real)

    @property
    def length(self) -> float:
        """Of the integer gradient, over that at the int8 activations."""
        return float(np.linalg.norm(self.integer) / np.linalg.norm(self.straight))

    @property
    def slope(self) -> float:
        """Derivative of the float network's loss along the integer gradient, over its length."""
        return float((self.real * self.integer).sum() / (self.integer**2).sum())


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


@dataclass
class Measurement:
    """Runs an interpreter over samples whose gradients are summed; nothing learns meanwhile."""

    interpreter: Interpreter
    learned: list[Learned]
    twin: FloatGraph
    seconds: Seconds = field(default_factory=Seconds)

    @classmethod
    def of(cls, interpreter: Interpreter, data: Data) -> Measurement:
        """Stops the learning, and runs samples until the exponents of the errors have settled.

        An error's first exponent is a guess, and those of the errors that follow from it are
        right only once it is: a sample for each of them in the worst case (SPEC 1.3).
        """
        plan = interpreter.plan
        interpreter.set_learning_rate(STOPPED)
        for k in range(len(plan.learning.histories)):
            interpreter.step(*data.one(k))
        *_, (_, values) = interpreter.trace(*data.one(0))
        return cls(interpreter, learned_tensors(plan), FloatGraph.of(plan, values))

    def gradients(self, data: Data) -> list[Gradients]:
        """Of every learned tensor, from the input; summed over the samples."""
        sums = [np.zeros((4, *item.tensor.type.shape)) for item in self.learned]
        for begin in range(0, len(data.samples), CHUNK):
            for total, found in zip(sums, self._chunk(data.part(begin, CHUNK)), strict=True):
                total += found
        return [
            Gradients(item, *(total * item.alive))
            for item, total in zip(self.learned, sums, strict=True)
        ]

    def _chunk(self, data: Data) -> Iterator[Array]:
        """Of each learned tensor (4, ...): the arrays of Gradients, in their order."""
        plan, twin, begin = self.interpreter.plan, self.twin, time.perf_counter()
        integer, traces = [], []
        for k in range(len(data.samples)):
            *_, (_, values) = self.interpreter.trace(*data.one(k))
            integer.append(integer_gradient(plan, values))
            traces.append(values)
        middle = time.perf_counter()
        straight = twin.gradient(twin.integer_values(traces), data.labels, self.learned)
        real = twin.gradient(twin.float_values(data.samples), data.labels, self.learned)
        self.seconds.integer += middle - begin
        self.seconds.float64 += time.perf_counter() - middle
        for tensor in (item.tensor for item in self.learned):
            yield np.array([*sum(g[tensor] for g in integer), straight[tensor], real[tensor]])


COLUMNS = ("cosine", "cosine_applied", "cosine_real", "cosine_rounded", "length", "slope")
ROW = "{:12} {:16} {:24}" + " {:>8}" * len(COLUMNS)
HEADER = ROW.format("net", "scheme", "tensor", *(c.removeprefix("cosine_") for c in COLUMNS))


def rows(net: Net, scheme: str, folder: Path, count: int) -> Iterator[str]:
    data = net.data(folder, count)
    measurement = Measurement.of(net.interpreter(folder, scheme, data), data)
    for g in measurement.gradients(data):
        figures = (f"{getattr(g, column):.5f}" for column in COLUMNS)
        yield ROW.format(net.name, Path(scheme).stem, g.learned.tensor.name, *figures)
    spent = measurement.seconds
    yield f"{net.name}, {scheme}: integer {spent.integer:.1f} s, float64 {spent.float64:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", metavar="NET", help=", ".join(NETS))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    options = parser.parse_args()
    folder = models_folder()
    if folder is None:
        parser.error("no real models: set MCUTRAIN_MODELS to their folder")
    print(HEADER)
    for name in options.nets or NETS:
        for scheme in NETS[name].schemes:
            for row in rows(NETS[name], scheme, folder, options.samples):
                print(row, flush=True)


if __name__ == "__main__":
    main()
