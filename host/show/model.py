# SPDX-License-Identifier: Apache-2.0
"""A model's input and layers as rows, which ``inspect`` shows."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcutrain.trainer.errors import Obstacle
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import Weighted


def quant(params: QuantParams | None) -> str:
    if params is None:
        return ""
    scales = params.scales
    text = f"{scales[0]:.3g}" if len(scales) == 1 else f"{len(scales)} scales"
    return f"{text}, {params.zero_point}"


def input_row(model: Model) -> dict[str, Any]:
    """The model's input: its samples' shape, and real = scale * (int8 - zero_point)."""
    source = model.input.type
    return {
        "name": model.input.label,
        "shape": list(source.shape),
        "scale": source.scale,
        "zero_point": source.zero_point,
        "real_range": [source.scale * (q - source.zero_point) for q in (-128, 127)],
    }


def model_rows(model: Model) -> list[dict[str, Any]]:
    """One row per operator, for `inspect`."""
    layer_of = {node: k for k, node in enumerate(model.weighted)}
    rows = []
    for node in model.graph.nodes:
        params = [t for t in node.inputs if t.data is not None]
        rows.append(
            {
                "operator": node.index,
                "kind": type(node.op).__name__,
                "name": node.output.label,
                "layer": layer_of.get(node),
                "output": list(node.output.type.shape),
                "quantisation": quant(node.output.type.quant),
                "macs": node.op.macs(node),
                "bytes": sum(t.type.nbytes for t in params),
                "trainable": trainable(node),
            }
        )
    return rows


def obstacle_rows(obstacles: tuple[Obstacle, ...]) -> list[dict[str, Any]]:
    """One row per obstacle of a file that cannot be read, for `inspect`."""
    return [asdict(obstacle) for obstacle in obstacles]


def section_row(path: Path, part: Model) -> dict[str, Any]:
    """The part of a file that can be trained, where all of it cannot, and how to ask for it."""
    return {
        "from": part.section.start,
        "to": part.section.end,
        "operators": len(part.graph.nodes),
        "layers": len(part.weighted),
        "input": list(part.input.type.shape),
        "command": f"mcutrain plan {shlex.quote(str(path))} {part.section.arguments}",
    }


def trainable(node: Node) -> str:
    """What of a node can learn, or why nothing can."""
    if not isinstance(node.op, Weighted):
        return "no weights"
    if reason := node.op.why_frozen(node):
        return f"no: {reason}"
    text = "yes" if node.op.has_bias else "yes, no bias"
    if node.op.dead:
        text += f", dead channels {len(node.op.dead)}"
    if reason := node.op.why_none_before(node):
        text += f"; {reason}"
    return text
