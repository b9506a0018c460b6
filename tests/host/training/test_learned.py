# SPDX-License-Identifier: Apache-2.0
"""What a board at a port has learned is not lost: asked about, gone on from, read back."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mcutrain.host.boards import chip_of
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.cli.reporter import ConsoleReporter
from mcutrain.host.errors import ProtocolError, TransportError, UndecidedError
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.request import Request
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.learned import choose, learned_state
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from tests.support.command import AT_A_RATE, Run
from tests.support.fresh import environment, start
from tests.support.guarded import TOO_LARGE
from tests.support.small_models import SHAPE, residual_model, write_dataset

OPTIONS = ("--update", "last:2", "--receive-ahead", "--latent-slots", 4)


@dataclass(frozen=True)
class Board:
    """A native process in a board's place, with the files that its host has."""

    port: str
    model: Path
    data: Path
    built: Build

    def train(self, *more: object) -> list[object]:
        place = ("--port", self.port, "--latents", "off", "--no-guard")
        return ["train", self.model, *AT_A_RATE, "--data", self.data, *OPTIONS, *place, *more]

    def pull(self, save: Path, *options: object) -> list[object]:
        return ["pull", self.model, *(options or OPTIONS), "--port", self.port, "--save", save]

    def runner(self, transport: SerialTransport) -> DeviceRunner:
        return DeviceRunner(Device.open(transport, None, None), self.built.plan)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Build]:
    folder = tmp_path_factory.mktemp("learned")
    model = folder / "m.tflite"
    model.write_bytes(residual_model())
    request = Request.of(model, "last:2", receive_ahead=True, latent_slots=4)
    built = build(request.on(chip_of("native")).plan(), Target.parse("native"))
    return model, write_dataset(folder / "d.npz"), built


@pytest.fixture
def board(made: tuple[Path, Path, Build]) -> Iterator[Board]:
    with simulate("native", made[2].elf) as port:
        yield Board(port, *made)


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {key: file[key].tolist() for key in file.files}


def test_a_board_that_has_learned_is_not_reset_unasked(
    board: Board, run: Run, tmp_path: Path
) -> None:
    first, second, anew = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    assert run(*board.train("--steps", 5, "--save", first)).status == 0
    refused = run(*board.train("--steps", 3, "--save", second))

    assert (refused.status, refused.out) == (2, "") and not second.exists()
    assert "--go-on" in refused.err and "--fresh" in refused.err and "5 steps" in refused.err
    assert sum(line.startswith("error: ") for line in refused.err.splitlines()) == 1

    # The board's own state, as --state of the file would have it.
    assert run(*board.train("--steps", 3, "--save", second, "--go-on")).status == 0
    assert arrays(second)["sgd"][1] == 8
    state = ("--state", first, "--fresh")
    assert run(*board.train("--steps", 3, "--save", anew, *state)).status == 0
    assert arrays(second) == arrays(anew)

    assert run(*board.train("--steps", 5, "--save", anew, "--fresh", "--verify")).status == 0
    assert arrays(anew) == arrays(first)


@pytest.mark.exhaustive
def test_a_board_keeps_what_it_has_where_going_on_does_not_help(
    board: Board, run: Run, tmp_path: Path
) -> None:
    """The folds begin at what it has learned, moved to the plan of this computer."""
    first, second, pulled = (tmp_path / name for name in ("a.npz", "b.npz", "p.npz"))
    good, bad = ("--lr", 0.25, "--epochs", 3), ("--guard", "--lr", TOO_LARGE, "--epochs", 1)
    learned = run(*board.train(*good, "--save", first, "--json")).json
    found = run(*board.train("--go-on", *bad, "--save", second, "--json")).json

    assert found["guard"]["rolled_back"] is True and found["steps"] == 0
    assert found["guard"]["loss_before"] < 0.5
    assert found["accuracy_before"] == learned["accuracy_after"]
    assert run(*board.pull(pulled)).status == 0
    assert arrays(pulled) == arrays(second) == arrays(first)


