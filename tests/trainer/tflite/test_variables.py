# SPDX-License-Identifier: Apache-2.0
"""Variables of a file that make no sense are refused, and say where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.making.options import (
    AssignVariableOptions,
    CallOnceOptions,
    ReadVariableOptions,
    VarHandleOptions,
)
from mcutrain.trainer.making.writer import WriterGraph, WriterOp, WriterTensor
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.model_maker import ModelMaker
from tests.support.random_recurrent import add_handle, lstm, streaming, svdf

Change = Callable[[ModelMaker], None]


def made(change: Change, seed: int = 2) -> bytes:
    """A model of one stage, whose variable v0 begins with a constant."""
    make = ModelMaker(seed)
    streaming(make)
    assert [op.kind for op in make.ops[:2]] == ["VAR_HANDLE", "CALL_ONCE"]
    assert sum(op.kind == "VAR_HANDLE" for op in make.ops) == 1
    change(make)
    return make.finish()


def position(make: ModelMaker, kind: str) -> int:
    return next(k for k, op in enumerate(make.ops) if op.kind == kind)


def drop(kind: str) -> Change:
    return lambda make: make.ops.pop(position(make, kind)) and None


def double(kind: str) -> Change:
    def change(make: ModelMaker) -> None:
        k = position(make, kind)
        make.ops.insert(k, make.ops[k])

    return change


def never_assigned(make: ModelMaker) -> None:
    drop("ASSIGN_VARIABLE")(make)
    drop("CALL_ONCE")(make)


def called_late(make: ModelMaker) -> None:
    call = make.ops.pop(position(make, "CALL_ONCE"))
    make.ops.insert(position(make, "READ_VARIABLE") + 1, call)


def calls_itself(make: ModelMaker) -> None:
    k = position(make, "CALL_ONCE")
    make.ops[k] = replace(make.ops[k], options=CallOnceOptions(0))


def calls_nothing(make: ModelMaker) -> None:
    k = position(make, "CALL_ONCE")
    make.ops[k] = replace(make.ops[k], options=CallOnceOptions(7))


def calls_what_calls(make: ModelMaker) -> None:
    graph = make.others[0]
    again = WriterOp("CALL_ONCE", (), (), CallOnceOptions(1))
    make.others[0] = WriterGraph(graph.tensors, [*graph.ops, again])


def computes_first(make: ModelMaker) -> None:
    graph = make.others[0]
    first = graph.tensors[0]
    out = replace(first, name="twice", data=None)
    add = WriterOp("ADD", (first.name, first.name), ("twice",))
    make.others[0] = WriterGraph([*graph.tensors, out], [add, *graph.ops])


def assigns_twice_at_first(make: ModelMaker) -> None:
    graph = make.others[0]
    make.others[0] = WriterGraph(graph.tensors, [*graph.ops, graph.ops[-1]])


def other_shape(make: ModelMaker) -> None:
    graph = make.others[0]
    first = graph.tensors[0]
    assert first.data is not None
    shape = (*first.shape[:3], first.shape[3] + 1)
    wide = replace(first, shape=shape, data=np.zeros(shape, np.int8))
    make.others[0] = WriterGraph([wide, *graph.tensors[1:]], graph.ops)


def no_handle(make: ModelMaker) -> None:
    k = position(make, "READ_VARIABLE")
    make.ops[k] = replace(make.ops[k], inputs=("x",))


def handle_of_values(make: ModelMaker) -> None:
    k = next(k for k, t in enumerate(make.tensors) if t.dtype == "resource")
    make.tensors[k] = replace(make.tensors[k], dtype="int32")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (never_assigned, "the variable 'v0' is read, and nothing assigns it"),
        (double("ASSIGN_VARIABLE"), "assigns 'v0' a second time"),
        (double("READ_VARIABLE"), "writes a tensor that is already there"),
        (double("VAR_HANDLE"), "is no handle of its own"),
        (double("CALL_ONCE"), "runs the subgraph 1 again"),
        (called_late, "initialises 'v0' behind its first use"),
        (calls_itself, "runs the subgraph 0 of 2"),
        (calls_nothing, "runs the subgraph 7 of 2"),
        (calls_what_calls, "subgraph 1: operator 2 (CALL_ONCE, output none) runs once before"),
        (computes_first, "(ADD, output 'twice') runs once before the first inference"),
        (assigns_twice_at_first, "initialises 'v0' a second time"),
        (other_shape, "the variable has the type int8"),
        (no_handle, "input 0 is not the handle of a variable"),
        (handle_of_values, "gives a INT32, not a handle"),
        (drop("VAR_HANDLE"), "input 0 is not the handle of a variable"),
    ],
)  # fmt: skip
def test_it_is_refused(change: Change, cause: str) -> None:
    with pytest.raises(ModelError) as refused:
        parse(made(change), "odd", "odd.tflite")

    assert cause in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_variable_that_is_only_initialised_is_a_constant() -> None:
    model = parse(made(drop("ASSIGN_VARIABLE")), "constant")

    assert not model.states


def test_a_variable_that_is_read_behind_its_assignment_is_what_was_assigned() -> None:
    def change(make: ModelMaker) -> None:
        k = position(make, "ASSIGN_VARIABLE")
        old = next(t for t in make.tensors if t.name == "v0_new")
        make.tensors.append(replace(old, name="again"))
        make.ops.insert(
            k + 1, WriterOp("READ_VARIABLE", ("v0",), ("again",), ReadVariableOptions())
        )

    model = parse(made(change), "again")

    assert len(model.states) == 1


def test_a_variable_that_takes_another_one_is_no_sequence() -> None:
    def change(make: ModelMaker) -> None:
        old = next(t for t in make.tensors if t.name == "v0_old")
        add_handle(make.tensors, make.ops, "w")
        make.ops.insert(1, make.ops.pop())
        make.ops.append(make.ops.pop(position(make, "FULLY_CONNECTED")))
        last = make.ops.pop()
        make.tensors.append(replace(old, name="w_old"))
        make.ops += [
            WriterOp("READ_VARIABLE", ("w",), ("w_old",), ReadVariableOptions()),
            WriterOp("ASSIGN_VARIABLE", ("w", "v0_old"), (), AssignVariableOptions()),
            last,
        ]

    model = parse(made(change), "chain")
    if len(model.states) == 2:
        with pytest.raises(ModelError, match="which is not computed"):
            make_plan(model, PlanOptions(sequence_length=2))


@pytest.mark.parametrize("maker", [lstm, svdf], ids=["lstm", "svdf"])
def test_a_state_is_a_variable_of_one_operator(maker: Change) -> None:
    make = ModelMaker(1)
    maker(make)
    k = next(k for k, t in enumerate(make.tensors) if t.is_variable)
    variable = make.tensors[k]
    make.tensors[k] = replace(variable, is_variable=False)
    with pytest.raises(ModelError, match="yet no variable without a value"):
        parse(make.finish(), "odd")

    make.tensors[k] = replace(variable, quant=None)
    with pytest.raises(ModelError, match="of one scale"):
        parse(make.finish(), "odd")


def test_two_handles_of_one_name_are_one_variable() -> None:
    def change(make: ModelMaker) -> None:
        make.tensors.append(WriterTensor("other", (), "resource"))
        handle = WriterOp("VAR_HANDLE", (), ("other",), VarHandleOptions(shared_name="v0"))
        make.ops.insert(1, handle)
        k = position(make, "ASSIGN_VARIABLE")
        make.ops[k] = replace(make.ops[k], inputs=("other", make.ops[k].inputs[1]))

    assert len(parse(made(change), "two").states) == 1
