# SPDX-License-Identifier: Apache-2.0
"""``collect`` against the native firmware with a sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.collecting import collect as collecting
from mcutrain.host.link.device import Device
from mcutrain.host.simulation.simulator import simulate
from mcutrain.trainer.errors import Error
from tests.support.command import Run
from tests.support.fake_model.build import build_native
from tests.support.paths import ROOT

SENSOR_PORT = ROOT / "tests" / "support" / "sensor_port.c"
Sensor = Callable[..., AbstractContextManager[str]]
INPUT_BYTES = 300  # of the fake model, which has three classes


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("sensor"), "-DMCT_WITH_SENSOR", port=SENSOR_PORT)


@pytest.fixture
def sensor(elf: Path, monkeypatch: pytest.MonkeyPatch) -> Sensor:
    """A function that starts the device, its sensor as the arguments say."""

    @contextmanager
    def started(**how: int) -> Iterator[str]:
        for name in ("READY", "EVERY", "LABEL"):
            monkeypatch.delenv(f"SENSOR_{name}", raising=False)
        for name, value in how.items():
            monkeypatch.setenv(f"SENSOR_{name.upper()}", str(value))
        with simulate("native", elf) as port:
            yield port

    return started


def samples(first: int, count: int) -> np.ndarray:
    """What the sensor gives from sample ``first`` on."""
    numbers = np.arange(first, first + count)[:, None] + np.arange(INPUT_BYTES)
    return (numbers % 200 - 100).astype(np.int8)


def recorded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All samples of the file, and their labels, in the order of the sensor's first bytes."""
    with np.load(path) as file:
        x = np.concatenate([file["x_train"], file["x_test"]])
        y = np.concatenate([file["y_train"], file["y_test"]])
    order = np.argsort(x[:, 0], kind="stable")
    return x[order], y[order]


def test_class_after_class_is_recorded_and_added_to(
    sensor: Sensor, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "mine.npz"
    with sensor(every=3) as port:
        args = ("collect", "--port", port, "--classes", "a,b,c", "--output", path)
        args += ("--per-class", 6, "--countdown", 0)
        told = run(*args)
        assert told.status == 0, told.err
        assert "now do b (6 samples)" in told.err and "recorded a 6, b 6, c 6" in told.out
        x, y = recorded(path)
        np.testing.assert_array_equal(x, samples(0, 18))
        np.testing.assert_array_equal(y, np.repeat([0, 1, 2], 6))
        before = path.read_bytes()
        refused = run(*args)
        assert refused.status == 1 and "--append adds samples to it" in refused.err
        assert path.read_bytes() == before
        more = run(*args, "--append", "--label", "b", "--json").json
        assert more["recorded"] == [0, 6, 0] and more["train"] + more["test"] == 24
        x, y = recorded(path)
        np.testing.assert_array_equal(x, samples(0, 24))
        np.testing.assert_array_equal(y, np.repeat([0, 1, 2, 1], 6))
        with np.load(path) as file:
            assert file["x_test"].shape == (8, INPUT_BYTES) and file["x_test"].dtype == np.int8
            assert file["class_names"].tolist() == ["a", "b", "c"]
        other = run(*args[:4], "c,b,a", *args[5:], "--append")
        assert other.status == 1 and "has the classes a,b,c" in other.err


def test_the_devices_buttons_can_say_what_a_sample_is(
    sensor: Sensor, run: Run, tmp_path: Path
) -> None:
    with sensor(label=1) as port:
        args = ("collect", "--port", port, "--output", tmp_path / "mine.npz", "--count", 4)
        assert run(*args, "--classes", "a,b").status == 0
        assert set(recorded(tmp_path / "mine.npz")[1]) == {1}
    with sensor(label=2) as port:
        beyond = run(*args[:2], port, "--output", tmp_path / "x.npz", "--classes", "a,b")
        assert beyond.status == 1 and "of class 2, and --classes names 2" in beyond.err
        assert not (tmp_path / "x.npz").exists()


def test_what_was_recorded_is_kept(
    sensor: Sensor, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sensor stops, where the user does, and where the port is gone."""
    with sensor(ready=5) as port:
        args = ("collect", "--port", port, "--classes", "a,b", "--countdown", 0, "--timeout", 0.3)
        args += ("--per-class", 4)
        stopped = run(*args, "--output", tmp_path / "stopped.npz")
        assert stopped.status == 1 and stopped.err.splitlines()[-1] == (
            f"error: {port}: no sample of its sensor came in 0.3 s; the 5 samples recorded until "
            f"then are in {tmp_path / 'stopped.npz'}"
        )
        assert recorded(tmp_path / "stopped.npz")[1].tolist() == [0, 0, 0, 0, 1]
    taken = Device.collect

    def ending(error: BaseException, after: int) -> None:
        left = [after]

        def collect(device: Device) -> tuple[bytes, int | None] | None:
            left[0] -= 1
            if left[0] < 0:
                raise error
            return taken(device)

        monkeypatch.setattr(collecting.Device, "collect", collect)

    with sensor() as port:
        ending(KeyboardInterrupt(), 3)
        args = ("collect", "--port", port, "--classes", "a,b", "--countdown", 0, "--per-class", 4)
        interrupted = run(*args, "--output", tmp_path / "one.npz")
        assert interrupted.status == 130 and "interrupted; recorded a 3, b 0" in interrupted.out
        ending(Error("the port is gone"), 2)
        gone = run(*args, "--output", tmp_path / "two.npz")
        assert gone.status == 1 and "the 2 samples recorded until then" in gone.err
        assert [len(recorded(tmp_path / f"{n}.npz")[1]) for n in ("one", "two")] == [3, 2]
        monkeypatch.setattr("mcutrain.host.collecting.samples.write_whole", full)
        ending(Error("the port is gone"), 2)
        lost = run(*args, "--output", tmp_path / "three.npz")
        assert lost.status == 1 and "No space left" in lost.err and lost.err.count("error") == 1


def full(path: Path, content: bytes) -> None:
    raise Error(f"cannot write {path}: No space left on device")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--classes", "a,,b"), "a class has the name ''"),
        (("--classes", "a,b,a"), "a stands there twice"),
        (("--classes", "a"), "two classes at least"),
        (("--classes", "a,b", "--per-class", 2, "--label", "c"), "none of --classes"),
        (("--classes", "a,b", "--label", "a"), "give --per-class N, too"),
        (("--classes", "a,b", "--per-class", 2, "--count", 3), "give it or --per-class"),
        (("--classes", "a,b,c,d", "--per-class", 2), "names 4, and the model on"),
        (("--classes", "a,b", "--timeout", 0.2), "no label of a sample came in 0.2 s"),
    ],
)
@pytest.mark.rows
def test_bad_options_are_one_line(
    args: tuple[object, ...], told: str, sensor: Sensor, run: Run, tmp_path: Path
) -> None:
    with sensor() as port:
        refused = run("collect", "--port", port, "--output", tmp_path / "x.npz", *args)
    assert refused.status == 1 and told in refused.err
    assert refused.err.count("error") == 1 and not (tmp_path / "x.npz").exists()


def test_firmware_without_a_sensor_says_so(run: Run, tmp_path: Path) -> None:
    with simulate("native", build_native(tmp_path)) as port:
        args = ("--classes", "a,b", "--per-class", 2, "--countdown", 0)
        refused = run("collect", "--port", port, "--output", tmp_path / "x.npz", *args)
    assert refused.status == 1 and "gives no samples of a sensor" in refused.err
