# SPDX-License-Identifier: Apache-2.0
"""`mcutrain flash`: the commands of each tool, what is said where they fail, and the firmware that
answers then. The tools are scripts that note what they are given."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutrain.host.attached import holders
from mcutrain.host.building import firmware
from mcutrain.host.building.firmware import Build
from mcutrain.host.building.firmware import build as real_build
from mcutrain.host.building.target import Target
from mcutrain.host.flashing import drives
from mcutrain.host.flashing import flash as flashing
from mcutrain.host.flashing.uf2 import uf2
from mcutrain.host.request import Request
from mcutrain.host.simulation.simulator import simulate
from tests.support.command import Run
from tests.support.fake_model.build import BUILD_HASH, NUMERICS_HASH, build_native
from tests.support.paths import WATCH
from tests.support.scripted_port import listed
from tests.support.small_elf import ARM, AVR, RISCV, XTENSA, small_elf

FLASH = 0x08000000
ST_LINK, MEGA, PICO = (0x0483, 0x374B), (0x2341, 0x0042), (0x2E8A, 0x00C0)
NANO, NANO_BOOT, CP210X = (0x2341, 0x805A), (0x2341, 0x005A), (0x10C4, 0xEA60)
Tool = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_attached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No tool, no drive, no port."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "media").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(drives, "PLACES", (tmp_path / "media",))
    monkeypatch.setattr(holders, "LOCKS", tmp_path / "no locks")
    listed(monkeypatch)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """Makes a tool that notes its arguments, a line each, and prints and returns what it should."""

    def make(name: str, prints: str = "", status: int = 0) -> Path:
        log, path = tmp_path / f"{name}.log", tmp_path / "bin" / name
        (tmp_path / f"{name}.txt").write_text(prints + "\n")
        path.write_text(
            f'#!/bin/sh\nfor each in "$@"; do echo "$each" >> {log}; done\necho -- >> {log}\n'
            f'while read -r line; do echo "$line"; done < {tmp_path / name}.txt\nexit {status}\n'
        )
        path.chmod(0o755)
        return log

    return make


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    return written(tmp_path / "my firmware.elf")


def written(path: Path, machine: int = ARM, address: int = FLASH, nbytes: int = 600) -> Path:
    symbols = {"fake_numerics_hash": NUMERICS_HASH, "build_hash.0": BUILD_HASH}
    path.write_bytes(small_elf([(address, bytes(range(100)) * (nbytes // 100))], machine, symbols))
    return path


def given(log: Path) -> list[list[str]]:
    """The arguments of each call of a tool."""
    calls = log.read_text().split("--\n")[:-1]
    return [call.splitlines() for call in calls]


def one_line(run: Run, *args: object) -> str:
    ran = run("flash", *args)
    assert (ran.status, ran.out) == (1, ""), ran.out
    assert len(ran.err.splitlines()) == 1, ran.err
    return ran.err.removeprefix("error: ").strip()


# The board, what its code is for, the port that is given, the tools that are there, the one that is
# taken, and its commands; FILE is the firmware's file.
COMMANDS = [
    ("nucleo_f446re", ARM, None, "openocd", ["-f board/st_nucleo_f4.cfg -c program {FILE.elf} "
     "verify reset exit"]),
    ("disco_f746ng", ARM, None, "st-flash", ["--reset write FILE.bin 0x8000000"]),
    ("nucleo_h743zi", ARM, None, "dfu-util", ["-d 0483:df11 -a 0 -s 0x8000000:leave -D FILE.bin"]),
    ("pico", ARM, None, "picotool", ["load -v -x FILE.uf2"]),
    ("esp32dev", XTENSA, "/dev/ttyUSB7", "esptool",
     ["--chip esp32 elf2image --output FILE.bin FILE.elf",
      "--chip esp32 --port /dev/ttyUSB7 write_flash 0x10000 FILE.bin"]),
    ("esp32-c3", RISCV, "/dev/ttyUSB7", "esptool.py",
     ["--chip esp32c3 elf2image --output FILE.bin FILE.elf",
      "--chip esp32c3 --port /dev/ttyUSB7 write_flash 0x10000 FILE.bin"]),
    ("megaatmega2560", AVR, "/dev/ttyACM7", "avrdude",
     ["-p atmega2560 -c wiring -b 115200 -D -P /dev/ttyACM7 -U flash:w:FILE.hex:i"]),
    ("teensy41", ARM, None, "teensy_loader_cli", ["--mcu=TEENSY41 -w -v FILE.hex"]),
]  # fmt: skip


def normal(arguments: str, elf: Path) -> str:
    """The files in a command without the folders that they lie in."""
    words = arguments.replace(str(elf), "FILE.elf")
    for ending in ("bin", "hex", "uf2"):
        head, found, tail = words.rpartition(f"{elf.stem}.{ending}")
        while found:
            begin = max(head.rfind(" "), head.rfind(":")) + 1
            if "/" not in head[begin:]:
                begin = len(head)
            words = f"{head[:begin]}FILE.{ending}{tail}"
            head, found, tail = words.rpartition(f"{elf.stem}.{ending}")
    return words


@pytest.mark.parametrize(("board", "machine", "port", "name", "commands"), COMMANDS)
def test_each_tool_is_given_its_command(
    board: str, machine: int, port: str | None, name: str, commands: list[str],
    run: Run, tool: Tool, tmp_path: Path,
) -> None:  # fmt: skip
    log, elf = tool(name), written(tmp_path / "out.elf", machine)
    at = () if port is None else ("--port", port)
    args = ("--elf", elf, "--board", board, "--wait", 0, *at, "--json")
    planned = run("flash", *args, "--dry-run").json
    assert not log.exists()
    done = run("flash", *args).json

    assert [normal(" ".join(call), elf) for call in given(log)] == commands
    assert planned["tool"] == done["tool"] == name.removesuffix(".py")
    assert [each for each in planned["commands"] if "made of" in each] == []
    shown = [normal(each, elf).replace("'", "") for each in done["commands"]]
    assert shown == [f"{name} {command}" for command in commands]


def test_the_file_that_a_tool_gets_is_the_firmware(run: Run, tool: Tool, elf: Path) -> None:
    log = tool("st-flash")
    script = log.with_name("bin") / "st-flash"
    script.write_text(f'#!/bin/sh\nIFS= read -r first < "$3"; /bin/cp "$3" {log}\n')
    assert run("flash", "--elf", elf, "--board", "nucleo_f446re", "--wait", 0).status == 0

    assert log.read_bytes() == bytes(range(100)) * 6 + NUMERICS_HASH + BUILD_HASH


def test_the_preferred_tool_is_taken(run: Run, tool: Tool, elf: Path) -> None:
    args = ("--elf", elf, "--board", "nucleo_f446re", "--dry-run", "--json")
    tool("dfu-util"), tool("st-flash")
    assert run("flash", *args).json["tool"] == "st-flash"
    tool("openocd")

    assert run("flash", *args).json["tool"] == "openocd"
    assert run("flash", *args, "--tool", "dfu-util").json["tool"] == "dfu-util"


# What a tool prints where it fails, and what is to be said to do.
FAILURES = [
    ("openocd", "Open On-Chip Debugger\nError: open failed\n", "no adapter was found: plug the"),
    ("openocd", "Error: libusb_open() failed with LIBUSB_ERROR_ACCESS\n", "udev rules"),
    ("openocd", "Error: init mode failed (unable to connect to the target)\n", "reset button"),
    ("st-flash", "Couldn't find any ST-Link devices\n", "no adapter was found: plug the board in"),
    ("dfu-util", "No DFU capable USB device available\n", "set BOOT0 to 1 and reset the board"),
    ("st-flash", "Something new went wrong: error 7\n", "failed with status 3: Something new went"),
    ("st-flash", "\n", "failed with status 3: it printed nothing"),
]


@pytest.mark.parametrize(("name", "prints", "said"), FAILURES)
def test_a_tool_that_fails_is_one_line(
    name: str, prints: str, said: str, run: Run, tool: Tool, elf: Path
) -> None:
    tool(name, prints, status=3)
    line = one_line(run, "--elf", elf, "--board", "nucleo_f446re", "--tool", name)

    assert line.startswith(f"{name} failed") and said in line


@pytest.mark.parametrize(
    ("board", "machine", "name", "prints", "said"),
    [
        ("esp32dev", XTENSA, "esptool", "A fatal error occurred: Failed to connect to ESP32: Wrong "
         "boot mode detected (0x13)!", "hold the BOOT button"),
        ("megaatmega2560", AVR, "avrdude", "avrdude: stk500v2_ReceiveMessage(): timeout",
         "check --port, and press reset"),
        ("megaatmega2560", AVR, "avrdude", 'avrdude: ser_open(): can\'t open device "/dev/ttyX": No'
         " such file", "there is no such port: see `mcutrain ports`"),
        ("pico", ARM, "picotool", "No accessible RP2040 devices in BOOTSEL mode were found.",
         "hold BOOTSEL"),
    ],
)  # fmt: skip
def test_tools_at_a_port_that_fail_are_one_line(
    board: str,
    machine: int,
    name: str,
    prints: str,
    said: str,
    run: Run,
    tool: Tool,
    tmp_path: Path,
) -> None:
    tool(name, prints, status=1)
    elf = written(tmp_path / "f.elf", machine)

    assert said in one_line(run, "--elf", elf, "--board", board, "--port", "/dev/ttyX")


def test_what_cannot_be_flashed_is_one_line(
    run: Run, tool: Tool, elf: Path, tmp_path: Path
) -> None:
    board, other = ("--board", "nucleo_f446re"), written(tmp_path / "avr.elf", AVR)
    tiny = tmp_path / "text.elf"
    tiny.write_text("no program")
    assert one_line(run, *board) == (
        "give MODEL to build and flash its firmware, or --elf FILE to flash a built one"
    )
    assert one_line(run, "--elf", elf, *board) == (
        "nucleo_f446re: nothing that flashes it is there: mount its drive NODE_F446RE, or install "
        "openocd (sudo apt-get install openocd) or st-flash (sudo apt-get install stlink-tools) or "
        "dfu-util (sudo apt-get install dfu-util)"
    )
    assert one_line(run, "--elf", elf, *board, "--tool", "openocd") == (
        "openocd is not installed; run: sudo apt-get install openocd"
    )
    assert "is flashed by drive, openocd, st-flash, dfu-util" in one_line(
        run, "--elf", elf, *board, "--tool", "avrdude"
    )
    assert "give MODEL in place of --elf" in one_line(
        run, "--elf", elf, *board, "--tool", "platformio"
    )
    assert "did you mean nucleo_f446re?" in one_line(run, "--elf", elf, "--board", "nucleo_446re")
    dry = run("flash", "--elf", elf, *board, "--dry-run")
    assert dry.status == 0 and "openocd" in dry.out and "which is not there" in dry.out
    for here in ("native", "sim:microbit"):
        assert "is not flashed" in one_line(run, "--elf", elf, "--board", here)
    tool("openocd")
    assert "is code for AVR, and nucleo_f446re is ARM (cortex-m4): build it for the board" in (
        one_line(run, "--elf", other, *board)
    )
    assert "is no ELF file of a firmware" in one_line(run, "--elf", tiny, *board)
    assert "No such file" in one_line(run, "--elf", tmp_path / "none.elf", *board)
    large = written(tmp_path / "large.elf", nbytes=600_000)
    assert "loads 600,016 bytes, and nucleo_f446re has 524,288 bytes of flash" in (
        one_line(run, "--elf", large, *board)
    )
    assert "the drive NODE_F446RE of nucleo_f446re is not mounted" in one_line(
        run, "--elf", elf, *board, "--tool", "drive"
    )


def test_the_port_is_found_by_its_usb_id(
    run: Run, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, elf = tool("avrdude"), written(tmp_path / "f.elf", AVR)
    args = ("--elf", elf, "--board", "megaatmega2560")
    listed(monkeypatch, ("/dev/ttyS0", None, None, "ttyS0"))
    assert "no serial port is a megaatmega2560 by its USB id; found: /dev/ttyS0" in (
        one_line(run, *args)
    )
    listed(monkeypatch, ("/dev/ttyACM1", *MEGA, ""), ("/dev/ttyACM2", *MEGA, ""))
    assert one_line(run, *args) == (
        "2 ports may be megaatmega2560: give --port /dev/ttyACM1 or --port /dev/ttyACM2"
    )
    listed(monkeypatch, ("/dev/ttyACM1", *MEGA, ""), ("/dev/ttyACM2", *ST_LINK, ""))
    assert run("flash", *args, "--wait", 0).status == 0
    assert "/dev/ttyACM1" in given(log)[0]


def test_a_touch_lets_a_board_enter_its_bootloader(
    run: Run, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, elf = tool("bossac"), written(tmp_path / "f.elf", ARM, 0x10000)
    opened: list[tuple[object, ...]] = []

    class Touched:
        def __init__(self, *args: object) -> None:
            opened.append(args)
            listed(monkeypatch, ("/dev/ttyACM9", *NANO_BOOT, ""))

        def close(self) -> None:
            pass

    listed(monkeypatch, ("/dev/ttyACM1", *NANO, ""))
    monkeypatch.setattr(flashing.serial, "Serial", Touched)
    assert run("flash", "--elf", elf, "--board", "nano33ble", "--wait", 0).status == 0

    assert opened == [("/dev/ttyACM1", 1200)]
    assert given(log)[0][:2] == ["--port=ttyACM9", "--offset=0x10000"]
    monkeypatch.setattr(flashing, "REAPPEAR_S", 0.1)
    listed(monkeypatch, ("/dev/ttyACM1", *NANO, ""))
    monkeypatch.setattr(flashing.serial, "Serial", lambda *_: opened.append(_) or Quiet())
    assert "did not enter its bootloader" in one_line(run, "--elf", elf, "--board", "nano33ble")


class Quiet:
    def close(self) -> None:
        """Nothing happens."""


def test_a_drive_takes_the_file(run: Run, tmp_path: Path, elf: Path) -> None:
    """By its name below a user's folder, or by what it says of itself."""
    nucleo, pico = tmp_path / "media" / "me" / "NODE_F446RE", tmp_path / "media" / "usb0"
    nucleo.mkdir(parents=True), pico.mkdir()
    (pico / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\n"
                                       "Board-ID: RPI-RP2\n")  # fmt: skip
    assert run("flash", "--elf", elf, "--board", "nucleo_f446re", "--wait", 0).status == 0
    done = run("flash", "--elf", elf, "--board", "pico", "--wait", 0, "--json").json

    raw = bytes(range(100)) * 6 + NUMERICS_HASH + BUILD_HASH
    assert (nucleo / "my firmware.bin").read_bytes() == raw
    assert done["tool"] == "drive" and done["commands"] == [
        f"copy my firmware.uf2, made of {elf}, to {pico}"
    ]
    image = flashing.read_image(elf)
    assert (pico / "my firmware.uf2").read_bytes() == uf2(image.segments, 0xE48BFF56)
    (nucleo / "FAIL.TXT").write_text("The target could not be connected.\n\n")
    line = one_line(run, "--elf", elf, "--board", "nucleo_f446re")
    assert "the board did not take the firmware: The target could not be connected." in line


