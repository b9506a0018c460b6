# SPDX-License-Identifier: Apache-2.0
"""Folders of images: what a model gets of them, what is said, and what is refused in one line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.data import images, raw
from mcutrain.host.data.load import Wanted, class_names, load
from mcutrain.host.data.options import DataOptions
from mcutrain.host.data.raw import RawData
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import DType, QuantParams, TensorType
from tests.support.sample_files import image_folder, save_image

GRAY = np.arange(48, dtype=np.uint8).reshape(8, 6)


def wanted(low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = (8, 6, 1)) -> Wanted:
    scale = (high - low) / 255
    return Wanted(
        TensorType((1, *shape), DType.S8, QuantParams((scale,), round(-128 - low / scale)))
    )


def read(folder: Path, of: Wanted | None = None, **options: object) -> RawData:
    return load(folder, of or wanted(), DataOptions(**options))  # type: ignore[arg-type]


def said(data: RawData) -> str:
    return " ".join(note.text for note in data.notes)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0, 255, "white 255"), (0, 1, "white 1"), (-1, 1, "black is -1"), (-128, 127, "white 127"),
     (0.0, 0.94, "white 1")],
)  # fmt: skip
def test_black_and_white_are_what_the_input_covers(
    low: float, high: float, told: str, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        save_image(tmp_path / split / "a" / "x.png", np.full((8, 6), 255, np.uint8))
        save_image(tmp_path / split / "b" / "y.png", np.zeros((8, 6), np.uint8))
    found = read(tmp_path, wanted(low, high))

    white, black = found.parts["test"].x[:, 0, 0, 0]

    assert white == 127 and black in (-128, -127)
    assert told in said(found) and "as the input's range" in said(found)


def test_pixels_says_what_cannot_be_told(tmp_path: Path) -> None:
    image_folder(tmp_path, ["a", "b"], 3)
    of = wanted(-2.1, 2.6)

    with pytest.raises(DataError, match=r"covers -2\.1\d* to 2\.\d*, .* give --pixels LOW:HIGH"):
        read(tmp_path, of)
    found = read(tmp_path, of, pixels="-2.1:2.6")
    assert found.parts["train"].x.max() == 127
    assert "clipped" in said(read(tmp_path, of, pixels="0:4"))
    with pytest.raises(DataError, match="--pixels dark: give LOW:HIGH"):
        read(tmp_path, of, pixels="dark")


def test_images_become_gray_or_colour_and_the_models_size(tmp_path: Path) -> None:
    colour = np.zeros((16, 12, 3), np.uint8)
    colour[..., 0] = 255
    for name in ("a/1.png", "b/1.jpg"):
        save_image(tmp_path / "train" / name, colour)
        save_image(tmp_path / "test" / name, GRAY)
    gray, rgb = read(tmp_path), read(tmp_path, wanted(shape=(8, 6, 3)))

    assert gray.parts["train"].x.shape == (2, 8, 6, 1) and gray.parts["train"].x.dtype == np.int8
    assert (gray.parts["train"].x[0] == 76 - 128).all()  # 0.299 of 255
    assert rgb.parts["train"].x[0, 0, 0].tolist() == [127, -128, -128]
    assert rgb.parts["test"].x[0, 0, 1].tolist() == [1 - 128] * 3
    assert "2 of them resized" in said(gray) and "crop" not in said(gray)
    np.testing.assert_array_equal(gray.parts["test"].x[0, ..., 0], GRAY.astype(int) - 128)


def test_a_smaller_image_is_the_mean_of_its_pixels(tmp_path: Path) -> None:
    """A board of black and white pixels becomes gray, not one of both."""
    board = (np.indices((16, 24)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for split in ("train", "test"):
        save_image(tmp_path / split / "a" / "board.bmp", board)
    found = read(tmp_path, wanted(shape=(8, 6, 1)))

    assert set(np.unique(found.parts["train"].x)) <= {-1, 0}
    assert "change their shape, such as" in said(found) and "from 24 x 16 to 6 x 8" in said(found)


def test_sixteen_bits_of_gray_become_eight(tmp_path: Path) -> None:
    deep = (GRAY.astype(np.uint16) << 8) + 200
    for split in ("train", "test"):
        save_image(tmp_path / split / "a" / "deep.png", deep)

    x = read(tmp_path).parts["train"].x
    np.testing.assert_array_equal(x[0, ..., 0], GRAY.astype(int) - 128)


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        path = tmp_path / split / "a" / "x.png"
        Image.fromarray(np.rot90(GRAY)).save(path, exif=exif)

    x = read(tmp_path).parts["train"].x
    np.testing.assert_array_equal(x[0, ..., 0], GRAY.astype(int) - 128)


def test_a_folder_without_a_split_is_split_by_class_and_seed(tmp_path: Path) -> None:
    image_folder(tmp_path, ["b", "a", "c"], 10)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.txt").write_text("hello")
    one, again, other = read(tmp_path), read(tmp_path), read(tmp_path, split_seed=1)

    assert one.parts["test"].y.tolist() == [0, 0, 1, 1, 2, 2]
    assert one.parts["train"].names + one.parts["test"].names != ()
    assert not set(one.parts["train"].names) & set(one.parts["test"].names)
    assert one.parts["test"].names == again.parts["test"].names != other.parts["test"].names
    assert "6 of 30 samples were chosen to test with" in said(one)
    assert "files of other kinds were left out: 1, such as" in said(one) and "README.txt" in said(
        one
    )
    assert class_names(tmp_path) == ("a", "b", "c")


def test_the_order_is_that_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_folder(tmp_path, ["a", "b"], 5)
    found = read(tmp_path)
    listing = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed([*listing(self)]))

    np.testing.assert_array_equal(read(tmp_path).parts["train"].x, found.parts["train"].x)


def test_classes_have_the_numbers_of_their_names(tmp_path: Path) -> None:
    image_folder(tmp_path / "words", ["cat", "dog"], 3)
    image_folder(tmp_path / "digits", ["3", "10"], 3)
    known = Wanted(wanted().type, class_names=("dog", "fish", "cat"))

    assert set(load(tmp_path / "words", known, DataOptions()).parts["train"].y) == {0, 2}
    assert set(read(tmp_path / "digits").parts["train"].y) == {3, 10}
    assert class_names(tmp_path / "digits") == ()
    with pytest.raises(DataError, match="class '10' is not one of the model's class names"):
        load(tmp_path / "digits", known, DataOptions())


def bomb(path: Path) -> None:
    """A PNG whose header speaks of 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def cut_off(path: Path) -> None:
    save_image(path, np.random.default_rng(0).integers(0, 256, (80, 60)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])


