# SPDX-License-Identifier: Apache-2.0
"""Of a file that cannot be trained as it is, the part that can be is found, and named."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.making.writer import WriterOp
from mcutrain.trainer.options import WHOLE, Section
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.tflite.sections import largest_of, load_or_advise
from tests.support.command import Run
from tests.support.counting import lines_of
from tests.support.file_parts import Parts, parts
from tests.support.mutations import packed, unpacked
from tests.support.odd_models import odd_model
from tests.support.random_networks import random_network
from tests.support.small_models import residual_model


def found(data: bytes) -> Section | None:
    model = largest_of(data, "m")
    return None if model is None else model.section


def with_odd(position: int, reads: str, writes: str) -> Parts:
    """A convolution and a fully connected layer, and before one of them an unknown operator."""
    p = parts()
    p.tensors[writes] = replace(p.tensors[reads], name=writes)
    p.ops.insert(position, WriterOp("CUMSUM", (reads,), (writes,)))
    behind = p.ops[position + 1]
    p.op(position + 1, inputs=(writes, *behind.inputs[1:]))
    return p


def test_the_longest_tail_begins_behind_the_last_obstacle() -> None:
    assert found(odd_model()) == Section("latent", "scores")
    assert found(with_odd(0, "x", "q").write()) == Section("q")
    assert found(with_odd(1, "a", "q").write()) == Section("q")


def test_a_whole_model_is_its_own_largest_section() -> None:
    assert found(residual_model()) == WHOLE


def test_of_several_outputs_that_is_taken_which_most_leads_to() -> None:
    p = parts()
    p.outputs = ["a", "y"]

    assert found(p.write()) == Section(None, "y")


def test_where_no_tail_has_a_layer_the_part_before_the_obstacle_is_taken() -> None:
    p = parts()
    p.tensors["z"] = replace(p.tensors["y"], name="z")
    p.ops.append(WriterOp("CUMSUM", ("y",), ("z",)))
    p.outputs = ["z"]

    assert found(p.write()) == Section(None, "y")


def test_names_that_converters_join_are_those_of_operators() -> None:
    p = with_odd(0, "x", "q")
    p.tensors["q"] = replace(p.tensors["q"], name="q;joined/with/another")
    p.op(0, outputs=("q;joined/with/another",))
    p.op(1, inputs=("q;joined/with/another", "w", "b"))

    assert found(p.write()) == Section("cumsum_0")


def test_what_is_no_int8_has_no_section() -> None:
    p = parts()
    for name in ("x", "a", "y"):
        p.change(name, dtype="int16")

    assert found(p.write()) is None


def test_it_is_read_as_it_is_named() -> None:
    """Of random networks with an operator that is unknown."""
    sections = 0
    for seed in range(8):
        file = unpacked(random_network(seed))
        file.operatorCodes[seed % len(file.operatorCodes)].builtinCode = 128
        file.operatorCodes[seed % len(file.operatorCodes)].deprecatedBuiltinCode = 127
        data = packed(file)
        model = largest_of(data, "m")
        if model is not None:
            again = parse(data, "m", "m", model.section)
            assert [str(n) for n in again.graph.nodes] == [str(n) for n in model.graph.nodes]
            sections += 1
    assert sections > 3


def test_the_work_grows_with_the_operators_and_no_faster_than_their_pairs() -> None:
    def lines(operators: int) -> int:
        p = parts()
        names = ["x", *(f"t{k}" for k in range(operators))]
        for before, name in pairwise(names):
            p.tensors[name] = replace(p.tensors["x"], name=name)
            p.ops.insert(len(p.ops) - 2, WriterOp("CUMSUM", (before,), (name,)))
        p.op(operators, inputs=(names[-1], "w", "b"))
        return lines_of(lambda: largest_of(p.write(), "m"))

    few, many = lines(8), lines(32)
    assert many < 20 * few


def test_messages_and_inspect_name_it(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd one.tflite"
    path.write_bytes(odd_model())
    with pytest.raises(ModelError, match=r"or train a part of it: --from latent --to scores$"):
        load_or_advise(path)

    told, listed = run("inspect", path), run("inspect", path, "--json")
    command = f"mcutrain plan '{path}' --from latent --to scores"
    assert told.status == 1 and command in told.out.replace("\n", "")
    section = json.loads(listed.out)["section"]
    assert section["command"] == command
    assert (section["from"], section["to"]) == ("latent", "scores")
    assert (section["operators"], section["layers"], section["input"]) == (4, 2, [1, 6, 5, 3])
    shown = run("inspect", path, "--from", "latent", "--to", "scores", "--json").json
    assert [row["operator"] for row in shown["layers"]] == [4, 6, 7, 8]
    assert shown["input"]["name"] == "latent" and shown["section"] is None
    assert run("plan", path, "--from", "latent", "--to", "scores").status == 0
    assert "'size'" in run("plan", path, "--from", "latent").err
