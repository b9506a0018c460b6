# SPDX-License-Identifier: Apache-2.0
"""What a device on a serial port has learned already: read back, or gone on from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import DeviceError, ProtocolError, UndecidedError
from mcutrain.host.keys import Keys
from mcutrain.host.link.protocol import Status
from mcutrain.host.request import Request
from mcutrain.host.training.flash_latents import with_flash_latents
from mcutrain.host.training.reporter import Reporter
from mcutrain.host.training.runners import DeviceRunner, connected
from mcutrain.host.training.state import save_state
from mcutrain.trainer.chip import Chip
from mcutrain.trainer.errors import Error
from mcutrain.trainer.interpreter import state_digest, unpack_state
from mcutrain.trainer.record_chain import short_hash
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import check_state

FRESH, GO_ON = "fresh", "go-on"
PULLED = "`mcutrain pull` saves it"


def planned_on(request: Request, flash_latents: Path | None, chip: Chip) -> TrainingPlan:
    """The plan that a request makes for a chip."""
    return with_flash_latents(request.on(chip).plan(), flash_latents)


def settle(runner: DeviceRunner) -> int:
    """End the step that an earlier host has left under way; the steps that were learned in."""
    try:
        runner.device.run(runner.device.info.calls)
    except DeviceError as err:
        if err.status != Status.IDLE:
            raise
    return runner.device.digest().steps


def learned_state(runner: DeviceRunner) -> bytes:
    """What the device has learned, compared with the device's own digest. Raises Error."""
    settle(runner)
    state, said = runner.state(), runner.device.digest()
    values = unpack_state(runner.plan, state)
    check_state(runner.plan, values)
    steps = int(values[runner.plan.learning.sgd][1])
    is_its_own = (state_digest(runner.plan, values), steps) == (said.digest, said.steps)
    if runner.plan.learning.chain is not None:
        is_its_own &= runner.device.recorded().state_hash == short_hash(state)
    if not is_its_own:
        raise ProtocolError(
            "what was read is not what the device holds by its own digest: use the device from "
            "one program at a time, and try again"
        )
    return state


def going_on(
    runner: DeviceRunner,
    port: str,
    asked: str | None,
    reporter: Reporter,
    keeps: str = PULLED,
) -> bytes | None:
    """The state to go on from: the device's own, if that is ``asked`` for; None begins anew.
    ``keeps`` says how the user can keep what would be lost.

    Raises UndecidedError if something was learned, and nobody says what is to become of it.
    """
    steps = settle(runner)
    if steps == 0:
        if asked == GO_ON:
            reporter.say(f"note: {port}: the device has learned nothing yet, and begins anew")
        return None
    choice = asked or choose(port, steps, reporter, keeps)
    return learned_state(runner) if choice == GO_ON else None


def choose(port: str, steps: int, reporter: Reporter, keeps: str = PULLED) -> str:
    """FRESH or GO_ON, as the user says. Raises UndecidedError where there is nobody to ask."""
    found = f"{port}: the device has learned already, in {steps:,} steps"
    question = f"{found}. Go on from there, or begin afresh and lose it?"
    if answer := reporter.choose(question, (GO_ON, FRESH)):
        return answer
    raise UndecidedError(
        f"{found}: give --{GO_ON} to go on from there, or --{FRESH} to begin anew and lose it; "
        f"{keeps}"
    )


def pull(
    request: Request,
    port: str,
    save: Path,
    flash_latents: Path | None = None,
    baud: int = BAUD,
    keys: Keys | None = None,
    record: Callable[[DeviceRunner, bytes], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Save what the device on a port has learned; what was saved, for people. ``record`` saves what
    its firmware keeps of how it came to that state. Raises Error."""
    request = request.resolved()
    plans = partial(planned_on, request, flash_latents)
    with connected(port, plans, baud, keys) as runner:
        if settle(runner) == 0:
            raise Error(f"{port}: the device has learned nothing yet: there is nothing to save")
        state, plan = learned_state(runner), runner.plan
        told = {} if record is None else record(runner, state)
        port = runner.device.name
    save_state(save, plan, state, request)
    steps = int(unpack_state(plan, state)[plan.learning.sgd][1])
    return {"output": str(save), "port": port, "update": plan.scheme.name, "steps": steps} | told
