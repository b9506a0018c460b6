# SPDX-License-Identifier: Apache-2.0
"""What a scheme costs, about, from the costs of its parts: a plan of each would take too long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from host.search.budget import Cost, Pricer
from host.search.space import Genes, Space

OVERLAP = 0.3  # at first: of the parts beside the greatest, what adds to the arena


@dataclass
class Guess:
    """Learned bytes add up. Of the arena, which is as large as its fullest moment, the greatest
    part counts whole and of the others the share ``overlap``, which known schemes tell."""

    space: Space
    pricer: Pricer
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        head = self.pricer.cost(self.space.scheme({}))
        assert head is not None
        self.head = head
        self.parts = {
            (gene, value): part
            for gene, values in self.space.choices.items()
            for value in {values[1], values[-1]}
            if (part := self.pricer.cost(self.space.scheme({gene: value}))) is not None
        }

    def __call__(self, genes: Genes) -> Cost:
        arena, learned, macs = self.deltas(genes)
        largest = float(arena.max(initial=0.0))
        held = largest + self.overlap * (float(arena.sum()) - largest)
        deepest = float(macs.max(initial=0.0))
        steps = deepest + 0.5 * (float(macs.sum()) - deepest)
        return Cost(
            round(self.head.arena + held), round(self.head.learned + learned.sum()),
            self.head.constants, round(self.head.macs + steps), self.head.ahead,
        )  # fmt: skip

    def deltas(self, genes: Genes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each gene adds to the head's arena, learned bytes and MACs."""
        parts = [self.part(gene, value) for gene, value in genes.items() if value]
        rows = np.array(parts, float).reshape(len(parts), 3).T
        return rows[0], rows[1], rows[2]

    def part(self, gene: str, value: float) -> tuple[float, float, float]:
        low, high = self.space.choices[gene][1], self.space.choices[gene][-1]
        first = self.parts.get((gene, low), self.head)
        last = self.parts.get((gene, high), first)
        share = (value - low) / (high - low) if high > low else 0.0

        def between(a: int, b: int, head: int) -> float:
            return a + share * (b - a) - head

        return (
            between(first.arena, last.arena, self.head.arena),
            between(first.learned, last.learned, self.head.learned),
            between(first.macs, last.macs, self.head.macs),
        )

    def calibrate(self, known: Iterable[Genes]) -> None:
        """Take the overlap from schemes whose costs are known."""
        found = []
        for genes in known:
            arena, _, _ = self.deltas(genes)
            cost = self.pricer.cost(self.space.scheme(genes))
            rest = float(arena.sum() - arena.max(initial=0.0))
            if cost is not None and rest > 0:
                found.append((cost.arena - self.head.arena - float(arena.max())) / rest)
        if found:
            self.overlap = float(np.clip(np.mean(found), 0.0, 1.0))
