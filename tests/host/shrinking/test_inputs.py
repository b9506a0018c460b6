# SPDX-License-Identifier: Apache-2.0
"""What a model is made smaller with: any data set, with labels or without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.request import Request
from mcutrain.host.shrinking.inputs import Inputs, read_inputs
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.sample_files import dense_model, save_image

CLASSES, SIDE = 3, 4


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    path = tmp_path / "dense.tflite"
    path.write_bytes(dense_model((SIDE, SIDE, 1), CLASSES, 0, 1))
    return Request(path).plan()


def reading(path: Path, plan: TrainingPlan, labelled: bool = True, **options: str) -> Inputs:
    return read_inputs(path, plan, DataOptions(**options), labelled, 0)


def arrays(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (count, SIDE, SIDE, 1)).astype(np.int8)
    return x, rng.integers(0, CLASSES, count)


def gray(sample: np.ndarray) -> np.ndarray:
    """The image of an input."""
    return (sample[..., 0].astype(int) + 128).astype(np.uint8)


def test_an_npz_may_hold_inputs_alone(plan: TrainingPlan, tmp_path: Path) -> None:
    x, _ = arrays(40)
    np.savez(tmp_path / "x.npz", x_train=x)
    found = reading(tmp_path / "x.npz", plan)

    assert found.y is None and found.held_y is None
    assert len(found.x) == 32 and len(found.held_x) == 8  # a fifth judges
    together = np.concatenate([found.x, found.held_x]).reshape(40, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, x))
    assert "8 of 40 were held out" in found.notes[-1].text


def test_labels_without_tests_are_held_out_with_their_inputs(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    x, y = arrays(40)
    np.savez(tmp_path / "xy.npz", x_train=x, y_train=y, group_train=np.arange(40) // 10)
    found = reading(tmp_path / "xy.npz", plan)
    label = {bytes(sample): int(of) for sample, of in zip(x, y, strict=True)}

    assert found.y is not None and found.held_y is not None and found.groups is not None
    for inputs, labels in ((found.x, found.y), (found.held_x, found.held_y)):
        assert [label[bytes(sample)] for sample in inputs] == labels.tolist()
    assert len(found.groups) == len(found.x)


def test_tests_without_labels_judge_the_agreement(plan: TrainingPlan, tmp_path: Path) -> None:
    (x, y), (test, _) = arrays(30), arrays(7, 1)
    np.savez(tmp_path / "d.npz", x_train=x, x_test=test, y_test=np.zeros(7, int))
    found = reading(tmp_path / "d.npz", plan)

    assert found.y is None and len(found.held_x) == 7 and len(found.x) == 30
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=test, y_test=np.zeros(7, int))
    assert reading(tmp_path / "d.npz", plan, labelled=False).y is None
    assert reading(tmp_path / "d.npz", plan).held_y is not None


def test_a_folder_needs_no_classes(plan: TrainingPlan, tmp_path: Path) -> None:
    x, _ = arrays(25)
    for k, pixels in enumerate(x):
        save_image(tmp_path / "photos" / f"{k:02}.png", gray(pixels))
    found = reading(tmp_path / "photos", plan)

    assert found.y is None and len(found.x) + len(found.held_x) == 25
    both = np.concatenate([found.x, found.held_x]).reshape(25, -1)
    assert sorted(map(bytes, both)) == sorted(map(bytes, x))


def test_a_folder_of_classes_has_labels(plan: TrainingPlan, tmp_path: Path) -> None:
    x, _ = arrays(30)
    for k, pixels in enumerate(x):
        save_image(tmp_path / "photos" / str(k % 3) / f"{k}.png", gray(pixels))
    found = reading(tmp_path / "photos", plan)

    assert found.y is not None and set(found.y.tolist()) == {0, 1, 2}
    assert reading(tmp_path / "photos", plan, labelled=False).y is None


@pytest.mark.parametrize(
    ("last", "options", "has_labels"),
    [("v15", {}, False), ("label", {}, True), ("kind", {"label": "kind"}, True)],
)
def test_a_table_has_labels_where_a_column_says_so(
    last: str, options: dict[str, str], has_labels: bool, plan: TrainingPlan, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    features = SIDE * SIDE - (last == "v15")
    header = ",".join([*(f"v{k}" for k in range(features)), last])
    rows = rng.random((40, features)).round(3).tolist()
    ends = [k % 3 if has_labels else 0.5 for k in range(40)]
    text = "\n".join(",".join(map(str, [*row, end])) for row, end in zip(rows, ends, strict=True))
    (tmp_path / "t.csv").write_text(f"{header}\n{text}\n")
    found = reading(tmp_path / "t.csv", plan, **options)

    assert (found.y is not None) == has_labels
    assert found.x.shape[1:] == (SIDE, SIDE, 1) or found.x[0].size == SIDE * SIDE


def test_images_and_sound_in_one_folder_are_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    save_image(tmp_path / "f" / "a.png", np.zeros((SIDE, SIDE), np.uint8))
    (tmp_path / "f" / "b.wav").write_bytes(b"")
    with pytest.raises(DataError, match="holds images and sound"):
        reading(tmp_path / "f", plan)


def test_options_of_other_data_are_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_train=arrays(40)[0])
    with pytest.raises(DataError, match=r"--label says nothing of an \.npz"):
        reading(tmp_path / "x.npz", plan, label="a")
    save_image(tmp_path / "f" / "a.png", np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(DataError, match="--window says nothing of"):
        read_inputs(tmp_path / "f", plan, DataOptions(window=3), True, 0)


def test_the_digest_is_of_all_that_counts(plan: TrainingPlan, tmp_path: Path) -> None:
    (x, y), seen = arrays(40), set[str]()
    for given in ({}, {"y_train": y}, {"y_train": 2 - y}, {"group_train": np.arange(40)}):
        np.savez(tmp_path / "x.npz", x_train=x, **given)
        seen.add(read_inputs(tmp_path / "x.npz", plan, DEFAULT_DATA_OPTIONS, True, 0).digest())

    assert len(seen) == 4
