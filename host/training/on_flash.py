# SPDX-License-Identifier: Apache-2.0
"""Trainings whose device is simulated and keeps what it learns in an image of its flash."""

from __future__ import annotations

from pathlib import Path

from mcutrain.host.building.firmware import Build
from mcutrain.host.building.known import known_build_of
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.errors import MismatchError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Saved
from mcutrain.host.request import Request
from mcutrain.host.simulation.flash_image import meaning_of
from mcutrain.host.training.kept import refusals
from mcutrain.host.training.learned import FRESH, going_on
from mcutrain.host.training.on_port import options_of
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runners import SimulatedRunner, simulated
from mcutrain.trainer.errors import Error


def check_flash_target(target: Target, port: str | None) -> None:
    """Raises Error if a device's flash cannot be an image."""
    if port is not None:
        raise Error(
            "--flash-image is the flash of a simulated device: leave it out, a board at --port has "
            "its own (`mcutrain save`)"
        )
    if not target.has_link or target.kind is TargetKind.REAL:
        raise Error(
            f"--flash-image needs a firmware that runs as a process: give --target native or "
            f"sim:BOARD, not {target.name}"
        )


def request_of_image(model: Path, image: Path, target: Target) -> Request:
    """The request of the build that has saved in an image, with ``model`` as its model. Raises
    MismatchError if this computer does not know it."""
    meaning = meaning_of(image)
    if meaning is None:
        raise MismatchError(f"{image}: nothing is saved there: train with this --flash-image first")
    known = known_build_of(meaning, target.board)
    options = None if known is None else options_of(known)
    if options is None:
        raise MismatchError(
            f"{image}: this computer has no build of the model that has saved there, so its plan "
            "is not known: use `mcutrain train --go-on --epochs 0` with the plan's options"
        )
    return Request.of(model, **options).but(store=True)


def begun_from(
    built: Build,
    image: Path,
    beginning: str | None,
    state: bytes | None,
    reporter: Reporter,
) -> bytes | None:
    """The state to begin with: what the image holds, if that is asked for, or ``state``. Raises
    Error for an image that nothing can be saved in or that is another model's, and UndecidedError
    as ``going_on``."""
    with simulated(built, image=image) as runner:
        found = device_of(runner).saved()
        check_room(built, image, found)
        if found.foreign and not found.whole and beginning != FRESH:
            raise Error(
                f"{image}: it holds what another model has learned, or another version of this "
                "one: give another file, or --fresh to write over it"
            )
        if found.damaged:
            left = "the newest whole one counts" if found.whole else "none is whole"
            reporter.say(
                f"note: {image}: {found.damaged} of its {found.slots} slots hold a save that was "
                f"cut off or is damaged; {left}"
            )
        keeps = f"a copy of {image} keeps it"
        own = going_on(runner, str(image), beginning, reporter, keeps)
    return state if own is None else own


def check_room(built: Build, image: Path, found: Saved) -> None:
    if found.slots < 2:
        raise Error(
            f"{image}: the flash of {built.target.name} does not hold two states of "
            f"{built.plan.memory.state_bytes:,} bytes, with what is kept beside them: train fewer "
            "layers, or keep fewer latents"
        )


def save_learned(runner: SimulatedRunner, image: Path, reporter: Reporter) -> Saved | None:
    """Have the device save what it has learned; None if that is nothing. Raises Error."""
    device = device_of(runner)
    steps = device.digest().steps
    if steps == 0:
        return None
    with refusals(str(image), device):
        saved = device.save()
    reporter.say(f"{image}: saved what was learned in {steps:,} steps, as number {saved.sequence}")
    return saved


def device_of(runner: SimulatedRunner) -> Device:
    assert isinstance(runner.device, Device)  # of a firmware with a link
    return runner.device
