# SPDX-License-Identifier: Apache-2.0
"""Runs in a stack are the runs alone; optimisers are PyTorch's; grids grow until they hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import RECONSTRUCTION, SQUARED_ERROR, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.training_plan import TrainingPlan
from tests.tools.network_gradients import NETS

pytest.importorskip("torch", reason="no PyTorch: pip install torch")

import torch

from benchmarks import tuning
from benchmarks.float_trainer import FloatTrainer, Method
from benchmarks.methods import BEST_FLOAT, FLOAT32, OURS, PRACTICES, Practice
from benchmarks.optimisers import ADAM, MOMENTUM, OPTIMISERS, SGD
from benchmarks.stacked import StackedRun, StackedTrainer, train_stack, untrained
from benchmarks.store import BenchmarkRun
from benchmarks.tasks.watch import task as watch_task
from mcutrain.trainer.interpreter import Interpreter

RATE = 2.0**-6
INT8 = (Method.FLOAT_BACKWARD, Method.INT8_NEAREST)


def watch(update: str = "full", loss: str = "cross-entropy") -> tuple[TrainingPlan, Array, Array]:
    """A plan, and twelve samples with labels."""
    data = NETS["watch"].data(Path(), 12)
    plan = make_plan(NETS["watch"].model(Path()), PlanOptions(update, loss=loss))
    return plan, data.samples.reshape(12, -1), data.labels


def dataset(x: Array, y: Array) -> Dataset:
    return Dataset(x, y, x[:5], y[:5])


@pytest.mark.parametrize("method", Method)
def test_a_stack_is_its_runs_alone(method: Method) -> None:
    """Each has its order and its rate. In int8 outputs are equal to the bit unless a master lies
    between two quanta to float32's last bits; float32 sums may go another way round."""
    plan, x, y = watch("last:2")
    rng = np.random.default_rng(0)
    runs = [
        StackedRun(dataset(x, y), rng.permutation(12), RATE * factor) for factor in (1, 0.25, 4)
    ]
    stacked = train_stack(plan, method, runs, "constant", 1)
    for run, found in zip(runs, stacked, strict=True):
        alone = FloatTrainer.of(plan, method)
        for index in run.order:
            alone.step(x[index], int(y[index]), run.rate)
        with torch.no_grad():
            expected = alone.real_outputs(alone.forward(alone.inputs(x[:5]))).numpy()

        step = plan.task.logits.type.scale
        np.testing.assert_allclose(found, expected, rtol=0, atol=step if method.is_int8 else 1e-3)
        assert np.abs(found - untrained(plan, method, run.data)).max() > 4 * step


@pytest.mark.parametrize("method", INT8)
def test_the_forward_pass_of_a_stack_is_the_int8_one(method: Method) -> None:
    plan, x, y = watch()
    trainer = StackedTrainer(plan, method, [SGD, SGD])
    for k in range(4):
        trainer.step(x[[[k], [k + 4]]], y[[[k], [k + 4]]], torch.full((2,), RATE))
    outputs = trainer.outputs(np.stack([x, x]))
    for r in range(2):
        twin = Interpreter(plan)
        for param, master in zip(trainer.params, trainer.masters, strict=True):
            value = master[r].round().numpy().astype(param.tensor.type.dtype.np)
            twin.state[param.tensor] = value
        logits = np.stack([twin.infer(sample) for sample in x]).astype(np.float64)
        expected = (logits - plan.task.logits.type.zero_point) * plan.task.logits.type.scale

        np.testing.assert_array_equal(outputs[r], expected.astype(np.float32))
    assert (outputs[0] != outputs[1]).any()


def test_a_batch_takes_the_mean_of_its_gradients() -> None:
    plan, x, y = watch()
    trainer = StackedTrainer(plan, Method.FLOAT32, [SGD])
    before = [master.clone() for master in trainer.masters]
    trainer.step(x[None], y[None], torch.tensor([RATE]))
    alone = FloatTrainer.of(plan, Method.FLOAT32)
    for k in range(12):
        alone.backward(x[k], int(y[k]))
    pairs = zip(before, trainer.masters, alone.learned_parameters(), strict=True)
    for old, new, param in pairs:
        assert param.value.grad is not None and param.gain is not None
        wanted = RATE * param.value.grad * param.gain / 12

        assert torch.linalg.norm(old - new - wanted) <= 1e-4 * torch.linalg.norm(wanted) + 1e-6


