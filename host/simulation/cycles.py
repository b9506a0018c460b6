# SPDX-License-Identifier: Apache-2.0
"""An estimate of cycles, from how many instructions of each kind were counted.

What it is made of: the cycles that Arm's technical reference manuals say an instruction takes, with
memories without wait states. What it leaves out: wait states of flash and RAM and what hides them
(prefetch buffers, caches), a load that waits for the address that the one before it loads, loads
and stores that meet on one bus, instructions in an IT block that are passed over (counted as
executed), and interrupts. Where a manual gives a range, which depends on values or on alignment,
the middle of it is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# As firmware/platform/emulators/qemu/thumb.h counts them, and behind them: registers that
# instructions of several moved, branches that were taken.
KINDS = (
    "other", "load", "next load", "store", "store at", "several", "multiply", "accumulate", "long",
    "long accumulate", "divide", "link", "table", "special", "register", "taken",
)  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Cycles of an instruction of each kind, 1 if it is not named; of ``register`` and ``taken``
    they come on top, of ``link`` too what a call or a return takes beside being taken."""

    source: str
    cycles: Mapping[str, float]

    def estimate(self, counts: Sequence[int]) -> int:
        """Of counts in the order of KINDS."""
        pairs = zip(KINDS, counts, strict=True)
        return round(sum(count * self.cycles.get(kind, 1.0) for kind, count in pairs))


TIMINGS = {
    "cortex-m0": Timing(
        "Cortex-M0 Technical Reference Manual (DDI 0432C), table 3-1, with the fast multiplier",
        # A branch takes 3 if taken, BL 4, POP with PC 4 + N.
        {"load": 2, "next load": 2, "store": 2, "store at": 2, "link": 2, "special": 4, "taken": 2},
    ),
    "cortex-m3": Timing(
        "Cortex-M3 Technical Reference Manual (DDI 0337H), table 3-1",
        {
            "load": 2, "store at": 2, "accumulate": 2, "long": 4, "long accumulate": 5.5,
            "divide": 7, "table": 2, "special": 2, "taken": 2,
        },
    ),
    "cortex-m4": Timing(
        "Cortex-M4 Technical Reference Manual (DDI 0439B), table 3-1",
        {"load": 2, "store at": 2, "divide": 7, "table": 2, "special": 2, "taken": 2},
    ),
}  # fmt: skip
