# SPDX-License-Identifier: Apache-2.0
"""One command on several boards: each gets its own process, its own files, and its own end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from mcutrain.host.building.firmware import Build, build
from mcutrain.host.building.target import Target
from mcutrain.host.selftest import example_request
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.state import SavedState
from tests.support.command import AT_A_RATE, Run
from tests.support.fake_model.build import build_patched
from tests.support.paths import WATCH

pytestmark = pytest.mark.board
MODEL, DATA = WATCH / "watch.tflite", WATCH / "demo.npz"
TRAIN = (
    "train", MODEL, "--update", "last:2", "--data", DATA, *AT_A_RATE, "--no-guard", "--steps", 20,
    "--verify",
)  # fmt: skip


@cache
def watch() -> Build:
    target = Target.parse("native")
    return build(example_request().on(target.chip).plan(), target)


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Two devices, with ids."""
    with ExitStack() as stack:
        found = []
        for device_id in ("0a01", "0a02"):
            monkeypatch.setenv("MCT_DEVICE_ID", device_id)
            found.append(stack.enter_context(simulate("native", watch().elf)))
        yield found[0], found[1]


def two(ports: tuple[str, str]) -> tuple[str, ...]:
    return ("--port", ports[0], "--port", ports[1])


def test_two_boards_learn_the_same_and_get_files_of_their_own(
    run: Run, ports: tuple[str, str], tmp_path: Path
) -> None:
    found = run(*TRAIN, *two(ports), "--save", tmp_path / "s.npz", "--json").json

    assert [(each["port"], each["device_id"]) for each in found] == [
        (ports[0], "0a01"),
        (ports[1], "0a02"),
    ]
    for each in found:
        assert each["error"] is None
        assert each["found"]["steps"] == each["found"]["verified_steps"] == 20
        assert each["found"]["device"]["device_id"] == each["device_id"]
    assert found[0]["found"]["digest"] == found[1]["found"]["digest"]
    plan = watch().plan
    saved = [tmp_path / f"s-{each['device_id']}.npz" for each in found]
    states = [SavedState.read(path).state(plan) for path in saved]
    assert states[0] == states[1]
    assert not (tmp_path / "s.npz").exists()


@pytest.mark.exhaustive
def test_one_that_dies_leaves_the_other_alone(
    run: Run, ports: tuple[str, str], tmp_path: Path
) -> None:
    step = "    mct_mark_end();\n    return execute_digest("
    dies = f"    if (MCT_MODEL(steps)() == 7) {{ __builtin_trap(); }}\n{step}"
    gen = watch().folder / "gen"
    elf = build_patched(gen, tmp_path, "runtime/execute.h", step, dies)
    with simulate("native", elf) as dying:
        ran = run(*TRAIN, "--port", dying, "--port", ports[1])

    assert ran.status == 1
    assert len(ran.err.strip().splitlines()) == 1
    assert f"1 of 2 boards failed: {dying}: " in ran.err
    rows = [line for line in ran.out.splitlines() if "/dev/" in line]
    assert len(rows) == 2
    assert ports[1] in rows[1] and " 20 " in rows[1] and "done" in rows[1]


@pytest.mark.exhaustive
def test_two_boards_are_compared_with_the_reference(run: Run, ports: tuple[str, str]) -> None:
    found = run("selftest", *two(ports), "--steps", 2, "--json").json

    assert [each["found"]["result"] for each in found] == ["equal", "equal"]
    assert [each["found"]["device"]["device_id"] for each in found] == ["0a01", "0a02"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "auto", "--port", "a"), "--port auto stands for the one board"),
        (("--port", "a", "--port", "a"), "a --port is given twice"),
        (("--port", "a", "--port", "b", "--dry-run"), "--dry-run looks at one board"),
    ],
)
def test_what_several_boards_cannot_be_is_refused(
    run: Run, options: tuple[str, ...], said: str
) -> None:
    ran = run(*TRAIN, *options)

    assert ran.status == 1 and said in ran.err and len(ran.err.strip().splitlines()) == 1


@pytest.mark.exhaustive
def test_a_file_of_options_may_name_several(
    run: Run, ports: tuple[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "mcutrain.toml"
    config.write_text(f'[selftest]\nport = ["{ports[0]}", "{ports[1]}"]\nsteps = 1\n')
    found = run("selftest", "--config", config, "--json").json
    config.write_text(f'[selftest]\nport = "{ports[0]}"\nsteps = 1\n')
    one = run("selftest", "--config", config, "--json").json

    assert [each["port"] for each in found] == list(ports)
    assert one["port"] == ports[0] and one["result"] == "equal"
