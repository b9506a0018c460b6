# SPDX-License-Identifier: Apache-2.0
"""``mcutrain.toml``: what a project folder gives to each command, so that nobody repeats it.

The tables are named after commands, and ``[defaults]`` is for all of them; the keys are the long
names of options, without dashes. Paths are relative to the file. The command line wins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mcutrain.host.cli.files import FileMark
from mcutrain.host.failure import reason
from mcutrain.host.outputs import Role
from mcutrain.trainer.errors import Error

NAME = "mcutrain.toml"
DEFAULTS = "defaults"
OWN = ("config", "no-config", "help", "help-all")  # options that no file can give

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """A file of options, by table and key."""

    path: Path
    tables: Mapping[str, Table]

    @classmethod
    def read(cls, path: Path) -> Config:
        """Raises Error for a file that cannot be read."""
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as err:
            raise Error(f"{path}: {reason(err)}; give --config FILE, or --no-config") from err
        except (ValueError, RecursionError) as err:
            raise Error(f"{path}: {err}: mend the line, or give --no-config") from err
        return cls(path, tables)

    def check(self, options: Mapping[str, Iterable[str]]) -> None:
        """Raises Error for a table or key that no command has. ``options`` are the long names that
        each command takes."""
        known = {**options, DEFAULTS: {name for names in options.values() for name in names}}
        for name, table in self.tables.items():
            if name not in known:
                raise self.unknown(f"[{name}]", "is no command", name, known)
            if not isinstance(table, dict):
                raise Error(f"{self.path}: {name} is no table: write it as [{name}]")
            for key in table:
                if key not in known[name]:
                    raise self.unknown(f"{key}, in [{name}],", "is no option", key, known[name])

    def unknown(self, what: str, why: str, word: str, known: Iterable[str]) -> Error:
        near = get_close_matches(word, sorted(known), 1, 0.0)
        return Error(f"{self.path}: {what} {why}: did you mean {near[0]}?")

    def options(self, command: str) -> dict[str, Any]:
        """Of a command, by long name: its own table before the defaults."""
        return {**self.tables.get(DEFAULTS, {}), **self.tables.get(command, {})}


def find(folder: Path) -> Path | None:
    """The file for work in ``folder``: there or above it, up to the folder of a repository."""
    for each in (folder, *folder.parents):
        if (each / NAME).is_file():
            return Path(os.path.relpath(each / NAME, folder))
        if (each / ".git").exists():
            return None
    return None


def long_name(param: Any) -> str:
    """The key of a parameter: ``model``, or its long option without dashes."""
    named = (option for option in param.opts if option.startswith("--"))
    return str(next(named, param.name)).removeprefix("--")


def keys(command: Any) -> set[str]:
    """What a file can give to a command."""
    return {long_name(param) for param in command.params} - set(OWN)


def values(
    config: Config, command: Any, marks: Mapping[str, tuple[str, FileMark]]
) -> Iterator[tuple[str, Any]]:
    """The parameters of a command that the file gives, as they would be written. Raises Error."""
    given = config.options(command.name)
    for param in command.params:
        if (key := long_name(param)) in given:
            value, is_several = given[key], takes_several(param)
            found = [
                text_of(config.path, key, each, getattr(param, "is_flag", False))
                for each in (value if is_several and isinstance(value, list) else [value])
            ]
            if (mark := marks.get(param.name)) is not None:
                found = [placed(each, mark[1], config.path.parent) for each in found]
            yield param.name, found if is_several else found[0]


def takes_several(param: Any) -> bool:
    """Whether a parameter is a list: an argument of any number, or an option given repeatedly."""
    return getattr(param, "nargs", 1) < 0 or getattr(param, "multiple", False)


def text_of(path: Path, key: str, value: Any, is_switch: bool) -> Any:
    """A value as the command line would have it. Raises Error for a wrong kind."""
    if is_switch is not isinstance(value, bool):
        wanted = "true or false" if is_switch else "a number, a text or a list"
        raise Error(f"{path}: {key} is {value!r}: give {wanted}")
    if isinstance(value, list) and not any(isinstance(each, (list, dict)) for each in value):
        return ",".join(map(str, value))
    if isinstance(value, (list, dict)):
        raise Error(f"{path}: {key} holds tables: give a number, a text or a list")
    return value if is_switch else str(value)


def placed(value: str, mark: FileMark, folder: Path) -> str:
    """A value with the paths in it seen from ``folder``; what names no file there and is only
    perhaps a path to read stays as it is."""
    for path in mark.of(value):
        is_sure = mark.is_path or mark.role is not Role.READ
        if not path.is_absolute() and (is_sure or (folder / path).exists()):
            value = value.replace(str(path), str(folder / path))
    return value
