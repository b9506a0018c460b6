# SPDX-License-Identifier: Apache-2.0
"""The units that leave without changing a bit: those that are constant by their weights alone."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.shrinking.groups import Groups
from mcutrain.trainer.simplify import can_leave, constant_channels, units_left


def constant_units(model: Model, groups: Groups) -> dict[str, Array]:
    """By group (units,) bool: whether all channels of a unit are constant, whatever the input, and
    the biases of all that read them can hold their share. Of each group one unit is not."""
    every = model.graph.nodes
    leaves = can_leave(model, constant_channels(model, every), every)
    found: dict[str, Array] = {}
    for group in groups.groups:
        found[group.name] = np.ones(group.units, bool)
        found[group.name][[*units_left(group, leaves)]] = False
    return found
