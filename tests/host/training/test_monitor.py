# SPDX-License-Identifier: Apache-2.0
"""The monitor: each thing that can saturate, die or explode is found in a state made so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.loop import train
from mcutrain.host.training.monitor import (
    EXPLODED_BITS,
    Finding,
    Monitor,
    histories,
    last_errors,
    layer_names,
)
from mcutrain.host.training.result import Result
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.ops.state_check import FIRST_HISTORY
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import WATCH
from tests.support.small_models import residual_model, write_dataset

FALLING = [2.0, 1.0] * 10 + [0.5] * 20


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return make_plan(parse(residual_model(), "small"), PlanOptions("full"))


@pytest.fixture(scope="module")
def data(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("monitor") / "d.npz"), plan)


@pytest.fixture(scope="module")
def state(plan: TrainingPlan, data: Dataset) -> bytes:
    """After a few sane steps: every history is set."""
    return run(plan, data, steps=40).state


def run(plan: TrainingPlan, data: Dataset, **options: Any) -> Result:
    chosen = TrainingOptions(**{"epochs": 2, "seed": 0, "monitor": True, **options})
    return train(plan, data, ReferenceRunner(plan), chosen, lambda progress: None)


def changed(plan: TrainingPlan, state: bytes, **values: Array | int) -> bytes:
    """The state with other values in the tensors of these names."""
    tensors = unpack_state(plan, state)
    for tensor in plan.learning.state:
        if tensor.name in values:
            tensors[tensor] = np.zeros_like(tensors[tensor]) + values[tensor.name]
            tensors[tensor] = tensors[tensor].astype(tensor.type.dtype.np)
    return pack_state(plan, tensors)


def of_kind(findings: list[Finding] | None, kind: str) -> list[Finding]:
    assert findings is not None
    return [finding for finding in findings if finding.kind == kind]


def test_a_run_that_moved_nothing_says_so(plan: TrainingPlan, data: Dataset) -> None:
    (still,) = of_kind(run(plan, data, steps=64, rate=1e-9).findings, "unmoved")

    assert "no learned weight moved by one int8 step in 64 steps" in still.text
    assert "raise --lr" in still.text
    assert not of_kind(run(plan, data, steps=64).findings, "unmoved")


def test_a_loss_of_nothing_moves_nothing_and_is_no_finding(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    assert not of_kind(Monitor(plan, data, state).findings(state, [0.0] * 20), "unmoved")


def test_a_sane_run_has_nothing_to_report() -> None:
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"))
    watch = load_dataset(WATCH / "demo.npz", plan)
    assert (*plan.notes, *watch.notes) == ()

    assert run(plan, watch, epochs=2).findings == []


def test_nothing_is_found_without_a_step_or_a_look(plan: TrainingPlan, data: Dataset) -> None:
    assert run(plan, data, steps=0).findings == []
    assert run(plan, data, steps=1, monitor=False).findings is None


def test_looking_changes_nothing(plan: TrainingPlan, data: Dataset) -> None:
    seen, unseen = (run(plan, data, steps=40, monitor=monitor) for monitor in (True, False))

    assert seen.state == unseen.state and seen.losses == unseen.losses


def test_a_rate_far_too_large_saturates_weights(plan: TrainingPlan, data: Dataset) -> None:
    findings = run(plan, data, steps=64, rate=200.0).findings
    (head,) = [f for f in of_kind(findings, "weights") if f.layer == "logits"]

    assert head.figure > 0.5
    assert head.text.startswith(f"logits: {100 * head.figure:.1f} % of the learned weights are")
    assert head.text.endswith("lower --lr, or give a greater --headroom")


def test_weights_that_were_at_the_limit_before_are_not_found(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    full = changed(plan, state, fully_connected_6_w=127)

    assert not of_kind(Monitor(plan, data, full).findings(full, FALLING), "weights")
    (found,) = of_kind(Monitor(plan, data, state).findings(full, FALLING), "weights")
    assert (found.layer, found.figure) == ("logits", 1.0)


def test_outputs_at_their_limits_are_found_before_and_after(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    fresh = ReferenceRunner(plan).state()
    (unfit,) = of_kind(Monitor(plan, data, fresh).findings(fresh, FALLING), "outputs")
    assert unfit.layer == "pw" and "the scales in the file do not fit" in unfit.text
    pushed = changed(plan, state, depthwise_conv_2d_1_b=2**20)
    found = of_kind(Monitor(plan, data, state).findings(pushed, FALLING), "outputs")
    (grown,) = [f for f in found if f.layer == "dw"]

    assert grown.figure > 0.9 and grown.text.endswith("let fewer layers learn")


def test_the_zero_of_an_activation_function_is_no_limit(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    dark = changed(plan, state, depthwise_conv_2d_1_b=-(2**20))
    found = Monitor(plan, data, state).findings(dark, FALLING)

    assert "dw" not in {f.layer for f in of_kind(found, "outputs")}
    # But no error passes there, so nothing before it learns.
    assert "dw" in {f.layer for f in of_kind(found, "dead")}


def test_logits_at_their_limit_are_found(plan: TrainingPlan, data: Dataset, state: bytes) -> None:
    sure = changed(plan, state, fully_connected_6_b=2**20)
    (found,) = of_kind(Monitor(plan, data, state).findings(sure, FALLING), "logits")

    assert found.figure == 1.0 and "for 100 % of the samples" in found.text
    assert not of_kind(Monitor(plan, data, sure).findings(sure, FALLING), "logits")


def test_an_error_that_never_arrives_is_found(data: Dataset) -> None:
    """A new head has no weights at first; at the rate 0 it gets none."""
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("last:2", 4))
    findings = of_kind(run(plan, data, steps=40, rate=0.0).findings, "dead")

    assert {f.layer for f in findings} == {"flat", "sum"}
    assert all("no error has reached it in 40 steps" in f.text for f in findings)


def test_errors_that_died_are_found_unless_there_is_nothing_to_learn(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    numb = changed(plan, state, fully_connected_6_w=0)
    found = of_kind(Monitor(plan, data, state).findings(numb, FALLING), "dead")

    assert {f.layer for f in found} == set(histories(plan, numb))
    assert all("its errors are all zero now" in f.text for f in found)
    assert not of_kind(Monitor(plan, data, state).findings(state, FALLING), "dead")


def test_errors_that_exploded_are_found_unless_the_loss_fell(
    plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    monitor = Monitor(plan, data, state)
    monitor.look(state)
    tensors = unpack_state(plan, state)
    risen = tensors[plan.learning.histories[0]] + np.array([EXPLODED_BITS, 0], np.int16)
    grown = changed(plan, state, **{plan.learning.histories[0].name: risen})
    (found,) = of_kind(monitor.findings(grown, [1.0] * 40), "exploding")

    assert (found.layer, found.figure) == ("flat", EXPLODED_BITS)
    assert "grew 32 times" in found.text
    assert not of_kind(monitor.findings(grown, FALLING), "exploding")
    nearly = changed(plan, state, **{plan.learning.histories[0].name: risen - np.array([1, 0])})
    assert not of_kind(monitor.findings(nearly, [1.0] * 40), "exploding")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([math.nan, 1.0], "not a finite number in 1 steps"),
        ([math.inf] * 3, "not a finite number in 3 steps"),
        ([0.5] * 10 + [4.0] * 10, "rose from 0.5 to 4, and guessing gives 1.39"),
        ([9.0] * 10 + [4.0] * 10, ""),
        ([0.2] * 10 + [1.0] * 10, ""),  # still better than guessing
    ],
)
def test_losses_are_judged(
    losses: list[float], words: str, plan: TrainingPlan, data: Dataset, state: bytes
) -> None:
    found = of_kind(Monitor(plan, data, state).findings(state, losses), "loss")

    assert len(found) == bool(words)
    assert all(words in f.text and f.text.endswith("lower --lr") for f in found)


def test_the_loss_of_values_may_not_grow_by_half(plan: TrainingPlan) -> None:
    values = make_plan(parse(residual_model(), "small"), PlanOptions("head", loss="mse"))
    x = np.zeros((3, values.task.input.type.size), np.int8)
    monitor = Monitor(values, Dataset(x, x[:, :4], x, x[:, :4]), ReferenceRunner(values).state())
    now = ReferenceRunner(values).state()

    assert not of_kind(monitor.findings(now, [1.0] * 10 + [1.4] * 10), "loss")
    assert of_kind(monitor.findings(now, [1.0] * 10 + [1.6] * 10), "loss")


def test_each_history_belongs_to_one_layer(plan: TrainingPlan) -> None:
    errors = last_errors(plan)

    assert list(errors) == ["flat", "sum", "dw", "stem"]
    # The stem's output has two readers: its error is their sum, not what either gives.
    assert errors["stem"].name == "conv_2d_0_d"
    assert set(histories(plan, ReferenceRunner(plan).state()).values()) == {FIRST_HISTORY}


def test_layers_without_a_name_of_their_own_get_ours() -> None:
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full"))
    first, second, *rest = (node.output for node in plan.forward)
    first.label = second.label = "twice"
    rest[0].label = ""
    names = layer_names(plan)

    assert [names[t] for t in (first, second, rest[0])] == [
        "conv_2d_0", "depthwise_conv_2d_1", "conv_2d_2",
    ]  # fmt: skip
    assert len(set(names.values())) == len(names)


def test_one_sample_is_enough(plan: TrainingPlan, data: Dataset, state: bytes) -> None:
    one = Dataset(data.x_train, data.y_train, data.x_test, data.y_test,
                  data.x_test[:1], data.y_test[:1])  # fmt: skip

    assert len(Monitor(plan, one, state).samples) == 1
    assert Monitor(plan, data, state).samples[-1][1] == data.y_train[-1]


def test_the_command_says_so_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mcutrain.host.request import Request
    from mcutrain.host.show.outcome import notes
    from mcutrain.host.training.job import TrainingJob
    from mcutrain.host.training.run import run_job

    options = TrainingOptions(epochs=1, rate=2**-6, steps=40, monitor=True)
    request = Request.of(WATCH / "watch.tflite", "last:2")
    job = TrainingJob(request, WATCH / "demo.npz", "reference", None, options)
    outcome = run_job(job)

    assert notes(outcome) == ["saturation: nothing to report"]
    assert outcome.to_json()["saturation"] == []
