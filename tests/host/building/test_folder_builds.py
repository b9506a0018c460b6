# SPDX-License-Identifier: Apache-2.0
"""Projects of other people that hold a generated folder, built by their own build systems, and run
where that is possible.

ESP-IDF and Zephyr are not installed here: a stand-in for their functions hears what they are told.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.building import folder as folders
from mcutrain.host.building.compilers import compile_c
from mcutrain.host.building.pio import build_firmware, core_dir, link_platform, seed_core
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import AT_A_RATE, Run
from tests.support.documents import blocks
from tests.support.folders import (
    compiled,
    program,
    refused,
    renamed,
    said,
    small_plan,
    sources,
    written,
)
from tests.support.paths import FIRMWARE
from tests.support.small_models import CLASSES, SHAPE

ARDUINO = Path("/usr/share/arduino/hardware/arduino/avr")
MEGA = ("-mmcu=atmega2560", "-DF_CPU=16000000L", "-DARDUINO=10819", "-DARDUINO_AVR_MEGA2560",
        "-DARDUINO_ARCH_AVR", "-Os", "-ffunction-sections", "-fdata-sections")  # fmt: skip
SKETCH_CPP = ("-std=gnu++11", "-fpermissive", "-fno-exceptions", "-fno-threadsafe-statics")
LTO = ("-flto", "-fno-fat-lto-objects")
ARM = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O1", "--specs=nosys.specs")
AVR = ("avr-gcc", "-mmcu=atmega2560", "-Os", "-ffunction-sections", "-Wl,--gc-sections")
COMPILERS = {
    "gcc": ("gcc", "-O1"),
    "gcc, optimised at link time": ("gcc", "-O2", *LTO),
    "clang": ("clang", "-O1"),
    "arm": ARM,
    "arm, optimised at link time": (*ARM, *LTO),
    "avr": AVR,
    "avr, optimised at link time": (*AVR, *LTO),
    "riscv": ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-O1",
              "--specs=picolibc.specs"),
}  # fmt: skip
# A chip with DSP instructions and vectors, as C.
EVERYTHING = ("gcc", "-std=c11", "-DMCT_INSTRUCTIONS_IN_C", "-Wall", "-Wextra", "-Werror")


def needs(*programs: str) -> Any:
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    return small_plan(tmp_path_factory.mktemp("model"), "small")


@needs("cmake")
def test_a_cmake_project_trains(plan: TrainingPlan, tmp_path: Path) -> None:
    project = tmp_path / "a project, of mine"
    project.mkdir()
    written(project / "gen", plan)
    (project / "main.c").write_text(program(plan))
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(mine C)\nadd_executable(mine main.c)\n"
        "add_subdirectory(gen)\ntarget_link_libraries(mine PRIVATE mcutrain_small)\n"
    )
    made = tmp_path / "made"
    said(["cmake"], "-S", project, "-B", made, "-DCMAKE_BUILD_TYPE=Debug")
    said(["cmake"], "--build", made)

    said([str(made / "mine")])


@pytest.mark.exhaustive
@needs("cmake", "g++")
def test_a_cmake_project_in_cpp_with_two_folders_trains(plan: TrainingPlan, tmp_path: Path) -> None:
    other = renamed(plan, "other")
    written(tmp_path / "a", plan)
    written(tmp_path / "b", other)
    (tmp_path / "main.cpp").write_text(program(plan, other))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(mine C CXX)\nadd_executable(mine main.cpp)\n"
        "set_target_properties(mine PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF)\n"
        "target_compile_options(mine PRIVATE -Wall -Wextra -Wpedantic -Werror)\n"
        "add_subdirectory(a)\nadd_subdirectory(b)\n"
        "target_link_libraries(mine PRIVATE mcutrain_small mcutrain_other)\n"
    )
    said(["cmake"], "-S", tmp_path, "-B", tmp_path / "made")
    said(["cmake"], "--build", tmp_path / "made")

    said([str(tmp_path / "made" / "mine")])


STAND_INS = """
cmake_minimum_required(VERSION 3.13)
project(stand_in C)
set(ESP_PLATFORM 1)
set(CONFIG_{option} y)
function(idf_component_register)
    cmake_parse_arguments(heard "" "" "SRCS;INCLUDE_DIRS" ${{ARGN}})
    add_library(component STATIC ${{heard_SRCS}})
    target_include_directories(component PUBLIC ${{heard_INCLUDE_DIRS}})
