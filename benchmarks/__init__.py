# SPDX-License-Identifier: Apache-2.0
"""What the project is measured by: accuracy against float training, seconds of a step."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the tool runs; before NumPy
