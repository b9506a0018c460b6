# SPDX-License-Identifier: Apache-2.0
"""The nets that a design chooses from: two families by their genes, beside those made by hand.

A sample is (H, W, C); of a series W is 1, and kernels and strides are along time alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from mcutrain.host.designing.handmade import HANDMADE
from mcutrain.host.designing.widths import Shape, along
from mcutrain.trainer.making.net_builder import NetBuilder

CHAIN, RESIDUAL = "chain", "residual"
FULL = "full"
BY_HAND, DESIGNED, SHRUNK = "by hand", "designed", "shrunk"  # how a net is made
# The genes of a net that is made smaller after it was trained: its bytes of RAM, and a number for
# all else that the cut depends on.
BUDGET, CONDITIONS = "sram", "conditions"
MEAN, MAX, FLAT = 0, 1, 2  # of the gene "pool"
# What each gene may be. ``stride`` is the first layer's; every ``halving``-th block moves by two
# (0: none does) and is ``growth`` percent as wide as the one before it. ``pool``: the mean of all
# positions, the greatest of two by two first, or all values as they are. ``norm``: batch norms,
# which cost nothing in the file. ``separable`` blocks are a depthwise and a pointwise layer.
GENES: dict[str, tuple[int, ...]] = {
    "width": (4, 6, 8, 10, 12, 16, 20, 24, 32, 48),
    "kernel": (3, 5, 7),
    "stride": (1, 2, 3, 4),
    "depth": (0, 1, 2, 3, 4),
    "halving": (0, 1, 2),
    "growth": (100, 150, 200),
    "pool": (MEAN, MAX, FLAT),
    "norm": (0, 1),
    "separable": (0, 1),
}
NEUTRAL = {"depth": 0, "halving": 0, "growth": 100, "norm": 0, "separable": 0}
POOLS = ("mean", "max", "flat")
Genes: TypeAlias = Mapping[str, int]
Build: TypeAlias = Callable[[NetBuilder, Genes], None]


@dataclass(frozen=True)
class Net:
    """A net before it is trained: its family, its genes by name, and what of it shall learn later.

    Of a net made by hand the first gene is ``percent``: how wide it is, of what its maker chose. If
    it is shrunk, BUDGET and CONDITIONS are the others.
    """

    family: str
    genes: tuple[tuple[str, int], ...]
    update: str = FULL

    @classmethod
    def of(cls, family: str, genes: Genes, update: str = FULL) -> Net:
        return cls(family, tuple(genes.items()), update)

    @property
    def kind(self) -> str:
        if self.family not in HANDMADE:
            return DESIGNED
        return SHRUNK if BUDGET in dict(self.genes) else BY_HAND

    @property
    def whole(self) -> Net:
        """What a net was before it was shrunk."""
        kept = (gene for gene in self.genes if gene[0] not in (BUDGET, CONDITIONS))
        return replace(self, genes=tuple(kept))

    def shrunk(self, sram: int, conditions: int) -> Net:
        """The whole net made by hand, to be trained and then shrunk to so many bytes of RAM."""
        genes = {"percent": 100, BUDGET: sram, CONDITIONS: conditions}
        return Net.of(self.family, genes, self.update)

    @property
    def structure(self) -> str:
        """Its name without what learns: nets of one structure are trained once.

        >>> Net.of("watch", {"percent": 50}, "last:2").structure
        'watch percent=50'
        """
        return " ".join([self.family, *(f"{name}={value}" for name, value in self.genes)])

    @property
    def key(self) -> str:
        return f"{self.structure} {self.update}"

    @property
    def shown(self) -> str:
        """What a table calls it: without genes that add nothing.

        >>> Net.of("watch", {"percent": 50}).shown, Net.of("watch", {"percent": 100}, "bias").shown
        ('watch at 50 %', 'watch, bias')
        >>> Net.of("chain", {"width": 8, "kernel": 3, "depth": 0, "pool": MAX}).shown
        'chain width=8 kernel=3 pool=max'
        """
        genes = dict(self.genes)
        if self.kind == DESIGNED:
            told = {n: POOLS[v] if n == "pool" else v for n, v in genes.items()}
            parts = (f"{n}={v}" for n, v in told.items() if v != NEUTRAL.get(n))
            text = " ".join([self.family, *parts])
        else:
            text = f"{self.family} at {genes['percent']} %".removesuffix(" at 100 %")
            text += ", shrunk" * (self.kind == SHRUNK)
        return text + (f", {self.update}" if self.update != FULL else "")

    def but(self, **genes: int) -> Net:
        return replace(self, genes=tuple({**dict(self.genes), **genes}.items()))

    def build(self, shape: Shape, outputs: int, seed: int) -> NetBuilder:
        """Its layers with first weights, for samples of ``shape``.

        Raises ValueError where they are too small for it.
        """
        net, genes = NetBuilder(shape, seed), dict(self.genes)
        if self.kind != DESIGNED:
            HANDMADE[self.family].build(net, genes["percent"])
        else:
            {CHAIN: chain, RESIDUAL: residual}[self.family](net, genes)
        net.dense(outputs)
        return net


def stem(net: NetBuilder, genes: Genes) -> None:
    has_norm = bool(genes["norm"])
    kernel, stride = along(net, genes["kernel"]), along(net, genes["stride"])
    net.conv(genes["width"], kernel, stride, batch_norm=has_norm)


def strides_of(genes: Genes) -> list[int]:
    """Of the blocks, in their order."""
    every = genes["halving"]
    return [2 if every and k % every == 0 else 1 for k in range(genes["depth"])]


def grown(width: int, genes: Genes, stride: int) -> int:
    """Of a block that moves by ``stride``."""
    return round(width * genes["growth"] / 100) if stride > 1 else width


def mixed(net: NetBuilder, width: int, genes: Genes, stride: int, activation: str) -> str:
    """The layers of one block; returns the last one's name."""
    kernel, step, has_norm = along(net, genes["kernel"]), along(net, stride), bool(genes["norm"])
    if not genes["separable"]:
        return net.conv(width, kernel, step, activation=activation, batch_norm=has_norm)
    net.depthwise(kernel, step, batch_norm=has_norm)
    return net.conv(width, 1, activation=activation, batch_norm=has_norm)


