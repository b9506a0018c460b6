# SPDX-License-Identifier: Apache-2.0
"""What depends on a node alone, and not on the values of its inputs, is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from mcutrain.trainer.graph.op import Node

Kind = TypeVar("Kind")
Found = TypeVar("Found")


def once_per_node(make: Callable[[Kind, Node], Found]) -> Callable[[Kind, Node], Found]:
    """A method (op, node) whose value is kept as long as the node has this operator.

    For geometries and tables with one number per channel, nothing of the size of weights: the
    nodes of a model are many, and several plans live at once. The value is shared, so nobody
    changes it.
    """
    kept: WeakKeyDictionary[Node, tuple[Kind, Found]] = WeakKeyDictionary()

    @wraps(make)
    def found(op: Kind, node: Node) -> Found:
        known = kept.get(node)
        if known is None or known[0] is not op:
            known = kept[node] = op, make(op, node)
        return known[1]

    return found
