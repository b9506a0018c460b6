# SPDX-License-Identifier: Apache-2.0
"""Puts a project into a folder, and loses nothing that is there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutrain.host.files import write_all
from mcutrain.host.project.project import Project
from mcutrain.trainer.errors import Error

RECORD = ".mcutrain-new.json"  # of what was written, so that it can be known again
FEW = 3  # names that a message lists


@dataclass(frozen=True)
class Files:
    """The files of a project: those that are ``written``, those that were so ``already``, and those
    that are the user's by now and are ``kept``."""

    written: tuple[Path, ...]
    already: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def told(self) -> dict[str, Any]:
        """Them, as JSON."""
        return {
            "written": [str(path) for path in self.written],
            "already": [str(path) for path in self.already],
            "kept": [str(path) for path in self.kept],
        }


def write_project(project: Project, folder: Path, force: bool) -> Files:
    """Put a project into a folder. With ``force`` the folder may hold something: then files that
    are not as an earlier project left them stay as they are. Raises Error."""
    found = sort_files(project, folder, force)
    ours = {
        path: content for path, content in project.files.items() if folder / path not in found.kept
    }
    record = read_record(folder) | {path: digest_of(content) for path, content in ours.items()}
    contents: dict[Path, bytes | str] = {folder / path: ours[path] for path in ours}
    contents[folder / RECORD] = json.dumps(dict(sorted(record.items())), indent=1) + "\n"
    write_all(contents)
    return found


def sort_files(project: Project, folder: Path, force: bool) -> Files:
    """What would become of a project's files. Raises Error."""
    check_empty(folder, force)
    ours = read_record(folder)
    written: list[Path] = []
    already: list[Path] = []
    kept: list[Path] = []
    for path, content in project.files.items():
        there = folder / path
        if not there.exists():
            written.append(there)
        elif not there.is_file():
            raise Error(f"cannot write {there}: it is no file; move it away")
        elif (found := there.read_bytes()) == content:
            already.append(there)
        else:
            (written if ours.get(path) == digest_of(found) else kept).append(there)
    return Files(tuple(written), tuple(already), tuple(kept))


def check_empty(folder: Path, force: bool) -> None:
    """Raises Error for a folder with files, unless ``force``."""
    if not folder.is_dir():
        if folder.exists():
            raise Error(f"{folder} is a file: give a folder, which may be a new one")
        return
    names = sorted(path.name for path in folder.iterdir())
    if names and not force:
        others = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        raise Error(
            f"{folder} holds {', '.join(names[:FEW])}{others}: give a new folder, or --force, "
            "which leaves alone what is not of an earlier `mcutrain new`"
        )


def read_record(folder: Path) -> dict[str, str]:
    """The digests of the files that were written into a folder; none if that is not known."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(path): str(digest) for path, digest in found.items()}


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
