# SPDX-License-Identifier: Apache-2.0
"""What makes a run the one that a checkpoint is of: all that its result follows from.

The target is not part of it, since every target learns the same bits; nor is what a run writes.
Where latents are kept is part of it with a chain alone, whose entries say which steps began at one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcutrain.host.failure import reason
from mcutrain.host.training.latents import DEVICE
from mcutrain.trainer.errors import DataError, Error
from mcutrain.trainer.options import flag, learning_fields
from mcutrain.trainer.training_plan import TrainingPlan

if TYPE_CHECKING:
    from mcutrain.host.training.dataset import Dataset
    from mcutrain.host.training.job import TrainingJob

PARTS = ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val", "x_old", "y_old")
NONE = "none"
# That change how long a run is, and so its schedule from the first step on.
LENGTHS = {"--epochs", "--steps", "--minutes"}


def identity_of(
    job: TrainingJob, plan: TrainingPlan, data: Dataset, state: bytes | None
) -> dict[str, str]:
    """By the name that messages have for it. ``job`` is as it was prepared, before a rate is
    found; ``state`` is the one of its file. Raises Error."""
    found = {"the model's file": hashed(content(job.request.model)), "--update": plan.scheme.name}
    options = job.request.options
    for each in learning_fields():
        found[f"--{flag(each)}"] = text(getattr(options, each.name))
    found["the plan's numerics hash"] = plan.numerics_hash.hex()
    for name in PARTS:
        array = getattr(data, name)
        found[f"{name} of the data"] = NONE if array is None else hashed_array(array)
    found |= dict(asked(job))
    if plan.learning.chain is not None:
        found |= dict(latents(job, plan))
    # A device's own state, from which a run may begin, is in the checkpoint itself.
    given = state if job.state is not None else None
    found["--state"] = NONE if given is None else hashed(given)
    return found


def asked(job: TrainingJob) -> Iterator[tuple[str, str]]:
    """The options of training that change what is learned, or what is said of it."""
    options = job.options
    for name, value in (
        ("epochs", options.epochs), ("steps", options.steps), ("minutes", job.minutes),
        ("lr", options.rate), ("lr-minutes", job.rate_minutes), ("schedule", options.schedule),
        ("seed", options.seed), ("verify", options.verify), ("guard", options.guard),
        ("guard-minutes", job.guard_minutes), ("patience", options.patience),
        ("balance", options.balance), ("augment", options.augment), ("replay", job.replay),
        ("replay-ratio", job.replay_ratio),
    ):  # fmt: skip
        yield f"--{name}", text(value)


def latents(job: TrainingJob, plan: TrainingPlan) -> Iterator[tuple[str, str]]:
    """What decides which steps begin at a latent, of a job whose place for them is settled."""
    is_device, flash = job.latents == DEVICE, plan.latents.flash
    yield "--latents", text(job.latents)
    yield "--latent-slots", text(plan.options.latent_slots if is_device else None)
    fixed = None if flash is None or not is_device else hashed_array(flash.samples)
    yield "--flash-latents", text(fixed)


def check_same(path: Path, stored: Mapping[str, str], run: Mapping[str, str]) -> None:
    """Raises DataError, which names all that differs, for a checkpoint of another run."""
    names = [name for name in dict.fromkeys([*stored, *run]) if stored.get(name) != run.get(name)]
    if not names:
        return
    pairs = ((name, stored.get(name, NONE), run.get(name, NONE)) for name in names)
    told = "; ".join(difference(*pair) for pair in pairs)
    advice = "give that run's options, --fresh to begin anew, or another file"
    if LENGTHS.issuperset(names):
        advice += "; to train longer, go on from its --save with --state"
    raise DataError(f"{path} is the checkpoint of another run: {told}; {advice}")


def difference(name: str, was: str, now: str) -> str:
    """
    >>> difference("--epochs", "10", "20")
    '--epochs was 10 and is 20'
    >>> difference("x_train of the data", "sha256:00", "sha256:11")
    'x_train of the data is another'
    """
    if not name.startswith("--") or "sha256:" in was + now:
        return f"{name} is another"
    return f"{name} was {was} and is {now}"


def text(value: Any) -> str:
    """
    >>> text(None), text(True), text(0.5), text(["a", "b"])
    ('none', 'on', '0.5', 'a,b')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or NONE
    return NONE if value is None else str(value)


def hashed(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def hashed_array(array: np.ndarray[Any, Any]) -> str:
    about = f"{array.dtype.str} {list(array.shape)}\n".encode()
    return hashed(about + np.ascontiguousarray(array).tobytes())


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise Error(f"cannot read {path}: {reason(err)}") from err
