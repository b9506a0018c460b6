# SPDX-License-Identifier: Apache-2.0
"""Asking a board's emulator to count, and what it cannot count said beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mcutrain.host.simulation.counts import Owned, Unit, counting
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.trainer.errors import Error


def counter_args(
    board: str,
    elf: Path,
    model: str,
    out: Path,
    owners: Iterable[Owned] = (),
    *,
    kinds: bool = False,
) -> tuple[str, ...]:
    """Arguments for host.simulation.simulator.simulate, with which the steps and inferences of
    ``model`` are counted into the file ``out``; by owner and kind where the emulator can.

    Raises Error if the emulator counts nothing, BuildError for a firmware without the model's
    functions, or if a program that counts does not compile.
    """
    check_counts(board)
    emulator = emulator_of(board)
    told = counting(
        elf,
        model,
        out,
        owners if emulator.counts_by_owner else (),
        kinds=kinds and emulator.counts_kinds,
    )
    return tuple(emulator.counting_args(told))


def unit_of(board: str) -> Unit | None:
    """What the board's emulator counts; None for nothing."""
    return emulator_of(board).counts


def check_counts(board: str, option: str = "counting", *, by_node: bool = False) -> None:
    """Raises Error if the board's emulator cannot count what an ``option`` asks for."""
    emulator = emulator_of(board)
    if emulator.counts is None:
        raise Error(
            f"{option}: {board} runs in {emulator.title}, which counts neither instructions nor "
            "cycles: leave it out, or take another board"
        )
    if by_node and not emulator.counts_by_owner:
        raise Error(
            f"{option}: {board} runs in {emulator.title}, which counts the "
            f"{emulator.counts.value} of whole steps alone: take --count-instructions, or another "
            "board"
        )
