# SPDX-License-Identifier: Apache-2.0
"""Update schemes: what each names, which channels a ratio picks, and what is refused."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError, SchemeError
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import (
    Array,
    DType,
    QuantParams,
    Role,
    Tensor,
    TensorType,
    constant,
)
from mcutrain.trainer.model import Model, with_new_head, with_spare_rows
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.gather_channels import GatherChannels
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.scheme import apply_scheme, learned_channels, parse_scheme
from mcutrain.trainer.tflite.reader import parse
from tests.support.small_models import residual_model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LAYERS = 4  # of the residual model: stem, depthwise, pointwise, head


@pytest.fixture(scope="module")
def model() -> Model:
    return parse(residual_model(), "small")


def from_text(model: Model, folder: Path, text: str) -> Scheme:
    path = folder / "scheme.toml"
    path.write_text(text)
    return parse_scheme(str(path), model)


ALL = frozenset(range(LAYERS))


@pytest.mark.parametrize(
    ("spec", "ratios", "biases"),
    [
        ("head", {3: 1.0}, {3}),
        ("last:1", {3: 1.0}, {3}),
        ("last:2", {2: 1.0, 3: 1.0}, {2, 3}),
        ("last:4", dict.fromkeys(range(4), 1.0), ALL),
        ("full", dict.fromkeys(range(4), 1.0), ALL),
        ("bias", {3: 1.0}, ALL),
    ],
)
def test_named_schemes(model: Model, spec: str, ratios: dict[int, float], biases: set[int]) -> None:
    scheme = parse_scheme(spec, model)

    assert (scheme.name, scheme.ratios, scheme.biases) == (spec, ratios, biases)


@pytest.mark.parametrize(
    ("text", "ratios", "biases"),
    [
        ("", {3: 1.0}, {3}),
        ("head = true", {3: 1.0}, {3}),
        ("bias_last = 2", {3: 1.0}, {1, 2, 3}),
        ("bias_last = 3\nhead = false", {}, {0, 1, 2}),
        ("head = false\n[weights]\n1 = 0.5", {1: 0.5}, set()),
        ("[weights]\n0 = 1\n2 = 0.25", {0: 1.0, 2: 0.25, 3: 1.0}, {3}),
        ("[weights]\n0 = 0.0", {3: 1.0}, {3}),
        ("[weights]\n3 = 1.0", {3: 1.0}, {3}),
        ("head = false\n[weights]\n3 = 0.5", {3: 0.5}, set()),
        # By name: of the weights, of the output, or the layer's own.
        ("[weights]\ndw_w = 0.5\nstem = 1", {0: 1.0, 1: 0.5, 3: 1.0}, {3}),
        ("[weights]\nconv_2d_2 = 0.75", {2: 0.75, 3: 1.0}, {3}),
    ],
)
def test_scheme_files(
    model: Model, tmp_path: Path, text: str, ratios: dict[int, float], biases: set[int]
) -> None:
    scheme = from_text(model, tmp_path, text)

    assert (scheme.name, scheme.ratios, scheme.biases) == ("scheme", ratios, biases)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", ["unknown scheme ''", "last:K"]),
        ("tail", ["unknown scheme 'tail'", "head", "full", ".toml"]),
        ("last:0", ["last:0", "1 to 4", "small"]),
        ("last:5", ["last:5", "1 to 4"]),
        ("last:", ["last:", "1 to 4"]),
        ("last:-1", ["1 to 4"]),
        ("last:2.0", ["1 to 4"]),
        ("gone.toml", ["gone.toml", "No such file"]),
    ],
)
def test_a_scheme_that_cannot_be_named_is_refused(
    model: Model, spec: str, words: list[str]
) -> None:
    with pytest.raises(SchemeError) as caught:
        parse_scheme(spec, model)

    check_message(str(caught.value), words)


def check_message(message: str, words: list[str]) -> None:
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bias_last = ", ["not a TOML file"]),
        ("[weights]\n0 = 0.5\n0 = 0.6", ["not a TOML file"]),
        ("layers = 3", ["unknown key 'layers'", "bias_last, head and [weights]"]),
        ("bias_last = 4", ["bias_last must be 0 to 3", "not 4"]),
        ("bias_last = -1", ["bias_last must be 0 to 3", "not -1"]),
        ("bias_last = 1.5", ["bias_last", "1.5"]),
        ("bias_last = true", ["bias_last", "True"]),
        ("head = 1", ["head must be true or false"]),
        ("weights = 3", ["[weights] a table"]),
        ("[weights]\n4 = 0.5", ["layer 4", "4 weighted layers"]),
        ("[weights]\nnowhere = 0.5", ["no weighted layer 'nowhere'", "inspect"]),
        ("[weights]\n-1 = 0.5", ["'-1'"]),
        ("[weights]\n0 = 1.5", ["layer 0", "0 to 1", "1.5"]),
        ("[weights]\n0 = -0.1", ["layer 0", "0 to 1"]),
        ("[weights]\n0 = nan", ["layer 0", "0 to 1", "nan"]),
        ("[weights]\n0 = inf", ["layer 0", "0 to 1"]),
        ("[weights]\n0 = true", ["layer 0", "0 to 1", "True"]),
        ('[weights]\n0 = "half"', ["layer 0", "0 to 1", "half"]),
        ("[weights.0]\nratio = 0.5", ["layer 0", "0 to 1"]),
        ("[weights]\n1 = 0.5\ndw_w = 0.5", ["layer 1 twice"]),
        ("[weights]\n3 = 0.5", ["head learns whole"]),
    ],
)
def test_a_scheme_file_that_does_not_fit_is_refused(
    model: Model, tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(SchemeError) as caught:
        from_text(model, tmp_path, text)

    check_message(str(caught.value), [*words, "scheme.toml"])


def test_a_scheme_file_of_bytes_that_are_no_text_is_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "scheme.toml"
    path.write_bytes(b"\xff\xfe\x00head")
    with pytest.raises(SchemeError, match="not a TOML file"):
        parse_scheme(str(path), model)


def test_a_ratio_that_rounds_to_no_channel_is_refused(model: Model, tmp_path: Path) -> None:
    scheme = from_text(model, tmp_path, "[weights]\n1 = 0.01")
    with pytest.raises(SchemeError, match="rounds to none of its 8 input channels"):
        apply_scheme(model, scheme)


def test_a_ratio_that_rounds_to_all_channels_is_no_split(model: Model, tmp_path: Path) -> None:
    almost = apply_scheme(model, from_text(model, tmp_path, "[weights]\n1 = 0.99"))
    whole = apply_scheme(model, from_text(model, tmp_path, "[weights]\n1 = 1"))

    assert str(almost.graph) == str(whole.graph)


def test_a_new_head_must_learn(model: Model, tmp_path: Path) -> None:
    frozen = from_text(model, tmp_path, "head = false\nbias_last = 2")
    with pytest.raises(SchemeError, match="does not train the new outputs of the head"):
        make_plan(model, PlanOptions(frozen, 5))


def test_a_scheme_that_learns_nothing_is_refused(model: Model, tmp_path: Path) -> None:
    scheme = from_text(model, tmp_path, "head = false")
    with pytest.raises(SchemeError, match=r"scheme 'scheme' .*nothing"):
        make_plan(model, PlanOptions(scheme))


def learned(model: Model, scheme: Scheme) -> list[tuple[str, tuple[int, ...]]]:
    graph = apply_scheme(model, scheme).graph
    return [(t.name, t.type.shape) for t in graph.tensors if t.role is Role.PARAM]


def test_a_ratio_makes_a_compact_learned_tensor_and_leaves_the_rest_frozen(model: Model) -> None:
    changed = apply_scheme(model, Scheme("s", {0: 0.7, 1: 0.5}, frozenset({0})))
    gather, stem = changed.graph.nodes[:2]
    assert isinstance(gather.op, GatherChannels)
    assert isinstance(stem.op, Conv2D)
    w, w_l = stem.inputs[1], stem.inputs[-1]
    old = model.graph.nodes[0].inputs[1].data
    assert old is not None and w.data is not None and w_l.data is not None
    channels = list(stem.op.channels or ())

    assert len(channels) == 2  # floor(0.7 * 3 + 0.5)
    assert (w.role, w_l.role, stem.inputs[2].role) == (Role.CONST, Role.PARAM, Role.PARAM)
    assert w_l.type.shape == (8, 3, 3, 2)
    np.testing.assert_array_equal(w_l.data, old[..., channels])
    np.testing.assert_array_equal(w.data[..., channels], 0)
    rest = [c for c in range(3) if c not in channels]
    np.testing.assert_array_equal(w.data[..., rest], old[..., rest])
    assert learned(model, Scheme("s", {1: 0.5})) == [
        ("depthwise_conv_2d_1_w_learned", (1, 3, 3, 4))
    ]


def test_a_model_is_not_changed_by_its_scheme(model: Model) -> None:
    before = [t.data.copy() for t in model.graph.tensors if t.data is not None]
    make_plan(model, PlanOptions(Scheme("s", {0: 0.5, 1: 0.5, 2: 1.0}, frozenset(range(4)))))
    after = [t.data for t in model.graph.tensors if t.data is not None]

    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert all(t.role is not Role.PARAM for t in model.graph.tensors)


def test_a_split_layer_computes_what_the_whole_one_did(model: Model) -> None:
    rng = np.random.RandomState(0)
    x = rng.randint(-128, 128, model.input.type.shape).astype(np.int8)

    def logits(m: Model) -> Array:
        values = {t: t.data for t in m.graph.tensors if t.data is not None} | {m.input: x}
        for node in m.graph.nodes:
            (values[node.output],) = node.op.reference(node, *(values[t] for t in node.inputs))
        return np.asarray(values[m.logits])

    split = apply_scheme(model, Scheme("s", {0: 0.5, 1: 0.6, 2: 0.3, 3: 0.25}))
    np.testing.assert_array_equal(logits(split), logits(model))


def one_layer(kind: type[Weighted], w: Array, scales: tuple[float, ...], in_ch: int) -> Graph:
    graph = Graph()
    x = Tensor("x", TensorType((1, 4, 4, in_ch), DType.S8, QuantParams((0.1,))), Role.INPUT)
    axis = kind.out_axis
    weights = constant("w", w, QuantParams(scales, 0, axis if len(scales) > 1 else None))
    out = w.shape[axis]
    if kind is FullyConnected:
        op = kind(QuantParams((0.1,)), (16 * in_ch // w.shape[1], out), has_bias=False)
    else:
        op = kind(QuantParams((0.1,)), (1, 4, 4, out), has_bias=False)
    graph.add(op, x, weights, name="y", index=0)
    return graph


def exact_scores(
    w: Array, scales: tuple[float, ...], per_input: list[list[int]], axis: int
) -> list[int]:
    """sum_o round(2**16 (s / max s)**2) sum w**2 of each input channel, in Python's integers."""
    factor = [int(Fraction(s / max(scales)) ** 2 * 2**16 + Fraction(1, 2)) for s in scales]
    factor = factor * (w.shape[axis] if len(factor) == 1 else 1)
    found = []
    for columns in per_input:
        total = 0
        for index in np.ndindex(w.shape):
            if index[-1] in columns:
                total += factor[index[axis]] * int(w[index]) ** 2
        found.append(total)
    return found


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.62, 0.9])
@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, FullyConnected])
def test_the_channels_of_greatest_norm_learn(kind: type[Weighted], ratio: float) -> None:
    rng = np.random.RandomState(int(ratio * 100))
    in_ch, multiplier = 6, 2
    shapes = {Conv2D: (5, 1, 1, 6), DepthwiseConv2D: (1, 1, 1, 12), FullyConnected: (5, 6)}
    w = rng.randint(-127, 128, shapes[kind]).astype(np.int8)
    scales = tuple(float(np.float32(s)) for s in rng.uniform(0.001, 0.03, w.shape[kind.out_axis]))
    columns = [[c] for c in range(in_ch)]
    if kind is DepthwiseConv2D:
        columns = [[c * multiplier, c * multiplier + 1] for c in range(in_ch)]
    scores = exact_scores(w, scales, columns, kind.out_axis)
    count = int(ratio * in_ch + 0.5)
    expected = sorted(range(in_ch), key=lambda c: (-scores[c], c))[:count]

    (node,) = one_layer(kind, w, scales, in_ch).nodes
    assert learned_channels(node, ratio) == tuple(sorted(expected))


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, FullyConnected])
def test_ties_go_to_the_lower_channel(kind: type[Weighted]) -> None:
    shapes = {Conv2D: (3, 1, 1, 8), DepthwiseConv2D: (1, 1, 1, 8), FullyConnected: (3, 8)}
    w = np.full(shapes[kind], -7, np.int8)
    w[..., 5] = 9
    (node,) = one_layer(kind, w, (0.01,), 8).nodes

    assert learned_channels(node, 0.5) == (0, 1, 2, 5)


