# SPDX-License-Identifier: Apache-2.0
"""`mcutrain selftest` on the firmware itself: what it finds equal, what differs, what it leaves;
and what else is known of a board at a port."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mcutrain
from mcutrain.host import selftest
from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.errors import DeviceError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.selftest import example_request
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training import on_port, runners
from mcutrain.host.training.port_build import Known, keep_counts
from tests.support.command import AT_A_RATE, Run
from tests.support.fake_model.build import build_patched
from tests.support.noisy_line import NoisyLine
from tests.support.paths import WATCH
from tests.support.scripted_port import listed

pytestmark = pytest.mark.board
MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
LAST = (MODEL, "--update", "last:2")
TRAIN = ("train", *LAST, "--data", DATA, *AT_A_RATE, "--no-guard", "--steps", 20, "--verify")


@cache
def watch() -> Build:
    """The firmware of the smartwatch example."""
    target = Target.parse("native")
    return build(example_request().on(target.chip).plan(), target)


@pytest.fixture
def port() -> Iterator[str]:
    with simulate("native", watch().elf) as found:
        yield found


def digest_at(port: str) -> tuple[int, int]:
    with SerialTransport(port) as line:
        found = Device.open(line, None, None).digest()
    return found.digest, found.steps


def test_a_board_equals_the_reference(run: Run, port: str, tmp_path: Path) -> None:
    written = tmp_path / "selftest.json"
    told = ("--board", "my Nucleo", "--chip", "STM32F446RE rev 3", "--steps", 4)
    found = run("selftest", "--port", port, *told, "--output", written, "--json").json

    assert json.loads(written.read_text()) == found and found["result"] == "equal"
    assert found["verified_steps"] == len(found["steps"]) == 4
    assert all(step["digest"] == step["reference"] for step in found["steps"])
    assert len({step["digest"] for step in found["steps"]}) == 4
    assert found["inference"]["is_equal"] and found["sliced_step"]["is_equal"]
    assert found["board"] == {"board": "my Nucleo", "chip": "STM32F446RE rev 3"}
    firmware = found["firmware"]
    assert (firmware["model"], firmware["update"], firmware["target"]) == (
        "watch", "last:2", "native",
    )  # fmt: skip
    assert firmware["build_hash"] == watch().build_hash.hex() and "gcc" in firmware["compiler"]
    assert firmware["footprint"]["flash_bytes"] > 20_000
    assert (found["cycles"], found["cycle_counter"]) == (None, "no cycle counter")
    assert "no cycle counter" in run("selftest", "--port", port, "--steps", 1).out


def test_what_was_learned_is_put_back(run: Run, port: str) -> None:
    assert run(*TRAIN, "--port", port).status == 0
    before = digest_at(port)

    assert before[1] == 20
    assert run("selftest", *LAST, "--port", port, "--steps", 2).status == 0
    assert digest_at(port) == before


def test_a_difference_is_named(run: Run, tmp_path: Path) -> None:
    """In the kernel of a weight's update, by one."""
    right = "mct_port_write(mct_link_tx, mct_link_session.tx_bytes);"
    wrong = f"MCT_MODEL(regions)[MCT_REGION_STATE].data[40] ^= type == MCT_MSG_STEP; {right}"
    elf = build_patched(watch().folder / "gen", tmp_path, "runtime/session.c", right, wrong)
    output = tmp_path / "differs.json"
    with simulate("native", elf) as port:
        ran = run("selftest", "--port", port, "--steps", 3, "--output", output)

    assert ran.status == 1 and ran.err.splitlines()[-1].startswith(f"error: {port}: step 0: ")
    found = json.loads(output.read_text())
    assert found["verified_steps"] == 0 and found["result"].startswith("step 0: the device differs")


def test_cycles_are_told_where_they_are_counted(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message itself is tested on firmware that counts, and an AVR's counter in simavr."""
    counted = iter([5000, 3000, 4000, 700])
    monkeypatch.setattr(Device, "cycles", lambda self: next(counted))
    found = run("selftest", "--port", port, "--steps", 3, "--json").json

    assert found["cycles"] == {"step": 4000, "inference": 700}
    assert [step["cycles"] for step in found["steps"]] == [5000, 3000, 4000]
    monkeypatch.setattr(Device, "cycles", lambda self: 1234)
    assert "cycles: 1,234 a step, 1,234 an inference" in run("selftest", "--port", port).out


def test_older_firmware_does_not_know_the_message(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Device) -> int:
        raise DeviceError("the device refused CYCLES", Status.MESSAGE)

    monkeypatch.setattr(Device, "cycles", refused)
    found = run("selftest", "--port", port, "--steps", 1, "--json").json

    assert found["result"] == "equal" and found["cycles"] is None


def test_another_firmware_is_one_line(run: Run, port: str) -> None:
    ran = run("selftest", MODEL, "--update", "head", "--port", port)

    assert ran.status == 1 and len(ran.err.splitlines()) == 1
    assert "the device runs model" in ran.err and "build and flash it" in ran.err


def test_a_port_that_goes_in_the_middle_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([watch().elf], stdout=subprocess.PIPE, text=True) as firmware:
        assert firmware.stdout is not None
        port = firmware.stdout.readline().strip()
        cycles = selftest.cycles_of

        def last(device: Device) -> int | None:
            firmware.kill()
            firmware.wait()
            return cycles(device)

        monkeypatch.setattr(selftest, "cycles_of", last)
        ran = run("selftest", "--port", port, "--steps", 3, "--quiet")

    assert ran.status == 1 and len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"error: {port}: ") and "plug the device in again" in ran.err


