# SPDX-License-Identifier: Apache-2.0
"""What long work shows while it runs, on terminals and in pipes."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from rich.console import Console

from mcutrain.host.link.traffic import Traffic
from mcutrain.host.training.bars import bars
from mcutrain.host.training.live_view import LiveView, live_view, sparkline
from mcutrain.host.training.progress import Progress
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run
from tests.support.paths import WATCH

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def terminal(width: int = 80, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, width=width, _environ={})


def trained(console: Console) -> LiveView:
    """A view of a training of which 1,500 of 6,000 steps are done, at 100 steps a second."""
    clock = Clock()
    view = LiveView(console, clock)
    for k in range(1, 1501):
        clock.now = k / 100
        view.show("train", k, 6000, 2.0 / k, epoch="epoch 3/10", rate="rate 2^-6",
                  link="link: 2 resent, 1 damaged")  # fmt: skip
    return view


def test_a_training_is_seen_at_a_glance() -> None:
    first, *rest = trained(terminal()).render().plain.splitlines()

    assert first.split() == ["train", "━━━━━···············", "1,500/6,000", "epoch", "3/10",
                             "0:45", "left"]  # fmt: skip
    facts = "  ".join(rest)
    for part in ("rate 2^-6", "link: 2 resent, 1 damaged", "100/s"):
        assert part in facts
    falling = re.search(r"[▁-█]{20}", facts)
    assert falling and falling[0][0] == "█" and falling[0][-1] == "▁"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = trained(terminal(width)).render().plain

    assert max(map(len, text.splitlines())) <= width
    assert "epoch 3/10" in text and "rate 2^-6" in text


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert trained(terminal(80, "ascii")).render().plain.isascii()


def test_validation_stays_in_sight_and_time_left_is_that_of_the_phase() -> None:
    console, clock = terminal(), Clock()
    view = LiveView(console, clock)
    view.show("train", 1, 100)
    view.show("validate", 10, 10, validation="validation accuracy 83.1 %")
    clock.now = 1000.0  # the training has waited so long
    view.show("train", 2, 100)
    clock.now = 1001.0
    view.show("train", 4, 100)

    text = view.render().plain
    assert "validation accuracy 83.1 %" in text
    assert "0:48 left" in text


def test_progress_is_put_into_words(capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("head"))
    console = terminal()
    with bars(console, plan) as report:
        report(Progress("before", 10, 10, metric=0.25))
        report(Progress("train", 1, 2, 1.5, None, 1, 1, 2**-6, Traffic(resent=3)))
        report(Progress("validate", 5, 5, metric=0.5))
    console.file.seek(0)
    lines = CONTROL.sub("", console.file.read()).splitlines()

    summary = [line for line in lines if ": " in line and " of " in line]
    assert summary[0].startswith("evaluate before: 10 of 10, accuracy 25.0 %, ")
    assert summary[1].startswith("train: 1 of 2, loss 1.5, ")
    assert summary[2].startswith("validate: 5 of 5")


def test_a_pipe_gets_a_line_for_each_phase_and_nothing_else() -> None:
    console = Console(file=io.StringIO(), width=80)
    with live_view(console) as view:
        for k in range(1000):
            view.show("trials", k + 1, 1000)
        view.show("fronts", 1, 1)
    assert isinstance(console.file, io.StringIO)

    assert re.fullmatch(
        r"trials: 1,000 of 1,000, \d\.\d s\nfronts: 1 of 1, \d\.\d s\n", console.file.getvalue()
    )


def test_a_quiet_console_gets_nothing() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, quiet=True)
    with live_view(console) as view:
        view.show("trials", 1, 2)
    assert isinstance(console.file, io.StringIO)

    assert console.file.getvalue() == ""


def test_what_is_told_costs_nothing_that_a_step_would_notice() -> None:
    """A curve keeps few points, however long a run is, and nobody draws for each step."""
    view = trained(terminal())

    assert len(view.phases["train"].curve.points) < 256
    assert len(view.phases["train"].marks) <= 41


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [1.0, float("inf")], [float("nan")] * 3])
def test_values_without_heights_have_no_sparkline(values: list[float]) -> None:
    assert sparkline(values, 10, False) == ""


def on_a_terminal(width: int, *args: object, **environment: str) -> str:
    """All that a command prints on a pseudo-terminal of that width."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    for name in ("COLUMNS", "LINES"):  # they would stand for the terminal's own size
        env.pop(name, None)
    command = [sys.executable, "-m", "mcutrain", *map(str, args)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=child, env=env) as process:
        os.close(child)
        said = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:  # the other end was closed
                break
            if not data:
                break
            said += data
        assert process.wait() == 0, said
    os.close(parent)
    return said.decode()


def test_a_training_on_a_terminal() -> None:
    width = 40
    data = ("--data", WATCH / "demo.npz", *AT_A_RATE, "--no-guard", "--epochs", 6)
    said = on_a_terminal(width, "train", WATCH / "watch.tflite", *data, NO_COLOR="1")

    assert re.search(r"train +[━·]{20}", said)  # drawn while it ran
    assert re.search(r"train: 210 of 210, loss [\d.]+, [\d.]+ s", said)
    assert not COLOUR.search(said)
    drawn = [line for line in CONTROL.sub("", said).splitlines() if "━" in line or "·" in line]
    assert drawn and max(len(line.strip("\r")) for line in drawn) <= width


def test_a_quiet_training_says_nothing(run: Run) -> None:
    data = ("--data", WATCH / "demo.npz", *AT_A_RATE, "--no-guard", "--steps", 2)

    assert run("train", WATCH / "watch.tflite", *data, "--quiet").err == ""
