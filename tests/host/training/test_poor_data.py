# SPDX-License-Identifier: Apache-2.0
"""`mcutrain train` on data and options that no good model can come of: what is done and what that
costs is said in a line, and no figure of chance goes without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command import AT_A_RATE, Ran, Run
from tests.support.small_models import CLASSES, drawn_samples, residual_model

NINE_TENTHS = [0] * 36 + [1, 2, 3] + [1]
VALUES = np.random.default_rng(0).normal(0, 1, (4 * CLASSES, CLASSES))


def samples_of(labels: list[int]) -> dict[str, Any]:
    """Training samples with these labels."""
    x, y = drawn_samples(max(map(labels.count, labels)))[0]
    chosen = [np.flatnonzero(y == label)[: labels.count(label)] for label in sorted(set(labels))]
    taken = np.concatenate(chosen)
    return {"x_train": x[taken], "y_train": y[taken]}


def samples_of_class(label: int) -> dict[str, Any]:
    """The test samples of one class."""
    x, y = drawn_samples(1)[1]
    return {"x_test": x[y == label], "y_test": y[y == label]}


@pytest.fixture
def train(run: Run, tmp_path: Path) -> Run:
    """`train` with arrays in place of those of a good data set; a rate, unless it is given."""

    def trained(arrays: dict[str, Any], *options: object) -> Ran:
        (tmp_path / "m.tflite").write_bytes(residual_model())
        (x, y), (x_test, y_test) = drawn_samples(4)
        good = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
        np.savez(tmp_path / "d.npz", **{k: v for k, v in {**good, **arrays}.items() if len(v)})
        rate = () if "--lr" in options else AT_A_RATE
        given = ("train", tmp_path / "m.tflite", "--data", tmp_path / "d.npz")
        return run(*given, *rate, *options)

    return trained


TOLD: dict[str, tuple[dict[str, Any], tuple[object, ...], str]] = {
    "one class": (
        samples_of([1] * 6), (),
        "warning: y_train holds the label 1 alone: a classifier that learns one class gives it",
    ),
    "one class, tested": (
        samples_of_class(2), (),
        "warning: y_test holds the label 2 alone: a classifier that gives it for every sample is "
        "100 % right; test other classes too",
    ),
    "one sample": (
        samples_of([2]), (), "warning: x_train holds one sample: no more than that sample can be",
    ),
    "one sample, guarded": (
        samples_of([2]), (), "guard: off: each class has only one sample, so none can be held out",
    ),
    "a class is missing": (
        samples_of([0, 1, 2] * 2), (),
        "warning: 25.0 % of y_test is label 3, of which x_train has no sample: it cannot be",
    ),
    "nine tenths of a class": (
        samples_of(NINE_TENTHS), (),
        "note: label 0 is 90 % of y_train, with 36 samples, label 2 has 1: each class gets as many",
    ),
    "targets of a larger scale": (
        {"y_train": 1000 * VALUES, "y_test": VALUES[: 3 * CLASSES]}, ("--loss", "mse"),
        "% of y_train lies outside the output's real range, ",
    ),
    "targets of a smaller scale": (
        {"y_train": VALUES / 1000, "y_test": VALUES[: 3 * CLASSES]}, ("--loss", "mse"),
        "warning: y_train reaches over 1 of the 256 int8 values of the output, whose real range is",
    ),
    "no step": (
        {}, ("--steps", 0),
        "note: --steps 0 trains nothing: the figures are those of the model as it is",
    ),
    "no epoch": ({}, ("--epochs", 0), "note: --epochs 0 trains nothing: the figures are those"),
    "less than an epoch": (
        {}, ("--steps", 4), "note: --steps 4 is less than an epoch of 16 samples: 75 % of them are",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_what_it_costs_is_said(train: Run, case: str) -> None:
    arrays, options, text = TOLD[case]
    guard = () if "guarded" in case else ("--no-guard",)
    found = train(arrays, "--epochs", 1, *guard, *options)

    assert found.status == 0, found.err
    assert len([line for line in found.err.splitlines() if text in line]) == 1


REFUSED: dict[str, tuple[dict[str, Any], tuple[object, ...], str]] = {
    "no labels": ({"y_train": ()}, (), "and --loss reconstruction, for a model that gives"),
    "a column for each class": (
        {"y_train": np.eye(CLASSES, dtype=int)[[0, 1, 2, 3] * 4]}, (),
        "one integer per sample is needed; of a column for each class, numpy.argmax(y, axis=1)",
    ),
    "labels as floats": (
        {"y_train": np.zeros(16)}, (), "is needed; whole numbers become them by .astype(int)",
    ),
    "labels as targets": (
        {}, ("--loss", "mse"),
        f"y_train has one int64 per sample, but the loss compares {CLASSES} values: give {CLASSES}"
        " per sample, or, if they are labels, --loss cross-entropy",
    ),
    "complex samples": (
        {"x_train": drawn_samples(4)[0][0].astype(complex)}, (), "is complex128: give int8 as the",
    ),
    **{
        f"rate {rate}": ({}, ("--lr", rate), f"--lr {rate} is no learning rate: give a number from")
        for rate in ("0", "inf", "-1", "fast", "2^-101", "2^1e9", "-2^1", "2^", "^")
    },
    "minutes of the guard": ({}, ("--guard-minutes", "nan"), "--guard-minutes is a number of"),
    "minutes of a search": ({}, ("--lr", "auto", "--lr-minutes", 0), "--lr-minutes is a number of"),
    "too many steps": (
        {}, ("--steps", 10**12, "--no-guard"), "are more than the 100,000,000 steps that a run may",
    ),
    "too many epochs": (
        {}, ("--epochs", 10**20, "--lr", "auto"), "0,000 epochs of 16 samples are more",
    ),
    "too many epochs, tried": ({}, ("--epochs", 10**20, "--dry-run"), "are more than the 100,000"),
    "too few minutes": ({}, ("--minutes", 1e-9), "is over before the first step, for which "),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(train: Run, case: str) -> None:
    arrays, options, text = REFUSED[case]
    found = train(arrays, *options)

    assert found.status == 1 and found.out == ""
    (line,) = found.err.splitlines()
    assert line.startswith("error: ") and text in line


def test_a_chance_result_is_told_to_people_and_programs(train: Run) -> None:
    """Labels that have nothing to do with the samples."""
    arrays = {"y_train": np.arange(16) % CLASSES, "y_test": np.arange(12) % CLASSES}
    options = ("--epochs", 1, "--no-guard")
    shown, found = train(arrays, *options), train(arrays, *options, "--json").json

    assert "warning: accuracy " in shown.out and "is, within chance, no better than" in shown.out
    assert found["within_chance"] is True
    assert found["accuracy_of_one_answer"] == 0.25


def test_a_rate_is_given_as_it_is_shown(train: Run) -> None:
    shown, given = (
        train({}, "--epochs", 1, "--no-guard", "--json", "--lr", rate).json
        for rate in ("0.0625", "2^-4")
    )

    assert given["losses"] == shown["losses"]
    assert given["rate"]["chosen"] == shown["rate"]["chosen"] == 0.0625
