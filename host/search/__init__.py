# SPDX-License-Identifier: Apache-2.0
"""Chooses a sparse update scheme for a user's data and budget (Lin et al. 2022, section 3.2)."""
