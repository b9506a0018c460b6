# SPDX-License-Identifier: Apache-2.0
"""What labels and samples say of themselves, and what is not worth a word."""

from __future__ import annotations

from typing import Any

import numpy as np

from mcutrain.host.training.data_notes import label_notes, sample_notes
from mcutrain.trainer.graph.tensor import Array


def kinds_of_labels(classes: int = 3, is_new: bool = False, **labels: list[int]) -> list[str]:
    arrays = {key: np.array(value) for key, value in labels.items()}
    return [f"{n.about}: {n.kind}" for n in label_notes(arrays, classes, is_new)]


def samples(**more: Array) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = {k: rng.integers(-128, 128, (30, 6)).astype(np.int8) for k in ("x_train", "x_test")}
    return {**found, **more}


def kinds_of_samples(*unfit: str, **more: Array) -> list[str]:
    return [f"{n.about}: {n.kind}" for n in sample_notes(samples(**more), unfit)]


def test_nothing_is_said_of_good_data() -> None:
    assert kinds_of_labels(y_train=[0, 1, 2], y_test=[0, 1, 2], y_val=[1]) == []
    assert kinds_of_samples() == []


def test_labels_that_are_all_the_same() -> None:
    assert kinds_of_labels(y_train=[1, 1], y_test=[1]) == ["y_train: one label"]


def test_a_class_that_is_tested_and_never_trained() -> None:
    found = kinds_of_labels(y_train=[0, 1], y_test=[0, 2], y_val=[2])

    assert found == ["y_test: unknown labels", "y_val: unknown labels", "y_train: no samples"]
    assert kinds_of_labels(y_train=[0, 1], y_old=[2], y_test=[2]) == []


def test_a_class_without_samples_and_what_would_leave_it_out() -> None:
    arrays = {"y_train": np.array([0, 1]), "y_test": np.array([0])}
    (note,) = label_notes(arrays, 9, False)
    (new,) = label_notes(arrays, 9, True)

    assert note.text == (
        "x_train has no sample of labels 2, 3, 4, 5, 6 and 2 more (9 classes); --classes 2 gives a "
        "head without them"
    )
    assert new.text == note.text.split(";")[0]


def test_a_test_of_three_samples() -> None:
    found = list(sample_notes(samples(x_test=np.arange(9, dtype=np.int8).reshape(3, 3)), ()))

    assert [note.kind for note in found] == ["few samples"]
    assert "each of them is 33 % of the accuracy" in found[0].text


def test_a_training_sample_that_is_the_only_one() -> None:
    assert kinds_of_samples(x_train=samples()["x_train"][:1]) == ["x_train: one sample"]
    alike = np.repeat(samples()["x_train"][:1], 20, axis=0)
    assert kinds_of_samples(x_train=alike) == ["x_train: samples alike"]


def test_test_samples_that_are_training_samples() -> None:
    same = samples()["x_train"]

    assert kinds_of_samples(x_test=same) == ["x_test: same samples"]
    assert kinds_of_samples(x_val=same) == ["x_val: same samples"]
    one = samples()["x_test"]
    one[0] = same[0]
    assert kinds_of_samples(x_test=one) == []


def test_samples_that_became_the_same_are_told_of_once() -> None:
    assert kinds_of_samples("x_train", x_test=samples()["x_train"]) == []
