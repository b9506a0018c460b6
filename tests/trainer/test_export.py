# SPDX-License-Identifier: Apache-2.0
"""Exported files: tflite-micro computes the trained network's bits; the rest is kept."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.export import export_model
from mcutrain.trainer.graph.tensor import Role
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.options import Activation, FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, write_model
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.metadata import TRAINING_STATE
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from tests.support.damage import mutate
from tests.support.export_models import (
    conv_head,
    described_model,
    float_edges,
    keras_tail,
    pooled_head,
    share_tensor,
)
from tests.support.exports import (
    PARTIAL,
    SCHEMES,
    assert_micro_equals,
    assert_states_equal,
    exported,
    going_on,
    micro,
    sample_of,
    train,
)
from tests.support.file_views import CONSTANTS, data_positions, plain, share_buffer
from tests.support.small_models import activation, bias, residual_model, weights
from tests.support.steps import assert_steps_are_equal

REAL = {
    "mlperf-tiny/kws_ref_model": 10,
    "mlperf-tiny/pretrainedResnet_quant": 3,
    "tflite-micro/person_detect": 5,
    "tiny-training/mcunet-5fps_int8": 10,
}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("classes", [None, 2, 3, 4, 20, 100])
def test_tflite_micro_computes_the_trained_logits(name: str, classes: int | None) -> None:
    data = residual_model()
    plan = make_plan(parse(data, "small"), PlanOptions(SCHEMES[name], classes))
    trained = train(Interpreter(plan, seed=5), 0, 6)
    result = exported(data, trained)

    assert_micro_equals(result, trained)
    assert all(at % 16 == 0 for at in data_positions(result))
    assert parse(result, "again").output.type.shape == (1, plan.classes)
    assert compacted(result) == result


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN"])
@pytest.mark.parametrize(
    "options", [{}, {"classes": 3}, {"classes": 11}, {"spare_classes": 2}], ids=str
)
def test_a_head_before_a_pool(kind: str, options: dict[str, int], tmp_path: Path) -> None:
    data = pooled_head(kind)
    plan = make_plan(parse(data, "m"), PlanOptions("full", **options))
    new = exported(data, train(Interpreter(plan, 1), 0, 5))

    if plan.task.active is None:
        assert_micro_equals(new, train(Interpreter(plan, 1), 0, 5))
    assert_steps_are_equal(plan, tmp_path, 6)


@pytest.mark.parametrize("classes", [None, 2, 9])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("in_options", [True, False])
@pytest.mark.parametrize("code", [Activation.NONE, Activation.RELU, Activation.RELU6])
def test_a_convolution_as_head(
    classes: int | None, with_bias: bool, in_options: bool, code: Activation
) -> None:
    data = conv_head(with_bias, in_options, code)
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("full", classes)), 1), 0, 5)
    new = exported(data, trained)

    assert_micro_equals(new, trained)
    patch = TflitePatch(new)
    assert patch.activation(1) == (code if classes is None else 0)
    assert (patch.inputs[1][2] >= 0) == (with_bias or classes is not None)
    assert in_options or patch.contents(7, "<i4").tolist() == [-1, classes or 4]
    assert not in_options or patch.new_shape(2) == [1, classes or 4]


@pytest.mark.parametrize("tail", ["SQUEEZE", "PACK"])
def test_shapes_and_zero_points_behind_a_new_head(tail: str) -> None:
    data = keras_tail(tail)
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head", 9)), 1), 0, 6)
    new = exported(data, trained)
    run = micro(new)
    for k in range(3):
        outputs = run.run(sample_of(trained.plan, 40 + k))
        expected = trained.infer(sample_of(trained.plan, 40 + k))

        np.testing.assert_array_equal(outputs[-2].ravel(), expected)
        np.testing.assert_array_equal(outputs[-1].ravel(), expected.astype(np.int16) + 128)
    assert outputs[-1].shape == (1, 9)
    assert tail == "SQUEEZE" or TflitePatch(new).contents(8, "<i4").tolist() == [9]


def test_an_operator_that_cannot_follow_a_new_head_is_named() -> None:
    trained = Interpreter(make_plan(parse(residual_model(), "m"), PlanOptions("head", 9)), 1)
    patch = TflitePatch(residual_model())
    patch.set_inputs(3, [3, 16])  # ADD reads the logits

    with pytest.raises(ModelError, match=r"operator 3 \(ADD\) reads the head"):
        exported(patch.finish(), trained)


def test_float_edges_follow_a_new_head() -> None:
    data = float_edges()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head", 6)), 1), 0, 8)
    new = exported(data, trained)
    run = micro(new)
    for k in range(4):
        sample = sample_of(trained.plan, 100 + k)
        real = (sample.astype(np.float32) + 3) * np.float32(0.05)
        outputs = run.run(real)

        np.testing.assert_array_equal(outputs[0], sample)
        np.testing.assert_array_equal(outputs[1].ravel(), trained.infer(sample))
        np.testing.assert_array_equal(outputs[3], (outputs[2].astype(np.float32) + 128) / 256)


def test_a_head_of_one_output_before_a_logistic() -> None:
    rng = np.random.default_rng(4)
    tensors = [
        activation("x", (1, 7), 0.05, -3), weights("w", (1, 7), 0, rng), bias("b", 1, rng),
        activation("logit", (1, 1), 0.1, 5), activation("p", (1, 1), 1 / 256, -128),
    ]  # fmt: skip
    ops = [
        WriterOp("FULLY_CONNECTED", ("x", "w", "b"), ("logit",), FullyConnectedOptions()),
        WriterOp("LOGISTIC", ("logit",), ("p",)),
    ]
    data = write_model(tensors, ops, ["x"], ["p"])
    for classes in (None, 1):
        trained = Interpreter(make_plan(parse(data, "m"), PlanOptions("head", classes)), 1)
        for k in range(8):
            trained.step(sample_of(trained.plan, k), k % 2)
        new = exported(data, trained)
        sample = sample_of(trained.plan, 9)

        assert trained.state[trained.plan.learned[0]].any()
        np.testing.assert_array_equal(micro(new).run(sample)[0].ravel(), trained.infer(sample))
        assert_states_equal(going_on(new), trained)


def test_an_autoencoder(models: Path) -> None:
    data = (models / "mlperf-tiny/ad01_int8.tflite").read_bytes()
    plan = make_plan(parse(data, "m"), PlanOptions("last:3", loss="reconstruction"))
    trained = Interpreter(plan, seed=1)
    for k in range(5):
        trained.step(sample_of(plan, k))
    new = exported(data, trained, loss="reconstruction")
    sample = sample_of(plan, 9)

    np.testing.assert_array_equal(micro(new).run(sample)[-1].ravel(), trained.infer(sample))
    assert_states_equal(going_on(new, loss="reconstruction"), trained)


@pytest.mark.parametrize("classes", [None, 7])
def test_what_was_not_learned_is_kept(classes: int | None) -> None:
    schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
    data = described_model(schema)
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head", classes)), 1), 0, 5)
    new = exported(data, trained)
    old_model, new_model = (schema.ModelT.InitFromPackedBuf(d, 0) for d in (data, new))

    assert new_model.description == b"made by a test"
    assert plain(new_model.signatureDefs) == plain(old_model.signatureDefs)
    assert plain(new_model.operatorCodes) == plain(old_model.operatorCodes)
    assert [m.name for m in new_model.metadata] == [
        b"min_runtime_version", TRAINING_STATE.encode(),
    ]  # fmt: skip
    assert bytes(new_model.buffers[new_model.metadata[0].buffer].data) == b"1.14.0"
    graphs = old_model.subgraphs[0], new_model.subgraphs[0]
    assert plain(graphs[0].operators) == plain(graphs[1].operators)
    head = {14, 15, 16, 17} if classes else set()
    for k, (old, kept) in enumerate(zip(graphs[0].tensors, graphs[1].tensors, strict=True)):
        if k not in head:
            assert plain(old) == plain(kept)
        if k in CONSTANTS and k not in (14, 15):
            assert plain(old_model.buffers[old.buffer]) == plain(new_model.buffers[kept.buffer])
    assert list(graphs[1].tensors[17].shapeSignature) == [-1, classes or 4]
    assert_micro_equals(new, trained)


@pytest.mark.parametrize("how", ["buffer", "tensor"])
def test_a_constant_shared_with_a_frozen_layer_changes_for_one_only(how: str) -> None:
    data = residual_model()
    data = share_buffer(data, 5, 2) if how == "buffer" else share_tensor(data, 1, 2, 2)
    scheme = Scheme("one bias", {3: 1.0}, frozenset({1, 3}))
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(scheme)), 1), 0, 8)
    learned = next(t for t in trained.plan.learned if t.name == "depthwise_conv_2d_1_b")
    assert (trained.state[learned] != learned.data).any()
    new = exported(data, trained)

    assert_micro_equals(new, trained)
    layers = parse(new, "m").weighted
    np.testing.assert_array_equal(layers[0].inputs[2].data, learned.data)
    np.testing.assert_array_equal(layers[1].inputs[2].data, trained.state[learned])


@pytest.mark.parametrize("classes", [None, 3])
def test_spare_classes_are_left_out_until_they_are_used(classes: int | None) -> None:
    data, options = residual_model(), {"spare_classes": 4}
    plan = make_plan(parse(data, "m"), PlanOptions("last:2", classes, **options))
    trained = train(Interpreter(plan, seed=4), 0, 6)
    trained.set_classes(trained.classes + 1)
    train(trained, 6, 12)
    used = trained.classes
    new = exported(data, trained)
    run = micro(new)
    for k in range(3):
        sample = sample_of(plan, 50 + k)
        outputs = run.run(sample)
        np.testing.assert_array_equal(outputs[6].ravel(), trained.infer(sample)[:used])
        assert outputs[7].shape == (1, used)
    continued = going_on(new, spare_classes=plan.classes - used)

    assert_states_equal(continued, trained)
    assert_states_equal(train(continued, 12, 15), train(trained, 12, 15))


def test_a_cut_model_is_exported_whole() -> None:
    data = residual_model()
    plan = make_plan(parse(data, "m"), PlanOptions("head", 3, start="pool"))
    trained = train(Interpreter(plan, seed=4), 0, 9)
    new = exported(data, trained)
    run = micro(new)
    for k in range(3):
        sample = np.random.default_rng(k).integers(-128, 128, (1, 9, 7, 3)).astype(np.int8)
        outputs = run.run(sample)

        np.testing.assert_array_equal(outputs[6].ravel(), trained.infer(outputs[4]))
    assert_states_equal(going_on(new, start="pool"), trained)


def test_a_file_without_training_state() -> None:
    data = residual_model()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head")), 1), 0, 5)
    first = exported(data, trained)
    plain = export_model(data, trained.plan, trained.state, resumable=False)
    taken = export_model(first, trained.plan, trained.state, resumable=False)

    assert len(plain) == len(data)
    assert parse(taken, "m").training_state is None
    assert_micro_equals(plain, trained)
    assert_micro_equals(taken, trained)


def test_another_file_is_refused() -> None:
    trained = Interpreter(make_plan(parse(residual_model(), "m"), PlanOptions("full")))

    with pytest.raises(ModelError, match="not the one that was trained"):
        exported(conv_head(True, True, Activation.NONE), trained)


def test_damaged_files_give_a_file_or_a_model_error() -> None:
    data = residual_model()
    trained = train(Interpreter(make_plan(parse(data, "m"), PlanOptions(PARTIAL, None)), 8), 0, 3)
    new_head = train(Interpreter(make_plan(parse(data, "m"), PlanOptions("head", 9)), 8), 0, 3)
    good = exported(data, trained)
    rng, written = random.Random(3), 0
    for k in range(300):
        run = trained if k % 2 else new_head
        try:
            exported(mutate(data if k % 3 else good, rng), run)
            written += 1
        except ModelError:
            pass
    assert 0 < written < 300


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("keep", [True, False])
def test_real_models(name: str, keep: bool, models: Path) -> None:
    data = (models / f"{name}.tflite").read_bytes()
    update = "head" if "mcunet" in name else "last:2"
    plan = make_plan(parse(data, "m"), PlanOptions(update, None if keep else REAL[name]))
    trained = train(Interpreter(plan, seed=6), 0, 2)
    result = exported(data, trained)

    assert_micro_equals(result, trained, 2)
    state = sum(t.type.nbytes for t in plan.learning.state if t.role in (Role.PARAM, Role.STATE))
    assert len(result) < len(data) + 2 * state + 4096
