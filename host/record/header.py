# SPDX-License-Identifier: Apache-2.0
"""The header of a record: what makes the plan and the data again, and what was decided from
samples before the first step."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mcutrain.host.data.options import DataOptions
from mcutrain.host.failure import reason
from mcutrain.host.record.errors import RecordError
from mcutrain.host.record.fields import Fields
from mcutrain.host.record.lines import FORMAT, SHA_BYTES
from mcutrain.host.request import Request, read_options
from mcutrain.host.training.absent import absent_classes, present_classes
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.job import TrainingJob
from mcutrain.host.training.leaving_out import LeftOut
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.record_chain import HASH_BYTES
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import chosen_scheme, read_scheme, scheme_json

NUMERICS_BYTES = 8
ARRAYS = tuple(f"{axis}_{split}" for split in ("train", "val", "test", "old") for axis in "xy")
BAD = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class Header:
    """What a header says, checked as far as it says it by itself."""

    request: Request  # that makes the plan, but for the model's place
    model_hash: bytes
    model_name: str
    numerics_hash: bytes
    seed: int
    begin: bytes | None  # the state, as host.record.states has it; None for that of a reset
    head: bytes  # the chain value before the first step
    first_step: int
    classes: int  # in use, as entries of the chain have it
    arrays: Mapping[str, tuple[bytes, int]]  # SHA-256 and samples, by name
    reading: DataOptions
    left_out: LeftOut
    augment: str | None
    replay: int | None  # slots of the buffer, of a stream
    kept_by: str
    asked: Fields
    decisions: Fields
    values: Mapping[str, Any]

    @classmethod
    def read(cls, found: Fields) -> Header:
        """Raises RecordError."""
        if (number := found.integer("format")) != FORMAT:
            raise RecordError(f"{found.where} has the format {number}; this version reads {FORMAT}")
        model, plan, data = (found.object(name) for name in ("model", "plan", "data"))
        begin, asked = found.object("begin"), found.object("asked")
        out = found.object("left_out")
        return cls(
            request_of(plan, Path(model.text("path"))), model.hex("sha256", SHA_BYTES),
            model.text("name"), plan.hex("numerics_hash", NUMERICS_BYTES), found.integer("seed"),
            begin.maybe("state", begin.base64), found.hex("head", HASH_BYTES),
            begin.integer("step"), begin.integer("classes"),
            read_arrays(data.object("arrays")), reading_of(data.object("reading")),
            LeftOut(**{f.name: out.maybe(f.name, out.integers) or () for f in fields(LeftOut)}),
            asked.maybe("augment", asked.text), asked.maybe("replay", asked.integer),
            found.text("kept_by"), asked, found.object("decisions"), found.values,
        )  # fmt: skip

    def at(self, record: Path, given: Path | None) -> Header:
        """The header with the model's place: as given, or where it was, or beside the record.
        Raises RecordError where it is not there, or is another."""
        was = self.request.model
        places = [given] if given else [was, record.parent / self.model_name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise RecordError(
                f"{record}: the model {self.model_name} is not at {places[0]}: give --model FILE"
            )
        try:
            actual = hashlib.sha256(found.read_bytes()).digest()
        except OSError as err:
            raise RecordError(f"cannot read the model {found}: {reason(err)}") from err
        if actual != self.model_hash:
            raise RecordError(
                f"{found} is not the model of {record}: its SHA-256 is {actual.hex()[:16]}..., and "
                f"the record has {self.model_hash.hex()[:16]}...; give --model FILE"
            )
        return replace(self, request=replace(self.request, model=found))

    def plan(self) -> TrainingPlan:
        """The plan, for this computer. Raises Error, also where it is another than the record's."""
        plan = self.request.plan()
        if plan.numerics_hash != self.numerics_hash:
            raise RecordError(
                f"the plan of {self.request.model} computes otherwise than the record's: its "
                f"numerics hash is {plan.numerics_hash.hex()}, the record has "
                f"{self.numerics_hash.hex()}; use the version of mcutrain that wrote it "
                f"({str(self.values.get('version'))[:24]})"
            )
        return plan


def request_of(plan: Fields, model: Path) -> Request:
    """The request of a plan's description. Raises RecordError."""
    try:
        options = plan.object("options").values
        update = read_scheme(plan.object("scheme").values)
        request = read_options(options, model).but(update=update)
    except (*BAD, ModelError) as err:
        raise RecordError(f"{plan.where}: {err}") from err
    return replace(request, resumes=plan.flag("resumes"))


def reading_of(found: Fields) -> DataOptions:
    values: dict[str, Any] = {}
    for each in fields(DataOptions):
        is_text = "str" in str(each.type)
        values[each.name] = found.maybe(each.name, found.text if is_text else found.integer)
    return DataOptions(**values)


