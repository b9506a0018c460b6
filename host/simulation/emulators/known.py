# SPDX-License-Identifier: Apache-2.0
"""The emulators there are, by the names that the descriptions of boards have for them."""

from __future__ import annotations

from mcutrain.host.boards import board_description
from mcutrain.host.errors import TransportError
from mcutrain.host.simulation.emulators.emulator import Emulator
from mcutrain.host.simulation.emulators.native import Native
from mcutrain.host.simulation.emulators.qemu import Qemu
from mcutrain.host.simulation.emulators.rp2040js import Rp2040js

EMULATORS: dict[str, type[Emulator]] = {"native": Native, "qemu": Qemu, "rp2040js": Rp2040js}


def emulator_of(board: str) -> Emulator:
    """What runs a board. TransportError if there is no such board, or it names no emulator that
    there is."""
    simulation = board_description(board)["simulation"]
    name = simulation["emulator"]
    if name not in EMULATORS:
        raise TransportError(
            f"{board}.json: there is no emulator {name!r}; known: {', '.join(sorted(EMULATORS))}"
        )
    return EMULATORS[name](simulation)
