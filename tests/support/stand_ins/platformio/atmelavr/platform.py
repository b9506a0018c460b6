# SPDX-License-Identifier: Apache-2.0
"""A platform under the name of PlatformIO's own for AVR, so that its environments build here."""

from platformio.public import PlatformBase


class AtmelavrPlatform(PlatformBase):
    """Nothing beyond the base."""
