# SPDX-License-Identifier: Apache-2.0
"""The store over a model of NOR flash, in this process, where power fails when a test says so."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.native import compile_shared
from tests.support.paths import FIRMWARE

SOURCES = ("learning/store.c", "mct/crc32.c", "ports/nor/nor.c")
OK, RANGE, STATE, FLASH, NOTHING_SAVED, FOREIGN = 0, -4, -9, -10, -11, -12

NOISE = np.random.RandomState(0).randint(0, 256, 4096).astype(np.uint8)


@dataclass(frozen=True)
class Geometry:
    """Bytes of a page, pages, bytes of a unit; whether units have error correction."""

    name: str
    page: int
    pages: int
    unit: int
    corrects: bool = False


class CGeometry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("page_bytes", "pages", "unit_bytes")]


class CFlash(ctypes.Structure):
    """nor_flash"""

    _fields_ = [
        ("geometry", CGeometry),
        ("bytes", ctypes.c_void_p),
        ("weak", ctypes.c_void_p),
        ("erases", ctypes.c_void_p),
        ("corrects", ctypes.c_bool),
        ("is_off", ctypes.c_bool),
        *(
            (name, ctypes.c_uint32)
            for name in ("worn_after", "operations", "cut_at", "cut_part", "faults", "random")
        ),
    ]


class CRegion(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("nbytes", ctypes.c_uint32)]


class CStore(ctypes.Structure):
    """mct_store"""

    _fields_ = [
        ("parts", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
        ("meaning", ctypes.c_void_p),
    ]


class CPlace(ctypes.Structure):
    """mct_store_place"""

    _fields_ = [("is_loaded", ctypes.c_bool), ("sequence", ctypes.c_uint32)]


class CReport(ctypes.Structure):
    """mct_store_report"""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("slots", "whole", "sequence", "erases", "damaged", "foreign")
    ]


def compile_store(folder: Path) -> ctypes.CDLL:
    sources, flag = [FIRMWARE / name for name in SOURCES], "-DMCT_WITH_STORE"
    library = compile_shared(sources, [FIRMWARE], folder / "store.so", flag)
    library.mct_store_look.restype = CReport
    return library


class Stored:
    """A device whose state is two parts, over flash that stays when its power goes."""

    def __init__(
        self,
        library: ctypes.CDLL,
        geometry: Geometry,
        nbytes: int,
        seed: int = 1,
        memory: Any = None,
    ) -> None:
        """``memory`` is where the flash lies, if it matters."""
        self.library, self.flash = library, CFlash.in_dll(library, "mct_nor")
        size = geometry.page * geometry.pages
        self.bytes = np.empty(size, np.uint8) if memory is None else memory
        self.bytes[:] = 0xFF
        self.weak, self.erases = np.zeros(size, np.uint8), np.zeros(geometry.pages, np.uint32)
        ctypes.memset(ctypes.addressof(self.flash), 0, ctypes.sizeof(self.flash))
        self.flash.geometry = CGeometry(geometry.page, geometry.pages, geometry.unit)
        self.flash.bytes, self.flash.weak = self.bytes.ctypes.data, self.weak.ctypes.data
        self.flash.erases, self.flash.corrects = self.erases.ctypes.data, geometry.corrects
        self.flash.random = seed
        self.parts = [np.zeros(nbytes - nbytes // 3, np.uint8), np.zeros(nbytes // 3, np.uint8)]
        self.regions = (CRegion * 2)(*(CRegion(part.ctypes.data, part.size) for part in self.parts))
        self.meaning = np.arange(8, dtype=np.uint8)
        regions = ctypes.addressof(self.regions)
        self.store = CStore(regions, 2, self.meaning.ctypes.data)

    def call(self, name: str) -> Any:
        return getattr(self.library, f"mct_store_{name}")(ctypes.byref(self.store))

    @property
    def state(self) -> int:
        """What the parts hold: a number that ``learn`` put there, or -1 for a mixture."""
        found = np.concatenate(self.parts)
        number = int(found[0])
        return number if np.array_equal(found, self.state_of(number)) else -1

    def state_of(self, number: int) -> Any:
        values = NOISE[number : number + sum(part.size for part in self.parts)].copy()
        values[0] = number
        return values

    def learn(self, number: int) -> None:
        values = self.state_of(number)
        self.parts[0][:], self.parts[1][:] = np.split(values, [self.parts[0].size])

    def save(self, number: int) -> int:
        self.learn(number)
        return int(self.call("save"))

    def power_up(self) -> int:
        """The status of the load; what RAM held is gone."""
        self.flash.is_off, self.flash.cut_at = False, 0
        for part in self.parts:
            part[:] = 0
        return self.load(CPlace())

    def load(self, place: CPlace) -> int:
        """The status of loading the newest that is older than ``place``, which notes it."""
        store, at = ctypes.byref(self.store), ctypes.byref(place)
        return int(self.library.mct_store_load(store, at))

    def cut(self, operation: int, part: int) -> None:
        """Power will fail in that operation from now, counted from 1, when ``part`` / 256 of it are
        done."""
        self.flash.cut_at, self.flash.cut_part = self.flash.operations + operation, part
