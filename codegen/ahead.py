# SPDX-License-Identifier: Apache-2.0
"""Prints how a model that receives ahead takes the next sample, and target, while a step runs."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.c import INDENT
from mcutrain.trainer.plan import TrainingPlan


def ahead_storage(plan: TrainingPlan) -> Iterator[str]:
    """The buffer in which a sample waits, and behind it a target that is no label."""
    if plan.receives_ahead:
        name = plan.name
        yield f"static _Alignas(4) int8_t {name}_ahead[{plan.ahead_bytes}]; /* sample, target */"
        yield f"static volatile uint32_t {name}_came; /* bytes of the sample */"


def ahead_push(plan: TrainingPlan) -> str:
    """The function that takes a part of a sample, a step under way or not."""
    name, bytes_ = plan.name, f"{plan.name.upper()}_INPUT_BYTES"
    return f"""\
mct_status {name}_push(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{{
    if (offset == 0u) {{
        {name}_came = 0u;
    }}
    if (offset != {name}_came || nbytes > {bytes_} - offset) {{
        return MCT_ERR_RANGE;
    }}
    if (bytes != {name}_ahead + offset) {{
        memcpy({name}_ahead + offset, bytes, nbytes);
    }}
    {name}_came = offset + nbytes;
    return MCT_OK;
}}

/* What waits becomes the sample of the step or inference that begins. */
static void {name}_take_sample(void)
{{
    memcpy({plan.input.name}, {name}_ahead, {bytes_});
    {name}_came = 0u;
}}"""


def ahead_target(plan: TrainingPlan) -> str:
    """Where the target of the next step waits."""
    return f"{plan.name}_ahead + {plan.name.upper()}_INPUT_BYTES"


def taking_target(plan: TrainingPlan) -> Iterator[str]:
    """Statements of begin: the target that waits is the step's."""
    assert plan.target is not None
    yield f"memcpy({plan.target.name}, {ahead_target(plan)}, {plan.name.upper()}_TARGET_BYTES);"


def forgetting_sample(plan: TrainingPlan) -> Iterator[str]:
    """Statements of reset: no sample waits."""
    if plan.receives_ahead:
        yield f"{INDENT}{plan.name}_came = 0u;"
