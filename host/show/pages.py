# SPDX-License-Identifier: Apache-2.0
"""Fills the templates of the HTML pages. All text is escaped, unless it is a ``Markup``.

A page is one file that asks for nothing: its Content-Security-Policy forbids it to load anything,
and to run any script but its own, which the policy names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcutrain.host.show.arena import plain
from mcutrain.host.show.words import term

TEMPLATES = Path(__file__).parent / "templates"
KIB = 1024
PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


@dataclass(frozen=True)
class PageTable:
    """A table as templates/macros.html shows it; the first cell of a row is its heading. ``texts``
    are the columns that hold words: they begin on the left."""

    caption: str
    head: Sequence[object]
    rows: Sequence[Sequence[object]]
    texts: Collection[int] = ()


@dataclass(frozen=True)
class Key:
    """One of the figures at the head of a page."""

    name: object
    value: str
    beside: str = ""
    unit: str = ""


def filled(template: str, script: str, **values: object) -> str:
    """The page that a template makes of ``values``, with the file ``script`` as its script: all
    that it names must be given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=printable,
    )
    environment.globals["term"] = term
    environment.filters.update(
        number=number, size=size, share=share, sig=significant, seconds=seconds, joules=joules
    )
    code = (TEMPLATES / script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return environment.get_template(template).render(
        script=Markup(code), script_hash=Markup("'sha256-{}'").format(digest), **values
    )


def printable(value: object) -> object:
    """A value for a page: text without control characters, but for the ends of its lines."""
    if type(value) is not str:  # a Markup was made of what was printable
        return value
    return "\n".join(plain(line) for line in value.split("\n"))


def number(value: float | None) -> str:
    """
    >>> number(12345.6), number(None)
    ('12,346', '–')
    """
    return "–" if value is None else f"{value:,.0f}"


def size(nbytes: float | None) -> str:
    """Bytes, from 10 KiB in KiB too.

    >>> size(512), size(12251)
    ('512 bytes', '12,251 bytes (12.0 KiB)')
    """
    if nbytes is None:
        return "–"
    more = f" ({nbytes / KIB:,.1f} KiB)" if nbytes >= 10 * KIB else ""
    return f"{nbytes:,.0f} bytes{more}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def core_name(core: str) -> str:
    """
    >>> core_name("cortex-m4")
    'Cortex-M4'
    >>> core_name("cortex-m0plus")
    'Cortex-M0+'
    """
    return core.replace("cortex-m", "Cortex-M").replace("plus", "+")


def significant(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """
    >>> seconds(0.00184), seconds(12.0), seconds(4e-6)
    ('1.84 ms', '12 s', '4 µs')
    """
    return scaled(value, "s")


def joules(value: float | None) -> str:
    return scaled(value, "J")


def scaled(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f} {unit}"
    factor, prefix = next((p for p in PREFIXES if value >= p[0]), PREFIXES[-1])
    return f"{value / factor:.3g} {prefix}{unit}"
