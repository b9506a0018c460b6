# SPDX-License-Identifier: Apache-2.0
"""One link works in the repository and on the site, although the files lie elsewhere there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

# A fenced block and inline code, in which nothing is a link; and a link or an image.
_PARTS = re.compile(
    r"^```.*?^```$|`[^`\n]+`|!?\[(?:[^\[\]`]|`[^`\n]*`|!?\[[^\[\]]*\](?:\([^)\s]*\))?)*\]\([^)\s]+\)",
    re.M | re.S,
)
_LINK = re.compile(r"(!?)\[(.*)\]\(([^)\s#]*)(#[^)\s]*)?\)", re.S)


def for_the_site(text: str, source: str, places: Mapping[str, str], root: Path) -> str:
    """``text`` of the file ``source`` with each link as the site needs it.

    ``places`` maps a file's path in the repository to its path on the site; ``source`` is a key of
    it. A link to a file that the site does not have keeps its text alone. A link to nothing is left
    as it is, so that the strict build refuses it.
    """

    def written(part: re.Match[str]) -> str:
        link = _LINK.fullmatch(part[0])
        if link is None:
            return part[0]
        image, label, target, anchor = link[1], link[2], link[3], link[4] or ""
        if not target or ":" in target:
            return part[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in places:
            away = posixpath.relpath(places[path], posixpath.dirname(places[source]) or ".")
            return f"{image}[{for_label(label)}]({away}{anchor})"
        if (root / path).exists() and not image and not path.startswith("docs/"):
            return label
        return part[0]

    def for_label(label: str) -> str:
        """The text of a link may itself hold an image."""
        return _PARTS.sub(written, label)

    return _PARTS.sub(written, text)
