# SPDX-License-Identifier: Apache-2.0
"""What arrived while a reply was waited for, for the message that it did not come."""

from __future__ import annotations

from dataclasses import dataclass, field

EXCERPT_BYTES = 48


@dataclass
class Heard:
    """Counts of a wait in vain."""

    nbytes: int = 0
    damaged: int = 0  # frames
    echoes: int = 0  # frames that this program has sent itself
    others: int = 0  # whole frames: replies to something else
    refused: int = 0  # frames in which the device says that ours came damaged
    _excerpt: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.nbytes += len(data)
        if len(self._excerpt) < EXCERPT_BYTES:
            self._excerpt += data[: EXCERPT_BYTES - len(self._excerpt)]

    def __str__(self) -> str:
        """What it was, and what to do.

        >>> heard = Heard()
        >>> str(heard)
        'nothing arrived; check the cable and that the device runs this firmware, and reset it'
        >>> heard.add(bytes("login: ", "ascii") + bytes([0, 255]))
        >>> str(heard).split(";")[0]
        "9 bytes arrived that are no frame ('login: ..')"
        """
        if self.echoes:
            return (
                f"what this program sent came back {_times(self.echoes)}, as from a line without a"
                " device; check what the port leads to, and that echo is off there"
            )
        if self.damaged or self.refused:
            return (
                f"{_count(self.damaged, 'damaged frame')} arrived, and the device found"
                f" {_count(self.refused, 'frame')} of this program damaged; check baud rate,"
                " cable and ground"
            )
        if self.others:
            return (
                f"{_count(self.others, 'reply')} to other requests arrived; end other programs on"
                " this port, and reset the device"
            )
        if self.nbytes:
            return (
                f"{_count(self.nbytes, 'byte')} arrived that are no frame ({self._text()});"
                " check the baud rate, and that the device runs this firmware and nothing else"
                " uses its port"
            )
        return (
            "nothing arrived; check the cable and that the device runs this firmware, and reset it"
        )

    def _text(self) -> str:
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in self._excerpt)
        return repr(text) + (" ..." if self.nbytes > EXCERPT_BYTES else "")


def _count(number: int, what: str) -> str:
    plural = what if number == 1 else what.replace("reply", "replie") + "s"
    return f"{number or 'no'} {plural}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
