# SPDX-License-Identifier: Apache-2.0
"""Prints a kernel call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcutrain.codegen.c import comment
from mcutrain.codegen.image import Call, Image
from mcutrain.trainer.graph.call import Arg, Scratch, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor

Names = Mapping[Arg, str]


def call_lines(image: Image, call: Call, names: Names | None = None) -> Iterator[str]:
    """A comment and the call; ``names`` are those of what a region gives it."""
    macs = call.node.op.macs(call.node)
    yield comment(f"{call.node!r}" + (f"  {macs} MACs" if macs else ""))
    yield statement(image, call, names or {})


def statement(image: Image, call: Call, names: Names) -> str:
    args = [argument(image, call, arg, names) for arg in call.call.args]
    if call.params is not None:
        args.insert(0, f"&{call.params.name}")
    return f"mct_{call.call.kernel}({', '.join(args)});"


def argument(image: Image, call: Call, arg: Arg, names: Names) -> str:
    if arg is None:
        return "NULL"
    if arg in names:
        return names[arg]
    if isinstance(arg, Table):
        return call.tables[arg]
    if isinstance(arg, Scratch):
        return scratch(image, call.node)
    if isinstance(arg, Tensor):
        return image.frozen[arg].name if arg.role is Role.CONST else arg.name
    assert isinstance(arg, tuple)
    ctype, items = arg[0].type.dtype.c, (argument(image, call, tensor, names) for tensor in arg)
    return f"(const {ctype} *const[]){{{', '.join(items)}}}"


def scratch(image: Image, node: Node) -> str:
    """The node's scratch memory."""
    slot = image.plan.memory.slots[node]
    return f"(void *)&{image.arena(slot.memory)}[{slot.offset}]"
