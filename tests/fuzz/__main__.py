# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the device's session: ``python -m tests.fuzz [--seconds N] [BUILD ...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.builds import BUILDS, clang, compile_build, folder_of
from tests.fuzz.runs import Find, fuzz, replay, shortest


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of all builds together")
    parser.add_argument("--shorten", type=Path, metavar="FILE", help="a find, instead of a search")
    parser.add_argument("builds", nargs="*", metavar="BUILD", help=", ".join(BUILDS))
    given = parser.parse_args()
    unknown = [build for build in given.builds if build not in BUILDS]
    if unknown:
        parser.error(f"there is no build {unknown[0]}: choose from {', '.join(BUILDS)}")
    if given.shorten and not given.shorten.is_file():
        parser.error(f"there is no file {given.shorten}")
    return given


def told(find: Find, program: Path) -> str:
    """What is printed of a find, which is kept beside the program."""
    kept = program.parent / "find.txt"
    kept.write_text(find.script, encoding="utf-8")
    return f"\n{find.reason}\n{find.script}\nkept in {kept}\n"


def search(build: str, program: Path, seconds: int) -> bool:
    """Whether nothing was found."""
    done = fuzz(program, build, seconds)
    print(f"{build:12} {done.inputs:8,} inputs", flush=True)
    if done.find is not None:
        print(told(done.find, program), flush=True)
    return done.find is None


def shorten(build: str, program: Path, file: Path) -> bool:
    """Whether the file is no find."""
    reason = replay(program, [file])
    if reason is None:
        print(f"{build}: {file} does not fail")
    else:
        print(told(shortest(program, Find(file.read_text(encoding="utf-8"), reason)), program))
    return reason is None


def main() -> int:
    given, compiler = arguments(), clang()
    if compiler is None:
        print(
            "error: clang with libFuzzer is missing: apt install clang libclang-rt-dev",
            file=sys.stderr,
        )
        return 1
    builds = given.builds or list(BUILDS)
    is_clean = True
    for build in builds:
        program = compile_build(build, folder_of(build, "clang"), compiler)
        if given.shorten:
            is_clean &= shorten(build, program, given.shorten)
        else:
            is_clean &= search(build, program, max(1, given.seconds // len(builds)))
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
