# SPDX-License-Identifier: Apache-2.0
"""The glossary is in order, and its words are those of the sources."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("trainer", "codegen", "host", "firmware")
# Names of folders that mean what they mean to everybody.
PLAIN = {
    *(
        "trainer",
        "codegen",
        "host",
        "firmware",
        "cli",
        "commands",
        "data",
        "show",
        "building",
        "making",
        "measure",
    ),
    *("simulation", "kernels", "runtime", "builder", "qemu", "platform", "training"),
    *("unicorn", "include"),
    *("lib", "src", "sensor", "test", "learning"),  # of firmware/project
    *(
        "mct",
        "ops",
        "cortex",
        "m",
        "mps2",
        "mps3",
        "an505",
        "an547",
        "nrf51",
        "nrf52",
        "teensy",
        "nor",
        "stm32f1",
        "stm32f4",
        "rp2040",
        "avr",
        "simavr",
        "uart",
        "riscv",
        "virt",
        "fe310",
        "tflite",
    ),
    *("esp32", "espidf", "stm32cube"),
}
# Classes of trainer/graph whose names say it all to who knows Python or TFLite.
PLAIN_CLASSES = {
    *(
        "DType",
        "Halves",
        "Window",
        "OutputScale",
        "BehindHead",
        "ByChannels",
        "Writer",
        "OperatorSource",
    ),
}


def rows() -> list[list[str]]:
    """Term, meaning and source of each row."""
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


ROWS = rows()


def sources() -> list[Path]:
    suffixes = (".py", ".c", ".h", ".ld")
    found = [path for name in PACKAGES for path in (ROOT / name).rglob("*")]
    return [path for path in found if path.suffix in suffixes and "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every identifier, and every word of a comment."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources())
    return set(re.findall(r"[A-Za-z_]\w*", text))


def plain(term: str) -> str:
    return term.replace("`", "").lower()


def glossary_words() -> set[str]:
    """Lower-case words of the terms, plurals without their s."""
    return {singular(w) for term, *_ in ROWS for w in re.findall(r"[a-z]\w*", plain(term))}


def singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word


def test_each_row_has_a_term_a_meaning_and_a_source() -> None:
    assert len(ROWS) > 100
    for row in ROWS:
        assert len(row) == 3 and all(row), row


def test_terms_are_sorted_and_stand_once() -> None:
    terms = [plain(term) for term, *_ in ROWS]
    each = Counter(name.strip() for term in terms for name in re.split(r",(?![^(]*\))", term))

    assert terms == sorted(terms)
    assert [name for name, count in each.items() if count > 1] == []


@pytest.mark.rows
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_is_written_as_code_is_in_the_sources(row: list[str], words: set[str]) -> None:
    """Names of Python and C; formulas and commands in the meanings count by their words."""
    term, meaning, _ = row
    names = [name for code in re.findall(r"`([^`]+)`", term) for name in re.findall(r"\w+", code)]
    names += re.findall(r"`(?:\w+\.)+(\w+)`", meaning)
    names += re.findall(r"`([A-Z][a-z]\w+)\.", meaning)

    assert not [name for name in names if name not in words]


def test_folders_have_names_of_the_glossary() -> None:
    folders = {path.parent for path in sources()}
    names = {part for folder in folders for part in folder.relative_to(ROOT).parts}
    used = {word for name in names for word in name.split("_")}
    known = glossary_words()

    unknown = {word for word in used - PLAIN if singular(word) not in known}
    assert not unknown, "name them in docs/glossary.md; what everybody calls so, in PLAIN here"
    assert not PLAIN - used, "plain words that no folder has any more"


def test_the_classes_of_the_graph_are_in_the_glossary() -> None:
    """By all words of their names."""
    known = glossary_words()
    missing = set()
    for path in (ROOT / "trainer" / "graph").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                parts = re.findall(r"[A-Z][a-z0-9]*", node.name)
                is_term = singular(node.name.lower()) in known
                if not is_term and {singular(part.lower()) for part in parts} - known:
                    missing.add(node.name)

    assert missing == PLAIN_CLASSES
