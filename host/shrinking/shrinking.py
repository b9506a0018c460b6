# SPDX-License-Identifier: Apache-2.0
"""The phases of a shrinking, one behind the other, each of which is done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.search.budget import NO_OVERHEAD, Cost, Limits, Overhead
from mcutrain.host.shrinking.adapting import tell_of
from mcutrain.host.shrinking.builds import NOTHING_BUILT, Builder, chosen, more
from mcutrain.host.shrinking.choice import Choice, Cut, choose
from mcutrain.host.shrinking.constant import constant_units
from mcutrain.host.shrinking.distillation import RATE, STEPS, distil
from mcutrain.host.shrinking.formats import Begun, begun
from mcutrain.host.shrinking.inputs import ENOUGH, Inputs
from mcutrain.host.shrinking.least_squares import least_squares
from mcutrain.host.shrinking.means import channel_means
from mcutrain.host.shrinking.new_head import new_head_scores
from mcutrain.host.shrinking.phases import Phase, Phases
from mcutrain.host.shrinking.prices import CutPrices, Price, frozen_in_int4
from mcutrain.host.shrinking.quality import Outputs, Quality, outputs_of, plain, quality
from mcutrain.host.shrinking.refitted import Weights, with_weights
from mcutrain.host.shrinking.result import CUT, DISTILLED, FOUR_BITS, ORIGINAL, REPAIRED, Stage
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.host.training.progress import Progress
from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import CROSS_ENTROPY
from mcutrain.trainer.shrinking.cut import Kept, cut_channels
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.shrinking.int4 import sized_as_int4, to_int4

Report = Callable[[str, int, int], None]  # phase, done, total


@dataclass(frozen=True)
class Smaller:
    """A model that fits, with what it is worth behind each phase.

    ``request`` plans it, with ``options`` beside those that were asked for; ``choice`` is None
    where nothing was to be cut. ``phases`` are those that come behind it.
    """

    model: Model
    request: Request
    options: tuple[str, ...]
    choice: Choice | None
    stages: tuple[Stage, ...]
    phases: Phases
    distillation: Mapping[str, Any] = field(default_factory=dict)
    overhead: Overhead = NO_OVERHEAD  # that it was chosen with


@dataclass
class Shrinking:
    """A model, and the inputs that it is made smaller with.

    ``labelled``: the inputs' labels are of the model's own classes. ``rate`` None: the
    distillation's own.
    """

    request: Request
    model: Model
    inputs: Inputs
    labelled: bool
    phases: Phases
    report: Report
    rate: float | None = None
    seed: int = 0
    steps: int = STEPS
    builder: Builder = NOTHING_BUILT

    @cached_property
    def groups(self) -> Groups:
        return channel_groups(self.model)

    @cached_property
    def few(self) -> Array:
        """As many inputs as help means, scores and least squares."""
        order = np.random.default_rng([self.seed, 2]).permutation(len(self.inputs.x))
        return self.inputs.x[np.sort(order[:ENOUGH])]

    def single(self, x: Array) -> Array:
        """(N, input size): the inputs of which a sample may hold several that follow each other."""
        return x.reshape(-1, self.model.input.type.size)

    @cached_property
    def outputs(self) -> Outputs:
        """The original's."""
        return self.judged(self.model, "original")

    @cached_property
    def original(self) -> Quality:
        def work() -> Phase:
            return Phase({}, quality(self.outputs, self.outputs).to_json())

        return Quality(**self.phases.done("original", work).told)

    def judged(self, model: Model, name: str) -> Outputs:
        total = len(self.inputs.held_x)
        phase = f"judging: {name}"
        return outputs_of(
            self.request, model, self.inputs, self.labelled,
            lambda done: self.report(phase, done, total),
        )  # fmt: skip

    def quality(self, model: Model, name: str) -> Quality:
        return quality(self.outputs, self.judged(model, name))

    def scores(self) -> dict[str, Array]:
        """What each unit of each group is worth."""

        def work() -> Phase:
            def done(count: int, total: int) -> None:
                self.report("scores", count, total)

            x, y, options = self.single(self.inputs.x), self.inputs.y, self.request.options
            is_stream = len(x) > len(self.inputs.x)
            if is_stream and y is not None:  # the label of all is that of each
                y = np.repeat(y, len(x) // len(y), axis=0)
            if options.classes is not None and y is not None and options.loss == CROSS_ENTROPY:
                return Phase(new_head_scores(self.model, options.classes, x, y, done))
            targets = y if self.labelled and not is_stream else None
            options = replace(plain(self.request).options, sequence_length=1)
            return Phase(taylor_scores(self.model, self.groups, x, targets, options, done))

        return dict(self.phases.done("scores", work).arrays)

    def whole(self) -> Smaller:
        """The model as it is, which 4-bit weights can make smaller."""
        stage = Stage(ORIGINAL, self.original)
        return Smaller(self.model, self.request, (), None, (stage,), self.phases.behind(kept=None))

    def begun(self, limits: Limits) -> Begun:
        """The formats that a cut begins from."""
        self.report("formats", 0, 1)
        found = begun(self.request, self.model, limits.sram, self.builder)
        self.report("formats", 1, 1)
        return found

    def at(self, limits: Limits, suffix: str = "", margin: Overhead = NO_OVERHEAD) -> Smaller:
        """The model made so small that its training fits, with a ``margin`` beside what a build
        has. Raises BudgetError if no cut does."""
        formats = self.begun(replace(limits, sram=limits.sram - margin.sram))
        request, options = formats.request, formats.attempt.options
        phases = self.phases.of(suffix).behind(
            options=options, update=str(request.options.update), limits=asdict(limits),
            target=self.builder.target.name, margin=asdict(margin),
        )  # fmt: skip
        choice, overhead = self.choice(request, limits, phases, formats.overhead, margin)
        stages = [Stage(ORIGINAL, self.original)]
        small = Smaller(
            self.model, request, options, choice, tuple(stages), phases, overhead=overhead
        )
        kept = choice.cut.kept
        if not kept:
            return small
        phases = phases.behind(kept=kept)
        cut = self.cut(kept, phases, stages)
        if kept == choice.path[0].kept:  # constant channels alone: no bit has changed
            return replace(small, model=cut, stages=tuple(stages), phases=phases)
        repaired = self.repaired(cut, kept, phases, stages)
        phases = phases.behind(rate=self.rate, steps=self.steps)
        model, told = self.distilled(repaired, phases, stages)
        return replace(small, model=model, stages=tuple(stages), phases=phases, distillation=told)

    def choice(
        self,
        request: Request,
        limits: Limits,
        phases: Phases,
        known: Overhead | None = None,
        margin: Overhead = NO_OVERHEAD,
    ) -> tuple[Choice, Overhead]:
        """What leaves, and the overhead of a build that it was chosen with."""

        def work() -> Phase:
            price = CutPrices(request, self.model, self.groups, limits)
            beside = known or NO_OVERHEAD
            if known is None and self.builder.builds:
                beside = self.builder.overhead(price.plan_for_chip(least(self.groups)))
            price = replace(price, overhead=more(beside, margin))
            found, overhead = chosen(price, self.builder, self.chosen)
            return Phase({}, {**asdict(found), "overhead": asdict(overhead)})

        told = phases.done("choice", work).told
        path = tuple(cut_of(each) for each in told["path"])
        return Choice(cut_of(told["cut"]), path), Overhead(**told["overhead"])

    def chosen(self, price: CutPrices) -> Choice:
        first = list[float]()

        def report(excess: float) -> None:
            first.append(excess)
            done = round(100 * (1 - excess / first[0]))
            self.report("choice of channels", max(0, min(99, done)), 100)

        constant = constant_units(self.model, self.groups)
        found = choose(self.groups, self.scores(), price, constant, report)
        self.report("choice of channels", 100, 100)
        return found

    def cut(self, kept: Kept, phases: Phases, stages: list[Stage]) -> Model:
        """Without the channels, whose means their readers' biases take."""
        made = [self.model.input, *(t for n in self.model.graph.nodes for t in n.outputs)]

        def work() -> Phase:
            means = channel_means(
                self.model, self.few, lambda done, total: self.report("means", done, total)
            )
            model = cut_channels(self.model, self.groups, kept, means)
            arrays = {str(k): means[tensor] for k, tensor in enumerate(made) if tensor in means}
            return Phase(arrays, {QUALITY: self.quality(model, CUT).to_json()})

        phase = phases.done("cut", work)
        stages.append(Stage(CUT, Quality(**phase.told[QUALITY])))
        means = {made[int(k)]: values for k, values in phase.arrays.items()}
        return cut_channels(self.model, self.groups, kept, means)

    def repaired(self, cut: Model, kept: Kept, phases: Phases, stages: list[Stage]) -> Model:
        """Fitted layer by layer to the original."""

        def work() -> Phase:
            model = least_squares(
                self.model, cut, self.groups, kept, self.few,
                lambda done, total: self.report("least squares", done, total),
            )  # fmt: skip
            return stored(model, self.quality(model, REPAIRED))

        return taken(cut, phases.done("least-squares", work), REPAIRED, stages)

    def distilled(
        self, smaller: Model, phases: Phases, stages: list[Stage]
    ) -> tuple[Model, Mapping[str, Any]]:
        """Trained to give the original's outputs, and what is said of that."""

        def tell(progress: Progress) -> None:
            tell_of("distillation", progress, self.report)

        def work() -> Phase:
            options = plain(self.request).options
            found = distil(
                self.model,
                smaller,
                self.inputs.x,
                options,
                steps=self.steps,
                rate=RATE if self.rate is None else self.rate,
                report=tell,
            )
            told = found.to_json()
            told["losses"] = thinned(told["losses"])
            return stored(found.model, self.quality(found.model, DISTILLED), told)

        phase = phases.done("distillation", work)
        told = {name: value for name, value in phase.told.items() if name != QUALITY}
        return taken(smaller, phase, DISTILLED, stages), told

    def in_four_bits(self, small: Smaller) -> Smaller:
        """With the weights of the layers that do not learn in 4 bits. Raises SchemeError if all
        learn."""
        layers = frozen_in_int4(small.request, small.model)
        if not layers:
            name = small.request.options.update_name
            raise SchemeError(
                f"--frozen int4: with --update {name} no layer behind the first one is "
                "frozen: let fewer layers learn (--update last:2)"
            )
        phases, stages = small.phases.behind(layers=layers), [*small.stages]

        def work() -> Phase:
            self.report(FOUR_BITS, 0, 1)
            model = to_int4(small.model, self.single(self.few)[:ENOUGH], layers)
            self.report(FOUR_BITS, 1, 1)
            return stored(model, self.quality(model, FOUR_BITS))

        # As to_int4 makes them: each such layer with a bias, and with a scale for each filter.
        likewise = sized_as_int4(small.model, layers)
        model = taken(likewise, phases.done("int4", work), FOUR_BITS, stages)
        return replace(small, model=model, stages=tuple(stages), phases=phases)


def least(groups: Groups) -> Kept:
    """The greatest cut: one unit of each group stays."""
    return {group.name: (0,) for group in groups.groups}


def cut_of(told: Mapping[str, Any]) -> Cut:
    """A cut as a phase kept it."""
    price = told["price"]
    kept = {name: tuple(units) for name, units in told["kept"].items()}
    cost = Cost(**price["cost"])
    return Cut(kept, Price(cost, price["excess"], price["crowding"]), told["loss"])


def thinned(values: Sequence[float]) -> list[float]:
    """At most POINTS means of values that follow each other.

    >>> thinned([1.0, 2.0, 4.0]), len(thinned([0.0] * 8000))
    ([1.0, 2.0, 4.0], 100)
    """
    parts = np.array_split(np.array(values), min(POINTS, len(values)) or 1)
    return [float(part.mean()) for part in parts if part.size]


QUALITY = "quality"
POINTS = 100  # of a curve


def stored(model: Model, found: Quality, told: Mapping[str, Any] | None = None) -> Phase:
    """The weights of a model, as a phase keeps them."""
    arrays = dict[str, Array]()
    for node in model.weighted:
        weights = Weights.of(node)
        arrays |= {f"weights {node.index}": weights.data, f"scales {node.index}": scales(weights)}
        if weights.bias is not None:
            arrays[f"bias {node.index}"] = weights.bias
    return Phase(arrays, {**(told or {}), QUALITY: found.to_json()})


def scales(weights: Weights) -> Array:
    return np.array(weights.quant.scales, np.float64)


def taken(model: Model, phase: Phase, name: str, stages: list[Stage]) -> Model:
    """``model`` with the weights that a phase kept; its quality is one stage more."""
    stages.append(Stage(name, Quality(**phase.told[QUALITY])))
    found = dict[Node, Weights]()
    for node in model.weighted:
        old = Weights.of(node)
        quant = replace(old.quant, scales=tuple(phase.arrays[f"scales {node.index}"].tolist()))
        weights = phase.arrays[f"weights {node.index}"]
        found[node] = Weights(weights, quant, phase.arrays.get(f"bias {node.index}"))
    return with_weights(model, found)
