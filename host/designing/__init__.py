# SPDX-License-Identifier: Apache-2.0
"""Makes small nets from scratch for a user's data and budget, and judges them after adaptation."""
