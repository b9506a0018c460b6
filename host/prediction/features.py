# SPDX-License-Identifier: Apache-2.0
"""What of a node the instructions of its kernels depend on, as numbers: how often a kernel goes
through each of its loops. They follow from the calls' parameters and the tensors' shapes alone."""

from __future__ import annotations

from collections.abc import Mapping

from mcutrain.host.prediction.calls import Executed, Part
from mcutrain.host.prediction.density import Density
from mcutrain.trainer.graph.tensor import Role

Features = dict[str, float]
BUSY = ("mac", "run", "column")  # in which errors that are 0 may be passed over
RAGGED = 4  # a run that is no multiple of so many has a rest


def features(each: Executed, density: Density) -> Features:
    """Of a node, by name; what is 0 is left out:

    - ``call``: calls of its kernels;
    - ``output``, ``input``: elements of its first output, and of what it reads that is no constant;
    - ``channel``: of the last axis of the output;
    - of one with a window: ``position``, its places; ``tap``, what lies of the windows in the
      input, and ``row``, the rows of that; ``column``, taps by input channels; ``run``, rows by
      filters, and ``rest``, those whose run of values ends within a turn of four; ``mac``,
      products, those in the padding left out; ``weight``, of all filters; ``line``, rows of outputs
      by filters, and ``strided``, the products of windows that are not beside each other.

    Of a node that reads errors, ``busy`` ones are those whose errors are not 0, and ``changed`` are
    outputs whose gradient is not, if zeros lie anywhere; ``changed at once`` where the gradient is
    no sum over positions.
    """
    node = each.node
    moving = [t for t in node.inputs if t.role in (Role.INPUT, Role.ACTIVATION)]
    found: dict[str, float] = {
        "call": sum(times for _, times in each.calls),
        "output": node.output.type.size,
        "input": sum(t.type.size for t in moving),
        "channel": node.output.type.shape[-1],
    }
    for params in [call.params for call, _ in each.calls if "kernel_h" in call.params][:1]:
        found |= window_features(params, each.macs)
    if each.part is not Part.FORWARD:
        found |= {f"busy {k}": found[k] * density.errors for k in BUSY if k in found}
        idle = 1 - density.errors * density.activations
        positions = found.get("position", 1)
        found["changed at once" if positions == 1 else "changed"] = found["output"] * (
            1 - idle**positions
        )
    return {name: float(value) for name, value in found.items() if value}


def window_features(p: Mapping[str, int], macs: int) -> dict[str, float]:
    """Of a kernel that moves a window: a convolution or a pool, an error or an update of one."""
    positions, window = p["out_h"] * p["out_w"], p["kernel_h"] * p["kernel_w"]
    rows = inside(p["in_h"], p["out_h"], p["kernel_h"], p["stride_h"], p["pad_top"])
    columns = inside(p["in_w"], p["out_w"], p["kernel_w"], p["stride_w"], p["pad_left"])
    channels = p.get("in_ch", p.get("channels", 1))
    runs = rows * p["out_w"] * p.get("out_ch", 1)
    taps = rows * columns
    products = macs * taps / (positions * window)
    return {
        "position": positions,
        "tap": taps,
        "row": rows * p["out_w"],
        "column": taps * channels,
        "run": runs,
        "rest": runs if p["kernel_w"] * channels % RAGGED else 0,
        "mac": products,
        "weight": macs / positions,
        "line": p["out_h"] * p.get("out_ch", 1),
        "strided": products if p["stride_w"] > 1 else 0,
    }


def inside(size: int, outputs: int, kernel: int, stride: int, pad: int) -> int:
    """Places of the windows of one axis that lie in the input, over all outputs.

    >>> inside(5, 5, 3, 1, 1), inside(5, 5, 1, 1, 0)
    (13, 5)
    """
    begins = (k * stride - pad for k in range(outputs))
    return sum(min(begin + kernel, size) - max(begin, 0) for begin in begins)
