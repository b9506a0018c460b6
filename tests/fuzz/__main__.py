# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the device's session: ``python -m tests.fuzz [--seconds N] [BUILD ...]``."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.builds import BUILDS, clang, compile_build, folder_of
from tests.fuzz.runs import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of all builds together")
    parser.add_argument("builds", nargs="*", metavar="BUILD", help=", ".join(BUILDS))
    given = parser.parse_args()
    unknown = [build for build in given.builds if build not in BUILDS]
    if unknown:
        parser.error(f"there is no build {unknown[0]}: choose from {', '.join(BUILDS)}")
    compiler = clang()
    if compiler is None:
        print(
            "error: clang with libFuzzer is missing: apt install clang libclang-rt-14-dev",
            file=sys.stderr,
        )
        return 1
    builds = given.builds or list(BUILDS)
    seconds = max(1, given.seconds // len(builds))
    finds = 0
    for build in builds:
        program = compile_build(build, folder_of(build, "clang"), compiler)
        done = fuzz(program, build, seconds)
        print(f"{build:12} {done.inputs:8,} inputs", flush=True)
        if done.find is not None:
            finds += 1
            saved = program.parent / "find.txt"
            saved.write_text(done.find.script, encoding="utf-8")
            print(f"\n{done.find.reason}\n{done.find.script}\nkept in {saved}\n", flush=True)
    return int(finds > 0)


if __name__ == "__main__":
    sys.exit(main())
