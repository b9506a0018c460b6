# SPDX-License-Identifier: Apache-2.0
"""Starting models of the benchmarks, trained in float32 and quantised when first asked for."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# Before NumPy: with more threads, sums are of another order, and the nets others by a little.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data.fetch import BUILD, cached
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import Params, squared_error
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_net

CACHE = BUILD / "nets"
CALIBRATION = 1000  # samples that the ranges of the activations come from
FORMAT = 1  # grows when the same recipe gives another file


@dataclass(frozen=True)
class Recipe:
    """What a starting model is made of; equal recipes give equal files on one kind of processor.

    ``samples`` hold x (N, H, W, C) float32 in the real units of ``input_quant``.
    """

    name: str
    build: NetBuilder
    samples: RawSamples
    input_quant: QuantParams
    epochs: int
    rate: float = 2e-3
    batch: int = 32
    seed: int = 1
    is_of_values: bool = False  # y (N, outputs) are values, not labels

    def train(self) -> Params:
        """The float32 parameters; the builder's own stay as they are."""
        params = {name: value.astype(np.float32) for name, value in self.build.params.items()}
        x, y = self.samples.x, self.samples.y
        chosen = {"epochs": self.epochs, "batch": self.batch, "seed": self.seed, "rate": self.rate}
        if self.is_of_values:
            fit(self.build.net, params, x, y, **chosen, decay=0.0, loss=squared_error)
        else:
            fit(self.build.net, params, x, y, **chosen)
        return params

    def quantised(self, params: Params) -> bytes:
        """The int8 ``.tflite``."""
        return quantize_net(self.build.net, params, self._calibration(), self.input_quant)

    def file(self, folder: Path = CACHE) -> Path:
        """The int8 ``.tflite`` in the cache, trained first if it is not there."""
        path = folder / f"{self.name}-{self._digest()}.tflite"

        def make(target: Path) -> None:
            target.write_bytes(self.quantised(self.train()))

        return cached(path, make)

    def _calibration(self) -> Array:
        rng = np.random.default_rng(self.seed)
        return np.asarray(self.samples.x[rng.permutation(len(self.samples))[:CALIBRATION]])

    def _digest(self) -> str:
        options = (self.input_quant, self.epochs, self.rate, self.batch, self.seed, FORMAT)
        digest = hashlib.sha256(repr((self.build.net, *options)).encode())
        arrays = (*self.build.params.values(), self.samples.x, self.samples.y)
        for array in arrays:
            digest.update(array.tobytes())
        return digest.hexdigest()[:12]
