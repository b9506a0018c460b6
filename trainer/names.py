# SPDX-License-Identifier: Apache-2.0
"""What a user may write for a loss and for a scheme. Imports nothing, so that help is quick."""

CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION = "cross-entropy", "mse", "reconstruction"
LOSSES = (CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION)
SPEC_HELP = "head, last:K, bias, full, or the path of a scheme file ending in .toml"
