# SPDX-License-Identifier: Apache-2.0
"""Enrolment: rows of the head written from the means of kept latents, in one pass (SPEC 1.11).

The nearest class mean (Mensink et al. 2013) as a layer: where every class is enrolled, the head's
greatest output is that of the class whose mean latent is nearest. Twin of
firmware/mct/model_enrol.h.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.fixedpoint import Int64
from mcutrain.trainer.graph.graph import storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Tensor
from mcutrain.trainer.ops.sgd import FRACTION_BITS, SUM, Rates, weight_rates
from mcutrain.trainer.ops.state_check import BIAS_MAX, WEIGHT_MAX
from mcutrain.trainer.ops.weighted import Weighted, filter_scales
from mcutrain.trainer.training_plan import TrainingPlan

MOST_SAMPLES = 32767  # 255 * 256 times as much fits int32
ALL_CLASSES = 0xFFFFFFFF  # in place of a label: every class that has samples
MEAN_BITS = 8  # of a mean, behind the point
COARSE_BITS = 4  # of a difference, left out of the spread
SPREAD_QUANTA = 64  # of the logits: at most what a class mean's logit rises above the centre's


@dataclass(frozen=True)
class Enrolment:
    """The head of a plan that can be enrolled: what its rows are made of, the sums of steps of
    weight and bias where it has them. ``shift`` is what the device adds to the rates'."""

    weight: Tensor
    bias: Tensor
    fraction: Tensor | None
    sums: tuple[Tensor, ...]
    rates: Rates
    zero_point: int
    shift: int

    @property
    def limit(self) -> int:
        """The greatest magnitude of M, or of a weight without a fraction."""
        return WEIGHT_MAX if self.fraction is not None else 127


def enrolment_of(plan: TrainingPlan) -> Enrolment | None:
    """How the head of ``plan`` is enrolled; None where the latent is not what a learned, fully
    connected head reads, or where outputs are not classes."""
    head = [node for node in plan.forward if isinstance(node.op, Weighted)][-1]
    latent = plan.latents.tensor
    if latent is None or len(head.inputs) != 3 or not is_enrollable(plan, head, latent):
        return None
    x, weight, bias = head.inputs
    assert isinstance(head.op, Weighted)
    beside = plan.learning.companions.beside
    fraction = plan.learning.companions.joined(weight)
    sums = tuple(beside(t)[SUM] for t in (weight, bias) if SUM in beside(t))
    scales = filter_scales(weight.type, head.op.out_axis)
    has_fraction = fraction is not None
    rates = weight_rates(x.type.scale, scales, head.op.dead, has_fraction=has_fraction)
    shift = MEAN_BITS - gain(plan.task.logits.type.scale, x.type.scale)
    return Enrolment(weight, bias, fraction, sums, rates, x.type.zero_point, shift)


def gain(logit_scale: float, x_scale: float) -> int:
    """H: of latents whose class means differ from their centre by a spread of 1 (SPEC 1.11), the
    rows are these differences times 2**H in reals, less what the spread is greater."""
    return math.floor(math.log2(SPREAD_QUANTA * logit_scale * 4.0**COARSE_BITS / x_scale**2))


def is_enrollable(plan: TrainingPlan, head: Node, latent: Tensor) -> bool:
    assert isinstance(head.op, Weighted)
    owner, (x, weight, bias) = storage(plan.graph), head.inputs
    return (
        plan.learning.chain is None  # which tells of steps alone
        and plan.takes_label
        and not head.op.is_spatial
        and not head.op.channels
        and head.op.limits() == (-128, 127)
        and {weight, bias} <= set(plan.learned)
        and owner[x] is owner[latent]
        and plan.classes == weight.type.shape[0] == head.output.type.size
        and plan.options.latent_slots + plan.flash_latents <= MOST_SAMPLES
    )


def checked_enrolment(plan: TrainingPlan) -> Enrolment:
    """As ``enrolment_of``. Raises ModelError where there is none."""
    found = enrolment_of(plan)
    if found is None:
        raise ModelError(
            f"the scheme '{plan.scheme.name}' cannot enrol classes: that takes a plan in which the "
            "head alone learns, and is fully connected; give --update head"
        )
    return found


