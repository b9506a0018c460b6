# SPDX-License-Identifier: Apache-2.0
"""Keys, and the files that hold them."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from mcutrain.codegen.header import emit_keys
from mcutrain.host.keys import KeyFileError, Keys, Right, check_of, read_keys, write_keys
from tests.support.fake_model.build import GEN_DIR, MASTER_KEY

KEYS = Keys.of_master(MASTER_KEY)
LINES = ["mcutrain key 1", f"master {MASTER_KEY.hex()}"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device.key"


def written(path: Path, *lines: str, check: str | None = None) -> Path:
    last = f"check {check_of(lines) if check is None else check}"
    path.write_text("\n".join([*lines, last, ""]))
    return path


def test_each_right_has_a_key_of_the_master_key() -> None:
    for right in Right:
        expected = hmac.digest(MASTER_KEY, f"mcutrain {right.word}".encode(), "sha256")
        assert KEYS.by_right[right] == expected
    assert Keys.new().master != Keys.new().master


def test_a_file_holds_the_master_key_or_those_of_rights(path: Path, tmp_path: Path) -> None:
    write_keys(path, KEYS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path) == KEYS
    some = KEYS.only([Right.WRITE, Right.READ])
    write_keys(tmp_path / "some.key", some)
    assert read_keys(tmp_path / "some.key") == some
    assert (some.words, some.is_whole, some.master) == ("read and write", False, None)
    assert MASTER_KEY.hex() not in (tmp_path / "some.key").read_text()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_keys(path) == KEYS


def test_a_file_that_is_there_stays(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(KeyFileError, match="is there, and may hold the only copy of a key"):
        write_keys(path, KEYS)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "is no file of keys: its first line is not 'mcutrain key 1'"),
        (("mcutrain key 2", LINES[1]), "is no file of keys"),
        ((LINES[0],), "must hold a master key alone, or keys of rights"),
        ((*LINES, f"read {'00' * 32}"), "must hold a master key alone"),
        ((LINES[0], f"read {'00' * 31}"), "line 2 is not a right with a key of 32 bytes"),
        ((LINES[0], f"read {'0g' * 32}"), "line 2 is not a right with a key"),
        ((LINES[0], f"read {'AA' * 32}"), "line 2 is not a right with a key"),
        ((LINES[0], f"read {'00' * 32}", f"read {'00' * 32}"), "line 3 is not a right"),
        ((LINES[0], f"own {'00' * 32}"), "line 2 is not a right with a key"),
        ((*LINES, "x" * 2000), "is no file of keys"),
    ],
)
def test_another_file_is_told_in_a_line(path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(KeyFileError, match=said) as told:
        read_keys(written(path, *lines))
    assert "\n" not in str(told.value)


def test_a_changed_or_unreadable_file_is_told(path: Path) -> None:
    with pytest.raises(KeyFileError, match="was changed or cut short"):
        read_keys(written(path, *LINES, check="00000000"))
    text = written(path, *LINES).read_text()
    for at in range(len(LINES[0]) + 8, len(text) - 1):
        path.write_text(text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :])
        with pytest.raises(KeyFileError):
            read_keys(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError, match="is no file of keys"):
        read_keys(path)
    path.unlink()
    with pytest.raises(KeyFileError, match=r"cannot read the keys in .*: No such file"):
        read_keys(path)


def test_a_key_that_is_not_there_cannot_be_derived() -> None:
    with pytest.raises(KeyFileError, match="there is no key to train here, only to read"):
        KEYS.only([Right.READ]).only([Right.TRAIN])


def test_keys_are_in_no_text_that_is_for_people() -> None:
    secrets = [MASTER_KEY, *KEYS.by_right.values()]
    assert not any(key.hex() in f"{KEYS!r}" or repr(key) in f"{KEYS!r}" for key in secrets)
    assert KEYS.tag() != Keys.new().tag()
    assert not any(key.hex() in KEYS.tag() for key in secrets)


def test_the_header_of_the_fake_model_holds_what_is_generated() -> None:
    """Token by token: clang-format has other lines."""
    emitted = emit_keys([KEYS.by_right[right] for right in Right])

    def tokens(text: str) -> list[str]:
        _, _, code = text.partition("#ifndef")
        return code.split()

    assert tokens((GEN_DIR / "mct_keys.h").read_text()) == tokens(emitted)