def pooled(net: NetBuilder, genes: Genes) -> None:
    if genes["pool"] == MAX:
        net.max_pool(along(net, 2))
    if genes["pool"] != FLAT:
        net.average_pool()


def chain(net: NetBuilder, genes: Genes) -> None:
    """One layer behind the other."""
    stem(net, genes)
    width = genes["width"]
    for stride in strides_of(genes):
        width = grown(width, genes, stride)
        mixed(net, width, genes, stride, "relu6")
    pooled(net, genes)


def residual(net: NetBuilder, genes: Genes) -> None:
    """Blocks whose input is added to their output; where a block moves by two, a layer that does
    stands before it."""
    stem(net, genes)
    width = genes["width"]
    for stride in strides_of(genes):
        if stride > 1:
            width = grown(width, genes, stride)
            mixed(net, width, genes, stride, "relu6")
        shortcut = net.last
        mixed(net, width, genes, 1, "none")
        net.add(shortcut, net.last, activation="relu6")
    pooled(net, genes)


def least_nets(update: str) -> list[Net]:
    """The smallest there are: one layer with few filters before the head, and the mean or the
    greatest of what it gives."""
    genes = {name: values[0] for name, values in GENES.items()}
    return [
        Net.of(CHAIN, {**genes, "stride": stride, "kernel": kernel}, update)
        for stride in GENES["stride"]
        for kernel in GENES["kernel"][:1]
    ]


def handmade_nets(shape: Shape, update: str) -> list[Net]:
    """Those for samples of this kind, at each width."""
    is_series = shape[1] == 1
    return [
        Net.of(name, {"percent": percent}, update)
        for name, made in HANDMADE.items()
        if made.is_series == is_series
        for percent in PERCENTS
    ]


PERCENTS = (100, 75, 50, 35, 25)
