# SPDX-License-Identifier: Apache-2.0
"""Folders of sound: rate, length and channels as a model takes them, or one line that says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from mcutrain.host.data.load import Wanted, load
from mcutrain.host.data.options import DataOptions
from mcutrain.host.data.raw import RawData
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import DType, QuantParams, TensorType
from tests.support.sample_files import save_wav, tone

COUNT = 1600


def wanted(high: float = 1.0, shape: tuple[int, ...] = (COUNT, 1)) -> Wanted:
    return Wanted(TensorType((1, *shape), DType.S8, QuantParams((high / 127.5,), 0)))


def read(folder: Path, of: Wanted | None = None, rate: int | None = None) -> RawData:
    return load(folder, of or wanted(), DataOptions(sample_rate=rate))


def said(data: RawData) -> str:
    return " ".join(note.text for note in data.notes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        save_wav(tmp_path / split / "high" / "a.wav", tone(2000, COUNT))
        save_wav(tmp_path / split / "low" / "a.wav", tone(500, COUNT))
    return tmp_path


def test_sound_keeps_its_values(folder: Path) -> None:
    found = read(folder)

    assert found.parts["train"].x.shape == (2, COUNT, 1)
    np.testing.assert_allclose(found.parts["train"].x[0, :, 0], tone(2000, COUNT), atol=1e-4)
    assert found.parts["train"].y.tolist() == [0, 1]
    assert "at 16000 samples a second, so a sample is 0.1 s, and in -1 to 1" in said(found)
    full = read(folder, wanted(32768.0)).parts["train"].x
    np.testing.assert_allclose(full, found.parts["train"].x * 32768, atol=4)


def test_files_are_cut_padded_and_mixed(folder: Path) -> None:
    long, short = tone(700, 2 * COUNT), tone(700, 100)
    save_wav(folder / "train" / "high" / "b.wav", np.stack([long, 0 * long], 1))
    soundfile.write(folder / "train" / "high" / "c.flac", short, 16000)
    found = read(folder)
    x = found.parts["train"].x[..., 0]

    np.testing.assert_allclose(x[1], long[:COUNT] / 2, atol=1e-4)
    np.testing.assert_allclose(x[2], np.pad(short, (0, COUNT - 100)), atol=1e-4)
    assert "of 6 files, 1 are cut" in said(found) and "1 are filled up with silence" in said(found)
    assert "1 files of several channels are mixed" in said(found)


def test_another_rate_is_refused_and_then_resampled(folder: Path) -> None:
    path = save_wav(folder / "train" / "high" / "b.wav", tone(2000, COUNT // 2, 8000), 8000)

    with pytest.raises(DataError, match=r"b\.wav has 8000 samples a second, .*--sample-rate HZ"):
        read(folder)
    for was in (8000, 44100):
        save_wav(path, tone(2000, was // 10, was), was)
        found = read(folder, rate=16000)
        inner = slice(50, -50)  # the ends of a cut tone ring
        x = found.parts["train"].x[1, :, 0]
        np.testing.assert_allclose(x[inner], tone(2000, COUNT)[inner], atol=0.03)
        assert "1 are resampled" in said(found)


@pytest.mark.parametrize(
    "of",
    [wanted(1.0, (49, 40)), wanted(1.0, (10,)),
     Wanted(TensorType((1, 640), DType.S8, QuantParams((0.39,), 90)))],
)  # fmt: skip
def test_features_are_no_sound(of: Wanted, folder: Path) -> None:
    with pytest.raises(DataError, match=r"takes features of shape .* give an \.npz of them"):
        read(folder, of)


def test_what_is_no_sound_is_one_line(folder: Path) -> None:
    path = folder / "train" / "low" / "b.wav"
    path.write_bytes(b"RIFF" + bytes(60))
    with pytest.raises(DataError, match=r"b\.wav is damaged, or no WAV or FLAC file"):
        read(folder)
    save_wav(path, np.zeros(0))
    with pytest.raises(DataError, match=r"b\.wav holds no sound"):
        read(folder)
    soundfile.write(path, np.full(COUNT, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"b\.wav holds NaN"):
        read(folder)
