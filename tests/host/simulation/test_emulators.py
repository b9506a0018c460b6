# SPDX-License-Identifier: Apache-2.0
"""What starts a simulated board: the emulator that its description names, and what is said of one
that is not there, of a wrong version, or does not start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.boards import board_description, board_names
from mcutrain.host.errors import BuildError, TransportError
from mcutrain.host.simulation import simulator
from mcutrain.host.simulation.compiled import compiled
from mcutrain.host.simulation.counting import check_counts, counter_args
from mcutrain.host.simulation.counts import Counting, Region, Unit
from mcutrain.host.simulation.emulators import known, rp2040js
from mcutrain.host.simulation.emulators.emulator import Emulator, Missing
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.simulation.emulators.qemu import Qemu
from mcutrain.host.simulation.emulators.rp2040js import Rp2040js
from mcutrain.host.simulation.painted_stack import simulate_painted
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.errors import Error
from tests.support.command import Run
from tests.support.paths import WATCH

AN385 = Qemu(board_description("mps2_an385")["simulation"])


class Shell(Emulator):
    """A shell script in place of an emulator; the native board runs it."""

    title = "a script"
    port_pattern = r"^port (\S+)$"
    script = ""

    def command(self, elf: Path) -> list[str]:
        return ["sh", "-c", self.script]

    def missing(self) -> Iterator[Missing]:
        yield from ()


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    path = tmp_path / "firmware.elf"
    path.touch()
    return path


def script(monkeypatch: pytest.MonkeyPatch, text: str, **attributes: Any) -> type[Shell]:
    """The native board's emulator from now on."""
    made = type("Script", (Shell,), {"script": text, **attributes})
    monkeypatch.setitem(known.EMULATORS, "native", made)
    return made


def start(board: str, elf: Path) -> None:
    with simulate(board, elf):
        pass


def test_each_board_has_an_emulator() -> None:
    for board in board_names():
        emulator = emulator_of(board)
        assert emulator.title and emulator.port_pattern
        assert emulator.caveat or emulator.counts is None  # counts are never called the whole truth


def test_a_board_of_no_emulator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(known.EMULATORS, "qemu")
    with pytest.raises(TransportError, match=r"microbit\.json: there is no emulator 'qemu'; known"):
        emulator_of("microbit")


def test_qemu_is_told_which_machine_it_is_and_what_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert AN385.command(Path("x.elf")) == [
        "qemu-system-arm", "-nographic", "-monitor", "none", "-machine", "mps2-an385",
        "-serial", "pty", "-kernel", "x.elf",
    ]  # fmt: skip
    monkeypatch.setattr(
        "mcutrain.host.simulation.emulators.qemu.compile_plugin", lambda: Path("a,b.so")
    )
    regions = (Region("step", 0x10, 0x20), Region("forward", 0x30, 0x20))
    asked = Counting(regions, Path("o,ut"), Path("owners"), kinds=True)
    assert AN385.counting_args(asked) == [
        "-plugin",
        "a,,b.so,region=step:10:20,region=forward:30:20,out=o,,ut,owners=owners,kinds=on",
    ]
    assert AN385.memory_args(tmp_path) == ["-qmp", f"unix:{tmp_path}/monitor,server=on,wait=off"]


