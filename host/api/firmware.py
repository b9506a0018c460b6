# SPDX-License-Identifier: Apache-2.0
"""The C of a plan, and firmware that is built of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.html import page_table
from mcutrain.host.api.keys import keys_of
from mcutrain.host.api.plan import Plan
from mcutrain.host.building import copying, firmware
from mcutrain.host.building.generated import Asked, generated
from mcutrain.host.building.target import REFERENCE, Target, TargetKind
from mcutrain.host.cost import measured
from mcutrain.host.keys import Keys
from mcutrain.host.training.learned import planned_on
from mcutrain.trainer.errors import Error


@raises_errors
def generate(
    plan: Plan | Sequence[Plan],
    folder: str | os.PathLike[str],
    target: str | None = None,
    *,
    runtime: bool = False,
    name: str | None = None,
    key: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write the C that trains one or more models, as a library for any firmware: static buffers,
    no heap, one step function.

    Args:
        plan: The plan, or several whose models lie in one folder with one copy of the kernels.
        folder: Where the files go; it is made if it is not there.
        target: The board that they are for, as ``plan`` takes it. By default the first plan's; for
            ``"reference"`` the C runs on any chip with one memory.
        runtime: Whether the link is added, by which ``Device`` attaches to the firmware. It serves
            the first model.
        name: What the only model is called in the C. By default as its file.
        key: The file of a master key: the firmware then obeys only who has its keys. It takes
            ``runtime``.

    Returns:
        The paths of all files; ``README.md`` says how to build them. Files that would not change
        stay as they are.

    Raises:
        Error: A plan does not fit the board, the folder cannot be written, or a file in it would
            be lost.
    """
    plans = [plan] if isinstance(plan, Plan) else [*plan]
    place = Target.parse(target or plans[0].target)
    requests = tuple(each.request.on(place.chip) for each in plans)
    kept = tuple(latents_of(each) for each in plans)
    done = generated(
        Asked(requests, place, kept, runtime, name, keys_of(key)),
        Path(folder),
        lambda: [planned_on(*pair, place.chip) for pair in zip(requests, kept, strict=True)],
    )
    return list(done.files)


@raises_errors
def build(
    plan: Plan, target: str | None = None, *, key: str | os.PathLike[str] | None = None
) -> Firmware:
    """Build the firmware that serves the model over its link.

    What was built before by the same compiler is taken from the cache.

    Args:
        plan: The plan. For another target than its own it is made anew.
        target: ``"native"``, ``"sim:BOARD"`` or ``"board:BOARD"``. By default the plan's, or
            ``"native"`` if that is the reference.
        key: The file of a master key: the firmware then obeys only who has its keys.

    Returns:
        The firmware, with the bytes that it takes.

    Raises:
        Error: It does not build, it does not fit the board, or the extra ``build`` is missing.
    """
    named = target or ("native" if plan.target == REFERENCE else plan.target)
    if Target.parse(named).kind is TargetKind.REFERENCE:
        raise Error("the reference needs no firmware: give target='native' or 'sim:BOARD'")
    return Firmware(built_for(plan, named, keys_of(key)))


def built_for(plan: Plan, target: str, keys: Keys | None) -> firmware.Build:
    """The firmware of a plan for a target that has one. Raises Error."""
    place = Target.parse(target)
    place.require()
    details = planned_on(plan.request, latents_of(plan), place.chip)
    return firmware.build(details, place, keys=keys)


def latents_of(plan: Plan) -> Path | None:
    """The file whose latents a build holds in flash."""
    return None if plan.flash_latents is None else plan.flash_latents.path


@dataclass(frozen=True)
class Firmware:
    """A firmware that is built, and what it takes. ``build`` makes one.

    Attributes:
        built: All that is known of the build.
    """

    built: firmware.Build

    @property
    def path(self) -> Path:
        """The ELF file, in the cache for as long as this object lives. ``copy`` keeps it."""
        return self.built.elf

    @property
    def target(self) -> str:
        """What it was built for."""
        return self.built.target.name

    @property
    def ram_bytes(self) -> int | None:
        """All RAM: arena, learned state, stack, link and the rest. None on a computer whose native
        builds are not measured."""
        return self._bytes("sram_bytes")

    @property
    def flash_bytes(self) -> int | None:
        """All flash: constants, code and the rest; None as for ``ram_bytes``."""
        return self._bytes("flash_bytes")

    @property
    def stack_bytes(self) -> int | None:
        """The stack that it may use at most; None as for ``ram_bytes``."""
        return self._bytes("stack_bytes")

    def _bytes(self, key: str) -> int | None:
        found: int | None = self._cost[key]
        return found

    @cached_property
    def _cost(self) -> dict[str, Any]:
        return measured(self.built)

    def to_json(self) -> dict[str, Any]:
        """What ``mcutrain build --json`` prints."""
        return dict(self._cost)

    @raises_errors
    def copy(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Put the firmware, its linker map and the generated C into a folder.

        Returns:
            The paths of the copies.

        Raises:
            Error: The folder cannot be written.
        """
        copying.check_copies(self.built.plan, self.built.target, Path(folder))
        return copying.copy_build(self.built, Path(folder))

    def __repr__(self) -> str:
        named = f"{self.built.plan.name}, {self.built.plan.scheme.name}, {self.target}"
        if self.ram_bytes is None or self.flash_bytes is None:
            return f"Firmware({named})"
        return f"Firmware({named}: {self.ram_bytes:,} bytes of RAM, {self.flash_bytes:,} of flash)"

    def _repr_html_(self) -> str:
        rows = [
            ("arena, bytes", self._bytes("arena_bytes")),
            ("learned weights and state, bytes", self._bytes("learned_bytes")),
            ("stack, worst case, bytes", self.stack_bytes),
            ("RAM in all, bytes", self.ram_bytes),
            ("flash in all, bytes", self.flash_bytes),
        ]
        return page_table(repr(self), ("", ""), rows)
