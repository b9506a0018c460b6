# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as a Python program is told: one kind of exception, and names of parameters in
place of the options of the command line."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from mcutrain.host.told import told
from mcutrain.trainer.errors import Error

GIVEN_ARRAYS = "mcutrain-arrays-"  # begins the folder's name of arrays that a program gave
_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])(?: (\d[\d.^-]*)(?=[\s,.;:]|$))?")
_ARRAYS_FILE = re.compile(rf"\S*{GIVEN_ARRAYS}\w+/data\.npz")
_PARAMETERS = {"from": "start", "to": "end"}  # whose names differ

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def in_python(text: str) -> str:
    """A message of the command line as one for a Python program.

    >>> in_python("give --classes 5 for a new head, or --lr-minutes")
    'give classes=5 for a new head, or lr_minutes'
    """

    def parameter(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return _PARAMETERS.get(name, name) + (f"={found[2]}" if found[2] else "")

    return _OPTION.sub(parameter, _ARRAYS_FILE.sub("the data", text))


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Errors in here name parameters; those of the system become an Error."""
    try:
        yield
    except Error as error:
        error.args = (in_python(str(error)), *error.args[1:])
        raise
    except OSError as error:
        raise Error(in_python(told(error))) from error


def raises_errors(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """The function within ``errors_in_python``."""

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        with errors_in_python():
            return function(*args, **kwargs)

    return run
