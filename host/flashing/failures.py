# SPDX-License-Identifier: Apache-2.0
"""What tools print where flashing fails, and what is to be done then."""

from __future__ import annotations

import re

ACCESS = (
    "this user may not use the USB device: install the udev rules of the tool, or run it as root, "
    "and plug the board in again"
)
DEAF = "check cable and power; hold the board's reset button, and let it go as flashing begins"
# The first that a line matches counts; lines are looked through from the first.
_KNOWN = (
    (r"LIBUSB_ERROR_ACCESS|Permission denied|Cannot open DFU device|insufficient perm", ACCESS),
    (r"[Dd]evice or resource busy|LIBUSB_ERROR_BUSY|port is busy|exclusively lock", "another "
     "program has the board: end it"),
    (r"No accessible RP-?series|No accessible RP2040|No accessible RP\d+", "hold BOOTSEL while you "
     "plug the board in"),
    (r"No DFU capable USB device", "set BOOT0 to 1 and reset the board, so that it is in its "
     "bootloader"),
    (r"open failed|[Cc]ouldn't find any ST-?Link|unable to find a matching|No device found|"
     r"LIBUSB_ERROR_NO_DEVICE", "no adapter was found: plug the board in"),
    (r"Wrong boot mode|Failed to connect to ESP|No serial data received", "hold the BOOT button "
     "while it connects"),
    (r"This chip is|Wrong --chip|wrong chip", "this is another chip: give the board that is "
     "attached"),
    (r"not in sync|programmer is not responding|ReceiveMessage\(\): timeout|stk500v2_getsync",
     "check --port, and press reset as flashing begins"),
    (r"[Ii]nvalid device signature|Expected signature|doesn't match", "this is another chip: give "
     "the board that is attached"),
    (r"No such file or directory.*tty|could not open port|can't open device|No device found on",
     "there is no such port: see `mcutrain ports`"),
    (r"[Ff]ailed to connect to target|examination failed|init mode failed|Error connecting DP|"
     r"unable to connect to the target|not halted", DEAF),
    (r"HTTPClientError|InternetConnectionError|registry", "PlatformIO could not reach its "
     "registry: check the network"),
)  # fmt: skip
KNOWN = tuple((re.compile(pattern), advice) for pattern, advice in _KNOWN)
_PLAIN = re.compile(r"[Ee]rror|[Ff]ail|FAIL|[Cc]annot|can't|[Nn]o ")


def explained(name: str, output: str, status: int) -> str:
    """One line of what a tool printed before it failed, with advice if it is known.

    >>> explained("st-flash", "st-flash 1.7.0\\nCouldn't find any ST-Link devices\\n", 1)
    "st-flash failed: Couldn't find any ST-Link devices; no adapter was found: plug the board in"
    """
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    for line in lines:
        for pattern, advice in KNOWN:
            if pattern.search(line):
                return f"{name} failed: {line}; {advice}"
    line = next(
        (each for each in lines if _PLAIN.search(each)), (lines or ["it printed nothing"])[-1]
    )
    return f"{name} failed with status {status}: {line}; see what it says with --verbose"
