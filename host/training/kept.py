# SPDX-License-Identifier: Apache-2.0
"""What a device on a serial port keeps in its flash, and the state that a host gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import DeviceError
from mcutrain.host.keys import Keys
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import RamRegion, Saved, Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.request import Request
from mcutrain.host.training.learned import planned_on
from mcutrain.host.training.runners import connected
from mcutrain.host.training.state import SavedState
from mcutrain.trainer.errors import Error
from mcutrain.trainer.interpreter import state_digest, unpack_state


@contextmanager
def refusals(port: str, device: Device) -> Iterator[None]:
    """What a device refuses in here is told with what to do. Raises Error."""
    try:
        yield
    except DeviceError as err:
        if err.status in (Status.NOTHING_SAVED, Status.FOREIGN):
            raise Error(f"{port}: {why_nothing(device.saved())}") from err
        hints = {
            Status.MESSAGE: "its firmware has no flash to save in: flash one whose port has, or "
            "keep what it learned with `mcutrain pull`",
            Status.FLASH: "its flash cannot be written or read any more, so it is worn out or "
            "broken; what was saved last stays there, and `mcutrain pull` keeps what it has now",
            Status.RANGE: "two states of its model do not fit its flash: nothing can be saved; "
            "train fewer layers, or keep what it learned with `mcutrain pull`",
            Status.STATE: "its state is none that training leaves: `mcutrain reset` mends it",
            Status.BUSY: "a step is under way: wait until its training has ended",
        }
        hint = hints.get(Status(err.status))
        raise (Error(f"{port}: {hint}") if hint else err) from err


def why_nothing(found: Saved) -> str:
    """Why a device has nothing to load, and what to do.

    >>> why_nothing(Saved(8, 0, 0, 3, damaged=1, foreign=0)).partition(":")[0]
    'nothing is saved in its flash that is whole'
    """
    if found.foreign:
        rest = f", and {slots(found.damaged)} something damaged" if found.damaged else ""
        return (
            f"{slots(found.foreign)} what another model, version or number of latents has saved"
            f"{rest}: flash that firmware again to have it, or write over it with `mcutrain save` "
            "(`mcutrain reset --saved` erases all)"
        )
    if found.damaged:
        return (
            f"nothing is saved in its flash that is whole: {slots(found.damaged)} a save that was "
            "cut off or is damaged; its state is as it was, and `mcutrain save` saves it"
        )
    return "nothing is saved in its flash: `mcutrain save` saves"


def slots(count: int) -> str:
    return f"{count} slot{' holds' if count == 1 else 's hold'}"


def asked(
    port: str, baud: int, what: Callable[[Device], Saved], keys: Keys | None
) -> dict[str, Any]:
    """What a device does with its flash, and what that holds then; whatever its model is."""
    port = chosen_port(port, baud)
    with SerialTransport(port, baud) as transport:
        device = Device.open(transport, None, None, keys=keys)
        with refusals(port, device):
            saved = what(device)
        return {"port": port, "steps": device.digest().steps, **asdict(saved)}


def save(port: str, baud: int = BAUD, keys: Keys | None = None) -> dict[str, Any]:
    """Have the device on a port save what it has learned. Raises Error."""
    return asked(port, baud, Device.save, keys)


def load(port: str, baud: int = BAUD, keys: Keys | None = None) -> dict[str, Any]:
    """Have it put back what it saved last. Raises Error."""
    return asked(port, baud, Device.load, keys)


def reset(
    port: str, seed: int, forgets: bool, baud: int = BAUD, keys: Keys | None = None
) -> dict[str, Any]:
    """Set it to its initial state, and erase what it has saved if it ``forgets``. Raises Error."""
    port = chosen_port(port, baud)
    with SerialTransport(port, baud) as transport:
        device = Device.open(transport, None, None, keys=keys)
        if forgets:
            with refusals(port, device):
                device.forget()
        device.reset(seed)
    return {"port": port, "seed": seed, "forgotten": forgets}


def push(
    request: Request,
    port: str,
    state: Path,
    flash_latents: Path | None = None,
    baud: int = BAUD,
    keys: Keys | None = None,
) -> dict[str, Any]:
    """Give the device the state of a file, and see by its digest that it has it. Raises Error."""
    saved, request = SavedState.read(state), request.resolved()
    plans = partial(planned_on, request, flash_latents)
    with connected(port, plans, baud, keys) as runner:
        plan, device, name = runner.plan, runner.device, runner.device.name
        packed = saved.state(plan)
        values = unpack_state(plan, packed)
        device.reset(0)  # no step may be under way
        device.write(RamRegion.STATE, packed)
        found, steps = device.digest(), int(values[plan.learning.sgd][1])
    if (found.digest, found.steps) != (state_digest(plan, values), steps):
        raise Error(
            f"{port}: the device does not hold what was sent, by its own digest: use it from one "
            "program at a time, and try again"
        )
    return {"port": name, "state": str(state), "update": plan.scheme.name, "steps": steps}
