# SPDX-License-Identifier: Apache-2.0
"""Prints the functions of a generated model that begin at its latent, and its store of latents."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.c import INDENT
from codegen.header import class_count
from codegen.image import Image


def emit_latent(image: Image) -> Iterator[str]:
    """The functions that begin at the latent; they refuse where there is none."""
    plan, name, upper = image.plan, image.plan.name, image.plan.name.upper()
    begin = f"return {name}_begin_at({upper}_PREFIX_CALLS, label);"
    prefix = f"return {name}_between_steps(0u, {upper}_PREFIX_CALLS);"
    infer = f"return {name}_between_steps({upper}_PREFIX_CALLS, {upper}_FORWARD_CALLS);"
    if plan.latent is None:
        prefix = infer = "return MCT_ERR_RANGE;"
        begin = f"(void)label;\n{INDENT}return MCT_ERR_RANGE;"
    text = f"""
int8_t *{name}_latent(void)
{{
    return {plan.latent.name if plan.latent else "NULL"};
}}

mct_status {name}_prefix(void)
{{
    {prefix}
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
    """The store of kept latents; without slots, functions that refuse.

    The number of slots is written out: the build hash covers this text, not the header.
    """
    plan, name, upper = image.plan, image.plan.name, image.plan.name.upper()
    if plan.latent is None or plan.latent_slots == 0:
        text = f"""
mct_status {name}_keep_latent(uint32_t slot, uint32_t label)
{{
    (void)slot;
    (void)label;
    return MCT_ERR_RANGE;
}}

mct_status {name}_recall_latent(uint32_t slot, uint32_t *label)
{{
    (void)slot;
    (void)label;
    return MCT_ERR_RANGE;
}}"""
    else:
        label = f"label >= {class_count(plan)}" if plan.takes_label else "label != 0u"
        text = f"""
static int8_t {name}_slots[{plan.latent_slots}][{upper}_LATENT_BYTES];
static uint16_t {name}_slots_label[{plan.latent_slots}]; /* 1 more than it; 0 for an empty slot */

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
}}

mct_status {name}_recall_latent(uint32_t slot, uint32_t *label)
{{
    if ({name}_busy_now) {{
        return MCT_ERR_BUSY;
    }}
    if (slot >= {upper}_LATENT_SLOTS || {name}_slots_label[slot] == 0u) {{
        return MCT_ERR_RANGE;
    }}
    memcpy({plan.latent.name}, {name}_slots[slot], {upper}_LATENT_BYTES);
    *label = {name}_slots_label[slot] - 1u;
    return MCT_OK;
}}"""
    yield from text.splitlines()
