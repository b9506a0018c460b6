# SPDX-License-Identifier: Apache-2.0
"""The accuracy benchmarks, one module each, with a function ``task`` that describes it."""
