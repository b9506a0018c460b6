# SPDX-License-Identifier: Apache-2.0
"""Units are scored for classes that a model does not know."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.host.shrinking import new_head
from mcutrain.host.shrinking.new_head import new_head_scores, with_learned_head
from mcutrain.host.shrinking.scores import taylor_scores
from mcutrain.trainer.model import forward, trim, with_new_head
from mcutrain.trainer.shrinking.groups import channel_groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.small_models import drawn_samples, residual_model

CLASSES = 3


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_head, "STEPS", 120)


def test_a_new_head_learns_and_nothing_else_does() -> None:
    model = parse(residual_model(), "m")
    (x, y), _ = drawn_samples(8, CLASSES)
    samples = x.reshape(len(x), -1)
    found = trim(with_learned_head(model, CLASSES, samples, y))

    predicted = [forward(found, each)[found.logits].argmax() for each in x]
    assert np.mean(predicted == y) > 0.8
    for before, after in zip(model.weighted[:-1], found.weighted[:-1], strict=True):
        for old, new in zip(before.inputs[1:], after.inputs[1:], strict=True):
            np.testing.assert_array_equal(old.data, new.data)


def test_scores_are_by_the_labels_of_the_new_classes() -> None:
    """A new head that has learned nothing lets no error pass; the old one knows other classes."""
    model = parse(residual_model(), "m")
    (x, y), _ = drawn_samples(4, CLASSES)
    samples = x.reshape(len(x), -1)
    fresh = with_new_head(model, CLASSES)
    untrained = taylor_scores(fresh, channel_groups(fresh), samples, y)
    scores = new_head_scores(model, CLASSES, samples, y)

    assert scores.keys() == {group.name for group in channel_groups(model).groups}
    for name, found in scores.items():
        assert not untrained[name].any()
        assert (found > 0).sum() > len(found) // 2
