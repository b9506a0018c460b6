# SPDX-License-Identifier: Apache-2.0
"""WAV and FLAC files as a model's input of sound samples: mono, at one rate, of its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from mcutrain.host.data.images import real_ends, real_range
from mcutrain.host.data.raw import shown
from mcutrain.host.extras import require_extra
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, TensorType
from mcutrain.trainer.notes import Note

GAINS = (1.0, 32768.0)  # the real value of full scale: that of floats, or of 16 bits
UNLIKE = 0.3  # of the whole range: an input that ends so far away takes no sound
FEWEST = 64  # samples: an input with fewer values is no sound


class SoundReader:
    """Reads sound for an input of ``type``; ``rate`` in Hz is the one that the model was trained
    with, None takes the one that all files have. Raises DataError where the model takes no sound.
    """

    def __init__(self, type: TensorType, rate: int | None) -> None:
        require_extra("data")
        self.type, self.rate = type, rate
        self.length = sound_length(type)
        self.gain = next((gain for gain in GAINS if is_covered(type, gain)), None) or refused(type)
        self._first: Path | None = None
        self._resampled = self._mixed = 0
        self._lengths = Counter[str]()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return self.type.shape[1:]

    def read(self, path: Path) -> Array:
        """The input's shape, float32 in real units. Raises DataError."""
        import soundfile  # type: ignore[import-untyped]

        try:
            with soundfile.SoundFile(path) as file:
                was = file.samplerate
                rate = self._checked_rate(path, was)
                wanted = -(-self.length * was // rate)  # of a longer file no more is read
                more = file.frames > wanted
                found = file.read(wanted, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, TypeError) as err:
            raise DataError(unreadable(path, err)) from err
        if not len(found):
            raise DataError(f"{shown(path)} holds no sound: take it away")
        if not np.isfinite(found).all():
            raise DataError(f"{shown(path)} holds NaN or infinity: save it again as 16-bit WAV")
        self._mixed += found.shape[1] > 1
        mono = found.mean(axis=1)
        if was != rate:
            self._resampled += 1
            mono = resampled(mono, round(len(mono) * rate / was))
        self._lengths["cut" if more else "padded" if len(mono) < self.length else "whole"] += 1
        mono = np.pad(mono[: self.length], (0, max(0, self.length - len(mono))))
        return (mono * self.gain).astype(np.float32).reshape(self.shape)

    def _checked_rate(self, path: Path, found: int) -> int:
        """The rate of the model. Raises DataError for a file of another, if none is given."""
        if self.rate is None:
            self.rate, self._first = found, path
        elif found != self.rate and self._first is not None:
            raise DataError(
                f"{shown(path)} has {found} samples a second, {shown(self._first)} {self.rate}: "
                "give --sample-rate HZ, that of the model, and all are resampled to it"
            )
        return self.rate

    def notes(self) -> Iterator[Note]:
        """How the sound was read, for people."""
        rate = self.rate or 1
        mixed = f"; {self._mixed} files of several channels are mixed to one" if self._mixed else ""
        again = f"; {self._resampled} are resampled" if self._resampled else ""
        text = (
            f"sound is taken at {rate} samples a second, so a sample is "
            f"{self.length / rate:.3g} s, and in -{self.gain:g} to {self.gain:g} (the input covers "
            f"{real_range(self.type)}){again}{mixed}"
        )
        yield Note("x_train", "sound", float(rate), text)
        cut, padded = self._lengths["cut"], self._lengths["padded"]
        if cut or padded:
            text = (
                f"of {self._lengths.total()} files, {cut} are cut to the input's "
                f"{self.length} samples, from their beginning, and {padded} are filled up with "
                "silence"
            )
            yield Note("x_train", "lengths", float(cut + padded), text)


def unreadable(path: Path, error: BaseException) -> str:
    if reason := getattr(error, "strerror", None):
        return f"cannot read {shown(path)}: {reason}"
    return f"{shown(path)} is damaged, or no WAV or FLAC file: take it away, or save it again"


def sound_length(type: TensorType) -> int:
    """How many samples of sound the input takes. Raises DataError where it takes none."""
    dims = [n for n in type.shape[1:] if n > 1]
    if len(dims) != 1 or dims[0] < FEWEST:
        refused(type)
    return dims[0]


def is_covered(type: TensorType, gain: float) -> bool:
    """Whether the input's range is about that of sound with a full scale of ``gain``."""
    low, high = real_ends(type)
    return max(abs(low + gain), abs(high - gain)) <= 2 * UNLIKE * gain


def refused(type: TensorType) -> NoReturn:
    raise DataError(
        f"the model takes features of shape {type.shape[1:]} from {real_range(type)}, not sound "
        "itself: compute them as its training did (a spectrogram, say), and give an .npz of them"
    )


def resampled(x: Array, count: int) -> Array:
    """``x`` (N,) as ``count`` samples of the same time, without what the new rate cannot hold."""
    if not count:
        return x[:0]
    bins = count // 2 + 1
    spectrum = np.fft.rfft(x)[:bins]
    return np.asarray(np.fft.irfft(spectrum, count) * (count / len(x)))
