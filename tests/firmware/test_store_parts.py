# SPDX-License-Identifier: Apache-2.0
"""A device that learns by itself, with a guard and a replay buffer: what it saved is all of it."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.guarded import small_plan
from tests.support.latent_slots import with_slots
from tests.support.native import compile_shared, kernel_library, write_sources
from tests.support.nor import FLASH, FOREIGN, NOTHING_SAVED, OK, CFlash, CGeometry
from tests.support.paths import FIRMWARE

PAGE, PAGES, UNIT, SLOTS = 4096, 8, 8, 5
DEVICE_C = """
#include "small.h"
#include "learning/guard.h"
#include "learning/replay.h"

static uint16_t labels[SMALL_LATENT_SLOTS];
static mct_replay_class balance[SMALL_CLASSES];
static mct_replay replay = {.slots = SMALL_LATENT_SLOTS,
                            .classes = SMALL_CLASSES,
                            .labels = labels,
                            .balance = balance,
                            .seed = 1};
static uint8_t best[SMALL_STATE_BYTES];
static mct_guard guard;

#define MCT_API(symbol) small_##symbol
#define MCT_STORE_ALSO MCT_GUARD_STORED(guard), MCT_REPLAY_STORED(replay)
#include "learning/model_store.h"

int device_begin(void);
int device_learn(const int8_t *sample, uint32_t label);
int device_save(void);
uint32_t device_filled(void);
uint32_t device_digest(void);
uint32_t device_best(void);

int device_begin(void)
{
    mct_guard_init(&guard, small_regions[MCT_REGION_STATE], best, 9);
    small_reset(3);
    mct_status status = small_load();
    if (status != MCT_OK) {
        small_reset(3);
    }
    return status;
}

int device_learn(const int8_t *sample, uint32_t label)
{
    uint32_t old;
    if (small_push(0, sample, SMALL_INPUT_BYTES) != MCT_OK || small_prefix() != MCT_OK) {
        return -1;
    }
    uint32_t slot = mct_replay_offer(&replay, label);
    if (slot != MCT_REPLAY_NONE && small_keep_latent(slot, label) != MCT_OK) {
        return -2;
    }
    if (small_step_from_latent(label) != MCT_OK) {
        return -3;
    }
    slot = mct_replay_draw(&replay);
    if (small_recall_latent(slot, &old) != MCT_OK || small_step_from_latent(old) != MCT_OK) {
        return -4;
    }
    return (int)mct_guard_report_loss(&guard, small_steps() % 5u, 20, small_digest());
}

int device_save(void)
{
    return small_save();
}

uint32_t device_filled(void)
{
    uint32_t filled = 0;
    uint32_t label;
    for (uint32_t slot = 0; slot < SMALL_LATENT_SLOTS; slot++) {
        filled += small_recall_latent(slot, &label) == MCT_OK;
    }
    return filled;
}

uint32_t device_digest(void)
{
    return small_digest();
}

uint32_t device_best(void)
{
    mct_guard_restore(&guard);
    return small_digest();
}
"""


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return with_slots(small_plan(), SLOTS)


@pytest.fixture(scope="module")
def program(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device")
    own = folder / "device.c"
    own.write_text(DEVICE_C)
    names = ("learning/store.c", "learning/guard.c", "learning/replay.c", "ports/nor/nor.c")
    sources = [own, write_sources(plan, folder), *(FIRMWARE / name for name in names)]
    archive = kernel_library()
    out = folder / "device.so"
    compile_shared([*sources, archive], (FIRMWARE, folder), out, "-DMCT_WITH_STORE")
    return out


class Flash:
    """It stays when the device's RAM is lost."""

    def __init__(self) -> None:
        self.bytes = np.full(PAGE * PAGES, 0xFF, np.uint8)
        self.weak, self.erases = np.zeros(PAGE * PAGES, np.uint8), np.zeros(PAGES, np.uint32)


class Running:
    """The device from a power-up on: its variables are as the program begins."""

    count = 0

    def __init__(self, program: Path, flash: Flash) -> None:
        Running.count += 1
        self.library = ctypes.CDLL(
            shutil.copy(program, program.with_name(f"{Running.count}.so"))  # loaded anew
        )
        self.flash = CFlash.in_dll(self.library, "mct_nor")
        self.flash.geometry = CGeometry(PAGE, PAGES, UNIT)
        self.flash.bytes, self.flash.weak = flash.bytes.ctypes.data, flash.weak.ctypes.data
        self.flash.erases, self.flash.random = flash.erases.ctypes.data, 1
        self.begun = self.library.device_begin()

    def call(self, name: str) -> int:
        return int(getattr(self.library, f"device_{name}")()) & 0xFFFFFFFF

    def learn(self, plan: TrainingPlan, numbers: range) -> list[int]:
        """Samples that follow from their number; what the guard said of each."""
        said = []
        for number in numbers:
            random = np.random.RandomState(number)
            sample = random.randint(-128, 128, plan.task.input.type.shape).astype(np.int8)
            pointer: Any = sample.ctypes.data_as(ctypes.c_void_p)
            said.append(self.library.device_learn(pointer, number * 7 % plan.classes))
        assert min(said) >= 0
        return said


@pytest.mark.exhaustive
def test_a_replay_that_was_cut_off_goes_on_as_if_it_had_not(
    plan: TrainingPlan, program: Path
) -> None:
    undisturbed = Running(program, Flash())
    assert undisturbed.begun == NOTHING_SAVED
    said = undisturbed.learn(plan, range(20))
    flash = Flash()
    first = Running(program, flash)
    first.learn(plan, range(12))
    assert first.library.device_save() == OK
    first.learn(plan, range(12, 15))  # is lost
    second = Running(program, flash)
    assert second.begun == OK
    assert second.learn(plan, range(12, 20)) == said[12:]
    assert second.call("digest") == undisturbed.call("digest")
    assert second.call("filled") == undisturbed.call("filled") == SLOTS
    assert second.call("best") == undisturbed.call("best")


def test_slots_of_a_load_that_was_refused_are_empty(plan: TrainingPlan, program: Path) -> None:
    """Of a state that is whole and that no training leaves: the slots behind it are read too."""
    flash = Flash()
    first = Running(program, flash)
    first.learn(plan, range(12))
    regions = (ctypes.c_uint8 * 1).in_dll(first.library, "small_regions")
    state = ctypes.cast(ctypes.addressof(regions) + 16, ctypes.POINTER(ctypes.c_void_p))[0]
    assert state is not None
    nbytes = plan.memory.state_bytes
    held = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(state))
    held[nbytes - 8 : nbytes] = 0xFF  # the learning rate
    assert first.library.device_save() == OK
    second = Running(program, flash)
    assert second.begun not in (OK, NOTHING_SAVED, FOREIGN, FLASH)
    assert second.call("filled") == 0
