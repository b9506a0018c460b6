# SPDX-License-Identifier: Apache-2.0
"""A build with keys: they are where they must be, nowhere else, and for nobody else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mcutrain.host.building.copying import copy_build
from mcutrain.host.building.firmware import build
from mcutrain.host.building.folder import write_folder
from mcutrain.host.building.source import generate
from mcutrain.host.building.target import Target
from mcutrain.host.errors import BuildError
from mcutrain.host.keys import KeyFileError, Keys, Right
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.fake_model.build import MASTER_KEY
from tests.support.noisy_training import train_over
from tests.support.paths import FIRMWARE, WATCH

KEYS = Keys.of_master(MASTER_KEY)
NATIVE = Target.parse("native")
NONCE = '#include "mct/port_key.h"\nvoid mct_port_nonce(uint8_t *out)\n{\n    (void)out;\n}\n'


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"))


def secrets(folder: Path) -> set[str]:
    """The files below a folder that hold a key, as bytes or as C."""
    found = set()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        digits = data.decode("latin1").replace(" ", "").replace("\n", "").replace("0x", "")
        for key in (MASTER_KEY, *KEYS.by_right.values()):
            if key in data or key.hex() in digits.replace(",", "").lower():
                found.add(path.relative_to(folder).as_posix())
    return found


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o077 for path in folder.rglob("*")}


def test_a_build_is_for_its_owner_alone(plan: TrainingPlan, tmp_path: Path) -> None:
    built = build(plan, NATIVE, keys=KEYS)
    assert secrets(built.folder) == {"firmware.elf", "gen/mct_keys.h"}
    assert not any(modes(built.folder).values()) and not built.folder.stat().st_mode & 0o077
    bare = build(plan, NATIVE)
    assert bare.build_hash != built.build_hash and not secrets(bare.folder)
    copy_build(built, tmp_path)
    assert secrets(tmp_path) == {"firmware.elf", "mct_keys.h"}
    assert not any(modes(tmp_path).values())


@pytest.mark.exhaustive
def test_other_keys_are_another_firmware_of_the_same_name(plan: TrainingPlan) -> None:
    first = build(plan, NATIVE, keys=KEYS)
    written = first.elf.stat().st_mtime_ns
    assert build(plan, NATIVE, keys=KEYS).elf.stat().st_mtime_ns == written
    other = build(plan, NATIVE, keys=Keys.of_master(bytes(32)))
    assert other.build_hash == first.build_hash and not secrets(other.folder)
    assert secrets(build(plan, NATIVE, keys=KEYS).folder)


def test_keys_that_no_firmware_can_have_are_refused(plan: TrainingPlan) -> None:
    with pytest.raises(KeyFileError, match="needs the keys of all rights, and this file has one"):
        build(plan, NATIVE, keys=KEYS.only([Right.READ]))
    with pytest.raises(BuildError, match="unicorn:cortex-m4 has no link that keys could protect"):
        build(plan, Target.parse("unicorn:cortex-m4"), keys=KEYS)


@pytest.mark.exhaustive
@pytest.mark.board
def test_a_board_without_a_nonce_is_told() -> None:
    target = Target.parse("sim:sifive_e")
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("head"), target.chip)
    with pytest.raises(BuildError, match="sim:sifive_e has nothing that tells one start from all"):
        build(plan, target, keys=KEYS)


def test_generate_copies_what_seals_only_where_there_are_keys(
    plan: TrainingPlan, tmp_path: Path
) -> None:
    sealing = {"runtime/seal.c", "runtime/seal.h", "mct/hmac.c", "mct/hmac.h"}
    keyed, bare = tmp_path / "keyed", tmp_path / "bare"
    write_folder([plan], keyed, "", has_link=True, keys=KEYS)
    write_folder([plan], bare, "", has_link=True)

    def names(folder: Path) -> set[str]:
        return {path.relative_to(folder / "src").as_posix() for path in folder.rglob("src/*/*")}

    assert sealing <= names(keyed) and not sealing & names(bare)
    assert secrets(keyed) == {"src/mct_keys.h"} and not secrets(bare)
    assert (keyed / "src" / "mct_keys.h").stat().st_mode & 0o777 == 0o600
    (keyed / "nonce.c").write_text(NONCE)
    sources = sorted(keyed.rglob("*.c"))
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{keyed / 'src'}"]
    subprocess.run(["gcc", *strict, "-fsyntax-only", *map(str, sources)], check=True)
    write_folder([plan], keyed, "", has_link=True)  # without keys again
    assert not secrets(keyed) and not sealing & names(keyed)


@pytest.mark.exhaustive
@pytest.mark.board
@pytest.mark.parametrize("name", ["native", "sim:mps2_an386", "sim:microbit"])
@pytest.mark.parametrize("per_byte", [0.0, 1e-3])
def test_training_under_seal_is_training(name: str, per_byte: float) -> None:
    """Over a good line and a bad one, on a Cortex-M4 and a Cortex-M0 too."""
    target = Target.parse(name)
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), target.chip)
    sealed = train_over(build(plan, target, keys=KEYS), 40, per_byte)
    bare = train_over(build(plan, target), 40, 0.0)

    assert sealed.state == bare.state
    assert (sealed.faults > 0) == (per_byte > 0)


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("avr-gcc") is None, reason="avr-gcc is missing")
def test_an_avr_keeps_its_keys_in_flash(plan: TrainingPlan, tmp_path: Path) -> None:
    """They are no part of what is copied into RAM."""
    generate(plan, tmp_path, "", KEYS)
    objects = tmp_path / "seal.o"
    command = ["avr-gcc", "-mmcu=atmega2560", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    command += ["-Wconversion", "-Wno-sign-conversion", f"-I{FIRMWARE}", f"-I{tmp_path}", "-c"]
    subprocess.run([*command, str(FIRMWARE / "runtime" / "seal.c"), "-o", str(objects)], check=True)
    listed = subprocess.run(
        ["avr-objdump", "-h", str(objects)], check=True, capture_output=True, text=True
    ).stdout
    sizes = {line.split()[1]: int(line.split()[2], 16) for line in listed.splitlines()
             if line.split()[:1] and line.split()[0].isdigit()}  # fmt: skip
    assert sizes[".progmem.data"] == 96
    assert sum(size for name, size in sizes.items() if name.startswith((".data", ".rodata"))) == 0
