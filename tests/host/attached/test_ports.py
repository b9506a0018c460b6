# SPDX-License-Identifier: Apache-2.0
"""What `mcutrain ports` says of what is attached, and which board `--port auto` takes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import serial

from mcutrain.host.attached import asking, bootloaders, holders, usb
from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.attached.survey import SerialPort, asked, serial_ports
from mcutrain.host.attached.usb import UsbDevice, known, usb_devices
from mcutrain.host.defaults import AUTO
from mcutrain.host.errors import TransportError
from mcutrain.host.link import protocol
from mcutrain.host.link.frame import Frame, encode
from mcutrain.host.link.protocol import Message
from mcutrain.host.simulation.simulator import simulate
from tests.support.command import Run
from tests.support.fake_model.build import BUILD_HASH, build_native
from tests.support.scripted_port import listed, scripted

ST_LINK, UNO, CP210X, NANO_BOOT = (
    (0x0483, 0x374B),
    (0x2341, 0x0043),
    (0x10C4, 0xEA60),
    (0x2341, 0x005A),
)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("ports"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody here takes long to answer, and no USB device of this computer counts."""
    monkeypatch.setattr(asking, "PATIENCE_S", 0.6)
    monkeypatch.setattr(bootloaders, "PRINTS_S", 0.05)
    monkeypatch.setattr(usb, "SYSTEM_DEVICES", tmp_path / "no devices")
    monkeypatch.setattr(holders, "LOCKS", tmp_path / "no locks")


