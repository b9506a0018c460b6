# SPDX-License-Identifier: Apache-2.0
"""Records that were changed, or made to do harm: each is refused in one line that says where."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.record.audit import AuditJob, run_audit
from mcutrain.host.record.fields import Fields, parse
from mcutrain.host.record.lines import read_lines
from mcutrain.trainer.errors import Error
from mcutrain.trainer.record_chain import advance
from tests.support.records import Recorded, files, recorded_here

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run of 32 steps."""
    return recorded_here(files(tmp_path_factory.mktemp("record")))


@pytest.fixture
def lines(made: Recorded) -> Lines:
    return copy.deepcopy(made.lines())


def failure(made: Recorded, path: Path, lines: list[Any]) -> str:
    """What an audit of these lines says."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = run_audit(AuditJob(path, made.data, made.model)).failure
    assert "\n" not in told
    return told


def rechained(lines: Lines) -> Lines:
    """With the chain values that the lines call for, as somebody makes them who knows how."""
    head = bytes.fromhex(lines[0]["head"])
    for line in lines[1:-1]:
        if "event" not in line:
            found, rate = bytes.fromhex(line["hash"]), line["rate"]
            head = advance(head, found, line["label"], line["step"], *rate, line["flags"])
            line["head"] = head.hex()
    lines[-1]["head"] = head.hex()
    return lines


def swap(lines: Lines) -> None:
    lines[9], lines[10] = lines[10], lines[9]


def drop_two(lines: Lines) -> None:
    del lines[9:11]


CHANGES: dict[str, tuple[Callable[[Lines], object], str]] = {
    "missing": (lambda lines: lines.pop(9), "line 10, step 9: step 8 belongs here: a line is"),
    "two missing": (drop_two, "line 10, step 10: step 8 belongs here: 2 lines are missing"),
    "doubled": (
        lambda lines: lines.insert(9, lines[9]),
        "line 11, step 8: the step is there twice",
    ),
    "swapped": (swap, "line 10, step 9: step 8 belongs here: a line is missing, or out of order"),
    "label": (
        lambda lines: lines[9].update(label=1 - lines[9]["label"] % 2),
        "line 10, step 8 was",
    ),
    "rate": (lambda lines: lines[9].update(rate=[129, 12]), "line 10, step 8 was changed"),
    "hash": (lambda lines: lines[9].update(hash="00" * 16), "line 10, step 8 was changed"),
    "flags": (lambda lines: lines[9].update(flags=0), "line 10, step 8 was changed"),
    "chain": (lambda lines: lines[9].update(head="00" * 16), "line 10, step 8 was changed"),
    "beginning": (lambda lines: lines[0].update(head="11" * 16), "line 2, step 0 was changed"),
    "seed": (lambda lines: lines[0].update(seed=7), "line 1: the chain value is"),
    "digest": (lambda lines: lines[9].update(digest=5), "line 10, step 8: the digest behind it is"),
    "end": (lambda lines: lines[-1].update(state="22" * 32), "line 34: the SHA-256 of the state"),
    "end's digest": (lambda lines: lines[-1].update(digest=1), "line 34: the digest of the end"),
    "fewer": (lambda lines: lines[-1].update(end=31), "line 34: the run ended after 31 steps, but"),
    "kept": (
        lambda lines: lines[-1].update(kept=7),
        "line 34: the end tells of the state behind 7",
    ),
    "behind the end": (lambda lines: lines.append(lines[9]), "line 35 stands behind the end"),
    "second header": (lambda lines: lines.insert(5, lines[0]), "line 6 is a header again"),
    "no header": (lambda lines: lines.pop(0), "line 1 is no header"),
    "event": (
        lambda lines: lines.insert(9, {"event": "restored", "step": 3, "state": "00" * 32}),
        "line 10: the state behind 3 steps is restored, but",
    ),
    "classes": (
        lambda lines: lines.insert(9, {"event": "classes", "classes": 3}),
        "line 10: 'classes' stands behind the first step",
    ),
    "left out": (
        lambda lines: lines.insert(9, {"event": "left out", "step": 8}),
        "line 11, step 8: the step is there twice",
    ),
    "unknown event": (lambda lines: lines.insert(9, {"event": "x"}), "line 10: 'event' is 'x'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_line_is_named(change: str, made: Recorded, lines: Lines, tmp_path: Path) -> None:
    how, expected = CHANGES[change]
    how(lines)
    told = failure(made, tmp_path / "r.jsonl", lines)

    assert told.startswith(f"{tmp_path / 'r.jsonl'}, {expected}"), told


def test_whoever_makes_the_chain_anew_is_found_by_the_replay(
    made: Recorded, lines: Lines, tmp_path: Path
) -> None:
    """The chain alone proves nothing against somebody who writes all of it: the samples do."""
    path = tmp_path / "r.jsonl"
    dropped = copy.deepcopy(lines[:9] + lines[10:])
    for number, line in enumerate(dropped[1:-1]):
        line["step"] = number
    dropped[-1] |= {"end": 31, "kept": 31}
    told = failure(made, path, rechained(copy.deepcopy(dropped)))
    assert "line 10, step 8: the digest behind it is" in told
    for line in dropped[1:-1]:
        del line["digest"]
    assert "line 33: the SHA-256 of the state" in failure(made, path, rechained(dropped))

    lines[9]["label"] = (lines[9]["label"] + 1) % 4
    assert "line 10, step 8: the record has the label" in failure(made, path, rechained(lines))
    lines[9] |= {"label": 2**31}
    assert "line 10, step 8: the record has the label" in failure(made, path, rechained(lines))


def test_samples_that_are_not_the_recorded_ones_are_named(made: Recorded, tmp_path: Path) -> None:
    arrays = dict(np.load(made.data))
    victim = next(line["sample"] for line in made.lines() if line.get("step") == 8)
    arrays["x_train"] = arrays["x_train"].copy()
    arrays["x_train"].reshape(len(arrays["x_train"]), -1)[victim, 5] ^= 1
    np.savez(tmp_path / "other.npz", **arrays)  # type: ignore[arg-type]
    told = run_audit(AuditJob(made.record, tmp_path / "other.npz", made.model))

    assert f"step 8: sample {victim} of train is not the one that was learned from" in told.failure
    assert told.steps == 8 and "x_train of" in told.notes[0]


def test_a_record_that_was_cut_proves_its_beginning(made: Recorded, tmp_path: Path) -> None:
    path, raw = tmp_path / "cut.jsonl", made.record.read_bytes()
    path.write_bytes(raw[: raw.index(b'"step": 20') + 4])
    told = run_audit(AuditJob(path, made.data, made.model))
    assert told.proves and not told.ended and told.steps == 20 and "no end" in told.notes[0]

    told = run_audit(AuditJob(path, made.data, made.model, state=made.state))
    assert "is not the record's" in told.failure


BOMBS: dict[str, bytes] = {
    "nested": b'{"step": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "digits": b'{"step": ' + b"9" * 1_000_000 + b"}",
    "nan": b'{"step": NaN}',
    "infinity": b'{"step": 1e999}',
    "doubled name": b'{"step": 1, "step": 2}',
    "list": b"[1, 2]",
    "text": b'"step"',
    "rubbish": b"\x00\xff\xfe",
    "empty": b"",
    "negative": b'{"step": -1}',
    "true": b'{"step": true, "sample": 1}',
    "long": b'{"step": "' + b"x" * (2 << 20) + b'"}',
    "hash of spaces": b'{"step": 0, "sample": 0, "hash": "' + b" " * 32 + b'"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("at", [0, 1])
def test_a_bomb_is_refused_in_one_line(bomb: str, at: int, made: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    real = made.record.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*real[:at], BOMBS[bomb] + b"\n", *real[at:]]))
    told = run_audit(AuditJob(path, made.data, made.model)).failure

    assert told.startswith(f"{path}, line {at + 1}") and len(told) < 400


def test_a_million_lines_of_rubbish_end_at_the_first(made: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    header = made.record.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(header + b"rubbish\n" * 1_000_000)
    read = list[int]()
    with pytest.raises(Error, match="line 2: it is no JSON"):
        read += [number for number, _ in read_lines(path)]
    assert "line 2" in run_audit(AuditJob(path, made.data, made.model)).failure


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b'{"format": 1}\n', b'{"format": 9}\n'])
def test_what_is_no_record_is_refused(content: bytes, made: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)

    assert str(path) in run_audit(AuditJob(path, made.data, made.model)).failure
    assert "cannot read" in run_audit(AuditJob(tmp_path, made.data, made.model)).failure


VALUES: tuple[Any, ...] = (
    None, True, -1, 2**32, 10**30, 0.5, "", "x", "zz" * 16, [], [1], {}, {"a": 1}, "\x1b[31m",
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in an object."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else []
    return found + [p for key, each in items for p in places(each, (*path, key))]


def changed(line: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(line)
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return found


def test_no_value_of_a_line_makes_anything_but_one_line_of_text(
    made: Recorded, lines: Lines, tmp_path: Path, thorough: bool
) -> None:
    """Each value of the header, a step and the end is replaced by others; nothing is raised but
    Error, and it has no line breaks or control characters."""
    rng = random.Random(0)
    cases = [(at, place) for at in (0, 9, -1) for place in places(lines[at])]
    for at, place in cases if thorough else rng.sample(cases, 8):
        for value in rng.sample([*VALUES, KeyError], 3 if thorough else 1):
            hostile = copy.deepcopy(lines)
            hostile[at] = changed(lines[at], place, value)
            path = tmp_path / "r.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in hostile[:11]))
            try:
                told = run_audit(AuditJob(path, made.data, made.model)).failure
            except Error as err:
                told = str(err)
            assert told.isprintable(), (at, place, value, told)


@pytest.mark.parametrize(("name", "value"), [("start", 7), ("start", 0.5), ("classes", "x")])
def test_an_option_of_another_kind_is_refused(
    name: str, value: Any, made: Recorded, lines: Lines, tmp_path: Path
) -> None:
    """Also where none is the default."""
    lines[0]["plan"]["options"][name] = value
    told = failure(made, tmp_path / "r.jsonl", lines)
    assert "line 1" in told and "options are damaged" in told


def test_parsing_is_strict() -> None:
    assert parse(b'{"a": {"b": 1}}') == {"a": {"b": 1}}
    with pytest.raises(ValueError, match="twice"):
        parse(b'{"a": {"b": 1, "b": 2}}')
    fields = Fields({"n": 3, "t": "x"}, "here")
    with pytest.raises(Error, match=r"here: 'n' is 3: a text is needed"):
        fields.text("n")
    with pytest.raises(Error, match=r"here has no 'm'"):
        fields.integer("m")
