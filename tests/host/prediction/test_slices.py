# SPDX-License-Identifier: Apache-2.0
"""The longest slice of a step: told, limited, and named where it is too long."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.program import lay_out
from mcutrain.host.building.target import Target
from mcutrain.host.prediction.predict import predict
from mcutrain.host.prediction.slices import check_slice, slice_lines
from mcutrain.trainer.errors import Error
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.paths import WATCH

MODEL = WATCH / "watch.tflite"


def watch(options: PlanOptions) -> TrainingPlan:
    return make_plan(load(MODEL), options, Target.parse("sim:mps2_an386").chip)


def test_the_longest_slice_is_that_of_the_longest_node() -> None:
    said = predict(watch(PlanOptions("last:2")), "cortex-m4")
    found = said.to_json()["longest_slice"]

    assert found["node"] == said.longest.of.node.name
    assert found["instructions"] == max(n.slice_instructions for n in said.nodes)
    assert found["slices"] == 1


def test_rows_make_slices_shorter() -> None:
    whole = predict(watch(PlanOptions("last:2")), "cortex-m4")
    streamed = predict(watch(PlanOptions("last:2", stream_input=True)), "cortex-m4")
    (first, *_), (same, *_) = whole.nodes, streamed.nodes

    assert first.slices == 1 and same.slices == first.of.node.outputs[0].type.shape[1] > 1
    assert same.slice_instructions < first.slice_instructions


def test_a_longer_slice_is_refused_by_its_layer() -> None:
    found = predict(watch(PlanOptions("last:2")), "cortex-m4").to_json()
    most = found["longest_slice"]["instructions"]
    check_slice(found, most)
    check_slice(found, None)
    with pytest.raises(Error, match=rf"{found['longest_slice']['node']}.* 1 more than --slice"):
        check_slice(found, most - 1)


def test_its_time_is_told_for_a_chip_of_the_core() -> None:
    (line,) = slice_lines(predict(watch(PlanOptions("last:2")), "cortex-m4").to_json())

    assert "longest slice: " in line and " ms on nRF52840 at 64 MHz" in line


def test_plan_prints_it_and_refuses(run: Run) -> None:
    plan = ("plan", MODEL, "--update", "last:2")
    found = run(*plan, "--json").json["predicted_instructions"]["longest_slice"]
    refused = run(*plan, "--slice", 100)

    assert f"longest slice: {found['instructions']:,} instructions" in run(*plan).out
    assert refused.status == 1 and f"{found['node']} with" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert run(*plan, "--slice", found["instructions"]).status == 0


@pytest.mark.parametrize(
    "options", [PlanOptions("last:2"), PlanOptions("last:2", stream_input=True)]
)
def test_the_device_looks_up_between_two_slices(options: PlanOptions, tmp_path: Path) -> None:
    program = lay_out(watch(options))
    calls = emit_source(program).partition("_calls(uint32_t first")[2].partition("return end")[0]
    run_by_calls = [call for call in program.calls if call.node is not program.plan.arriving]

    assert calls.count("mct_port_alive();") == len(run_by_calls) - 1
    if options.stream_input:
        assert emit_source(program).count("mct_port_alive();") > len(run_by_calls) - 1
