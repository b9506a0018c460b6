# SPDX-License-Identifier: Apache-2.0
"""Files that tflite-micro dies of, or refuses: `check` says so, and lives on."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.checking import micro
from mcutrain.host.checking.micro import Died, micro_process, told, words_of
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import AddOptions, PackOptions
from mcutrain.trainer.making.writer import WriterOp
from mcutrain.trainer.tflite.reader import parse
from tests.support.command import Run
from tests.support.model_maker import ModelMaker
from tests.support.mutations import packed, unpacked

pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this platform")
UNIT = QuantParams((1.0,), 0)
TINY = QuantParams((1e-9,), 0)


def sum_of_scale(quant: QuantParams, rectified: int = 0) -> bytes:
    """A dense layer, its sum with itself, and so many RELUs of that."""
    make = ModelMaker(0)
    a = make.dense_of(make.activation("x", (1, 4), UNIT), "d", 4)
    make.ops.append(WriterOp("ADD", (a.name, a.name), ("y0",), AddOptions()))
    make.activation("y0", a.shape, quant)
    for k in range(rectified):
        make.ops.append(WriterOp("RELU", (f"y{k}",), (f"y{k + 1}",), None))
        make.activation(f"y{k + 1}", a.shape, quant)
    return make.finish()


def with_a_buffer_of_no_place() -> bytes:
    """A computed tensor's buffer is none of the file's: nothing here reads it."""
    file = unpacked(sum_of_scale(UNIT))
    next(t for t in file.subgraphs[0].tensors if t.name == b"d").buffer = 2**32 - 1
    return packed(file)


def test_the_operator_that_ends_tflite_micro_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(sum_of_scale(TINY, 2))
    parse(path.read_bytes(), "it is read here")

    assert run("check", path).err == (
        f"error: tflite-micro died of {path} at operator 1 (ADD, output 'y0'): it ended with "
        "SIGABRT; nothing was compared, and a device that runs it may fail as well: convert the "
        "model again, or leave this operator out\n"
    )


def test_a_file_that_ends_it_before_its_operators_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nowhere.tflite"
    path.write_bytes(with_a_buffer_of_no_place())
    parse(path.read_bytes(), "it is read here")

    said = run("check", path).err
    assert "it ended with SIGSEGV before the first operator, while it read the tensors; " in said
    assert said.count("\n") == 1


def packs(told: int) -> bytes:
    """A dense layer, and a PACK of its output that tells more tensors than there are."""
    make = ModelMaker(0)
    a = make.dense_of(make.activation("x", (1, 4), UNIT), "d", 4)
    make.ops.append(WriterOp("PACK", (a.name,), ("y",), PackOptions(told)))
    make.activation("y", (1, *a.shape), a.quant or UNIT)
    return make.finish()


def test_an_operator_that_ends_it_with_a_sample_is_told() -> None:
    data = packs(1 << 24)
    with pytest.raises(Died) as caught, micro_process(data, []) as found:
        found.run(found.inputs)

    said = str(told(Path("m.tflite"), data, caught.value))
    assert said.startswith("tflite-micro died of m.tflite at operator 1 (PACK, output 'y'): ")


def test_of_a_death_that_does_not_happen_again_no_operator_is_told() -> None:
    died = Died(-signal.SIGKILL, "out of luck", None)

    assert str(told(Path("m.tflite"), sum_of_scale(UNIT), died)) == (
        "tflite-micro died of m.tflite: it ended with SIGKILL, and printed 'out of luck'; nothing "
        "was compared, and a device that runs it may fail as well: convert the model again"
    )


def test_a_refusal_is_told_with_what_was_printed() -> None:
    data = sum_of_scale(UNIT)
    with pytest.raises(Died) as caught, micro_process(data, []) as found:
        found.run([*found.inputs, *found.inputs])

    said = told(Path("m.tflite"), data, caught.value)
    assert isinstance(said, ModelError)
    assert str(said).startswith("tflite-micro refuses m.tflite: Input index 1 out of range")
    assert "\n" not in str(said)


def test_a_fault_of_ours_is_none_of_the_file() -> None:
    assert isinstance(told(Path("m.tflite"), b"", Died(1, "ImportError", None)), RuntimeError)


def test_one_process_takes_all_samples(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = list[list[str]]()
    real = micro.start

    def counted(command: list[str], **options: Any) -> Any:
        started.append(command)
        return real(command, **options)

    monkeypatch.setattr(micro, "start", counted)
    assert run("check", model, "--json").json["mismatches"] == 0
    assert len(started) == 1


def test_it_does_not_outlive_an_interruption() -> None:
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        process = stack.enter_context(micro_process(sum_of_scale(UNIT), []))._process
        raise KeyboardInterrupt

    assert process.returncode == -signal.SIGKILL


def test_what_is_printed_is_cut_to_a_line() -> None:
    assert words_of(b"a\x1b[31m.\n\n b\n") == "a?[31m; b"
    assert len(words_of(b"long " * 1000)) == micro.LONGEST_WORDS + 3
