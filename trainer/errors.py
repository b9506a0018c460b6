# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, by what the user does next. Each message says what, where and what to do."""

from __future__ import annotations


class Error(Exception):
    """Root of every error the command line prints as one line."""


class ModelError(Error):
    """The model file cannot be used: change or re-export the model."""


class UnsupportedOpError(ModelError):
    """The model holds an operator, or an option of one, that is not supported."""


class SchemeError(Error):
    """The update scheme does not fit the model: change the scheme."""


class DataError(Error):
    """The data set does not fit the model: change the data."""


class BudgetError(Error):
    """The plan does not fit the memory: train fewer or later layers, or take a board with more."""

    def __init__(self, message: str, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
