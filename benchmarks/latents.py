# SPDX-License-Identifier: Apache-2.0
"""Cuts the frozen prefix off a task, so that thousands of steps do not repeat it.

The plan behind the cut trains to the bits of the whole one (tests/benchmarks/test_accuracy.py):
operators keep their index, scales and zero points, and so their rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.data.fetch import CACHE
from mcutrain.host.files import save_array
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.tail import latents, shifted
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model, cut
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.training_plan import TrainingPlan

LATENTS = CACHE / "latents"


def tail(
    model: Model, update: str | Scheme, classes: int | None, data: Dataset
) -> tuple[Callable[[Formats], TrainingPlan], Dataset]:
    """The plan behind the frozen prefix, by formats, and the data as it takes them."""
    whole = make_plan(model, PlanOptions(update, classes), thorough=False)
    if whole.latents.tensor is None:
        return lambda formats: make_plan(
            model, formats.within(PlanOptions(update, classes)), thorough=False
        ), data
    start = whole.latents.tensor.name
    scheme = parse_scheme(update, model) if isinstance(update, str) else update
    behind = cut(model, start)
    moved = shifted(scheme, len(model.weighted) - len(behind.weighted))
    x_train, x_test = (cached_latents(whole, x) for x in (data.x_train, data.x_test))
    return (
        lambda formats: make_plan(
            behind, formats.within(PlanOptions(moved, classes)), thorough=False
        ),
        replace(data, x_train=x_train, x_test=x_test),
    )


def cached_latents(plan: TrainingPlan, samples: Array) -> Array:
    """(N, latent size) int8, from the cache if they were computed before."""
    assert plan.latents.tensor is not None
    digest = hashlib.sha256(plan.numerics_hash + plan.latents.tensor.name.encode())
    digest.update(np.ascontiguousarray(samples).tobytes())
    path = LATENTS / f"{digest.hexdigest()[:24]}.npy"
    if not path.is_file():
        save_array(path, latents(plan, samples))
    return np.asarray(np.load(path))
