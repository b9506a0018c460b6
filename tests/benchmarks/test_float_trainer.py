# SPDX-License-Identifier: Apache-2.0
"""The yardsticks in PyTorch: the int8 forward pass to the bit, and the gradients of the loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.graph.tensor import Array, Role, Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.float_graph import FloatGraph, learned_tensors
from tests.support.float_ops import bias_scales, dequantise
from tests.support.marks import exhaustive
from tests.tools.network_gradients import MCUNET_49KB, NETS, Data

pytest.importorskip("torch", reason="no PyTorch: pip install torch")


from benchmarks.float_trainer import BATCH, FloatTrainer, Method
from benchmarks.torch_parameters import Parameter

pytestmark = pytest.mark.usefixtures("one_thread")
INT8 = (Method.FLOAT_BACKWARD, Method.INT8_NEAREST)
RATE = 2.0**-8
PART = Scheme("part", {2: 0.5, 3: 1.0}, frozenset({1, 3}))
CASES_OF_NETS: tuple[tuple[str, str | Scheme], ...] = (
    ("watch", "full"),
    ("watch", "head"),
    ("watch", PART),
    ("nested", "full"),
    ("kws", "full"),
    ("resnet8", "full"),
    ("mcunet-5fps", MCUNET_49KB),
    ("mcunet-5fps", "full"),
)
LONG_CASES = [case for case in CASES_OF_NETS if case[0] == "mcunet-5fps"]


def name_of(value: object) -> str:
    return getattr(value, "name", Path(str(value)).stem)


@pytest.fixture(
    params=[exhaustive(case, LONG_CASES) for case in CASES_OF_NETS],
    ids=lambda key: f"{key[0]}-{name_of(key[1])}",
)
def net(request: pytest.FixtureRequest) -> tuple[TrainingPlan, Data]:
    """A plan, and twelve samples for it."""
    return planned(request, *request.param)


def planned(
    request: pytest.FixtureRequest, name: str, scheme: str | Scheme
) -> tuple[TrainingPlan, Data]:
    found = NETS[name]
    folder = Path() if found.is_shipped else request.getfixturevalue("models")
    if isinstance(scheme, str) and scheme.endswith(".toml"):
        scheme = str(folder / scheme)
    return make_plan(found.model(folder), PlanOptions(scheme, found.classes)), found.data(
        folder, 12
    )


def watch(scheme: str | Scheme = "full") -> tuple[TrainingPlan, Data]:
    return make_plan(NETS["watch"].model(Path()), PlanOptions(scheme)), NETS["watch"].data(
        Path(), 12
    )


def twin_of(trainer: FloatTrainer) -> Interpreter:
    """The integer trainer with the weights and biases of an int8 method."""
    interpreter = Interpreter(trainer.plan)
    interpreter.state |= trainer.learned()
    return interpreter


def integer_logits(interpreter: Interpreter, samples: Array) -> Array:
    return np.array([interpreter.infer(sample) for sample in samples])


@pytest.mark.parametrize("method", INT8)
def test_the_forward_pass_is_the_int8_one(net: tuple[TrainingPlan, Data], method: Method) -> None:
    plan, data = net
    trainer = FloatTrainer.of(plan, method)
    initial = trainer.learned()
    assert all(np.array_equal(initial[t], t.data) for t in plan.learned if t.data is not None)
    assert set(initial) == set(plan.learned)
    for _ in range(2):
        expected = integer_logits(twin_of(trainer), data.samples[:4])
        np.testing.assert_array_equal(trainer.logits(data.samples[:4]), expected)
        for k in range(5):
            trainer.step(*data.one(k), RATE)
    assert any(not np.array_equal(initial[t], value) for t, value in trainer.learned().items())


def quantum_of(plan: TrainingPlan, tensor: Tensor) -> Array:
    """What a quantum of a learned tensor is in reals, broadcasting to it."""
    (item,) = (item for item in learned_tensors(plan) if item.tensor is tensor)
    if item.is_bias:
        x, w = (t.type for t in item.node.inputs[:2])
        return bias_scales(x, w, tensor.type.size).reshape(tensor.type.shape)
    return dequantise(tensor.type, np.ones(tensor.type.shape))


def gradients(trainer: FloatTrainer, data: Data, count: int) -> dict[Tensor, Array]:
    """The derivative of the summed loss by each learned tensor, in reals; also in dead channels."""
    for k in range(count):
        trainer.backward(*data.one(k))
    found = {}
    for param in trainer.learned_parameters():
        assert param.value.grad is not None
        whole_gradient = param.value.grad.double().numpy()
        part = whole_gradient if param.columns is None else whole_gradient[..., param.columns]
        quantum = quantum_of(trainer.plan, param.tensor) if trainer.method.is_int8 else 1.0
        found[param.tensor] = part / quantum
    return found


def assert_gradients_are_equal(found: dict[Tensor, Array], expected: dict[Tensor, Array]) -> None:
    """Within what float32 loses: some 50 layers forward and 50 back round by 2**-24 each, at
    random, which is 6e-7; where terms of a sum cancel it is more."""
    assert set(found) == set(expected)
    for tensor, gradient in found.items():
        wanted = expected[tensor]
        length = np.linalg.norm(wanted)
        assert length > 0, tensor.name
        assert np.linalg.norm(gradient - wanted) <= 1e-5 * length, tensor.name


def test_float_backward_has_the_gradient_at_the_int8_activations(
    net: tuple[TrainingPlan, Data],
) -> None:
    """Against float64 in NumPy, after some steps, so that a new head is not zero any more."""
    plan, data = net
    trainer = FloatTrainer.of(plan, Method.FLOAT_BACKWARD)
    for k in range(6):
        trainer.step(*data.one(k), RATE)
    interpreter = twin_of(trainer)
    traces = [dict(interpreter.outputs(data.samples[k])) for k in range(3)]
    graph = FloatGraph.of(plan, traces[0])
    values = graph.integer_values(traces)
    expected = graph.gradient(values, data.labels[:3], learned_tensors(plan))

    assert_gradients_are_equal(gradients(trainer, data, 3), expected)


@pytest.mark.parametrize("name", ["nested", "resnet8"])
def test_float32_has_the_gradient_of_the_float_network(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Not of watch and kws: they have activations so close to 0 before a RELU that float32 and
    float64 put them on different sides."""
    plan, data = planned(request, name, "full")
    graph = FloatGraph.of(plan, Interpreter(plan).outputs(data.samples[0]))
    values = graph.float_values(data.samples[:3])
    expected = graph.gradient(values, data.labels[:3], learned_tensors(plan))

    assert_gradients_are_equal(gradients(FloatTrainer.of(plan, Method.FLOAT32), data, 3), expected)


