# SPDX-License-Identifier: Apache-2.0
"""Classes in use of which a training has no sample: which they are, and what becomes of them.

A step tells all other classes that its sample is not theirs, so classes without samples are soon
forgotten. A plan with a mask leaves them out of softmax and error (SPEC 1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mcutrain.host.training.data_notes import labels
from mcutrain.host.training.dataset import Dataset
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import pack_state, unpack_state
from mcutrain.trainer.notes import NOTE, WARNING, Note
from mcutrain.trainer.ops.softmax_cross_entropy import with_classes
from mcutrain.trainer.options import AUTO, KEEP, LEARN
from mcutrain.trainer.training_plan import TrainingPlan

KIND = "absent classes"
REPLAY = "old samples (x_old, y_old) with --replay"


def new_classes(plan: TrainingPlan, data: Dataset, state: bytes | None) -> int | None:
    """How many classes to take into use, if the data has more than the state counts."""
    if plan.task.active is None or plan.task.active.data is None:
        return None
    in_use = plan.task.active.data if state is None else unpack_state(plan, state)[plan.task.active]
    found = [y for y in (data.y_train, data.y_test, data.y_val) if y is not None]
    present = 1 + max(int(y.max(initial=0)) for y in found)
    return present if present > int(in_use[0]) else None


def present_classes(data: Dataset, is_stream: bool) -> set[int]:
    """The classes that a training has samples of; a stream has the old ones too."""
    parts = (data.y_train, data.y_old if is_stream else None)
    return {int(label) for part in parts if part is not None for label in np.unique(part)}


def absent_classes(
    plan: TrainingPlan, data: Dataset, state: bytes | None, is_stream: bool
) -> list[int]:
    """The classes in use that it has no sample of; empty where the target is not a label."""
    if not plan.takes_label:
        return []
    in_use = new_classes(plan, data, state)
    if in_use is None and (active := plan.task.active) is not None:
        counted = active.data if state is None else unpack_state(plan, state)[active]
        in_use = None if counted is None else int(counted[0])
    present = present_classes(data, is_stream)
    return [label for label in range(in_use or plan.classes) if label not in present]


def calls_for_mask(plan: TrainingPlan, data: Dataset, is_stream: bool) -> bool:
    """Whether a plan that leaves it open should keep the classes that the data lack: where they
    bring new classes alone, and several.

    Samples of known classes may be taken for those of absent ones, which a mask cannot mend; and
    a class alone would learn nothing (docs/accuracy.md has the figures).
    """
    present, active = present_classes(data, is_stream), plan.task.active
    if plan.options.absent != AUTO or not knows_classes(plan) or active is None:
        return False
    known = 0 if active.data is None else int(active.data[0])
    return len(present) > 1 and min(present) >= known > 0


def knows_classes(plan: TrainingPlan) -> bool:
    """Whether the head has classes that it can forget: a new one has none."""
    return plan.takes_label and plan.options.classes is None and plan.task.logits.type.size > 1


def with_seen(plan: TrainingPlan, state: bytes, classes: Iterable[int]) -> bytes:
    """The state of a plan with a mask in which these classes, and no others, are seen."""
    assert plan.task.seen is not None
    tensors = unpack_state(plan, state)
    tensors[plan.task.seen] = with_classes(np.zeros_like(tensors[plan.task.seen]), classes)
    return pack_state(plan, tensors)


def all_seen(plan: TrainingPlan) -> tuple[Array, ...]:
    """What the loss takes where no class is left out: nothing, of a plan without a mask."""
    seen = plan.task.seen
    return () if seen is None else (np.full(seen.type.shape, ~np.uint32(0), np.uint32),)


def absent_notes(
    plan: TrainingPlan, data: Dataset, state: bytes | None, is_stream: bool
) -> Iterator[Note]:
    """What becomes of classes without samples, and what would keep them."""
    absent = absent_classes(plan, data, state, is_stream)
    if not absent or not (knows_classes(plan) or state is not None):
        return
    what, count = labels(absent), float(len(absent))
    present = present_classes(data, is_stream)
    if plan.task.seen is not None and len(present) < 2:
        text = (
            f"label {min(present)} alone has samples, and --absent keep compares it with no other "
            f"class: nothing is learned; give {REPLAY}"
        )
        yield Note("y_train", KIND, count, text, WARNING)
    elif plan.task.seen is not None:
        text = (
            f"{what} without samples: no step tells them that its sample is not theirs (--absent "
            f"{LEARN} does); {REPLAY} compare all with each other"
        )
        yield Note("y_train", KIND, count, text, NOTE)
    else:
        mask = "" if len(present) < 2 else f", or else --absent {KEEP}"
        text = (
            f"{what} will be forgotten: without samples of their own they learn only that no "
            f"sample is theirs; give {REPLAY}{mask}"
        )
        yield Note("y_train", KIND, count, text, WARNING)
