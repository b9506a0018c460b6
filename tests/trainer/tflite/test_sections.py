# SPDX-License-Identifier: Apache-2.0
"""A section of a file is read, and trained, whatever lies before it, behind it and beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, UnsupportedOpError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.writer import WriterOp
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import PlanOptions, Section
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.exports import exported, going_on, train
from tests.support.file_parts import parts
from tests.support.mutations import packed, unpacked
from tests.support.odd_models import CLASSES, LATENT, TRAINABLE, odd_model, plain_model
from tests.support.random_models import samples
from tests.support.small_models import activation, residual_model
from tests.support.steps import assert_steps_are_equal


def read(section: Section = TRAINABLE, data: bytes | None = None) -> Model:
    return parse(data or odd_model(), "odd", "odd.tflite", section)


def test_a_section_needs_nothing_of_what_lies_around_it() -> None:
    model, plain = read(), parse(plain_model(), "plain")

    assert [node.name for node in model.graph.nodes] == [
        "conv_2d_4", "reshape_6", "fully_connected_7", "softmax_8"
    ]  # fmt: skip
    assert (model.input.label, model.output.label) == ("latent", "scores")
    assert model.input.type.shape == LATENT and model.classes == CLASSES
    part, whole = (Interpreter(make_plan(m)) for m in (model, plain))
    for sample in samples(LATENT, 3, 0):
        np.testing.assert_array_equal(part.infer(sample), whole.infer(sample))


def test_a_section_trains_in_c_as_in_the_reference(tmp_path: Path) -> None:
    plan = make_plan(read(), PlanOptions("full", start="latent", end="scores"))

    assert_steps_are_equal(plan, tmp_path, 6)


@pytest.mark.parametrize(
    ("start", "end", "operators"),
    [
        ("latent", "size", ["conv_2d_4", "reshape_6", "fully_connected_9"]),
        ("round_1", "logits", ["conv_2d_4", "reshape_6", "fully_connected_7"]),
        ("conv", "fully_connected_7", ["reshape_6", "fully_connected_7"]),
        ("conv_2d_4", "conv", None),
    ],
)
def test_ends_are_named_by_tensor_or_by_operator(
    start: str, end: str, operators: list[str] | None
) -> None:
    if operators is None:
        with pytest.raises(ModelError, match="'conv' is not computed from 'conv_2d_4'"):
            read(Section(start, end))
    else:
        assert [node.name for node in read(Section(start, end)).graph.nodes] == operators


def test_of_several_outputs_the_message_names_each_and_how_to_choose() -> None:
    with pytest.raises(ModelError) as refused:
        read(Section("latent"))

    message = str(refused.value)
    assert "has 2 outputs: 'scores' (1, 4), 'size' (1, 2); one is needed" in message
    assert "choose one, as by --to scores" in message
    assert "real" not in message  # it does not lie behind the start


def test_the_one_output_behind_the_start_needs_no_choice() -> None:
    p = parts()
    p.outputs = ["y", "a"]

    assert parse(p.write(), "m", "m", Section("a")).output.label == "y"


def contents(file: Any, tensor: Any) -> list[int]:
    data = file.buffers[tensor.buffer].data
    return [] if data is None else list(data)


def of(file: Any, name: bytes) -> int:
    return [t.name for t in file.subgraphs[0].tensors].index(name)


def test_inputs_that_do_not_lead_to_the_output_are_no_inputs() -> None:
    p = parts()
    p.tensors["z"] = activation("z", (1, 7), 0.1, 0)
    p.inputs = ["z", "x"]

    assert parse(p.write(), "m").input.label == "x"


def test_what_is_read_behind_the_start_must_be_computed_from_it() -> None:
    with pytest.raises(UnsupportedOpError, match="'odd' is int16; int8 activations"):
        read(Section("odd", "scores"))
    with pytest.raises(ModelError) as refused:
        parse(residual_model(), "m", "m.tflite", Section("dw"))
    assert "m.tflite cannot be cut at 'dw': operator 3 (ADD, output 'sum') behind it also reads " \
        "'stem', which is computed before it" in str(refused.value)  # fmt: skip


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (Section("latant"), "no activation 'latant'; like it: latent"),
        (Section(end="scors"), "no activation 'scors'; like it: scores"),
        (Section("scores"), "has no layer behind 'scores': nothing can learn"),
        (Section("conv_w"), "no activation 'conv_w'; like it: conv"),
        (Section("logits", "scores"), "no layer with weights behind 'logits', up to 'scores'"),
    ],
)
def test_ends_that_make_no_network_are_refused(section: Section, message: str) -> None:
    with pytest.raises(ModelError) as refused:
        read(section)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_tensors_of_one_name_are_told_apart_by_their_operators() -> None:
    file = unpacked(odd_model())
    file.subgraphs[0].tensors[of(file, b"odd")].name = b"latent"
    data = packed(file)
    with pytest.raises(ModelError, match=r"2 tensors 'latent': give one of cumsum_0, round"):
        read(TRAINABLE, data)

    assert read(Section("round_1", "scores"), data).input.type.shape == LATENT


@pytest.mark.parametrize("wanted", ["n" * 1000, "n" * 999])
def test_long_names_do_not_fill_the_screen(wanted: str) -> None:
    """One that two tensors have, and one that is like others."""
    file = unpacked(odd_model())
    for name in (b"odd", b"latent"):
        file.subgraphs[0].tensors[of(file, name)].name = b"n" * 1000
    with pytest.raises(ModelError, match=r"'n{48}\.\.\.n{48}'") as refused:
        read(Section(wanted), packed(file))

    assert len(str(refused.value)) < 600


def test_a_part_that_was_read_is_that_part_for_a_plan_too() -> None:
    part = make_plan(read(), PlanOptions(start="latent", end="scores"))
    whole = make_plan(read(), PlanOptions())
    inner = make_plan(read(), PlanOptions(start="conv", end="scores"))

    assert part.numerics_hash == whole.numerics_hash
    assert inner.task.input.label == "conv"


def test_a_model_in_memory_ends_where_it_is_told() -> None:
    model = parse(residual_model(), "m")
    plan = make_plan(model, PlanOptions("full", loss="mse", end="pw"))
    part = parse(residual_model(), "m", "m", Section(end="pw"))
    same = make_plan(part, PlanOptions("full", loss="mse"))

    assert plan.task.logits.label == "pw" and plan.numerics_hash == same.numerics_hash
    with pytest.raises(ModelError, match="no layer with weights before 'quantize_0'"):
        make_plan(parse(with_quantize(), "m"), PlanOptions(end="quantize_0"))


def with_quantize() -> bytes:
    """A model that begins with a QUANTIZE from int8 to int8."""
    p = parts()
    p.tensors["q"] = replace(p.tensors["x"], name="q", quant=QuantParams((0.25,), 1))
    p.ops.insert(0, WriterOp("QUANTIZE", ("x",), ("q",)))
    p.op(1, inputs=("q", "w", "b"))
    return p.write()


def test_the_tail_of_a_whole_model_has_the_same_bits_either_way() -> None:
    cut = make_plan(parse(residual_model(), "m"), PlanOptions("full", start="sum"))
    part = make_plan(parse(residual_model(), "m", "m", Section("sum")), PlanOptions("full"))

    assert cut.numerics_hash == part.numerics_hash
    assert [str(n) for n in cut.graph.nodes] == [str(n) for n in part.graph.nodes]


def test_what_a_section_learned_is_written_into_its_file() -> None:
    data = odd_model()
    plan = make_plan(read(), PlanOptions("full", start="latent", end="scores"))
    trained = train(Interpreter(plan, 3), 0, 7)
    new = exported(data, trained)

    continued = Interpreter(make_plan(read(TRAINABLE, new)))
    for sample in samples(LATENT, 2, 1):
        np.testing.assert_array_equal(continued.infer(sample), trained.infer(sample))
    old_file, new_file = unpacked(data), unpacked(new)
    assert len(new_file.subgraphs) == 2
    learned = {b"conv_w", b"conv_b", b"head_w", b"head_b"}
    for k, (old, now) in enumerate(zip(old_file.subgraphs, new_file.subgraphs, strict=True)):
        for t, u in zip(old.tensors, now.tensors, strict=True):
            is_same = np.array_equal(contents(old_file, t), contents(new_file, u))
            assert (t.name, t.shape.tolist(), t.type) == (u.name, u.shape.tolist(), u.type)
            assert is_same == (k != 0 or t.name not in learned), t.name
    assert going_on(new, start="latent", end="scores").steps == 7
