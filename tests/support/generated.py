# SPDX-License-Identifier: Apache-2.0
"""Plans that between them print every kind of generated C: small models and real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.trainer.chip import Chip, Memory
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.latent import FlashLatents
from mcutrain.trainer.options import PIXELWISE, PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.latent_slots import with_slots
from tests.support.random_blocks import random_blocks
from tests.support.random_models import random_model
from tests.support.random_trunks import random_trunk
from tests.support.segmentation import segmenter
from tests.support.small_models import CLASSES, residual_model

LONG_NAME = "a_model_with_a_name_of_36_characters"
MCUNET_SCHEME = "tiny-training/schemes/mcunet-5fps-49kb.toml"


def small(update: str = "full", name: str = "small", **options: Any) -> TrainingPlan:
    return make_plan(parse(residual_model(), name), PlanOptions(update, **options))


def with_flash(plan: TrainingPlan, count: int = 3) -> TrainingPlan:
    """With latents of random samples in flash."""
    x = np.random.default_rng(4).integers(-128, 128, (count, *plan.task.input.type.shape))
    samples = x.astype(np.int8)
    reference = Interpreter(plan)
    latents = np.stack([reference.latent_of(sample).reshape(-1) for sample in samples])
    labels = np.arange(count, dtype=np.uint16) % CLASSES
    return plan.with_flash_latents(FlashLatents(samples.reshape(count, -1), latents, labels))


SMALL: dict[str, Callable[[], TrainingPlan]] = {
    "full": small,
    "head": lambda: small("head"),
    "long": lambda: small("full", LONG_NAME),
    "recompute": lambda: make_plan(
        parse(random_trunk(8), "small"), PlanOptions("full", recompute=True)
    ),
    "stream": lambda: small("head", stream_input=True),
    "stream-latent": lambda: with_slots(small("last:2", stream_input=True), 2),
    "stream-flash": lambda: with_flash(with_slots(small("head", stream_input=True), 1)),
    "stream-mse": lambda: small("last:2", stream_input=True, loss="mse"),
    "ahead": lambda: small("full", receive_ahead=True),
    "ahead-latent": lambda: with_slots(small("last:2", receive_ahead=True), 3),
    "ahead-mse": lambda: small("head", receive_ahead=True, loss="mse"),
    "ahead-long": lambda: with_flash(
        with_slots(small("head", LONG_NAME, receive_ahead=True), 2)
    ),
    "latents": lambda: with_slots(small("last:2"), 4),
    "flash": lambda: with_flash(small("head")),
    "flash-one": lambda: with_flash(with_slots(small("head"), 1), 1),
    "mse": lambda: small("full", loss="mse"),
    "mse-latents": lambda: with_slots(small("head", loss="mse"), 2),
    "spare": lambda: small("head", classes=3, spare_classes=2),
    "absent": lambda: small("head", absent="keep"),
    "spare-latents": lambda: with_slots(small("head", classes=3, spare_classes=2), 2),
    "formats": lambda: small("full", errors="e8", accumulate=3),
    "enrol-sums": lambda: with_slots(small("head", accumulate=3), 2),
    "whole": lambda: small("full", weights="int8"),
    "chain": lambda: with_slots(small("last:2", chain=True, record_entries=2), 2),
    "stream-chain": lambda: small("head", LONG_NAME, chain=True, stream_input=True),
    "groups": lambda: make_plan(parse(random_blocks(2)[0], "small"), PlanOptions("last:3")),
    "sums": lambda: make_plan(parse(random_trunk(2), "small"), PlanOptions("full")),
    "sequence": lambda: make_plan(
        parse(random_model("READ_VARIABLE", 0), "small"), PlanOptions("head", sequence_length=3)
    ),
    "label-maps": lambda: make_plan(
        parse(segmenter(), "small"), PlanOptions("head", loss=PIXELWISE)
    ),
    "memories": lambda: small("full").on(
        Chip("two memories", ram_bytes=704, beside=(Memory("blockram", 2000, 2.0),))
    ),
}  # fmt: skip

REAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "kws": ("mlperf-tiny/kws_ref_model.tflite", "head", {"stream_input": True}),
    "anomaly": ("mlperf-tiny/ad01_int8.tflite", "full", {"loss": "reconstruction"}),
    "resnet8": ("mlperf-tiny/pretrainedResnet_quant.tflite", "last:4", {"receive_ahead": True}),
    "person": ("tflite-micro/person_detect.tflite", "last:6", {"recompute": True}),
    "mcunet": ("tiny-training/mcunet-5fps_int8.tflite", MCUNET_SCHEME,
               {"classes": 10, "stream_input": True}),
}  # fmt: skip


def real(name: str, folder: Path) -> TrainingPlan:
    """The plan of a model of REAL in the folder of real models."""
    file, update, options = REAL[name]
    scheme = str(folder / update) if update.endswith(".toml") else update
    return make_plan(load(folder / file), PlanOptions(scheme, **options), thorough=False)
