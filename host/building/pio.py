# SPDX-License-Identifier: Apache-2.0
"""Builds the firmware with PlatformIO. `python -m mcutrain.host.building.pio FOLDER` prepares a
core folder for `pio run`.

PlatformIO fetches its build engine, tool-scons, from its registry. That package is SCons, which
pip has installed already: a stand-in in the core folder that starts it makes builds independent of
the registry.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.building.cache import lease
from mcutrain.host.errors import BuildError
from mcutrain.host.extras import require_extra
from mcutrain.host.failure import NO_SPACE
from mcutrain.host.files import write_all, write_whole
from mcutrain.host.places import (
    CACHE_VARIABLE,
    FIRMWARE_DIR,
    PACKAGE,
    cache_dir,
    installation,
)
from mcutrain.host.processes import run_group

AGAIN = ".again.json"  # behind the name of a measured firmware: how it is linked to be run
_STACK = "-Wl,--defsym=MCT_STACK_BYTES="
_LAUNCHER = "import sys\n\nfrom SCons.Script.Main import main\n\nsys.exit(main())\n"
# What says that something is wrong, the clearest first: compiler, linker, build script, Python.
_ERROR_LINES = (
    re.compile(r":\d+: (fatal )?error: |^\S*cc1\S*: .*error: "),
    re.compile(r"undefined reference|multiple definition|overflowed by"),
    re.compile(r"\bld(\.\w+)?: "),
    re.compile(r"^(fatal )?error: |: (fatal )?error: "),
    re.compile(r"^\w*(Error|Exception)\b|No space left|Permission denied"),
)
# What PlatformIO expands in a path, or the linker in that of a map, and what ends a word of theirs.
_NOT_IN_PATHS = '$%"\\'
_PROGRESS = re.compile(r"^(Compiling|Linking|Archiving|Indexing|Building|Checking size|\*\*\*) ")


@dataclass(frozen=True)
class Firmware:
    """A linked firmware; `objects_dir` holds the object files and their .su files (stack use)."""

    elf: Path
    map: Path
    objects_dir: Path


def core_dir() -> Path:
    """PlatformIO's core folder for this installation: it holds the path of the platform."""
    return cache_dir() / "pio-core" / installation()


def seed_core(core_dir: Path) -> None:
    """Put the stand-in for tool-scons into a PlatformIO core folder, and switch off telemetry and
    upgrade checks there. Files that are as they should be stay."""
    tool_dir = core_dir / "packages" / "tool-scons"
    version = _wanted_scons_version()
    package = json.dumps(
        {
            "name": "tool-scons",
            "version": version,
            "system": "*",
            "description": "Starts the SCons of this Python environment",
        }
    )
    # The owner in .piopm is what makes PlatformIO accept the package as its own.
    metadata = {
        "type": "tool",
        "name": "tool-scons",
        "version": version,
        "spec": {
            "owner": "platformio",
            "id": None,
            "name": "tool-scons",
            "requirements": None,
            "uri": None,
        },
    }
    files = {
        "scons.py": _LAUNCHER,
        ".piopm": json.dumps(metadata),
        ".piokeep": "",
        "package.json": package,
    }
    write_all({tool_dir / name: text for name, text in files.items()})
    settings = core_dir / "appstate.json"
    if not settings.is_file():  # PlatformIO changes it, and mends it
        write_whole(settings, json.dumps(_app_state()))


def link_platform(core_dir: Path) -> None:
    """Tell a core folder where this package's platform is. PlatformIO would do so itself, but not
    at once: what a killed build left of the file would stop all later ones."""
    uri = f"symlink://{FIRMWARE_DIR / 'platform'}"
    spec = {"owner": None, "id": None, "name": "platform", "requirements": None, "uri": uri}
    link = core_dir / "platforms" / "platform.pio-link"
    write_whole(link, json.dumps({"cwd": str(PACKAGE), "spec": spec}))


def build_firmware(
    gen_dir: Path,
    env: str,
    build_dir: Path,
    verbose: bool = False,
    stack_bytes: int | None = None,
    is_measuring: bool = False,
) -> Firmware:
    """Build platformio.ini's environment `env` with the model in `gen_dir`.

    `stack_bytes` replaces the stack that the board description reserves. A firmware that is only to
    be measured is linked without the board's limits; ``link_again`` goes on from there. The output
    of PlatformIO goes to standard error if `verbose`. BuildError has the first line that tells what
    is wrong.
    """
    variables = {
        "MCUTRAIN_STACK_BYTES": "" if stack_bytes is None else str(stack_bytes),
        "MCUTRAIN_MEASURING": "1" if is_measuring else "",
    }
    status, output = run_platformio(run_command(env), gen_dir, build_dir, variables, verbose)
    objects_dir = build_dir.resolve() / env
    firmware = Firmware(objects_dir / "firmware.elf", objects_dir / "firmware.map", objects_dir)
    if status != 0 or not firmware.elf.is_file():
        line = _first_error(output)
        raise BuildError(f"building {env} failed: {line}{no_space(line)}")
    return firmware


