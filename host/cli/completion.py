# SPDX-License-Identifier: Apache-2.0
"""What a shell offers in the place of an option's value.

Asked for with each press of the tab key: nothing here may import NumPy.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import ContextVar

from mcutrain.trainer.errors import Error

# What stands before the part of a word that the shell replaces.
before: ContextVar[str] = ContextVar("before", default="")
Completion = Callable[[str], list[str]]


def one_of(choices: Iterable[str]) -> Completion:
    """Offers ``choices``."""
    known = tuple(choices)

    def offered(incomplete: str) -> list[str]:
        written = before.get() + incomplete
        return [each.removeprefix(before.get()) for each in known if each.startswith(written)]

    return offered


def targets(incomplete: str) -> list[str]:
    """The targets there are: the reference, the native firmware and all simulated boards."""
    from mcutrain.host.cli.ports import target_names

    try:
        return one_of(target_names())(incomplete)
    except (Error, OSError):  # a board's description that cannot be read is no matter of a shell's
        return []


def boards(incomplete: str) -> list[str]:
    """The targets that a firmware is built for."""
    return [each for each in targets(incomplete) if each != "reference"]


def ports(incomplete: str) -> list[str]:
    """The serial ports of this computer."""
    from mcutrain.host.cli.ports import port_names

    return one_of(port_names())(incomplete)


def real_boards(incomplete: str) -> list[str]:
    """The boards that can be flashed."""
    from mcutrain.host.boards import real_board_names

    return one_of(real_board_names())(incomplete)


def heed_colons(environment: MutableMapping[str, str]) -> None:
    """Make words whole again that bash has split at their colons, such as ``sim:mps2_an386``.

    Of the last one it replaces only what stands behind its last colon, so that is what is offered.
    """
    if environment.get("_MCUTRAIN_COMPLETE") != "complete_bash":
        return
    given, at = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    words: list[str] = []
    for word in given[: at + 1]:
        if words and (word == ":" or words[-1].endswith(":")):
            words[-1] += word
        else:
            words.append(word)
    front, colon, words[-1] = words[-1].rpartition(":")
    before.set(front + colon)
    environment["COMP_WORDS"] = shlex.join(words)
    environment["COMP_CWORD"] = str(len(words) - 1)
