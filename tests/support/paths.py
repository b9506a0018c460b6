# SPDX-License-Identifier: Apache-2.0
"""Where the tests find the project's files, and real models."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
WATCH = ROOT / "examples" / "watch"
GOLDEN = ROOT / "tests" / "golden"
VECTORS = ROOT / "tests" / "vectors"
# In the folder of real models.
MCUNET = "tiny-training/mcunet-5fps_int8.tflite"
MCUNET_49KB = "tiny-training/schemes/mcunet-5fps-49kb.toml"


def models_folder() -> Path | None:
    """The folder of real models: MCUTRAIN_MODELS, or shared/models beside the checkout."""
    places = [os.environ.get("MCUTRAIN_MODELS"), str(ROOT.parent / "shared" / "models")]
    return next((Path(p) for p in places if p and Path(p).is_dir()), None)
