# SPDX-License-Identifier: Apache-2.0
"""Makes this folder's machine.tflite and demo.npz: an autoencoder and the windows it learns from.

    python -m mcutrain.examples.machine.make_machine [--machine 5] [--out DIR]

Everything is made up by seeds, so the same command gives the same files. It takes about
ten seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mcutrain.examples.machine import vibration
from mcutrain.examples.machine.vibration import Machine
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import squared_error
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_array, quantize_net

FACTORY = Machine.numbered(0)  # the only machine that the model knows when it is shipped
SPECTRUM_QUANT = QuantParams((5 / 255,), 25)  # about -3 to 2 decades: vibration.LOG_RANGE
FACTORY_WINDOWS, EPOCHS = 2000, 20
LEARN, TEST = 256, 480  # windows of the machine that the device is mounted on
DEMO_MACHINE = 5


def autoencoder() -> NetBuilder:
    """1,900 parameters: six values between dense layers of 24."""
    net = NetBuilder((vibration.BANDS,), seed=1)
    net.dense(24, "relu6")
    net.dense(6)
    net.dense(24, "relu6")
    net.dense(vibration.BANDS)
    return net


def make_model(windows: int = FACTORY_WINDOWS, epochs: int = EPOCHS) -> bytes:
    """The int8 ``.tflite``, trained on usual spectra of the factory's machine."""
    build = autoencoder()
    x = vibration.usual(FACTORY, windows, np.random.default_rng(2)).astype(np.float64)
    fit(build.net, build.params, x, x, epochs=epochs, decay=0.0, loss=squared_error)
    return quantize_net(build.net, build.params, x, SPECTRUM_QUANT, softmax=False)


def make_data(number: int = DEMO_MACHINE) -> dict[str, Array]:
    """Spectra of the numbered machine as int8.

    ``x_train`` (256, 32) and ``x_test`` (480, 32) are without a fault. ``x_faulty`` (480, 32) have
    one, whose kind is in ``y_faulty`` (480,): an index into ``vibration.FAULTS``.
    """
    machine, rng = Machine.numbered(number), np.random.default_rng([0, number])
    learn, usual = (vibration.usual(machine, count, rng) for count in (LEARN, TEST))
    faulty = vibration.faulty(machine, TEST, rng)
    each = TEST // len(vibration.FAULTS)
    return {
        "x_train": quantize_array(learn, SPECTRUM_QUANT),
        "x_test": quantize_array(usual, SPECTRUM_QUANT),
        "x_faulty": quantize_array(faulty, SPECTRUM_QUANT),
        "y_faulty": np.repeat(np.arange(len(vibration.FAULTS)), each).astype(np.uint8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--machine", type=int, default=DEMO_MACHINE, help="the machine's number")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()

    (arguments.out / "machine.tflite").write_bytes(make_model())
    np.savez_compressed(
        arguments.out / "demo.npz", allow_pickle=False, **make_data(arguments.machine)
    )


if __name__ == "__main__":
    main()
