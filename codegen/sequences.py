# SPDX-License-Identifier: Apache-2.0
"""Prints the part of a model that keeps state: it begins, runs for one input, runs for a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcutrain.codegen.c import INDENT, comment, declared, filled, indented
from mcutrain.codegen.calls import call_lines
from mcutrain.codegen.names import in_ram, region_name
from mcutrain.codegen.program import Call, Program, SequenceCall
from mcutrain.trainer.graph.call import Arg, Scratch
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.planner.lifetimes import aligned
from mcutrain.trainer.planner.sequence import SequenceState

SINGLE = "single"  # the argument that is one input


def emit_sequences(program: Program) -> Iterator[str]:
    for call in program.sequences:
        names = tensor_names(program, call)
        yield from emit_states(program, call)
        yield from emit_begin(program, call, names)
        yield from emit_next(program, call, names)
        yield from emit_all(program, call)


def tensor_names(program: Program, call: SequenceCall) -> dict[Tensor, str]:
    """What the nodes' tensors are called; an alias as the tensor in whose bytes it lies."""
    sequence, owners = call.sequence, call.sequence.owners
    given = dict(zip(sequence.results, sequence.outputs, strict=True))
    found: dict[Tensor, str] = {}
    for tensor in (*owners, *(s.tensor for s in sequence.states)):
        owner = owners.get(tensor, tensor)
        if owner.role is Role.CONST:
            continue
        if owner is sequence.single:
            found[tensor] = SINGLE
        elif owner in given:
            found[tensor] = in_ram(program.plan, given[owner])
        elif owner in sequence.inside:
            found[tensor] = placed(program, call.node, owner, sequence.inside[owner].offset)
        else:
            found[tensor] = in_ram(program.plan, owner)
    return found


def placed(program: Program, node: Node, tensor: Tensor, offset: int) -> str:
    """A tensor in the node's scratch memory."""
    slot = program.plan.memory.slots[node]
    place = f"&{program.arena(slot.memory)}[{slot.offset + offset}]"
    return f"({tensor.type.dtype.c} *)(void *){place}"


def emit_states(program: Program, call: SequenceCall) -> Iterator[str]:
    """Static memory of what goes on from input to input, and the names of what lies there."""
    sequence, name = call.sequence, f"{region_name(program, call)}_states"
    yield from declared("static _Alignas(4) uint8_t", name, f"[{sequence.state_bytes}];")
    offset = 0
    for state in sequence.states:
        type_ = state.tensor.type
        value = f"({type_.dtype.c} *)(void *)&{name}[{offset}];"
        pointer = in_ram(program.plan, state.tensor)
        yield from declared(f"static {type_.dtype.c} *const", pointer, " =")
        yield f"{INDENT}{value}"
        offset += aligned(type_.nbytes, type_.alignment)
    yield ""


def emit_begin(program: Program, call: SequenceCall, names: Mapping[Tensor, str]) -> Iterator[str]:
    yield f"static void {region_name(program, call)}_begin(void)"
    yield "{"
    for state in call.sequence.states:
        yield from indented(initialised(program, state, names[state.tensor]))
    yield "}"
    yield ""


def initialised(program: Program, state: SequenceState, name: str) -> Iterator[str]:
    nbytes = f"{state.tensor.type.nbytes}u"
    if (constant := program.initial.get(state.tensor)) is not None:
        args = [name, constant.name, "0u", nbytes]
        yield from filled("MCT_COPY_FROM_FLASH(", args, ");", 1)
    else:
        yield from filled("memset(", [name, str(state.initial.tobytes()[0]), nbytes], ");", 1)


def emit_next(program: Program, call: SequenceCall, names: Mapping[Tensor, str]) -> Iterator[str]:
    """The nodes for one input, and what their states become."""
    yield f"static void {region_name(program, call)}_next(const int8_t *{SINGLE})"
    yield "{"
    for stage in call.stages:
        yield f"{INDENT}mct_port_alive();"
        yield from indented(call_lines(program, stage, 1, args_of(program, call, stage, names)))
    for state in call.sequence.states:
        args = [names[state.tensor], names[state.following], f"{state.tensor.type.nbytes}u"]
        yield from indented(filled("memcpy(", args, ");", 1))
    yield "}"
    yield ""


def args_of(
    program: Program, call: SequenceCall, stage: Call, names: Mapping[Tensor, str]
) -> dict[Arg, str]:
    found: dict[Arg, str] = {}
    for arg in stage.call.args:
        for tensor in arg if isinstance(arg, tuple) else (arg,):
            if isinstance(tensor, Tensor) and tensor in names:
                found[tensor] = names[tensor]
    if Scratch() in stage.call.args:
        slot = program.plan.memory.slots[call.node]
        offset = slot.offset + call.sequence.inside[stage.node].offset
        found[Scratch()] = f"(void *)&{program.arena(slot.memory)}[{offset}]"
    return found


def emit_all(program: Program, call: SequenceCall) -> Iterator[str]:
    """The nodes for each input of a sample."""
    sequence, name = call.sequence, region_name(program, call)
    window = in_ram(program.plan, sequence.window)
    yield from comment(f"A sequence of {sequence.steps} inputs.")
    yield f"static void {name}(void)"
    yield "{"
    yield f"{INDENT}{name}_begin();"
    yield f"{INDENT}for (int32_t k = 0; k < {sequence.steps}; k++) {{"
    args = [f"{window} + k * {sequence.single.type.nbytes}"]
    yield from indented(filled(f"{name}_next(", args, ");", 2), 2)
    yield f"{INDENT}}}"
    yield "}"
    yield ""
