# SPDX-License-Identifier: Apache-2.0
"""Runs on label maps: data that are refused, figures by hand, augmentation, guard, chain."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.training.augmentation import Augmentation, Augmenter
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.evaluation import Evaluation, evaluate
from mcutrain.host.training.feed import decided_balance
from mcutrain.host.training.loop import train
from mcutrain.host.training.replay import train_stream
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.yardstick import constant_answer
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.ops.pixelwise_cross_entropy import IGNORED
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.segmentation import CLASSES, POSITIONS, SIDE, scenes, segmenter, write_task

BOARD = "sim:mps2_an386"


@lru_cache
def plan_of(**options: object) -> TrainingPlan:
    return make_plan(parse(segmenter(), "seg"), PlanOptions("head", **options))  # type: ignore[arg-type]


def saved(folder: Path, **arrays: Array) -> Path:
    x, y = scenes(3, 1)
    path = folder / "data.npz"
    np.savez(path, **{"x_train": x, "y_train": y, "x_test": x, "y_test": y, **arrays})  # type: ignore[arg-type]
    return path


def with_label(label: int) -> Array:
    y = scenes(3, 1)[1].astype(np.int64)
    y[1, 2, 3] = label
    return y


@pytest.mark.parametrize(
    "y",
    [
        scenes(3, 1)[1],
        scenes(3, 1)[1].astype(np.int64).reshape(3, POSITIONS**2 // 6, 6),
        scenes(3, 1)[1][..., np.newaxis],
    ],
)
def test_maps_of_any_integers_are_taken(y: Array, tmp_path: Path) -> None:
    data = load_dataset(saved(tmp_path, y_train=y), plan_of())

    assert data.y_train.dtype == np.uint8 and data.y_train.shape == (3, POSITIONS**2)
    assert data.y_train.tolist() == scenes(3, 1)[1].reshape(3, -1).tolist()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (with_label(CLASSES), "the label 3 (sample 1, position 15), but the model has 3 classes"),
        (with_label(-1), "the label -1 (sample 1, position 15)"),
        (with_label(256), "the label 256 (sample 1"),
        (np.full((3, 6, 6), IGNORED), "the label 255 alone"),
        (np.zeros(3, int), "of shape (3,): integers of shape (3, 6, 6) are needed"),
        (np.zeros((3, 6, 6)), "is float64 of shape (3, 6, 6)"),
        (np.zeros((3, 12, 12), np.uint8), "sampled at the centres of the 6x6 positions"),
        (np.zeros((3, 6, 6, 3), np.uint8), "numpy.argmax(y, axis=-1)"),
        (np.zeros((2, 6, 6), np.uint8), "x_train has 3 samples, y_train 2 targets"),
    ],
)
def test_maps_that_are_none_are_refused(y: Array, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        load_dataset(saved(tmp_path, y_train=y), plan_of())
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_of_classes_has_no_maps(tmp_path: Path) -> None:
    (tmp_path / "ground").mkdir()
    with pytest.raises(DataError, match=r"give an \.npz with y_train and y_test of uint8"):
        load_dataset(tmp_path, plan_of())


def test_figures_are_of_the_positions_that_take_part() -> None:
    maps = np.array([[0, 0, 1, IGNORED], [2, 0, IGNORED, IGNORED]], np.uint8)
    answers = np.array([[0, 1, 1, 2], [2, 0, 0, 0]])
    codes = np.zeros((2, 16), np.int8)
    found = Evaluation(
        codes, 0.5, 0, np.array([0.4, 0.2]), 4, label_maps=maps, predicted_maps=answers
    )

    assert found.metric == "accuracy" and found.figure == 4 / 5
    assert found.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_equal(found.iou, [2 / 3, 1 / 2, 1.0, np.nan])
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.samples.tolist() == [3, 1, 1, 0]
    np.testing.assert_equal(found.recall, [2 / 3, 1.0, 1.0, np.nan])
    assert not found.right.any() and found.worst(2) == [0, 1]
    told = found.to_json()
    assert (told["samples"], told["positions"]) == (2, 5)
    assert [row["iou"] for row in told["classes"]][3] is None


def drawn(count: int = 12) -> Dataset:
    plan = plan_of()
    x, y = scenes(count, 4)
    kind = plan.task.input.type
    q = np.clip(np.floor(x / kind.scale + 0.5) + kind.zero_point, -128, 127).astype(np.int8)
    flat, maps = q.reshape(count, -1), y.reshape(count, -1)
    return Dataset(flat, maps, flat[:4], maps[:4])


def test_a_flip_mirrors_the_labels_too() -> None:
    data, plan = drawn(), plan_of()
    flipped = 0
    augmented = Augmenter(Augmentation.parse("flip=0.5"), plan, data, 1)
    for step in range(12):
        x, y = augmented(step, step)
        image, map_ = (v[step] for v in (data.x_train, data.y_train))
        if np.array_equal(x, image):
            assert np.array_equal(y, map_)
            continue
        flipped += 1
        mirrored = image.reshape(SIDE, SIDE)[:, ::-1].reshape(-1)
        assert np.array_equal(x, mirrored)
        assert np.array_equal(y.reshape(6, 6), map_.reshape(6, 6)[:, ::-1])
    assert 1 < flipped < 11


@pytest.mark.parametrize("asked", ["crop=0.2", "mixup=0.2"])
def test_what_would_part_labels_from_positions_is_refused(asked: str) -> None:
    options = TrainingOptions(augment=Augmentation.parse(asked))
    with pytest.raises(DataError, match=f"{asked.split('=')[0]} does not go with a label for each"):
        decided_balance(plan_of(), drawn(), options, False)


def test_replay_and_balance_are_of_one_label() -> None:
    plan, data = plan_of(), drawn()
    with pytest.raises(DataError, match="each position of the output has a label of its own"):
        train(plan, data, ReferenceRunner(plan), TrainingOptions(balance="on"), lambda _: None)
    with pytest.raises(DataError, match="each position of the output has a label of its own"):
        train_stream(plan, data, ReferenceRunner(plan), 4, TrainingOptions(), lambda _: None)


def test_the_best_constant_map_is_the_yardstick() -> None:
    data = drawn()
    found = constant_answer(plan_of(), data)
    labels = data.y_test[data.y_test != IGNORED]

    assert found is not None and found.metric == float((labels == 0).mean())
    assert found.is_uneven and found.balanced_bound == 1 / 3
    assert evaluate(plan_of(), None, data).mean_iou is not None


def test_commands_train_judge_export_and_prove(run: Run, tmp_path: Path) -> None:
    model, data = write_task(tmp_path, 12, 8)
    state, record, page = (tmp_path / name for name in ("s.npz", "run.jsonl", "run.html"))
    trained = run(
        "train", model, "--data", data, "--update", "full", "--epochs", 4, "--json", "--lr", 0.5,
        "--save", state, "--record", record, "--report", page, "--class-names", "ground,up,down",
    ).json  # fmt: skip
    assert trained["accuracy_after"] > 0.9 > trained["accuracy_before"]
    assert trained["mean_iou_after"] > trained["mean_iou_before"]
    assert trained["guard"]["loss_after"] < trained["guard"]["loss_before"]
    assert "intersection over union" in page.read_text()

    shown = run("evaluate", model, "--data", data, "--state", state)
    assert "positions of 8 test samples" in shown.out and "mean IoU" in shown.out
    exported = tmp_path / "t.tflite"
    assert run("export", model, "--state", state, "--output", exported).status == 0
    again = run("evaluate", exported, "--data", data, "--json").json
    assert again["accuracy"] == trained["accuracy_after"]
    assert again["positions"] == 8 * (POSITIONS**2 - 1)
    assert run("audit", record, "--model", model, "--data", data).status == 0


def test_a_guard_with_validation_samples_judges_by_the_loss() -> None:
    plan, data = plan_of(), drawn()
    data = Dataset(data.x_train, data.y_train, data.x_test, data.y_test, data.x_test, data.y_test)
    options = TrainingOptions(epochs=2, guard=True)
    result = train(plan, data, ReferenceRunner(plan), options, lambda _: None)

    assert result.guarded is not None and result.guarded.metric == "loss"
    losses = result.guarded.values()
    assert losses[result.guarded.best] == min(losses)
    assert result.guarded.told().startswith("guard: kept epoch") and "loss" in result.guarded.told()


@pytest.mark.board
@pytest.mark.exhaustive
def test_a_board_learns_maps_bit_for_bit(run: Run, tmp_path: Path) -> None:
    model, data = write_task(tmp_path, 12, 4)
    found = run(
        "train", model, "--data", data, "--update", "last:2", "--epochs", 2, "--target", BOARD,
        "--verify", "--no-guard", "--class-weights", "1,4,4", *AT_A_RATE, "--json",
    ).json  # fmt: skip
    assert found["bit_exact"] and found["verified_steps"] == 24
