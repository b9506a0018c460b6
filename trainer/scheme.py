# SPDX-License-Identifier: Apache-2.0
"""Sparse update schemes: which layers, input channels and biases learn (Lin et al. 2022)."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor, TensorType
from mcutrain.trainer.model import Model, rebuild
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.weighted import BEYOND_INT8, Weighted
from mcutrain.trainer.options import SPEC_HELP, Scheme

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_scheme(spec: str, model: Model) -> Scheme:
    """The scheme that ``spec`` names for ``model``: see SPEC_HELP. Raises SchemeError."""
    layers = len(model.weighted)
    head = layers - 1
    if spec == "head":
        return whole_layers(spec, range(head, layers))
    if spec == "full":
        return whole_layers(spec, range(layers))
    if spec == "bias":
        return Scheme(spec, {head: 1.0}, frozenset(range(layers)))
    if spec.startswith("last:"):
        count = spec.removeprefix("last:")
        if not count.isdecimal() or not 1 <= int(count) <= layers:
            raise SchemeError(
                f"scheme '{spec}': K must be 1 to {layers}, the weighted layers of {model.name}: "
                f"give last:1 to last:{layers}"
            )
        return whole_layers(spec, range(layers - int(count), layers))
    if spec.endswith(".toml"):
        return read_scheme(Path(spec), model)
    raise SchemeError(f"unknown scheme '{spec}': give {SPEC_HELP}")


def whole_layers(name: str, layers: range) -> Scheme:
    return Scheme(name, dict.fromkeys(layers, 1.0), frozenset(layers))


def read_scheme(path: Path, model: Model) -> Scheme:
    """A scheme file: ``bias_last``, ``biases``, ``head``, a table ``[weights]`` (SPEC 1.5).

    Raises SchemeError.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise SchemeError(
            f"cannot read scheme file {path}: {err.strerror}; give {SPEC_HELP}"
        ) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise SchemeError(f"{path} is not a TOML file: {err}") from err
    unknown = set(table) - {"bias_last", "biases", "head", "weights"}
    if unknown:
        raise SchemeError(
            f"{path}: unknown key '{min(unknown)}'; "
            "a scheme has biases, bias_last, head and [weights]"
        )
    return scheme_of(path, table, model)


def scheme_of(path: Path, table: dict[str, Any], model: Model) -> Scheme:
    last = len(model.weighted) - 1
    bias_last, head, weights = (
        table.get(k, d) for k, d in (("bias_last", 0), ("head", True), ("weights", {}))
    )
    if type(bias_last) is not int or not 0 <= bias_last <= last:
        raise SchemeError(
            f"{path}: bias_last must be 0 to {last}, the layers of {model.name} before the head, "
            f"not {bias_last!r}"
        )
    if type(head) is not bool or not isinstance(weights, dict):
        raise SchemeError(f"{path}: head must be true or false, and [weights] a table")
    ratios: dict[int, float] = {}
    for key, ratio in weights.items():
        layer = layer_of(path, key, model)
        if layer in ratios:
            raise SchemeError(f"{path}: [weights] names layer {layer} twice")
        ratios[layer] = checked_ratio(path, key, ratio)
    biases = set(range(last - bias_last, last)) | single_biases(path, table, model)
    if head:
        if ratios.get(last, 1.0) != 1.0:
            raise SchemeError(f"{path}: the head learns whole; drop its ratio or set head = false")
        ratios[last] = 1.0
        biases.add(last)
    return Scheme(path.stem, {k: r for k, r in sorted(ratios.items()) if r}, frozenset(biases))


def single_biases(path: Path, table: dict[str, Any], model: Model) -> set[int]:
    """The layers that ``biases`` lists, by index or by name."""
    listed = table.get("biases", [])
    if not isinstance(listed, list) or not all(type(k) in (int, str) and k != "" for k in listed):
        raise SchemeError(f"{path}: biases must be a list of layers, by index or name")
    found = [layer_of(path, str(k), model) for k in listed]
    if len(set(found)) < len(found):
        raise SchemeError(f"{path}: biases names a layer twice")
    return set(found)