def test_a_drive_that_is_full_or_goes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match=r"No such file.* after 0 of 5 bytes; plug the board in"):
        drives.copy_to(tmp_path / "gone", "f.uf2", b"12345")

    def restarted(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(drives.os, "fsync", restarted)
    drives.copy_to(tmp_path, "f.uf2", b"12345")  # all of it was taken
    assert (tmp_path / "f.uf2").read_bytes() == b"12345"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("native"))


@pytest.fixture
def board(native: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The port of what runs the fake model, as a Nucleo's."""
    with simulate("native", native) as port:
        listed(monkeypatch, (port, *ST_LINK, ""))
        yield port


def test_the_firmware_is_waited_for(run: Run, tool: Tool, elf: Path, board: str) -> None:
    tool("openocd")
    done = run("flash", "--elf", elf, "--board", "nucleo_f446re", "--json").json

    assert done["port"] == board and done["firmware"]["build_hash"] == BUILD_HASH.hex()
    shown = run("flash", "--elf", elf, "--board", "nucleo_f446re").out
    assert shown.splitlines()[-1].startswith(f"{board}: build {BUILD_HASH.hex()}")


def test_a_firmware_that_does_not_come_is_told(
    run: Run, tool: Tool, tmp_path: Path, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("openocd")
    other = tmp_path / "other.elf"
    other.write_bytes(small_elf([(FLASH, b"code")], ARM, {"build_hash.0": b"newbuild"}))
    args = ("--elf", other, "--board", "nucleo_f446re", "--wait", 0.8)

    assert f"the board still runs the build {BUILD_HASH.hex()}" in one_line(run, *args)
    listed(monkeypatch)
    assert "no port of the board was found: give --port" in one_line(run, *args)


@pytest.mark.exhaustive
def test_a_model_is_built_and_flashed_by_platformio(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PlatformIO's registry is not asked here: what it would be asked is."""
    target = Target.parse("native")
    request = Request.of(WATCH / "watch.tflite", update="last:2").on(target.chip)
    monkeypatch.undo()  # the compiler is on PATH
    built = real_build(request.plan(), target)
    asked: list[list[str]] = []
    outcome = [(0, "")]

    def platformio(command: list[str], gen: Path, *_: object) -> tuple[int, str]:
        asked.append(command[3:])
        assert json.loads((gen / "watch.json").read_text())["name"] == "watch"
        return outcome[0]

    def build(plan: object, where: Target, verbose: bool, keys: object) -> Build:
        assert keys is None
        assert where.name == "board:nucleo_f446re"
        return dataclasses.replace(built, target=where)

    monkeypatch.setattr(firmware, "run_platformio", platformio)
    monkeypatch.setattr(flashing, "build", build)
    args = (WATCH / "watch.tflite", "--update", "last:2", "--board", "nucleo_f446re")
    dry = run("flash", *args, "--dry-run", "--json").json
    with simulate("native", built.elf) as port:
        listed(monkeypatch, (port, *ST_LINK, ""))
        done = run("flash", *args, "--json").json

    assert asked == [asked[0]] and asked[0][-4:] == ["-e", "nucleo_f446re", "-t", "upload"]
    assert dry["tool"] == done["tool"] == "platformio"
    assert dry["commands"][0].endswith("-e nucleo_f446re -t upload")
    assert (
        dry["commands"][0].startswith("MCUTRAIN_GEN=")
        and "/real/nucleo_f446re/watch-" in (dry["commands"][0])
    )
    assert (done["firmware"]["model"], done["port"]) == ("watch", port)
    outcome[0] = (1, "Looking for upload port...\nError: open failed\n*** [upload] Error 1\n")
    assert "platformio failed: Error: open failed; no adapter was found" in one_line(run, *args)