@pytest.mark.parametrize("method", Method)
def test_the_loss_is_that_of_the_logits(method: Method) -> None:
    """The integer trainer's is made of exponentials of 15 bits, one for each class."""
    plan, data = watch()
    loss = FloatTrainer.of(plan, method).step(*data.one(0), RATE)
    wanted = Interpreter(plan).step(*data.one(0)).real(plan)

    assert abs(loss - wanted) < (1e-3 if method.is_int8 else 0.3)


def masters(trainer: FloatTrainer) -> list[tuple[Parameter, Array]]:
    params = (p for step in trainer.steps for p in step.params)
    return [(p, p.master.numpy().copy()) for p in params if p is not None]


@pytest.mark.parametrize("method", Method)
def test_only_what_learns_in_the_plan_changes(
    net: tuple[TrainingPlan, Data], method: Method
) -> None:
    """Of a layer learned in part its channels; of a whole one all that is not dead."""
    plan, data = net
    trainer = FloatTrainer.of(plan, method)
    before = masters(trainer)
    for k in range(4):
        trainer.step(*data.one(k), RATE)
    learned = {item.tensor: item for item in learned_tensors(plan)}
    for param, old in before:
        changed = param.master.numpy() != old
        may = np.zeros(old.shape, bool)
        if param.tensor.role is Role.PARAM:
            alive = learned[param.tensor].alive
            may[... if param.columns is None else (..., param.columns)] = alive
        assert not changed[~may].any(), param.tensor.name
        if method is not Method.INT8_NEAREST and param.tensor.role is Role.PARAM:
            assert changed.any(), param.tensor.name


def test_dead_channels_are_tried(models: Path) -> None:
    plan = make_plan(NETS["mcunet-5fps"].model(models), PlanOptions("full", 10))

    assert any(node.op.dead for node in plan.forward if isinstance(node.op, Weighted))


@pytest.mark.parametrize("method", Method)
def test_a_step_is_the_rate_times_the_gradient_in_reals(method: Method) -> None:
    """To float32; where there is no master, to half a quantum."""
    plan, data = watch()
    trainer = FloatTrainer.of(plan, method)
    before = masters(trainer)
    gradient = gradients(trainer, data, 1)
    for param in trainer.learned_parameters():
        param.update(RATE)
    for param, old in before:
        quantum = quantum_of(plan, param.tensor) if method.is_int8 else np.array(1.0)
        step = RATE * gradient[param.tensor] / quantum
        wanted = np.clip(old - step, -param.limit, param.limit)
        slack = 0.5 if method is Method.INT8_NEAREST else 0
        # A master of up to 127 quanta is rounded to 2**-18; a real weight is below 8.
        rounding = 2.0**-17 if method.is_int8 else 2.0**-21

        bound = slack + rounding + 1e-5 * np.abs(step)
        assert (np.abs(param.master.numpy() - wanted) <= bound).all()