def scheme_text(scheme: Scheme, layers: int) -> str:
    """A scheme file for a model of ``layers`` weighted layers: ``read_scheme`` gives the scheme.

    Raises SchemeError if the scheme names channels, which a file cannot.
    """
    if scheme.channels:
        raise SchemeError(f"scheme '{scheme.name}' names channels: a scheme file has ratios only")
    last = layers - 1
    head = scheme.ratios.get(last) == 1.0 and last in scheme.biases
    single = {k for k in scheme.biases if not (head and k == last)}
    bias_last = 0
    while bias_last < last and last - 1 - bias_last in single:
        bias_last += 1
    single -= set(range(last - bias_last, last))
    lines = [f"bias_last = {bias_last}"]
    if single:
        lines.append(f"biases = {sorted(single)}")
    lines += [f"head = {'true' if head else 'false'}", "", "[weights]"]
    weights = sorted(scheme.ratios.items())
    lines += [f"{k} = {ratio!r}" for k, ratio in weights if not (head and k == last)]
    return "\n".join(lines) + "\n"


def layer_of(path: Path, key: str, model: Model) -> int:
    """The weighted layer that ``key`` names: an index, or a tensor's name in the model file."""
    layers = model.weighted
    if key.isdecimal():
        if int(key) < len(layers):
            return int(key)
        raise SchemeError(
            f"{path}: layer {key} is beyond the {len(layers)} weighted layers of {model.name}"
        )
    for k, node in enumerate(layers):
        if key in {t.label for t in (node.inputs[1], node.output)} | {node.name}:
            return k
    raise SchemeError(
        f"{path}: {model.name} has no weighted layer '{key}'; `mcutrain inspect` lists them"
    )


def checked_ratio(path: Path, key: str, ratio: object) -> float:
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise SchemeError(f"{path}: the ratio of layer {key} must be 0 to 1, not {ratio!r}")
    return float(ratio)


def learned_channels(node: Node, ratio: float) -> tuple[int, ...]:
    """The input channels of a layer with the greatest L2 norm, ascending (SPEC 1.5)."""
    assert isinstance(node.op, Weighted)
    score = node.op.channel_scores(node.inputs[0].type, node.inputs[1])
    count = math.floor(ratio * score.size + 0.5)
    return tuple(sorted(int(c) for c in np.argsort(-score, kind="stable")[:count]))


def apply_scheme(model: Model, scheme: Scheme) -> Model:
    """The model with learned tensors as PARAM; layers learned in part are split.

    Raises SchemeError if nothing would learn.
    """
    layer_index = {node: k for k, node in enumerate(model.weighted)}

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node not in layer_index:
            return None
        layer = layer_index[node]
        assert isinstance(node.op, Weighted)
        ratio = scheme.ratios.get(layer, 0.0)
        in_ch = node.op.geometry(node.inputs[0].type, node.inputs[1].type).in_ch
        channels = scheme.channels.get(layer) or learned_channels(node, ratio)
        if list(channels) != sorted({c for c in channels if 0 <= c < in_ch}):
            raise SchemeError(
                f"scheme '{scheme.name}' names channels of layer {layer} ({node.name}) that are "
                f"not ascending numbers below its {in_ch} input channels"
            )
        if ratio and not channels:
            raise SchemeError(
                f"the ratio {ratio} of layer {layer} ({node.name}) rounds to none of its {in_ch} "
                "input channels: give 0 or more"
            )
        if node.op.has_two_parts:
            return add_beyond(graph, node, inputs, scheme, layer)
        is_whole = len(channels) == in_ch
        inputs = learned_inputs(inputs, is_whole, layer in scheme.biases)
        if channels and not is_whole and not node.op.learns_in_part:
            raise SchemeError(
                f"layer {layer} ({node.name}) has groups of channels and learns whole: give it the "
                f"ratio 1 or 0, not {len(channels)} of its {in_ch} input channels"
            )
        if channels and not is_whole:
            return add_split(graph, node, inputs, channels)
        return graph.add(node.op, *inputs, name=node.name, index=node.index)

    changed = rebuild(model, change)
    if not any(t.role is Role.PARAM for t in changed.graph.tensors):
        raise SchemeError(
            f"scheme '{scheme.name}' lets nothing learn; name a layer, or head = true"
        )
    require_gradients(changed, scheme)
    return changed