def nested(path: Path) -> None:
    save_image(path.parent / "more" / "x.png", GRAY)


def links_to_itself(path: Path) -> None:
    path.symlink_to(path)


def folder_in_a_circle(path: Path) -> None:
    (path.parent / "again").symlink_to(path.parent.parent)


def loose(path: Path) -> None:
    save_image(path.parent.parent / "loose.png", GRAY)


def sound(path: Path) -> None:
    path.with_suffix(".wav").write_bytes(b"RIFF")


def empty_class(path: Path) -> None:
    (path.parent.parent / "nothing").mkdir()


def no_train(path: Path) -> None:
    (path.parent.parent / "test").mkdir()


def beside_train(path: Path) -> None:
    (path.parent.parent / "train").mkdir()


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_bytes(b""), "a/bad.png is damaged, or no PNG, JPEG or BMP image"),
    (lambda path: path.write_text("GIF89a"), "a/bad.png is damaged, or no PNG"),
    (cut_off, "a/bad.png is damaged"),
    (bomb, "a/bad.png .*(pixels, more than are read|is damaged)"),
    (links_to_itself, "cannot read .*bad.png"),
    (nested, "a/more is a folder inside the class 'a'"),
    (folder_in_a_circle, "a/again is a folder inside the class 'a'"),
    (loose, "loose.png lies in no folder of a class"),
    (sound, "holds images .* and sound .*bad.wav"),
    (empty_class, "nothing has no images or sound: the class 'nothing' is empty"),
    (no_train, "has test/ but no train/"),
    (beside_train, "a lies beside train/, and is no split"),
]


@pytest.mark.parametrize(("spoil", "told"), HOSTILE, ids=[f"{k}" for k in range(len(HOSTILE))])
def test_what_cannot_be_read_is_one_line(
    spoil: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    image_folder(tmp_path, ["a", "b"], 3)
    spoil(tmp_path / "a" / "bad.png")

    with pytest.raises(DataError, match=told) as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_what_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder(tmp_path, ["a", "b"], 3)
    monkeypatch.setattr(raw, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="6 samples of 48 bytes take more than"):
        read(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(images, "MOST_PIXELS", 10)
    with pytest.raises(DataError, match=r"0\.png has 6 x 8 pixels, more than are read"):
        read(tmp_path)


def test_other_folders_and_models_are_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images or WAV or FLAC files: put each sample"):
        read(tmp_path)
    image_folder(tmp_path, ["a"], 1)
    with pytest.raises(DataError, match="none is left to test with"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"shape \(49, 10, 8\), which are no images"):
        read(tmp_path, wanted(shape=(49, 10, 8)))
    with pytest.raises(DataError, match="holds images, which --window says nothing of"):
        read(tmp_path, window=3)
