# SPDX-License-Identifier: Apache-2.0
"""What does not fit a budget of RAM, where the arena is fullest, and what would help how much.

Each piece of help is a plan that was made, so its bytes are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mcutrain.host.budget.fit import Fit, ram_bytes
from mcutrain.host.request import Request
from mcutrain.trainer.errors import BudgetError, ModelError, SchemeError
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.planner.memory import Slot, bytes_covered
from mcutrain.trainer.scheme import parse_scheme, scheme_text
from mcutrain.trainer.sequence import planned_part
from mcutrain.trainer.training_plan import TrainingPlan

MOST = 3  # tensors and pieces of help that the error names
NO_HELP = "No smaller plan was found: take a smaller model, or a board with more"


@dataclass(frozen=True)
class Peak:
    """The node during which most bytes of the arena are in use, and what lies there, the largest
    first. Outputs can lie over inputs, so ``in_use`` can be less than their sum."""

    node: str
    operator: str
    in_use: int
    tensors: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, plan: TrainingPlan) -> Peak:
        node = plan.memory.peak(plan.graph)
        step = plan.graph.nodes.index(node)
        live, slots = list[tuple[str, int]](), list[Slot]()
        for item, slot in plan.memory.slots.items():
            # An alias lies in the slot of its source, which comes first.
            if slot.first <= step <= slot.last and all(slot is not other for other in slots):
                slots.append(slot)
                scratch = isinstance(item, Node)
                live.append((f"scratch of {item.name}" if scratch else item.name, slot.size))
        live.sort(key=lambda pair: -pair[1])
        return cls(node.name, type(node.op).__name__, bytes_covered(slots), tuple(live))


@dataclass(frozen=True)
class Change:
    """Something else to ask for: in words, and as a request."""

    text: str
    request: Request


@dataclass(frozen=True)
class Help:
    """A change that was planned: what it saves, what is then needed, and whether that fits."""

    text: str
    saves: int
    needed: int
    fits: bool
    scheme: str | None  # a scheme file, if it takes one


@dataclass(frozen=True)
class Advice:
    """Why nothing fits: ``options`` made the plan of the fewest bytes that was tried."""

    options: tuple[str, ...]
    sram: int
    needed: int
    arena: int
    learned: int
    others: dict[str, int]
    peak: Peak
    help: tuple[Help, ...]

    @property
    def excess(self) -> int:
        return self.needed - self.sram

    def error(self) -> BudgetError:
        """In one line: what does not fit, by how much, the peak, what helps most."""
        with_ = f" with {' '.join(self.options)}" if self.options else ""
        parts = [f"arena {self.arena:,}", f"learned state {self.learned:,}"]
        parts += [f"{name} {size:,}" for name, size in self.others.items() if size]
        tensors = ", ".join(f"{name} {size:,}" for name, size in self.peak.tensors[:MOST])
        helps = "; ".join(f"{h.text} (-{h.saves:,})" for h in self.help[:MOST])
        return BudgetError(
            f"nothing fits {self.sram:,} bytes of RAM: the least that was found, "
            f"{self.needed:,}{with_} ({', '.join(parts)}), is {self.excess:,} too many. "
            f"The arena is fullest at {self.peak.node} ({self.peak.operator}): {tensors}. "
            + (f"Most would help: {helps}" if helps else NO_HELP),
            self.needed,
            self.sram,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "options": list(self.options),
            "needed_bytes": self.needed,
            "excess_bytes": self.excess,
            "arena_bytes": self.arena,
            "learned_bytes": self.learned,
            "other_bytes": self.others,
            "peak": {
                "node": self.peak.node,
                "operator": self.peak.operator,
                "bytes": self.peak.in_use,
                "tensors": [{"name": n, "bytes": size} for n, size in self.peak.tensors],
            },
            "help": [
                {
                    "change": h.text,
                    "saves_bytes": h.saves,
                    "sram_bytes": h.needed,
                    "fits": h.fits,
                    "scheme": h.scheme,
                }
                for h in self.help
            ],
        }


def advise(fit: Fit, model: Model, report: Callable[[str], None]) -> Advice:
    """Plan what could help the least of a fit's plans, which does not fit."""
    step, plan = fit.least
    found = []
    for change in changes(step.request, model, plan):
        report(f"planning: {change.text}")
        try:
            other = change.request.plan_of(model)
        except (ModelError, SchemeError):
            continue
        saves = ram_bytes(plan) - ram_bytes(other)
        if saves > 0:
            needed = fit.needed(other)
            text = file_of(change.request, other, model)
            found.append(Help(change.text, saves, needed, needed <= fit.sram, text))
    found.sort(key=lambda one: -one.saves)
    others = {
        "kept latents": plan.slot_bytes,
        "next sample": plan.ahead_bytes,
        "record": plan.record_bytes,
        "stack, link and other RAM": fit.overhead,
    }
    return Advice(
        step.options, fit.sram, fit.needed(plan), plan.memory.arena_bytes,
        plan.memory.state_bytes, others, Peak.of(plan), tuple(found),
    )  # fmt: skip


