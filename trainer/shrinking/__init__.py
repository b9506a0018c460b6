# SPDX-License-Identifier: Apache-2.0
"""Fewer channels: which leave a model together, what their leaving does, the smaller file."""
