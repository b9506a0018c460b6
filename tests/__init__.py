# SPDX-License-Identifier: Apache-2.0
import mcutrain  # noqa: F401  (before NumPy: it says how many threads BLAS may use)
