# SPDX-License-Identifier: Apache-2.0
"""How frozen weights lie in flash: as in the model file, or as a chip's kernels read them fastest.

Packed weights take more flash than those of the model: each layer that can be packed says how many
instructions that saves, and those that save most for each byte come first, as long as the flash
holds them (docs/adr/0055-packed-weights.md). Nibbles, which take less, are what is asked for
(trainer/nibbles.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Layout, Node, Op, as_in_file, in_layout
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.options import PlanOptions

CODE_BYTES = 48 * 1024  # of flash that are left for code: what the largest firmware so far has
NAMED = 3  # layers that a message names


@dataclass(frozen=True)
class Candidate:
    """A node whose weights can be packed: its operator then, what it saves, bytes of flash more."""

    node: Node
    op: Op
    saves: int
    added_bytes: int

    @property
    def rank(self) -> tuple[bool, float]:
        """The best first: those that take no byte, then by instructions for each byte."""
        return self.added_bytes > 0, -self.saves / max(self.added_bytes, 1)


def pack(graph: Graph, state: list[Tensor], chip: Chip, options: PlanOptions) -> None:
    """Packs weights of ``graph`` as the options and the chip's flash say; no bit changes.

    Raises BudgetError if the constants are larger than the flash that is asked for, even if nothing
    is packed.
    """
    found = candidates(graph)
    limit = options.flash if options.flash is not None else chip.flash_bytes
    if limit is None:
        limit = CODE_BYTES + constant_bytes(graph, state) + sum(each.added_bytes for each in found)
    elif options.flash is not None and (taken := constant_bytes(graph, state)) > options.flash:
        raise too_small(graph, options.flash, taken)
    elif not found:
        return
    room = limit - CODE_BYTES - constant_bytes(graph, state)
    for each in sorted(found, key=lambda each: each.rank):
        if each.added_bytes <= room:
            each.node.op = each.op
            room -= each.added_bytes


def candidates(graph: Graph) -> list[Candidate]:
    found = []
    for node in graph.nodes:
        packed = in_layout(node, Layout.PACKED)
        if packed is not None:
            added = added_bytes(graph.nodes, node, node.op, packed)
            found.append(Candidate(node, packed, packed.packing_saves(node), added))
    return found


def packed_nodes(nodes: list[Node]) -> list[Candidate]:
    """Those of all nodes of a plan whose weights are packed."""
    found = []
    for node in nodes:
        if node.op.layout is Layout.PACKED:
            added = added_bytes(nodes, node, as_in_file(node.op), node.op)
            found.append(Candidate(node, node.op, node.op.packing_saves(node), added))
    return found


def added_bytes(nodes: list[Node], node: Node, plain: Op, packed: Op) -> int:
    """Flash that the packed tables take more than what they stand for."""
    whole, call = plain.lower(node), packed.lower(node)
    assert whole is not None and call is not None
    gone = {t for t in whole.args if isinstance(t, Tensor)} - set(call.args)
    others = {t for other in nodes if other is not node for t in other.inputs}
    spared = sum(t.type.nbytes for t in gone - others if t.role is Role.CONST)
    return table_bytes(call) - table_bytes(whole) - spared


def table_bytes(call: KernelCall) -> int:
    return sum(int(arg.data.nbytes) for arg in call.args if isinstance(arg, Table))


def constant_bytes(graph: Graph, state: list[Tensor]) -> int:
    """Bytes of flash of the constants; equal ones are there once."""
    calls = [call for node in graph.nodes if (call := node.op.lower(node)) is not None]
    read = {t for call in calls for t in call.tensors}
    frozen = sum(t.type.nbytes for t in read if t.role is Role.CONST)
    initial = sum(t.type.nbytes for t in state if t.initial is not None)
    tables = {
        (arg.data.dtype.str, arg.data.tobytes())
        for call in calls
        for arg in call.args
        if isinstance(arg, Table)
    }
    params = {(call.struct, *call.params.items()) for call in calls}
    return (
        frozen
        + initial
        + sum(len(data) for _, data in tables)
        + sum(4 * (len(fields) - 1) for fields in params)
    )


def too_small(graph: Graph, flash: int, taken: int) -> BudgetError:
    weights = {t for t in graph.tensors if t.role is Role.CONST}
    largest = sorted(weights, key=lambda t: -t.type.nbytes)[:NAMED]
    named = ", ".join(f"'{t.label or t.name}' {t.type.nbytes:,}" for t in largest)
    return BudgetError(
        f"--flash {flash:,}: the model's constants alone take {taken:,} bytes, though no weights "
        f"are packed; the largest are {named}",
        taken,
        flash,
    )
