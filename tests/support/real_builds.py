# SPDX-License-Identifier: Apache-2.0
"""Real boards whose environment of platformio.ini is built here, by a platform under the name of
PlatformIO's own that takes the compilers of the system."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from mcutrain.host.building.pio import core_dir
from mcutrain.host.files import write_whole
from tests.support.paths import ROOT

PLATFORMS = ROOT / "tests" / "support" / "stand_ins" / "platformio"
ARDUINO_AVR = Path("/usr/share/arduino/hardware/arduino/avr")
# Each with the board of the simulator that runs its firmware: the same chip.
SIMULATED = {"megaatmega2560": "atmega2560"}


def official_core() -> Path:
    """PlatformIO's core folder with the official platforms: the one that MCUTRAIN_PLATFORMIO_CORE
    names, or the user's."""
    return Path(os.environ.get("MCUTRAIN_PLATFORMIO_CORE", "~/.platformio")).expanduser()


def seed_platform(name: str) -> None:
    """Install a stand-in where a build of this package looks for PlatformIO's platform."""
    folder = core_dir() / "platforms" / name
    if folder.is_dir():
        shutil.rmtree(folder)
    shutil.copytree(PLATFORMS / name, folder)
    spec = {"owner": "platformio", "id": None, "name": name, "requirements": None, "uri": None}
    version = json.loads((folder / "platform.json").read_text())["version"]
    known = {"type": "platform", "name": name, "version": version, "spec": spec}
    write_whole(folder / ".piopm", json.dumps(known))
