# SPDX-License-Identifier: Apache-2.0
"""The firmware as PlatformIO builds it, natively and on the emulated Cortex-M4."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from mcutrain.host.boards import board_names
from mcutrain.host.building.pio import Firmware, build_firmware
from mcutrain.host.errors import BuildError, TransportError
from mcutrain.host.link.device import Device
from mcutrain.host.link.protocol import RamRegion
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.counting import counter_args
from mcutrain.host.simulation.counts import read_counts
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import BUILD_HASH, GEN_DIR, NUMERICS_HASH

pytestmark = pytest.mark.board

BOARD = "mps2_an386"
STEPS = 8
STACK_BYTES = 1536


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pio")


@pytest.fixture(scope="module")
def native(build_dir: Path) -> Firmware:
    return build_strictly("native", build_dir)


@pytest.fixture(scope="module")
def mps2(build_dir: Path) -> Firmware:
    return build_strictly("sim_mps2_an386", build_dir, STACK_BYTES)


def build_strictly(env: str, build_dir: Path, stack_bytes: int | None = None) -> Firmware:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATFORMIO_BUILD_FLAGS", "-Werror")
        return build_firmware(GEN_DIR, env, build_dir, stack_bytes=stack_bytes)


def train(board: str, firmware: Firmware, arguments: tuple[str, ...] = ()) -> tuple[bytes, int]:
    """State after some steps and inferences, and its digest."""
    rng = random.Random(1)
    with (
        simulate(board, firmware.elf, arguments) as port,
        SerialTransport(port) as transport,
    ):
        device = Device.open(
            transport, BUILD_HASH, NUMERICS_HASH, step_timeout_s=600.0, adapts=False
        )
        device.reset(3)
        for step in range(STEPS):
            device.write_sample(rng.randbytes(device.info.input_bytes))
            assert device.step(step % device.info.classes).steps == step + 1
        device.write_sample(rng.randbytes(device.info.input_bytes))
        device.infer()
        return device.read(RamRegion.STATE), device.digest().digest


@pytest.mark.exhaustive
@pytest.mark.slow
def test_the_emulated_cortex_m4_trains_as_the_native_port(
    native: Firmware, mps2: Firmware, tmp_path: Path
) -> None:
    """And executes the same instructions each time."""
    expected = train("native", native)
    counts = []
    for name in ("first", "second,with a comma"):
        file = tmp_path / name
        assert train("mps2_an386", mps2, counter_args(BOARD, mps2.elf, "fake", file)) == expected
        counts.append(read_counts(file))

    assert counts[0] == counts[1]
    assert (len(counts[0]["step"]), len(counts[0]["forward"])) == (STEPS, 1)
    assert counts[0]["step"][0] > counts[0]["forward"][0] > 1000


def test_every_object_tells_its_stack_use(mps2: Firmware) -> None:
    objects = sorted(mps2.objects_dir.rglob("*.o"))

    assert len(objects) > 5
    assert all(path.with_suffix(".su").is_file() for path in objects)


def test_the_map_shows_link_memory_and_stack(mps2: Firmware) -> None:
    text = mps2.map.read_text()

    for section in (".bss.mct_link_rx", ".bss.mct_link_tx"):
        assert section in text
    symbols = subprocess.run(
        ["arm-none-eabi-nm", mps2.elf], capture_output=True, text=True, check=True
    ).stdout
    address = {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}
    assert address["MCT_STACK_BYTES"] == STACK_BYTES
    assert address["mct_stack_top"] == 0x20000000 + STACK_BYTES
    assert not [name for name in address if name.startswith(("__aeabi_f", "__aeabi_d", "malloc"))]


def test_a_compiler_error_is_reported_in_one_line(tmp_path: Path) -> None:
    gen_dir = tmp_path / "gen"
    gen_dir.mkdir()
    for file in GEN_DIR.glob("*.[ch]"):
        (gen_dir / file.name).write_text(file.read_text().replace("#include <string.h>", ""))
    (gen_dir / "fake.c").write_text("#error this is wrong\n")

    with pytest.raises(BuildError, match=r"building native failed: .*fake\.c:1:2: .*this is wrong"):
        build_firmware(gen_dir, "native", tmp_path / "build")


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no generated model; run `mcutrain generate`"):
        build_firmware(tmp_path, "native", tmp_path / "build")


@pytest.mark.slow
@pytest.mark.exhaustive  # tests/host/building/test_cache.py has a key that changes
def test_a_model_generated_anew_is_compiled_anew(tmp_path: Path) -> None:
    gen_dir = tmp_path / "gen"
    shutil.copytree(GEN_DIR, gen_dir, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    selection = gen_dir / "mct_selected_model.h"
    first = ", ".join(f"0x{byte:02x}" for byte in BUILD_HASH)
    for build_hash in (BUILD_HASH, bytes(8)):
        other = ", ".join(f"0x{byte:02x}" for byte in build_hash)
        selection.write_text((GEN_DIR / selection.name).read_text().replace(first, other))
        firmware = build_firmware(gen_dir, "native", tmp_path / "build")
        with simulate("native", firmware.elf) as port, SerialTransport(port) as transport:
            assert Device.open(transport, build_hash, NUMERICS_HASH).info.classes == 3


def test_boards_are_known_by_name() -> None:
    assert {"native", "mps2_an386"} <= set(board_names())
    with (
        pytest.raises(TransportError, match=r"no board 'nano'; known: .*native"),
        simulate("nano", Path("x")),
    ):
        pass


def test_a_missing_firmware_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(TransportError, match="there is no such firmware; build it first"),
        simulate("mps2_an386", tmp_path / "none.elf"),
    ):
        pass


def test_a_simulator_that_stops_says_why(tmp_path: Path) -> None:
    """The emulated core locks up on a file that holds no program."""
    (tmp_path / "text").write_text("no firmware " * 20)
    with (
        pytest.raises(TransportError, match=r"mps2_an386 stopped: .*Lockup"),
        simulate("mps2_an386", tmp_path / "text") as port,
        SerialTransport(port) as transport,
    ):
        Device.open(transport, None, None)


def test_counting_needs_the_functions_of_the_model(mps2: Firmware, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no function other_step"):
        counter_args(BOARD, mps2.elf, "other", tmp_path / "counts")
    (tmp_path / "text").write_text("no ELF")
    with pytest.raises(BuildError, match="not a firmware file"):
        counter_args(BOARD, tmp_path / "text", "fake", tmp_path / "counts")
