# SPDX-License-Identifier: Apache-2.0
"""Contribution analysis: what each bias and each layer's weights add to training the head alone
(Lin et al. 2022, section 3.2), measured on the user's samples."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from host.search.budget import Pricer
from host.search.space import Genes, Space

SHRUNK_TO = 0.5  # of a gain, where all gains differ by no more than chance explains
MANY = 40  # weights at their ratios; of more than that two ratios of each layer are measured


@dataclass(frozen=True)
class Measurement:
    """A short training that tells what ``gene`` adds: that of ``genes`` against ``base``."""

    gene: str  # "" for the head alone
    value: float  # of the gene
    genes: dict[str, float]
    base: dict[str, float]


def measurements(space: Space, pricer: Pricer) -> list[Measurement]:
    """What to train, within the budget.

    Biases are added group by group from the head. A layer's weights learn together with the
    biases from that layer on, whose errors are computed in any case, or else with the head alone.
    """
    is_large = sum(map(len, space.ratios.values())) > MANY
    found = [Measurement("", 0.0, {}, {})]
    for j in range(len(space.groups)):
        base = space.suffix(j) if pricer.fits(space.scheme(space.suffix(j))) else {}
        genes = base | {f"b{j}": 1.0}
        if pricer.fits(space.scheme(genes)):
            found.append(Measurement(f"b{j}", 1.0, genes, base))
    for layer, ratios in sorted(space.ratios.items(), reverse=True):
        for ratio in sorted({ratios[len(ratios) // 3], ratios[-1]}) if is_large else ratios:
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
        self.gains = shrunk(self.raw, error)
        self.gain = functools.cache(self._gain)

    def _gain(self, gene: str, value: float) -> float:
        """What the gene adds. Between measured ratios it follows the ratio's root, beyond them it
        stays; 0 for a gene that was not measured."""
        known = sorted((v, gain) for (name, v), gain in self.gains.items() if name == gene)
        if not known or not value:
            return 0.0
        ratios, gains = zip((0.0, 0.0), *known, strict=True)
        return float(np.interp(np.sqrt(value), np.sqrt(ratios), gains))

    def total(self, genes: Genes) -> float:
        """The sum that predicts what a scheme gains over the head (the paper's criterion)."""
        return sum(self.gain(gene, value) for gene, value in genes.items() if value)

    @property
    def spread(self) -> float:
        """The size of a gain, root mean square; at least a thousandth."""
        values = list(self.gains.values())
        return max(float(np.sqrt(np.mean(np.square(values)))) if values else 0.0, 1e-3)


def shrunk(
    gains: Mapping[tuple[str, float], float], error: float
) -> dict[tuple[str, float], float]:
    """The gains moved towards the mean of their kind, as far as chance explains their spread.

    Kinds are biases, and weights; half of a weight's gain is the mean of all ratios of its layer.
    Empirical Bayes (James and Stein 1961): the maximum of many noisy values is mostly noise.
    """
    found: dict[tuple[str, float], float] = {}
    for kind in ("b", "w"):
        mine = {k: g for k, g in gains.items() if k[0].startswith(kind)}
        if not mine:
            continue
        values = np.array(list(mine.values()))
        spread = float(values.var())
        kept = max(spread - error**2, 0.0) / spread if spread else 0.0
        kept = SHRUNK_TO + (1 - SHRUNK_TO) * kept
        for (gene, value), gain in mine.items():
            siblings = [g for (other, _), g in mine.items() if other == gene]
            smooth = (gain + float(np.mean(siblings))) / 2
            found[gene, value] = float(values.mean()) + kept * (smooth - float(values.mean()))
    return found
