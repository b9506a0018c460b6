# SPDX-License-Identifier: Apache-2.0
"""What a plan must know of the chip it is for: instruction set, word, memories, flash."""

from __future__ import annotations

from dataclasses import dataclass

FRAMES = 2  # of the largest payload that the link holds: one that comes, one that goes
# Features of instruction sets that a kernel variant can need (``Op.needs``).
FEATURES = frozenset({"dsp", "mve"})  # Armv7E-M's SIMD within a word; Armv8.1-M's vectors


@dataclass(frozen=True)
class Memory:
    """``nbytes`` of RAM in a section ``name``; ``speed`` is relative, more is faster."""

    name: str
    nbytes: int
    speed: float = 1.0


@dataclass(frozen=True)
class Chip:
    """A chip as a plan sees it; kernels and memories are chosen for it.

    ``features`` are those of its instruction set that kernel variants can use, ``word_bytes`` the
    size of its registers and pointers. ``ram_bytes`` is the main RAM, in which a firmware also
    keeps a stack of at most ``stack_bytes`` and frames of ``payload_bytes``; ``beside`` are the
    memories beside it. A size of None is as large as it has to be. A chip that ``copies_constants``
    has those that pointers lead to in its main RAM too: its pointers reach no flash.
    """

    name: str
    features: frozenset[str] = frozenset()
    word_bytes: int = 4
    ram_bytes: int | None = None
    beside: tuple[Memory, ...] = ()
    flash_bytes: int | None = None
    stack_bytes: int = 0
    payload_bytes: int = 0
    copies_constants: bool = False

    @property
    def is_generic(self) -> bool:
        """Whether it stands for any chip: what is planned for it runs on all of them."""
        return self == GENERIC

    def room(self, held_bytes: int, stack_bytes: int) -> int | None:
        """Bytes of main RAM beside the link, a stack, and ``held_bytes`` of something else."""
        if self.ram_bytes is None:
            return None
        other = held_bytes + stack_bytes + FRAMES * self.payload_bytes
        return max(0, self.ram_bytes - -(-other // 8) * 8)


GENERIC = Chip("a generic chip of 32 bits, portable C")
