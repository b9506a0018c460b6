# SPDX-License-Identifier: Apache-2.0
"""A trained network as a model file again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcutrain.host.files import write_whole
from mcutrain.host.request import Request
from mcutrain.host.training.state import SavedState
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.export import UNSIGNED, export_model
from mcutrain.trainer.interpreter import unpack_state
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.training_plan import TrainingPlan


def export_saved(model: Path, state: Path, output: Path, resumable: bool = True) -> dict[str, Any]:
    """Write the model with the state that training saved. Raises Error."""
    saved = SavedState.read(state)
    request = saved.request(model)
    plan = request.plan_of(request.read())
    check_exportable(request, plan)
    return export_state(request, plan, saved.state(plan), output, resumable)


def check_exportable(request: Request, plan: TrainingPlan) -> None:
    """Raises ModelError if the network could not be exported, trained or not."""
    original = request.read()
    if original.is_unsigned:
        raise ModelError(
            f"{request.model} {UNSIGNED}: use --save, which `mcutrain evaluate --state` reads"
        )
    last = original.graph.producer(original.output)
    is_softmax = last is not None and isinstance(last.op, Softmax)
    if is_softmax and (plan.task.logits.type.shape[-1] == 1 or not plan.classes):
        raise ModelError(
            f"{request.model} ends in a SOFTMAX, which would hide what was trained: use --save, "
            "or a model without it"
        )


def export_state(
    request: Request, plan: TrainingPlan, state: bytes, output: Path, resumable: bool = True
) -> dict[str, Any]:
    """Write the request's model with ``state`` of its plan; what was written, for people.

    ``check_exportable`` comes first. Raises ModelError if the network cannot be a file.
    """
    exported = exported_state(request, plan, state, resumable)
    write_whole(output, exported)
    return {
        "output": str(output),
        "bytes": len(exported),
        "steps": int(unpack_state(plan, state)[plan.learning.sgd][1]),
    }


def exported_state(request: Request, plan: TrainingPlan, state: bytes, resumable: bool) -> bytes:
    """What ``export_state`` writes."""
    tensors = unpack_state(plan, state)
    in_use = int(tensors[plan.task.active][0]) if plan.task.active else plan.classes
    names = plan.options.class_names
    stored = request.without(["classes"]).but(
        spare_classes=plan.classes - in_use, class_names=names
    )
    model, options = request.model.read_bytes(), stored.stored()
    return export_model(model, plan, tensors, options, resumable=resumable)
