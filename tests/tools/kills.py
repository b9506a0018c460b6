# SPDX-License-Identifier: Apache-2.0
"""Kills training at random moments, as often as it is told to.

`python -m tests.tools.kills --events N` trains the watch example at a port again and again: its
host gets SIGKILL, its board loses power, is reset or unplugged, at moments that a seed draws. Each
run ends with the file of an undisturbed one, array by array, or the tool with status 1. It prints
what happened, by kind.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mcutrain.host.training.reporter import Reporter
from tests.support.killed import KILLED, Scene, disturbed

# Options of the plan and of the run, for each run in turn.
VARIANTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"latents": "off"}),
    ({}, {"latents": "host", "verify": True}),
    ({"latent_slots": 20}, {"latents": "device"}),
    ({"receive_ahead": True}, {"latents": "off", "verify": True}),
]


class Loud(Reporter):
    """Prints what is said."""

    def say(self, text: str) -> None:
        print(f"    {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000, help="kills and troubles in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    rng, happened, runs = random.Random(args.seed), Counter[str](), Counter[bool]()
    reporter = Loud() if args.verbose else Reporter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scenes = []
        for k, (plan, _) in enumerate(VARIANTS):
            place = Path(folder) / str(k)
            place.mkdir()
            scenes.append(Scene.of(place, **plan))
        while happened.total() < args.events:
            number = runs.total()
            place = Path(folder) / f"run{number}"
            place.mkdir()
            scene, (_, options) = scenes[number % len(scenes)], VARIANTS[number % len(VARIANTS)]
            kills, on_board = rng.choice([(4, 0), (0, 6), (3, 5)])
            is_same, found = disturbed(
                scene, place, rng, kills, on_board, reporter=reporter, **options
            )
            happened += found
            runs[is_same] += 1
            if not is_same:
                print(f"run {number}: another state, after {dict(found)}", flush=True)
            print(f"{runs.total():,} runs, {happened.total():,} events", file=sys.stderr)
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(happened.items()))
    print(f"{runs.total():,} runs, {happened.total():,} events ({kinds}), {happened[KILLED]:,} of")
    print(f"them kills; {runs[True]:,} ended with the same weights, {runs[False]:,} did not;")
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(runs[False]))


if __name__ == "__main__":
    main()
