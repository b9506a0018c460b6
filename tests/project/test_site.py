# SPDX-License-Identifier: Apache-2.0
"""The site builds without a warning, its links lead somewhere, and it asks no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer

import mcutrain
from mcutrain.host.cli.app import app
from tests.support.browser import browser
from tests.support.documents import PAGES, commands
from tests.support.paths import ROOT
from tools.site.links import for_the_site

# What a page loads by itself; the links of <a> wait for the reader.
LOADED = {"img", "script", "iframe", "source", "video", "audio", "embed", "object"}


@dataclass
class Page(HTMLParser):
    """The links of a page, the anchors in it, and what it loads."""

    path: Path
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADED:
            self.loaded += [given[name] for name in ("src", "data") if name in given]
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.append(given["href"])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the site, each by its file."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def within(links: list[str], page: Page) -> Iterator[tuple[Path, str]]:
    """File and anchor of each link that stays on the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            yield path, unquote(parts.fragment)


@pytest.mark.slow
def test_every_link_leads_somewhere(site: dict[Path, Page]) -> None:
    # The page for what is not found has links from the root of whatever server shows it.
    pages = [page for page in site.values() if page.path.name != "404.html"]
    for page in pages:
        for path, anchor in within([*page.links, *page.loaded], page):
            assert path.exists(), f"{page.path.name}: {path}"
            if anchor and path in site:
                assert anchor in site[path].anchors, f"{page.path.name}: {path.name}#{anchor}"
    assert len(pages) > 80


@pytest.mark.slow
def test_the_labs_can_be_taken_from_their_page(site: dict[Path, Page]) -> None:
    root = next(iter(site)).parent
    (page,) = (page for page in site.values() if page.path.name == "labs.html")
    taken = {
        path.name: path for path, _ in within(page.links, page) if path.parent == root / "labs"
    }
    archive = next(path for path, _ in within(page.links, page) if path.name == "labs.zip")

    assert sorted(taken) == sorted(path.name for path in (ROOT / "labs").glob("*.ipynb"))
    with zipfile.ZipFile(archive) as packed:
        for name in ("labs/1_quantisation.ipynb", "labs/exercise.py", "labs/checks/__init__.py"):
            assert packed.read(name) == (ROOT / name).read_bytes()


@pytest.mark.slow
def test_a_numbered_list_goes_on_below_its_code(site: dict[Path, Page]) -> None:
    for name in ("camera", "machine"):
        (page,) = (path for path in site if path.parts[-2:] == ("examples", f"{name}.html"))
        assert page.read_text(encoding="utf-8").count("<ol>") == 1


@pytest.mark.slow
def test_no_page_asks_another_host(site: dict[Path, Page]) -> None:
    root = next(iter(site)).parent
    for page in site.values():
        assert [url for url in page.loaded if urlsplit(url).netloc] == [], page.path.name
    for sheet in root.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


# Commands whose end is out of sight, and tables and drawings that are wider than the page.
CUT = """() => [...document.querySelectorAll(
    '.language-sh code, .md-typeset__scrollwrap, .md-typeset p:has(> img)')]
  .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText)"""


@pytest.mark.slow
def test_a_telephone_shows_whole_commands_tables_and_drawings(site: dict[Path, Page]) -> None:
    root = next(page.parent for page in site if page.name == "404.html")
    with browser() as seen:
        seen.page.set_viewport_size({"width": 400, "height": 800})
        for name in ("index.html", "start.html", "glossary.html", "how/first.html"):
            seen.open(root / name)

            assert seen.page.evaluate("document.documentElement.scrollWidth") == 400, name
            assert seen.page.evaluate(CUT) == [], name


@pytest.mark.slow
def test_the_references_name_all_there_is(site: dict[Path, Page]) -> None:
    text = {page.path.name: page.path.read_text(encoding="utf-8") for page in site.values()}
    functions = re.findall(
        r"MCT_API\((\w+)\)\(", (ROOT / "firmware" / "mct" / "model_api.h").read_text()
    )
    for function in functions:
        assert f"NAME_{function}" in text["c.html"]
    for name, command in tree().items():
        assert f'id="mcutrain-{name}"' in text["commands.html"]
        for option in command.params:
            for spelling in (*option.opts, *option.secondary_opts):
                if spelling.startswith("--") and spelling != "--help":
                    assert spelling in text["commands.html"]
    missing = [
        name for name in mcutrain.__all__ if f'id="mcutrain.{name}"' not in text["python.html"]
    ]

    assert not missing
    assert not [name for name, page in text.items() if "<!-- site:" in page]


def tree() -> dict[str, Any]:
    """The commands that the help page shows, by their names."""
    group: Any = typer.main.get_command(app)
    return {name: each for name, each in group.commands.items() if not each.hidden}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    for words in commands(page):
        if words[0].startswith("-"):
            continue
        known = [spelt for each in tree()[words[0]].params for spelt in
                 (*each.opts, *each.secondary_opts)]  # fmt: skip
        unknown = [word for word in words if word.startswith("--") and word not in known]

        assert not [word for word in unknown if " " not in word], f"{page.name}: {words}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[the spec](../SPEC.md#10)", "[the spec](SPEC.md#10)"),
        ("[`code`](../trainer/plan.py)", "`code`"),
        ("`[no](../SPEC.md)` [yes](../SPEC.md)", "`[no](../SPEC.md)` [yes](SPEC.md)"),
        ("```\n[no](../SPEC.md)\n```", "```\n[no](../SPEC.md)\n```"),
        ("![a\npicture](plots/arena.png)", "![a\npicture](plots/arena.png)"),
        ("[gone](../NOTHING.md)", "[gone](../NOTHING.md)"),
        ("[away](https://example.org/x)", "[away](https://example.org/x)"),
        ("[here](#part)", "[here](#part)"),
    ],
)
def test_links_are_those_of_the_site(text: str, expected: str) -> None:
    places = {"docs/memory.md": "memory.md", "SPEC.md": "SPEC.md", "docs/plots/arena.png":
              "plots/arena.png"}  # fmt: skip

    assert for_the_site(text, "docs/memory.md", places, ROOT) == expected
