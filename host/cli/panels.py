# SPDX-License-Identifier: Apache-2.0
"""The panels that a help page sorts options and commands into, and which options are common.

A panel stands where its option is declared: in typer's ``rich_help_panel``, or in the metadata of
a field of PlanOptions. Imported for every help page: nothing here may import NumPy.
"""

from __future__ import annotations

from mcutrain.trainer.options import FORMATS, LEARNS, PLACEMENT

DATA, DURATION, TARGET = "Data", "How long, and at which rate", "Target"
GUARD, LATENTS, SEARCH = "Guard", "Latents and replay", "Search"
OUTPUT, GENERAL = "Output", "Every command"
# In the order of a page.
OPTION_PANELS = (
    LEARNS, DATA, SEARCH, TARGET, DURATION, GUARD, FORMATS, PLACEMENT, LATENTS, OUTPUT, GENERAL,
)  # fmt: skip

START, TRAIN, DEPLOY, TOOLS = "Start here", "Train", "Deploy", "Tools"
COMMAND_PANELS = (START, TRAIN, DEPLOY, TOOLS)


class Common:
    """Stands in the annotation of a parameter that is on the short page of help, too."""


COMMON = Common()