def no_space(line: str) -> str:
    """What to do where a line of a compiler says that a disk is full: its own files lie in the
    folder for temporary ones."""
    if "No space left" not in line:
        return ""
    return f"; {NO_SPACE}: {cache_dir()}, or {tempfile.gettempdir()}"


def link_again(firmware: Firmware, stack_bytes: int, verbose: bool = False) -> None:
    """Link a measured firmware within its board's limits, with a stack of so many bytes.

    What the build has left says how: starting PlatformIO a second time takes longer than all the
    rest. Raises BuildError with the first line that tells what is wrong.
    """
    said = json.loads(
        firmware.elf.with_name(f"{firmware.elf.name}{AGAIN}").read_text(encoding="utf-8")
    )
    link, *others = said["commands"]
    link = [f"{_STACK}{stack_bytes}" if each.startswith(_STACK) else each for each in link]
    for command in (link, *others):
        result = run_group(command, cwd=Path(said["folder"]))
        if verbose:
            sys.stderr.write(result.stdout)
        if result.returncode != 0:
            line = _first_error(result.stdout)
            raise BuildError(f"linking {firmware.objects_dir.name} failed: {line}")


def run_command(env: str, *more: str) -> list[str]:
    """The command that lets PlatformIO make an environment of platformio.ini."""
    return [sys.executable, "-m", "platformio", "run", "-d", str(PACKAGE), "-e", env, *more]


def upload_command(env: str, port: str | None) -> list[str]:
    """The command that builds and uploads an environment's firmware, as PlatformIO does it."""
    return run_command(env, "-t", "upload", *(() if port is None else ("--upload-port", port)))


def run_platformio(
    command: list[str],
    gen_dir: Path,
    build_dir: Path,
    variables: dict[str, str],
    verbose: bool = False,
) -> tuple[int, str]:
    """Run PlatformIO for the model in `gen_dir`: its status, and what it printed."""
    require_extra("build")
    check_path(build_dir)
    core = core_dir()
    held = lease(core, shared=True)
    try:
        seed_core(core)
        link_platform(core)
        asked = {"MCUTRAIN_GEN": str(gen_dir.resolve()), **variables}
        env = _environment(core, build_dir.resolve()) | asked
        result = run_group(command, env=env, cwd=PACKAGE)
    finally:
        held.release()
    if verbose:
        sys.stderr.write(result.stdout)
    return result.returncode, result.stdout


def check_path(folder: Path) -> None:
    """Raises BuildError for a folder that PlatformIO or the linker would take for another."""
    wrong = [c for c in str(folder.resolve()) if c in _NOT_IN_PATHS or not c.isprintable()]
    if wrong:
        raise BuildError(
            f"nothing can be built in {folder}: its path has {wrong[0]!r}; let {CACHE_VARIABLE} "
            "name a folder without"
        )


def _environment(core: Path, build_dir: Path) -> dict[str, str]:
    """Where PlatformIO reads and writes: nothing in the package."""
    return {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_WORKSPACE_DIR": str(build_dir / "workspace"),
        "PLATFORMIO_BUILD_DIR": str(build_dir),
        "PYTHONDONTWRITEBYTECODE": "1",  # the platform's scripts lie in the package
    }


def _first_error(output: str) -> str:
    """The first line of a compiler or linker that says what is wrong, else of a build script,
    else the last line. A line that says what is being done is none, whatever files it names.

    >>> _first_error("Compiling error.o\\na.c:1:2: error: 'x' undeclared\\n*** [a.o] Error 1\\n")
    "a.c:1:2: error: 'x' undeclared"
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if not _PROGRESS.match(line)]
    found = (line for kind in _ERROR_LINES for line in told if kind.search(line))
    return next(found, (told or lines or ["no output"])[-1])


def _wanted_scons_version() -> str:
    """The version that PlatformIO asks for: SCons A.B.C is tool-scons 4.ABBCC.0.

    Another SCons 4 goes under the same number: the builds here use no feature that differs.
    """
    from platformio.dependencies import get_core_dependencies

    return str(get_core_dependencies()["tool-scons"]).lstrip("~^=")


def _app_state() -> dict[str, object]:
    from platformio import __version__

    return {
        "last_version": str(__version__),  # or the first run greets, and a later one upgrades
        "settings": {"enable_telemetry": False, "check_platformio_interval": 36500},
    }


if __name__ == "__main__":
    seed_core(Path(sys.argv[1]))
