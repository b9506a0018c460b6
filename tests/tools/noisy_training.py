# SPDX-License-Identifier: Apache-2.0
"""What training costs over a line that damages bytes.

`python -m tests.tools.noisy_training MODEL --update SPEC --steps N --per-byte RATE` trains over a
clean line and over noisy ones, and prints a row for each. With `--lost-every BYTES` the device is
also lost about as often: unplugged, reset, or without power. It ends with status 1 if the learned
state differs. The model is the watch example by default.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.noisy_training import train_loose, train_over
from tests.support.paths import WATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=WATCH / "watch.tflite")
    parser.add_argument("--update", default="last:2")
    parser.add_argument("--classes", type=int)
    parser.add_argument("--steps", type=int, default=1050)
    parser.add_argument("--per-byte", type=float, nargs="+", default=[1e-4, 1e-3])
    parser.add_argument("--target", default="native")
    parser.add_argument("--lost-every", type=int, metavar="BYTES")
    args = parser.parse_args()
    target = Target.parse(args.target)
    plan = make_plan(load(args.model), PlanOptions(args.update, args.classes), target.chip)
    built = build(plan, target)
    clean = train_over(built, args.steps, 0.0)
    print("| faults per byte | faults | times lost | KB | seconds | of a clean line | same state |")
    print("|---|---|---|---|---|---|---|")
    is_same = True
    for rate in (0.0, *args.per_byte):
        if args.lost_every:
            run = train_loose(built, args.steps, rate, args.lost_every)
        else:
            run = train_over(built, args.steps, rate)
        is_same &= run.state == clean.state
        ratio, same = run.seconds / clean.seconds, "yes" if run.state == clean.state else "NO"
        row = [f"{rate:g}", f"{run.faults:,}", f"{run.troubles:,}", f"{run.nbytes / 1e3:,.0f}"]
        row += [f"{run.seconds:.1f}", f"{ratio:.2f}", same]
        print("| " + " | ".join(row) + " |", flush=True)
    sys.exit(not is_same)


if __name__ == "__main__":
    main()
