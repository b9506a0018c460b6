# SPDX-License-Identifier: Apache-2.0
"""What the generated C calls things that have no name of their own in a Program."""

from __future__ import annotations

from mcutrain.codegen.program import AnyCall, Program
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.training_plan import TrainingPlan


def in_ram(plan: TrainingPlan, tensor: Tensor) -> str:
    """The pointer to a tensor in RAM. No function of a model is called so: an input called "input"
    is not NAME_input, which returns where it lies."""
    return f"{plan.name}_ram_{tensor.name}"


def region_name(program: Program, call: AnyCall) -> str:
    """The function that runs a region."""
    return f"{program.plan.name}_{call.node.name}"
