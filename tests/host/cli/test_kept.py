# SPDX-License-Identifier: Apache-2.0
"""``save``, ``load``, ``push`` and ``reset`` against the native firmware."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.simulation.flash_image import HEADER_BYTES
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training import kept
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run
from tests.support.fake_model.build import build_native
from tests.support.guarded import small_plan
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"


@pytest.fixture(scope="module")
def elf() -> Path:
    return build(make_plan(load(MODEL), PlanOptions("last:2")), Target.parse("native")).elf


@pytest.fixture
def port(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as path:
        yield path


def test_a_board_saves_loads_takes_and_forgets(port: str, run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    options = (MODEL, "--update", "last:2", "--port", port)
    train = ("train", *options, "--data", DATA, "--no-guard", *AT_A_RATE)

    def learned() -> int:
        return int(run("pull", *options, "--save", tmp_path / "now.npz", "--json").json["steps"])

    assert run(*train, "--steps", 3, "--save", first).status == 0
    saved = run("save", "--port", port, "--json").json
    assert (saved["steps"], saved["whole"], saved["sequence"]) == (3, 1, 1)
    assert run(*train, "--steps", 2, "--go-on", "--save", second).status == 0
    assert learned() == 5
    assert "loaded what it learned in 3 steps" in run("load", "--port", port).out
    assert learned() == 3
    pushed = run("push", *options, "--state", second)
    assert pushed.status == 0 and "in 5 steps" in pushed.out
    assert learned() == 5
    assert "stays" in run("reset", "--port", port).out
    assert run("load", "--port", port).status == 0
    assert run("reset", "--saved", "--port", port).status == 0
    nothing = run("load", "--port", port)
    assert nothing.status == 1 and "nothing is saved in its flash" in nothing.err
    other = run("push", MODEL, "--update", "head", "--port", port, "--state", second)
    assert other.status == 1 and other.err.count("\n") == 1


def test_firmware_without_flash_says_so(run: Run, tmp_path: Path) -> None:
    with simulate("native", build_native(tmp_path)) as port:
        for args in (["save"], ["load"], ["reset", "--saved"]):
            refused = run(*args, "--port", port)
            assert refused.status == 1 and "no flash to save in" in refused.err


@pytest.mark.slow
def test_a_refused_load_says_why(elf: Path, run: Run, tmp_path: Path) -> None:
    image = tmp_path / "flash"

    def load_of(change: Callable[[bytearray], None], program: Path = elf) -> str:
        contents = bytearray(image.read_bytes())
        change(contents)
        image.write_bytes(contents)
        with simulate("native", program, image=image) as port:
            refused = run("load", "--port", port)
        assert refused.status == 1 and refused.err.count("\n") == 1
        return refused.err

    with simulate("native", elf, image=image) as port:
        for _ in range(2):
            assert run("save", "--port", port).status == 0
    other = build(small_plan(), Target.parse("native")).elf
    foreign = load_of(lambda contents: None, other)
    assert "2 slots hold what another model, version or number of latents has saved" in foreign

    def damage(*pages: int) -> Callable[[bytearray], None]:
        def change(contents: bytearray) -> None:
            for page in pages:
                contents[HEADER_BYTES + 4096 * page + 100] ^= 1

        return change

    contents = bytearray(image.read_bytes())
    damage(1)(contents)
    image.write_bytes(contents)
    with simulate("native", elf, image=image) as port:  # it has the state before, and tells it
        loaded = run("load", "--port", port)
    assert "holds 1 of 512 states, the newest is number 1" in loaded.out
    assert "slots with a save that was cut off or is damaged: 1" in loaded.out
    assert "2 slots hold a save that was cut off or is damaged" in load_of(damage(0))

    def erase(contents: bytearray) -> None:
        contents[HEADER_BYTES:] = b"\xff" * 512 * 4096 + bytes(512 * 4096)

    assert "nothing is saved in its flash: `mcutrain save` saves" in load_of(erase)


def test_the_board_that_answers_is_found(
    port: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "chosen_port", lambda asked, baud: {"auto": port}[asked])
    assert run("save", "--port", "auto", "--json").json["port"] == port
    assert run("reset", "--port", "auto", "--json").json["port"] == port


def test_a_build_that_is_copied_can_be_started_and_writes_over_no_file_of_others(
    run: Run, tmp_path: Path
) -> None:
    args = ("build", MODEL, "--update", "last:2", "--target", "native", "--output", tmp_path)
    assert run(*args).status == 0
    assert os.access(tmp_path / "firmware.elf", os.X_OK)
    assert run(*args).status == 0  # its own files it may replace
    for name in ("watch.c", "firmware.elf"):
        own = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("mine")
        refused = run(*args)
        assert refused.status == 1 and f"{name} is not of mcutrain" in refused.err
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).write_bytes(own)
