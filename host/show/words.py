# SPDX-License-Identifier: Apache-2.0
"""Terms that a page explains on hover, from the project's glossary."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

GLOSSARY = Path(__file__).parent / "templates" / "glossary.md"
ROW = re.compile(r"^\| (?P<terms>[^|]+) \| (?P<meaning>[^|]+) \|")


@functools.cache
def meanings() -> dict[str, str]:
    """What each term means; terms in one row of the glossary have the same meaning."""
    found = {}
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        for term in row["terms"].split(",") if row else ():
            found[re.sub(r"\(.*\)|`", "", term).strip()] = row["meaning"].strip(" `") if row else ""
    return found


def term(name: str, text: str = "") -> Markup:
    """``text``, or the name of a term, with the term's meaning under the pointer. KeyError if the
    glossary does not have it.

    >>> str(term("arena", "the <arena>"))[:12], "tensors" in term("arena")
    ('<dfn title="', True)
    """
    from markupsafe import Markup, escape  # plan needs no page, and is there without the extra

    meaning = meanings()[name].replace("`", "")
    return Markup('<dfn title="{}">{}</dfn>').format(meaning, escape(text or name))
