# SPDX-License-Identifier: Apache-2.0
"""Build script of the stand-in: flags of Arduino's platform.txt, without its LTO."""

from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
mcu = f"-mmcu={env.BoardConfig().get('build.mcu')}"
env.Replace(
    CC="avr-gcc",
    CXX="avr-g++",
    AR="avr-gcc-ar",
    RANLIB="avr-gcc-ranlib",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZETOOL="avr-size",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPROGREGEXP=r"^(?:\.text|\.data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit)\s+(\d+).*",
)
env.Append(
    CCFLAGS=[mcu, "-Os", "-ffunction-sections", "-fdata-sections"],
    CXXFLAGS=["-std=gnu++11", "-fno-exceptions", "-fno-threadsafe-statics"],
    ASPPFLAGS=["-x", "assembler-with-cpp", mcu],
    LINKFLAGS=[mcu, "-Os", "-Wl,--gc-sections"],
    LIBS=["m"],
)
Default([env.BuildProgram()])
