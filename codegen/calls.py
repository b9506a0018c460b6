# SPDX-License-Identifier: Apache-2.0
"""Prints a kernel call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcutrain.codegen.c import comment, filled
from mcutrain.codegen.image import Call, Image
from mcutrain.codegen.names import in_ram
from mcutrain.trainer.graph.call import Arg, Scratch, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor

Names = Mapping[Arg, str]


def call_lines(image: Image, call: Call, depth: int, names: Names | None = None) -> Iterator[str]:
    """A comment and the call, for an indentation of ``depth``; ``names`` are those of what a region
    gives it."""
    macs = call.node.op.macs(call.node)
    yield from comment(f"{call.node!r}" + (f"  {macs} MACs" if macs else ""), depth)
    yield from statement(image, call, depth, names or {})


def statement(image: Image, call: Call, depth: int, names: Names) -> Iterator[str]:
    args = [text for arg in call.call.args for text in argument(image, call, arg, names)]
    if call.params is not None:
        args.insert(0, f"&{call.params.name}")
    yield from filled(f"mct_{call.call.kernel}(", args, ");", depth)


def argument(image: Image, call: Call, arg: Arg, names: Names) -> list[str]:
    """The argument's parts, between which a line may end."""
    if arg is None:
        return ["NULL"]
    if arg in names:
        return [names[arg]]
    if isinstance(arg, Table):
        return [call.tables[arg]]
    if isinstance(arg, Scratch):
        return [scratch(image, call.node)]
    if isinstance(arg, Tensor):
        is_frozen = arg.role is Role.CONST
        return [image.frozen[arg].name if is_frozen else in_ram(image.plan, arg)]
    assert isinstance(arg, tuple)
    items = [part for tensor in arg for part in argument(image, call, tensor, names)]
    items[0] = f"(const {arg[0].type.dtype.c} *const[]){{{items[0]}"
    items[-1] += "}"
    return items


def scratch(image: Image, node: Node) -> str:
    """The node's scratch memory."""
    slot = image.plan.memory.slots[node]
    return f"(void *)&{image.arena(slot.memory)}[{slot.offset}]"
