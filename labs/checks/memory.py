# SPDX-License-Identifier: Apache-2.0
"""The checks of lab 2, sparse update and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from exercise import Hint, exercise, number, result

import mcutrain


@exercise
def learned_values(answer: Any, plan: Any) -> None:
    """How many weights and biases a plan trains."""
    found = number(answer)
    kinds = {tensor.name: tensor.type for tensor in plan.details.learned}
    weights = sum(kind.size for name, kind in kinds.items() if name.endswith("_w"))
    if found == plan.details.memory.state_bytes:
        raise Hint(
            "These are the bytes of the state, with fractions and input shifts. Count values, not bytes."
        )
    if found == sum(kind.nbytes for kind in kinds.values()):
        raise Hint("These are bytes as the file has them: a bias of four bytes is one value.")
    if found == weights:
        raise Hint("These are the weights alone: biases learn, too.")
    if found in [kind.size for kind in kinds.values()]:
        raise Hint("This is one tensor alone: plan.learned names several.")
    if found != sum(kind.size for kind in kinds.values()):
        raise Hint("Add up the weights and the biases of each layer in plan.learned.")


@exercise
def order_of_updates(answer: Any, plans: Mapping[str, Any]) -> None:
    """The names of updates from the least RAM to the most."""
    if isinstance(answer, str) or not isinstance(answer, list | tuple):
        raise Hint("Give a list of names, such as ['head', 'full'].")
    if sorted(map(str, answer)) != sorted(plans):
        raise Hint(f"Name each of these once: {', '.join(sorted(plans))}.")
    needs = [plans[name].ram_bytes for name in answer]
    if needs != sorted(needs):
        raise Hint("One that needs more RAM stands before one that needs less.")


@exercise
def least_arena(answer: Any) -> None:
    """least_arena(blocks) -> bytes; a block is (size, first, last)."""
    rng = np.random.default_rng(4)
    for count in (1, 3, 12, 12):
        blocks = []
        for _ in range(count):
            first = int(rng.integers(0, 10))
            size, last = int(rng.integers(1, 100)), first + int(rng.integers(0, 4))
            blocks.append((size, first, last))
        wanted = _fullest(blocks, 1)
        found = number(result(answer, blocks))
        if found == sum(size for size, _, _ in blocks) and found != wanted:
            raise Hint("You add up all blocks. Only those count that live at the same time.")
        if found < wanted and found == max(size for size, _, _ in blocks):
            raise Hint("This is the largest block alone. Add up those that live at the same time.")
        if found < wanted and found == _fullest(blocks, 0):
            raise Hint("Too few bytes: a block lives at its last call, too.")
        if found < wanted:
            raise Hint("Too few bytes: at some call, more blocks live than you add up.")
        if found > wanted:
            raise Hint("Too many bytes: look at each call on its own, and take the greatest sum.")


def _fullest(blocks: list[tuple[int, int, int]], after: int) -> int:
    """The bytes of the fullest call, where a block lives until ``after`` calls past its last."""
    return max(sum(s for s, f, e in blocks if f <= t < e + after) for t in range(14))


@exercise
def with_options(answer: Any, model: Any, update: str, limit: int) -> None:
    """A dict of options of mcutrain.plan with which a plan fits into a limit."""
    if not isinstance(answer, dict) or not all(isinstance(key, str) for key in answer):
        raise Hint("Give a dict, such as {'errors': 'e8'}.")
    if {"update", "classes", "start"} & answer.keys():
        raise Hint("These options change what is trained. Leave update, classes and start alone.")
    if "sram" in answer:
        raise Hint("With sram, mcutrain chooses the options. Here you choose: leave sram out.")
    try:
        need = mcutrain.plan(model, update, **answer).ram_bytes
    except mcutrain.Error as error:
        raise Hint(f"mcutrain refuses these options: {error}") from error
    if need > limit:
        raise Hint(f"With these, the plan takes {need:,} bytes, and {limit:,} are there.")
