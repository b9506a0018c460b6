# SPDX-License-Identifier: Apache-2.0
"""Builds the firmware with PlatformIO. `python -m host.pio` prepares a checkout for `pio run`.

PlatformIO fetches its build engine, tool-scons, from its registry. That package is SCons, which
pip has installed already: a stand-in in the core folder that starts it makes builds independent of
the registry.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from host.errors import BuildError

PROJECT_DIR = Path(__file__).resolve().parents[1]
CORE_DIR = PROJECT_DIR / "build" / "pio-core"  # as platformio.ini says

_LAUNCHER = "import sys\n\nfrom SCons.Script.Main import main\n\nsys.exit(main())\n"
_ERROR_LINE = re.compile(r"\berror\b|undefined reference|overflowed|Error:|No module named", re.I)


@dataclass(frozen=True)
class Firmware:
    """A linked firmware; `objects_dir` holds the object files and their .su files (stack use)."""

    elf: Path
    map: Path
    objects_dir: Path


def seed_core(core_dir: Path = CORE_DIR) -> None:
    """Put the stand-in for tool-scons into a PlatformIO core folder, and switch off telemetry and
    upgrade checks there. Does nothing if the stand-in is there."""
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
    installed = tool_dir / "package.json"
    if installed.is_file() and installed.read_text() == package:
        return
    tool_dir.mkdir(parents=True, exist_ok=True)
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
    _write(tool_dir / "scons.py", _LAUNCHER)
    _write(tool_dir / ".piopm", json.dumps(metadata))
    _write(tool_dir / ".piokeep", "")
    _write(core_dir / "appstate.json", json.dumps(_app_state()))
    _write(installed, package)  # last: it says that all is there


def _write(path: Path, text: str) -> None:
    """Replace a file at once: another process may be reading it."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)


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
    be measured is linked without the board's limits. The output of PlatformIO goes to standard
    error if `verbose`. BuildError has the first line that tells what is wrong.
    """
    seed_core()
    command = [sys.executable, "-m", "platformio", "run", "-d", str(PROJECT_DIR), "-e", env]
    environment = {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(CORE_DIR),
        "PLATFORMIO_BUILD_DIR": str(build_dir.resolve()),
        "MCUTRAIN_GEN": str(gen_dir.resolve()),
        "MCUTRAIN_STACK_BYTES": "" if stack_bytes is None else str(stack_bytes),
        "MCUTRAIN_MEASURING": "1" if is_measuring else "",
    }
    result = subprocess.run(
        command,
        env=environment,
        cwd=PROJECT_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if verbose:
        sys.stderr.write(result.stdout)
    objects_dir = build_dir.resolve() / env
    firmware = Firmware(objects_dir / "firmware.elf", objects_dir / "firmware.map", objects_dir)
    if result.returncode != 0 or not firmware.elf.is_file():
        raise BuildError(f"building {env} failed: {_first_error(result.stdout)}")
    return firmware


def _first_error(output: str) -> str:
    """The first line that looks like an error, else the last line.

    >>> _first_error("Compiling a.o\\na.c:1:2: error: 'x' undeclared\\n*** [a.o] Error 1\\n")
    "a.c:1:2: error: 'x' undeclared"
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if _ERROR_LINE.search(line)), (lines or ["no output"])[-1])


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
    seed_core()
