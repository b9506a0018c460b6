# SPDX-License-Identifier: Apache-2.0
"""The conformance vectors, step for step."""

from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from tests.support import conformance
from tests.support.native import NativeModel


def test_reference_reproduces_the_conformance_vectors():
    for found, expected in zip(conformance.reference_lines(), conformance.EXPECTED, strict=True):
        assert found == expected


def test_generated_c_reproduces_the_conformance_vectors(tmp_path):
    plan = make_plan(conformance.model(), PlanOptions("full"))
    device = NativeModel(plan, tmp_path)
    device.reset(conformance.NET["seed"])
    device.set_learning_rate(conformance.RATE)
    samples = zip(conformance.SAMPLES, conformance.LABELS, conformance.EXPECTED, strict=True)
    for sample, label, expected in samples:
        logits = device.infer(sample)
        loss = device.step(sample, int(label))

        assert logits.tolist() == expected["logits"]
        assert (loss.sum, loss.distance) == (expected["S"], expected["d_y"])
        conformance.check_state(plan, device.state(), expected)
