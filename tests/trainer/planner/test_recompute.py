# SPDX-License-Identifier: Apache-2.0
"""Saved activations computed again: the bits of the plan without, in no more bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.kinds import arena_bytes
from mcutrain.host.training.monitor import last_errors
from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node, Op
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.clamp_mask import ClampMask
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.planner.channel_region import ChannelRegion
from mcutrain.trainer.planner.order import dependences
from mcutrain.trainer.planner.recompute import Copier, Recomputed, StepGraph
from mcutrain.trainer.planner.recompute_choice import Placed
from mcutrain.trainer.planner.row_choice import Chooser
from mcutrain.trainer.planner.row_region import RowRegion
from mcutrain.trainer.scheme import Scheme
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.awkward_model import awkward_model
from tests.support.drawn_regions import drawn_groups, drawn_runs, force
from tests.support.latent_steps import assert_latents_train_alike
from tests.support.marks import sampled
from tests.support.paths import MCUNET
from tests.support.random_blocks import random_blocks, random_scheme
from tests.support.random_models import samples
from tests.support.random_networks import random_network
from tests.support.random_trunks import random_trunk
from tests.support.small_models import residual_model
from tests.support.steps import assert_steps_are_equal, rate_at, target_at
from tests.support.structural_model import structural_model

KWS = "mlperf-tiny/kws_ref_model.tflite"
PERSON = "tflite-micro/person_detect.tflite"
MCUNET_74KB = "tiny-training/schemes/mcunet-5fps-74kb.toml"
FORMATS = (Formats(), Formats("e8"), Formats("e12", "int8"), Formats("e8", accumulate=3))
STEPS = 6
Choose = Callable[[StepGraph], Recomputed | None]


def choose(how: Choose, monkeypatch: pytest.MonkeyPatch) -> list[StepGraph]:
    """Let plans with ``recompute`` compute again what ``how`` says, worth it or not; the steps
    that it was asked about."""
    asked = []

    def place_recomputed(
        step: StepGraph, whole: Placed, place: Callable[[Recomputed], Placed], limit: int
    ) -> tuple[Placed, Recomputed | None]:
        asked.append(step)
        done = how(step)
        return (whole, None) if done is None else (place(done), done)

    monkeypatch.setattr("mcutrain.trainer.plan.place_recomputed", place_recomputed)
    return asked


def some(seed: int) -> Choose:
    """Any of what is saved, most of it or little, as far as it can be computed again."""
    rng = np.random.default_rng(seed)

    def pick(step: StepGraph) -> Recomputed | None:
        share, dropped = rng.choice([0.3, 0.7, 1.0]), set[Tensor]()
        for tensor in step.saved:
            if rng.random() < share and step.without(dropped | {tensor}) is not None:
                dropped.add(tensor)
        return step.without(dropped)

    return pick


def step_of(
    model: Model, update: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainingPlan, StepGraph]:
    """A plan, and its step as it is before regions and placement."""
    asked = choose(lambda step: None, monkeypatch)
    return make_plan(model, PlanOptions(update, recompute=True)), asked[0]


def random_model(seed: int) -> tuple[Model, str | Scheme]:
    """A model with branches, or of blocks, or of operators that go by rows; what learns of it."""
    update = ["full", "last:2", "bias", "full"][seed // 3 % 4]
    if seed % 3 == 0:
        return parse(random_trunk(seed), "trunk"), update
    if seed % 3 == 1:
        data, layers = random_blocks(seed)
        return parse(data, "blocks"), random_scheme(seed, layers) if seed % 2 else update
    return parse(random_network(seed), "net"), update


def random_plan(seed: int, **options: int | None) -> TrainingPlan:
    model, update = random_model(seed)
    for scheme in (update, "last:2", "head"):
        try:
            asked = PlanOptions(scheme, **options)  # type: ignore[arg-type]
            return make_plan(model, FORMATS[seed % len(FORMATS)].within(asked))
        except (ModelError, SchemeError):  # a random layer that cannot learn
            continue
    raise AssertionError(seed)


def digests(plan: TrainingPlan, steps: int = STEPS) -> list[int]:
    """What the reference has learned after each step."""
    trained, found = Interpreter(plan, seed=99), []
    for step, sample in enumerate(samples(plan.task.input.type.shape, steps, seed=steps)[:steps]):
        trained.set_learning_rate(rate_at(step))
        trained.step(sample, target_at(plan, trained, step))
        found.append(trained.digest())
    return found


@pytest.mark.slow
def test_the_reference_trains_to_the_same_bits(thorough: bool) -> None:
    @settings(max_examples=20 if thorough else 7)
    @given(st.integers(0, 10_000), st.integers(0, 10_000))
    def drawn(seed: int, which: int) -> None:
        assert_the_reference_trains_alike(seed, which)

    drawn()


def assert_the_reference_trains_alike(seed: int, which: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        choose(some(which), patch)
        again, whole = random_plan(seed, recompute=True), random_plan(seed)
    assert again.numerics_hash == whole.numerics_hash
    assert [t.name for t in again.learning.state] == [t.name for t in whole.learning.state]
    assert [n.name for n in again.forward] == [n.name for n in whole.forward]
    assert again.step_macs == whole.step_macs + again.recomputed_macs
    assert digests(again, 3) == digests(whole, 3)


def digest_after(plan: TrainingPlan) -> int:
    """What the reference has learned when ``assert_steps_are_equal`` ends."""
    trained = Interpreter(plan, seed=99)
    for step, sample in enumerate(
        samples(plan.task.input.type.shape, STEPS - 3, seed=STEPS)[:STEPS]
    ):
        trained.set_learning_rate(rate_at(step))
        trained.step(sample, target_at(plan, trained, step))
    return trained.digest()


@pytest.mark.parametrize("seed", sampled(range(30), 6))
def test_generated_code_computes_again_bit_exactly(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any copies, one by one or in random regions of rows."""
    whole = random_plan(seed)
    choose(some(seed), monkeypatch)
    if seed % 2:
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(Chooser, "segments", lambda chooser: drawn_runs(chooser, rng))
    reference = assert_steps_are_equal(random_plan(seed, recompute=True), tmp_path, STEPS)
    assert reference.digest() == digest_after(whole)


