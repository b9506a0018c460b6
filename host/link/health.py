# SPDX-License-Identifier: Apache-2.0
"""What became of a device, in words: what its HELLO says of resets and saves."""

from __future__ import annotations

from typing import Any

from mcutrain.host.link.protocol import Hello


def told(info: Hello) -> str:
    """The last reset, how many there were, and saves, for people.

    >>> told(Hello(3, 96, b"", b"", 1, 2, 4, 4, 0, 5, cause=3, resets=2, saves=1))
    'last reset: watchdog; 2 resets since power-on; 1 save in flash'
    """
    said = [f"last reset: {info.reset_cause.words}"]
    if info.resets:
        said.append(f"{_counted(info.resets, 'reset')} since power-on")
    if info.saves:
        said.append(f"{_counted(info.saves, 'save')} in flash")
    if info.is_safe_start:
        said.append(
            "safe start: it kept failing, so it began without what it had saved, which is still "
            "there"
        )
    return "; ".join(said)


def restarted(before: Hello, now: Hello) -> str | None:
    """What a device says that has restarted between two sessions; None if it has not, as far as
    it knows: one that keeps no count tells it by its steps alone."""
    count = (now.resets - before.resets) % (1 << 16)
    if count:
        return f"it has restarted {_counted(count, 'time')} since ({_last(now)})"
    return f"it has restarted since ({_last(now)})" if now.steps < before.steps else None


def to_json(info: Hello) -> dict[str, Any]:
    """The same for programs: ``device_id`` is "" if the device has none."""
    return {
        "device_id": info.id_text,
        "last_reset": info.reset_cause.words,
        "resets": info.resets,
        "saves": info.saves,
        "safe_start": info.is_safe_start,
        "told": told(info),
    }


def _last(info: Hello) -> str:
    return f"last reset: {info.reset_cause.words}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
