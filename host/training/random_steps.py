# SPDX-License-Identifier: Apache-2.0
"""Steps on random samples, to count what a plan executes before there are data for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mcutrain.host.building.firmware import Build
from mcutrain.host.prediction.samples import SEED, random_samples
from mcutrain.host.simulation.profile import Profile, profiles
from mcutrain.host.training.runners import profiling

# A head of zeros sends no errors back, so the first step is left out of the median.
STEPS = 4


def profiled(build: Build, steps: int = STEPS) -> dict[str, Profile]:
    """Steps and an inference on a simulated board, counted by node, from the plan's initial state.

    Samples and targets are random: where a kernel skips what is
    zero, a step on real samples takes a little less or more.
    """
    plan = build.plan
    with tempfile.TemporaryDirectory(prefix="mct-") as folder:
        counts = Path(folder) / "counts"
        with profiling(build, counts) as runner:
            runner.reset(SEED)
            *taught, (asked, _) = random_samples(plan, steps + 1)
            for sample, target in taught:
                runner.step(sample, target, wants_digest=False)
            runner.infer(asked)
        return profiles(build, counts)
