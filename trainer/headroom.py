# SPDX-License-Identifier: Apache-2.0
"""Room for the weights of a head to grow (SPEC 1.5): the same real weights in coarser quanta.

The greatest weight of a quantised layer is 127 quanta, so it cannot grow where it learns. Classes
are told apart by differences, which smaller weights have as well. But a value that is wanted on
another scale, of a machine with other gains, say, needs weights on another scale, unless the layers
before the head learn, too: then those grow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.model import Model, rebuild
from mcutrain.trainer.ops.weighted import Weighted, dead_channels
from mcutrain.trainer.options import HEADROOMS, SQUARED_ERROR, PlanOptions, Scheme

OF_VALUES = 4  # where values are learned; classes need none
GREATEST = 127


def with_headroom(model: Model, options: PlanOptions, scheme: Scheme) -> Model:
    """The model whose head has the room that is asked for, where it learns; without being asked,
    OF_VALUES for the squared error where the head learns alone.

    Raises SchemeError if room is asked for and the head cannot get it.
    """
    asked = options.headroom
    if asked is not None and asked not in HEADROOMS:
        known = ", ".join(map(str, HEADROOMS))
        raise SchemeError(f"--headroom {asked}: take one of {known}")
    is_alone = set(scheme.ratios) == {len(model.weighted) - 1}
    times = asked or (OF_VALUES if options.loss == SQUARED_ERROR and is_alone else 1)
    if times == 1:
        return model
    if reason := why_not(model, scheme):
        if asked is None:
            return model
        raise SchemeError(f"--headroom {asked}: {reason}; leave it out")
    try:
        return with_room(model, times)
    except ModelError as err:  # scales that no multiplier can express
        if asked is None:
            return model
        raise SchemeError(f"--headroom {asked}: {err}; give a smaller one") from err


def why_not(model: Model, scheme: Scheme) -> str:
    """Why the head's weights cannot be coarser; "" if they can."""
    head = model.weighted[-1]
    assert isinstance(head.op, Weighted)
    if scheme.ratios.get(len(model.weighted) - 1) != 1.0:
        return f"the head, {head.name}, does not learn as a whole"
    if head.op.has_two_parts:
        return f"the weights of the head, {head.name}, are beyond int8"
    return ""


def with_room(model: Model, times: int) -> Model:
    """The model in whose head the greatest weight of each scale can become ``times``, a power of
    two, as great. A scale that has the room stays. Raises ModelError."""
    head = model.weighted[-1]

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return roomy(graph, node, inputs, times) if node is head else None

    return rebuild(model, change)


def roomy(graph: Graph, node: Node, inputs: tuple[Tensor, ...], times: int) -> tuple[Tensor, ...]:
    """Append the layer in coarser quanta."""
    op, (x, w, *bias) = node.op, inputs
    assert isinstance(op, Weighted) and w.data is not None and w.type.quant is not None
    scales = np.array(w.type.quant.scales)
    others = tuple(k for k in range(w.data.ndim) if k != op.out_axis)
    greatest = np.abs(w.data.astype(np.int64)).max(axis=others if len(scales) > 1 else None)
    missing = np.maximum(np.reshape(greatest, -1) * times / (GREATEST + 1), 2.0**-9)
    factors = np.exp2(np.clip(np.ceil(np.log2(missing)), 0, None))
    along = np.ones(w.data.ndim, int)
    along[op.out_axis] = -1
    by_filter = factors.reshape(along) if len(scales) > 1 else factors
    data = np.floor(w.data / by_filter + 0.5).astype(np.int8)
    quant = replace(w.type.quant, scales=tuple((scales * factors).tolist()))
    new_w = replace(w, data=data, type=replace(w.type, quant=quant))
    new_b = tuple(
        replace(b, data=np.floor(b.data / factors + 0.5).astype(np.int32))
        for b in bias[:1]
        if op.has_bias and b.data is not None
    )
    op = replace(op, dead=dead_channels(new_w.type, op.out_axis, new_b))
    return graph.add(op, x, new_w, *new_b, *bias[len(new_b) :], name=node.name, index=node.index)
