# SPDX-License-Identifier: Apache-2.0
"""Exact counts of steps and inferences on a simulated board: what is asked for, and what is found.

Emulators count guest instructions or cycles, never both (``Unit``). Counts repeat exactly for the
same firmware and data, except that an interrupt inside a region adds its own: open the device with
a `step_timeout_s` no step reaches, and that does not adapt, so that no repeated request arrives
during one. A request that is lost is repeated nevertheless: the device says so at once (SPEC 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from statistics import median_low

from mcutrain.host.errors import BuildError

REGIONS = {
    "step": "step",
    "forward": "infer",
    "prefix": "prefix",
    "latent_step": "step_from_latent",
    "latent_forward": "infer_from_latent",
}
STEPS = ("step", "latent_step")  # of these, the regions of a training step


class Unit(Enum):
    """What an emulator counts; the value is the word for several of them."""

    INSTRUCTIONS = "instructions"
    CYCLES = "cycles"


@dataclass(frozen=True)
class Region:
    """What is counted from the instruction at ``begin``, included, to the next at ``end``."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Counting:
    """What an emulator shall count into the file ``out``: a line for each run of a region, as
    ``read_counted`` reads it. ``owners`` is a file with lines "BEGIN END OWNER", the addresses in
    hexadecimal and ascending; ``kinds`` says whether instructions are told apart."""

    regions: tuple[Region, ...]
    out: Path
    owners: Path | None = None
    kinds: bool = False


@dataclass(frozen=True)
class Counted:
    """Instructions or cycles of one run of a region; by owner too where owners were given, and of
    each by kind (host.simulation.cycles) where that was asked for. Those of owner 0 are nobody's.
    """

    count: int
    by_owner: dict[int, int]
    kinds: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Owned:
    """Instructions at addresses from ``begin`` to ``end``, excluded, and what they call."""

    begin: int
    end: int
    owner: int


def counting(
    elf: Path, model: str, out: Path, owners: Iterable[Owned] = (), *, kinds: bool = False
) -> Counting:
    """The steps and inferences of ``model`` in a firmware; by owner if there are any, whom a file
    beside ``out`` then names, and by ``kinds``.

    Regions run from the entry of a function of MODEL, as REGIONS names it, to the entry of
    mct_mark_end, which the session calls when it has returned.
    BuildError if the ELF lacks one of these functions.
    """
    functions = [f"{model}_{function}" for function in REGIONS.values()]
    *begins, end = _function_addresses(elf, (*functions, "mct_mark_end"))
    regions = tuple(Region(name, at, end) for name, at in zip(REGIONS, begins, strict=True))
    lines = [f"{o.begin:x} {o.end:x} {o.owner}\n" for o in sorted(owners, key=lambda o: o.begin)]
    if not lines:
        return Counting(regions, out, kinds=kinds)
    file = out.with_name(f"{out.name}-owners")
    file.write_text("".join(lines), encoding="utf-8")
    return Counting(regions, out, file, kinds)


def read_counted(path: Path) -> dict[str, list[Counted]]:
    """What was counted by region, in order of execution; regions that never ran are missing."""
    found: dict[str, list[Counted]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, count, *parts = line.split()
        numbers = [tuple(map(int, part.split(":"))) for part in parts]
        by_owner = {owner: own for owner, own, *_ in numbers}
        kinds = {owner: tuple(each) for owner, _, *each in numbers if each}
        found.setdefault(name, []).append(Counted(int(count), by_owner, kinds))
    return found


def write_counts(path: Path, counted: Mapping[str, Iterable[int]]) -> None:
    """Leave instructions by the function that was counted, as ``read_counts`` reads them."""
    names = {function: region for region, function in REGIONS.items()}
    lines = (f"{names[function]} {n}\n" for function, runs in counted.items() for n in runs)
    path.write_text("".join(lines), encoding="utf-8")


def read_counts(path: Path) -> dict[str, list[int]]:
    """The same, the counts alone."""
    return {name: [run.count for run in runs] for name, runs in read_counted(path).items()}


def summary(region: str, counts: Sequence[int]) -> dict[str, float | None]:
    """What is reported of a region that ran: the least, the mean, the greatest and the median of
    its counts, the lower of two in the middle; of a training step the first apart, and these of the
    steps after it, None if there are none.

    Errors that pass a weight of 0 are not computed. A new head begins with such weights alone, so
    its first step takes less, and perhaps a few after it: the median is the steady state.

    >>> summary("step", [185, 190, 224, 224, 226])
    {'first': 185, 'min': 190, 'mean': 216.0, 'max': 226, 'median': 224}
    >>> summary("step", [185])
    {'first': 185, 'min': None, 'mean': None, 'max': None, 'median': None}
    """
    is_step = region in STEPS
    steady = counts[1:] if is_step else counts
    return {
        **({"first": counts[0]} if is_step else {}),
        "min": min(steady, default=None),
        "mean": sum(steady) / len(steady) if steady else None,
        "max": max(steady, default=None),
        "median": median_low(steady) if steady else None,
    }


def _function_addresses(elf: Path, names: tuple[str, ...]) -> list[int]:
    """Addresses of functions, the Thumb bit cleared."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with elf.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            symbols = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
            found = {symbol.name: int(symbol["st_value"]) & ~1 for symbol in symbols}
    except (OSError, ELFError) as error:
        raise BuildError(f"{elf}: not a firmware file ({error})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise BuildError(f"{elf}: no function {missing[0]}; is it this model's firmware?")
    return [found[name] for name in names]
