# SPDX-License-Identifier: Apache-2.0
"""What a scheme costs, about, from the costs of its parts: a plan of each would take too long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mcutrain.host.search.budget import Cost, Pricer
from mcutrain.host.search.space import Genes, Space

Part = tuple[float, float, float]  # arena, learned bytes and MACs that a gene adds to the head's
STIFFNESS = 0.5  # of the overlaps' common mean, in schemes


@dataclass
class Guess:
    """Learned bytes add up. Of the arena, which is as large as its fullest moment, the greatest
    part counts whole and of the others a share each, ``overlaps``, which planned schemes tell."""

    space: Space
    pricer: Pricer
    overlaps: dict[str, float] = field(default_factory=dict)
    parts: dict[tuple[str, float], Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        head = self.pricer.cost(self.space.scheme({}))
        assert head is not None
        self.head = head
        for gene, values in self.space.choices.items():
            ends = [self.pricer.cost(self.space.scheme({gene: v})) for v in (values[1], values[-1])]
            first, last = (self.added(cost or head) for cost in ends)
            for value in values[1:]:
                share = (value - values[1]) / max(values[-1] - values[1], 1e-9)
                arena, learned, macs = (
                    a + share * (b - a) for a, b in zip(first, last, strict=True)
                )
                self.parts[gene, value] = arena, learned, macs

    def added(self, cost: Cost) -> Part:
        head = self.head
        return cost.arena - head.arena, cost.learned - head.learned, cost.macs - head.macs

    def __call__(self, genes: Genes) -> Cost:
        _, learned, macs = self.deltas(genes)
        largest, others = self.split(genes)
        held = largest + sum(self.overlaps.get(gene, 0.0) * part for gene, part in others.items())
        deepest = max(macs, default=0.0)
        steps = deepest + 0.5 * (sum(macs) - deepest)
        return Cost(
            round(self.head.arena + held), round(self.head.learned + sum(learned)),
            self.head.constants, round(self.head.macs + steps), self.head.held,
        )  # fmt: skip

    def deltas(self, genes: Genes) -> tuple[tuple[float, ...], ...]:
        """What each gene adds to the head's arena, learned bytes and MACs."""
        parts = [self.parts[gene, value] for gene, value in genes.items() if value]
        return tuple(zip(*parts, strict=True)) if parts else ((), (), ())

    def fits(self, genes: Genes, share: float = 1.0) -> bool:
        """Within the budget, and within a share of its bytes of RAM that can hold the head."""
        cost = self(genes)
        limit = self.pricer.limits.sram - self.pricer.overhead.sram
        return self.pricer.excess(cost) <= 0 and cost.sram <= share * limit

    def drawn(self, rng: np.random.Generator, share: float = 1.0) -> dict[str, float]:
        """Genes at random, taken in random order as long as they fit."""
        genes: dict[str, float] = {}
        for gene in map(str, rng.permutation(list(self.space.choices))):
            more = genes | {gene: float(rng.choice(self.space.choices[gene]))}
            if self.fits(more, share):
                genes = {g: v for g, v in more.items() if v}
        return genes

    def split(self, genes: Genes) -> tuple[float, dict[str, float]]:
        """The greatest part of the arena, and the others by gene."""
        parts = {gene: self.parts[gene, value][0] for gene, value in genes.items() if value}
        if not parts:
            return 0.0, parts
        greatest = max(parts, key=lambda gene: parts[gene])
        return parts.pop(greatest), parts

    def calibrate(self, known: Iterable[Genes]) -> None:
        """Take the overlaps from schemes whose costs are planned: ridge regression towards a
        common mean."""
        genes_of = list(self.space.choices)
        rows, held = [], []
        for genes in known:
            cost = self.pricer.cost(self.space.scheme(genes))
            largest, others = self.split(genes)
            if cost is not None and others:
                rows.append([others.get(gene, 0.0) for gene in genes_of])
                held.append(cost.arena - self.head.arena - largest)
        x, y = np.array(rows, float), np.array(held, float)
        if not x.sum() > 0:  # also where a model has one layer, and so nothing to choose
            return
        common = y.sum() / x.sum()
        stiffness = STIFFNESS * np.mean(x[x > 0] ** 2) * np.eye(len(genes_of))
        own = np.linalg.solve(x.T @ x + stiffness, x.T @ (y - common * x.sum(axis=1)))
        self.overlaps = {gene: float(common + o) for gene, o in zip(genes_of, own, strict=True)}
