# SPDX-License-Identifier: Apache-2.0
"""One command for several boards at once: a process for each port, side by side, and what came of
all of them. One that fails leaves the others alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from mcutrain.host.attached.asking import ask
from mcutrain.host.cli.again import given
from mcutrain.host.cli.output import interruption, print_json, say
from mcutrain.host.cli.words import words
from mcutrain.host.defaults import AUTO
from mcutrain.host.system.here import running, start
from mcutrain.trainer.errors import Error


@dataclass(frozen=True)
class Board:
    """A port, the device id that answered there ("" without one), and the name that its files get:
    the id, or what the port is called."""

    port: str
    device_id: str
    name: str


@dataclass
class Run:
    """The command on one board: its document, if it got so far, and what it said of a failure."""

    board: Board
    process: subprocess.Popen[str]
    seconds: float = 0.0
    document: dict[str, Any] | None = None
    error: str = ""

    def follow(self, begun: float) -> None:
        """Wait for the end, and read what was printed."""
        out, told = self.process.communicate()
        self.seconds = time.perf_counter() - begun
        try:
            self.document = json.loads(out)
        except ValueError:
            self.document = None
        if self.process.returncode != 0:
            said = [line for line in told.splitlines() if line.strip()]
            last = said[-1] if said else f"exit status {self.process.returncode}"
            self.error = last.removeprefix("error: ")

    def to_json(self) -> dict[str, Any]:
        return {
            "port": self.board.port,
            "device_id": self.board.device_id,
            "seconds": round(self.seconds, 3),
            "error": self.error or None,
            "found": self.document,
        }


def boards_at(ports: Sequence[str], baud: int) -> list[Board]:
    """Each port with what answers there. Raises Error for a port that is given twice, and for auto,
    which stands for the one that answers."""
    if AUTO in ports:
        raise Error(f"--port {AUTO} stands for the one board that answers: name each of several")
    if len(set(ports)) != len(ports):
        raise Error("a --port is given twice: give each board once")
    hellos = [ask(port, baud, greets=False).hello for port in ports]
    ids = ["" if hello is None else hello.id_text for hello in hellos]
    names = [
        found or re.sub(r"\W+", "-", port).strip("-")
        for found, port in zip(ids, ports, strict=True)
    ]
    if len(set(names)) != len(names):  # two chips that say the same number
        names = [f"{name}-{number}" for number, name in enumerate(names, 1)]
    return [Board(*each) for each in zip(ports, ids, names, strict=True)]


def own_file(path: Path, board: Board) -> Path:
    """The file of a board in place of one that is given for all.

    >>> own_file(Path("out/learned.npz"), Board("/dev/ttyACM0", "0a1b", "0a1b")).as_posix()
    'out/learned-0a1b.npz'
    """
    return path.with_name(f"{path.stem}-{board.name}{path.suffix}")


def run_each(
    ctx: typer.Context, ports: Sequence[str], baud: int, files: Sequence[str]
) -> list[Run]:
    """Run the command on each port by itself; ``files`` are the parameters of files that it writes,
    of which each board gets its own. Raises typer.Exit where a signal stopped them."""
    asked = given(ctx)
    begun, runs = time.perf_counter(), list[Run]()
    with ExitStack() as stack:
        for board in boards_at(ports, baud):
            # From this thread: a process ends with the thread that started it.
            process = start(command_for(ctx, asked, board, files), **PIPES)
            stack.enter_context(running(process))
            runs.append(Run(board, process))
        threads = [threading.Thread(target=run.follow, args=(begun,)) for run in runs]
        for thread in threads:
            thread.start()
        if was_stopped := stopped(runs, threads):
            say("interrupted: each board was told to stop; what was kept is said below")
    if was_stopped:
        for run in runs:
            say(f"{run.board.port}: {run.error or 'ended'}")
        raise typer.Exit(interruption())
    return runs


PIPES: Mapping[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "encoding": "utf-8",
    "errors": "replace",
}


def command_for(
    ctx: typer.Context, asked: dict[str, Any], board: Board, files: Sequence[str]
) -> list[str]:
    values = {**asked, "port": [board.port], "json_": True, "quiet": True}
    values |= {name: own_file(Path(asked[name]), board) for name in files if asked.get(name)}
    return [sys.executable, "-m", "mcutrain", str(ctx.info_name), *words(ctx, values)]


def stopped(runs: Sequence[Run], threads: Sequence[threading.Thread]) -> bool:
    """Wait for all; a Ctrl-C is passed on to each, which then ends in order. Whether there was
    one."""
    found = False
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join(0.2)
            except KeyboardInterrupt:
                found = True
                for run in runs:
                    if run.process.poll() is None:
                        run.process.send_signal(signal.SIGINT)
    return found


def end(runs: Sequence[Run]) -> None:
    """Raises Error if one failed, naming each that did."""
    failed = [run for run in runs if run.error]
    if failed:
        told = "; ".join(f"{run.board.port}: {without(run)}" for run in failed)
        raise Error(f"{len(failed)} of {len(runs)} boards failed: {told}")


def without(run: Run) -> str:
    return run.error.removeprefix(f"{run.board.port}: ")


def tell(runs: Sequence[Run], rows: Iterator[dict[str, str]], as_json: bool) -> None:
    """Print a list for programs, or a table of a row for each board; then raise for a failure."""
    if as_json:
        print_json([run.to_json() for run in runs])
    else:
        from mcutrain.host.show.terminal import boards_table

        boards_table(list(rows))
    end(runs)


def training_rows(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """What a training has made of each board."""
    for run in runs:
        found = run.document or {}
        metric = "accuracy" if "accuracy_after" in found else "mse"
        yield {
            **told_of(run),
            "steps": f"{found.get('steps', 0):,}",
            "verified": f"{found.get('verified_steps', 0):,}",
            "digest": found.get("digest") or "-",
            metric: figure(metric, found.get(f"{metric}_before"), found.get(f"{metric}_after")),
            "seconds": f"{run.seconds:.1f}",
            "result": result(run, found.get("difference")),
        }


def selftest_rows(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """How each board compares with the reference."""
    for run in runs:
        found = run.document or {}
        steps = found.get("steps") or [{}]
        yield {
            **told_of(run),
            "steps": f"{found.get('verified_steps', 0):,}",
            "digest": steps[-1].get("digest") or "-",
            "seconds": f"{run.seconds:.1f}",
            "last reset": (found.get("device") or {}).get("last_reset", "-"),
            "result": result(run, None),
        }


def told_of(run: Run) -> dict[str, str]:
    return {"device": run.board.device_id or "-", "port": run.board.port}


def figure(metric: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "-"
    return (
        f"{before:.1%} to {after:.1%}" if metric == "accuracy" else f"{before:.4g} to {after:.4g}"
    )


def result(run: Run, difference: str | None) -> str:
    return difference or (f"failed: {without(run)}" if run.error else "done")
