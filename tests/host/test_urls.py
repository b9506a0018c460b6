# SPDX-License-Identifier: Apache-2.0
"""A password in an address is in nothing that is shown or written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mcutrain.host.search import command as searching
from mcutrain.host.search.sampler import storage_error
from mcutrain.host.training.reporter import SILENT
from mcutrain.host.urls import HIDDEN, hidden, without_passwords
from tests.support.command import Run
from tests.support.small_models import residual_model, write_dataset

ADDRESSES = {
    "postgresql://user:s3cret@host:5432/db": "postgresql://user:***@host:5432/db",
    "redis://:s3cret@host/0": "redis://:***@host/0",
    "postgresql://host/db?user=me&password=s3cret": "postgresql://host/db?user=me&password=***",
    "mysql://host/db?ssl_key=a&PWD=s3cret#x": "mysql://host/db?ssl_key=***&PWD=***#x",
    "sqlite:///trials.db": "sqlite:///trials.db",
    "postgresql://user@host/db": "postgresql://user@host/db",
    "folder/trials@5:30.log": "folder/trials@5:30.log",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_shown_has_no_password(address: str) -> None:
    assert without_passwords(address) == ADDRESSES[address]
    assert without_passwords(f"a {address} b") == f"a {ADDRESSES[address]} b"


def test_an_error_that_repeats_it_otherwise_is_cleaned() -> None:
    address = "postgresql://me:a%2Fb%20c@host/db"
    said = f"login as me with 'a/b c' failed at {address}"

    assert hidden(said, address) == "login as me with '***' failed at postgresql://me:***@host/db"
    told = str(storage_error(address, RuntimeError(said)))
    assert "a/b" not in told and "a%2Fb" not in told and HIDDEN in told
    assert "give another --storage" in told


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["nonsense", "postgresql", "mysql+pymysql", "redis"])
def test_a_search_does_not_tell_it(scheme: str, run: Run, tmp_path: Path) -> None:
    model, storage = tmp_path / "m.tflite", f"{scheme}://user:s3cret@localhost:1/db?password=pa55"
    model.write_bytes(residual_model())
    data = write_dataset(tmp_path / "d.npz", per_class=12)
    output = tmp_path / "s.toml"
    args = ("search", model, "--data", data, "--sram", "64K", "--jobs", 1, "--output", output)
    ran = run(*args, "--storage", storage, "--trials", 1, "--epochs", 1)

    assert ran.status == 1
    assert f"{scheme}://user:***@localhost:1/db?password=***" in ran.err
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in (ran.out.encode(), ran.err.encode(), *written):
        assert b"s3cret" not in text and b"pa55" not in text


def test_the_scheme_files_command_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "sys.argv", ["mcutrain", "search", "--storage", "postgresql://u:s3cret@h/d"]
    )
    monkeypatch.setattr(searching, "require_extra", lambda extra: None)
    monkeypatch.setattr(searching, "searched", lambda job, reporter: (None, Named(), []))
    monkeypatch.setattr(searching, "scheme_file", lambda *args: seen.append(args[-1]) or "")
    monkeypatch.setattr(searching, "to_json", lambda *args: {})
    job = searching.SearchJob(
        searching.Request(tmp_path / "m"), tmp_path / "d", searching.Limits(1, None, None),
        searching.SearchPlan(1, 1, 1, 1, None, 0), output=tmp_path / "s.toml",
    )  # fmt: skip
    searching.run_search(job, SILENT, " ".join(sys.argv))

    assert seen == ["mcutrain search --storage postgresql://u:***@h/d"]


class Named:
    model = None
