# SPDX-License-Identifier: Apache-2.0
"""Trainings in other processes: what they raise arrives, and one that is ended is said."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from mcutrain.host.search.pool import pool
from mcutrain.host.search.study import StudyError
from mcutrain.trainer.errors import BudgetError, DataError, Error, ModelError, SchemeError
from tests.support.paths import ROOT

ERRORS = (
    BudgetError("300 bytes are needed", 300, 200),
    ModelError("the model is cut short", "save it again"),
    SchemeError("no layer 9"),
    DataError("no samples"),
    StudyError("damaged"),
)


class Raises:
    """Raises what it is asked for; ends its process for None."""

    def score(self, wanted: Any, effort: Any) -> Any:
        if wanted is None:
            os._exit(9)
        raise wanted


class Waits:
    def score(self, wanted: Any, effort: Any) -> Any:
        print("at work", flush=True)
        time.sleep(600)


def scored(wanted: Any) -> None:
    with pool(Raises(), 2) as workers:
        workers.submit("a", wanted, None)
        workers.next()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: Error) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error) and str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.slow
def test_what_a_training_raises_arrives() -> None:
    with pytest.raises(BudgetError, match="300 bytes are needed"):
        scored(ERRORS[0])


@pytest.mark.slow
def test_a_process_that_is_ended_is_said() -> None:
    with pytest.raises(Error, match=r"ended from outside.* fewer --jobs"):
        scored(None)


INTERRUPTED = """
from mcutrain.host.search.pool import pool
from tests.host.search.test_pool import Waits

if __name__ == "__main__":
    try:
        with pool(Waits(), 3) as workers:
            workers.submit("a", 0, 0)
            workers.next()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_ends_work_and_says_nothing_of_processes() -> None:
    """A terminal sends it to all processes, those that wait for work too."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert out == "interrupted\n"
    assert "Traceback" not in err
