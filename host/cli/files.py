# SPDX-License-Identifier: Apache-2.0
"""Which parameters of a command name files, and what it does with them."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mcutrain.host.outputs import NamedFile, Role, check_files


def itself(value: str | Path) -> list[Path]:
    return [Path(value)]


def each(values: str | Path | Iterable[str | Path]) -> list[Path]:
    return [Path(values)] if isinstance(values, (str, Path)) else [*map(Path, values)]


def scheme_file(update: str) -> list[Path]:
    return [Path(update)] if update.endswith(".toml") else []


def in_options(text: str) -> list[Path]:
    """The files that a text of options names: what has an ending may be one."""
    try:
        words = shlex.split(text)
    except ValueError:  # whoever reads the text says so
        return []
    parts = [Path(part) for word in words for part in (word, word.partition("=")[2])]
    return [path for path in parts if path.suffix]


def of_storage(url: str) -> list[Path]:
    """The file of an Optuna storage; none where a server keeps it.

    >>> of_storage("sqlite:///a.db"), of_storage("trials.log"), of_storage("mysql://host/a")
    ([PosixPath('a.db')], [PosixPath('trials.log')], [])
    """
    kind, separator, place = url.partition("://")
    if not separator:
        return [Path(url)]
    place = place.partition("?")[0].removeprefix("/")
    return [Path(place)] if kind.startswith("sqlite") and place not in ("", ":memory:") else []


@dataclass(frozen=True)
class FileMark:
    """Stands in the annotation of a parameter: what is done with the files that its value names."""

    role: Role
    of: Callable[[Any], list[Path]] = itself
    is_path: bool = True  # else the value may be something else, too


READS = FileMark(Role.READ)
WRITES = FileMark(Role.WRITTEN)
FILLS = FileMark(Role.FOLDER)
KEEPS = FileMark(Role.KEPT)
READS_EACH = FileMark(Role.READ, each)
READS_SCHEME = FileMark(Role.READ, scheme_file)
READS_IF_THERE = FileMark(Role.READ, is_path=False)
MENTIONS = FileMark(Role.READ, in_options, is_path=False)
KEEPS_TRIALS = FileMark(Role.KEPT, of_storage)


def annotated(command: Callable[..., None]) -> dict[str, Any]:
    """Of each parameter of a command, with the marks in it."""
    return get_type_hints(command, include_extras=True, localns={"Request": object})


def marks(command: Callable[..., None]) -> dict[str, tuple[str, FileMark]]:
    """What the user writes for each parameter of a command that names files, and its mark."""
    hints, found = annotated(command), {}
    for name in inspect.signature(command).parameters:
        told = [getattr(mark, "param_decls", None) or () for mark in get_args(hints[name])]
        options = [option for options in told for option in options]
        named = next((o for o in options if o.startswith("--")), "--" + name.replace("_", "-"))
        for mark in get_args(hints[name]):
            if isinstance(mark, FileMark):
                found[name] = ("MODEL" if name == "model" else named, mark)
    return found


def files_of(
    marked: dict[str, tuple[str, FileMark]], values: dict[str, Any]
) -> Iterator[NamedFile]:
    for name, (option, mark) in marked.items():
        if values.get(name) is not None:
            yield from (NamedFile(option, path, mark.role) for path in mark.of(values[name]))


def checks_files(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which refuses to begin if one of its files would be put over another."""
    marked = marks(command)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        check_files([*files_of(marked, values)])
        command(**values)

    return run
