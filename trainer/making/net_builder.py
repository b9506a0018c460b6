# SPDX-License-Identifier: Apache-2.0
"""Builds a FloatNet layer by layer: shapes, windows and first weights follow from what is asked.

    build = NetBuilder((28, 28, 1))
    build.conv(8, kernel=3, stride=2, batch_norm=True)
    build.depthwise(kernel=3)
    build.average_pool()
    build.dense(10)
    net, params = build.net, build.params

Train them with ``fitting.fit``, write them with ``quantiser.quantize_net``. A net that gives values
(regression, an autoencoder) ends in ``dense(values)``, is trained with the loss ``squared_error``
and written with ``softmax=False``.
"""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.making.float_layers import (
    Add,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    DepthwiseConv2D,
    FloatWindow,
    FullyConnected,
    MaxPool2D,
    PlainOp,
    Reshape,
    WeightedOp,
    same_window,
    valid_window,
)
from mcutrain.trainer.making.float_net import INPUT, FloatLayer, FloatNet, Params

# The activations that TFLite can fuse, as limits of the output.
ACTIVATIONS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
Size = int | tuple[int, int]


def pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


class NetBuilder:
    """Each method adds a layer behind ``source``, or behind the last one, and returns its name.

    Shapes are one sample's: (H, W, C), or (N,) behind a dense layer; of a series (T, C), which
    ``conv1d`` and its kin make (T, 1, C). The last layer's outputs are the logits: let it be
    ``dense(classes)``. ``batch_norm`` puts a batch norm between a layer and its activation; it
    costs nothing in the file. Raises ValueError where sizes do not fit.
    """

    def __init__(self, input_shape: tuple[int, ...], seed: int = 0) -> None:
        self.layers: list[FloatLayer] = []
        self.params: Params = {}
        self.shapes = {INPUT: input_shape}
        self.last = INPUT
        self.rng = np.random.default_rng(seed)

    @property
    def net(self) -> FloatNet:
        return FloatNet(tuple(self.layers))

    def conv(
        self,
        filters: int,
        kernel: Size = 3,
        stride: Size = 1,
        padding: str = "same",
        activation: str = "relu6",
        source: str | None = None,
        batch_norm: bool = False,
        name: str | None = None,
    ) -> str:
        source = source or self.last
        window, channels = self._window(source, pair(kernel), pair(stride), padding)
        weights = (filters, *window.kernel, channels)
        shape = (*window.out, filters)
        op = Conv2D(window)
        name = name or "conv#"
        return self._weighted(name, op, source, shape, activation, weights, batch_norm)

    def depthwise(
        self,
        kernel: Size = 3,
        stride: Size = 1,
        padding: str = "same",
        activation: str = "relu6",
        source: str | None = None,
        multiplier: int = 1,
        batch_norm: bool = False,
        name: str | None = None,
    ) -> str:
        source = source or self.last
        window, channels = self._window(source, pair(kernel), pair(stride), padding)
        weights = (1, *window.kernel, channels * multiplier)
        shape = (*window.out, channels * multiplier)
        op = DepthwiseConv2D(window)
        name = name or "depthwise#"
        return self._weighted(name, op, source, shape, activation, weights, batch_norm)

    def conv1d(
        self,
        filters: int,
        kernel: int = 3,
        stride: int = 1,
        padding: str = "same",
        activation: str = "relu6",
        source: str | None = None,
        batch_norm: bool = False,
        name: str | None = None,
    ) -> str:
        """Filters that move along time."""
        source, size, steps = self.series(source), (kernel, 1), (stride, 1)
        return self.conv(filters, size, steps, padding, activation, source, batch_norm, name)

    def depthwise1d(
        self,
        kernel: int = 3,
        stride: int = 1,
        padding: str = "same",
        activation: str = "relu6",
        source: str | None = None,
        batch_norm: bool = False,
        name: str | None = None,
    ) -> str:
        source, size, steps = self.series(source), (kernel, 1), (stride, 1)
        return self.depthwise(size, steps, padding, activation, source, 1, batch_norm, name)

    def average_pool1d(self, kernel: int | None = None, source: str | None = None) -> str:
        """Windows of time side by side; without ``kernel`` one over all."""
        size = (kernel, 1) if kernel is not None else None
        return self.average_pool(size, self.series(source))

    def max_pool1d(self, kernel: int = 2, source: str | None = None) -> str:
        return self.max_pool((kernel, 1), self.series(source))

    def series(self, source: str | None = None) -> str:
        """``source`` as (T, 1, C): the layer itself, or one that moves nothing."""
        source = source or self.last
        shape = self._shape(source)
        if len(shape) == 3 and shape[1] == 1:
            return source
        if len(shape) != 2:
            raise ValueError(f"{source} is {shape}; time and channels are needed")
        wide = (shape[0], 1, shape[1])
        return self._add("series#", Reshape(wide), (source,), wide)

    def average_pool(
        self, kernel: Size | None = None, source: str | None = None, name: str | None = None
    ) -> str:
        """Windows side by side; without ``kernel`` one window over all of height and width."""
        source = source or self.last
        size = pair(kernel) if kernel is not None else self._image(source)[:2]
        window, channels = self._window(source, size, size, "valid")
        return self._add(name or "pool#", AveragePool2D(window), (source,), (*window.out, channels))

    def max_pool(self, kernel: Size = 2, source: str | None = None, name: str | None = None) -> str:
        """Windows side by side."""
        source, size = source or self.last, pair(kernel)
        window, channels = self._window(source, size, size, "valid")
        return self._add(name or "max_pool#", MaxPool2D(window), (source,), (*window.out, channels))

    def add(
        self, first: str, second: str, activation: str = "none", name: str | None = None
    ) -> str:
        """The sum of two layers' outputs of one shape."""
        shape = self._shape(first)
        if self._shape(second) != shape:
            raise ValueError(f"{first} {shape} and {second} {self.shapes[second]} do not add")
        return self._add(name or "add#", Add(), (first, second), shape, activation)

    def flatten(self, source: str | None = None, name: str | None = None) -> str:
        source = source or self.last
        shape = (int(np.prod(self._shape(source))),)
        return self._add(name or "flatten#", Reshape(shape), (source,), shape)

    def dense(
        self,
        outputs: int,
        activation: str = "none",
        source: str | None = None,
        batch_norm: bool = False,
        name: str | None = None,
    ) -> str:
        """A fully connected layer; what has height and width is flattened before it."""
        source = source or self.last
        if len(self._shape(source)) > 1:
            source = self.flatten(source)
        weights = (outputs, *self.shapes[source])
        op = FullyConnected()
        name = name or "dense#"
        return self._weighted(name, op, source, (outputs,), activation, weights, batch_norm)

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise ValueError(f"there is no layer '{name}'; there are {', '.join(self.shapes)}")
        return self.shapes[name]

    def _image(self, name: str) -> tuple[int, int, int]:
        shape = self._shape(name)
        if len(shape) != 3:
            raise ValueError(f"{name} is {shape}; height, width and channels are needed")
        return shape

    def _window(
        self, source: str, kernel: tuple[int, int], stride: tuple[int, int], padding: str
    ) -> tuple[FloatWindow, int]:
        height, width, channels = self._image(source)
        if padding not in ("same", "valid"):
            raise ValueError(f"the padding is '{padding}'; give same or valid")
        move = same_window if padding == "same" else valid_window
        fits = min(*kernel, *stride) > 0
        window = move((height, width), kernel, stride) if fits else None
        if window is None or min(window.out) < 1:
            raise ValueError(f"{kernel} windows in steps of {stride} do not fit {height}x{width}")
        return window, channels

    def _weighted(
        self,
        name: str,
        op: WeightedOp,
        source: str,
        shape: tuple[int, ...],
        activation: str,
        weights: tuple[int, ...],
        batch_norm: bool,
    ) -> str:
        if not batch_norm:
            return self._add(name, op, (source,), shape, activation, weights)
        made = self._add(name, op, (source,), shape, "none", weights)
        norm = self._add(f"{made}_norm", BatchNorm(), (made,), shape, activation)
        layer, channels = self.layers[-1], shape[-1]
        self.params |= {layer.weight: np.ones(channels), layer.bias: np.zeros(channels)}
        self.params |= {layer.mean: np.zeros(channels), layer.variance: np.ones(channels)}
        return norm

    def _add(
        self,
        name: str,
        op: WeightedOp | PlainOp,
        sources: tuple[str, ...],
        shape: tuple[int, ...],
        activation: str = "none",
        weights: tuple[int, ...] = (),
    ) -> str:
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation is '{activation}'; give {', '.join(ACTIVATIONS)}")
        count = sum(type(layer.op) is type(op) for layer in self.layers) + 1
        layer = FloatLayer(name.replace("#", str(count)), op, sources, *ACTIVATIONS[activation])
        if layer.name in self.shapes:
            raise ValueError(f"there is a layer '{layer.name}' already")
        if weights:
            # He et al. 2015; float64, so that other processors come to the same int8 values.
            deviation = np.sqrt(2 * shape[-1] / np.prod(weights))
            self.params[layer.weight] = self.rng.normal(0, deviation, weights)
            self.params[layer.bias] = np.zeros(shape[-1])
        self.layers.append(layer)
        self.shapes[layer.name] = shape
        self.last = layer.name
        return layer.name