@pytest.mark.parametrize(
    ("ratio", "count"), [(0.0624, 0), (0.0625, 1), (0.1874, 1), (0.1875, 2), (0.99, 8), (1.0, 8)]
)
def test_a_ratio_rounds_half_up(ratio: float, count: int) -> None:
    (node,) = one_layer(Conv2D, np.ones((3, 1, 1, 8), np.int8), (0.01,), 8).nodes

    assert len(learned_channels(node, ratio)) == count


@pytest.mark.parametrize("classes", [2, 3, 17, 300])
def test_a_new_head_has_its_classes_and_starts_at_zero(model: Model, classes: int) -> None:
    changed = with_new_head(model, classes)
    head = changed.weighted[-1]
    _, w, b = head.inputs

    assert changed.classes == changed.output.type.shape[-1] == classes
    assert w.type.shape == (classes, 8)
    assert w.type.quant == QuantParams((float(np.float32(2 / 127)),))
    assert changed.logits.type.quant == QuantParams((0.25,), 0)
    assert not w.data.any() and not b.data.any()  # type: ignore[union-attr]
    assert model.classes == 4


def test_spare_rows_have_the_greatest_scale_of_the_old_ones() -> None:
    graph = one_layer(Conv2D, np.ones((3, 1, 1, 8), np.int8), (0.01, 0.03, 0.02), 8)
    (node,) = graph.nodes
    model = Model("m", graph, node.inputs[0], node.output, node.output)

    w = with_spare_rows(model, 2).weighted[-1].inputs[1]
    assert w.type.quant == QuantParams((0.01, 0.03, 0.02, 0.03, 0.03), 0, 0)
    assert w.data is not None and w.data[:3].all() and not w.data[3:].any()


