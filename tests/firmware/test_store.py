# SPDX-License-Identifier: Apache-2.0
"""What was learned outlives a loss of power at any moment (learning/store.h)."""

from __future__ import annotations

import ctypes
import struct
import zlib

import numpy as np
import pytest

from tests.support.marks import exhaustive
from tests.support.nor import (
    FLASH,
    FOREIGN,
    NOTHING_SAVED,
    OK,
    RANGE,
    CPlace,
    Geometry,
    Stored,
    compile_store,
)
from tests.tools.power_cuts import GEOMETRIES, NBYTES, PARTS

each_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.name)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compile_store(tmp_path_factory.mktemp("store"))


@each_geometry
def test_what_is_saved_is_loaded(library: ctypes.CDLL, geometry: Geometry) -> None:
    device = Stored(library, geometry, NBYTES)
    assert device.power_up() == NOTHING_SAVED
    for number in range(1, 30):
        assert device.save(number) == OK
        assert (device.power_up(), device.state) == (OK, number)
    report = device.call("look")
    assert report.sequence == 29
    assert report.whole == report.slots >= 2
    assert report.erases == -(-29 // report.slots) == device.erases.max()
    assert device.flash.faults == 0


@each_geometry
def test_a_slot_has_the_bytes_of_the_specification(
    library: ctypes.CDLL, geometry: Geometry
) -> None:
    """SPEC 4.1, each of them; a power-up programs the third word where the second is erased."""
    device = Stored(library, geometry, NBYTES)
    unit = geometry.unit
    for number in (1, 2):
        assert device.save(number) == OK
    report, erased = device.call("look"), b"\xff"
    slot_bytes = geometry.page * (geometry.pages // report.slots)
    for number in (1, 2):
        fields = struct.pack("<4sI8s3I", b"MCTF", 1, bytes(device.meaning), number, NBYTES, 1)
        header = fields + zlib.crc32(fields).to_bytes(4, "little")
        data = device.state_of(number).tobytes()
        word = zlib.crc32(header + data).to_bytes(4, "little")
        parts = [part + erased * (-len(part) % unit) for part in (header, data, word, word)]
        expected = b"".join(parts)
        found = device.bytes[slot_bytes * (number - 1) :][:slot_bytes].tobytes()
        assert found == expected.ljust(slot_bytes, erased)
    second = slot_bytes + len(b"".join(parts[:3]))
    device.bytes[second : second + len(parts[3])] = 0xFF  # as if it had not been begun
    assert device.power_up() == OK
    third = device.bytes[second + len(parts[3]) :][: len(word)].tobytes()
    assert third == word


def operations_of_a_save(library: ctypes.CDLL, geometry: Geometry, saves: int) -> int:
    device = Stored(library, geometry, NBYTES)
    for number in range(saves):
        assert device.save(number + 1) == OK
    before = device.flash.operations
    assert device.save(saves + 1) == OK
    return int(device.flash.operations - before)


@each_geometry
@pytest.mark.parametrize("saves", [1, *(exhaustive(k, [0, 2, 5]) for k in (0, 2, 5))])
def test_power_that_fails_in_a_save_leaves_the_old_state_or_the_new(
    library: ctypes.CDLL, geometry: Geometry, saves: int
) -> None:
    count = operations_of_a_save(library, geometry, saves)
    ends = set()
    for operation in range(1, count + 1):
        for part in PARTS:
            device = Stored(library, geometry, NBYTES, seed=operation * 256 + part)
            for number in range(saves):
                assert device.save(number + 1) == OK
            device.cut(operation, part)
            device.save(saves + 1)
            status = device.power_up()
            ends.add(device.state)
            if saves or status == OK:
                assert (status, device.state) in ((OK, saves), (OK, saves + 1))
            else:
                assert status in (NOTHING_SAVED, FLASH)
            go_on(device, saves + 1)
            assert device.flash.faults == 0
    assert ends >= {saves + 1} and len(ends) == 2


def go_on(device: Stored, highest: int) -> None:
    """It can save as before, and what is saved stays."""
    for number in (highest + 1, highest + 2):
        assert device.save(number) == OK
        for _ in range(3):
            assert (device.power_up(), device.state) == (OK, number)


@each_geometry
@pytest.mark.parametrize("seed", [*range(3), *(exhaustive(k, range(3, 40)) for k in range(3, 40))])
def test_power_that_fails_again_and_again_loses_nothing(
    library: ctypes.CDLL, geometry: Geometry, seed: int
) -> None:
    """In saves and at power-ups. What a power-up finds once is what later ones find, or what the
    last save wrote."""
    random, device = np.random.RandomState(seed), Stored(library, geometry, NBYTES, seed=seed + 1)
    assert device.save(1) == OK
    may_be, number = {1}, 1
    for _ in range(60):
        number = number % 255 + 1
        if random.randint(2):
            device.cut(random.randint(1, 80), random.randint(257))
            written = device.save(number) == OK
            may_be = {number} if written else may_be | {number}
        if device.flash.is_off and random.randint(3) == 0:
            device.flash.is_off = False
            device.cut(1, random.randint(257))
            device.load(CPlace())
        assert device.power_up() == OK
        assert device.state in may_be
        if device.state == max_by_age(may_be, number):
            may_be = {device.state}
    assert device.flash.faults == 0


def max_by_age(may_be: set[int], newest: int) -> int:
    """The one of them that was saved last."""
    return max(may_be, key=lambda number: (number - newest - 1) % 255)


@pytest.mark.parametrize("worn_after", [1, 7])
def test_worn_pages_are_passed_over_and_then_refused(library: ctypes.CDLL, worn_after: int) -> None:
    geometry = Geometry("wear", 1024, 5, 4)
    device = Stored(library, geometry, NBYTES)
    device.flash.worn_after = worn_after
    last = 0
    for number in range(1, 60):
        status = device.save(number)
        if status == FLASH:
            break
        assert status == OK
        last = number
        assert (device.power_up(), device.state) == (OK, last)
    assert last >= 5 * worn_after
    for _ in range(3):  # and what was saved last is never lost
        assert device.save(200) == FLASH
        assert (device.power_up(), device.state) == (OK, last)


def test_what_is_damaged_foreign_or_invalid_is_refused_with_why(library: ctypes.CDLL) -> None:
    geometry = Geometry("refuse", 1024, 4, 4)
    device = Stored(library, geometry, NBYTES)
    for number in (1, 2, 3):
        assert device.save(number) == OK
    device.bytes[2 * 1024 + 40] ^= 1  # of the newest
    assert (device.power_up(), device.state) == (OK, 2)
    place = CPlace()
    for number in (2, 1):  # the caller refuses each
        assert (device.load(place), device.state) == (OK, number)
    assert device.load(place) == NOTHING_SAVED
    device.meaning[0] ^= 1
    assert device.power_up() == FOREIGN
    device.meaning[0] ^= 1
    assert device.call("forget") == OK
    assert device.power_up() == NOTHING_SAVED
    assert (device.bytes == 0xFF).all()


def test_the_report_tells_damaged_from_foreign_and_from_empty(library: ctypes.CDLL) -> None:
    device = Stored(library, Geometry("told", 1024, 5, 4), NBYTES)

    def told() -> tuple[int, ...]:
        report = device.call("look")
        return report.whole, report.damaged, report.foreign

    assert told() == (0, 0, 0)
    for number in (1, 2, 3):
        assert device.save(number) == OK
    assert told() == (3, 0, 0)
    device.bytes[40] ^= 1  # data
    device.bytes[1024 + 20] ^= 1  # a header
    assert told() == (1, 2, 0)
    device.cut(9, 128)
    device.save(4)
    assert (device.power_up(), device.state) == (OK, 3)
    assert told() == (1, 3, 0)  # of which one was begun
    device.meaning[0] ^= 1
    assert told() == (0, 2, 2)  # headers name their meaning, whatever is behind them
    assert device.save(5) == OK
    assert told() == (1, 2, 1)
    assert device.call("forget") == OK
    assert told() == (0, 0, 0)


def test_bytes_that_anyone_may_have_written_are_no_state(library: ctypes.CDLL) -> None:
    geometry = Geometry("hostile", 1024, 4, 4)
    for seed in range(200):
        random, device = np.random.RandomState(seed), Stored(library, geometry, NBYTES)
        assert device.save(1) == OK
        assert device.save(2) == OK
        if seed % 2:
            device.bytes[1024:] = random.randint(0, 256, 3072)
        else:
            at = random.randint(0, 2048, 1 + seed % 7)
            device.bytes[at] = random.randint(0, 256, at.size)
        status = device.power_up()
        assert status in (OK, NOTHING_SAVED, FOREIGN)
        assert status != OK or device.state in (1, 2)


def test_a_sequence_number_goes_around(library: ctypes.CDLL) -> None:
    device = Stored(library, Geometry("around", 1024, 3, 4), NBYTES)
    assert device.save(1) == OK
    header = device.bytes[:32].view(np.uint32)
    header[4] = 0xFFFFFFFF
    header[7] = zlib.crc32(device.bytes[:28].tobytes())
    data = device.bytes[: 32 + NBYTES].tobytes()
    start = 32 + -(-NBYTES // 4) * 4
    device.bytes[start : start + 4] = np.frombuffer(
        zlib.crc32(data).to_bytes(4, "little"), np.uint8
    )
    assert (device.power_up(), device.state) == (OK, 1)
    for number in (2, 3, 4, 5):
        assert device.save(number) == OK
        assert (device.power_up(), device.state) == (OK, number)


@pytest.mark.parametrize("pages", [0, 1])
def test_flash_for_less_than_two_slots_is_refused(library: ctypes.CDLL, pages: int) -> None:
    device = Stored(library, Geometry("small", 1024, pages or 1, 4), 400)
    device.flash.geometry.pages = pages
    assert device.save(1) == RANGE
    assert device.power_up() == RANGE


@each_geometry
def test_a_commit_that_was_cut_and_reads_as_whole_stays(
    library: ctypes.CDLL, geometry: Geometry
) -> None:
    """Bits that are neither 0 nor 1 may look right at one power-up and wrong at the next, when the
    state before is gone."""
    units = max(1, 4 // geometry.unit)  # of a word; those of the commit come before as many again
    commit = operations_of_a_save(library, geometry, 1) - units
    seen = set()
    for seed in range(1, 150):
        device = Stored(library, geometry, NBYTES, seed=seed)
        assert device.save(1) == OK
        device.cut(commit, 250)
        device.save(2)
        assert device.power_up() == OK
        seen.add(device.state)
        if device.state == 2:
            for erased in range(1, 3):
                device.cut(erased, 255)
                device.save(3)
                for _ in range(10):
                    assert (device.power_up(), device.state) == (OK, 2)
    assert seen == {1, 2} or geometry.corrects
