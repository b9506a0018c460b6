# SPDX-License-Identifier: Apache-2.0
"""Pages of help: what they show, and that it fits."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.main import get_command

from mcutrain.host.cli.app import COMMANDS, app
from mcutrain.host.cli.help_page import FEW, option_row
from mcutrain.host.cli.panels import COMMAND_PANELS, OPTION_PANELS
from tests.support.command import Run

GROUP: Any = get_command(app)
NAMES = [command.__name__ for command, *_ in COMMANDS]
PAGES = [("--help",), ("train", "--help"), *((name, "--help-all") for name in NAMES)]


def options(name: str) -> list[Any]:
    return [p for p in GROUP.commands[name].params if p.param_type_name == "option"]


def shown(page: str) -> list[str]:
    """The long options that a page has rows of, by their first names."""
    return re.findall(r"^│ (?:-\w, )?--([\w-]+)", page, re.MULTILINE)


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_nothing_is_cut_off(
    page: tuple[str, ...], width: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = run(*page).out

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    if len(page) > 1:
        words = set(re.split(r"[\s│]+", text))
        for param in options(page[0]):
            if param.opts[-1].removeprefix("--") in shown(text) and param.help:
                assert set(param.help.split()) <= words, param.help


@pytest.mark.parametrize("name", NAMES)
def test_all_options_are_in_known_panels_and_say_what_they_do(name: str) -> None:
    for param in options(name):
        assert param.rich_help_panel in OPTION_PANELS, param.name
        assert re.fullmatch(r"[A-Z].*\.", param.help), param.help
        assert param.is_flag or param.metavar, param.name


@pytest.mark.parametrize("name", NAMES)
def test_what_the_short_page_leaves_out_is_behind_help_all(name: str, run: Run) -> None:
    short, full = run(name, "--help").out, run(name, "--help-all").out
    left = len(shown(full)) - len(shown(short))

    assert 1 <= len(shown(short)) <= FEW
    assert f"{left} more options: mcutrain {name} --help-all" in short
    assert "more options" not in full
    assert set(shown(short)) < set(shown(full))
    assert set(shown(full)) >= {p.opts[0].lstrip("-") for p in options(name)} - {"o", "v", "q"}


def test_the_common_options_of_train_are_those_of_a_first_training(run: Run) -> None:
    assert {"update", "data", "target", "port", "epochs", "lr", "save"} <= set(
        shown(run("train", "--help").out)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_default_is_said_once(name: str) -> None:
    for param in options(name):
        _, text = option_row(param)
        is_off = param.is_flag and not param.secondary_opts

        assert text.count("Default: ") + text.count("Required.") == (0 if is_off else 1), text


def test_the_list_of_commands_is_in_panels(run: Run) -> None:
    page = run("--help").out
    at = [page.index(f"─ {panel} ─") for panel in COMMAND_PANELS]

    assert at == sorted(at)
    assert all(re.search(rf"^│ {name} ", page, re.MULTILINE) for name in NAMES)
    assert run().out.strip() == page.strip()
