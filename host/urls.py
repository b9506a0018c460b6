# SPDX-License-Identifier: Apache-2.0
"""Addresses with passwords in them, as they may be shown."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

HIDDEN = "***"
# Behind the user's name, up to the last @ before the path; and in the query.
_USER = re.compile(r"(?<=://)([^/?#\s:]*):([^/?#\s]*)(?=@)")
_QUERY = re.compile(r"(?i)(?<=[?&])(\w*(?:passw(?:or)?d|pwd|secret|token|key)\w*)=([^&#\s]*)")


def without_passwords(text: str) -> str:
    """The text with ``***`` in place of the passwords in its addresses.

    >>> without_passwords("cannot use postgresql://me:s3:cr@t@host/db?sslpassword=x&a=1")
    'cannot use postgresql://me:***@host/db?sslpassword=***&a=1'
    """
    return _QUERY.sub(rf"\1={HIDDEN}", _USER.sub(rf"\1:{HIDDEN}", text))


def hidden(text: str, address: str) -> str:
    """The text without the passwords of ``address``, in whatever form it repeats them."""
    found = [m[2] for pattern in (_USER, _QUERY) for m in pattern.finditer(address)]
    for word in sorted({form for raw in found for form in forms(raw)}, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return without_passwords(text)


def forms(raw: str) -> set[str]:
    return {form for form in (raw, unquote(raw), unquote_plus(raw)) if form}
