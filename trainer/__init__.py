# SPDX-License-Identifier: Apache-2.0
"""Decides what a training step is: graph, plan, memory; and its meaning in NumPy."""

# In a checkout the folder can be found by its own name, and each class would be there twice.
if __name__ != "mcutrain.trainer":
    raise ImportError("the package is mcutrain.trainer")
