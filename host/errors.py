# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between the host and a device, by what the user does next."""

from __future__ import annotations

from mcutrain.trainer.errors import Error


class TransportError(Error):
    """The port cannot be used or has gone silent: check the cable, the port, other programs."""


class ProtocolError(Error):
    """The device answers, but not as this protocol says: report it."""


class DeviceError(Error):
    """The device refused a request; `status` says why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MismatchError(Error):
    """The device runs another firmware or model: flash this one, or use its own plan."""


class RightError(Error):
    """A key is missing, or is none of the device's: give the file that has it to --key."""


class BuildError(Error):
    """The firmware does not build: install what the message names, or mend the source."""


class EmulationError(Error):
    """A program does what cannot be executed in this process: mend it, or choose another core."""


class UndecidedError(Error):
    """Something would be lost unless the user says what is to become of it: give an option."""
