# SPDX-License-Identifier: Apache-2.0
"""Which schemes are worth a trial: those that promise most within the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcutrain.host.search.guess import Guess
from mcutrain.host.search.predictor import Predictor
from mcutrain.host.search.space import Genes, Space
from mcutrain.trainer.graph.tensor import Array

DRAWN = 200  # schemes at random
CLIMBS = 4  # from the best of these and of the trained ones
STEPS = 40  # of a climb, at most
Worth = dict[str, tuple[float, Genes]]  # the promise of schemes, by ``space.key``
Judge = Callable[[Sequence[Genes]], Array]  # the promise of each, (N,)


@dataclass
class Candidates:
    """Of a space, by what is guessed to fit."""

    space: Space
    guess: Guess

    def promising(
        self, judge: Judge, known: Iterable[Genes], rng: np.random.Generator, share: float
    ) -> list[Genes]:
        """Schemes within ``share`` of the budget, the most promising first: of random ones and of
        those known, and of what hill climbing from the best of them visits."""
        pool: list[Genes] = [self.guess.drawn(rng, share) for _ in range(DRAWN)]
        pool += [genes for genes in known if self.guess.fits(genes, share)]
        worth: Worth = {}
        self.judged(pool, judge, worth)
        for _, start in sorted(worth.values(), key=lambda one: -one[0])[:CLIMBS]:
            self.climb(start, judge, worth, share)
        return [genes for _, genes in sorted(worth.values(), key=lambda one: -one[0])]

    def judged(self, schemes: list[Genes], judge: Judge, worth: Worth) -> Array:
        """What ``judge`` says of schemes, which ``worth`` then knows too."""
        values = judge(schemes)
        for genes, value in zip(schemes, values, strict=True):
            worth[self.space.key(genes)] = float(value), genes
        return values

    def climb(self, genes: Genes, judge: Judge, worth: Worth, share: float) -> None:
        """From neighbour to better neighbour; those looked at are added to ``worth``."""
        now = worth[self.space.key(genes)][0]
        for _ in range(STEPS):
            near = [other for other in self.neighbours(genes) if self.guess.fits(other, share)]
            if not near:
                return
            values = self.judged(near, judge, worth)
            best = int(np.argmax(values))
            if values[best] <= now:
                return
            now, genes = float(values[best]), near[best]

    def neighbours(self, genes: Genes) -> Iterator[Genes]:
        """With another value of one gene; or also without one of the others."""
        mine = {gene: value for gene, value in genes.items() if value}
        for gene, values in self.space.choices.items():
            others = {g: v for g, v in mine.items() if g != gene}
            for value in values:
                if value == mine.get(gene, 0.0):
                    continue
                more = {**others, gene: value} if value else others
                yield more
                if value > mine.get(gene, 0.0):
                    yield from ({g: v for g, v in more.items() if g != less} for less in others)

    def greedy(self, predictor: Predictor, start: Genes) -> Iterator[Genes]:
        """From ``start`` on, at each step with the gene that then adds most for its bytes."""
        genes = dict(start)
        while True:
            yield genes
            now = self.guess(genes).sram
            more = [
                genes | {gene: value}
                for gene, values in self.space.choices.items()
                for value in values
                if value > genes.get(gene, 0.0)
            ]
            more = [g for g in more if self.guess.fits(g)]
            if not more:
                return
            mean, _ = predictor.predict([genes, *more])
            gains = [
                (gain - mean[0]) / max(self.guess(g).sram - now, 64)
                for g, gain in zip(more, mean[1:], strict=True)
            ]
            if max(gains) <= 0:
                return
            genes = more[int(np.argmax(gains))]
