# SPDX-License-Identifier: Apache-2.0
"""Which plan a board at a serial port runs, by the builds that this computer has made."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from mcutrain.host.attached.choose import chosen_port
from mcutrain.host.building.known import KnownBuild, known_build
from mcutrain.host.errors import MismatchError
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.request import Request
from mcutrain.trainer.options import PlanOptions


def request_of_port(model: Path, port: str, baud: int) -> tuple[str, Request]:
    """The port, which AUTO may stand for, and the request of the build that runs there, with
    ``model`` as its model. Raises MismatchError if this computer has not built it."""
    port = chosen_port(port, baud)
    device = Device.open(SerialTransport(port, baud), None, None)
    device.close()
    digest = device.info.build_hash
    build = known_build(digest)
    options = None if build is None else options_of(build)
    if options is None:
        raise MismatchError(
            f"{port}: this computer has not made the build {digest.hex()} that runs there, so its "
            "plan is not known: use `mcutrain train --go-on --epochs 0` with the plan's options"
        )
    return port, Request.of(model, **options)


def options_of(build: KnownBuild) -> dict[str, Any] | None:
    """The options of a build, as its manifest has them; None if it has not."""
    path = build.folder / "gen" / f"{build.model}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stored, scheme = dict(found["options"]), str(found["scheme"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = {each.name for each in fields(PlanOptions)}
    options = {name: value for name, value in stored.items() if name in known}
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    return {**options, **lists, "update": scheme}
