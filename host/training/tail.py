# SPDX-License-Identifier: Apache-2.0
"""Cuts the frozen prefix off a plan, so that many trainings on the same samples do not repeat it.

The plan behind the cut trains to the bits of the whole one: operators keep their index, scales
and zero points, and so their rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from mcutrain.host.building.compilers import native_compiler
from mcutrain.host.building.library import LibraryRunner, in_process
from mcutrain.host.request import Request
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model, cut, trim
from mcutrain.trainer.options import DEFAULT_OPTIONS, Effect, Scheme
from mcutrain.trainer.sequence import planned_part
from mcutrain.trainer.training_plan import TrainingPlan

MEMORY_OPTIONS = [*DEFAULT_OPTIONS.to_json(Effect.MEMORY)]


def tail(request: Request, model: Model, whole: TrainingPlan) -> tuple[TrainingPlan, str | None]:
    """The plan behind the frozen prefix of ``whole``, and the tensor that is its input.

    ``whole`` is the request's plan of ``model``. Where there is no prefix, or the model cannot be
    cut behind it, it is ``whole`` itself, and None.
    """
    if whole.latents.tensor is None:
        return whole, None
    try:
        behind = plan_from(request, model, whole.scheme, whole.latents.tensor.name)
    except ModelError:  # a layer behind it also reads what is before it
        return whole, None
    if (
        behind.task.input.type != whole.latents.tensor.type
    ):  # narrower, by constant channels left out
        return whole, None
    return behind, whole.latents.tensor.name


def plan_from(request: Request, model: Model, scheme: Scheme, start: str) -> TrainingPlan:
    """The request's plan of ``model`` behind the tensor ``start``, before which nothing learns.

    Raises ModelError if the model cannot be cut there.
    """
    part = trim(planned_part(model, request.options))
    layers = len(part.weighted) - len(trim(cut(part, start)).weighted)
    behind = request.on(GENERIC).without(MEMORY_OPTIONS)
    behind = behind.but(update=shifted(scheme, layers), start=start, sequence_length=1)
    return behind.plan_of(model, thorough=False)  # trained here, where no byte counts


def shifted(scheme: Scheme, layers: int) -> Scheme:
    """The scheme with the first ``layers`` layers, which do not learn, no longer counted."""
    return replace(
        scheme,
        ratios={k - layers: r for k, r in scheme.ratios.items()},
        biases=frozenset(k - layers for k in scheme.biases),
        channels={k - layers: c for k, c in scheme.channels.items()},
    )


@contextmanager
def fastest(plan: TrainingPlan) -> Iterator[LibraryRunner | ReferenceRunner]:
    """The generated C in this process; the reference where there is no compiler, or for kernels of
    another instruction set."""
    if native_compiler() is None or plan.needs:
        yield ReferenceRunner(plan)
    else:
        with in_process(plan) as runner:
            yield runner


def latents(plan: TrainingPlan, samples: Array) -> Array:
    """(N, latent size) int8: what the frozen prefix of ``plan`` makes of each sample."""
    latent = plan.latents.tensor
    assert latent is not None
    with fastest(plan) as runner:
        found = [runner.latent_of(sample) for sample in samples]
    return np.stack([value.reshape(-1) for value in found])
