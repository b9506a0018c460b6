# SPDX-License-Identifier: Apache-2.0
"""The memories of a board, as its description states them, and plans placed in them."""

from __future__ import annotations

from mcutrain.host.boards import board_description
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.plan import TrainingPlan
from mcutrain.trainer.planner.lifetimes import aligned
from mcutrain.trainer.planner.memories import Memory
from mcutrain.trainer.planner.memory import ARENA

FRAMES = 2  # of the largest payload: one that comes, one that goes
HALVINGS = 5  # of the stack
ROOM_ALIGN = 8


def memories_beside(board: str) -> tuple[Memory, ...]:
    """The memories of a board beside its main RAM."""
    stated = board_description(board)["build"].get("memories", ())
    return tuple(Memory(m["name"], m["bytes"], m["speed"]) for m in stated)


def placed(plan: TrainingPlan, board: str) -> TrainingPlan:
    """The plan as it lies in the memories of a board; no bit changes.

    How much of the main RAM stack and link leave to the arena is known when all is linked. Until
    then they have two frames, and what the board sets aside for the stack; if nothing fits so, half
    of that, and so on: the linker decides. Raises BudgetError.
    """
    beside = memories_beside(board)
    if not beside:
        is_in_one = len(plan.memory.regions) == 2 and plan.memory.state_memory == ARENA
        return plan if is_in_one else plan.placed_in(())
    description = board_description(board)
    sram, built = int(description["upload"]["maximum_ram_size"]), description["build"]
    held = plan.slot_bytes + plan.ahead_bytes + FRAMES * int(built["link_payload_bytes"])
    for halved in range(HALVINGS):
        stack = int(built["stack_bytes"]) >> halved
        room = max(0, sram - aligned(held + stack, ROOM_ALIGN))
        try:
            return plan.placed_in((Memory(ARENA, room), *beside))
        except BudgetError as err:
            refused = err
    others = f", {plan.slot_bytes:,} of latents" if plan.slot_bytes else ""
    others += f", the next sample ({plan.ahead_bytes:,})" if plan.ahead_bytes else ""
    raise BudgetError(
        f"{board}: {refused}. {ARENA} is what the {sram:,} bytes of main RAM leave beside link "
        f"and stack{others}, and the learned state ({plan.memory.state_bytes:,}) if it lies there",
        refused.needed_bytes,
        refused.available_bytes,
    )
