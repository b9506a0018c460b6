# SPDX-License-Identifier: Apache-2.0
"""Contribution analysis: what each bias and each layer's weights add to training the head alone
(Lin et al. 2022, section 3.2), measured on the user's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcutrain.host.search.budget import Pricer
from mcutrain.host.search.space import Genes, Space

SHRUNK_TO = 0.5  # of a gain, where all gains differ by no more than chance explains
MANY = 20  # layers: of more, a layer's weights are measured at one ratio, not two
POWER = 0.75  # of a ratio, that gains go with: the first channels of a layer bring most


@dataclass(frozen=True)
class Measurement:
    """A training that tells what ``gene`` adds: that of ``genes`` against ``base``."""

    gene: str  # "" for the head alone
    value: float  # of the gene
    genes: dict[str, float]
    base: dict[str, float]


def measurements(space: Space, pricer: Pricer) -> list[Measurement]:
    """What to train, within the budget.

    Biases are added group by group from the head. A layer's weights learn together with the
    biases from that layer on, whose errors are computed in any case, or else with the head alone;
    at its greatest ratios, of which the others follow.
    """
    found = [Measurement("", 0.0, {}, {})]
    for j in range(len(space.groups)):
        base = space.suffix(j) if pricer.fits(space.scheme(space.suffix(j))) else {}
        genes = base | {f"b{j}": 1.0}
        if pricer.fits(space.scheme(genes)):
            found.append(Measurement(f"b{j}", 1.0, genes, base))
    for layer, ratios in sorted(space.ratios.items(), reverse=True):
        for ratio in ratios[-1:] if len(space.ratios) > MANY else ratios[-2:]:
            for count in (space.groups_from(layer), 0):
                base = space.suffix(count)
                genes = base | {f"w{layer}": ratio}
                if all(pricer.fits(space.scheme(g)) for g in (base, genes)):
                    found.append(Measurement(f"w{layer}", ratio, genes, base))
                    break
    return found


class Contributions:
    """Gains by gene and value, from the values that the measured schemes scored."""

    def __init__(
        self, space: Space, measured: list[Measurement], scores: Mapping[str, float], error: float
    ) -> None:
        """``scores`` by ``space.key``; ``error`` is the standard error of a gain, by chance."""
        self.head = scores["head"]
        self.raw = {
            (m.gene, m.value): scores[space.key(m.genes)] - scores[space.key(m.base)]
            for m in measured
            if m.gene
        }
        self.gains = shrunk(whole_gains(self.raw), error)

    def gain(self, gene: str, value: float) -> float:
        """What the gene adds; 0 for one that was not measured."""
        return self.gains.get(gene, 0.0) * float(value**POWER)

    def total(self, genes: Genes) -> float:
        """The sum of what a scheme gains over the head (the paper's criterion)."""
        return sum(self.gain(gene, value) for gene, value in genes.items() if value)

    @property
    def greatest(self) -> float:
        """The greatest gain of all, at least a thousandth."""
        return max(1e-3, *self.gains.values()) if self.gains else 1e-3

    @property
    def spread(self) -> float:
        """The size of a gain, root mean square; at least a thousandth."""
        values = list(self.gains.values())
        return max(float(np.sqrt(np.mean(np.square(values)))) if values else 0.0, 1e-3)


def whole_gains(raw: Mapping[tuple[str, float], float]) -> dict[str, float]:
    """By gene, what its greatest value would gain if gains went with a power of the ratio: least
    squares over the ratios that were measured."""
    found: dict[str, float] = {}
    for gene in {name: None for name, _ in raw}:
        ratios, gains = np.array([(v**POWER, gain) for (n, v), gain in raw.items() if n == gene]).T
        found[gene] = float(ratios @ gains / (ratios @ ratios))
    return found


def shrunk(gains: Mapping[str, float], error: float) -> dict[str, float]:
    """The gains moved towards the mean of their kind, biases or weights, as far as chance explains
    their spread.

    Empirical Bayes (James and Stein 1961): the maximum of many noisy values is mostly noise.
    """
    found: dict[str, float] = {}
    for kind in ("b", "w"):
        mine = {gene: gain for gene, gain in gains.items() if gene.startswith(kind)}
        if not mine:
            continue
        values = np.array(list(mine.values()))
        mean, spread = float(values.mean()), float(values.var())
        kept = max(spread - error**2, 0.0) / spread if spread else 0.0
        kept = SHRUNK_TO + (1 - SHRUNK_TO) * kept
        found |= {gene: mean + kept * (gain - mean) for gene, gain in mine.items()}
    return found
