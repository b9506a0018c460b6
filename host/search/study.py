# SPDX-License-Identifier: Apache-2.0
"""What a search has measured, a line of JSON each, so that it goes on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcutrain.host.failure import reason
from mcutrain.host.files import cut_unfinished_line
from mcutrain.host.search.trial import TrialScore
from mcutrain.host.system.here import lock
from mcutrain.trainer.errors import Error

RECORDS = "measurements.jsonl"


class StudyError(Error):
    """The study cannot be gone on with: give another one, or begin anew."""


@contextmanager
def locked_study(folder: Path, identity: Mapping[str, Any]) -> Iterator[Study]:
    """The study in ``folder``, which no other process has as long: what is unfinished in its files
    was left by one that ended. Several may share a --storage. Raises StudyError if one has it, and
    as Study."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w", encoding="utf-8")
    except OSError as err:
        raise StudyError(f"cannot use the study {folder}: {reason(err)}") from err
    with file:
        try:
            lock(file, waits=False)
        except OSError as err:
            raise StudyError(
                f"another process works on the study {folder}: give each its own --study, and "
                "all one --storage"
            ) from err
        yield Study(folder, identity)


class Study:
    """The scores of trainings that are done, by what was trained and how long."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Open or begin the study in ``folder``. Raises StudyError if it is damaged, or is of
        another ``identity``: model, data and all options that a score depends on."""
        self.folder, self.path, self.identity = folder, folder / RECORDS, dict(identity)
        self.scores: dict[str, TrialScore] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.is_file():
                cut_unfinished_line(self.path)
            text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
            if not text:
                write_line(self.path, {"identity": dict(identity)}, "w")
            else:
                self._read(text.split("\n")[:-1], identity)
        except OSError as err:
            raise StudyError(f"cannot use the study {folder}: {reason(err)}") from err
        except UnicodeDecodeError as err:
            raise StudyError(f"{self.path} is damaged: it is no text; {ADVICE}") from err

    def _read(self, lines: list[str], identity: Mapping[str, Any]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if number == 1:
                    check_identity(record["identity"], identity, str(self.folder))
                else:
                    self.scores[record["key"]] = read_score(record["score"])
            except (ValueError, KeyError, TypeError, AttributeError) as err:
                raise StudyError(
                    f"{self.path} is damaged in line {number}: {short(line)}; {ADVICE}"
                ) from err

    def add(self, key: str, score: TrialScore) -> None:
        self.scores[key] = score
        write_line(self.path, {"key": key, "score": asdict(score)}, "a")


ADVICE = "delete the study or give another --study"


def write_line(path: Path, record: Mapping[str, Any], mode: str) -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def short(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:40] + "...")


def read_score(value: Mapping[str, Any]) -> TrialScore:
    """Raises ValueError, KeyError or TypeError."""
    numbers = [value["accuracy"], value["certainty"]]
    numbers += [] if value["mse"] is None else [value["mse"]]
    if any(type(v) not in (int, float) for v in numbers):
        raise ValueError("a score is made of numbers")
    return TrialScore(value["accuracy"], value["certainty"], value["mse"])


def check_identity(found: Any, wanted: Mapping[str, Any], name: str) -> None:
    """Raises StudyError if a study is not of what is wanted, naming what differs."""
    if not isinstance(found, dict):
        raise StudyError(f"{name} is no study; {ADVICE}")
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        key = different[0]
        raise StudyError(
            f"the study {name} is of another {key} ({found.get(key)}, not {wanted[key]}): "
            "give another --study, or the same model, data and options again"
        )