def test_a_run_on_a_port_tells_of_its_build(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are those of the build; its instructions are predicted, until some were counted."""
    listed(monkeypatch, (port, 0x0483, 0x374B, "STLink"))
    counts = watch().folder / "counts.json"
    counts.unlink(missing_ok=True)
    found = run(*TRAIN, "--port", "auto", "--json").json
    there = watch().footprint
    assert there is not None

    assert found["target"] == port and found["verified_steps"] == 20
    assert found["cost"]["sram_bytes"] == there["sram_bytes"]
    assert found["cost"]["flash_bytes"] == there["flash_bytes"]
    assert found["build"]["bytes_are"] == "measured"
    assert found["build"]["instructions_are"] == "predicted"
    assert found["build"]["predicted_instructions"]["step"] > 100_000
    assert "instructions_per_step" not in found and "not counted" in found["build"]["told"]
    keep_counts(watch(), Known({"instructions_per_step": {"median": 259405.0, "first": 1.0}}))
    try:
        again = run(*TRAIN, "--port", port, "--fresh", "--json").json
        shown = run(*TRAIN, "--port", port, "--fresh").out
    finally:
        counts.unlink()
    assert again["build"]["instructions_are"] == "counted"
    assert again["instructions_per_step"]["median"] == 259405
    assert "259,405" in shown and "counted in an emulator" in shown


def test_a_board_is_evaluated_with_what_it_has_learned(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved = tmp_path / "learned.npz"
    assert run(*TRAIN, "--port", port, "--save", saved).status == 0
    before = digest_at(port)
    listed(monkeypatch, (port, 0x0483, 0x374B, "STLink"))
    board = run("evaluate", MODEL, "--data", DATA, "--port", "auto", "--json").json
    here = run("evaluate", MODEL, "--data", DATA, "--state", saved, "--json").json

    assert board.pop("target") == port and here.pop("target") == "reference"
    assert (board.pop("state"), here.pop("state")) == (None, str(saved))
    assert board == here and digest_at(port) == before
    for args, said in (
        (("--state", saved), "leave --state out"),
        (("--target", "native"), "give --port or --target, not both"),
    ):
        ran = run("evaluate", MODEL, "--data", DATA, "--port", port, *args)
        assert ran.status == 1 and said in ran.err
    monkeypatch.setattr(on_port, "known_build", lambda _: None)
    ran = run("evaluate", MODEL, "--data", DATA, "--port", port)
    assert ran.status == 1 and "`mcutrain train --go-on --epochs 0`" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_what_a_board_has_learned_is_pulled_from_the_one_that_answers(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(*TRAIN, "--port", port).status == 0
    listed(monkeypatch, (port, 0x0483, 0x374B, "STLink"))
    found = run("pull", *LAST, "--port", "auto", "--save", tmp_path / "s.npz", "--json").json

    assert (found["port"], found["steps"]) == (port, 20)


def test_a_program_finds_the_board_that_answers(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, (port, 0x0483, 0x374B, "STLink"))
    with mcutrain.Device("auto") as device:
        assert (device.name, device.steps) == (port, 0)


@pytest.mark.exhaustive
def test_noise_on_the_line_changes_nothing(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[NoisyLine] = []

    def noisy(*args: object) -> NoisyLine:
        lines.append(NoisyLine(SerialTransport(*args), 5, per_block=0.03))  # type: ignore[arg-type]
        return lines[-1]

    clean = run("selftest", "--port", port, "--steps", 3, "--json").json
    monkeypatch.setattr(runners, "SerialTransport", noisy)
    found = run("selftest", "--port", port, "--steps", 3, "--json").json

    assert sum(line.faults.total() for line in lines) > 2
    assert found["link"]["resent"] > clean["link"]["resent"]
    for each in (clean, found):
        for step in each["steps"]:
            del step["seconds"]
    assert found["steps"] == clean["steps"] and found["result"] == "equal"
