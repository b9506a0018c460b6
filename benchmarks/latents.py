# SPDX-License-Identifier: Apache-2.0
"""Cuts the frozen prefix off a task, so that thousands of steps do not repeat it.

The plan behind the cut trains to the bits of the whole one (tests/benchmarks/test_accuracy.py):
operators keep their index, scales and zero points, and so their rounding.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data.fetch import CACHE
from mcutrain.host.files import save_array
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.tail import latents, shifted
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model, cut
from mcutrain.trainer.options import CROSS_ENTROPY, OFF, RECONSTRUCTION, PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.training_plan import TrainingPlan

LATENTS = CACHE / "latents"


@dataclass(frozen=True)
class Tail:
    """A plan behind its frozen prefix, by formats; ``whole`` is the plan with it."""

    whole: TrainingPlan
    plan_of: Callable[[Formats], TrainingPlan]
    is_cut: bool

    @classmethod
    def of(
        cls,
        model: Model,
        update: str | Scheme,
        classes: int | None = None,
        loss: str = CROSS_ENTROPY,
    ) -> Tail:
        """What reconstructs its input needs it whole: nothing is cut off. Float runs are stored by
        the plan ``whole``, which is the same whatever format is the default."""
        options = PlanOptions(update, classes, loss=loss, precondition=OFF)
        whole = make_plan(model, options, thorough=False)
        is_cut = whole.latents.tensor is not None and loss != RECONSTRUCTION
        if is_cut:
            assert whole.latents.tensor is not None
            behind = cut(model, whole.latents.tensor.name)
            scheme = parse_scheme(update, model) if isinstance(update, str) else update
            moved = shifted(scheme, len(model.weighted) - len(behind.weighted))
            model, options = behind, replace(options, update=moved)

        @functools.cache
        def plan_of(formats: Formats) -> TrainingPlan:
            return make_plan(model, formats.within(options), thorough=False)

        return cls(whole, plan_of, is_cut)

    def taken(self, data: Dataset) -> Dataset:
        """The data as the plan takes them."""
        if not self.is_cut:
            return data
        x_train, x_test = (cached_latents(self.whole, x) for x in (data.x_train, data.x_test))
        return replace(data, x_train=x_train, x_test=x_test)


def tail(
    model: Model, update: str | Scheme, classes: int | None, data: Dataset
) -> tuple[Callable[[Formats], TrainingPlan], Dataset]:
    """The plan behind the frozen prefix, by formats, and the data as it takes them."""
    found = Tail.of(model, update, classes)
    return found.plan_of, found.taken(data)


def cached_latents(plan: TrainingPlan, samples: Array) -> Array:
    """(N, latent size) int8, from the cache if they were computed before."""
    assert plan.latents.tensor is not None
    digest = hashlib.sha256(plan.numerics_hash + plan.latents.tensor.name.encode())
    digest.update(np.ascontiguousarray(samples).tobytes())
    path = LATENTS / f"{digest.hexdigest()[:24]}.npy"
    if not path.is_file():
        save_array(path, latents(plan, samples))
    return np.asarray(np.load(path))
