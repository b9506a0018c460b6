# SPDX-License-Identifier: Apache-2.0
"""Runs a build of the fuzzer: the corpus again, new inputs, and a find made shorter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.builds import CORPUS

ANY = "any"  # the folder of the inputs for every build
LONGEST = 4096  # bytes of an input
TIMEOUT_S = 60  # of one input: no test of speed, it only ends what hangs
REASON = re.compile(r"WRONG: .*|SUMMARY: .*|\S+: runtime error: .*")
RUNS = re.compile(r"number_of_executed_units: (\d+)")


@dataclass(frozen=True)
class Find:
    """An input at which the device did what it must not, and how that was seen."""

    script: str
    reason: str


@dataclass(frozen=True)
class Fuzzed:
    """How many inputs a build was given, and the first at which it failed."""

    inputs: int
    find: Find | None


def corpus(build: str) -> list[Path]:
    """The inputs for a build, those for every build first."""
    return [path for folder in (ANY, build) for path in sorted((CORPUS / folder).glob("*.txt"))]


def replay(program: Path, inputs: Sequence[Path]) -> str | None:
    """Why the inputs fail; None if they do not."""
    command = [str(program), *map(str, inputs)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "WRONG: it does not end"
    return None if done.returncode == 0 else reason_in(done.stderr.decode(errors="replace"))


def reason_in(said: str) -> str:
    """The sanitizer's or the harness's line of a failure, without addresses."""
    found = REASON.search(said)
    line = found[0].strip() if found else said.strip().rpartition("\n")[2]
    return re.sub(r"/\S*/", "", re.sub(r" \(?0x[0-9a-f]+\)?", "", line))


def fuzz(program: Path, build: str, seconds: int) -> Fuzzed:
    """Inputs from the corpus and what grows out of it, for so long or until one fails."""
    folder = program.parent
    grown = folder / "corpus"
    grown.mkdir(exist_ok=True)
    for old in folder.glob("crash-*"):
        old.unlink()
    seeds = [str(CORPUS / name) for name in (ANY, build) if (CORPUS / name).is_dir()]
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={TIMEOUT_S}"]
    command = [str(program), *options, "-print_final_stats=1", f"-artifact_prefix={folder}/"]
    done = subprocess.run([*command, str(grown), *seeds], capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")
    (folder / "log.txt").write_text(said, encoding="utf-8")
    counted = RUNS.search(said)
    inputs = int(counted[1]) if counted else 0
    if done.returncode == 0:
        return Fuzzed(inputs, None)
    left = [path for kind in ("crash", "timeout", "oom") for path in folder.glob(f"{kind}-*")]
    script = left[0].read_text(encoding="utf-8", errors="replace") if left else ""
    return Fuzzed(inputs, shortest(program, Find(script, reason_in(said))))


def shortest(program: Path, find: Find) -> Find:
    """The find with the lines alone without which it is none, or is another."""
    path = program.parent / "tried.txt"

    def fails(lines: Sequence[str]) -> bool:
        path.write_text("".join(lines), encoding="utf-8")
        return replay(program, [path]) == find.reason

    lines = find.script.splitlines(keepends=True)
    return Find("".join(without_idle(lines, fails)), find.reason)


def without_idle(lines: list[str], fails: Callable[[Sequence[str]], bool]) -> list[str]:
    """A list of which no line can be left out and ``fails`` still holds.

    >>> without_idle(list("abcdef"), lambda kept: {"b", "e"} <= set(kept))
    ['b', 'e']
    """
    size = len(lines)
    while size > 0:
        at = 0
        while at < len(lines):
            fewer = lines[:at] + lines[at + size :]
            if len(fewer) < len(lines) and fails(fewer):
                lines = fewer
            else:
                at += size
        size //= 2
    return lines