def test_what_a_dead_host_left_on_a_board_is_pulled(board: Board, run: Run, tmp_path: Path) -> None:
    """Killed in the middle of training, a step under way; the file is as that of --save."""
    code = """
import os, signal, sys
from mcutrain.host.training import run
train = run.train
def dying(plan, data, runner, options, report, *rest):
    def told(progress):
        if progress.phase == "train" and progress.done == 11:
            runner.device.start(1)
            os.kill(os.getpid(), signal.SIGKILL)
    return train(plan, data, runner, options, told, *rest)
run.train = dying
from mcutrain.host.cli.app import main
main()
"""
    with start(*board.train("--epochs", 9), env=environment(), code=code) as process:
        assert process.wait(60) == -signal.SIGKILL
    pulled, exported = tmp_path / "p.npz", tmp_path / "e.tflite"
    other = run(*board.pull(pulled, "--update", "head"))
    assert other.status == 1 and "device runs" in other.err and not pulled.exists()
    found = run(*board.pull(pulled), "--json").json

    assert found == {"output": str(pulled), "port": board.port, "update": "last:2", "steps": 12}
    assert arrays(pulled)["sgd"][1] == 12
    again = tmp_path / "q.npz"
    assert "12 steps" in run(*board.pull(again)).out  # it stays on the board
    assert again.read_bytes() == pulled.read_bytes()
    args = ("train", board.model, *AT_A_RATE, "--data", board.data, *OPTIONS)
    assert run(*args, "--state", pulled, "--steps", 1).status == 0
    model = run("export", board.model, "--state", pulled, "-o", exported, "--json").json
    assert model["steps"] == 12


def test_a_board_that_has_learned_nothing_has_nothing_to_pull(
    board: Board, run: Run, tmp_path: Path
) -> None:
    ran = run(*board.pull(tmp_path / "p.npz"))

    assert ran.status == 1 and "learned nothing yet" in ran.err
    assert list(tmp_path.iterdir()) == []
    # Nor has it anything to ask about, and to go on from is to begin.
    ran = run(*board.train("--steps", 1, "--go-on"))
    assert ran.status == 0 and "has learned nothing yet, and begins anew" in ran.err


def test_a_device_that_has_the_state_already_is_not_reset(board: Board) -> None:
    """Between a reset and the state's last byte a host may die."""
    with SerialTransport(board.port) as transport:
        runner = board.runner(transport)
        reference = Interpreter(board.built.plan, 3)
        runner.reset(3)
        sample = np.full(SHAPE, 7, np.int8)
        for _ in range(2):
            runner.step(sample, np.int64(1), False)
            reference.step(sample, 1)
        runner.device.write_sample(sample.tobytes())
        runner.device.start(1)  # and nobody asks for its end
        reference.step(sample, 1)

        assert learned_state(runner) == reference.state_bytes()
        damaged = bytearray(reference.state_bytes())
        damaged[0] ^= 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner, "state", lambda: bytes(damaged))
            with pytest.raises(ProtocolError, match="by its own digest"):
                learned_state(runner)


def test_go_on_and_fresh_are_for_what_keeps_a_state(
    run: Run, made: tuple[Path, Path, Build], tmp_path: Path
) -> None:
    train = ("train", made[0], *AT_A_RATE, "--data", made[1])
    for args, said in (
        (("--go-on",), "give --port, --flash-image, --checkpoint, or --state FILE"),
        (("--fresh",), "give --port, --flash-image, --checkpoint, or leave it out"),
        (("--go-on", "--fresh"), "not both"),
        (("--go-on", "--port", "/dev/none", "--state", tmp_path / "s.npz"), "not both"),
    ):
        ran = run(*train, *args)
        assert ran.status == 1 and said in ran.err


def test_the_user_is_asked_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keys(StringIO):
        def isatty(self) -> bool:
            return True

    for typed, answer in (("fresh\n", "fresh"), ("what?\n\nGO-ON \n", "go-on")):
        monkeypatch.setattr(sys, "stdin", Keys(typed))
        screen = StringIO()
        assert (
            choose("/dev/x", 7, ConsoleReporter(Console(file=screen, force_terminal=True)))
            == answer
        )
        assert screen.getvalue().count("learned already, in 7 steps") == typed.count("\n")
    monkeypatch.setattr(sys, "stdin", Keys(""))
    with pytest.raises(UndecidedError):
        choose("/dev/x", 7, ConsoleReporter(Console(file=StringIO(), force_terminal=True)))
    monkeypatch.setattr(sys, "stdin", StringIO("fresh\n"))  # a pipe, which nobody reads along
    with pytest.raises(UndecidedError):
        choose("/dev/x", 7, ConsoleReporter(Console(file=StringIO(), force_terminal=True)))


@pytest.mark.slow
def test_a_real_terminal_is_one(board: Board, run: Run) -> None:
    assert run(*board.train("--steps", 2)).status == 0
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mcutrain", *map(str, board.train("--steps", 3, "--json"))]
    with Popen(command, stdin=theirs, stdout=-1, stderr=theirs, env=environment(), text=True) as p:
        os.close(theirs)
        said = b""
        while b"(go-on/fresh)" not in said and select.select([ours], [], [], 60)[0]:
            said += os.read(ours, 4096)
        os.write(ours, b"go-on\n")
        out, _ = p.communicate(timeout=60)
    os.close(ours)

    assert p.returncode == 0 and '"steps": 3' in out
    with SerialTransport(board.port) as transport:
        assert board.runner(transport).device.info.steps == 5


