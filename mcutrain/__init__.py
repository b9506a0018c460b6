# SPDX-License-Identifier: Apache-2.0
"""Train the int8 network that a microcontroller already runs, on the microcontroller.

    import mcutrain

    plan = mcutrain.plan("model.tflite", update="last:2", classes=5)
    run = mcutrain.Trainer(plan, "mine.npz", target="native", verify=True).fit()
    run.export("trained.tflite")

The names below are stable. Each is imported when it is first used, so that ``import mcutrain`` is
fast. Whatever a user can mend is raised as ``mcutrain.Error``.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The products of a step are small: threads of BLAS cost more than they bring, many times more
# where another process is busy. Read by NumPy when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    from mcutrain import loggers
    from mcutrain.host.api.calibration import calibrate
    from mcutrain.host.api.callbacks import Callback, StopTraining
    from mcutrain.host.api.data import Dataset, load_data
    from mcutrain.host.api.device import Device
    from mcutrain.host.api.firmware import Firmware, build, generate
    from mcutrain.host.api.found_scheme import FoundScheme
    from mcutrain.host.api.model import Model, load
    from mcutrain.host.api.plan import Plan, plan
    from mcutrain.host.api.progress import Epoch, Step
    from mcutrain.host.api.records import audit, blame, unlearn
    from mcutrain.host.api.run import Run
    from mcutrain.host.api.search import Front, search
    from mcutrain.host.api.shrink import SmallModel, shrink
    from mcutrain.host.api.trainer import Trainer
    from mcutrain.trainer.errors import Error

__all__ = [
    "Callback", "Dataset", "Device", "Epoch", "Error", "Firmware", "FoundScheme", "Front", "Model",
    "Plan", "Run", "SmallModel", "Step", "StopTraining", "Trainer", "audit", "blame", "build",
    "calibrate", "generate", "load", "load_data", "loggers", "plan", "search", "shrink", "unlearn",
]  # fmt: skip

_API = "mcutrain.host.api."
_HOMES = {
    "Callback": _API + "callbacks",
    "Dataset": _API + "data",
    "Device": _API + "device",
    "Epoch": _API + "progress",
    "Error": "mcutrain.trainer.errors",
    "Firmware": _API + "firmware",
    "FoundScheme": _API + "found_scheme",
    "Front": _API + "search",
    "Model": _API + "model",
    "Plan": _API + "plan",
    "Run": _API + "run",
    "SmallModel": _API + "shrink",
    "Step": _API + "progress",
    "StopTraining": _API + "callbacks",
    "Trainer": _API + "trainer",
    "audit": _API + "records",
    "blame": _API + "records",
    "build": _API + "firmware",
    "calibrate": _API + "calibration",
    "generate": _API + "firmware",
    "load": _API + "model",
    "load_data": _API + "data",
    "plan": _API + "plan",
    "search": _API + "search",
    "shrink": _API + "shrink",
    "unlearn": _API + "records",
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, when it is first used (PEP 562)."""
    if name == "loggers":
        return import_module("mcutrain.loggers")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
