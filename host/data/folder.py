# SPDX-License-Identifier: Apache-2.0
"""Finds the samples of a folder: a folder for each class, below train, test and val or alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.data.options import TEST, TRAIN, VAL
from mcutrain.host.data.raw import shown
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.notes import Note

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
SOUNDS = (".wav", ".flac")
SPLITS = {
    "train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST,
    "val": VAL, "valid": VAL, "validation": VAL,
}  # fmt: skip
HOW = (
    "put each sample into a folder of its class, as in train/CLASS/FILE and test/CLASS/FILE, or "
    "CLASS/FILE"
)


@dataclass(frozen=True)
class Folder:
    """The files of each split, by class, in the order of their names; what was left out.

    ``kind`` is IMAGES or SOUNDS.
    """

    path: Path
    kind: tuple[str, ...]
    splits: dict[str, list[tuple[str, Path]]]
    notes: tuple[Note, ...]

    @property
    def classes(self) -> list[str]:
        return sorted({name for files in self.splits.values() for name, _ in files})


def look(path: Path) -> Folder:
    """What a folder holds; no file is opened. Raises DataError."""
    try:
        return looked(path)
    except OSError as err:
        where = shown(err.filename or path)
        raise DataError(f"cannot read the folder {where}: {err.strerror or err}") from err


def looked(path: Path) -> Folder:
    entries = [*listed(path)]
    tops = {SPLITS[entry.name.lower()]: entry for entry in entries if is_split(entry)}
    if tops and TRAIN not in tops:
        raise DataError(
            f"{shown(path)} has {', '.join(shown(top.name) + '/' for top in tops.values())} but no "
            f"train/: {HOW}"
        )
    if tops and (other := next((e for e in entries if e.is_dir() and not is_split(e)), None)):
        raise DataError(
            f"{shown(other)} lies beside train/, and is no split: {HOW}; or take it away"
        )
    skipped: list[Path] = []
    splits = {split: [*files_of(top, skipped)] for split, top in (tops or {TRAIN: path}).items()}
    every = [file for files in splits.values() for _, file in files]
    if not every:
        raise DataError(f"{shown(path)} has no images or WAV or FLAC files: {HOW}")
    images = [file for file in every if file.suffix.lower() in IMAGES]
    sounds = [file for file in every if file.suffix.lower() in SOUNDS]
    if images and sounds:
        raise DataError(
            f"{shown(path)} holds images ({shown(images[0])}) and sound ({shown(sounds[0])}): "
            "a model takes one of them; take the others away"
        )
    for split, files in splits.items():
        if not files:
            raise DataError(f"{shown(path)}: {split}/ has no samples: {HOW}")
    return Folder(path, IMAGES if images else SOUNDS, splits, tuple(skipped_note(skipped)))


def is_split(entry: Path) -> bool:
    return entry.name.lower() in SPLITS and entry.is_dir()


def listed(folder: Path) -> Iterator[Path]:
    """What lies in a folder, in the order of names, without hidden files."""
    hidden = (".", "__MACOSX")
    yield from sorted(entry for entry in folder.iterdir() if not entry.name.startswith(hidden))


def files_of(top: Path, skipped: list[Path]) -> Iterator[tuple[str, Path]]:
    """(class, file) of each sample in the class folders of ``top``."""
    for entry in listed(top):
        if not entry.is_dir():
            if entry.suffix.lower() in IMAGES + SOUNDS or entry.is_symlink():
                raise DataError(f"{shown(entry)} lies in no folder of a class: {HOW}")
            skipped.append(entry)
            continue
        count = 0
        for file in listed(entry):
            if file.is_dir():
                raise DataError(
                    f"{shown(file)} is a folder inside the class '{shown(entry.name)}': put its "
                    "files into the folder of the class itself"
                )
            if file.suffix.lower() in IMAGES + SOUNDS:
                count += 1
                yield entry.name, file
            else:
                skipped.append(file)
        if not count:
            raise DataError(
                f"{shown(entry)} has no images or sound: the class '{shown(entry.name)}' is empty; "
                "add files to it, or take the folder away"
            )


def skipped_note(skipped: list[Path]) -> Iterator[Note]:
    if skipped:
        text = f"files of other kinds were left out: {len(skipped)}, such as {shown(skipped[0])}"
        yield Note("x_train", "files left out", float(len(skipped)), text)
