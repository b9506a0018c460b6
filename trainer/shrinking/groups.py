# SPDX-License-Identifier: Apache-2.0
"""Groups of channels that leave a network together, and why others stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mcutrain.trainer.graph.cutting import varying_axes
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.shrinking.ties import ModelTies

NOT_MADE = "no layer makes it"
ALONE = "all of its channels leave together, and one must stay"


@dataclass(frozen=True)
class Group:
    """``units`` of which each can leave: all channels that leave with it.

    ``places`` has (units, k) positions along the axis ``axes[tensor]`` of every tensor that has
    them: activations, and constants that are computed with them elementwise. k is 1 but behind a
    RESHAPE before a dense layer, in groups of filters and behind filters of several outputs a
    channel. The axis is the last one of whatever a layer makes or reads. ``producers`` are the
    layers whose filters make the units, ``readers`` those whose weights read them: layers by
    channel are neither. ``name`` is that of the first producer, with a number if it has several
    groups.
    """

    name: str
    units: int
    places: Mapping[Tensor, Array]
    axes: Mapping[Tensor, int]
    producers: tuple[Node, ...]
    readers: tuple[Node, ...]


@dataclass(frozen=True)
class Groups:
    """The groups of a model, from its input on; ``stays`` says of each layer that makes channels
    which cannot leave, by its name, why."""

    groups: tuple[Group, ...]
    stays: Mapping[str, str]


@dataclass
class Unit:
    """What leaves together."""

    places: dict[Tensor, list[int]] = field(default_factory=dict)
    producers: dict[Node, None] = field(default_factory=dict)
    readers: dict[Node, None] = field(default_factory=dict)


def channel_groups(model: Model) -> Groups:
    """The groups of channels that can leave ``model``; nodes and tensors are the model's."""
    ties = ModelTies(model)
    root = ties.roots()
    axes = {tensor: axis_of(root[ids]) for tensor, ids in ties.ids.items()}
    reasons = {int(root[number]): why for number, why in ties.reasons.items()}
    for tensor, ids in ties.ids.items():
        if axes[tensor] is None:
            reasons |= dict.fromkeys(map(int, np.unique(root[ids])), "its channels lie apart")
    units = units_of(ties, root, {t: axis for t, axis in axes.items() if axis is not None})
    together: dict[tuple[tuple[Tensor, int], ...], list[Unit]] = {}
    for number, unit in units.items():
        if number not in reasons and unit.producers:
            key = tuple((tensor, len(at)) for tensor, at in unit.places.items())
            together.setdefault(key, []).append(unit)
    found = [each for each in together.values() if len(each) > 1]
    grouped = {id(unit) for each in found for unit in each}
    stays: dict[str, str] = {}
    for node, made in ties.made:
        for number in map(int, root[made]):
            if id(units[number]) not in grouped:
                stays.setdefault(node.name, reasons.get(number, ALONE))
    return Groups(named(model, found, axes), stays)


def axis_of(labels: Array) -> int | None:
    """The one axis along which labels differ, the last if they do not; None if there are more."""
    axes = varying_axes(labels)
    return None if len(axes) > 1 else axes[0] if axes else labels.ndim - 1


def units_of(ties: ModelTies, root: Array, axes: Mapping[Tensor, int]) -> dict[int, Unit]:
    """What leaves together, by its root."""
    units: dict[int, Unit] = {}
    for tensor, axis in axes.items():
        along = np.moveaxis(ties.ids[tensor], axis, 0).reshape(tensor.type.shape[axis], -1)[:, 0]
        for position, number in enumerate(root[along].tolist()):
            unit = units.setdefault(number, Unit())
            unit.places.setdefault(tensor, []).append(position)
    for which, nodes in (("producers", ties.made), ("readers", ties.read_by)):
        for node, ids in nodes:
            for number in root[ids].tolist():
                getattr(units.setdefault(number, Unit()), which)[node] = None
    return units


def named(
    model: Model, found: list[list[Unit]], axes: Mapping[Tensor, int | None]
) -> tuple[Group, ...]:
    """The groups in the order of their first producers."""
    order = {node: k for k, node in enumerate(model.graph.nodes)}
    groups: list[Group] = []
    for units in sorted(found, key=lambda units: min(order[n] for n in units[0].producers)):
        producers = tuple(sorted(units[0].producers, key=order.__getitem__))
        readers = tuple(sorted({n: None for u in units for n in u.readers}, key=order.__getitem__))
        name = producers[0].name
        several = sum(group.producers[0] is producers[0] for group in groups)
        places = {t: np.array([unit.places[t] for unit in units]) for t in units[0].places}
        groups.append(
            Group(
                f"{name}.{several + 1}" if several else name, len(units), places,
                {t: axis for t in places if (axis := axes[t]) is not None}, producers, readers,
            )
        )  # fmt: skip
    return tuple(groups)
