# SPDX-License-Identifier: Apache-2.0
"""The drivers of real boards' flash, run on this computer: each with the store, on a stand-in of
its chip over the model of NOR flash."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.native import compile_shared
from tests.support.nor import CReport, Geometry, Stored
from tests.support.paths import FIRMWARE, ROOT

STAND_INS = ROOT / "tests" / "support" / "stand_ins"
# The model's functions beside those of the driver, which have the same names.
RENAMED = [f"-Dmct_port_flash_{name}=nor_flash_{name}" for name in ("read", "program", "erase")]
RENAMED.append("-Dmct_port_flash_geometry=nor_flash_geometry")
MODEL = ("ports/nor/nor.c",)
STORE = ("learning/store.c", "mct/crc32.c")


@dataclass(frozen=True)
class FlashPort:
    """A driver, and the flash that it is to find: where it begins, and the symbols of the linker by
    which it sees that the firmware ends before."""

    name: str
    source: str
    geometry: Geometry
    begin: int
    defines: tuple[str, ...] = ()
    symbols: tuple[tuple[str, int], ...] = ()
    stand_in: str = ""
    model_page: int = 0  # of the model, if it differs from the driver's

    @property
    def model(self) -> Geometry:
        g, page = self.geometry, self.model_page or self.geometry.page
        return Geometry(g.name, page, g.page * g.pages // page, g.unit, g.corrects)

    def compiled(self, folder: Path, **moved: int) -> ctypes.CDLL:
        """The driver with the store; ``moved`` are symbols of the linker that lie elsewhere."""
        flags = [f"-D{each}" for each in (*self.defines, "MCT_HAS_FLASH", "_GNU_SOURCE")]
        flags += [
            f"-Wl,--defsym={name}={address:#x}"
            for name, address in (dict(self.symbols) | moved).items()
        ]
        includes = [STAND_INS / "flash", STAND_INS, FIRMWARE, STAND_INS / "espidf"]
        chip = [STAND_INS / "flash" / "chip.c"]
        compile_shared([FIRMWARE / MODEL[0]], [FIRMWARE], folder / "libmodel.so", *RENAMED)
        sources = [FIRMWARE / self.source, *(FIRMWARE / each for each in STORE), *chip]
        if self.stand_in:
            sources.append(STAND_INS / self.stand_in)
            includes += [STAND_INS / "stm32cube", FIRMWARE / "ports" / "stm32cube"]
        declared = ["-include", str(STAND_INS / "flash" / "model.h")]
        flags += ["-pthread", *declared, f"-L{folder}", f"-Wl,-rpath,{folder}"]
        library = compile_shared([*sources, folder / "libmodel.so"], includes,
                                 folder / f"{self.name}.so", *flags)  # fmt: skip
        library.mct_store_look.restype = CReport
        return library

    def stored(self, library: ctypes.CDLL, nbytes: int, seed: int = 1) -> Stored:
        """A device whose flash lies where the driver reads it."""
        size = self.geometry.page * self.geometry.pages
        library.chip_map.restype = ctypes.c_void_p
        address = library.chip_map(ctypes.c_size_t(self.begin), ctypes.c_uint32(size))
        assert address == self.begin
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        return Stored(library, self.model, nbytes, seed, memory)
