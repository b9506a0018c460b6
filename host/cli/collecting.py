# SPDX-License-Identifier: Apache-2.0
"""Who says what a collected sample is, by the options of ``collect``, and the live count."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from mcutrain.host.collecting.collect import Asked, collect, drain
from mcutrain.host.collecting.samples import CollectedSamples
from mcutrain.host.collecting.turns import Buttons, Keys, Labels, Turns
from mcutrain.host.link.device import Device
from mcutrain.host.system.here import key_presses
from mcutrain.trainer.errors import DataError


@dataclass(frozen=True)
class Collecting:
    """A recording from the command line; the options are those of ``collect``."""

    asked: Asked
    per_class: int | None
    label: str | None
    count: int
    countdown_s: float
    console: Console

    def run(self) -> dict[str, Any]:
        """What was recorded. Raises Error."""
        self.check()
        has_keys = self.per_class is None and not self.count and sys.stdin.isatty()
        keys: AbstractContextManager[Callable[[], str] | None] = nullcontext()
        if has_keys:
            keys = key_presses()
        with keys as pressed, self.shown() as report:
            return collect(self.asked, lambda device: self.labels(device, pressed), report)

    def check(self) -> None:
        """Raises DataError for options that do not go together."""
        if self.label is not None and self.label not in self.asked.classes:
            names = ", ".join(self.asked.classes)
            raise DataError(f"--label {self.label} is none of --classes: give one of {names}")
        if self.label is not None and self.per_class is None:
            raise DataError(f"--label {self.label} without an end: give --per-class N, too")
        if self.count and self.per_class is not None:
            raise DataError("--count is of the device's buttons: give it or --per-class")

    def labels(self, device: Device, pressed: Callable[[], str] | None) -> Labels:
        classes = self.asked.classes
        if self.per_class is not None:
            order = range(len(classes)) if self.label is None else [classes.index(self.label)]
            return Turns(order, self.per_class, lambda label: self.begin(device, label))
        if pressed is None:
            return Buttons(self.count)
        keys = ", ".join(f"{k} {name}" for k, name in enumerate(classes[:9], 1))
        self.say(f"press {keys}; 0 pauses, q ends")
        return Keys(pressed, len(classes))

    def begin(self, device: Device, label: int) -> None:
        """Tell of the class that comes, and let samples pass until it is its turn."""
        self.say(f"now do {self.asked.classes[label]} ({self.per_class} samples)")
        for left in range(math.ceil(self.countdown_s), 0, -1):
            self.say(f"{left} ...")
            drain(device, self.countdown_s / math.ceil(self.countdown_s))

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[Callable[[CollectedSamples], None]]:
        """A report that shows how many samples each class has, where there is a terminal."""
        with self.console.status("waiting for the first sample") as status:

            def report(found: CollectedSamples) -> None:
                pairs = zip(found.classes, found.counts, strict=True)
                status.update(", ".join(f"{name} {count}" for name, count in pairs))

            yield report