@pytest.mark.parametrize("seed", sampled(range(12), 5))
def test_copies_stand_beside_groups_of_channels(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, whole = np.random.default_rng(seed), random_plan(3 * seed + 1)
    choose(some(seed), monkeypatch)
    force(lambda graph: drawn_groups(graph, rng), monkeypatch)
    reference = assert_steps_are_equal(random_plan(3 * seed + 1, recompute=True), tmp_path, STEPS)
    assert reference.digest() == digest_after(whole)


@pytest.mark.slow
def test_the_random_plans_have_all_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies, one behind another; regions of rows with copies, and of channels beside them."""
    chains = rows = channels = 0
    for seed in range(30):
        with monkeypatch.context() as patch:
            rng = np.random.default_rng(seed)
            choose(some(seed), patch)
            patch.setattr(Chooser, "segments", lambda chooser, rng=rng: drawn_runs(chooser, rng))
            plan = random_plan(seed, recompute=True)
        again = plan.recomputation and plan.recomputation.done
        if again and again.copies:
            chains += any(t in again.originals for n in again.copies for t in n.inputs)
            rows += any(
                isinstance(n.op, RowRegion) and set(again.copies) & set(n.op.nodes)
                for n in plan.graph.nodes
            )
    for seed in range(12):
        with monkeypatch.context() as patch:
            rng = np.random.default_rng(seed)
            choose(some(seed), patch)
            force(lambda graph, rng=rng: drawn_groups(graph, rng), patch)  # type: ignore[misc]
            nodes = random_plan(3 * seed + 1, recompute=True).graph.nodes
        channels += any(isinstance(n.op, ChannelRegion) for n in nodes)
    assert chains > 10
    assert rows > 8
    assert channels > 6


@pytest.mark.parametrize("update", ["full", "last:2", "bias", "head"])
@pytest.mark.parametrize("make", [residual_model, structural_model])
def test_models_with_branches_compute_again_bit_exactly(
    make: Callable[[], bytes], update: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(lambda step: step.without(step.saved), monkeypatch)
    plan = make_plan(parse(make(), "branches"), PlanOptions(update, recompute=True))
    reference = assert_steps_are_equal(plan, tmp_path, STEPS)
    assert reference.digest() == digest_after(
        make_plan(parse(make(), "branches"), PlanOptions(update))
    )


@pytest.mark.parametrize("update", ["head", "last:2"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_step_from_the_latent_needs_nothing_before_it(
    stream: bool, update: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(lambda step: step.without(step.saved), monkeypatch)
    for model in (parse(residual_model(), "small"), awkward_model()):
        plan = make_plan(model, PlanOptions(update, stream_input=stream, recompute=True))
        whole = make_plan(model, PlanOptions(update, stream_input=stream))
        assert plan.latents.tensor is not None and whole.latents.tensor is not None
        assert plan.latents.tensor.name == whole.latents.tensor.name
        assert len(plan.latents.prefix) == len(whole.latents.prefix)
        assert plan.recomputation is not None
        read = {t for n in plan.graph.nodes[len(plan.latents.prefix) :] for t in n.inputs}
        before = {plan.task.input, *(t for n in plan.latents.prefix for t in n.outputs)}
        assert read & before == {plan.latents.tensor}
        if not stream:
            (tmp_path / model.name).mkdir()
            assert_latents_train_alike(plan, tmp_path / model.name, 5)


@pytest.mark.slow
def test_a_streamed_sample_is_computed_from_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where biases learn, the first layer could be computed again of the input: not if that never
    was whole."""
    choose(some(1), monkeypatch)
    for seed in range(100, 108):
        try:
            plan = make_plan(
                parse(random_trunk(seed), "trunk"),
                PlanOptions("bias", stream_input=True, recompute=True),
            )
        except ModelError:
            continue
        assert all(plan.task.input not in n.inputs for n in plan.graph.nodes[1:])
        (tmp_path / str(seed)).mkdir()
        assert_steps_are_equal(plan, tmp_path / str(seed), 4)


@pytest.mark.slow
def test_the_arena_never_grows(thorough: bool) -> None:
    """And nothing is computed twice where it gains nothing, or more than a limit asks for."""

    @settings(max_examples=10 if thorough else 4)
    @given(st.integers(0, 10_000))
    def drawn(seed: int) -> None:
        assert_the_arena_does_not_grow(seed)

    drawn()


def assert_the_arena_does_not_grow(seed: int) -> None:
    whole, again = random_plan(seed), random_plan(seed, recompute=True)
    least, most = again.memory.arena_bytes, whole.memory.arena_bytes
    assert again.saved_bytes == most - least >= 0
    assert (again.recomputation is None) == (least == most)
    assert again.recomputed_macs == again.step_macs - whole.step_macs
    for limit in {most, (least + most) // 2, max(1, least)}:
        plan = random_plan(seed, recompute_to=limit)
        assert plan.memory.arena_bytes <= limit
        assert plan.recomputation is None or most > limit


def moved_behind(graph: Graph, node: Node, last: Node) -> Graph:
    """The graph with ``node`` right behind ``last``, which it need not come before."""
    nodes = [n for n in graph.nodes if n is not node]
    at = nodes.index(last) + 1
    return Graph([*nodes[:at], node, *nodes[at:]])


def test_what_was_updated_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer's output is read before its weights change, in the order of gradients. In another
    order, as good, an update reads it behind that: then it has to be saved."""
    plan, step = step_of(parse(residual_model(), "small"), "full", monkeypatch)
    nodes = step.graph.nodes
    layer, x = plan.forward[0], plan.forward[0].output
    assert x in step.saved and step.without({x}) is not None
    mask = next(n for n in nodes if isinstance(n.op, ClampMask) and x in n.inputs)
    update = next(n for n in nodes if n.name.endswith("_update") and x in n.inputs)
    other = next(n for n in nodes if layer.inputs[2] in n.outputs)
    assert other.op.mutates
    early = Graph([n for n in nodes if n is not mask])
    early = Graph([*early.nodes[: step.end - 1], mask, *early.nodes[step.end - 1 :]])
    late = moved_behind(early, update, other)
    readers = [n for n in late.nodes[step.end + 1 :] if x in n.inputs]
    while readers[0] is not update:
        late = moved_behind(late, readers[0], other)
        readers = [n for n in late.nodes[step.end + 1 :] if x in n.inputs]
    assert_is_order_of(late, step.graph)
    changed = replace(step, graph=late, end=step.end + 1)

    assert x in changed.saved and changed.without({x}) is None
    wanted = digests(replace(plan, graph=late))
    assert wanted == digests(plan)
    monkeypatch.setattr(Copier, "has_changed", lambda *_: False)
    spoilt = changed.without({x})
    assert spoilt is not None
    assert digests(replace(plan, graph=spoilt.graph)) != wanted


def assert_is_order_of(graph: Graph, given: Graph) -> None:
    """Whether each node still follows those that it must."""
    at = {node: k for k, node in enumerate(graph.nodes)}
    for node, before in zip(given.nodes, dependences(given), strict=True):
        assert all(at[given.nodes[k]] < at[node] for k in before), node


@pytest.mark.slow
def test_what_is_computed_again_is_still_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(9):
        whole = random_plan(seed)
        with monkeypatch.context() as patch:
            choose(some(seed), patch)
            plan = random_plan(seed, recompute=True)
        assert list(last_errors(plan)) == list(last_errors(whole))
        assert sum(arena_bytes(plan).values()) == plan.memory.arena_bytes
        assert len({n.name for n in plan.operations}) == len(plan.operations)
        assert len({t.name for t in plan.graph.tensors}) == len(plan.graph.tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "update", "saved", "more"), [(KWS, "full", 0.33, 0.14), (PERSON, "full", 0.29, 0.03)]
)
def test_real_models_train_with_equal_bits(
    model: str, update: str, saved: float, more: float, models: Path, tmp_path: Path
) -> None:
    """In so much less of the arena, for so many operations more."""
    whole = make_plan(load(models / model), PlanOptions(update))
    plan = make_plan(load(models / model), PlanOptions(update, recompute=True))
    assert plan.saved_bytes > saved * whole.memory.arena_bytes
    assert 0 < plan.recomputed_macs < more * whole.step_macs
    assert assert_steps_are_equal(plan, tmp_path, 4).digest() == digests(whole, 4)[-1]


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(
    ("errors", "saved", "more", "kind"),
    [("e12", 0.08, 0.05, ChannelRegion), ("e8", 0.15, 0.08, RowRegion)],
)
def test_a_part_of_a_real_model_trains_with_equal_bits(
    errors: str, saved: float, more: float, kind: type[Op], models: Path, tmp_path: Path
) -> None:
    """Streamed samples, slices of inputs, and latents; regions of channels, copies by rows."""
    update, model = str(models / MCUNET_74KB), load(models / MCUNET)
    asked = PlanOptions(update, 10, stream_input=True, errors=errors)
    whole = make_plan(model, asked, thorough=False)
    plan = make_plan(model, replace(asked, recompute=True), thorough=False)
    assert plan.saved_bytes > saved * whole.memory.arena_bytes
    assert 0 < plan.recomputed_macs < more * whole.step_macs
    assert kind in {type(n.op) for n in plan.graph.nodes[len(plan.inference) :]}
    assert assert_steps_are_equal(plan, tmp_path, 2).digest() == digests(whole, 2)[-1]
    (tmp_path / "latents").mkdir()
    assert_latents_train_alike(plan, tmp_path / "latents", 2)
