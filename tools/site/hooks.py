# SPDX-License-Identifier: Apache-2.0
"""What MkDocs calls while it builds the site (mkdocs.yml, ``hooks``).

Documents outside ``docs`` become pages, links between all of them lead to the right place, and a
line such as ``<!-- site: commands -->`` is replaced by what is made from the sources.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

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
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "tests/fuzz/README.md": "project/fuzzing.md",
    **{
        str(path.relative_to(ROOT)): f"examples/{path.parent.name}.md"
        for path in sorted(ROOT.glob("examples/*/README.md"))
    },
}
# What these show or link to, at the same paths.
SHOWN = ("examples/*/*.png", "labs/*.ipynb")
FILES = {str(path.relative_to(ROOT)) for shown in SHOWN for path in ROOT.glob(shown)}
LABS = "labs"  # a folder in the repository, and an archive of it on the site
ADDED = DOCUMENTS | {path: path for path in FILES} | {LABS: f"{LABS}.zip"}
MADE: dict[str, Callable[[], str]] = {"commands": commands_page}
_MADE_HERE = re.compile(r"^<!-- site: (\S+) -->$", re.M)


def sources(files: Files) -> dict[str, str]:
    """Where each document of the repository is on the site."""
    own = {f"docs/{file.src_uri}": file.src_uri for file in files}
    return {uri: place for uri, place in own.items() if place not in ADDED.values()} | ADDED


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, place in ADDED.items():
        if path == LABS:
            files.append(File.generated(config, place, content=packed(ROOT / path)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def packed(folder: Path) -> bytes:
    """A .zip of the notebooks and modules in a folder, under its name: same files, same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".ipynb", ".py") and ".ipynb_checkpoints" not in path.parts:
                name = str(path.relative_to(folder.parent))
                archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


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
