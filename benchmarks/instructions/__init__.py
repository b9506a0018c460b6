# SPDX-License-Identifier: Apache-2.0
"""Instructions of real models on every core, beside those of other engines."""
