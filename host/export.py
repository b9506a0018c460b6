# SPDX-License-Identifier: Apache-2.0
"""A trained network as a model file again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from host.files import write_whole
from host.request import Request
from host.state import SavedState
from trainer.errors import ModelError
from trainer.export import export_model
from trainer.interpreter import unpack_state
from trainer.ops.softmax import Softmax
from trainer.plan import TrainingPlan
from trainer.tflite import load


def export_saved(model: Path, state: Path, output: Path, resumable: bool = True) -> dict[str, Any]:
    """Write the model with the state that training saved. Raises Error."""
    saved = SavedState.read(state)
    request = saved.request(model)
    plan = request.plan_of(load(model))
    return export_state(request, plan, saved.state(plan), output, resumable)


def export_state(
    request: Request, plan: TrainingPlan, state: bytes, output: Path, resumable: bool = True
) -> dict[str, Any]:
    """Write the request's model with ``state`` of its plan; what was written, for people.

    Raises ModelError if the network cannot be a file.
    """
    original = load(request.model)
    last = original.graph.producer(original.output)
    if last is not None and isinstance(last.op, Softmax) and plan.logits.type.size == 1:
        raise ModelError(
            f"{request.model} ends in a SOFTMAX, which makes a lone output 1 whatever it is: "
            "train two classes (--classes 2) to export"
        )
    tensors = unpack_state(plan, state)
    in_use = int(tensors[plan.active][0]) if plan.active else plan.classes
    options = replace(
        request,
        classes=None,
        spare_classes=plan.classes - in_use,
        class_names=plan.class_names,
    ).options()
    exported = export_model(request.model.read_bytes(), plan, tensors, options, resumable=resumable)
    write_whole(output, exported.data)
    return {
        "output": str(output),
        "bytes": len(exported.data),
        "unused_bytes": exported.unused_bytes,
        "steps": int(tensors[plan.sgd][1]),
    }
