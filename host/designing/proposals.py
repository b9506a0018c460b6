# SPDX-License-Identifier: Apache-2.0
"""Which nets are tried: Optuna's tree of Parzen estimators proposes genes, the plan lets through
what fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial

from mcutrain.host.designing.nets import CHAIN, GENES, RESIDUAL, Net
from mcutrain.host.designing.pricing import NetPricer

SPACE: dict[str, BaseDistribution] = {
    "family": CategoricalDistribution((CHAIN, RESIDUAL)),
    **{name: CategoricalDistribution(values) for name, values in GENES.items()},
}
ATTEMPTS = 40  # proposals until one fits that is not known yet
MISFIT = -1e6  # the value of a net that does not fit: less than of any that was trained
STARTUP = 8  # proposals at random before the estimators are asked


@dataclass
class Proposals:
    """Nets of the families, each proposed once; all that were trained are learned from.

    Equal seeds and values make equal proposals, so that a study that goes on proposes what it
    would have.
    """

    pricer: NetPricer
    seed: int
    update: str
    proposed: dict[str, Net] = field(default_factory=dict)
    study: optuna.Study = field(init=False)

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(
                seed=self.seed, n_startup_trials=STARTUP, constant_liar=True
            )
            self.study = optuna.create_study(direction="maximize", sampler=sampler)

    def next(self) -> Net | None:
        """A net that fits and was not proposed before; None if none is found."""
        for _ in range(ATTEMPTS):
            trial = self.study.ask(SPACE)
            net = net_of(trial.params, self.update)
            excess = self.pricer.excess(net)
            if excess > 0:
                self.study.tell(trial, MISFIT - excess)
                narrower = self.pricer.narrowed(net)
                if narrower is None:
                    continue
                net = narrower
            else:
                # Its value is told with its genes as they are; this proposal has served.
                self.study.tell(trial, state=TrialState.FAIL)
            if net.key not in self.proposed:
                self.proposed[net.key] = net
                return net
        return None

    def tell(self, net: Net, value: float) -> None:
        """What a net that was proposed has come to."""
        params = {"family": net.family, **dict(net.genes)}
        self.study.add_trial(create_trial(params=params, distributions=SPACE, value=value))


def net_of(params: Mapping[str, Any], update: str) -> Net:
    """The genes without those that change nothing."""
    genes, family = {name: int(params[name]) for name in GENES}, str(params["family"])
    if genes["depth"] == 0:
        genes |= {"halving": 0, "separable": 0}
        family = CHAIN
    if genes["halving"] == 0:
        genes["growth"] = 100
    return Net.of(family, genes, update)
