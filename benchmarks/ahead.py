# SPDX-License-Identifier: Apache-2.0
"""Seconds of a step over a link of so many baud: samples between steps, by rows, or ahead.

    python -m benchmarks.ahead MODEL --update SPEC --classes N --target sim:BOARD --baud N

The quickest of some steps, all rows in turn. A simulated board computes at the speed of this
computer, so a ratio holds for the two times it is made of. Samples are random.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import numpy as np
import typer

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.cli.options import takes_request
from mcutrain.host.cost import measured
from mcutrain.host.defaults import BAUD
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.request import Request
from mcutrain.host.training.runners import DeviceRunner, running
from mcutrain.trainer.errors import ModelError

BITS = 10  # of a byte on a serial line: start, eight, stop
SAMPLES, SLICE_S = 4, 1e-3
PATIENCE_S = 60.0
MODES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "`--stream-input`": {"stream_input": True},
    "`--receive-ahead`": {"receive_ahead": True},
}


class SlowTransport(SerialTransport):
    """A port that takes the time of its baud rate, which a pseudo-terminal has not."""

    def __init__(self, port: str, baud: int) -> None:
        super().__init__(port)
        self.seconds_per_byte, self.nbytes = BITS / baud, 0

    def write(self, data: bytes) -> None:
        """As the bytes of a line: a few every millisecond."""
        at, few = time.perf_counter(), max(1, round(SLICE_S / self.seconds_per_byte))
        for first in range(0, len(data), few):
            part = data[first : first + few]
            at += len(part) * self.seconds_per_byte
            time.sleep(max(0.0, at - time.perf_counter()))
            super().write(part)
        self.nbytes += len(data)

    def read(self, timeout_s: float) -> bytes:
        data = super().read(timeout_s)
        time.sleep(len(data) * self.seconds_per_byte)
        self.nbytes += len(data)
        return data


class Timed:
    """A build on its simulator, behind a slow link."""

    def __init__(self, built: Build, port: str, baud: int) -> None:
        plan, rng = built.plan, np.random.default_rng(0)
        self.x = rng.integers(-128, 128, (SAMPLES, *plan.task.input.type.shape)).astype(np.int8)
        self.y = rng.integers(0, plan.classes, SAMPLES)
        self.transport = SlowTransport(port, baud)
        hashes = built.build_hash, plan.numerics_hash
        device = Device.open(self.transport, *hashes, step_timeout_s=PATIENCE_S)
        self.runner = DeviceRunner(device, plan)
        self.runner.reset(0)
        self.seconds = list[float]()

    def step(self, k: int) -> None:
        """A step, with the sample before it or during it."""
        self.transport.nbytes, begun = 0, time.perf_counter()
        after = (k + 1) % SAMPLES
        self.runner.announce(self.x[after], self.y[after])
        self.runner.step(self.x[k % SAMPLES], self.y[k % SAMPLES], False)
        self.seconds.append(time.perf_counter() - begun)

    @property
    def row(self) -> tuple[float, float]:
        """Milliseconds of the last step's bytes on the link, and of the quickest step."""
        link = self.transport.nbytes * self.transport.seconds_per_byte
        return 1e3 * link, 1e3 * min(self.seconds[1:])


def builds(request: Request, target: Target) -> Iterator[tuple[str, Build]]:
    for name, options in MODES.items():
        try:
            yield name, build(request.but(**options).plan(), target)
        except ModelError:  # its input is read again, so it cannot arrive by rows
            continue


@takes_request
def main(
    request: Request,
    target: Annotated[str, typer.Option("--target")] = "sim:mps2_an500",
    baud: Annotated[int, typer.Option("--baud")] = BAUD,
    steps: Annotated[int, typer.Option("--steps")] = 20,
) -> None:
    found = dict(builds(request, Target.parse(target)))
    with ExitStack() as stack:
        timed = {}
        for name, built in found.items():
            port, _ = stack.enter_context(running(built, ()))
            timed[name] = Timed(built, port, baud)
        for k in range(steps):  # in turn, so that other work on this computer meets all of them
            for one in timed.values():
                one.step(k)
        print("| samples | RAM in all | link, ms | step, ms | of it |\n|---|---|---|---|---|")
        _, whole = timed["as it is"].row
        for name, one in timed.items():
            sram, (link, took) = measured(found[name])["sram_bytes"], one.row
            share = f"{100 * took / whole:.0f} %"
            print(f"| {name} | {sram:,} | {link:.1f} | {took:.1f} | {share} |")


if __name__ == "__main__":
    typer.run(main)