def test_without_masters_steps_below_half_a_quantum_are_lost() -> None:
    """And with them they add up."""
    plan, data = watch()
    nearest, with_masters = (FloatTrainer.of(plan, method) for method in reversed(INT8))
    initial = nearest.learned()
    greatest = 0.0
    for k in range(len(data.samples)):
        one = gradients(FloatTrainer.of(plan, Method.INT8_NEAREST), data.part(k, 1), 1)
        quanta = [(np.abs(g) / quantum_of(plan, t)).max() for t, g in one.items()]
        greatest = max(greatest, *quanta)
    for k in range(60):
        nearest.step(*data.one(k), 0.49 / greatest)
        with_masters.step(*data.one(k), 0.49 / greatest)

    assert all(np.array_equal(value, initial[t]) for t, value in nearest.learned().items())
    assert any(not np.array_equal(value, initial[t]) for t, value in with_masters.learned().items())


def test_without_masters_a_step_is_rounded_to_nearest() -> None:
    plan, data = watch("head")
    trainer = FloatTrainer.of(plan, Method.INT8_NEAREST)
    before = trainer.learned()
    gradient = gradients(trainer, data, 1)
    for param in trainer.learned_parameters():
        param.update(2.0**-4)
    for tensor, value in trainer.learned().items():
        step = 2.0**-4 * gradient[tensor] / quantum_of(plan, tensor)
        # Some are moved and some are not; none of them lies on a tie.
        moved = np.clip(before[tensor] - np.rint(step), -(2**30), 2**30)
        if tensor.type.dtype.nbytes == 1:
            moved = np.clip(moved, -127, 127)
            assert 0 < (np.rint(step) == 0).mean() < 1
        np.testing.assert_array_equal(value, np.where(np.rint(step) == 0, before[tensor], moved))


@pytest.mark.parametrize("method", Method)
def test_a_batch_is_its_samples_one_by_one(method: Method) -> None:
    """To the bit where it is int8; float32 sums may go another way round."""
    plan, _ = watch()
    data = NETS["watch"].data(Path(), 2 * BATCH + 3)
    trainer = FloatTrainer.of(plan, method)
    together = trainer.logits(data.samples)
    alone = np.concatenate([trainer.logits(sample) for sample in data.samples])

    np.testing.assert_allclose(together, alone, rtol=0, atol=0 if method.is_int8 else 1e-4)
    classes = trainer.predict(data.samples)
    assert classes.shape == (2 * BATCH + 3,)
    assert trainer.accuracy(data.samples, data.labels) == (classes == data.labels).mean()


@pytest.mark.parametrize("method", INT8)
def test_predictions_are_those_of_the_integer_trainer(method: Method) -> None:
    plan, data = watch()
    interpreter = Interpreter(plan)

    expected = [interpreter.predict(sample) for sample in data.samples]
    assert FloatTrainer.of(plan, method).predict(data.samples).tolist() == expected


@pytest.mark.parametrize("method", INT8)
def test_one_logit_alone_stands_against_zero(method: Method) -> None:
    model, data = NETS["watch"].model(Path()), NETS["watch"].data(Path(), 6)
    plan = make_plan(model, PlanOptions("head", 1))
    trainer = FloatTrainer.of(plan, method)
    for k in range(6):
        interpreter = twin_of(trainer)
        predicted = [interpreter.predict(sample) for sample in data.samples]
        assert trainer.predict(data.samples).tolist() == predicted
        wanted = interpreter.step(data.samples[k], k % 2).real(plan)
        assert abs(trainer.step(data.samples[k], k % 2, 2.0**-4) - wanted) < 1e-3


@pytest.mark.parametrize("method", Method)
def test_training_fits_a_few_samples(method: Method) -> None:
    plan, data = watch("last:2")
    trainer = FloatTrainer.of(plan, method)
    for k in range(20 * len(data.samples)):
        trainer.step(*data.one(k), 2.0**-6)

    assert trainer.accuracy(data.samples, data.labels) > 0.9


def test_what_is_left_out_is_said() -> None:
    plan = make_plan(NETS["watch"].model(Path()), PlanOptions("head", spare_classes=2))

    with pytest.raises(NotImplementedError, match="takes labels of all classes"):
        FloatTrainer.of(plan, Method.FLOAT32)