def test_a_program_that_is_not_installed_is_told_with_its_package(
    monkeypatch: pytest.MonkeyPatch, elf: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = r"qemu-system-arm cannot be run; run: sudo apt-get install qemu-system-arm"
    with pytest.raises(TransportError, match=said):
        start("mps2_an386", elf)
    assert next(Rp2040js({}).missing()) == Missing("node", "sudo apt-get install nodejs npm")


def test_an_emulator_of_a_wrong_version_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    monkeypatch.setattr(rp2040js, "folders", lambda: [tmp_path / "a folder"])
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    wanted = rp2040js.version()
    remedy = f"npm install --prefix '{tmp_path}/a folder' rp2040js@{wanted}"
    assert [*Rp2040js({}).missing()] == [Missing(f"rp2040js {wanted}", remedy)]

    module = tmp_path / "a folder" / "node_modules" / "rp2040js"
    module.mkdir(parents=True)
    (module / "package.json").write_text('{"version": "0.1.2"}')
    assert [*Rp2040js({}).missing()] == [Missing(f"rp2040js {wanted} (0.1.2 is installed)", remedy)]
    ran = run(
        "train", WATCH / "watch.tflite", "--data", WATCH / "demo.npz", "--target", "sim:pico",
        "--update", "head", "--dry-run",
    )  # fmt: skip
    assert (ran.status, ran.out) == (1, "")
    said = f"sim:pico needs rp2040js {wanted} (0.1.2 is installed); run: {remedy}"
    assert ran.err.splitlines()[-1] == f"error: {said}"
    (module / "package.json").write_text("no JSON")
    assert rp2040js.installed_version(tmp_path / "a folder") is None
    (module / "package.json").write_text(f'{{"version": "{wanted}"}}')
    assert not [*Rp2040js({}).missing()]
    assert rp2040js.modules_folder() == tmp_path / "a folder"


def test_an_emulator_that_crashes_at_its_start_says_why(
    monkeypatch: pytest.MonkeyPatch, elf: Path
) -> None:
    script(monkeypatch, "echo ----; echo 'machine is not known'; exit 3")
    with pytest.raises(TransportError, match=r"^native did not start: machine is not known$"):
        start("native", elf)
    script(monkeypatch, "exit 3")
    with pytest.raises(TransportError, match=r"^native did not start: exit status 3$"):
        start("native", elf)


def test_an_emulator_that_names_no_port_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, elf: Path
) -> None:
    monkeypatch.setattr(simulator, "START_TIMEOUT_S", 0.3)
    script(monkeypatch, "echo warming up; exec sleep 60")
    said = r"^native did not start: a script has named no port in 0.3 s; it said: warming up$"
    with pytest.raises(TransportError, match=said):
        start("native", elf)
    script(monkeypatch, "exec sleep 60")
    with pytest.raises(TransportError, match=r"named no port in 0.3 s; see that the computer"):
        start("native", elf)


def test_an_emulator_that_stops_later_says_why(monkeypatch: pytest.MonkeyPatch, elf: Path) -> None:
    script(monkeypatch, "echo port /dev/null; echo 'out of paint'; exit 1")
    with (
        pytest.raises(TransportError, match=r"^native stopped: out of paint$"),
        simulate("native", elf),
    ):
        raise TransportError("no answer")


def test_a_firmware_that_cannot_be_executed_is_told(elf: Path) -> None:
    with pytest.raises(TransportError, match=r"cannot be run \(Permission denied\); build it"):
        start("native", elf)


def test_an_emulator_that_shows_no_memory_leaves_the_stack_unseen(
    monkeypatch: pytest.MonkeyPatch, elf: Path
) -> None:
    script(monkeypatch, "echo port /dev/null; exec sleep 60")
    with simulate_painted("native", elf) as (port, stack):
        assert port == "/dev/null" and stack is None


def test_what_cannot_be_counted_is_refused(monkeypatch: pytest.MonkeyPatch, elf: Path) -> None:
    script(monkeypatch, "")
    with pytest.raises(Error, match=r"--x: native runs in a script, which counts neither instru"):
        check_counts("native", "--x")
    with pytest.raises(Error, match=r"counts neither instructions nor cycles"):
        counter_args("native", elf, "watch", elf)
    script(monkeypatch, "", counts=Unit.CYCLES)
    check_counts("native", "--x")
    with pytest.raises(Error, match=r"--x: .* the cycles of whole steps alone"):
        check_counts("native", "--x", by_node=True)


def test_a_program_of_an_emulator_is_compiled_once_for_each_source_and_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.c").write_text("int main(void)\n{\n    return NUMBER;\n}\n")
    first = compiled(folder, "a.c", "a", ["-DNUMBER=1"])
    changed = first.stat().st_mtime_ns

    assert compiled(folder, "a.c", "a", ["-DNUMBER=1"]) == first
    assert first.stat().st_mtime_ns == changed
    assert compiled(folder, "a.c", "a", ["-DNUMBER=2"]) != first
    with pytest.raises(BuildError, match=r"a\.c does not compile: .*error: .*NUMBER"):
        compiled(folder, "a.c", "a")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match=r"gcc is not installed; run: sudo apt-get"):
        compiled(folder, "a.c", "other")
