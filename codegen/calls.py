# SPDX-License-Identifier: Apache-2.0
"""Prints a kernel call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcutrain.codegen.c import NodeLine, comment, filled
from mcutrain.codegen.names import in_ram
from mcutrain.codegen.program import Call, Program
from mcutrain.trainer.graph.call import Arg, Scratch, Table
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor

Names = Mapping[Arg, str]


def call_lines(
    program: Program, call: Call, depth: int, names: Names | None = None
) -> Iterator[str]:
    """A comment and the call, for an indentation of ``depth``; ``names`` are those of what a region
    gives it."""
    macs = call.node.op.macs(call.node)
    yield from comment(f"{call.node!r}" + (f"  {macs} MACs" if macs else ""), depth)
    yield from statement(program, call, depth, names or {})


def statement(program: Program, call: Call, depth: int, names: Names) -> Iterator[str]:
    args = [text for arg in call.call.args for text in argument(program, call, arg, names)]
    if call.params is not None:
        args.insert(0, f"&{call.params.name}")
    for line in filled(f"mct_{call.call.kernel}(", args, ");", depth):
        yield NodeLine.of(call.node, line)


def argument(program: Program, call: Call, arg: Arg, names: Names) -> list[str]:
    """The argument's parts, between which a line may end."""
    if arg is None:
        return ["NULL"]
    if arg in names:
        return [names[arg]]
    if isinstance(arg, Table):
        return [call.tables[arg]]
    if isinstance(arg, Scratch):
        return [scratch(program, call.node)]
    if isinstance(arg, Tensor):
        is_frozen = arg.role is Role.CONST
        return [program.frozen[arg].name if is_frozen else in_ram(program.plan, arg)]
    assert isinstance(arg, tuple)
    items = [part for tensor in arg for part in argument(program, call, tensor, names)]
    items[0] = f"(const {arg[0].type.dtype.c} *const[]){{{items[0]}"
    items[-1] += "}"
    return items


def scratch(program: Program, node: Node) -> str:
    """The node's scratch memory."""
    slot = program.plan.memory.slots[node]
    return f"(void *)&{program.arena(slot.memory)}[{slot.offset}]"
