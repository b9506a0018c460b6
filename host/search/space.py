# SPDX-License-Identifier: Apache-2.0
"""What a search chooses from: ratios of the layers' weights, and biases by groups of layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mcutrain.host.search.budget import Pricer
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.scheme import learnable_layers

RATIOS = (0.125, 0.25, 0.5, 1.0)
MAX_GROUPS = 12
MISSES = 3  # layers of which nothing fits, one after another: what lies before them does not

Genes: TypeAlias = Mapping[str, float]  # "w<layer>": ratio, 0 for none; "b<group>": 0 or 1


@dataclass(frozen=True)
class Space:
    """The schemes there are. The head, the last of ``layers`` weighted layers, always learns.

    ``ratios`` are those of a layer's input channels that fit the budget alone; ``groups`` are
    the layers whose biases learn together, from the head towards the input.
    """

    layers: int
    ratios: dict[int, tuple[float, ...]]
    groups: tuple[tuple[int, ...], ...]

    @functools.cached_property
    def choices(self) -> dict[str, tuple[float, ...]]:
        """The values of each gene."""
        weights = {f"w{k}": (0.0, *r) for k, r in self.ratios.items()}
        return weights | {f"b{j}": (0.0, 1.0) for j in range(len(self.groups))}

    def scheme(self, genes: Genes) -> Scheme:
        head = self.layers - 1
        ratios = {k: genes[f"w{k}"] for k in self.ratios if genes.get(f"w{k}")}
        biases = {k for j, g in enumerate(self.groups) if genes.get(f"b{j}") for k in g}
        name = "search"
        return Scheme(name, ratios | {head: 1.0}, frozenset(biases | {head}))

    def key(self, genes: Genes) -> str:
        """A name of the scheme, the same for all genes that mean it."""
        return " ".join(f"{g}={genes[g]:g}" for g in self.choices if genes.get(g)) or "head"

    def whole(self, genes: Genes) -> dict[str, float]:
        """The genes with those that are missing, which are 0."""
        return {g: float(genes.get(g, 0.0)) for g in self.choices}

    def suffix(self, count: int) -> dict[str, float]:
        """Genes: the biases of the ``count`` groups nearest the head."""
        return {f"b{j}": 1.0 for j in range(count)}

    def groups_from(self, layer: int) -> int:
        """How many groups, from the head, lie wholly at or behind ``layer``."""
        return sum(min(group) >= layer for group in self.groups)


def find_space(model: Model, pricer: Pricer) -> Space:
    """All that fits the budget beside the head, one unit at a time.

    ``model`` is the one whose layers the scheme counts.
    """
    head = len(model.weighted) - 1
    ratios: dict[int, tuple[float, ...]] = {}
    biases = []
    misses = 0
    learnable = set(learnable_layers(model))
    for k in range(head - 1, -1, -1):
        if k not in learnable:
            continue
        op = model.weighted[k].op
        assert isinstance(op, Weighted)
        if has_bias := op.has_bias and pricer.fits(unit(head, k, 0.0)):
            biases.append(k)
        known = distinct_ratios(input_channels(model, k)) if op.learns_in_part else [1.0]
        # What fits at a ratio fits at all smaller ones.
        count = next(
            (n for n in range(len(known), 0, -1) if pricer.fits(unit(head, k, known[n - 1]))), 0
        )
        if count:
            ratios[k] = tuple(known[:count])
        misses = 0 if has_bias or count else misses + 1
        if misses == MISSES:
            break
    size = max(1, math.ceil(len(biases) / MAX_GROUPS))
    groups = tuple(tuple(biases[i : i + size]) for i in range(0, len(biases), size))
    return Space(head + 1, dict(sorted(ratios.items())), groups)


def unit(head: int, layer: int, ratio: float) -> Scheme:
    """The head and the weights of one layer, or for the ratio 0 its bias."""
    if not ratio:
        return Scheme("search", {head: 1.0}, frozenset({head, layer}))
    return Scheme("search", {head: 1.0, layer: ratio}, frozenset({head}))


def input_channels(model: Model, layer: int) -> int:
    node = model.weighted[layer]
    assert isinstance(node.op, Weighted)
    return int(node.op.geometry(node.inputs[0].type, node.inputs[1].type).in_ch)


def distinct_ratios(channels: int) -> list[float]:
    """The ratios that let different numbers of channels learn, one at least.

    >>> distinct_ratios(2), distinct_ratios(1), distinct_ratios(16)
    ([0.25, 1.0], [0.5], [0.125, 0.25, 0.5, 1.0])
    """
    found: dict[int, float] = {}
    for ratio in RATIOS:
        if count := math.floor(ratio * channels + 0.5):
            found.setdefault(count, ratio)
    return list(found.values())