def test_a_run_that_diverges_leaves_the_others_alone() -> None:
    plan, x, y = watch("last:2")
    data, order = dataset(x, y), np.arange(12)
    runs = [StackedRun(data, order, rate, MOMENTUM) for rate in (RATE, 2.0**7)]
    both = train_stack(plan, Method.FLOAT32, runs, "step", 1)
    one = train_stack(plan, Method.FLOAT32, runs[:1], "step", 1)

    np.testing.assert_allclose(both[0], one[0], rtol=0, atol=1e-4)


def test_each_run_of_a_stack_has_its_optimiser() -> None:
    plan, x, y = watch("last:2")
    data, order = dataset(x, y), np.arange(12)
    runs = [StackedRun(data, order, 2.0**-8, name) for name in (ADAM, SGD, MOMENTUM, ADAM)]
    found = train_stack(plan, Method.FLOAT32, runs, "step", 1)
    for run, together in zip(runs, found, strict=True):
        (alone,) = train_stack(plan, Method.FLOAT32, [run], "step", 1)

        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-3)
    assert min(np.abs(found[a] - found[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.1


GRADIENTS = np.array([[1.0, -2.0, 0.0], [1.0, 2.0, 0.5], [-3.0, 1.0, 4.0], [0.5, 0.25, -1.0]])


def remembered(decay: float, values: Array) -> Array:
    """The sum of values (N, ...) in which each older one counts ``decay`` times as much."""
    return np.asarray(np.tensordot(decay ** np.arange(len(values))[::-1], values, 1))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_weighs_the_gradients_it_has_seen(name: str) -> None:
    ours = OPTIMISERS[name]()
    for k in range(1, len(GRADIENTS) + 1):
        (found,) = ours.directions([torch.from_numpy(GRADIENTS[k - 1])])
        seen, ones = GRADIENTS[:k], np.ones(k)
        means = [remembered(d, v) / remembered(d, ones) for d, v in ((0.9, seen), (0.999, seen**2))]
        wanted = {
            SGD: seen[-1],
            MOMENTUM: remembered(0.9, seen),
            ADAM: means[0] / (np.sqrt(means[1]) + 1e-8),
        }

        np.testing.assert_allclose(found.numpy(), wanted[name], rtol=1e-9)


@pytest.mark.parametrize("method", Method)
def test_squared_errors_are_those_of_the_integer_trainer(method: Method) -> None:
    plan, x, _ = watch(loss=SQUARED_ERROR)
    target = np.linspace(-100, 90, plan.task.logits.type.size).astype(np.int8)
    loss = FloatTrainer.of(plan, method).step(x[0], target, RATE)
    wanted = Interpreter(plan).step(x[0], target).real(plan)

    assert loss == pytest.approx(wanted, rel=1e-5 if method.is_int8 else 0.05)


def test_what_reconstructs_its_input_has_it_as_target() -> None:
    from mcutrain.examples.machine.make_machine import SPECTRUM_QUANT, autoencoder
    from mcutrain.trainer.making.quantiser import quantize_array, quantize_net
    from mcutrain.trainer.tflite.reader import parse

    rng = np.random.default_rng(0)
    x, build = rng.uniform(-3, 2, (20, 32)).astype(np.float32), autoencoder()
    model = parse(quantize_net(build.net, build.params, x, SPECTRUM_QUANT), "autoencoder")
    plan = make_plan(model, PlanOptions("full", loss=RECONSTRUCTION))
    samples = quantize_array(x, SPECTRUM_QUANT)
    trainer, twin = FloatTrainer.of(plan, Method.FLOAT_BACKWARD), Interpreter(plan)
    none = np.zeros(0, np.int8)

    loss = trainer.step(samples[0], none, 2.0**-6)
    assert loss == pytest.approx(twin.step(samples[0]).real(plan), rel=1e-5)
    for k in range(80):
        last = trainer.step(samples[k % 20], none, 2.0**-6)
    assert last < loss / 2


def scored(scheme: str, practice: Practice, rate: float, after: float) -> BenchmarkRun:
    return BenchmarkRun(
        "t", scheme, "g", 1000, FLOAT32, rate, 1, practice.optimiser, practice.batch, after=after
    )


def test_a_grid_grows_until_its_best_rate_lies_inside() -> None:
    """The best rate is 2^-11, far below the first grid; each practice is told it is as good."""
    task = watch_task()
    asked: list[set[float]] = []

    def train(wanted: object) -> list[BenchmarkRun]:
        runs = list(wanted)  # type: ignore[call-overload]
        asked.append({run.rate for run in runs})
        return [
            scored(run.scheme, Practice(run.optimiser, run.batch), run.rate,
                   90 - abs(np.log2(run.rate) + 11) + (run.optimiser == ADAM and run.batch == 8))
            for run in runs
        ]  # fmt: skip

    tuned = tuning.tune(task, train)

    assert len(asked) > 1 and min(asked[0]) > 2.0**-14
    for found in tuned.values():
        assert found == tuning.Tuned(Practice(ADAM, 8), 2.0**-11, 2.0**-11, True)


def test_a_practice_far_behind_is_not_grown() -> None:
    far, near = Practice(SGD, 32), Practice(ADAM, 1)
    rising = {0.25: 70.0, 0.5: 80.0}
    scores = {near: {0.25: 86.0, 0.5: 84.0, 1.0: 80.0}, far: rising, OURS: rising}
    means = {("head", practice): of for practice, of in scores.items()}
    means["full", near] = {0.25: 99.0, 0.5: 98.0}  # another scheme's: as good as it gets there
    grid = {key: sorted(of) for key, of in means.items()}

    assert tuning.grow(grid, means, 2.0)
    assert grid == {
        ("head", near): [0.0625, 0.125, 0.25, 0.5, 1.0], ("head", far): [0.25, 0.5],
        ("head", OURS): [0.25, 0.5, 1.0, 2.0], ("full", near): [0.0625, 0.125, 0.25, 0.5],
    }  # fmt: skip


def test_a_long_task_is_tuned_in_two_passes() -> None:
    """The best rate is 2^-11 for all; Adam in batches of 8 is best, which the seed of the
    first pass hides, and momentum in batches of 32 is far behind."""
    ours, near, far = Practice(SGD, 1), Practice(ADAM, 8), Practice(MOMENTUM, 32)
    asked: list[list[BenchmarkRun]] = []

    def after(run: BenchmarkRun) -> float:
        practice = Practice(run.optimiser, run.batch)
        given = {near: 85.0, Practice(ADAM, 1): 84.0, ours: 80.0}.get(practice, 70.0)
        by_seed = {1000: -2, 1001: 2}[run.seed] if practice == near else 0
        return given + by_seed - abs(np.log2(run.rate) + 11)

    def train(wanted: Iterable[BenchmarkRun]) -> list[BenchmarkRun]:
        asked.append([*wanted])
        return [replace(run, after=after(run)) for run in asked[-1]]

    task = replace(watch_task(), schemes={"full": "full"}, is_long=True)
    tuned = tuning.tune(task, train)

    assert tuned == {"full": tuning.Tuned(near, 2.0**-11, 2.0**-11, True)}
    passes = [{run.seed for run in runs} for runs in asked]
    assert passes[0] == {1000} and passes[-1] == {1000, 1001}
    first = [runs for runs, seeds in zip(asked, passes, strict=True) if seeds == {1000}]
    rates = sorted({run.rate for run in first[-1] if run.optimiser == ADAM and run.batch == 8})
    assert {b / a for a, b in itertools.pairwise(rates)} == {tuning.PASS_FACTOR}
    last = {Practice(run.optimiser, run.batch) for run in asked[-1]}
    assert last == {ours, near, Practice(ADAM, 1)} and far not in last


def test_of_rates_that_are_equally_good_the_middle_one_is_taken() -> None:
    assert tuning.best_rate({0.5: 70.0, 0.25: 80.0, 0.125: 80.0, 0.0625: 80.0}) == 0.125


def test_practices_are_those_that_are_named() -> None:
    assert len(PRACTICES) == 9 and OURS in PRACTICES and str(OURS) == "SGD, batch 1"
    assert BEST_FLOAT not in OPTIMISERS