def read_arrays(found: Fields) -> dict[str, tuple[bytes, int]]:
    arrays: dict[str, tuple[bytes, int]] = {}
    for name in found.values:
        if name not in ARRAYS:
            raise RecordError(f"{found.where} tells of an array {str(name)[:24]!r}")
        each = found.object(name)
        arrays[name] = each.hex("sha256", SHA_BYTES), each.integer("samples")
    return arrays


def arrays_of(data: Dataset) -> dict[str, tuple[bytes, int]]:
    """SHA-256 and number of samples of each array, as the model takes it."""
    found = {}
    for name in ARRAYS:
        array = getattr(data, name)
        if array is not None:
            raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
            found[name] = hashlib.sha256(raw).digest(), len(array)
    return found


def described(
    asked: TrainingJob, job: TrainingJob, plan: TrainingPlan, data: Dataset, kept_by: str
) -> dict[str, Any]:
    """What a header says before it is known in which state the run begins."""
    return {
        "format": FORMAT,
        "version": own_version(),
        "kept_by": kept_by,
        "target": job.port or job.target,
        "model": model_json(job.request.model),
        "plan": plan_json(job.request, plan),
        "data": {
            "path": str(job.data),
            "reading": asdict(job.reading),
            "arrays": {
                name: {"sha256": digest.hex(), "samples": count}
                for name, (digest, count) in arrays_of(data).items()
            },
        },
        "left_out": {} if job.left_out is None else left_json(job.left_out),
        "asked": asked_json(asked, job),
        "decisions": decisions_json(job, plan, data),
    }


def own_version() -> str:
    try:
        return version("mcutrain")
    except PackageNotFoundError:
        return "a checkout"


def model_json(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"path": str(path.resolve()), "name": path.name, "sha256": digest}


def plan_json(request: Request, plan: TrainingPlan) -> dict[str, Any]:
    """What makes the plan again from the model's file."""
    return {
        "name": plan.name,
        "numerics_hash": plan.numerics_hash.hex(),
        "scheme": scheme_json(stored_scheme(request, plan)),
        "options": {**request.stored(), "class_names": list(plan.options.class_names)},
        "resumes": request.resumes,
    }


def stored_scheme(request: Request, plan: TrainingPlan) -> Scheme:
    """The scheme that makes the plan from the file that it was made from."""
    update = request.options.update
    return update if isinstance(update, Scheme) else chosen_scheme(plan)


def left_json(left_out: LeftOut) -> dict[str, Any]:
    return {split: list(numbers) for split, numbers in left_out.parts()}


def asked_json(asked: TrainingJob, job: TrainingJob) -> dict[str, Any]:
    """What was asked for, so that it can be done again; where the time decided how long, that."""
    options = asked.options
    steps = options.steps if job.budget is None else job.budget.steps
    return {
        "epochs": max(options.epochs, steps or 0) if job.budget is not None else options.epochs,
        "steps": steps,
        "lr": options.rate,
        "lr_minutes": asked.rate_minutes,
        "schedule": options.schedule,
        "balance": options.balance,
        "augment": None if options.augment is None else str(options.augment),
        "guard": options.guard,
        "guard_minutes": asked.guard_minutes,
        "patience": options.patience,
        "replay": asked.replay,
        "replay_ratio": asked.replay_ratio,
        "absent": asked.request.options.absent,
        "state": None if asked.state is None else str(asked.state),
        "flash_latents": None if asked.flash_latents is None else str(asked.flash_latents),
    }


def decisions_json(job: TrainingJob, plan: TrainingPlan, data: Dataset) -> dict[str, Any]:
    """Every decision that samples have a part in."""
    is_stream = job.replay is not None
    labelled = plan.takes_label
    return {
        "rate": None if job.rate is None else job.rate.to_json(),
        "folds": None if job.decision is None else job.decision.to_json(),
        "guard": "validation samples" if job.options.guard else job.unguarded or "off",
        "balance": job.options.balance,
        "present_classes": sorted(present_classes(data, is_stream)) if labelled else None,
        "absent_classes": absent_classes(plan, data, None, is_stream),
        "class_names": list(plan.options.class_names),
        "validation_samples": 0 if data.x_val is None else len(data.x_val),
        "input_shifts": plan.formats.has_input_shifts,
    }


def begin_json(state: bytes | None, step: int, classes: int) -> dict[str, Any]:
    """The state before the first step."""
    if state is None:
        return {"state": None, "step": step, "classes": classes}
    digest = hashlib.sha256(state).hexdigest()
    raw = b64encode(state).decode()
    return {"state": raw, "sha256": digest, "step": step, "classes": classes}
