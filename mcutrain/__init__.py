# SPDX-License-Identifier: Apache-2.0
"""Train the int8 network that a microcontroller already runs, on the microcontroller."""

import os

# The products of a step are small: threads of BLAS cost more than they bring, many times more
# where another process is busy. Read by NumPy when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
