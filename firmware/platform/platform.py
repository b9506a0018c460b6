# SPDX-License-Identifier: Apache-2.0
"""PlatformIO platform of the native and simulated boards; boards/*.json describe them."""

from platformio.public import PlatformBase


class McutrainPlatform(PlatformBase):
    """Nothing beyond the base: all is in builder/main.py."""
