# SPDX-License-Identifier: Apache-2.0
"""The units that leave without changing a bit: those that are constant by their weights alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.shrinking.groups import Group, Groups
from mcutrain.trainer.simplify import VARIES, absorbed, constant_channels


def constant_units(model: Model, groups: Groups) -> dict[str, Array]:
    """By group (units,) bool: whether all channels of a unit are constant, whatever the input, and
    the biases of all that read them can hold their share."""
    known = constant_channels(model, set(model.graph.nodes))
    for group in groups.groups:
        for node in group.readers:
            x = node.inputs[0]
            known[x] = np.where(absorbed(node, known[x]), known[x], VARIES)
    return {group.name: constant_in(group, known) for group in groups.groups}


def constant_in(group: Group, known: Mapping[Tensor, Array]) -> Array:
    """(units,) bool: of a group, whether ``known`` values are constant wherever a unit is."""
    found = np.ones(group.units, bool)
    for tensor, places in group.places.items():
        if tensor.data is not None:
            continue
        is_last = group.axes[tensor] == len(tensor.type.shape) - 1
        found &= (known[tensor][places] != VARIES).all(axis=1) if is_last else False
    return found
