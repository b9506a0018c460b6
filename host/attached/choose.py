# SPDX-License-Identifier: Apache-2.0
"""``--port auto``: the one board whose firmware answers."""

from __future__ import annotations

from mcutrain.host.attached.asking import State
from mcutrain.host.attached.survey import asked, serial_ports, waiting_boards
from mcutrain.host.defaults import AUTO, BAUD
from mcutrain.host.errors import TransportError


def chosen_port(port: str, baud: int = BAUD) -> str:
    """The port, or where it is AUTO that of the one board which answers. Raises TransportError,
    with what was found, if none answers or several do."""
    if port != AUTO:
        return port
    ports = asked(serial_ports(), baud)
    answering = [each for each in ports if each.answer.state is State.ANSWERS]
    if len(answering) == 1:
        return answering[0].device
    if answering:
        named = " and ".join(map(str, answering))
        raise TransportError(
            f"--port auto: {len(answering)} boards answer: {named}: give --port "
            f"{' or --port '.join(each.device for each in answering)}"
        )
    found = "; ".join(map(str, (*ports, *waiting_boards(ports))))
    if not found:
        raise TransportError(
            "--port auto: this computer has no serial port: plug a board in, and see `mcutrain "
            "ports`"
        )
    raise TransportError(f"--port auto: no firmware of mcutrain answers: {found}")
