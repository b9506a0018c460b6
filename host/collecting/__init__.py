# SPDX-License-Identifier: Apache-2.0
"""Labelled samples of a device's own sensor, recorded into a data set."""
