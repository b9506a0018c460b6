# SPDX-License-Identifier: Apache-2.0
"""What long work looks like while it runs: a few lines on a terminal, drawn anew now and then.

Elsewhere, and once the work is done, a line for each of its phases. Whoever works only says how far
it is; a thread draws, so that nothing waits for the terminal.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from rich.console import Console
from rich.live import Live
from rich.text import Text

REDRAWS_PER_SECOND = 5
BAR_CELLS = 20
SMOOTHING = 0.05  # of a new value in the average
POINTS = 256  # of a curve, at most
RECENT_SECONDS, MARK_SECONDS = 10.0, 0.25  # that the speed is measured over, and between its marks
BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
Clock = Callable[[], float]


@dataclass
class Curve:
    """A smoothed value, and its past in at most POINTS points."""

    value: float | None = None
    points: list[float] = field(default_factory=list)
    every: int = 1  # values for a point
    count: int = 0

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + SMOOTHING * (value - self.value)
        if self.count % self.every == 0:
            self.points.append(self.value)
            if len(self.points) == POINTS:
                self.points, self.every = self.points[::2], 2 * self.every
        self.count += 1


@dataclass
class Phase:
    """A part of the work: how far it is, in units such as steps, and since when."""

    name: str
    started: float
    done: int = 0
    total: int = 0
    note: str = ""
    curve: Curve = field(default_factory=Curve)
    seconds: float = 0.0
    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def advance(self, done: int, total: int, now: float) -> None:
        self.done, self.total, self.seconds = done, total, now - self.started
        if not self.marks or now - self.marks[-1][0] >= MARK_SECONDS:
            self.marks.append((now, done))
            while now - self.marks[0][0] > RECENT_SECONDS:
                self.marks.popleft()

    def per_second(self, now: float) -> float:
        """How fast it has been lately; 0 where that cannot be said yet."""
        begun, first = self.marks[0] if self.marks else (now, self.done)
        return (self.done - first) / (now - begun) if now > begun else 0.0

    def loss(self) -> str:
        return "" if self.curve.value is None else f"loss {self.curve.value:.3g}"

    def summary(self) -> str:
        parts = (f"{self.name}: {self.done:,} of {self.total:,}", self.loss(), self.note,
                 f"{self.seconds:.1f} s")  # fmt: skip
        return ", ".join(part for part in parts if part)


class LiveView:
    """What is known of the work under way."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self.console, self.clock = console, clock
        self.phases: dict[str, Phase] = {}
        self.current: Phase | None = None
        self.facts: dict[str, str] = {}  # beside the phases, by what they are of

    def show(
        self, name: str, done: int, total: int, loss: float | None = None, note: str = "",
        **facts: str,
    ) -> None:  # fmt: skip
        """Take note that a phase is so far. ``facts`` stay until others come in their places."""
        now = self.clock()
        phase = self.phases.get(name)
        if phase is None:
            phase = self.phases[name] = Phase(name, now)
        elif phase is not self.current:
            phase.marks.clear()  # it has paused
        self.current = phase
        phase.advance(done, total, now)
        if loss is not None:
            phase.curve.add(loss)
        if note:
            phase.note = note
        self.facts |= facts

    def render(self) -> Text:
        """The lines there are to see now, none wider than the console."""
        phase = self.current
        if phase is None:
            return Text()
        now = self.clock()
        speed = phase.per_second(now)
        left = f"{duration((phase.total - phase.done) / speed)} left" if speed else ""
        is_ascii = self.console.options.ascii_only
        head = [f"{phase.name:<8}", bar(phase.done, phase.total, is_ascii),
                f"{phase.done:,}/{phase.total:,}", self.facts.get("epoch", ""), left]  # fmt: skip
        cells = min(BAR_CELLS, self.console.width - 12)
        spark = sparkline(phase.curve.points, cells, is_ascii)
        others = [text for name, text in self.facts.items() if name != "epoch"]
        rate = f"{speed:,.3g}/s" if speed else ""
        facts = [phase.loss(), spark, phase.note, *others, rate]
        lines = [*packed(head, self.console.width), *packed(facts, self.console.width)]
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    def close(self) -> None:
        for phase in self.phases.values():
            self.console.print(phase.summary(), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def live_view(console: Console) -> Iterator[LiveView]:
    """A view that is drawn while the context lasts, if the console is a terminal that can."""
    view = LiveView(console)
    can_draw = console.is_terminal and not console.is_dumb_terminal and not console.quiet
    live = Live(
        get_renderable=view.render, console=console, refresh_per_second=REDRAWS_PER_SECOND,
        transient=True, redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    if can_draw:
        live.start()
    try:
        yield view
    finally:
        live.stop()
        view.close()


def packed(pieces: Iterable[str], width: int) -> list[str]:
    """The pieces in lines, with two spaces between, and no line wider than ``width``.

    >>> packed(["train", "", "3/10", "0:42 left"], 12)
    ['train  3/10', '0:42 left']
    """
    lines: list[str] = []
    for piece in pieces:
        if piece and lines and len(lines[-1]) + 2 + len(piece) <= width:
            lines[-1] += f"  {piece}"
        elif piece:
            lines.append(piece[:width])
    return lines


def bar(done: int, total: int, is_ascii: bool) -> str:
    cells = BAR_CELLS * done // total if total else 0
    full, empty = "#." if is_ascii else "━·"
    return full * cells + empty * (BAR_CELLS - cells)


def sparkline(values: list[float], cells: int, is_ascii: bool) -> str:
    """The values in as many characters, each as high as their mean between the least and the most.

    >>> sparkline([0.0, 0.0, 1.0, 1.0, 2.0, 2.0], 3, True)
    '_+#'
    """
    count = min(cells, len(values))
    if count < 2:
        return ""
    ends = [len(values) * k // count for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    least, most = min(means), max(means)
    blocks = ASCII_BLOCKS if is_ascii else BLOCKS
    if not least < most < float("inf"):  # nothing rises, or what diverged has no height
        return ""
    return "".join(blocks[round((mean - least) / (most - least) * 7)] for mean in means)


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(3723)
    ('0:42', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