@pytest.mark.parametrize("classes", [-1, 0, 65536])
def test_a_head_of_no_sensible_size_is_refused(model: Model, classes: int) -> None:
    with pytest.raises(ModelError, match=f"1 to 65535 classes, not {classes}"):
        with_new_head(model, classes)


def test_the_papers_scheme_files_are_schemes(models: Path) -> None:
    """Their model needs operators that are not there yet: its 43 layers stand in for it."""
    paths = sorted((models / "tiny-training" / "schemes").glob("*.toml"))
    assert paths
    for path in paths:
        table = tomllib.loads(path.read_text())
        layers = many_layers(43)
        scheme = parse_scheme(str(path), layers)
        head = len(layers.weighted) - 1

        assert scheme.ratios == {int(k): r for k, r in table["weights"].items()} | {head: 1.0}
        assert len(scheme.biases) == table["bias_last"] + 1


def many_layers(count: int) -> Model:
    graph = Graph()
    x = Tensor("x", TensorType((1, 2), DType.S8, QuantParams((0.1,))), Role.INPUT)
    out = x
    for k in range(count):
        w = constant(f"w{k}", np.ones((2, 2), np.int8), QuantParams((0.1,)))
        op = FullyConnected(QuantParams((0.1,)), (1, 2), has_bias=False)
        (out,) = graph.add(op, out, w, name=f"fc{k}", index=k)
    return Model("many", graph, x, out, out)
