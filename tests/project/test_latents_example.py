# SPDX-License-Identifier: Apache-2.0
"""The page about what learns shows how tflite-micro computes the samples of a tail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from tests.support.documents import blocks
from tests.support.paths import ROOT
from tests.support.small_models import SHAPE, residual_model

PAGE = ROOT / "docs" / "guides" / "learns.md"


def test_it_computes_what_the_reference_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    (program,) = (text for _, text in blocks(PAGE, "python") if text.startswith("# latents.py"))
    monkeypatch.chdir(tmp_path)
    Path("model.tflite").write_bytes(residual_model())
    rng = np.random.default_rng(0)
    x = {k: rng.integers(-128, 128, (4, *SHAPE[1:])).astype(np.int8) for k in ("x_train", "x_test")}
    np.savez("samples.npz", y_train=np.arange(4), **x)
    exec(program.replace('Section("lstm", "scores")', 'Section("sum")'), {})

    front = Interpreter(make_plan(parse(residual_model(), "m")))
    tensor = next(n.output for n in front.plan.forward if n.output.label == "sum")
    with np.load("latents.npz") as made:
        for name, samples in x.items():
            expected = np.concatenate([front.outputs(s[None])[tensor] for s in samples])
            np.testing.assert_array_equal(made[name], expected)
        np.testing.assert_array_equal(made["y_train"], np.arange(4))
