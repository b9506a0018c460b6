# SPDX-License-Identifier: Apache-2.0
"""Build script of the native and simulated boards, run by SCons inside `pio run`."""

import glob
import json
import os
import shutil
import sys

from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
prefix = board.get("build.toolchain")
ports_dir = os.path.join(env.subst("$PROJECT_SRC_DIR"), "ports")

if shutil.which(prefix + "gcc") is None:
    apt = board.get("build.apt")
    sys.stderr.write(f"error: {prefix}gcc is not installed; run: sudo apt-get install {apt}\n")
    env.Exit(1)

is_measuring = bool(os.environ.get("MCUTRAIN_MEASURING"))
cpu_flags = board.get("build.cpu_flags", [])
env.Replace(
    CC=prefix + "gcc",
    AR=prefix + "gcc-ar",
    RANLIB=prefix + "gcc-ranlib",
    LINK=prefix + "gcc",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(
    CCFLAGS=cpu_flags,
    CPPDEFINES=[("MCT_LINK_PAYLOAD", board.get("build.link_payload_bytes"))],
    # Expanded here: SCons quotes a path with a space only if it is no variable. The path may have
    # a comma, at which -Wl splits.
    LINKFLAGS=[*cpu_flags, "-Xlinker", "-Map=" + env.subst("$BUILD_DIR/firmware.map")],
)

if board.get("build.linker_script", ""):
    stack_bytes = os.environ.get("MCUTRAIN_STACK_BYTES") or board.get("build.stack_bytes")
    env.Append(
        # Not even the C library's start-up; only functions the compiler calls, such as memcpy.
        # A chip whose start-up is its C library's asks for other flags.
        LINKFLAGS=[
            *board.get("build.link_flags", ["-nostdlib"]),
            "-L",
            ports_dir,
            f"-Wl,--defsym=MCT_STACK_BYTES={stack_bytes}",
        ],
        LIBS=["c", "gcc"],
        CPPDEFINES=["MCT_HAS_NOINIT"],  # of the project's own linker scripts (runtime/health.c)
    )
    # A firmware too large for its board is linked to be measured, and then refused in bytes.
    script = board.get("build.measuring_script" if is_measuring else "build.linker_script")
    if is_measuring:
        board.update("upload.maximum_size", 0)  # PlatformIO would refuse it without saying why
    env.Replace(
        LDSCRIPT_PATH=os.path.join(ports_dir, script),
        SIZETOOL=prefix + "size",
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
        SIZEPROGREGEXP=r"^(?:\.boot2|\.text|\.rodata|\.data)\s+(\d+).*",
        SIZEDATAREGEXP=r"^(?:\.stack|\.data|\.bss)\s+(\d+).*",
    )


def write_again(target, source, env):
    """Leave the commands that link a measured firmware within the board's limits: what measures it
    runs them with the stack that it has found, and PlatformIO need not be started again."""
    elf = str(target[0])
    measuring = env.subst("$LDSCRIPT_PATH")
    within = os.path.join(ports_dir, board.get("build.linker_script"))
    link = [str(each) for each in env.subst_list("$LINKCOM", target=target, source=source)[0]]
    commands = [[within if each == measuring else each for each in link]]
    if checksum:
        commands.append([sys.executable, checksums, checksum, elf])
    with open(elf + ".again.json", "w", encoding="utf-8") as file:
        json.dump({"folder": os.getcwd(), "commands": commands}, file)


elf = env.BuildProgram()
checksum = board.get("build.checksum", "")
checksums = os.path.join(env.PioPlatform().get_dir(), "builder", "checksums.py")
if checksum:
    command = f'"{sys.executable}" "{checksums}" {checksum} "$TARGET"'
    env.AddPostAction(elf, env.VerboseAction(command, "Writing the checksum of $TARGET"))
if is_measuring and env.get("LDSCRIPT_PATH"):
    env.AddPostAction(elf, env.VerboseAction(write_again, "Writing how $TARGET is linked again"))
if env.get("LDSCRIPT_PATH"):
    included = glob.glob(os.path.join(glob.escape(ports_dir), "*", "*.ld"))
    env.Depends(elf, sorted(included))
Default([elf])
