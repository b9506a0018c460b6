# SPDX-License-Identifier: Apache-2.0
"""``key``, and --key of the commands that build or talk, against the native firmware."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.keys import Keys, Right, read_keys, write_keys
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import AT_A_RATE, Run
from tests.support.fake_model.build import MASTER_KEY
from tests.support.paths import WATCH

MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
KEYS = Keys.of_master(MASTER_KEY)


@pytest.fixture(scope="module")
def built() -> Build:
    plan = make_plan(load(MODEL), PlanOptions("last:2"))
    return build(plan, Target.parse("native"), keys=KEYS)


@pytest.fixture
def port(built: Build) -> Iterator[str]:
    with simulate("native", built.elf) as path:
        yield path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "device.key"
    write_keys(path, KEYS)
    return path


def test_new_makes_a_master_key_and_derive_hands_some_of_it_out(run: Run, tmp_path: Path) -> None:
    master, some = tmp_path / "master.key", tmp_path / "some.key"
    made = run("key", "new", master)
    assert made.status == 0 and "a master key, of which all rights follow" in made.out
    derived = run("key", "derive", master, "--right", "read", "--right", "train", "-o", some)
    assert derived.status == 0 and "read and train" in derived.out
    keys = read_keys(master)
    assert read_keys(some) == keys.only([Right.READ, Right.TRAIN])
    for secret in (keys.master, *keys.by_right.values()):
        assert secret is not None and secret.hex() not in made.out + derived.out
    again = run("key", "derive", some, "--right", "read", "-o", tmp_path / "r.key", "--json").json
    assert again == {"file": str(tmp_path / "r.key"), "rights": ["read"], "master": False}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "KEY"), "is there, and may hold the only copy"),
        (("new", "other", "--right", "read"), "--right and --output are for derive"),
        (("derive", "KEY"), "give --right read, train or write, and --output FILE"),
        (("derive", "KEY", "--right", "own", "-o", "new"), "--right own: give read, train, write"),
        (("derive", "none", "--right", "read", "-o", "new"), "cannot read the keys in none"),
        (("make", "KEY"), "key make: give new or derive"),
    ],
)
def test_what_cannot_be_made_is_told(
    run: Run, key: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(key.parent)
    ran = run("key", *(key if each == "KEY" else each for each in arguments))
    assert ran.status == 1 and said in ran.err and ran.err.count("\n") == 1
    assert sorted(path.name for path in key.parent.iterdir()) == [key.name]


def test_a_file_that_others_can_read_is_told_of(run: Run, key: Path, tmp_path: Path) -> None:
    key.chmod(0o644)
    ran = run("key", "derive", key, "--right", "read", "-o", tmp_path / "r.key")
    assert ran.status == 0 and f"warning: others can read the keys in {key}: chmod 600" in ran.err


@pytest.mark.exhaustive
def test_a_device_with_a_key_trains_saves_and_is_read(
    run: Run, port: str, key: Path, tmp_path: Path
) -> None:
    options = (MODEL, "--update", "last:2", "--port", port)
    train = ("train", *options, "--data", DATA, "--no-guard", *AT_A_RATE)
    trained = run(*train, "--key", key, "--steps", 4, "--epochs", 2, "--verify", "--json").json
    assert (trained["verified_steps"], trained["bit_exact"]) == (4, True)
    assert trained["latents"]["reused"] > 0  # computed here: the device shows none
    assert run("save", "--port", port, "--key", key, "--json").json["steps"] == 4
    reader = tmp_path / "reader.key"
    write_keys(reader, KEYS.only([Right.READ, Right.TRAIN]))
    pulled = run("pull", *options, "--key", reader, "--save", tmp_path / "s.npz", "--json").json
    assert pulled["steps"] == 4
    evaluated = run("evaluate", MODEL, "--data", DATA, "--port", port, "--key", reader, "--json")
    assert 0 < evaluated.json["accuracy"] < 1
    refused = run(*train, "--key", reader, "--steps", 1, "--fresh")
    assert refused.status == 1
    assert "RESET needs the key to write, and the file given to --key has one to read and tr" in (
        refused.err
    )
    assert run("reset", "--port", port, "--key", key).status == 0


@pytest.mark.parametrize("command", ["save", "load", "reset"])
def test_without_its_key_a_device_does_nothing(
    run: Run, port: str, tmp_path: Path, command: str
) -> None:
    other = tmp_path / "other.key"
    write_keys(other, Keys.new())
    for options, said in (
        ((), "the device obeys only who has its key: give the file to --key"),
        (("--key", other), "the device has another key than the file given to --key"),
    ):
        ran = run(command, "--port", port, *options)
        assert ran.status == 1 and said in ran.err and ran.err.count("\n") == 1


def test_a_build_needs_all_keys_and_a_link(run: Run, tmp_path: Path) -> None:
    some = tmp_path / "some.key"
    write_keys(some, KEYS.only([Right.TRAIN]))
    for arguments, said in (
        (("build", MODEL, "--update", "head", "--key", some), "needs the keys of all rights"),
        (("generate", MODEL, "--update", "head", "--key", some, "-o", tmp_path / "gen"),
         "--key protects the link, which is not there without --runtime"),
        (("generate", MODEL, "--update", "head", "--key", some, "--runtime", "-o",
          tmp_path / "gen"), "needs the keys of all rights"),
    ):  # fmt: skip
        ran = run(*arguments)
        assert ran.status == 1 and said in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "gen").exists()
