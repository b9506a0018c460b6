# SPDX-License-Identifier: Apache-2.0
"""Records labelled samples of the sensor of a device on a serial port."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.collecting.samples import CollectedSamples
from mcutrain.host.collecting.turns import Labels
from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import DeviceError, TransportError
from mcutrain.host.keys import Keys
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import Status
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.waiting import Waiting
from mcutrain.trainer.errors import DataError, Error

POLL_S = 0.01  # between two questions whether a sample is ready
WRITE_EVERY_S = 2.0


@dataclass(frozen=True)
class Asked:
    """What is recorded: samples of ``classes``, into ``output``, which is gone on with if
    ``appends``. A sensor that gives nothing for ``timeout_s`` is given up."""

    port: str
    classes: tuple[str, ...]
    output: Path
    appends: bool = False
    timeout_s: float = 10.0
    baud: int = BAUD
    keys: Keys | None = None


Report = Callable[[CollectedSamples], None]


def class_list(text: str) -> tuple[str, ...]:
    """The names between commas, in the order of their labels. Raises DataError.

    >>> class_list("wave, circle")
    ('wave', 'circle')
    """
    names = tuple(name.strip() for name in text.split(","))
    if bad := [name for name in names if not name or not name.isprintable()]:
        raise DataError(f"--classes {text!r}: a class has the name {bad[0]!r}; give names a,b,c")
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"--classes {text}: {twice[0]} stands there twice; give each class once")
    if len(names) < 2:
        raise DataError(f"--classes {text}: two classes at least are needed; give names a,b,c")
    return names


def collect(asked: Asked, labels_of: Callable[[Device], Labels], report: Report) -> dict[str, Any]:
    """Record until the labels are over or the user interrupts; what was recorded is in the file
    then, and also where Error is raised. ``labels_of`` the open device makes them."""
    port = chosen_port(asked.port, asked.baud)
    with SerialTransport(port, asked.baud) as transport:
        device = Device.open(transport, None, None, keys=asked.keys)
        most = device.info.classes
        if most and len(asked.classes) > most:
            raise DataError(
                f"--classes names {len(asked.classes)}, and the model on {port} has {most}: name "
                "no more, or flash a build with --spare-classes"
            )
        found = CollectedSamples.begin(
            asked.output, asked.classes, device.info.input_bytes, asked.appends
        )
        is_interrupted = False
        try:
            record(device, labels_of(device), found, asked.timeout_s, report)
        except KeyboardInterrupt:
            is_interrupted = True
        except Error as err:
            found.write()
            raise Error(f"{told(err, port)}{kept(found)}") from err
        found.write()
    return {
        "port": port,
        "output": str(asked.output),
        "classes": list(asked.classes),
        "recorded": found.counts,
        "train": len(found.parts()["train"][1]),
        "test": len(found.parts()["test"][1]),
        "interrupted": is_interrupted,
    }


def told(err: Error, port: str) -> str:
    """What went wrong, and what to do where the firmware has no sensor."""
    if isinstance(err, DeviceError) and err.status == Status.MESSAGE:
        return (
            f"{port}: its firmware gives no samples of a sensor: compile it with MCT_WITH_SENSOR "
            "and mct_port_sample (docs/guides/alone.md)"
        )
    return str(err)


def kept(found: CollectedSamples) -> str:
    """What to say of the samples that were recorded before something went wrong."""
    if not found.labels:
        return ""
    return f"; the {len(found.labels)} samples recorded until then are in {found.path}"


def record(
    device: Device, labels: Labels, found: CollectedSamples, timeout_s: float, report: Report
) -> None:
    """The loop: ask for a sample, ask what it is, keep it. Raises Error where none comes."""
    waiting, written_at = Waiting(timeout_s), time.monotonic()
    report(found)
    while not labels.is_over:
        is_awaited = labels.look()
        taken = device.collect()
        label = None if taken is None else labels.label(taken[1])
        if taken is not None and label is not None:
            if label >= len(found.classes):
                raise DataError(
                    f"{device.name}: the device says that a sample is of class {label}, and "
                    f"--classes names {len(found.classes)}, 0 to {len(found.classes) - 1}"
                )
            found.add(taken[0], label)
            labels.took()
            report(found)
            waiting = Waiting(timeout_s)
        elif not is_awaited:
            waiting = Waiting(timeout_s)
        elif waiting.left_s() <= 0:
            what = "sample of its sensor" if taken is None else "label of a sample"
            how = "" if taken is None else "; give --label or --per-class, or press its buttons"
            raise TransportError(f"{device.name}: no {what} came in {timeout_s:g} s{how}")
        if taken is None:
            time.sleep(POLL_S)
        if time.monotonic() - written_at > WRITE_EVERY_S:
            found.write()
            written_at = time.monotonic()


def drain(device: Device, seconds: float) -> None:
    """Let samples pass for some time: those of before a class began."""
    waiting = Waiting(seconds)
    while waiting.left_s() > 0:
        if device.collect() is None:
            time.sleep(POLL_S)
