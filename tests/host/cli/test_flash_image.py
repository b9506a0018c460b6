# SPDX-License-Identifier: Apache-2.0
"""``train --flash-image``: what a device that runs here has learned outlives its process."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.host.simulation.flash_image import FlashGeometry, held_image, meaning_of
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.errors import Error
from tests.support.command import AT_A_RATE, Run
from tests.support.guarded import samples, small_plan, write
from tests.support.small_models import residual_model

GEOMETRY = FlashGeometry(64, 64, 1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(residual_model())
    return path


@pytest.fixture
def trained(model: Path, tmp_path: Path) -> tuple[str | Path | int, ...]:
    data = write(tmp_path / "data.npz", samples())
    return (
        "train", model, "--data", data, "--update", "last:2", "--target", "native", "--no-guard",
        *AT_A_RATE, "--quiet", "--json",
    )  # fmt: skip


@pytest.mark.slow
def test_training_goes_on_with_what_the_flash_holds(
    trained: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    image, at_once, after = tmp_path / "flash", tmp_path / "at-once.npz", tmp_path / "after.npz"
    first = run(*trained, "--steps", 3, "--flash-image", image)
    assert first.status == 0 and first.json["store"]["sequence"] == 1
    undecided = run(*trained, "--steps", 3, "--flash-image", image)
    assert undecided.status != 0 and undecided.err.count("\n") == 1
    assert "learned already, in 3 steps: give --go-on" in undecided.err
    again = run(*trained, "--steps", 2, "--flash-image", image, "--go-on", "--save", after)
    assert (again.status, again.json["store"]["sequence"]) == (0, 2)
    begun = run(*trained, "--steps", 1, "--flash-image", image, "--fresh")
    assert (begun.status, begun.json["store"]["whole"]) == (0, 3)
    fresh = run(*trained, "--steps", 3, "--flash-image", tmp_path / "other", "--save", at_once)
    assert fresh.status == 0
    resumed = run(*trained, "--steps", 2, "--state", at_once, "--save", tmp_path / "resumed.npz")
    assert resumed.status == 0
    with np.load(after) as one, np.load(tmp_path / "resumed.npz") as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_what_the_flash_holds_is_evaluated(
    trained: tuple[str, ...], model: Path, run: Run, tmp_path: Path
) -> None:
    image, state, data = tmp_path / "flash", tmp_path / "state.npz", tmp_path / "data.npz"
    evaluate = ("evaluate", model, "--data", data, "--json", "--quiet")
    assert run(*trained, "--steps", 4, "--flash-image", image, "--save", state).status == 0
    of_flash = run(*evaluate, "--target", "native", "--flash-image", image).json
    of_state = run(*evaluate, "--state", state).json
    for key in of_state.keys() - {"target", "state"}:
        assert of_flash[key] == of_state[key], key
    with held_image(tmp_path / "new", GEOMETRY):
        pass
    for path, why in ((tmp_path / "new", "nothing is saved there"), (state, "no image of flash")):
        refused = run(*evaluate, "--target", "native", "--flash-image", path)
        assert refused.status != 0 and refused.err.count("\n") == 1
        assert why in refused.err


@pytest.mark.parametrize("sizes", [(10**9, 10**9), (64, 0), (2**64, 1), (1, 64)])
def test_an_image_whose_header_lies_is_refused(sizes: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "image"
    with held_image(path, GEOMETRY):
        pass
    told = b"mcutrain flash image 1: %d pages of %d bytes, units of 1" % sizes
    whole = path.read_bytes()
    header = whole[: len(whole) - 2 * GEOMETRY.nbytes]
    path.write_bytes(told.ljust(len(header) - 1) + b"\n" + whole[len(header) :])

    with pytest.raises(Error, match="an image of flash that is cut, or not whole"):
        meaning_of(path)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_an_image_that_cannot_be_used_is_refused_in_one_line(
    trained: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    image, cut, text, empty = (tmp_path / name for name in ("image", "cut", "text", "empty"))
    assert run(*trained, "--steps", 1, "--flash-image", image).status == 0
    cut.write_bytes(image.read_bytes()[:100_000])
    text.write_text("a letter\n")
    with held_image(empty, GEOMETRY):
        pass
    others = {
        cut: "a damaged image of flash: it has 100000 bytes of",
        text: "no image of flash, and left as it is",
        empty: "an image of other flash (mcutrain flash image 1: 64 pages of 64 bytes, units of 1)",
        tmp_path: "is a folder",
        tmp_path / "none" / "image": "there is no folder",
    }
    for path, why in others.items():
        before = path.read_bytes() if path.is_file() else b""
        refused = run(*trained, "--steps", 1, "--flash-image", path)
        assert refused.status != 0 and refused.err.count("\n") == 1
        assert why in refused.err
        assert not path.is_file() or path.read_bytes() == before
    foreign = run(*trained, "--update", "head", "--steps", 1, "--flash-image", image)
    assert foreign.status != 0 and "another model has learned" in foreign.err
    for options, why in (
        (("--target", "reference"), "needs a firmware that runs as a process"),
        (("--target", "reference", "--port", "/dev/none"), "leave it out"),
    ):
        refused = run(*trained, *options, "--flash-image", image)
        assert refused.status != 0 and why in refused.err


def test_one_process_has_an_image_at_a_time(tmp_path: Path) -> None:
    image, elf = tmp_path / "flash", build(small_plan(), Target.parse("native")).elf
    with simulate("native", elf, image=image):
        with (
            pytest.raises(Error, match="another process uses this image of flash"),
            simulate("native", elf, image=image),
        ):
            pass
        with pytest.raises(Error, match="another process uses"), held_image(image, GEOMETRY):
            pass


def test_an_image_that_does_not_fit_the_disk_is_not_begun(tmp_path: Path) -> None:
    elf, image = build(small_plan(), Target.parse("native")).elf, tmp_path / "flash"

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [elf], env={"MCT_FLASH_IMAGE": str(image)}, preexec_fn=small_files, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"{image}: File too large\n"
    assert not image.exists()


def test_an_image_whose_making_was_cut_is_made_anew(tmp_path: Path) -> None:
    image = tmp_path / "flash"
    whole = len(GEOMETRY.header) + 2 * GEOMETRY.nbytes
    image.write_bytes(bytes(whole))
    with held_image(image, GEOMETRY):
        pass
    made = image.read_bytes()
    assert made[: len(GEOMETRY.header)] == GEOMETRY.header
    assert made[len(GEOMETRY.header) :] == b"\xff" * GEOMETRY.nbytes + bytes(GEOMETRY.nbytes)
