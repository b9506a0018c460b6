# SPDX-License-Identifier: Apache-2.0
"""Makes a model smaller for a budget: what its channels are worth, which stay, their repair."""