def add_beyond(
    graph: Graph, node: Node, inputs: tuple[Tensor, ...], scheme: Scheme, layer: int
) -> tuple[Tensor, ...]:
    """Append a layer of which some weights are beyond int8, in two parts (trainer.tflite.unsigned).
    Its bias may learn. Raises SchemeError if its weights are to."""
    assert isinstance(node.op, Weighted)
    if scheme.ratios.get(layer):
        raise SchemeError(
            f"scheme '{scheme.name}' lets layer {layer} ({node.name}) learn, but {BEYOND_INT8}: "
            "leave it out, or give --classes N for a new head and train "
            "that (--update head)"
        )
    has_bias = node.op.has_bias and layer in scheme.biases
    inputs = learned_inputs(inputs, False, has_bias)
    return graph.add(node.op, *inputs, name=node.name, index=node.index)


def require_gradients(model: Model, scheme: Scheme) -> None:
    """Raises SchemeError if something learns before an operator that has no gradient."""
    learned: dict[Tensor, Node] = {}  # the first learned layer that a tensor depends on
    for node in model.graph.nodes:
        is_learned = any(t.role is Role.PARAM for t in node.inputs)
        before = next((learned[t] for t in node.inputs if t in learned), None)
        if before is not None and node.op.is_frozen:
            raise SchemeError(
                f"scheme '{scheme.name}' lets {before.name} learn, and {node.name} "
                f"({node.op.tflite_name}) behind it has no gradient: {learnable_text(model)}"
            )
        if before is not None or is_learned:
            learned.update(dict.fromkeys(node.outputs, before or node))


def learnable_layers(model: Model) -> list[int]:
    """The layers with weights that lie before no operator without a gradient."""
    leads: set[Tensor] = set()  # to such an operator
    for node in reversed(model.graph.nodes):
        if node.op.is_frozen or leads.intersection(node.outputs):
            leads.update(node.inputs)
    return [k for k, node in enumerate(model.weighted) if node.output not in leads]


def learnable_text(model: Model) -> str:
    """What to give instead of a scheme that asks for too much."""
    layers, count = set(learnable_layers(model)), 0
    while len(model.weighted) - 1 - count in layers:
        count += 1
    if not count:
        return f"nothing behind it in {model.name} can learn"
    return f"give head, or last:K with K up to {count}, the layers behind it"


def learned_inputs(
    inputs: tuple[Tensor, ...], has_weights: bool, has_bias: bool
) -> tuple[Tensor, ...]:
    """A layer's inputs with its weights and its bias turned to PARAM where they learn."""
    changed = list(inputs)
    for position, learns in ((1, has_weights), (2, has_bias)):
        if learns and position < len(inputs):
            changed[position] = replace(inputs[position], role=Role.PARAM)
    return tuple(changed)


def add_split(
    graph: Graph, node: Node, inputs: tuple[Tensor, ...], channels: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Append a layer whose ``channels`` learn in RAM and whose others stay in flash."""
    x, w, *bias = inputs
    assert w.data is not None and w.type.quant is not None and isinstance(node.op, Weighted)
    op = replace(node.op, channels=channels)
    columns = list(op.columns(x.type, w.type))
    frozen, learned = w.data.copy(), w.data[..., columns]
    frozen[..., columns] = 0
    quant = w.type.quant
    if quant.axis == len(w.type.shape) - 1 and len(quant.scales) > 1:
        quant = replace(quant, scales=tuple(quant.scales[c] for c in columns))
    type_ = TensorType(learned.shape, w.type.dtype, quant)
    w_l = Tensor(f"{w.name}_learned", type_, Role.PARAM, learned, w.label)
    in_ch = op.geometry(x.type, w.type).in_ch
    (x_l,) = graph.add(GatherChannels(channels, in_ch), x, name=f"{node.name}_x", index=node.index)
    inputs = (x, replace(w, data=frozen), *bias, x_l, w_l)
    return graph.add(op, *inputs, name=node.name, index=node.index)
