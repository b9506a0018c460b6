# SPDX-License-Identifier: Apache-2.0
"""Records of what a training learned from: kept, proved, learned again without, and searched."""
