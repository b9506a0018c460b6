# SPDX-License-Identifier: Apache-2.0
"""Cuts the power in every operation of saves, on flash of several geometries.

`python -m tests.tools.power_cuts` prints how many cuts left the old state and how many the new one.
It ends with status 1 if one left anything else, or if flash was used as it must not be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.nor import OK, Geometry, Stored, compile_store

NBYTES = 75  # no multiple of any unit but 1
GEOMETRIES = [
    Geometry("eeprom", 64, 16, 1),
    Geometry("nrf52", 4096, 3, 4),
    Geometry("stm32f4", 16384, 2, 4),
    Geometry("small pages", 128, 20, 8),
    Geometry("stm32h7", 1024, 6, 32, corrects=True),
    Geometry("rp2040", 4096, 3, 256),
]
PARTS = (0, 100, 255)  # of an operation, in 256ths


def cut_everywhere(device: Stored, number: int) -> tuple[int, int, int]:
    """Save ``number`` behind number - 1 with a cut in each operation, and then without one; how
    many cuts left the old state, the new one, and neither."""
    image = [part.copy() for part in (device.bytes, device.weak, device.erases)]
    operations = device.flash.operations
    assert device.save(number) == OK
    count = device.flash.operations - operations
    found = [0, 0, 0]
    for operation in range(1, count + 1):
        for part in PARTS:
            restore(device, image)
            device.cut(operation, part)
            device.save(number)
            status = device.power_up()
            is_state = status == OK and device.state in (number - 1, number)
            found[device.state - number + 1 if is_state else 2] += 1
    restore(device, image)
    assert device.save(number) == OK
    return found[0], found[1], found[2]


def restore(device: Stored, image: list[Any]) -> None:
    device.flash.is_off, device.flash.cut_at = False, 0
    device.bytes[:], device.weak[:], device.erases[:] = image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=100, help="of each geometry; default 100")
    saves = parser.parse_args().saves
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        library = compile_store(Path(folder))
        for geometry in GEOMETRIES:
            device = Stored(library, geometry, NBYTES)
            assert device.save(1) == OK
            cuts = [cut_everywhere(device, number % 255) for number in range(2, 2 + saves)]
            old, new, neither = (sum(part) for part in zip(*cuts, strict=True))
            faults = device.flash.faults
            print(
                f"{geometry.name}: {old + new + neither:,} cuts in {saves} saves: {old:,} left "
                f"the old state, {new:,} the new one, {neither} neither; {faults} units programmed "
                "twice"
            )
            is_good = is_good and neither == 0 and faults == 0
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
