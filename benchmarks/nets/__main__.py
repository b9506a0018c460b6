# SPDX-License-Identifier: Apache-2.0
"""Trains every starting model anew and prints how often it is right on data it has not seen.

python -m benchmarks.nets [NAME]...
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.data import RawSamples
from benchmarks.data import digits as digits_data
from benchmarks.data import fashion_mnist as fashion_data
from benchmarks.data import hapt as hapt_data
from benchmarks.data.fetch import DataUnavailable
from benchmarks.nets import Recipe, digits, fashion, hapt
from mcutrain.host.building.library import in_process
from mcutrain.trainer.making.float_net import accuracy
from mcutrain.trainer.making.quantiser import quantize_array
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load

NETS: dict[str, Callable[[], tuple[Recipe, RawSamples]]] = {
    "digits": lambda: (digits.recipe(), digits_data.other_writers()),
    "hapt": lambda: (hapt.recipe(), hapt_data.windows().of(hapt_data.NEW_PEOPLE)),
    "fashion5": lambda: (fashion.recipe(5), fashion.known(fashion_data.test_set(), 5)),
    "fashion8": lambda: (fashion.recipe(8), fashion.known(fashion_data.test_set(), 8)),
}


def int8_accuracy(content: bytes, recipe: Recipe, test: RawSamples) -> float:
    """Of the generated C."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{recipe.name}.tflite"
        path.write_bytes(content)
        plan = make_plan(load(path), PlanOptions("head"))
    x = quantize_array(test.x, recipe.input_quant)
    with in_process(plan) as runner:
        hits = [runner.predict(sample) == label for sample, label in zip(x, test.y, strict=True)]
    return float(np.mean(hits))


def row(name: str) -> str:
    try:
        recipe, test = NETS[name]()
    except DataUnavailable as err:
        return f"{name:10} skipped: {err}"
    started = time.monotonic()
    params = recipe.train()
    seconds = time.monotonic() - started
    count = sum(value.size for value in params.values())
    real = 100 * accuracy(recipe.build.net, params, test.x, test.y)
    int8 = 100 * int8_accuracy(recipe.quantised(params), recipe, test)
    return f"{name:10} {count:10,} {real:8.2f} {int8:8.2f} {seconds:8.0f}"


def main() -> None:
    print(f"{'net':10} {'parameters':>10} {'float32':>8} {'int8':>8} {'seconds':>8}")
    for name in sys.argv[1:] or NETS:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
