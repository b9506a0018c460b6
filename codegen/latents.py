# SPDX-License-Identifier: Apache-2.0
"""Prints the functions of a generated model that begin at its latent, and its store of latents."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.c import INDENT
from mcutrain.codegen.header import class_count
from mcutrain.codegen.image import Image
from mcutrain.codegen.regions import dropping_sample, taking_sample
from mcutrain.trainer.plan import TrainingPlan


def emit_latent(image: Image) -> Iterator[str]:
    """The functions that begin at the latent; they refuse where there is none."""
    plan, name, upper = image.plan, image.plan.name, image.plan.name.upper()
    begin = f"return {name}_begin_at({upper}_PREFIX_CALLS, label);"
    prefix = f"return {name}_between_steps({upper}_FIRST_CALL, {upper}_PREFIX_CALLS);"
    infer = f"return {name}_between_steps({upper}_PREFIX_CALLS, {upper}_FORWARD_CALLS);"
    if plan.latent is None:
        prefix = infer = "return MCT_ERR_RANGE;"
        begin = f"(void)label;\n{INDENT}return MCT_ERR_RANGE;"
    text = f"""
int8_t *{name}_latent(void)
{{
{dropping_sample(plan)}    return {plan.latent.name if plan.latent else "NULL"};
}}

mct_status {name}_prefix(void)
{{
{"" if plan.latent is None else taking_sample(plan)}    {prefix}
}}

mct_status {name}_begin_from_latent(uint32_t label)
{{
    {begin}
}}

mct_status {name}_step_from_latent(uint32_t label)
{{
    mct_status status = {name}_begin_from_latent(label);
    if (status == MCT_OK) {{
        (void){name}_run({upper}_CALLS);
    }}
    return status;
}}

mct_status {name}_infer_from_latent(void)
{{
    {infer}
}}"""
    yield from text.splitlines()


def emit_slots(image: Image) -> Iterator[str]:
    """The stores of kept latents, in RAM and in flash; without slots, functions that refuse.

    The number of slots is written out: the build hash covers this text, not the header.
    """
    plan = image.plan
    has_ram = plan.latent is not None and plan.latent_slots > 0
    has_flash = plan.latent is not None and plan.flash_latents > 0
    if has_ram:
        yield from slots_in_ram(plan).splitlines()
    yield from (keep(plan) if has_ram else refusal(plan, "keep", "uint32_t label")).splitlines()
    if has_flash:
        yield from recall_from_flash(plan).splitlines()
    refused = refusal(plan, "recall", "uint32_t *label")
    takes = has_ram or has_flash
    yield from (recall(plan, has_ram, has_flash) if takes else refused).splitlines()


def refusal(plan: TrainingPlan, verb: str, label: str) -> str:
    return f"""
mct_status {plan.name}_{verb}_latent(uint32_t slot, {label})
{{
    (void)slot;
    (void)label;
    return MCT_ERR_RANGE;
}}"""


def slots_in_ram(plan: TrainingPlan) -> str:
    name, slots = plan.name, plan.latent_slots
    return f"""
static int8_t {name}_slots[{slots}][{name.upper()}_LATENT_BYTES];
static uint16_t {name}_slots_label[{slots}]; /* 1 more than it; 0 for an empty slot */"""


def keep(plan: TrainingPlan) -> str:
    assert plan.latent is not None
    name, upper = plan.name, plan.name.upper()
    label = f"label >= {class_count(plan)}" if plan.takes_label else "label != 0u"
    return f"""
mct_status {name}_keep_latent(uint32_t slot, uint32_t label)
{{
    if ({name}_busy_now) {{
        return MCT_ERR_BUSY;
    }}
    if (slot >= {upper}_LATENT_SLOTS) {{
        return MCT_ERR_RANGE;
    }}
    if ({label}) {{
        return MCT_ERR_LABEL;
    }}
    memcpy({name}_slots[slot], {plan.latent.name}, {upper}_LATENT_BYTES);
    {name}_slots_label[slot] = (uint16_t)(label + 1u);
    return MCT_OK;
}}"""


def recall_from_flash(plan: TrainingPlan) -> str:
    assert plan.latent is not None
    name, upper = plan.name, plan.name.upper()
    return f"""
static mct_status {name}_recall_from_flash(uint32_t index, uint32_t *label)
{{
    if (index >= {upper}_FLASH_LATENTS) {{
        return MCT_ERR_RANGE;
    }}
    /* Volatile, or the compiler makes instructions of a sole slot, and the plan's bytes differ. */
    const int8_t (*volatile latents)[{upper}_LATENT_BYTES] = {name}_flash_latents;
    const uint16_t *volatile labels = {name}_flash_labels;
{dropping_sample(plan)}    memcpy({plan.latent.name}, latents[index], {upper}_LATENT_BYTES);
    *label = labels[index];
    return MCT_OK;
}}"""


def recall(plan: TrainingPlan, has_ram: bool, has_flash: bool) -> str:
    """The slots in RAM come first, those in flash behind them."""
    assert plan.latent is not None
    name, upper = plan.name, plan.name.upper()
    behind = f"""
    if (slot >= {upper}_LATENT_SLOTS) {{
        return {name}_recall_from_flash(slot - {upper}_LATENT_SLOTS, label);
    }}"""
    in_ram = f"""
    if ({"" if has_flash else f"slot >= {upper}_LATENT_SLOTS || "}{name}_slots_label[slot] == 0u) {{
        return MCT_ERR_RANGE;
    }}
{dropping_sample(plan)}    memcpy({plan.latent.name}, {name}_slots[slot], {upper}_LATENT_BYTES);
    *label = {name}_slots_label[slot] - 1u;
    return MCT_OK;"""
    only_flash = f"""
    return {name}_recall_from_flash(slot, label);"""
    body = (behind if has_flash else "") + in_ram if has_ram else only_flash
    return f"""
mct_status {name}_recall_latent(uint32_t slot, uint32_t *label)
{{
    if ({name}_busy_now) {{
        return MCT_ERR_BUSY;
    }}{body}
}}"""
