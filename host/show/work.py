# SPDX-License-Identifier: Apache-2.0
"""Instructions of a plan by layer and by board: counted where they were, else predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcutrain.host.boards import board_names, chip_of, core_of
from mcutrain.host.cost import layer_rows
from mcutrain.host.prediction.density import Densities, traced
from mcutrain.host.prediction.power import Work, board_estimates
from mcutrain.host.prediction.predict import Prediction, coefficients, predict
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.simulation.profile import Profile
from mcutrain.host.training.monitor import layer_names
from mcutrain.trainer.training_plan import TrainingPlan

OTHER = "loss, counters and what stands between nodes"


@dataclass(frozen=True)
class Counts:
    """What an ``emulator`` counted in a run, in ``unit``: of a step and of an inference, 0 where
    none was, and by node for a run that has a profile. ``caveat`` says what they leave out."""

    step: int = 0
    inference: int = 0
    profile: Profile | None = None
    unit: Unit = Unit.INSTRUCTIONS
    emulator: str = ""
    caveat: str = ""

    @property
    def of_instructions(self) -> Counts:
        """These, or none if they are cycles: nothing of a core's instructions follows from them."""
        return self if self.unit is Unit.INSTRUCTIONS else Counts()

    @property
    def of_cycles(self) -> dict[str, Any] | None:
        """The cycles of an emulator that counts those."""
        if self.unit is not Unit.CYCLES or not self.step:
            return None
        told = {"emulator": self.emulator, "caveat": self.caveat}
        return {"step": self.step, "inference": self.inference, **told}


@dataclass(frozen=True)
class WorkSource:
    """Where the instructions of a plan come from: a run that counted them on the plan's core, or
    the prediction for it."""

    plan: TrainingPlan
    counts: Counts = Counts()

    @property
    def core(self) -> str | None:
        return core_of(self.plan.chip.name)

    def to_json(self) -> dict[str, Any]:
        """By layer, in the whole, and what it comes to on real chips."""
        densities = traced(self.plan)
        prediction = predict(self.plan, self.core, densities)
        counts = self.counts.of_instructions
        profile = counts.profile
        by_node = counted_nodes(profile) if profile else predicted_nodes(prediction)
        step = counts.step or prediction.step
        return {
            "core": self.core or prediction.like,
            "is_like": self.core is None,
            "by_layer": "counted" if profile else "predicted",
            "step_is_counted": bool(counts.step),
            "emulator": counts.emulator,
            "counted_cycles": self.counts.of_cycles,
            "step": step,
            "inference": counts.inference or prediction.inference,
            "cycles": None if profile is None else profile.estimated_cycles,
            "layers": layers(self.plan, by_node, profile.count if profile else step),
            "boards": [each.to_json() for each in board_estimates(self.by_core(densities))],
            "notes": prediction.notes,
        }

    def by_core(self, densities: Densities) -> Mapping[str, Work]:
        """What a step takes on each core that can run the plan's kernels."""
        found: dict[str, Work] = {}
        for board in board_names():
            core = core_of(board)
            if core not in coefficients() or core in found:
                continue  # an estimate for a real chip by the core of another says little
            if not self.plan.needs <= chip_of(board).features:
                continue
            prediction = predict(self.plan, core, densities)
            found[core] = Work(prediction.step, prediction.inference)
        counts = self.counts.of_instructions
        if self.core is not None and counts.step and counts.inference:
            profile, ratio = counts.profile, None
            if profile is not None and profile.estimated_cycles:
                ratio = profile.estimated_cycles / profile.count
            found[self.core] = Work(counts.step, counts.inference, True, ratio)
        return found


Counted = tuple[int | None, str, int]  # operator, part, instructions


def counted_nodes(profile: Profile) -> Iterator[Counted]:
    for cost in profile.nodes:
        yield cost.of.node.index, cost.of.part.value, cost.count


def predicted_nodes(prediction: Prediction) -> Iterator[Counted]:
    for each in prediction.nodes:
        yield each.of.node.index, each.of.part.value, round(each.instructions)


def layers(plan: TrainingPlan, nodes: Iterable[Counted], whole: int) -> list[dict[str, Any]]:
    """The layers of the forward pass with their instructions by part, and a last row for the rest
    of a step of ``whole`` instructions."""
    rows = layer_rows(plan)
    names = {node.index: layer_names(plan)[node.output] for node in plan.forward}
    for row in rows:
        row["label"] = names[row["operator"]]
        row["instructions"] = {"forward": 0, "backward": 0, "update": 0}
    by_operator = {row["operator"]: row for row in rows}
    loss = plan.task.loss.index
    placed = 0
    for operator, part, instructions in nodes:
        if operator in by_operator and (operator != loss or part == "forward"):
            by_operator[operator]["instructions"][part] += instructions
            placed += instructions
    rest = max(0, whole - placed)
    return [*rows, {"name": OTHER, "label": OTHER, "kind": "", "instructions": {"backward": rest}}]
