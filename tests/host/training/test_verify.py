# SPDX-License-Identifier: Apache-2.0
"""A fault in one kernel is found in the first step it touches, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.building.firmware import generate
from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.loop import TrainingOptions, train
from mcutrain.host.training.runners import DeviceRunner
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.fake_model.build import build_patched
from tests.support.small_models import residual_model, write_dataset

FAULTS = {
    "a rounding of the weight update": (
        "kernels/sgd.h", "(m + 128) >> 8", "(m + 127) >> 8", "Conv2DUpdate",
    ),
    "the bias's dither": (
        "kernels/sgd.c", "mct_dither(seed, (uint32_t)c)", "mct_dither(seed, (uint32_t)c + 1u)",
        "BiasUpdate",
    ),
    "a clamp of an input gradient": (
        "kernels/error.c", "mct_is_open(mask, k) ? dout", "mct_is_open(mask, k / 2) ? dout",
        "MaskError",
    ),
    "the depthwise gradient's rows of taps": (
        "kernels/depthwise_conv2d.c", "found = {down.count,",
        "found = {down.count - (x == 2 && down.count > 1),", "DepthwiseConv2DGradInput",
    ),
    "the forward pass": (
        "kernels/add.c", "sum, p->out_offset)", "sum, p->out_offset + (k == 17))", "Add",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_kernel_is_found_and_named(fault: str, ahead: bool, tmp_path: Path) -> None:
    file, right, wrong, operation = FAULTS[fault]
    plan = make_plan(parse(residual_model(), "small"), PlanOptions("full", receive_ahead=ahead))
    data = load_dataset(write_dataset(tmp_path / "data.npz"), plan)
    generate(plan, tmp_path / "gen", "native")
    elf = build_patched(tmp_path / "gen", tmp_path, file, right, wrong)

    with simulate("native", elf) as port:
        device = Device.open(SerialTransport(port), None, plan.numerics_hash)
        runner = DeviceRunner(device, plan)
        options = TrainingOptions(epochs=4, rate=2**-5, verify=True)
        result = train(plan, data, runner, options, lambda progress: None)
        device.close()

    assert result.difference is not None
    assert result.difference.operation == operation
    assert result.difference.reproduced
    assert result.difference.device != result.difference.reference
    assert result.verified_steps == result.difference.step
    assert not result.bit_exact
