# SPDX-License-Identifier: Apache-2.0
"""The log of a chain's entries in flash (learning/record.h), where power fails at any moment."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.record_chain import ENTRY_BYTES
from tests.support.marks import exhaustive
from tests.support.native import compile_shared
from tests.support.nor import FLASH, OK, RANGE, Geometry, Stored
from tests.support.paths import FIRMWARE

SOURCES = ("learning/store.c", "learning/record.c", "mct/crc32.c", "ports/nor/nor.c")
STORE_PAGES, PAGES = 2, 3
GEOMETRIES = [
    Geometry("eeprom", 128, STORE_PAGES, 1),
    Geometry("small units", 300, STORE_PAGES, 4),
    Geometry("stm32h7", 256, STORE_PAGES, 32, corrects=True),
    Geometry("rp2040", 2048, STORE_PAGES, 256),
]
each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.name)


class CLog(ctypes.Structure):
    """mct_record_log"""

    _fields_ = [(name, ctypes.c_uint32) for name in ("first_page", "pages", "next", "number")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    output = tmp_path_factory.mktemp("record") / "record.so"
    flags = ("-DMCT_WITH_STORE", "-DMCT_WITH_RECORD_LOG")
    library = compile_shared([FIRMWARE / name for name in SOURCES], [FIRMWARE], output, *flags)
    library.mct_record_read.restype = ctypes.c_bool
    return library


class Logged(Stored):
    """A device with a state in flash, and a log in the pages behind it."""

    def __init__(self, library: ctypes.CDLL, geometry: Geometry, seed: int = 1) -> None:
        whole = Geometry(
            geometry.name, geometry.page, STORE_PAGES + PAGES, geometry.unit, geometry.corrects
        )
        super().__init__(library, whole, 40, seed)
        self.flash.geometry.pages = STORE_PAGES  # the store is told of no more
        self.log = CLog(STORE_PAGES, PAGES)
        assert self.call_log("open") == OK

    def call_log(self, name: str, *args: object) -> int:
        function = getattr(self.library, f"mct_record_{name}")
        return int(function(ctypes.byref(self.log), *args))

    def append(self, number: int) -> int:
        return self.call_log("append", entry(number))

    def restart(self) -> None:
        self.flash.is_off, self.flash.cut_at = False, 0
        self.log = CLog(STORE_PAGES, PAGES, 77, 77)
        assert self.call_log("open") == OK

    def entries(self) -> list[int]:
        """The numbers of the entries that can be read, each with the bytes that were appended."""
        found, raw = ctypes.c_uint32(), (ctypes.c_uint8 * ENTRY_BYTES)()
        numbers = []
        for index in range(self.call_log("slots") + 1):
            if self.call_log("read", index, ctypes.byref(found), raw):
                numbers.append(found.value)
        return numbers


def entry(number: int) -> bytes:
    return np.random.default_rng(number).bytes(ENTRY_BYTES)


@each_geometry
def test_the_log_keeps_the_newest_entries(library: ctypes.CDLL, geometry: Geometry) -> None:
    device = Logged(library, geometry)
    slots = device.call_log("slots")
    assert slots == PAGES * (geometry.page // max(56, -(-56 // geometry.unit) * geometry.unit))
    for number in range(3 * slots + 1):
        assert device.append(number) == OK
    assert device.save(5) == OK
    per_page = slots // PAGES
    kept = (PAGES - 1) * per_page + 1

    assert device.entries() == list(range(3 * slots + 1 - kept, 3 * slots + 1))
    raw, found = (ctypes.c_uint8 * ENTRY_BYTES)(), ctypes.c_uint32()
    for index in range(slots):
        if device.call_log("read", index, ctypes.byref(found), raw):
            assert bytes(raw) == entry(found.value)
    assert not device.call_log("read", slots, ctypes.byref(found), raw)
    device.restart()
    assert device.entries() == list(range(3 * slots + 1 - kept, 3 * slots + 1))
    assert device.append(99) == OK
    assert device.entries()[-1] == 3 * slots + 1
    assert (device.power_up(), device.state) == (OK, 5)
    assert device.flash.faults == 0 and device.erases[:STORE_PAGES].max() <= 1


@each_geometry
@pytest.mark.parametrize(
    "before", [3, *(exhaustive(k, [0, 1, 4, 7, 11]) for k in (0, 1, 4, 7, 11))]
)
def test_power_that_fails_loses_no_entry_but_the_last(
    library: ctypes.CDLL, geometry: Geometry, before: int
) -> None:
    """And no page that it was not in; neither the state."""
    for operation in range(1, 60 if geometry.unit == 1 else 20):
        for part in (0, 100, 255):
            device = Logged(library, geometry, seed=operation * 256 + part)
            assert device.save(9) == OK
            for number in range(before):
                assert device.append(number) == OK
            device.cut(operation, part)
            done = before
            while device.append(done) == OK:
                done += 1
            device.restart()
            kept = device.entries()
            assert kept == sorted(kept)
            assert not kept or kept[-1] in (done - 1, done)
            for number in range(4):
                assert device.append(number) == OK
            assert device.flash.faults == 0
            assert (device.power_up(), device.state) == (OK, 9)


def test_a_page_that_fails_is_passed_over(library: ctypes.CDLL) -> None:
    device = Logged(library, GEOMETRIES[0])
    device.flash.is_off = True
    assert [device.append(0), device.log.next] == [FLASH, 2]
    device.flash.is_off = False
    assert device.append(0) == OK
    assert device.entries() == [0]


def test_a_log_without_room_is_refused(library: ctypes.CDLL) -> None:
    device = Logged(library, GEOMETRIES[0])
    device.log = CLog(STORE_PAGES, 0)
    assert status(device.call_log("open")) == RANGE


def status(returned: int) -> int:
    return (returned & 0xFF ^ 0x80) - 0x80


def test_without_the_define_no_port_is_needed(tmp_path: Path) -> None:
    """Without the define there is no log, and nothing that a port must give."""
    compile_shared([FIRMWARE / "learning/record.c"], [FIRMWARE], tmp_path / "none.so")
