# SPDX-License-Identifier: Apache-2.0
"""Generates a model's C, unless a folder holds what the same request made there before.

Beside the builds the cache has a record for each folder: the key of what was asked for, and the
hash of each file. A key covers all that the files follow from, this package's sources included.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.building.cache import filling, lease, touch
from mcutrain.host.building.target import Target, TargetKind
from mcutrain.host.files import write_whole
from mcutrain.host.keys import Keys
from mcutrain.host.places import FIRMWARE_DIR, PACKAGE, cache_dir
from mcutrain.host.request import Request
from mcutrain.trainer.errors import Error
from mcutrain.trainer.notes import Note
from mcutrain.trainer.tflite.reader import identifier
from mcutrain.trainer.training_plan import TrainingPlan

KIND, RECORD = "generated", "record.json"
ROOMS = ("trainer", "codegen", "host")


@dataclass(frozen=True)
class Asked:
    """What a folder is to hold: the models of requests for the target's chip. ``flash_latents`` has
    for each the file of its latents in flash, or None; ``has_link`` adds what a host talks to;
    ``name`` is another one for the only model, ``keys`` are those of the link."""

    requests: tuple[Request, ...]
    target: Target
    flash_latents: tuple[Path | None, ...]
    has_link: bool = False
    name: str | None = None
    keys: Keys | None = None

    def check(self) -> None:
        """Raises Error for keys without a link, and for a name that is not to be had."""
        if self.keys is not None and not self.has_link:
            raise Error("--key protects the link, which is not there without --runtime: give both")
        if self.name is None:
            return
        if len(self.requests) > 1:
            raise Error(
                f"--name {self.name}: there are {len(self.requests)} models; rename the files"
            )
        if self.has_link:
            raise Error(
                f"--name {self.name}: with --runtime the host knows a build by the name of its "
                "model's file; rename the file"
            )


@dataclass(frozen=True)
class Generated:
    """The files for a request; ``is_new`` unless all of them were there."""

    files: tuple[Path, ...]
    notes: tuple[Note, ...]
    is_new: bool


def generated(asked: Asked, folder: Path, plans: Callable[[], Sequence[TrainingPlan]]) -> Generated:
    """The C that is asked for, in ``folder``. ``plans`` makes the requests' plans, with their
    latents in flash. Processes that generate into one folder take turns. Raises Error."""
    asked.check()
    with record_of(folder) as record:
        key = key_of(asked)
        found = None if record is None else recorded(record, key, folder)
        if found is not None:
            return found
        made = made_anew(asked, plans(), folder)
        # What a file was changed to meanwhile, its C may not follow from.
        if record is not None and key_of(asked) == key:
            with suppress(Error, OSError):  # then it is made anew again
                write_record(record, key, made, folder)
    return made


def made_anew(asked: Asked, plans: Sequence[TrainingPlan], folder: Path) -> Generated:
    from mcutrain.host.building.fitting import check_real_fit
    from mcutrain.host.building.folder import write_folder  # with codegen

    if asked.target.kind is TargetKind.REAL:
        for plan in plans:
            check_real_fit(plan, asked.target)
    if asked.name is not None:
        plans = [replace(plan, name=identifier(asked.name)) for plan in plans]
    files = write_folder(
        plans, folder, asked.target.board, has_link=asked.has_link, keys=asked.keys
    )
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    return Generated(tuple(files), tuple(notes), is_new=True)


@contextmanager
def record_of(folder: Path) -> Iterator[Path | None]:
    """The record's file, which is for this process alone in here; None if there is no cache."""
    record = None
    with ExitStack() as stack:
        with suppress(Error, OSError):
            place = cache_dir() / KIND / digest_of([str(folder.resolve()).encode()])
            held = lease(place, shared=True)
            stack.callback(held.release)
            stack.enter_context(filling(place))
            record = place / RECORD
        yield record


def recorded(record: Path, key: str, folder: Path) -> Generated | None:
    """What the record says of the folder, if it is what this key made, and still there."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["key"] != key:
            return None
        files = {folder / name: str(digest) for name, digest in found["files"].items()}
        if any(digest_of([path.read_bytes()]) != digest for path, digest in files.items()):
            return None
        notes = tuple(Note(**note) for note in found["notes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or cut short
        return None
    touch(record.parent)
    return Generated(tuple(files), notes, is_new=False)


def write_record(record: Path, key: str, made: Generated, folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): digest_of([path.read_bytes()]) for path in made.files
    }
    notes = [asdict(note) for note in made.notes]
    write_whole(record, json.dumps({"key": key, "files": files, "notes": notes}))


def key_of(asked: Asked) -> str:
    """A hash of all that the files follow from."""
    keys = None if asked.keys is None else asked.keys.tag()
    whole = repr((asked.target.name, asked.has_link, asked.name, keys))
    pairs = zip(asked.requests, asked.flash_latents, strict=True)
    each = [key_of_request(*pair).encode() for pair in pairs]
    return digest_of([sources().encode(), whole.encode(), *each])


def key_of_request(request: Request, flash_latents: Path | None) -> str:
    options = {each.name: getattr(request.options, each.name) for each in fields(request.options)}
    features = sorted(request.chip.features)
    told: tuple[Any, ...] = (
        str(request.model),
        sorted(request.given),
        request.resumes,
        options,
        replace(request.chip, features=frozenset()),
        features,
        str(flash_latents),
    )
    named = [request.model, Path(str(request.options.update)), flash_latents]
    read = [path.read_bytes() if path is not None and path.is_file() else b"" for path in named]
    return digest_of([repr(told).encode(), *read])


def sources() -> str:
    """A hash of this package, and of what else decides its results."""
    parts = [f"{platform.python_version()} {np.__version__}".encode()]
    folders = [*(PACKAGE / room for room in ROOMS), FIRMWARE_DIR]
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix not in (".pyc", "") and path.is_file():
            parts += [path.relative_to(PACKAGE).as_posix().encode(), path.read_bytes()]
    return digest_of([*parts, (PACKAGE / "platformio.ini").read_bytes()])


def digest_of(parts: list[bytes]) -> str:
    """One hash of byte strings, with their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
