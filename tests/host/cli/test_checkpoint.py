# SPDX-License-Identifier: Apache-2.0
"""``train --checkpoint``: the same command goes on, on whatever target."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import AT_A_RATE, Run
from tests.support.guarded import samples, with_validation, write
from tests.support.interrupting import interrupt_at
from tests.support.resumed import arrays


@pytest.fixture
def inputs(model: Path, tmp_path: Path) -> list[object]:
    data = write(tmp_path / "d.npz", with_validation(samples(4), 1))
    common = ("--update", "last:2", "--epochs", 4, "--latents", "off")
    return ["train", model, *AT_A_RATE, "--data", data, *common]


@pytest.fixture(autouse=True)
def interruptions_arrive() -> Iterator[None]:
    """A process that a shell starts in the background ignores them otherwise."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.exhaustive)],
)
def test_a_signal_writes_a_checkpoint_and_the_same_command_goes_on(
    number: int, status: int, inputs: list[object], tmp_path: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    expected = run(*inputs, "--save", whole, "--json").json
    with monkeypatch.context() as patch:
        interrupt_at(17, patch, number)
        ran = run(*inputs, "--save", parts, "--checkpoint", tmp_path / "c.npz", "--fresh")
    assert ran.status == status
    again = shlex.split(ran.err.splitlines()[-1].removeprefix("go on with: mcutrain "))
    assert "--fresh" not in again and "--state" not in again and "--save" in again
    ran = run(*again, "--json")
    found = ran.json

    assert "the run goes on after 17 of 48 steps" in ran.err
    assert arrays(parts) == arrays(whole)
    assert (found["resumed_from"], expected["resumed_from"]) == (17, None)
    for key in ("losses", "guard", "accuracy_before", "accuracy_after", "steps", "movement"):
        assert found[key] == expected[key]

    parts.unlink()
    ran = run(*again, "--json")
    assert "the run had finished, in 48 steps: nothing is trained" in ran.err
    assert ran.json["losses"] == expected["losses"] and arrays(parts) == arrays(whole)


@pytest.mark.exhaustive
@pytest.mark.board
def test_a_run_goes_on_on_another_target(
    inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same run: each target learns the same bits."""
    common = (*inputs, "--save", tmp_path / "s.npz", "--checkpoint", tmp_path / "c.npz")
    for at, target in ((10, "reference"), (20, "native"), (30, "sim:mps2_an386")):
        with monkeypatch.context() as patch:
            interrupt_at(at, patch)
            assert run(*common, "--target", target).status == 130
    found = run(*common, "--target", "native", "--json").json

    assert found["resumed_from"] == 30
    assert run(*inputs, "--save", tmp_path / "whole.npz").status == 0
    assert arrays(tmp_path / "s.npz") == arrays(tmp_path / "whole.npz")


REFUSED: dict[str, tuple[list[str], str]] = {
    "no steps": (["--checkpoint", "c.npz", "--checkpoint-steps", "0"], "--checkpoint-steps is 0"),
    "no file": (["--checkpoint-steps", "5"], "says how often --checkpoint FILE is written"),
    "an output": (["--checkpoint", "s.npz", "--save", "s.npz"], "s.npz is the file of --"),
    "the data": (["--checkpoint", "d.npz"], "--checkpoint: d.npz is the file of --data itself"),
    "a folder": (["--checkpoint", "."], "cannot write .: it is a folder"),
    "no folder": (["--checkpoint", "none/c.npz"], "there is no folder"),
    "none yet": (["--checkpoint", "c.npz", "--go-on"], "there is no checkpoint c.npz"),
    "counted": (["--checkpoint", "c.npz", "--target", "sim:mps2_an386", "--count-instructions"],
                "instructions are counted in one go"),
    "no time": (["--reconnect", "-1"], "--reconnect is -1: give seconds"),
}  # fmt: skip


@pytest.mark.rows
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_before_any_work(
    case: str, inputs: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args, said = REFUSED[case]
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = run(*inputs, *args)

    assert ran.status == 1 and said in ran.err.splitlines()[-1], ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_no_checkpoint_is_not_written_over(
    inputs: list[object], tmp_path: Path, run: Run
) -> None:
    data = tmp_path / "d.npz"
    before = data.read_bytes()
    other = tmp_path / "other.npz"
    other.write_bytes(before)
    for options in ((), ("--fresh",)):
        ran = run(*inputs, "--checkpoint", other, *options)
        assert ran.status == 1 and "other.npz is no checkpoint" in ran.err
    assert other.read_bytes() == before


def test_a_dry_run_names_the_checkpoint(inputs: list[object], tmp_path: Path, run: Run) -> None:
    told = run(*inputs, "--checkpoint", tmp_path / "c.npz", "--dry-run", "--json").json
    assert told["files"] == [str(tmp_path / "c.npz")] and not (tmp_path / "c.npz").exists()
