# SPDX-License-Identifier: Apache-2.0
"""Finished phases are kept whole, are found again, and are forgotten when they are of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host import files
from mcutrain.host.shrinking.phases import Phase, Phases


def counting(values: list[int]) -> Phase:
    values.append(len(values))
    return Phase({"a": np.arange(3, dtype=np.int8)}, {"of": {"run": len(values)}})


def test_a_phase_is_done_once(tmp_path: Path) -> None:
    runs: list[int] = []
    phases = Phases(tmp_path / "kept", "").behind(model="m", seed=0)
    first = phases.done("scores", lambda: counting(runs))
    again = phases.done("scores", lambda: counting(runs))

    assert len(runs) == 1 and again.told == first.told == {"of": {"run": 1}}
    np.testing.assert_array_equal(again.arrays["a"], first.arrays["a"])
    assert again.arrays["a"].dtype == np.int8


def test_it_is_done_anew_where_it_depends_on_something_else(tmp_path: Path) -> None:
    runs: list[int] = []
    phases = Phases(tmp_path, "").behind(seed=0)
    phases.done("scores", lambda: counting(runs))
    other = phases.behind(limits={"sram": 1}).done("scores", lambda: counting(runs))

    assert len(runs) == 2 and other.told == {"of": {"run": 2}}
    assert len([*tmp_path.iterdir()]) == 1  # the other one is of nobody any more


def test_phases_of_another_size_lie_beside(tmp_path: Path) -> None:
    runs: list[int] = []
    phases = Phases(tmp_path, "k")
    for size in (phases, phases.of("-1"), phases, phases.of("-1")):
        size.done("cut", lambda: counting(runs))

    assert len(runs) == 2
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 100])
def test_what_cannot_be_read_is_made_again(tmp_path: Path, content: bytes) -> None:
    runs: list[int] = []
    phases = Phases(tmp_path, "k")
    phases.done("cut", lambda: counting(runs))
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    phases.done("cut", lambda: counting(runs))

    assert len(runs) == 2 and np.load(path).files == ["told", "a"]


def test_a_killed_process_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between the bytes and the name."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_synced", killed)
    with pytest.raises(KeyboardInterrupt):
        Phases(tmp_path, "k").done("cut", lambda: counting([]))

    assert [*tmp_path.glob("cut-*.npz")] == []
