# SPDX-License-Identifier: Apache-2.0
"""Trains in parallel processes, or in this one if there is one job."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcutrain.trainer.errors import Error


class Scorer(Protocol):
    """All that a process needs to train, such as a Setup of schemes; it can be pickled."""

    def score(self, wanted: Any, effort: Any, /) -> Any:
        """What a training of ``wanted`` comes to."""


_setup: Scorer | None = None  # of a worker process


def begin(setup: Scorer) -> None:
    global _setup
    _setup = setup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C, which all of a terminal get, ends work
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def work(wanted: Any, effort: Any) -> Any:
    assert _setup is not None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _setup.score(wanted, effort)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Pool:
    """Trainings under way, by what the caller knows them by."""

    setup: Scorer
    jobs: int
    executor: ProcessPoolExecutor | None
    pending: dict[Future[Any], Any] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.pending) >= self.jobs

    def submit(self, tag: Any, wanted: Any, effort: Any) -> None:
        if self.executor is not None:
            self.pending[self.executor.submit(work, wanted, effort)] = tag
            return
        done: Future[Any] = Future()
        done.set_result(self.setup.score(wanted, effort))
        self.pending[done] = tag

    def next(self) -> list[tuple[Any, Any]]:
        """(tag, score) of those that are done, of one at least. Raises what a training raised."""
        done, _ = wait(self.pending, return_when=FIRST_COMPLETED)
        return [(self.pending.pop(future), future.result()) for future in done]


@contextmanager
def pool(setup: Scorer, jobs: int) -> Iterator[Pool]:
    """``jobs`` processes as long as the block runs. Raises Error if one of them is ended."""
    if jobs == 1:
        yield Pool(setup, jobs, None)
        return
    # Not forked: this process may have threads, of the progress bar.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, context, begin, (setup,))
    try:
        yield Pool(setup, jobs, executor)
    except BrokenProcessPool as err:
        raise Error(
            "a process that trains was ended from outside, perhaps for want of memory: give fewer "
            "--jobs; the same command goes on with what was finished"
        ) from err
    finally:
        executor.shutdown(cancel_futures=True)


def all_scores(
    workers: Pool,
    wanted: list[tuple[str, Any]],
    effort: Any,
    done: Callable[[str, Any], None],
) -> None:
    """Train all that is wanted, by key; each score is handed to ``done`` as it comes."""
    waiting = list(wanted)
    while waiting or workers.pending:
        while waiting and not workers.is_full:
            key, each = waiting.pop(0)
            workers.submit(key, each, effort)
        for key, score in workers.next():
            done(key, score)
