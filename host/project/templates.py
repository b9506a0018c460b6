# SPDX-License-Identifier: Apache-2.0
"""The texts of a new project: the files of firmware/project, with a model's name and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mcutrain.host.places import PROJECT_DIR

PART = re.compile(r"^[ \t]*/\*@ (\w+) \*/\n(.*?)^[ \t]*/\*@ end \*/\n", re.M | re.S)


def template(path: str) -> str:
    return (PROJECT_DIR / path).read_text(encoding="utf-8")


def filled(text: str, words: Mapping[str, object]) -> str:
    """A text with a value for each @word@ in it.

    >>> filled("@a@ and @b@", {"a": 1, "b": "@a@"})
    '1 and @a@'
    """
    return re.sub(r"@(\w+)@", lambda found: str(words[found[1]]), text)


def c_of_model(text: str, name: str, parts: Mapping[str, bool]) -> str:
    """C that was written for a model of the name "model", for another one. Of what stands between
    marks only the parts that are wanted stay.

    >>> c_of_model('#include "model.h"\\nmodel_step(MODEL_CLASSES);', "watch", {})
    '#include "watch.h"\\nwatch_step(WATCH_CLASSES);'
    """
    text = PART.sub(lambda found: found[2] if parts[found[1]] else "", text)
    text = text.replace('"model.h"', f'"{name}.h"')
    text = re.sub(r"\bmodel_(?=\w)", f"{name}_", text)
    return re.sub(r"\bMODEL_(?=\w)", f"{name.upper()}_", text)


def sources() -> list[Path]:
    """The C of a project, but for the boards."""
    return sorted(
        path for path in PROJECT_DIR.rglob("*.[ch]") if not path.name.startswith("board_")
    )
