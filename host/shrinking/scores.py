# SPDX-License-Identifier: Apache-2.0
"""What each channel is worth to the loss, to the first order, from the integers' own errors.

Where the channels of a unit leave, the loss of a sample changes by about the sum of activation
times error over them (Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource
Efficient Inference"). The square of it counts, in the mean over samples (Theis et al. 2018, "Faster
gaze prediction with dense networks and Fisher pruning"): changes of either sign cancel in part
where many units leave, so that squares add up, and magnitudes do not. Layers that make the same
unit, as those on both sides of a residual ADD, leave together: their sums are added before they are
squared, sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.losses import with_logits_of
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import DEFAULT_OPTIONS, RECONSTRUCTION, SQUARED_ERROR, PlanOptions
from mcutrain.trainer.shrinking.activation_errors import ActivationErrors
from mcutrain.trainer.shrinking.groups import Group, Groups

MOST_SAMPLES = 300
MOVED = 8  # quanta by which outputs are moved that nobody gave a target for


def taylor_scores(
    model: Model,
    groups: Groups,
    samples: Array,
    targets: Array | None = None,
    options: PlanOptions = DEFAULT_OPTIONS,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Array]:
    """By group (units,) float64: the mean square of the change of a sample's loss that each unit
    stands for.

    ``samples`` (N, input size) int8, of which MOST_SAMPLES are drawn; ``targets`` as a data set has
    them (N, ..), or None: then the squared error of what the loss takes counts, each value moved up
    or down by chance, so that a score is what a unit does to the outputs. The class that a model
    predicts would be a poor label: its loss is near 0, and so are all errors. A reconstruction
    has its input. Only the loss of ``options`` counts. A group has no scores if errors do not reach
    all of its producers. Raises ModelError as ActivationErrors.
    """
    if targets is None and options.loss != RECONSTRUCTION:
        model, options = with_logits_of(model, options.loss), replace(options, loss=SQUARED_ERROR)
    made = [node.output for group in groups.groups for node in group.producers]
    errors = ActivationErrors(model, made, options)
    scored = [g for g in groups.groups if all(n.output in errors.errors for n in g.producers)]
    totals = {group.name: np.zeros(group.units) for group in scored}
    drawn = np.random.default_rng(0).permutation(len(samples))[:MOST_SAMPLES]
    for done, k in enumerate(sorted(drawn)):
        report(done, len(drawn))
        own = partial(moved, np.random.default_rng(int(k)))
        values = errors.run(samples[k], own if targets is None else targets[k])
        for group in scored:
            totals[group.name] += np.square(change(group, errors, values))
    return {name: total / len(drawn) for name, total in totals.items()}


def change(group: Group, errors: ActivationErrors, values: dict[Tensor, Array]) -> Array:
    """(units,) float64: the sum of activation times error, in real units, over the producers."""
    total = np.zeros(group.units)
    for node in group.producers:
        own, (error, exponent) = errors.errors[node.output]
        kind, channels = own.type, own.type.shape[-1]
        centred = values[own].reshape(-1, channels).astype(np.float64) - kind.zero_point
        sums = (centred * values[error].reshape(-1, channels)).sum(axis=0)
        real = kind.scale * np.ldexp(sums, int(values[exponent][0]))
        total += real[group.places[node.output]].sum(axis=1)
    return total


def moved(rng: np.random.Generator, output: Array) -> Array:
    """The target of a sample without one: ``output``, int8 of the model, moved by MOVED quanta."""
    signs = rng.choice((-MOVED, MOVED), output.shape)
    found = output.astype(np.int64) + signs
    return np.asarray(np.where(np.abs(found) > 127, output - signs, found))
