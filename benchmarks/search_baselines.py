# SPDX-License-Identifier: Apache-2.0
"""What a search is compared with: random search, and the Fisher information of a user's samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, Pricer
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.guess import Guess
from mcutrain.host.search.pool import Pool, all_scores, pool
from mcutrain.host.search.space import distinct_ratios, find_space, input_channels
from mcutrain.host.search.trial import Setup, TrialEffort, TrialScore
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.sgd import FRACTION, LearningRate
from mcutrain.trainer.options import Scheme

DRAWS = 1000  # at most, for each scheme that fits and is new
PASSES = 2  # over the samples: in the first the errors find their exponents


def random_search(setup: Setup, limit: int, plan: SearchPlan, trainings: int, jobs: int) -> Scheme:
    """The best of ``trainings`` schemes drawn at random among those that fit ``limit`` bytes.

    As in a search, the best ``plan.promoted`` are trained anew to choose from; in as many processes
    as ``jobs``.
    """
    pricer = Pricer(setup.request, setup.model, Limits(limit))
    space = find_space(setup.model, pricer)
    rng = np.random.default_rng([plan.seed, 7])
    once = TrialEffort(plan.epochs, plan.steps)
    again = TrialEffort(plan.epochs, None, tuple(range(1, plan.folds + 1)))
    guess, drawn = Guess(space, pricer), dict[str, Scheme]()
    for _ in range(DRAWS * trainings):
        if len(drawn) == trainings:
            break
        genes = {gene: float(rng.choice(values)) for gene, values in space.choices.items()}
        scheme = space.scheme(genes)
        # Learned bytes add up, and no arena is less than with a part: this saves most plans.
        arena, learned, _ = guess.deltas(genes)
        least = guess.head.sram + max(arena, default=0) + sum(learned)
        if least <= limit and pricer.fits(scheme):
            drawn[space.key(genes)] = scheme
    with pool(setup, jobs) as workers:
        first = scores(workers, drawn, once)
        best = sorted(drawn, key=lambda key: -first[key])[: plan.promoted]
        last = scores(workers, {key: drawn[key] for key in best}, again)
    return drawn[max(best, key=lambda key: last[key])]


def scores(workers: Pool, schemes: dict[str, Scheme], effort: TrialEffort) -> dict[str, float]:
    found: dict[str, float] = {}

    def done(key: str, score: TrialScore) -> None:
        found[key] = score.value

    all_scores(workers, list(schemes.items()), effort, done)
    return found


def fisher_information(request: Request, model: Model, data: Dataset) -> dict[int, Array]:
    """By weighted layer, of each output channel: 1/2N sum_n (sum_d a_nd g_nd)^2 over the training
    samples, by the exact integer gradients (Kwon et al. 2024, TinyTrain, equation 2)."""
    plan = request.but(update="full").plan_of(model)
    reference = Interpreter(plan)
    reference.set_learning_rate(LearningRate.from_real(0.0))
    outputs = {node.index: node.output for node in plan.forward}
    layer_of = {node.index: k for k, node in enumerate(model.weighted)}
    fractions = plan.learning.companions.of(FRACTION)
    updates = [n for n in plan.operations if n.inputs and n.inputs[0] in fractions]
    found = {k: np.zeros(model.weighted[k].output.type.shape[-1]) for k in layer_of.values()}
    for number in range(PASSES):
        for sample, label in zip(data.x_train, data.y_train, strict=True):
            *_, (_, values) = reference.trace(sample, label)
            for node in updates if number == PASSES - 1 else ():
                out, error, exponent = outputs[node.index], node.inputs[3], node.inputs[4]
                a = (values[out].astype(float) - out.type.zero_point) * out.type.scale
                g = values[error].astype(float) * 2.0 ** int(values[exponent].reshape(-1)[0])
                traced = (a * g).reshape(-1, a.shape[-1]).sum(axis=0)
                found[layer_of[node.index]] += traced**2 / (2 * len(data.x_train))
    return found


def fisher_scheme(request: Request, model: Model, data: Dataset, limit: int) -> Scheme:
    """Layers by their Fisher information over their weights and MACs, each relative to the
    greatest (TinyTrain, equation 3); of each as many input channels as fit, those of the greatest
    information; then its bias."""
    information = fisher_information(request, model, data)
    head = len(model.weighted) - 1
    pricer = Pricer(request, model, Limits(limit))
    weights = {k: model.weighted[k].inputs[1].type.size for k in range(head)}
    macs = {k: node.op.macs(node) for k, node in enumerate(model.weighted[:head])}
    score = {
        k: information[k].sum()
        / (weights[k] / max(weights.values()))
        / (macs[k] / max(macs.values()))
        for k in range(head)
    }
    scheme = Scheme("fisher", {head: 1.0}, frozenset({head}))
    for k in sorted(score, key=lambda k: -score[k]):
        channels = input_channels(model, k)
        for ratio in reversed(distinct_ratios(channels)):
            chosen = best_channels(model, information, k, int(ratio * channels + 0.5))
            more = replace(scheme, ratios={**scheme.ratios, k: ratio})
            if chosen and ratio < 1:
                more = replace(more, channels={**scheme.channels, k: chosen})
            if pricer.price(more) is not None and fits(pricer, more):
                scheme = more
                with_bias = replace(scheme, biases=scheme.biases | {k})
                scheme = with_bias if fits(pricer, with_bias) else scheme
                break
    return scheme


def fits(pricer: Pricer, scheme: Scheme) -> bool:
    """As ``Pricer.fits``, whose memory does not tell channels apart."""
    cost = pricer.price(scheme)
    return cost is not None and pricer.excess(cost) <= 0


def best_channels(
    model: Model, information: dict[int, Array], layer: int, count: int
) -> tuple[int, ...]:
    """The ``count`` input channels of the greatest information, ascending; () for the first layer,
    whose input has no gradient: there the default channels learn."""
    source = model.weighted[layer].inputs[0]
    made_by = next((k for k, n in enumerate(model.weighted) if n.output is source), None)
    if made_by is None:
        return ()
    order = np.argsort(-information[made_by], kind="stable")[:count]
    return tuple(sorted(int(c) for c in order))
