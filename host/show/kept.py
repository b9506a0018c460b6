# SPDX-License-Identifier: Apache-2.0
"""What a board keeps, in words."""

from __future__ import annotations

from typing import Any

from mcutrain.host.show.terminal import lines


def saved_lines(told: dict[str, Any], done: str) -> None:
    """``done`` is what the board has done with its state."""
    steps = f"{told['steps']:,} step{'' if told['steps'] == 1 else 's'}"
    lines(
        [
            f"{told['port']}: {done} what it learned in {steps}",
            f"its flash holds {told['whole']} of {told['slots']} states, the newest is number "
            f"{told['sequence']:,}; a slot has been erased {told['erases']:,} times at most",
            *others(told),
        ]
    )


def others(told: dict[str, Any]) -> list[str]:
    """What the flash holds beside whole states of this model, if it does."""
    damaged, foreign = told["damaged"], told["foreign"]
    found = []
    if damaged:
        found.append(
            f"note: slots with a save that was cut off or is damaged: {damaged}; a newer state may "
            "be lost, and later saves write over them"
        )
    if foreign:
        found.append(
            f"note: slots with what another model or version has saved: {foreign}; later saves "
            "write over them"
        )
    return found


def reset_lines(told: dict[str, Any]) -> None:
    kept = "nothing is saved any more" if told["forgotten"] else "what is saved in its flash stays"
    lines([f"{told['port']}: as before any training, with seed {told['seed']}; {kept}"])


def pushed_lines(told: dict[str, Any]) -> None:
    lines([f"{told['port']}: has {told['state']} now, what was learned in {told['steps']:,} steps"])
