# SPDX-License-Identifier: Apache-2.0
"""The core of Debian's arduino-core-avr. Its WString.cpp, of which nothing here makes use, does not
compile with Debian's avr-gcc 5.4."""

import os

from SCons.Script import DefaultEnvironment

CORE = "/usr/share/arduino/hardware/arduino/avr"

env = DefaultEnvironment()
board = env.BoardConfig()
variant = os.path.join(CORE, "variants", board.get("build.variant"))
core = os.path.join(CORE, "cores", "arduino")
env.Append(
    CPPPATH=[core, variant],
    CPPDEFINES=[
        ("F_CPU", board.get("build.f_cpu")), ("ARDUINO", 10808), "ARDUINO_ARCH_AVR",
        "ARDUINO_AVR_MEGA2560",
    ],
)  # fmt: skip
library = env.BuildLibrary(os.path.join("$BUILD_DIR", "core"), core, "+<*> -<WString.cpp>")
env.Prepend(LIBS=[library])