@dataclass(frozen=True)
class Means:
    """Of the classes that have samples: ``classes`` (E,), their means A (E, I) and the centre m
    (I,), int64 with MEAN_BITS behind the point, less the zero point."""

    classes: Int64
    means: Int64
    centre: Int64

    @property
    def differences(self) -> Int64:
        return self.means - self.centre

    @property
    def spread(self) -> int:
        """t, the least with mean(|D|^2) <= 2**t; of D the last bits are rounded away."""
        coarse = (self.differences + (1 << COARSE_BITS - 1)) >> COARSE_BITS
        total, t = int((coarse * coarse).sum()), 0
        while total > len(self.classes) << t:
            t += 1
        return t


def means_of(latents: Array, labels: Array, zero_point: int) -> Means:
    """Of latents (N, I) int8 and their labels (N,). Raises ValueError without two classes."""
    classes = np.unique(labels)
    if len(classes) < 2 or len(labels) > MOST_SAMPLES:
        raise ValueError(f"{len(labels)} latents of {len(classes)} classes cannot be enrolled")
    centred = latents.reshape(len(labels), -1).astype(np.int64) - zero_point
    means = np.stack([
        quotient(centred[labels == c].sum(axis=0) << MEAN_BITS, int((labels == c).sum()))
        for c in classes
    ])  # fmt: skip
    return Means(classes.astype(np.int64), means, quotient(means.sum(axis=0), len(classes)))


def quotient(x: Int64, n: int) -> Int64:
    """round(x / n), ties away from zero.

    >>> quotient(np.int64([-3, -1, 1, 3]), 2)
    array([-2, -1,  1,  2])
    """
    return np.asarray(np.sign(x) * ((np.abs(x) + n // 2) // n))


def halved(x: int, shift: int, limit: int) -> int:
    """round(x / 2**shift) within +-limit, ties toward +inf.

    >>> halved(-3, 1, 99), halved(3, 1, 99), halved(3, -40, 99), halved(-3, 99, 99)
    (-1, 2, 99, 0)
    """
    value = x << -shift if shift <= 0 else (x + (1 << shift - 1)) >> shift
    return max(-limit, min(limit, value))


def enrolled(
    plan: TrainingPlan,
    state: Mapping[Tensor, Array],
    latents: Array,
    labels: Array,
    label: int = ALL_CLASSES,
) -> dict[Tensor, Array]:
    """The state with the row of ``label`` written from latents (N, I) int8 and labels (N,), all of
    classes in use, in any order. Raises ModelError where the plan cannot, ValueError where there
    is no latent of ``label``, or are no two classes."""
    head = checked_enrolment(plan)
    found = means_of(latents, labels, head.zero_point)
    if label != ALL_CLASSES and label not in found.classes:
        raise ValueError(f"no latent is of class {label}")
    base = head.shift + found.spread
    base += narrowing(head, found, base)
    changed = {t: value.copy() for t, value in state.items()}
    centre_square = int((found.centre * found.centre).sum())
    for c, mean, difference in zip(found.classes, found.means, found.differences, strict=True):
        multiplier = int(head.rates.multiplier[c])
        if multiplier == 0 or label not in (ALL_CLASSES, c):
            continue
        shift = base + int(head.rates.shift[c])
        row = np.array([halved(int(d) * multiplier, shift, head.limit) for d in difference])
        write_row(head, changed, int(c), row)
        fraction_bits = FRACTION_BITS if head.fraction is not None else 0
        half_squares = (int((mean * mean).sum()) - centre_square) * multiplier
        changed[head.bias].reshape(-1)[c] = -halved(
            half_squares, shift + MEAN_BITS + 1 + fraction_bits, BIAS_MAX
        )
        if plan.task.seen is not None:
            changed[plan.task.seen].reshape(-1)[int(c) // 32] |= np.uint32(1 << int(c) % 32)
    return changed


def narrowing(head: Enrolment, found: Means, base: int) -> int:
    """r, by how many more bits the rows are shifted, so that none passes its limit."""
    r = 0
    for c, difference in zip(found.classes, found.differences, strict=True):
        most = int(np.abs(difference).max()) * int(head.rates.multiplier[c])
        shift = base + int(head.rates.shift[c])
        while halved(most, shift + r, head.limit + 1) > head.limit:
            r += 1
    return r


def write_row(head: Enrolment, state: Mapping[Tensor, Array], c: int, row: Int64) -> None:
    if head.fraction is None:
        state[head.weight][c] = row
    else:
        whole = (row + (1 << FRACTION_BITS - 1)) >> FRACTION_BITS
        state[head.weight][c] = whole
        state[head.fraction][c] = row - (whole << FRACTION_BITS)
    for kept in head.sums:
        state[kept][c] = 0
