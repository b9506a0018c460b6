# SPDX-License-Identifier: Apache-2.0
"""What options are when they are not given. Imports no NumPy, so that help is quick."""

from pathlib import Path

AUTO = "auto"  # learning rate
BAUD = 1_000_000  # of a serial port
EPOCHS = 10
PATIENCE = 5  # epochs that may bring nothing better, one after another
RATE_MINUTES = 2.0  # of a search for a learning rate, counted in what it computes
RATIO = 1  # replayed samples for each new one
REPORT = Path("mcutrain-demo.html")  # of the demonstration
