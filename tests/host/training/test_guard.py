# SPDX-License-Identifier: Apache-2.0
"""The rule by which validation samples keep an epoch, in Python and in C."""

from __future__ import annotations

import ctypes
import math
import subprocess
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcutrain.host.building.firmware import build
from mcutrain.host.building.library import CRegion
from mcutrain.host.building.target import Target
from mcutrain.host.training.guard import Guard, ValidationScore, Verdict, chance, is_better
from tests.support.guarded import small_plan
from tests.support.native import FIRMWARE, compile_shared, write_sources


@pytest.mark.parametrize(
    ("score", "best", "better"),
    [
        (ValidationScore(58, 60, 1.0), ValidationScore(58, 60, 1.0), False),
        (ValidationScore(58, 60, 0.9), ValidationScore(58, 60, 1.0), True),
        (
            ValidationScore(59, 60, 1.1),
            ValidationScore(58, 60, 1.0),
            False,
        ),  # one more may be chance
        (ValidationScore(59, 60, 0.9), ValidationScore(58, 60, 1.0), True),
        (ValidationScore(60, 60, 9.0), ValidationScore(58, 60, 1.0), False),
        (ValidationScore(56, 60, 9.0), ValidationScore(50, 60, 1.0), True),  # six more are not
        (
            ValidationScore(57, 60, 0.1),
            ValidationScore(58, 60, 1.0),
            False,
        ),  # never with fewer right
        (ValidationScore(1, 1, 2.0), ValidationScore(0, 1, 1.0), True),
        (ValidationScore(5, 5, math.nan), ValidationScore(5, 5, 1.0), False),
        (ValidationScore(5, 5, 1.0), ValidationScore(5, 5, math.nan), True),
        (ValidationScore(5, 5, math.nan), ValidationScore(5, 5, math.nan), False),
        (ValidationScore(5, 5, math.inf), ValidationScore(5, 5, math.inf), False),
        (
            ValidationScore(0, 9, 0.2),
            ValidationScore(0, 9, 0.3),
            True,
        ),  # values: the loss alone decides
    ],
)
def test_what_is_better(score: ValidationScore, best: ValidationScore, better: bool) -> None:
    assert is_better(score, best) is better
    assert not (better and is_better(best, score))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_chance_is_the_root_of_the_variance(correct: int, total: int) -> None:
    found, limit = chance(ValidationScore(correct, total)), max(0, 4 * correct * (total - correct))

    assert found**2 * total <= limit
    assert total == 0 or correct > total or (found + 1) ** 2 * total > limit


def test_patience_counts_reports_in_a_row_and_only_those_that_count() -> None:
    guard = Guard(patience=2)
    losses = (1.0, 0.9, 1.0, 0.8, 0.9, 0.9)
    said = [guard.report(ValidationScore(0, 1, loss), bytes) for loss in losses]
    improved, go_on, stop = Verdict.IMPROVED, Verdict.GO_ON, Verdict.STOP

    assert said == [improved, improved, go_on, improved, go_on, stop]
    assert guard.report(ValidationScore(0, 1, 0.9), bytes, counts=False) is go_on
    assert guard.report(ValidationScore(0, 1, 0.9), bytes) is stop
    forever = Guard(patience=0)
    assert all(forever.report(ValidationScore(0, 1, 1.0), bytes) is not stop for _ in range(50))


scores = st.builds(
    ValidationScore, st.integers(0, 9), st.just(9), st.sampled_from([0.0, 0.5, 1.0, math.nan])
)


@given(st.lists(scores, min_size=1, max_size=30), st.integers(0, 4))
def test_the_state_kept_is_the_best_one(seen: list[ValidationScore], patience: int) -> None:
    guard = Guard(patience)
    for k, score in enumerate(seen):
        guard.report(score, lambda k=k: bytes([k]))
    kept = seen[guard.state[0]]

    assert guard.best == kept or math.isnan(kept.loss)
    assert kept.correct >= seen[0].correct
    # Nothing after it is better, and it was better than all kept before it.
    assert not any(is_better(later, kept) for later in seen[guard.state[0] + 1 :])


# The rule in C.


class CGuard(ctypes.Structure):
    _fields_ = [
        ("state", CRegion), ("best", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("patience", "stale", "correct", "total", "loss")),
        ("has_best", ctypes.c_bool),
    ]  # fmt: skip


@cache
def guard_library(folder: Path) -> ctypes.CDLL:
    return compile_shared([FIRMWARE / "learning/guard.c"], [FIRMWARE], folder / "guard.so")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return guard_library(tmp_path_factory.mktemp("guard"))


class InC:
    """A guard of the device over a state of four bytes."""

    def __init__(self, library: ctypes.CDLL, patience: int) -> None:
        self.library, self.guard = library, CGuard()
        self.state, self.best = (ctypes.c_uint8 * 4)(), (ctypes.c_uint8 * 4)(*b"\xee" * 4)
        region = CRegion(ctypes.addressof(self.state), 4)
        library.mct_guard_init(ctypes.byref(self.guard), region, self.best, patience)

    def report(self, score: ValidationScore, number: int, has_loss: bool) -> int:
        self.state[:] = list(number.to_bytes(4, "little"))
        values = [score.correct, score.total, *([int(score.loss)] if has_loss else [])]
        call = self.library.mct_guard_report_loss if has_loss else self.library.mct_guard_report
        return call(ctypes.byref(self.guard), *map(ctypes.c_uint32, values))

    def restored(self) -> int:
        self.library.mct_guard_restore(ctypes.byref(self.guard))
        return int.from_bytes(bytes(self.state), "little")


totals = st.sampled_from([1, 2, 7, 40, 1000, 2**31, 2**32 - 1])


@given(st.data(), totals, st.integers(0, 3), st.booleans())
@settings(max_examples=300)
def test_the_device_decides_as_the_host(
    library: ctypes.CDLL, data: st.DataObject, total: int, patience: int, has_loss: bool
) -> None:
    rights = data.draw(st.lists(st.integers(0, total) | st.integers(0, min(total, 5)), max_size=20))
    losses = [data.draw(st.integers(0, 3) | st.integers(0, 2**32 - 1)) for _ in rights]
    twin, device = Guard(patience), InC(library, patience)
    for k, (right, loss) in enumerate(zip(rights, losses, strict=True)):
        score = ValidationScore(right, total, loss if has_loss else 0)

        assert device.report(score, k, has_loss) == twin.report(score, lambda k=k: bytes([k]))
    expected = twin.state[0] if rights else 0

    assert device.restored() == expected


def test_the_device_restores_nothing_before_a_report(library: ctypes.CDLL) -> None:
    device = InC(library, 1)
    device.state[:] = [1, 2, 3, 4]

    assert device.restored() == 0x04030201
    assert device.report(ValidationScore(0, 0), 5, False) == Verdict.IMPROVED
    assert device.report(ValidationScore(0, 0), 6, False) == Verdict.STOP


@pytest.mark.slow
def test_the_firmware_does_not_hold_a_guard_that_it_does_not_use() -> None:
    built = build(small_plan("head"), Target.parse("native"))
    symbols = subprocess.run(["nm", built.elf], capture_output=True, text=True, check=True).stdout

    assert "mct_session_init" in symbols
    assert "mct_guard" not in symbols


def test_the_header_gives_the_size_of_a_copy(tmp_path: Path) -> None:
    plan = small_plan()
    header = write_sources(plan, tmp_path).with_suffix(".h").read_text()

    assert f"SMALL_STATE_BYTES = {plan.memory.state_bytes}," in header
