# SPDX-License-Identifier: Apache-2.0
"""Schemes in files: what a search writes is read back, and what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.scheme import parse_scheme, scheme_text
from mcutrain.trainer.tflite.reader import load
from tests.support.marks import sampled


@pytest.mark.parametrize("seed", sampled(range(12), 5))
def test_a_scheme_file_is_read_back_to_the_same_scheme(
    model: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    loaded = load(model)
    layers = len(loaded.weighted)
    ratios = {k: float(rng.choice([0.25, 0.5, 1.0])) for k in range(layers) if rng.random() < 0.6}
    biases = frozenset(k for k in range(layers) if rng.random() < 0.6)
    path = tmp_path / "scheme.toml"
    scheme = Scheme("scheme", ratios, biases)
    path.write_text(scheme_text(scheme, layers))

    assert parse_scheme(str(path), loaded) == scheme


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("biases = 3", "biases must be a list"),
        ("biases = [true]", "biases must be a list"),
        ("biases = [1, 1]", "names a layer twice"),
        ("biases = [9]", "layer 9 is beyond"),
        ('biases = ["nowhere"]', "no weighted layer 'nowhere'"),
        ("biases = [-1]", "no weighted layer '-1'"),
    ],
)
def test_a_list_of_biases_that_makes_no_sense_is_refused(
    model: Path, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "scheme.toml"
    path.write_text(text)

    with pytest.raises(SchemeError, match=words):
        parse_scheme(str(path), load(model))


def test_biases_of_single_layers(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "scheme.toml"
    path.write_text('biases = [0, "dw_w"]\n')

    assert parse_scheme(str(path), load(model)).biases == {0, 1, 3}


def test_channels_cannot_be_in_a_file() -> None:
    with pytest.raises(SchemeError, match="names channels"):
        scheme_text(Scheme("s", {0: 0.5}, frozenset(), {0: (1,)}), 2)
