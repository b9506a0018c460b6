# SPDX-License-Identifier: Apache-2.0
"""Prints a kernel call."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.c import comment
from codegen.image import Call, Image
from trainer.ops.base import Arg, Row, Scratch, Table
from trainer.tensor import Role, Tensor


def call_lines(image: Image, call: Call, rows: dict[Row, str] | None = None) -> Iterator[str]:
    """A comment and the call; ``rows`` are the names of the rows that it takes."""
    args = [argument(image, call, arg, rows or {}) for arg in call.call.args]
    if call.params is not None:
        args.insert(0, f"&{call.params.name}")
    macs = call.node.op.macs(call.node)
    yield comment(f"{call.node!r}" + (f"  {macs} MACs" if macs else ""))
    yield f"mct_{call.call.kernel}({', '.join(args)});"


def argument(image: Image, call: Call, arg: Arg, rows: dict[Row, str]) -> str:
    if arg is None:
        return "NULL"
    if isinstance(arg, Row):
        return rows[arg]
    if isinstance(arg, Table):
        return call.tables[arg]
    if isinstance(arg, Scratch):
        offset = image.plan.memory.slots[call.node].offset
        return f"(void *)&{image.plan.name}_arena[{offset}]"
    if isinstance(arg, Tensor):
        return image.frozen[arg].name if arg.role is Role.CONST else arg.name
    ctype, names = arg[0].type.dtype.c, (argument(image, call, tensor, rows) for tensor in arg)
    return f"(const {ctype} *const[]){{{', '.join(names)}}}"
