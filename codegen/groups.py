# SPDX-License-Identifier: Apache-2.0
"""Prints the regions that run by groups of channels: one function with a loop over the groups."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.c import INDENT, comment, indented
from mcutrain.codegen.calls import call_lines, scratch, statement
from mcutrain.codegen.names import in_ram, region_name
from mcutrain.codegen.program import Call, GroupCall, Program
from mcutrain.trainer.graph.call import Arg, Channels, Group, Scratch, Writer


def emit_groups(program: Program) -> Iterator[str]:
    for call in program.groups:
        yield from emit_group(program, call)


def emit_group(program: Program, call: GroupCall) -> Iterator[str]:
    region = call.region
    whole, size = region.channels, region.size
    yield from comment(f"A region; {size} of {whole} channels at a time.")
    yield f"static void {region_name(program, call)}(void)"
    yield "{"
    for stage in call.begin:
        for arg in stage.call.args:
            if isinstance(arg, Writer):
                yield f"{INDENT}mct_error_writer_{arg.suffix} {writer_name(stage)};"
    for stage in call.begin:
        yield from indented(statement(program, stage, 1, names_of(program, call, stage)))
    last = f"first + {size}"
    if whole % size:
        last = f"{last} < {whole} ? {last} : {whole}"
    yield f"{INDENT}for (int32_t first = 0; first < {whole}; first += {size}) {{"
    yield f"{INDENT * 2}const mct_channels group = {{first, {last}}};"
    yield f"{INDENT * 2}mct_port_alive();"
    for stage in call.parts:
        yield from indented(call_lines(program, stage, 2, names_of(program, call, stage)), 2)
    yield f"{INDENT}}}"
    for stage in call.end:
        yield from indented(statement(program, stage, 1, names_of(program, call, stage)))
    yield "}"
    yield ""


def writer_name(stage: Call) -> str:
    return f"{stage.node.name}_writer"


def names_of(program: Program, call: GroupCall, stage: Call) -> dict[Arg, str]:
    """How a stage's call names what the region gives it."""
    names: dict[Arg, str] = {}
    for arg in stage.call.args:
        if isinstance(arg, Group):
            names[arg] = "group"
        elif isinstance(arg, Writer):
            names[arg] = f"&{writer_name(stage)}"
        elif isinstance(arg, Scratch):
            names[arg] = scratch(program, call.node)
        elif isinstance(arg, Channels):
            is_parted, name = call.region.is_parted(arg.tensor), in_ram(program.plan, arg.tensor)
            step = call.region.size if is_parted else call.region.channels
            names[arg] = f"{name if is_parted else f'{name} + first'}, {step}"
    return names
