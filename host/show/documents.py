# SPDX-License-Identifier: Apache-2.0
"""Reads the documents of reports, from files of their own or from pages, and joins them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcutrain.host.failure import reason
from mcutrain.host.files import write_whole
from mcutrain.host.show.document import FORMAT, KIND
from mcutrain.host.show.training_page import page
from mcutrain.trainer.errors import DataError

HELD = re.compile(r'href="data:application/json;base64,([A-Za-z0-9+/=]*)" id=document')
MOST_BYTES = 64 << 20  # of a file: a report has about one
# What a page makes of a document that lacks a part, or has another in its place.
DAMAGED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
NO_DOCUMENT = "give a page or a report.json that mcutrain wrote (train --report)"


def write_joined(path: Path, sources: Sequence[Path]) -> None:
    """Write one page of the runs of all ``sources``. Raises DataError for a file that holds no
    report, and Error if the page cannot be written."""
    from jinja2 import TemplateError

    documents = [read_document(source) for source in sources]
    try:
        content = page(joined(documents))
    except (*DAMAGED, TemplateError) as err:
        names = ", ".join(map(str, sources))
        raise DataError(f"{names}: the report is damaged: {NO_DOCUMENT}") from err
    write_whole(path, content)


def read_document(path: Path) -> dict[str, Any]:
    """The document in a file, or in a page. Raises DataError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is too large for a report: {NO_DOCUMENT}")
        text = path.read_text(encoding="utf-8")
        if (held := HELD.search(text)) is not None:
            text = base64.b64decode(held[1], validate=True).decode()
        found = json.loads(text)
    except OSError as err:
        raise DataError(f"cannot read {path}: {reason(err)}") from err
    except (ValueError, RecursionError) as err:
        raise DataError(f"{path} holds no report: {NO_DOCUMENT}") from err
    if not isinstance(found, dict) or found.get("kind") != KIND or not found.get("runs"):
        raise DataError(f"{path} holds no report: {NO_DOCUMENT}")
    if found.get("format") != FORMAT:
        raise DataError(
            f"{path} is a report of format {found.get('format')!r}, but this mcutrain reads format "
            f"{FORMAT}: train again with --report, or use the mcutrain that wrote it"
        )
    return found


def joined(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One document of the runs of all. The first one says when and with what it was made."""
    whole = {**documents[0], "runs": [], "figures": {}}
    names = list(dict.fromkeys(name for found in documents for name in found["figures"]))
    whole["figures"] = {
        name: [
            cell
            for found in documents
            for cell in found["figures"].get(name, ["-"] * len(found["runs"]))
        ]
        for name in names
    }
    for found in documents:
        whole["runs"] += shifted(found["runs"], len(whole["runs"]))
    whole["command"] = "\n".join(
        dict.fromkeys(found["command"] for found in documents if found["command"])
    )
    return whole


def shifted(runs: Sequence[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    """The runs behind ``by`` others, so that one that answers as an earlier one still names it."""
    return [
        {**run, "answers": {"same_as": run["answers"]["same_as"] + by}}
        if run["answers"] and "same_as" in run["answers"]
        else run
        for run in runs
    ]
