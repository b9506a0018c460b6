# SPDX-License-Identifier: Apache-2.0
"""Which frozen weights lie in flash as nibbles, where that is asked for, and which cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcutrain.trainer.graph.call import KernelCall, Table
from mcutrain.trainer.graph.op import Layout, Node, Op, as_in_file, in_layout
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.int4 import GREATEST, LEAST
from mcutrain.trainer.notes import Note
from mcutrain.trainer.ops.nibbles import fit_nibbles, is_frozen_layer

NAMED = 3  # layers that a note names


def store_nibbles(nodes: list[Node]) -> None:
    """Gives the weights of every frozen layer among ``nodes`` that can have them as nibbles: where
    every operator that reads them has a kernel for it, and flash is saved. No bit changes."""
    readers: dict[Tensor, list[Node]] = {}
    for node in nodes:
        for tensor in dict.fromkeys(node.inputs):
            readers.setdefault(tensor, []).append(node)
    layers = (node for node in nodes if is_frozen_layer(node))
    for w in dict.fromkeys(node.inputs[1] for node in layers):
        found = [(node, in_layout(node, Layout.NIBBLES)) for node in readers[w]]
        chosen = [(node, op) for node, op in found if op is not None]
        if len(chosen) == len(found) and saves_flash(chosen):
            for node, op in chosen:
                node.op = op


def saves_flash(chosen: list[tuple[Node, Op]]) -> bool:
    now = flash_bytes(node.op.lower(node) for node, _ in chosen)
    return flash_bytes(op.lower(node) for node, op in chosen) < now


def flash_bytes(calls: Iterable[KernelCall | None]) -> int:
    """Of the constants that the calls read; what is equal is there once."""
    tensors, tables = set[Tensor](), set[bytes]()
    for call in calls:
        assert call is not None
        tensors.update(t for t in call.tensors if t.role is Role.CONST)
        tables.update(arg.data.tobytes() for arg in call.args if isinstance(arg, Table))
    return sum(t.type.nbytes for t in tensors) + sum(map(len, tables))


def nibble_layers(nodes: list[Node]) -> list[Node]:
    """The nodes whose weights are nibbles."""
    return [node for node in nodes if node.op.layout is Layout.NIBBLES]


def saved_bytes(nodes: list[Node]) -> int:
    """Flash that the nibbles among ``nodes`` save."""
    layers = nibble_layers(nodes)
    plain = flash_bytes(as_in_file(node.op).lower(node) for node in layers)
    return plain - flash_bytes(node.op.lower(node) for node in layers)


def int8_notes(nodes: list[Node]) -> Iterator[Note]:
    """Of a plan whose frozen weights are to be nibbles: which are not, and why."""
    int8 = [n for n in nodes if is_frozen_layer(n) and n.op.layout is not Layout.NIBBLES]
    yield from beyond_range([n for n in int8 if not fit_nibbles(n)])
    yield from without_kernels([n for n in int8 if fit_nibbles(n)])


def beyond_range(layers: list[Node]) -> Iterator[Note]:
    if layers:
        nbytes = spare_bytes(layers)
        text = (
            f"{named(layers)}: weights beyond {LEAST}..{GREATEST} stay int8, which takes "
            f"{nbytes:,} bytes of flash more than int4: `mcutrain shrink MODEL --data D --frozen "
            "int4` quantises them"
        )
        yield Note(layers[0].name, "weights beyond int4", float(nbytes), text)


def without_kernels(layers: list[Node]) -> Iterator[Note]:
    if layers:
        nbytes = spare_bytes(layers)
        text = (
            f"{named(layers)}: weights that fit int4 stay int8, in {nbytes:,} bytes of flash more: "
            "the backward pass reads them too, or the operator has no kernel for int4, or the "
            "layer is so small that int4 would save nothing"
        )
        yield Note(layers[0].name, "int8 kernels alone", float(nbytes), text)


def spare_bytes(layers: list[Node]) -> int:
    """What int4 would take less."""
    return sum(w.type.size // 2 for w in {node.inputs[1] for node in layers})


def named(layers: list[Node]) -> str:
    """The first layers by name, and how many more.

    >>> named([Node(Op(), (), (), name, 0) for name in ("a", "b", "c", "d", "e")])
    'a, b, c and 2 more'
    """
    names = [node.name for node in layers]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
