# SPDX-License-Identifier: Apache-2.0
"""Which options make a plan fit a budget of RAM: tried one after another, the dearest last.

The order is that of the price in accuracy (docs/adr/0035-budget.md). Regions are always on,
``--stream-input`` and ``--recompute`` change no bit: they come before any format, and that which
makes a step longer last, with no more computed again than the budget asks for. Of the formats
``--errors e8`` comes first: over the rows of docs/accuracy.md it costs less in the median than
``--weights int8`` does, though more at worst, where errors pass through forty layers. Each is tried
without and with what changes no bit. What the user asked for stays as it is, and how many samples
add up is never changed: it changes what is learned.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcutrain.host.request import Request
from mcutrain.trainer.errors import BudgetError, ModelError
from mcutrain.trainer.formats import INT8
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.error import E8
from mcutrain.trainer.training_plan import TrainingPlan

STREAM, RECOMPUTE = "--stream-input", "--recompute"
LIMITED = f"{RECOMPUTE}-to"
FREE: tuple[tuple[str, ...], ...] = ((), (STREAM,), (STREAM, RECOMPUTE), (RECOMPUTE,))
# (errors, weights), the cheapest first; None is the default.
FORMATS = ((None, None), (E8.name, None), (None, INT8), (E8.name, INT8))
PRICES = {
    STREAM: "no bit changes",
    RECOMPUTE: "no bit changes, some operations are done twice",
    f"--errors {E8.name}": "0.1 points in the median of docs/accuracy.md, 13.4 at worst",
    f"--weights {INT8}": "0.3 points in the median of docs/accuracy.md, 13.4 at worst",
}


def ram_bytes(plan: TrainingPlan) -> int:
    """What follows from the plan: arena, learned state, and what is held beside them."""
    return plan.memory.arena_bytes + plan.memory.state_bytes + plan.held_bytes


@dataclass(frozen=True)
class Attempt:
    """A plan that was tried: ``options`` are what it has beside what was asked for.

    ``plan`` is None if there is none, for the reason in ``refusal``. ``overhead`` is the RAM that a
    build has beside the plan, if this one was built.
    """

    options: tuple[str, ...]
    request: Request
    plan: TrainingPlan | None = None
    refusal: str | None = None
    overhead: int | None = None

    @property
    def told(self) -> str:
        return " ".join(self.options) or "as asked"

    def price(self, option: str) -> str:
        """What one of its options costs."""
        if self.plan is None or not option.startswith(RECOMPUTE):
            return PRICES[option]
        again = self.plan.recomputed_macs
        more = 100 * again / max(1, self.plan.step_macs - again)
        return f"{PRICES[RECOMPUTE]}: {more:.1f} % more MACs in a step"


@dataclass
class Fit:
    """The steps tried for ``sram`` bytes, up to the first that fits, if one does.

    ``overhead`` is the RAM that the last build has beside its plan, 0 without a build.
    """

    sram: int
    steps: list[Attempt] = field(default_factory=list)
    chosen: Attempt | None = None
    overhead: int = 0

    def needed(self, plan: TrainingPlan, overhead: int | None = None) -> int:
        """All RAM, with the overhead of another build if the plan was not built."""
        return ram_bytes(plan) + (self.overhead if overhead is None else overhead)

    @property
    def planned(self) -> list[tuple[Attempt, TrainingPlan]]:
        return [(step, step.plan) for step in self.steps if step.plan is not None]

    @property
    def least(self) -> tuple[Attempt, TrainingPlan]:
        """The step of the fewest bytes, the cheapest of several."""
        return min(self.planned, key=lambda pair: ram_bytes(pair[1]))

    @property
    def told(self) -> str:
        return "nothing fits" if self.chosen is None else self.chosen.told

    def to_json(self) -> dict[str, Any]:
        return {
            "sram_bytes": self.sram,
            "overhead_bytes": self.overhead,
            "chosen": None if self.chosen is None else list(self.chosen.options),
            "steps": [self.row(step) for step in self.steps],
        }

    def row(self, step: Attempt) -> dict[str, Any]:
        row: dict[str, Any] = {"options": list(step.options), "refusal": step.refusal}
        if step.plan is None:
            return row
        needed = self.needed(step.plan, step.overhead)
        return row | {
            "arena_bytes": step.plan.memory.arena_bytes,
            "learned_bytes": step.plan.memory.state_bytes,
            "sram_bytes": needed,
            "saves_bytes": ram_bytes(self.planned[0][1]) - ram_bytes(step.plan),
            "fits": needed <= self.sram,
        }


def candidates(request: Request) -> Iterator[tuple[tuple[str, ...], Request]]:
    """(options added, request) in the order of their price; ``request`` is resolved."""
    seen = set()
    for errors, weights in FORMATS:
        formats = []
        if errors and "errors" not in request.given:
            formats.append(f"--errors {errors}")
        if weights and "weights" not in request.given:
            formats.append(f"--weights {weights}")
        wanted = {"errors": errors, "weights": weights}
        found = request.but(**{k: v for k, v in wanted.items() if k not in request.given})
        for free in FREE:
            options = (*free, *formats)
            asked = request.options
            is_settled = asked.stream_input or asked.receive_ahead
            given = (STREAM in free and is_settled) or (RECOMPUTE in free and asked.recomputes)
            if options not in seen and not given:
                seen.add(options)
                yield (
                    options,
                    found.but(
                        stream_input=True if STREAM in free else None,
                        recompute=True if RECOMPUTE in free else None,
                    ),
                )


def limited(
    options: tuple[str, ...], request: Request, arena: int
) -> tuple[tuple[str, ...], Request]:
    """The request with no more computed again than an arena of so many bytes takes; of which none
    may be left."""
    if arena < 1:
        return options, request
    told = f"{LIMITED} {arena}"
    found = tuple(told if option == RECOMPUTE else option for option in options)
    return found, request.but(recompute_to=arena)


def find_fit(
    request: Request,
    model: Model,
    sram: int,
    build: Callable[[Request], int] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Fit:
    """Try the candidates until one fits ``sram`` bytes.

    ``build`` gives all RAM of a build of a request: its part beside the plan is measured once, and
    a plan is chosen only if its own build fits. Raises what the plan asked for raises.
    """
    fit, streams, beside = Fit(sram), not request.options.receive_ahead, 0
    for options, wanted in candidates(request):
        again, would_stream = RECOMPUTE in options, STREAM in options
        # Where samples can stream, resident ones leave no more to compute again.
        if not streams if would_stream else again and streams and not wanted.options.stream_input:
            continue
        for _ in range(2):
            told, asked = options, wanted
            if again:
                told, asked = limited(options, wanted, sram - beside - fit.overhead)
            report(f"planning {' '.join(told) or 'as asked'}")
            try:
                plan = asked.plan_of(model)
            except ModelError as err:
                if not options:
                    raise
                streams = streams and not would_stream  # no format changes what reads the input
                fit.steps.append(Attempt(told, asked, None, str(err)))
                break
            step = Attempt(told, asked, plan)
            if build is not None and fit.needed(plan) <= sram:
                report(f"building {step.told}")
                fit.overhead = build(asked) - ram_bytes(plan)
                step = replace(step, overhead=fit.overhead)
            fit.steps.append(step)
            if fit.needed(plan) <= sram:
                fit.chosen = step
                return fit
            if not again:
                beside = ram_bytes(plan) - plan.memory.arena_bytes
            if not again or step.overhead is None:
                break
    if build is not None and not fit.overhead:
        step, plan = fit.least
        report(f"building {step.told}")
        fit.overhead = overhead_of(build, step.request, plan)
    return fit


def overhead_of(build: Callable[[Request], int], request: Request, plan: TrainingPlan) -> int:
    """What a build has beside ``plan``; 0, that is unknown, if it is too large for its board."""
    try:
        return build(request) - ram_bytes(plan)
    except BudgetError:
        return 0


def repeated(arguments: Sequence[str], options: Sequence[str]) -> str:
    """The command that plans the same without a budget: ``arguments`` (of the process, the program
    left out) with ``options`` in place of ``--sram``."""
    verb, *rest = arguments
    kept, skips = list[str](), False
    for argument in rest:
        if skips or argument == "--sram":
            skips = not skips
        elif not argument.startswith("--sram="):
            kept.append(argument)
    added = [word for option in options for word in option.split(" ")]
    return shlex.join(["mcutrain", verb, *added, *kept])
