# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def models_folder() -> Path | None:
    """The folder of real models: MCUTRAIN_MODELS, or shared/models beside the checkout."""
    places = [os.environ.get("MCUTRAIN_MODELS"), str(ROOT.parent / "shared" / "models")]
    return next((Path(p) for p in places if p and Path(p).is_dir()), None)


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models; tests that need it are skipped without."""
    folder = models_folder()
    if folder is None:
        pytest.skip("no real models: set MCUTRAIN_MODELS to their folder")
    return folder
