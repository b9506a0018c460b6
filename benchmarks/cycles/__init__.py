# SPDX-License-Identifier: Apache-2.0
"""Cycles of a training step on the RTL of a RISC-V core."""
