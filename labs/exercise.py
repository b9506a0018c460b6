# SPDX-License-Identifier: Apache-2.0
"""How an exercise is answered: a check looks at the answer, and says right, or gives a hint.

A hint tells what is wrong, and never the answer. Nothing that a student can type ends in a
traceback: an answer of the wrong kind, or a function that raises, is told in a sentence, too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np


class Hint(Exception):
    """What is wrong with an answer, in a sentence."""


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    name: str
    hint: str = ""

    @property
    def is_right(self) -> bool:
        return not self.hint

    def __repr__(self) -> str:
        return f"✘ {self.name}: not yet. {self.hint}" if self.hint else f"✔ {self.name}: right."


VERDICTS: dict[str, Verdict] = {}  # the last one of each exercise of this notebook


def exercise(check: Callable[..., None]) -> Callable[..., Verdict]:
    """The check as a notebook calls it: it gives a verdict, whatever the answer is."""
    name = check.__name__.replace("_", " ")

    @functools.wraps(check)
    def checked(answer: Any = ..., *more: Any) -> Verdict:
        if answer is ... or answer is None:
            hint = "Replace the ... by your answer, and run the cell again."
        else:
            hint = _hint(check, answer, *more)
        VERDICTS[name] = Verdict(name, " ".join(hint.split()))
        return VERDICTS[name]

    return checked


def _hint(check: Callable[..., None], *answers: Any) -> str:
    try:
        check(*answers)
    except Hint as hint:
        return str(hint)
    except Exception as error:  # whatever an answer can make Python raise
        kind = type(error).__name__
        return f"With this answer, Python raises {kind}: {error}. Is it of the kind that is asked?"
    return ""


def number(answer: Any) -> float:
    """The answer as a number. Raises Hint for anything else."""
    if isinstance(answer, np.ndarray) and answer.size == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real | np.number):
        raise Hint(f"A number is asked, and this is {_kind(answer)}.")
    if not math.isfinite(answer):
        raise Hint(f"A number is asked, and this is {answer}: is something divided by 0?")
    return float(answer)


def result(answer: Any, *arguments: Any) -> Any:
    """What the answer, a function, returns. Raises Hint where it is none, raises, or returns
    nothing."""
    if not callable(answer):
        raise Hint(f"A function is asked, and this is {_kind(answer)}. Give its name without ().")
    try:
        found = answer(*(_copy(argument) for argument in arguments))
    except Exception as error:  # of the student's own code
        kind = type(error).__name__
        raise Hint(f"Your function raises {kind}: {error}.") from error
    if found is None or found is ...:
        raise Hint("Your function returns nothing: replace the ... by what it computes.")
    return found


def integers(found: Any, wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What a function returned, as an array of integers of the shape of ``wanted``. Raises Hint."""
    array = np.asarray(found)
    if array.dtype.kind not in "iu":
        raise Hint(f"Your function returns {array.dtype} where integers are asked: use .astype.")
    if array.shape != wanted.shape:
        raise Hint(f"Your function returns the shape {array.shape}, not {wanted.shape}.")
    return array.astype(np.int64)


def _copy(argument: Any) -> Any:
    """A function may change what it is given."""
    return argument.copy() if isinstance(argument, np.ndarray | list | dict) else argument


def _kind(answer: Any) -> str:
    return f"{type(answer).__name__} ({str(answer)[:40]})"


def summary() -> str:
    """How many exercises of this notebook are right, and which are not."""
    open_ones = [verdict.name for verdict in VERDICTS.values() if not verdict.is_right]
    done = len(VERDICTS) - len(open_ones)
    rest = f" Still open: {', '.join(open_ones)}." if open_ones else ""
    return f"{done} of {len(VERDICTS)} exercises are right.{rest}"