@pytest.fixture
def firmware(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as port:
        yield port


def only() -> SerialPort:
    (found,) = asked(serial_ports())
    return found


def test_a_firmware_that_answers_is_named(
    firmware: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    listed(monkeypatch, (firmware, *ST_LINK, "STM32 STLink"))
    (found,) = run("ports", "--json").json["ports"]

    assert (found["port"], found["usb"], found["what"]) == (firmware, "0483:374b", "ST-LINK/V2-1")
    assert "nucleo_f446re" in found["boards"] and "disco_f746ng" in found["boards"]
    assert found["state"] == "answers"
    assert found["firmware"]["build_hash"] == BUILD_HASH.hex()
    assert found["firmware"]["model"] is None and "not built here" in found["told"]
    shown = run("ports").out
    assert f"--port {firmware}" in shown and BUILD_HASH.hex() in shown and "0483:374b" in shown


def test_ports_can_be_left_alone(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with scripted() as (port, received):
        listed(monkeypatch, (port, *UNO, "ttyACM0"))
        (found,) = run("ports", "--no-ask", "--json").json["ports"]

        assert (found["state"], found["what"]) == ("not asked", "Arduino Uno")
        assert not received


def test_a_port_that_another_program_has_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waits = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with scripted() as (port, received):
        command = [sys.executable, "-c", waits, port]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline()
            listed(monkeypatch, (port, *ST_LINK, ""))
            found = only().answer
            other.communicate()

        assert found.state is asking.State.IN_USE
        assert f"({other.pid}) has it open: end that program" in found.told
        monkeypatch.setattr(holders, "LOCKS", tmp_path)
        (tmp_path / f"LCK..{Path(port).name}").write_text(f"  {os.getppid()}\n")
        assert only().answer.state is asking.State.IN_USE
        (tmp_path / f"LCK..{Path(port).name}").write_text("999999999\n")
        assert only().answer.state is asking.State.SILENT
        assert received[0] == 0 and received[2] == Message.HELLO


def test_a_port_that_is_locked_or_forbidden_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as (port, _):
        listed(monkeypatch, (port, None, None, "n/a"))
        with serial.Serial(port, exclusive=True):
            assert "another program is using this port" in only().answer.told

        def forbidden(*args: object, **named: object) -> None:
            raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

        monkeypatch.setattr(serial, "Serial", forbidden)
        found = only().answer
        assert found.state is asking.State.UNUSABLE
        assert (
            found.told == "no permission; add your user to the group that owns it (often dialout)"
        )


def test_a_port_that_has_gone_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, ("/dev/ttyNONE0", *ST_LINK, ""))

    assert "there is no such port" in only().answer.told


@pytest.mark.parametrize(
    ("answers", "prints", "told"),
    [
        ({b"0 ": b"\x14\x10"}, b"", "an AVR in its bootloader (Optiboot)"),
        ({b"\x07\x07\x12\x20": b"\xc0\x01\x08\x04\x00"}, b"", "an ESP32 in its ROM bootloader"),
        ({}, b"rst:0x1,boot:0x3 (DOWNLOAD_BOOT(UART0))\r\nwaiting for download\r\n",
         "an ESP32 in its ROM bootloader"),
        ({}, b"invalid header: 0xffffffff\r\n", "an ESP32 without a firmware"),
    ],
)  # fmt: skip
def test_bootloaders_at_a_port_are_told(
    answers: dict[bytes, bytes], prints: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(answers, prints) as (port, _):
        listed(monkeypatch, (port, *CP210X, "CP2102"))
        found = only().answer

    assert found.state is asking.State.BOOTLOADER
    assert found.told.startswith(told) and "`mcutrain flash`" in found.told


def test_noise_and_other_programs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(prints=b"login: ") as (port, _):
        listed(monkeypatch, (port, None, None, ""))
        found = only().answer
        assert found.state is asking.State.OTHER and "check the baud rate" in found.told
    old = Frame(1 | protocol.REPLY, 0, bytes(45))  # of protocol 0
    with scripted(prints=encode(old)) as (port, _):
        listed(monkeypatch, (port, None, None, ""))
        assert only().answer.state is asking.State.OTHER  # a number that was not asked


def test_a_bootloader_by_its_usb_id_is_not_asked(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with scripted() as (port, received):
        listed(monkeypatch, (port, *NANO_BOOT, "Nano 33 BLE"))
        (found,) = run("ports", "--json").json["ports"]

        assert (found["state"], found["boards"]) == ("bootloader", ["nano33ble"])
        assert "press its reset button twice" in found["told"] and not received


def devices(folder: Path, *ids: tuple[str, str]) -> Path:
    """What Linux tells of USB devices with these ids."""
    for number, (vendor, product) in enumerate(ids):
        each = folder / f"1-{number}"
        each.mkdir(parents=True)
        (each / "idVendor").write_text(f"{vendor}\n")
        (each / "idProduct").write_text(f"{product}\n")
    (folder / "1-0:1.0").mkdir()  # an interface
    return folder


def test_boards_that_wait_without_a_port_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    ids = (("2e8a", "0003"), ("0483", "df11"), ("1d6b", "0002"))
    monkeypatch.setattr(usb, "SYSTEM_DEVICES", devices(tmp_path / "usb", *ids))
    listed(monkeypatch)
    found = run("ports", "--json").json["waiting"]

    assert [each.id for each in usb_devices()] == ["2e8a:0003", "0483:df11", "1d6b:0002"]
    assert [(each["usb"], each["boards"]) for each in found] == [
        ("2e8a:0003", ["pico"]),
        ("0483:df11", []),
    ]
    assert "dfu-util" in found[1]["told"] and "`mcutrain flash`" in found[0]["told"]
    with pytest.raises(TransportError, match=r"no firmware .*: RP2040 in its bootloader .*BOOTSEL"):
        chosen_port(AUTO)


def test_what_no_list_names_is_no_board() -> None:
    boards = {name for d in usb.described().values() for name in d.boards}

    assert {"nucleo_f446re", "pico", "teensy41", "esp32-c3"} <= boards
    assert known(UsbDevice(0x239A, 0x0029)) is not None  # a bootloader of Adafruit's
    assert known(UsbDevice(0x239A, 0x8029)) is None  # its application


def test_auto_is_the_one_board_that_answers(firmware: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as (silent, _):
        listed(monkeypatch, (silent, *UNO, ""), (firmware, *ST_LINK, ""))

        assert chosen_port(AUTO) == firmware
        assert chosen_port("/dev/anything") == "/dev/anything"


def test_auto_with_two_boards_names_both(
    elf: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    with ExitStack() as stack:
        one, two = (stack.enter_context(simulate("native", elf)) for _ in range(2))
        listed(monkeypatch, (one, *ST_LINK, ""), (two, *UNO, ""))
        ran = run("monitor", "--port", "auto")

    assert ran.status == 1 and len(ran.err.splitlines()) == 1
    assert ran.err.startswith("error: --port auto: 2 boards answer: ")
    first, second = sorted((one, two))
    assert f": give --port {first} or --port {second}" in ran.err
    assert "ST-LINK/V2-1" in ran.err and "Arduino Uno" in ran.err


def test_auto_without_a_board_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch)
    with pytest.raises(TransportError, match="has no serial port: plug a board in"):
        chosen_port(AUTO)
    with scripted() as (port, _):
        listed(monkeypatch, (port, *ST_LINK, ""))
        with pytest.raises(TransportError, match=rf"answers: {port} \(ST-LINK.*nothing answers"):
            chosen_port(AUTO)
