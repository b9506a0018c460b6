# SPDX-License-Identifier: Apache-2.0
"""What was recorded of a device's sensor, in words."""

from __future__ import annotations

from typing import Any

from mcutrain.host.show.terminal import lines


def collected_lines(told: dict[str, Any]) -> None:
    pairs = zip(told["classes"], told["recorded"], strict=True)
    ending = "interrupted; " if told["interrupted"] else ""
    if not sum(told["recorded"]):
        lines([f"{told['port']}: {ending}no sample was recorded"])
        return
    counts = ", ".join(f"{name} {count}" for name, count in pairs)
    text = [
        f"{told['port']}: {ending}recorded {counts}",
        f"{told['output']} has {told['train']} samples to train on and {told['test']} to test with",
    ]
    if not told["test"]:
        text.append("with two samples or more of a class one of them is kept to test with")
    lines(text)
