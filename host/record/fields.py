# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that anybody may have written: each value is checked before it is used."""

from __future__ import annotations

import binascii
import json
import math
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NoReturn

from mcutrain.host.record.errors import RecordError

MOST_TEXT = 4096  # characters of a value that is shown or is a path
SHOWN = 40  # characters of a value in a message
U8, U16, U32 = 2**8 - 1, 2**16 - 1, 2**32 - 1


def shown(value: Any) -> str:
    """A value for a message, which may be as long as a line."""
    text = repr(value) if not isinstance(value, list | dict) else type(value).__name__
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def whole(digits: str) -> int:
    """An integer; Python would take a second for one of a hundred thousand digits."""
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: readers differ over a doubled one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice in an object")
    return found


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line holds. Raises ValueError, with what is wrong."""
    try:
        found = json.loads(
            line.decode("utf-8"), parse_constant=refuse, parse_int=whole, object_pairs_hook=once
        )
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except json.JSONDecodeError as err:
        raise ValueError(f"it is no JSON: {err.msg} at character {err.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


class Fields:
    """The values of one object, by name; ``where`` is what messages begin with."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise RecordError(f"{where} is {shown(values)}: an object is needed")
        self.values, self.where = values, where

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def wrong(self, name: str, wanted: str) -> RecordError:
        if name not in self.values:
            return RecordError(f"{self.where} has no '{name}'")
        return RecordError(
            f"{self.where}: '{name}' is {shown(self.values[name])}: {wanted} is needed"
        )

    def integer(self, name: str, most: int = U32, least: int = 0) -> int:
        value = self.values.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str) -> float:
        value: Any = self.values.get(name)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.wrong(name, "a number")
        return float(value)

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > MOST_TEXT or not value.isprintable():
            raise self.wrong(name, "a text")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if type(value) is not bool:
            raise self.wrong(name, "true or false")
        return value

    def hex(self, name: str, nbytes: int) -> bytes:
        value = self.values.get(name)
        try:
            found = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            found = b""
        if len(found) != nbytes or len(value or "") != 2 * nbytes:
            raise self.wrong(name, f"{2 * nbytes} hexadecimal digits")
        return found

    def base64(self, name: str) -> bytes:
        value = self.values.get(name)
        try:
            return b64decode(value if isinstance(value, str) else "!", validate=True)
        except binascii.Error:
            raise self.wrong(name, "base64") from None

    def integers(self, name: str, most: int = U32) -> tuple[int, ...]:
        value = self.values.get(name)
        if not isinstance(value, list) or not all(type(v) is int and 0 <= v <= most for v in value):
            raise self.wrong(name, f"a list of whole numbers from 0 to {most}")
        return tuple(value)

    def object(self, name: str) -> Fields:
        if name not in self.values:
            raise self.wrong(name, "an object")
        return Fields(self.values[name], f"{self.where}: '{name}'")

    def maybe(self, name: str, read: Callable[[str], Any]) -> Any:
        """What ``read`` makes of a value that may be missing, or null: None then."""
        return read(name) if name in self else None
