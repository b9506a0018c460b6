# SPDX-License-Identifier: Apache-2.0
"""What options are when they are not given. Imports no NumPy, so that help is quick."""

from pathlib import Path

AUTO = "auto"  # learning rate
DISTILLED = 8000  # steps of a distillation, at most
BAUD = 1_000_000  # of a serial port
EPOCHS = 10
GUARD_MINUTES = 2.0  # of the trainings by which the guard decides, counted in what they compute
PATIENCE = 5  # epochs that may bring nothing better, one after another
RATE_MINUTES = 2.0  # of those that find a learning rate, counted alike
RATIO = 1  # replayed samples for each new one
RECONNECT_S = 60.0  # for which a device that is gone is looked for
REPORT = Path("mcutrain-demo.html")  # of the demonstration
SCHEDULE = "cooldown"  # of the learning rate
