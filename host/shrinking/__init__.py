# SPDX-License-Identifier: Apache-2.0
"""Finds the channels whose leaving costs least, and repairs what stays."""