def part_of(request: Request, model: Model) -> Model:
    """The model whose weighted layers the scheme counts."""
    return trim(planned_part(model, request.options))


def file_of(request: Request, plan: TrainingPlan, model: Model) -> str | None:
    """The scheme as a file, if the request holds no name that ``--update`` takes."""
    update = request.options.update
    if not isinstance(update, Scheme) or plan.scheme.channels:
        return None
    return scheme_text(update, len(part_of(request, model).weighted))


def changes(request: Request, model: Model, plan: TrainingPlan) -> Iterator[Change]:
    """What to try in place of ``request``, each thing once."""
    yield from scheme_changes(request, model, plan.scheme)
    if not request.resumes:
        for option, formats in plan.formats.others():
            yield Change(f"--{option} {getattr(formats, option)}", request.in_formats(formats))
    asked = request.options
    if asked.spare_classes:
        yield Change("no --spare-classes", request.without(["spare_classes"]))
    if slots := asked.latent_slots:
        yield Change(f"--latent-slots {slots // 2}", request.but(latent_slots=slots // 2))
        if slots > 1:
            yield Change("no --latent-slots", request.without(["latent_slots"]))


def scheme_changes(request: Request, model: Model, scheme: Scheme) -> Iterator[Change]:
    """Schemes that learn less than ``scheme``: those with a name, then parts of it."""
    part = part_of(request, model)
    seen = {what_learns(scheme)}

    def new(text: str, other: Scheme, update: str | None = None) -> Iterator[Change]:
        if what_learns(other) not in seen:
            seen.add(what_learns(other))
            begun = replace(request, resumes=False)
            yield Change(text, begun.but(update=other if update is None else update))

    for name in named_schemes(scheme, len(part.weighted)):
        yield from new(f"--update {name}", parse_scheme(name, part), name)
    for text, other in parts_of(scheme, part):
        yield from new(text, other)


def what_learns(scheme: Scheme) -> tuple[frozenset[tuple[int, float]], frozenset[int]]:
    return frozenset(scheme.ratios.items()), scheme.biases


def named_schemes(scheme: Scheme, layers: int) -> list[str]:
    """The schemes of the command line that may take less."""
    found = ["head", "bias"]
    if scheme.name == "full" or scheme.name.startswith("last:"):
        count = len(scheme.ratios) if scheme.name != "full" else layers
        found += [f"last:{k}" for k in dict.fromkeys((count - 1, count // 2)) if k > 1]
    return found


def parts_of(scheme: Scheme, part: Model) -> Iterator[tuple[str, Scheme]]:
    """(in words, scheme) with fewer layers, biases or channels; the head stays as it is."""
    head = len(part.weighted) - 1
    name = "smaller"

    def called(layer: int) -> str:
        return f"layer {layer} ({part.weighted[layer].name})"

    learning = sorted((set(scheme.ratios) | set(scheme.biases)) - {head})
    inner = {k: r for k, r in scheme.ratios.items() if k != head}
    of_head = {k: r for k, r in scheme.ratios.items() if k == head}
    for count in dict.fromkeys((1, len(learning) // 2)):
        if 0 < count <= len(learning):
            first = learning[count] if count < len(learning) else head
            ratios = {k: r for k, r in scheme.ratios.items() if k >= first}
            biases = frozenset(k for k in scheme.biases if k >= first)
            yield f"freeze all before {called(first)}", Scheme(name, ratios, biases)
    if not inner:
        return
    first = min(inner)
    biases = frozenset(k for k in scheme.biases if k >= first)
    yield f"no biases before {called(first)}", Scheme(name, scheme.ratios, biases)
    heaviest = max(inner, key=lambda k: inner[k] * part.weighted[k].inputs[1].type.nbytes)
    in_part = {k for k in inner if learns_in_part(part, k)}
    if heaviest in in_part:
        half = scheme.ratios | {heaviest: inner[heaviest] / 2}
        said = f"ratio {inner[heaviest] / 2:g} for {called(heaviest)}"
        yield said, Scheme(name, half, scheme.biases)
    without = {k: r for k, r in scheme.ratios.items() if k != heaviest}
    yield f"no weights of {called(heaviest)}", Scheme(name, without, scheme.biases)
    halves = {k: r / 2 if k in in_part else r for k, r in inner.items()} | of_head
    if in_part:
        yield "half of all ratios before the head", Scheme(name, halves, scheme.biases)


def learns_in_part(part: Model, layer: int) -> bool:
    op = part.weighted[layer].op
    assert isinstance(op, Weighted)
    return op.learns_in_part
