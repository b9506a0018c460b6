# SPDX-License-Identifier: Apache-2.0
"""Makes this folder's camera.tflite, demo.npz and scenes.png.

    python -m mcutrain.examples.camera.make_camera [--out DIR]

Everything is made up by seeds, so the same command gives the same files on one
kind of processor. It takes a minute or two.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mcutrain.examples.camera.scenes import CLASSES, FACTORY, MOVED, SIZE, pictures
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import accuracy
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_array, quantize_net

# A pixel of 0 to 255 is 0 to 1, and the int8 is the pixel less 128.
INPUT_QUANT = QuantParams((float(np.float32(1 / 255)),), -128)
PER_CLASS, EPOCHS = 400, 24  # pictures of the factory
SHOTS, TESTS = 10, 30  # pictures of each kind at the other place, to learn from and to test


def make_net() -> NetBuilder:
    """3,800 parameters: one strided convolution, three depthwise separable ones, a mean, a head."""
    net = NetBuilder((SIZE, SIZE, 1), seed=1)
    net.conv(12, stride=2)
    net.depthwise()
    net.conv(24, kernel=1)
    net.depthwise(stride=2)
    net.conv(32, kernel=1)
    net.depthwise(stride=2)
    net.conv(48, kernel=1)
    net.average_pool(name="pool")
    net.dense(len(CLASSES), name="head")
    return net


def make_model(per_class: int = PER_CLASS, epochs: int = EPOCHS) -> bytes:
    """The int8 ``.tflite``, trained on pictures of the factory. Prints float accuracies."""
    build = make_net()
    params = {name: value.astype(np.float32) for name, value in build.params.items()}
    x, y = pictures(FACTORY, per_class, seed=1)
    fit(build.net, params, x.astype(np.float32), y, epochs=epochs, rate=4e-3)
    for name, place in (("factory", FACTORY), ("moved", MOVED)):
        share = accuracy(build.net, params, *pictures(place, TESTS, seed=2))
        print(f"{name}: float accuracy {100 * share:.1f} %")
    return quantize_net(build.net, params, x, INPUT_QUANT)


def make_data(shots: int = SHOTS, tests: int = TESTS) -> dict[str, Array]:
    """Pictures as the moved camera sees them, int8 (N, 32, 32, 1), and their labels."""
    (x_train, y_train), (x_test, y_test) = pictures(MOVED, shots, 3), pictures(MOVED, tests, 4)
    return {
        "x_train": quantize_array(x_train, INPUT_QUANT),
        "y_train": y_train.astype(np.uint8),
        "x_test": quantize_array(x_test, INPUT_QUANT),
        "y_test": y_test.astype(np.uint8),
    }


def draw(path: Path, columns: int = 12, zoom: int = 2) -> None:
    """A PNG of both places, one above the other, with the kinds of parts in turn."""
    from PIL import Image

    rows = [
        np.concatenate(list(pictures(place, columns // len(CLASSES), 5)[0][..., 0]), 1)
        for place in (FACTORY, MOVED)
    ]
    grey = np.kron(np.concatenate(rows), np.ones((zoom, zoom)))
    Image.fromarray((255 * grey).astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()

    (arguments.out / "camera.tflite").write_bytes(make_model())
    np.savez_compressed(arguments.out / "demo.npz", allow_pickle=False, **make_data())
    draw(arguments.out / "scenes.png")


if __name__ == "__main__":
    main()
