# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a record."""

from __future__ import annotations

from mcutrain.trainer.errors import Error


class RecordError(Error):
    """The record is not as `mcutrain train --record` writes it: take another copy of it."""


class DisprovedError(Error):
    """What a record says is not what happened, or the state is not the record's."""
