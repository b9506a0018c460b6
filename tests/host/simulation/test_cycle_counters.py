# SPDX-License-Identifier: Apache-2.0
"""Counters of cycles on emulated boards: what a chip counts itself is what its emulator counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.host.selftest import example_request
from mcutrain.host.simulation.counts import read_counts
from mcutrain.host.training.runners import simulated
from tests.support.simulated_boards import board_param

UNIT = 1024  # cycles of a tick of Timer1
STEPS = 2


def counted_by_chip(board: str, counts: Path | None) -> list[int]:
    """What the chip counts of steps of the smartwatch example, by message CYCLES."""
    target = Target.parse(f"sim:{board}")
    built = build(example_request().on(target.chip).plan(), target)
    found = []
    with simulated(built, counts) as runner:
        runner.reset(SEED)
        for sample, label in random_samples(built.plan, STEPS):
            runner.step(sample, label, wants_digest=False)
            found.append(runner.device.cycles())
    return found


@pytest.mark.parametrize("board", [board_param("atmega1284p")])
def test_an_avr_counts_what_its_emulator_counts(board: str, tmp_path: Path) -> None:
    """To a tick at each end, and a tick for the request's own handling."""
    by_chip = counted_by_chip(board, tmp_path / "counts")
    by_emulator = read_counts(tmp_path / "counts")["step"]

    assert len(by_chip) == len(by_emulator) == STEPS
    for chip, emulator in zip(by_chip, by_emulator, strict=True):
        assert chip % UNIT == 0 and emulator > 100 * UNIT
        assert -UNIT < chip - emulator < 2 * UNIT


@pytest.mark.parametrize("board", [board_param("mps2_an386")])
def test_qemu_counts_no_cycles_of_a_cortex_m(board: str) -> None:
    assert counted_by_chip(board, None) == [0] * STEPS
