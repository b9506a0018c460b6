# SPDX-License-Identifier: Apache-2.0
"""What is counted: models with the scheme that each learns by, and cores with their boards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.data.models import model_file
from benchmarks.instructions.four_bits import in_range
from benchmarks.places import BUILD, ROOT
from mcutrain.host.boards import board_names
from mcutrain.host.files import write_whole
from mcutrain.host.request import Request


@dataclass(frozen=True)
class Subject:
    """A model, by its path in the checkout or among the real models, and how it learns."""

    path: str
    update: str
    options: dict[str, Any] = field(default_factory=dict)
    is_int4: bool = False  # four bits of each weight are left, for what their kernels take

    def request(self) -> Request:
        """Raises DataUnavailable."""
        inside = ROOT / self.path
        path = inside if inside.is_file() else model_file(self.path)
        if self.is_int4:
            small = BUILD / "int4" / path.name
            write_whole(small, in_range(path.read_bytes()))
            path = small
        is_file = self.update.endswith(".toml")
        update = str(path.parent / "schemes" / self.update) if is_file else self.update
        return Request.of(path, update, **self.options)


INT4 = {"frozen": "int4"}
UNSCALED = {"precondition": "off"}
SUBJECTS = {
    "watch": Subject("examples/watch/watch.tflite", "last:2"),
    "kws": Subject("mlperf-tiny/kws_ref_model.tflite", "last:2"),
    "resnet8": Subject("mlperf-tiny/pretrainedResnet_quant.tflite", "last:4"),
    "vww": Subject("mlperf-tiny/vww_96_int8.tflite", "head"),
    "person_detect": Subject("tflite-micro/person_detect.tflite", "last:2"),
    "ad01": Subject("mlperf-tiny/ad01_int8.tflite", "full", {"loss": "reconstruction"}),
    "mcunet-5fps": Subject(
        "tiny-training/mcunet-5fps_int8.tflite", "mcunet-5fps-49kb.toml", {"classes": 10}
    ),
}
# Beside those, what has other kernels: predictions are fitted to these, too.
MORE = {
    "watch, full, e12": Subject("examples/watch/watch.tflite", "full"),
    "watch, full": Subject("examples/watch/watch.tflite", "full", {"errors": "e8"}),
    "kws, last:4": Subject("mlperf-tiny/kws_ref_model.tflite", "last:4"),
    "watch, int4": Subject("examples/watch/watch.tflite", "last:2", INT4, True),
    "kws, int4": Subject("mlperf-tiny/kws_ref_model.tflite", "head", INT4, True),
    "resnet8, int4": Subject("mlperf-tiny/pretrainedResnet_quant.tflite", "head", INT4, True),
    "ad01, int4": Subject(
        "mlperf-tiny/ad01_int8.tflite", "head", INT4 | {"loss": "reconstruction"}, True
    ),
    "resnet8, bias": Subject("mlperf-tiny/pretrainedResnet_quant.tflite", "bias", {"errors": "e8"}),
    "watch, plain": Subject("examples/watch/watch.tflite", "last:2", UNSCALED),
    "watch, full, plain": Subject("examples/watch/watch.tflite", "full", UNSCALED),
    "watch, e8, plain": Subject("examples/watch/watch.tflite", "full", {"errors": "e8"} | UNSCALED),
    "kws, plain": Subject("mlperf-tiny/kws_ref_model.tflite", "last:4", UNSCALED),
    "resnet8, plain": Subject("mlperf-tiny/pretrainedResnet_quant.tflite", "last:2", UNSCALED),
    "mcunet-5fps, plain": Subject(
        "tiny-training/mcunet-5fps_int8.tflite",
        "mcunet-5fps-49kb.toml",
        {"classes": 10} | UNSCALED,
    ),
}
# The boards of each core: the first on which a model fits. Some may not be there.
CORES = {
    "Cortex-M0": ("microbit", "mps2_an385_m0"),
    "Cortex-M3": ("mps2_an385",),
    "Cortex-M4": ("mps2_an386",),
    "Cortex-M7": ("mps2_an500",),
    "Cortex-M33": ("mps2_an505",),
    "Cortex-M55": ("mps3_an547",),
    "RV32IMC": ("sifive_e", "rv32_virt"),
}


def boards(core: str) -> list[str]:
    """Those of a core that are there."""
    return [board for board in CORES[core] if board in board_names()]