endfunction()
function(zephyr_library_named name)
    add_library(module STATIC)
endfunction()
function(zephyr_library_sources)
    target_sources(module PRIVATE ${{ARGN}})
endfunction()
function(zephyr_include_directories)
    target_include_directories(module PUBLIC ${{ARGN}})
endfunction()
add_subdirectory({folder})
add_executable(mine main.c)
target_link_libraries(mine PRIVATE {library})
"""


@pytest.mark.exhaustive
@needs("cmake")
@pytest.mark.parametrize(("folder", "library"), [("gen", "component"), ("gen/zephyr", "module")])
def test_what_esp_idf_and_zephyr_are_told_builds(
    plan: TrainingPlan, tmp_path: Path, folder: str, library: str
) -> None:
    """With functions of their names that do what their documents say."""
    written(tmp_path / "gen", plan)
    (tmp_path / "main.c").write_text(program(plan))
    text = STAND_INS.format(option="MCUTRAIN_SMALL", folder=folder, library=library)
    (tmp_path / "CMakeLists.txt").write_text(text)
    said(["cmake"], "-S", tmp_path, "-B", tmp_path / "made")
    said(["cmake"], "--build", tmp_path / "made")

    assert "config MCUTRAIN_SMALL\n" in (tmp_path / "gen" / "zephyr" / "Kconfig").read_text()
    said([str(tmp_path / "made" / "mine")])


@pytest.fixture
def platformio(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """PlatformIO with this project's platform, and no package of its registry."""
    pytest.importorskip("platformio")
    seed_core(core_dir())
    link_platform(core_dir())
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(core_dir()))
    return [sys.executable, "-m", "platformio"]


@pytest.mark.exhaustive
def test_a_platformio_project_with_two_libraries_trains(
    plan: TrainingPlan, tmp_path: Path, platformio: list[str]
) -> None:
    other = renamed(plan, "other")
    written(tmp_path / "lib" / "first", plan)
    written(tmp_path / "lib" / "second", other)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text(program(plan, other))
    (tmp_path / "platformio.ini").write_text(
        f"[env:native]\nplatform = symlink://{FIRMWARE / 'platform'}\nboard = native\n"
    )
    said([*platformio, "run"], "-d", tmp_path)

    said([str(tmp_path / ".pio" / "build" / "native" / "firmware.elf")])


def test_platformio_reads_the_manifests(plan: TrainingPlan, tmp_path: Path) -> None:
    """Its own parser and schema, of which an unknown or missing field is an error."""
    parsing = pytest.importorskip("platformio.package.manifest.parser")
    schema = pytest.importorskip("platformio.package.manifest.schema")
    gen = written(tmp_path / "gen", plan, small_plan(tmp_path, "other"))
    for name in ("library.json", "library.properties"):
        parsed = parsing.ManifestParserFactory.new_from_file(str(gen / name)).as_dict()
        licence = parsed.pop("license")  # the schema would ask the network for a list of them
        found = schema.ManifestSchema().load_manifest(parsed)

        assert found["name"] == "mcutrain_small_other" and licence == "Apache-2.0"
        assert found["headers"] == ["small.h", "other.h"]
        for example in found.get("examples", ()):
            for file in example["files"]:
                assert (gen / example["base"] / file).is_file()


