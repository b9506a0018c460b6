# SPDX-License-Identifier: Apache-2.0
"""Real boards: each is described once for mcutrain and has its environment for PlatformIO, they
agree, and targets, commands and messages know them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from platformio.project.config import ProjectConfig

from mcutrain.host.boards import board_description, board_names, chip_of, real_board_names
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.cli.ports import target_names
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import TransportError
from mcutrain.host.real_boards import RealBoard, real_board, real_boards
from mcutrain.trainer.errors import Error
from tests.support.command import Run
from tests.support.paths import ROOT, WATCH
from tests.support.real_builds import SIMULATED

MODEL = WATCH / "watch.tflite"
CONFIG = ProjectConfig.get_instance(str(ROOT / "platformio.ini"))
each = pytest.mark.parametrize("board", [pytest.param(b, id=b.name) for b in real_boards()])
# Keys of a description: those of the boards that run here, and PlatformIO's and USB's.
BUILD = {
    "mcu", "features", "word_bytes", "copies_constants", "stack_bytes", "link_payload_bytes",
    "memories",
}  # fmt: skip
UPLOAD = {
    "maximum_size", "maximum_ram_size", "protocol", "openocd", "esptool", "drive", "uf2_family",
    "avrdude",
}  # fmt: skip


def option(board: RealBoard, name: str) -> str:
    found = CONFIG.get(f"env:{board.name}", name, "")
    return " ".join(found) if isinstance(found, list) else str(found)


def test_each_real_board_has_an_environment_and_each_environment_a_board() -> None:
    environments = {name.removeprefix("env:") for name in CONFIG.envs()}
    here = {name for name in environments if name == "native" or name.startswith("sim_")}

    assert environments - here == {*real_board_names()}
    assert not {*CONFIG.default_envs()} & {*real_board_names()}


@each
def test_description_and_environment_agree(board: RealBoard) -> None:
    flags = option(board, "build_flags")

    assert option(board, "platform") == board.platform
    assert option(board, "board") == board.board
    assert option(board, "framework") == (board.framework or "")
    assert f"-D MCT_LINK_PAYLOAD={chip_of(board.id).payload_bytes}" in flags
    if "MCT_LINK_BAUD" in flags:
        assert f"-D MCT_LINK_BAUD={BAUD}" in flags
    if board.framework == "stm32cube":
        assert f"-D MCT_STM32_BOARD={board.name}" in flags
    if (asked := option(board, "upload_protocol")) != "":
        assert asked == board.protocol


@each
def test_a_description_has_the_keys_that_are_read(board: RealBoard) -> None:
    described = board_description(board.id)

    assert described.keys() == {"name", "vendor", "url", "build", "upload", "platformio", "usb"}
    assert described["build"].keys() <= BUILD
    assert described["upload"].keys() <= UPLOAD
    assert described["platformio"].keys() <= {"platform", "board", "framework"}
    for ids in described["usb"].values():
        for each_id in ids:
            assert re.fullmatch(
                "[0-9a-f]{4} [0-9a-f]{4}", f"{each_id['vendor']} {each_id['product']}"
            )
    assert board.ports, "by which the host finds it"


@each
def test_a_plan_knows_the_chip(board: RealBoard) -> None:
    chip, target = chip_of(board.id), Target.parse(f"board:{board.name}")

    assert target.kind is TargetKind.REAL and target.chip == chip
    assert target.env == board.name and not target.runs_here
    assert chip.ram_bytes and chip.flash_bytes and chip.stack_bytes and chip.payload_bytes
    assert ("dsp" in chip.features) == (board_description(board.id)["build"]["mcu"] in DSP)


DSP = {"cortex-m4", "cortex-m7", "cortex-m33"}


def test_what_runs_here_is_not_mixed_with_what_does_not() -> None:
    """A chip can be both, under one name."""
    assert all("simulation" in board_description(name) for name in board_names())
    assert f"board:{real_board_names()[0]}" in target_names()
    assert all(Target.parse(f"board:{name}").board not in board_names() for name in SIMULATED)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("board:nucleo_f446", "did you mean board:nucleo_f446re"),
        ("board:esp32c3", "did you mean board:esp32-c3"),
        ("teensy41", "unknown target 'teensy41': give board:teensy41"),
        ("sim:teensy41", "unknown target 'sim:teensy41'"),
        ("picco", "unknown target 'picco': did you mean sim:pico or board:pico? give"),
    ],
)
def test_an_unknown_target_names_those_that_are_like_it(name: str, words: str) -> None:
    with pytest.raises(Error, match=re.escape(words)):
        Target.parse(name)


def test_an_unknown_board_names_those_that_are_like_it() -> None:
    with pytest.raises(
        TransportError, match="no real board 'Teensy40'; did you mean teensy41\\? known"
    ):
        real_board("Teensy40")
    with pytest.raises(TransportError, match="no real board 'z'; known: disco_f746ng, esp32-c3"):
        real_board("z")


def test_c_for_a_real_board_has_its_kernels(run: Run, tmp_path: Path) -> None:
    args = ("generate", MODEL, "--update", "head", "--json", "--output", tmp_path)
    assert run(*args, "--target", "board:nucleo_f746zg").status == 0
    assert "kernels/conv2d_dsp.h" in (tmp_path / "src" / "watch.c").read_text()


def test_a_plan_for_a_real_board_needs_no_build(run: Run) -> None:
    told = run("plan", MODEL, "--update", "head", "--target", "board:teensy41", "--json").json

    assert told["chip"] == "real/teensy41"
    assert told["sram_bytes"] is None


TRAIN = ("train", MODEL, "--data", WATCH / "demo.npz", "--update", "head")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            (*TRAIN, "--target", "board:pico"),
            "board:pico is not run on this computer: flash it with `mcutrain flash --board "
            "pico`, then give --port in place of --target",
        ),
        (
            ("evaluate", MODEL, "--data", WATCH / "demo.npz", "--target", "board:pico"),
            "board:pico is not run on this computer",
        ),
        (
            ("plan", MODEL, "--update", "head", "--target", "board:pico", "--profile"),
            "--profile needs a simulated board",
        ),
    ],
)
def test_what_needs_a_board_that_runs_is_refused(
    run: Run, args: tuple[object, ...], words: str
) -> None:
    ran = run(*args)

    assert ran.status == 1
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert words in ran.err


def test_a_model_that_does_not_fit_is_refused_with_its_bytes(run: Run, tmp_path: Path) -> None:
    camera = ROOT / "examples" / "camera" / "camera.tflite"
    args = ("--update", "full", "--target", "board:megaatmega2560")
    for command in (("plan", camera), ("generate", camera, "--output", tmp_path)):
        ran = run(*command, *args)
        assert ran.status == 1 and ran.err.count("\n") == 1
        assert "more than the 8,192 of board:megaatmega2560; train fewer or later" in ran.err


ROW = re.compile(r"^\| `board:(\S+)` \|(.*)\|\n", re.M)


def test_the_guide_says_how_far_each_board_has_come() -> None:
    """What is simulated here is; nothing is said to have run, for no test can have seen it."""
    guide = (ROOT / "docs" / "guides" / "board.md").read_text(encoding="utf-8")
    rows = {name: [cell.strip() for cell in cells.split("|")] for name, cells in ROW.findall(guide)}

    assert rows.keys() == {*real_board_names()}
    for board in real_boards():
        title, chip, ram, flash, link, how_far = rows[board.name]
        sizes = chip_of(board.id)
        assert f"{title} ({chip})" == board.title
        assert (ram, flash) == (f"{sizes.ram_bytes:,}", f"{sizes.flash_bytes:,}")
        assert link.startswith(f"{board.framework}, ")
        assert how_far == ("simulated" if board.name in SIMULATED else "written")
