# SPDX-License-Identifier: Apache-2.0
"""What a link has carried so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Traffic:
    """Requests that were made, the copies of them that had to be sent again, the frames that came
    damaged, and the bytes each way, as they are on the line."""

    requests: int = 0
    resent: int = 0
    damaged: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def add(self, earlier: Traffic) -> None:
        """Count what an earlier session with the device has carried, too."""
        for name, value in asdict(earlier).items():
            setattr(self, name, getattr(self, name) + value)

    def to_json(self) -> dict[str, int]:
        return asdict(self)
