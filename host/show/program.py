# SPDX-License-Identifier: Apache-2.0
"""What `mcutrain verify` has found out of a linked program, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.host.training.verify_program import Verified


def program_lines(found: Verified) -> Iterator[str]:
    """What was equal, what it takes, and what was not tested."""
    memory = found.memory
    yield (
        f"{found.job.elf}: {found.program.model} on {found.program.core.name}, "
        f"{found.plan.scheme.name}: {found.steps:,} steps and {found.inferences:,} inferences are "
        "equal to the reference, bit for bit"
    )
    counts = ((found.median("step"), "a step"), (found.median("infer"), "an inference"))
    counted = [f"{count:,} {what}" for count, what in counts if count is not None]
    if counted:
        yield f"instructions: {', '.join(counted)} (not cycles)"
    yield (
        f"RAM of the model: {memory.arena_bytes:,} bytes of arena, {memory.state_bytes:,} of "
        f"learned state, {memory.other_ram_bytes:,} of other variables; its functions used "
        f"{found.stack_used_bytes:,} of stack"
    )
    yield (
        f"flash of the model: {memory.constant_bytes:,} bytes of constants, {memory.code_bytes:,} "
        "of code"
    )
    yield (
        f"the whole program: {memory.program_ram_bytes:,} bytes of RAM, "
        f"{memory.program_flash_bytes:,} of flash"
    )
    for function in found.dropped:
        yield f"not tested: the program has no {function}, which nobody calls"
