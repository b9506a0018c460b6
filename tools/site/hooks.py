# SPDX-License-Identifier: Apache-2.0
"""What MkDocs calls while it builds the site (mkdocs.yml, ``hooks``).

Documents outside ``docs`` become pages, links between all of them lead to the right place, and a
line such as ``<!-- site: commands -->`` is replaced by what is made from the sources.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site.c_api import header_page
from tools.site.commands import commands_page
from tools.site.links import for_the_site

ROOT = Path(__file__).parents[2]
HOME = "README.md"
# Documents outside docs, by their paths in the repository, and where they are on the site.
DOCUMENTS = {
    HOME: "index.md",
    "SPEC.md": "SPEC.md",
    "DESIGN.md": "DESIGN.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "tests/fuzz/README.md": "project/fuzzing.md",
    **{
        str(path.relative_to(ROOT)): f"examples/{path.parent.name}.md"
        for path in sorted(ROOT.glob("examples/*/README.md"))
    },
}
MADE: dict[str, Callable[[], str]] = {"commands": commands_page}
_MADE_HERE = re.compile(r"^<!-- site: (\S+) -->$", re.M)


def sources(files: Files) -> dict[str, str]:
    """Where each document of the repository is on the site."""
    own = {f"docs/{file.src_uri}": file.src_uri for file in files}
    return {uri: place for uri, place in own.items() if place not in DOCUMENTS.values()} | DOCUMENTS


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leaves pages that this checkout does not have out of the navigation."""
    config.nav = [each for each in map(there, config.nav or []) if each]
    return config


def there(entry: Any) -> Any:
    """An entry of the navigation with what exists of it; None where nothing does."""
    if isinstance(entry, str):
        return entry if entry in DOCUMENTS.values() or (ROOT / "docs" / entry).exists() else None
    if isinstance(entry, list):
        return [each for each in map(there, entry) if each] or None
    named = {name: there(value) for name, value in entry.items()}
    return {name: value for name, value in named.items() if value} or None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, place in DOCUMENTS.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    places = sources(files)
    source = next(path for path, place in places.items() if place == page.file.src_uri)
    if source == HOME:
        page.meta["hide"] = ["navigation", "toc"]
    return for_the_site(_MADE_HERE.sub(made, markdown), source, places, ROOT)


def made(found: re.Match[str]) -> str:
    """What stands in place of a line ``<!-- site: NAME -->``; a header is named by its path."""
    name = found[1]
    return MADE[name]() if name in MADE else header_page(ROOT / name)
