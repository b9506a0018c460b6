# SPDX-License-Identifier: Apache-2.0
"""Makes a finished int8 model smaller, until its training fits a budget."""