# Of the Arduino library specification, rev. 2.2: what it demands, and what it knows besides.
ARDUINO_FIELDS = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category",
                  "url", "architectures")  # fmt: skip
ARDUINO_OPTIONAL = ("depends", "dot_a_linkage", "includes", "precompiled", "ldflags", "license")
# Of Espressif's manifest for components, and of Zephyr's for modules.
ESP_FIELDS = {"version", "maintainers", "description", "license", "tags", "targets", "url",
              "repository", "documentation", "issues", "discussion", "files", "examples",
              "dependencies"}  # fmt: skip


def test_manifests_have_the_fields_that_are_published(plan: TrainingPlan, tmp_path: Path) -> None:
    gen = written(tmp_path / "gen", plan)
    properties = dict(
        line.split("=", 1) for line in (gen / "library.properties").read_text().splitlines()
    )
    component = re.findall(r"^(\w+): ", (gen / "idf_component.yml").read_text(), re.M)
    module = (gen / "zephyr" / "module.yml").read_text().splitlines()

    assert {*ARDUINO_FIELDS} <= properties.keys() <= {*ARDUINO_FIELDS, *ARDUINO_OPTIONAL}
    assert all(properties.values())
    assert re.fullmatch(r"[A-Za-z][\w .-]{0,62}", properties["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert {"version", "description", "license"} <= {*component} <= ESP_FIELDS
    assert module[2:] == [
        "name: mcutrain_small", "build:", "  cmake: zephyr", "  kconfig: zephyr/Kconfig",
    ]  # fmt: skip
    assert (gen / "zephyr" / "CMakeLists.txt").is_file()


@pytest.fixture(scope="module")
def arduino_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arduino's core for the Mega. WString.cpp is left out: avr-gcc 5.4 refuses it, and no sketch
    here has a String."""
    if not ARDUINO.is_dir():
        pytest.skip("not installed: arduino-core-avr")
    core = ARDUINO / "cores" / "arduino"
    objects = tmp_path_factory.mktemp("core")
    where = (f"-I{core}", f"-I{ARDUINO / 'variants' / 'mega'}")
    kinds = {"*.c": ("avr-gcc",), "*.cpp": ("avr-g++", *SKETCH_CPP),
             "*.S": ("avr-gcc", "-x", "assembler-with-cpp")}  # fmt: skip
    for pattern, command in kinds.items():
        found = (path for path in core.glob(pattern) if path.name != "WString.cpp")
        compiled([*command, *MEGA, "-w", *LTO, *where], found, objects)
    said(["avr-gcc-ar"], "rcs", objects / "core.a", *objects.glob("*.o"))
    return objects / "core.a"


@pytest.mark.exhaustive
@needs("avr-g++")
def test_an_arduino_sketch_with_two_libraries_builds(
    plan: TrainingPlan, arduino_core: Path, tmp_path: Path
) -> None:
    """The sketch that is in the folder, by the commands of Arduino's platform.txt: object files of
    both libraries, optimised at link time."""
    gens = [written(tmp_path / "small", plan), written(tmp_path / "b", renamed(plan, "other"))]
    sketch = tmp_path / "small.cpp"
    text = (gens[0] / "examples" / "small" / "small.ino").read_text()
    sketch.write_text(f"#include <Arduino.h>\n#include <other.h>\n{text}")
    sketch.write_text(
        sketch.read_text().replace("  small_reset(1);", "  small_reset(other_steps());")
    )
    core = ARDUINO / "cores" / "arduino"
    where = [f"-I{core}", f"-I{ARDUINO / 'variants' / 'mega'}", *(f"-I{gen}/src" for gen in gens)]
    cpp = ["avr-g++", *MEGA, *SKETCH_CPP, *LTO, "-Wall", "-Wextra", *where]
    own = compiled(cpp, [sketch], tmp_path / "sketch")
    library = compiled(["avr-gcc", *MEGA, *LTO, "-std=gnu11"], sources(*gens), tmp_path / "lib")
    elf = tmp_path / "small.elf"
    flags = ("-Os", "-flto", "-fuse-linker-plugin", "-Wl,--gc-sections", "-mmcu=atmega2560")
    said(["avr-gcc"], *flags, "-o", elf, *own, *library, arduino_core, "-lm")
    names = said(["avr-nm"], elf)

    assert re.search(r" T main$", names, re.M)
    sizes = said(["avr-size", "-A"], elf)
    text_bytes, bss_bytes = (int(re.findall(rf"^\.{name}\s+(\d+)", sizes, re.M)[0])
                             for name in ("text", "bss"))  # fmt: skip
    assert 4096 < text_bytes < 256 << 10 and bss_bytes >= plan.memory.state_bytes


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", COMPILERS)
def test_two_folders_link_with_each_compiler(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As object files and as archives; two versions do not, and the message names both."""
    command = COMPILERS[kind]
    if shutil.which(command[0]) is None:
        pytest.skip(f"not installed: {command[0]}")
    plan = small_plan(tmp_path, "small", "head")  # there is room for two of them on an AVR
    other, makes_archives = renamed(plan, "other"), "time" not in kind
    gens = [written(tmp_path / "a", plan), written(tmp_path / "b", other)]
    # Enough to need all of both models; it is not run.
    (tmp_path / "main.c").write_text(program(plan, other))
    flags = [*command, "-g", "-w"]
    where = [f"-I{gen}/src" for gen in gens]
    (main,) = compiled([*flags, *where], [tmp_path / "main.c"], tmp_path / "main")
    objects = [compiled(flags, sources(gen), tmp_path / f"o-{gen.name}") for gen in gens]
    said(flags, main, *objects[0], *objects[1], "-o", tmp_path / "program")
    if command[0] in ("gcc", "clang"):
        said([str(tmp_path / "program")])
    if makes_archives:
        archives = [tmp_path / "a.a", tmp_path / "b.a"]
        for archive, members in zip(archives, objects, strict=True):
            said(["ar"], "rcs", archive, *members)
        said(flags, main, *archives, "-o", tmp_path / "program")

    changed = folders.firmware_files()
    changed["kernels/add.c"] += "\n"
    monkeypatch.setattr(folders, "firmware_files", lambda: changed)
    newer = compiled(flags, sources(written(tmp_path / "c", other)), tmp_path / "o-c")
    told = refused(flags, main, *objects[0], *newer, "-o", tmp_path / "program")
    versions = [re.findall(r"ifndef mct_kernels_(\w+)", (gen / "src/mct/one_version.h").read_text())
                for gen in (gens[0], tmp_path / "c")]  # fmt: skip
    # An older linker prints the lines of the sources in place of the sections.
    is_old = kind == "avr"
    words = ["small.o", "other.o"] if is_old else [version for (version,) in versions]

    assert versions[0] != versions[1]
    assert all(word in told for word in words), told
    if makes_archives:
        said(["ar"], "rcs", tmp_path / "c.a", *newer)
        told = refused(flags, main, archives[0], tmp_path / "c.a", "-o", tmp_path / "program")
        assert "mct_kernels_of_two_versions" in told


OF_ONE_MODEL = ("runtime/session.c", "runtime/session.h", "runtime/seal.c", "runtime/main.c")


@pytest.mark.exhaustive
def test_all_that_can_be_copied_is_weak_and_needs_no_path(tmp_path: Path) -> None:
    """Every kernel, those for instruction sets that this computer has not as C."""
    files = folders.firmware_files()
    number = folders.version_of(files)
    for name, text in files.items():
        if name not in (
            "runtime/session.c",
            "runtime/session.h",
            "runtime/seal.c",
            "runtime/main.c",
        ):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(folders.copied(name, text, number))
    (tmp_path / folders.VERSION).write_text(folders.emit_version(number))
    found = sorted(tmp_path.rglob("*.c"))
    listed = said(["nm"], *compiled(EVERYTHING, found, tmp_path / "o"))
    strong = {*re.findall(r"^[0-9a-f]+ [TDBRCGS] (\w+)$", listed, re.M)}

    assert len(found) > 35
    assert strong == {f"mct_link_{end}" for end in
                      ("init", "open", "receive", "request", "take_loss")}  # fmt: skip
    assert not re.findall(r" [wv] \w+$", listed, re.M)  # what is weak is defined
    assert len({*re.findall(r" [WV] (mct_\w+)$", listed, re.M)}) > 150


@pytest.mark.exhaustive
def test_a_host_trains_a_firmware_that_has_the_link(model: Path, tmp_path: Path, run: Run) -> None:
    """The main program of the folder's own page, on the port of this computer."""
    gen = tmp_path / "gen"
    options = ("--update", "last:2")
    assert run("generate", model, *options, "--runtime", "-o", gen).status == 0
    page = "".join(text for _, text in blocks(gen / "README.md", "c") if "int main" in text)
    includes, main = page[: page.index("void")], page[page.index("int main") :]
    (tmp_path / "main.c").write_text(includes + main)
    port = FIRMWARE / "ports" / "native" / "port.c"
    elf = tmp_path / "firmware"
    compile_c(["-O1", f"-I{gen / 'src'}"], [tmp_path / "main.c", port, *sources(gen)], elf)
    rng = np.random.default_rng(4)
    data = tmp_path / "data.npz"
    x = rng.integers(-128, 128, (16, *SHAPE[1:]), dtype=np.int8)
    y = rng.integers(0, CLASSES, 16)
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    with subprocess.Popen([str(elf)], stdout=subprocess.PIPE, text=True) as firmware:
        try:
            assert firmware.stdout is not None
            path = firmware.stdout.readline().strip()
            ran = run("train", model, *options, *AT_A_RATE, "--data", data, "--port", path,
                      "--no-guard", "--steps", 12, "--verify", "--json")  # fmt: skip
        finally:
            firmware.terminate()

    assert ran.status == 0, ran.err
    assert ran.json["bit_exact"] and ran.json["verified_steps"] == 12


@pytest.mark.exhaustive
def test_the_projects_own_build_takes_a_folder(model: Path, tmp_path: Path, run: Run) -> None:
    """With the firmware's own kernels: the bytes are those of ``build``."""
    assert run("generate", model, "--update", "last:2", "-o", tmp_path / "gen").status == 0
    built = run("build", model, "--update", "last:2", "--json").json
    firmware = build_firmware(tmp_path / "gen", "native", tmp_path / "build")
    manifest = json.loads((tmp_path / "gen" / "src" / "small.json").read_text())
    for section in (".text", ".rodata", ".data"):
        found = [code(elf, section, tmp_path) for elf in (Path(built["elf"]), firmware.elf)]
        assert found[0] == found[1] != b"", section
    hashes = (bytes.fromhex(manifest[f"{kind}_hash"]) for kind in ("build", "numerics"))
    with simulate("native", firmware.elf) as port, SerialTransport(port) as transport:
        assert Device.open(transport, *hashes).info.classes == CLASSES


def code(elf: Path, section: str, folder: Path) -> bytes:
    said(["objcopy"], "-O", "binary", "-j", section, elf, folder / "section")
    return (folder / "section").read_bytes()


@pytest.mark.exhaustive
@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_folder_that_cannot_be_written_is_told_in_one_line(
    model: Path, tmp_path: Path, run: Run
) -> None:
    gen = tmp_path / "gen"
    gen.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(gen)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted")
    try:
        ran = run("generate", model, "-o", gen)
    finally:
        subprocess.run(["umount", str(gen)], check=True)

    assert (ran.status, ran.out) == (1, "")
    assert f"cannot write {gen}" in ran.err and len(ran.err.splitlines()) == 1
