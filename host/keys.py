# SPDX-License-Identifier: Apache-2.0
"""The keys of a build: what they give the right to, how they follow from a master key, and the
files that hold them (SPEC 2.5).

Keys are never printed, and no hash of one is: they are not in the repr of anything here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from mcutrain.trainer.errors import Error

KEY_BYTES = 32
HEAD = "mcutrain key 1"
MASTER, CHECK = "master", "check"
CHECK_BYTES = 4
FILE_MODE = 0o600
LONGEST_FILE_BYTES = 1024


class Right(IntEnum):
    """Twin of mct/port_key.h."""

    READ = 0
    TRAIN = 1
    WRITE = 2

    @property
    def word(self) -> str:
        """In files and options.

        >>> Right.TRAIN.word
        'train'
        """
        return self.name.lower()


class KeyFileError(Error):
    """A file of keys cannot be used: give another, or make one."""


@dataclass(frozen=True)
class Keys:
    """Keys of some rights, or of all."""

    by_right: Mapping[Right, bytes] = field(repr=False)
    master: bytes | None = field(default=None, repr=False)

    @classmethod
    def of_master(cls, master: bytes) -> Keys:
        """The key of each right: HMAC-SHA-256 with the master key over the right's name."""
        names = {right: f"mcutrain {right.word}".encode() for right in Right}
        return cls({right: code(master, name) for right, name in names.items()}, master)

    @classmethod
    def new(cls) -> Keys:
        """Of a master key by the system's generator of random numbers."""
        return cls.of_master(os.urandom(KEY_BYTES))

    @property
    def words(self) -> str:
        """The rights, for people."""
        return " and ".join(right.word for right in self.by_right)

    @property
    def is_whole(self) -> bool:
        return set(self.by_right) == set(Right)

    def only(self, rights: Collection[Right]) -> Keys:
        """The keys of these rights alone, without the master key. Raises KeyFileError."""
        missing = [right.word for right in rights if right not in self.by_right]
        if missing:
            raise KeyFileError(
                f"there is no key to {' and '.join(missing)} here, only to {self.words}: derive "
                "it from the file of the master key"
            )
        return Keys({right: self.by_right[right] for right in Right if right in rights})

    def tag(self) -> str:
        """What tells builds with these keys from others, for a record of this user's own."""
        whole = b"".join(self.by_right[right] for right in sorted(self.by_right))
        return code(whole[:KEY_BYTES], b"mcutrain tag" + whole).hex()

    def text(self) -> str:
        """Of a file."""
        named = {right.word: key for right, key in self.by_right.items()}
        lines = {MASTER: self.master} if self.master is not None else named
        body = [HEAD, *(f"{name} {key.hex()}" for name, key in lines.items())]
        return "\n".join([*body, f"{CHECK} {check_of(body)}", ""])


def code(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def check_of(lines: Collection[str]) -> str:
    """Tells a file that was cut or mistyped."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[: 2 * CHECK_BYTES]


def read_keys(path: Path) -> Keys:
    """The keys of a file. Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE_BYTES + 1)
        lines = data.decode("ascii").split("\n")
    except OSError as err:
        raise KeyFileError(f"cannot read the keys in {path}: {err.strerror}") from err
    except UnicodeDecodeError:
        lines = []
    lines = [line.rstrip("\r") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != HEAD or len(data) > LONGEST_FILE_BYTES:
        raise KeyFileError(
            f"{path} is no file of keys: its first line is not '{HEAD}'; `mcutrain key new FILE` "
            "makes one"
        )
    *body, last = lines
    if last != f"{CHECK} {check_of(body)}":
        raise KeyFileError(
            f"{path} was changed or cut short: its last line does not fit the others; copy it anew"
        )
    return keys_of(path, body[1:])


def keys_of(path: Path, lines: Collection[str]) -> Keys:
    """The keys that the lines of a file name. Raises KeyFileError."""
    found: dict[str, bytes] = {}
    for line in lines:
        name, _, digits = line.partition(" ")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        known = name == MASTER or name in (right.word for right in Right)
        if not known or name in found or len(key) != KEY_BYTES or digits != key.hex():
            raise KeyFileError(
                f"{path}: line {len(found) + 2} is not a right with a key of {KEY_BYTES} bytes in "
                "hexadecimal digits; make the file anew with `mcutrain key derive`"
            )
        found[name] = key
    if MASTER in found and len(found) == 1:
        return Keys.of_master(found[MASTER])
    if not found or MASTER in found:
        raise KeyFileError(
            f"{path} must hold a master key alone, or keys of rights; make it anew with `mcutrain "
            "key new`"
        )
    return Keys({right: found[right.word] for right in Right if right.word in found})


def write_keys(path: Path, keys: Keys) -> None:
    """Write a new file that its owner alone can read. Raises KeyFileError if there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with open(handle, "w", encoding="ascii", newline="\n") as file:
            file.write(keys.text())
    except FileExistsError as err:
        raise KeyFileError(
            f"{path} is there, and may hold the only copy of a key: give another name"
        ) from err
    except OSError as err:
        raise KeyFileError(f"cannot write {path}: {err.strerror}") from err
