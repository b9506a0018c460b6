# SPDX-License-Identifier: Apache-2.0
"""The environments of this package's platformio.ini: what a project has of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from configparser import ConfigParser
from functools import cache

from mcutrain.host.places import FIRMWARE_DIR, PACKAGE

OF_THE_BOARD = ("platform", "board", "framework", "upload_protocol")
OWN_LOOP = "MCT_OWN_LOOP"  # a port leaves the main loop to the project
INCLUDED = re.compile(r'^#include "ports/(\w+)/|^INCLUDE (\w+)/', re.M)
# Flags that say where this package's sources lie, or are of its own build.
OF_THE_PACKAGE = ("-I firmware", "-g", "-std=gnu11")


def settings(env: str) -> Mapping[str, str]:
    """The options of an environment, with those of the sections that it extends, and with what
    ``${section.option}`` stands for."""
    config = configuration()
    found: dict[str, str] = {}
    name = f"env:{env}"
    while name:
        found = {**config[name], **found}
        name = config[name].get("extends", "")
    return {key: resolved(value) for key, value in found.items() if key != "extends"}


@cache
def configuration() -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.read(PACKAGE / "platformio.ini", encoding="utf-8")
    return config


def resolved(value: str) -> str:
    """A value with what it refers to in other sections; PlatformIO's own variables stay."""

    def text(found: re.Match[str]) -> str:
        section, option = found[1], found[2]
        return resolved(configuration()[section][option])

    return re.sub(r"\$\{((?!platformio|this)\w+)\.(\w+)\}", text, value)


def ports_filter(env: str) -> str:
    """Which sources of the ports an environment compiles, as words of a build_src_filter."""
    return " ".join(re.findall(r"[+-]<ports/[^>]*>", settings(env)["build_src_filter"]))


def families(env: str) -> set[str]:
    """The folders of firmware/ports that an environment needs: those that it compiles, and those
    that sources and linker scripts of these include."""
    found: set[str] = set()
    waiting = set(re.findall(r"\+<ports/(\w+)", ports_filter(env)))
    while waiting:
        family = waiting.pop()
        found.add(family)
        for path in (FIRMWARE_DIR / "ports" / family).rglob("*.*"):
            included = INCLUDED.findall(path.read_text(encoding="utf-8"))
            waiting |= {name for names in included for name in names if name} - found
    return found


def board_settings(env: str) -> list[str]:
    """Lines of platformio.ini for a board on a desk."""
    found = settings(env)
    flags = " ".join(found["build_flags"].split())
    for flag in OF_THE_PACKAGE:
        flags = re.sub(rf"(^|\s){re.escape(flag)}(?=\s|$)", "", flags)
    lines = [f"{key} = {found[key]}" for key in OF_THE_BOARD if key in found]
    return [*lines, f"build_flags = {flags.strip()} -D {OWN_LOOP}"]