def test_the_command_that_goes_on_is_for_the_board(
    board: Board, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcutrain.host.training import loop

    whole = loop.run_steps

    def stopped(*args: Any) -> None:
        whole(*args)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(loop, "run_steps", stopped)
    ran = run(*board.train("--epochs", 2, "--fresh", "--save", tmp_path / "s.npz"))
    monkeypatch.setattr(loop, "run_steps", whole)

    assert ran.status == 143
    again = shlex.split(ran.err.splitlines()[-1].removeprefix("go on with: mcutrain "))
    assert "--go-on" in again and "--fresh" not in again and "--state" not in again
    assert run(*again, "--json").status == 0
    # The first run has learned in an epoch of 32 steps; the second one learns in what was left.
    assert arrays(tmp_path / "s.npz")["sgd"][1] == 32
    assert arrays(tmp_path / "s-2.npz")["sgd"][1] == 64


def test_after_a_lost_board_one_command_is_told_and_it_needs_nothing_of_the_board(
    board: Board, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its RAM may be lost as well: what was kept here is what counts, whatever it holds."""
    step, taken = DeviceRunner.step, 0

    def unplugged(self: DeviceRunner, *args: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken > 40:
            raise TransportError(f"{board.port}: the port has gone; plug it in")
        return step(self, *args)

    monkeypatch.setattr(DeviceRunner, "step", unplugged)
    ran = run(*board.train("--epochs", 2, "--reconnect", 0, "--save", tmp_path / "s.npz"))
    monkeypatch.undo()

    assert ran.status == 1 and "same command" not in ran.err
    line = next(line for line in ran.err.splitlines() if "go on with: " in line)
    again = shlex.split(line.partition("go on with: mcutrain ")[2])
    assert again[again.index("--state") + 1] == str(tmp_path / "s.npz")
    assert "--fresh" in again and "--go-on" not in again
    assert run(*again, "--json").status == 0
    # The 40 steps before the loss, and the 64 of the whole command.
    assert arrays(tmp_path / "s-2.npz")["sgd"][1] == 104


@pytest.mark.exhaustive
def test_the_record_that_a_board_keeps_is_pulled(run: Run, tmp_path: Path) -> None:
    """Ten steps of which it keeps the last four; then a reset, and two more."""
    model, data = tmp_path / "small.tflite", write_dataset(tmp_path / "d.npz")
    model.write_bytes(residual_model())
    options = ("--update", "head", "--chain", "--record-entries", 4)
    run("build", model, *options, "--target", "native")
    plan = Request(model, PlanOptions("head", chain=True, record_entries=4)).resolved().plan()
    built = build(plan, Target.parse("native"))
    save, record = tmp_path / "s.npz", tmp_path / "r.jsonl"
    with simulate("native", built.elf) as port:
        place = ("--port", port, "--latents", "off", "--no-guard", "--verify")
        train = ("train", model, *AT_A_RATE, "--data", data, *options, *place)
        pull = ("pull", model, *options, "--port", port, "--save", save, "--record", record)
        assert run(*train, "--steps", 10).status == 0
        found = run(*pull, "--json").json
        first, *lines = map(json.loads, record.read_text().splitlines())
        gap, steps = lines[0], lines[1:]

        assert (found["entries"], found["entered"], found["gaps"]) == (4, 10, 1)
        assert (first["device_record"], first["steps"]) == (1, 10)
        assert first["numerics_hash"] == plan.numerics_hash.hex()
        assert (gap["event"], gap["step"]) == ("gap", 6)
        assert [line["step"] for line in steps] == [6, 7, 8, 9]
        assert steps[-1]["head"] == first["head"]
        assert run(*train, "--steps", 2, "--fresh").status == 0
        told = run(*pull).out
        lines = [json.loads(line) for line in record.read_text().splitlines()[1:]]

    assert [line.get("event", line["step"]) for line in lines] == ["gap", 8, 9, "reset", 0, 1]
    assert "the entries of 4 steps of 12" in told and "of 1 gaps" in told


def test_a_board_without_a_chain_has_no_record(board: Board, run: Run, tmp_path: Path) -> None:
    save, record = tmp_path / "s.npz", tmp_path / "r.jsonl"
    assert run(*board.train("--steps", 2)).status == 0
    ran = run(*board.pull(save), "--record", record)

    assert ran.status == 1 and "--chain" in ran.err and len(ran.err.splitlines()) == 1
    assert not record.exists() and not save.exists()
