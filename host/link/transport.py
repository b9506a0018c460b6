# SPDX-License-Identifier: Apache-2.0
"""Byte streams to a device."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

import serial

from mcutrain.host.defaults import BAUD
from mcutrain.host.errors import TransportError
from mcutrain.host.system.here import PORT_ERRORS

WRITE_TIMEOUT_S = 10.0
OPEN_ERRORS: tuple[type[Exception], ...] = (*PORT_ERRORS, ValueError)

T = TypeVar("T", bound="Transport")


class Transport(ABC):
    """A byte stream; may lose, repeat or damage bytes. A context manager that closes itself.

    `name` stands in messages. All methods raise TransportError once the stream cannot be used.
    """

    name: str

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send all bytes."""

    @abstractmethod
    def read(self, timeout_s: float) -> bytes:
        """What has arrived, as soon as there is a byte; b"" if none came within the timeout."""

    @abstractmethod
    def discard(self) -> None:
        """Drop what has arrived so far."""

    @abstractmethod
    def close(self) -> None:
        """Give the stream back; it may be called twice."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SerialTransport(Transport):
    """A serial port or pseudo-terminal, locked against other programs."""

    def __init__(self, port: str, baud: int = BAUD) -> None:
        self.name = port
        try:
            self._serial = serial.Serial(
                port, baud, timeout=0, write_timeout=WRITE_TIMEOUT_S, exclusive=True
            )
        except OPEN_ERRORS as error:
            raise TransportError(why_not_open(port, error)) from error

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise TransportError(
                f"{self.name}: nothing was taken for {WRITE_TIMEOUT_S:g} s; restart the device"
            ) from error
        except PORT_ERRORS as error:
            raise self._lost(error) from error

    def read(self, timeout_s: float) -> bytes:
        try:
            if self._serial.timeout != timeout_s:
                self._serial.timeout = timeout_s
            data: bytes = self._serial.read(max(1, self._serial.in_waiting))
        except PORT_ERRORS as error:
            raise self._lost(error) from error
        return data

    def discard(self) -> None:
        try:
            self._serial.reset_input_buffer()
        except PORT_ERRORS as error:
            raise self._lost(error) from error

    def close(self) -> None:
        self._serial.close()

    def _lost(self, error: Exception) -> TransportError:
        return TransportError(
            f"{self.name}: the port has gone ({error}); plug the device in again and start over"
        )


def windows_errno(error: Exception) -> int | None:
    """What pyserial tells in words alone of a port on Windows, which another program then uses, or
    which is not there."""
    said = {"FileNotFoundError": errno.ENOENT, "PermissionError": errno.EBUSY}
    return next((number for name, number in said.items() if name in str(error)), None)


def why_not_open(port: str, error: Exception) -> str:
    """What is said of a port that ``error`` keeps from being opened, and what to do."""
    number = getattr(error, "errno", None) or windows_errno(error)
    if number in (errno.EAGAIN, errno.EACCES) and "lock" in str(error):
        return f"{port}: another program is using this port; close it"
    if number == errno.EBUSY:
        return f"{port}: another program is using this port; close it"
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"{port}: there is no such port; plug the device in, or see `mcutrain ports`"
    if number in (errno.EACCES, errno.EPERM):
        return f"{port}: no permission; add your user to the group that owns it (often dialout)"
    return f"{port}: cannot be opened as a serial port ({error})"
