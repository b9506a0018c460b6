# SPDX-License-Identifier: Apache-2.0
"""Prints what the fixed part of a model (firmware/mct/model_body.h) must know of it."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.c import WIDTH
from mcutrain.codegen.names import in_ram, region_name
from mcutrain.codegen.program import Program, SequenceCall
from mcutrain.trainer.enrolment import Enrolment, enrolment_of
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.training_plan import TrainingPlan


def emit_api(program: Program) -> Iterator[str]:
    """Macros, and the inclusion of the fixed part. The numbers stand here and not in the header
    alone, since the build hash covers this text."""
    plan = program.plan
    has_latent = plan.latents.tensor is not None
    yield "/* What mct/model_body.h must know of this model. */"
    yield from api_macros(plan.name)
    yield from (
        f"#define MCT_API_{macro} {in_ram(plan, tensor)}" for macro, tensor in tensors(program)
    )
    if plan.takes_label_map:
        yield "#define MCT_API_LABEL_MAP"
    if plan.options.receive_ahead:
        yield f"#define MCT_API_AHEAD_BYTES {plan.ahead_bytes}"
    if (chain := plan.learning.chain) is not None:
        yield f"#define MCT_API_CHAIN_GOES_ON {'false' if chain.initial is None else 'true'}"
        yield f"#define MCT_API_ENTRIES {plan.options.record_entries}"
    yield from emit_arriving(program)
    yield from emit_next(program)
    yield f"#define MCT_API_LATENT_SLOTS {plan.options.latent_slots if has_latent else 0}"
    yield f"#define MCT_API_FLASH_LATENTS {plan.flash_latents if has_latent else 0}"
    yield from emit_enrolment(program)
    yield '#include "mct/model_body.h"'


def slots_enrolment(plan: TrainingPlan) -> Enrolment | None:
    """How the head is enrolled, if the build has latents to enrol it from."""
    has_slots = plan.options.latent_slots + plan.flash_latents > 0
    return enrolment_of(plan) if has_slots else None


def emit_enrolment(program: Program) -> Iterator[str]:
    """The head, if it can be enrolled, and the rates of its update."""
    head = slots_enrolment(program.plan)
    if head is None:
        return
    learned = {"W": head.weight, "B": head.bias}
    learned |= {"FRAC": head.fraction} if head.fraction is not None else {}
    learned |= {f"{name}_SUM": t for name, t in zip("WB", head.sums, strict=False)}
    for macro, tensor in learned.items():
        yield define(f"MCT_API_ENROL_{macro}", in_ram(program.plan, tensor))
    for table in head.rates.tables:
        constant = program.tables[table.data.dtype.str, table.data.tobytes()]
        yield define(f"MCT_API_ENROL_{table.name.upper()}", constant.name)
    yield f"#define MCT_API_ENROL_OFFSET ({-head.zero_point})"
    yield f"#define MCT_API_ENROL_SHIFT ({head.shift})"


def define(macro: str, value: str) -> str:
    """A macro, on two lines if it must be."""
    line = f"#define {macro} {value}"
    return line if len(line) <= WIDTH else f"#define {macro} \\\n    {value}"


def api_macros(name: str) -> Iterator[str]:
    """How the fixed part calls what belongs to the model."""
    yield f"#define MCT_API(symbol) {name}_##symbol"
    yield f"#define MCT_API_CONST(symbol) {name.upper()}_##symbol"


def tensors(program: Program) -> Iterator[tuple[str, Tensor]]:
    """The tensors that the fixed part reads or writes, with the ends of their macros' names."""
    plan = program.plan
    yield "INPUT", plan.task.input
    yield "LOGITS", plan.task.logits
    yield "RECORD", plan.record
    yield "SGD", plan.learning.sgd
    if plan.task.target is not None and plan.takes_label:
        yield "LABEL", plan.task.target
    elif plan.task.target is not None and plan.target_bytes:
        yield "TARGET", plan.task.target
    if plan.task.predicted is not None:
        yield "PREDICTED", plan.task.predicted
    if plan.task.active is not None:
        yield "ACTIVE", plan.task.active
    if plan.task.seen is not None:
        yield "SEEN", plan.task.seen
    if plan.latents.tensor is not None:
        yield "LATENT", plan.latents.tensor
    if plan.learning.chain is not None:
        yield "CHAIN", plan.learning.chain


def emit_next(program: Program) -> Iterator[str]:
    """The functions that run the part with state for one input, and begin anew."""
    for number, call in enumerate(program.calls):
        if isinstance(call, SequenceCall):
            assert number == 0
            name = region_name(program, call)
            yield f"#define MCT_API_BEGIN {name}_begin"
            yield f"#define MCT_API_NEXT {name}_next"
            yield f"#define MCT_API_NEXT_BYTES {call.sequence.single.type.nbytes}u"


def emit_arriving(program: Program) -> Iterator[str]:
    """The region that runs as the rows of a sample come."""
    plan = program.plan
    for call in program.regions:
        if call.node is plan.arriving:
            row_bytes = plan.task.input.type.nbytes // plan.task.input.type.shape[1]
            yield f"#define MCT_API_ARRIVE {region_name(program, call)}"
            yield f"#define MCT_API_ROW_BYTES {row_bytes}u"
            yield f"#define MCT_API_ROWS_KEPT {call.region.kept[plan.task.input]}u"
