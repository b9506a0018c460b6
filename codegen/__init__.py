# SPDX-License-Identifier: Apache-2.0
"""Prints a plan as C."""

# In a checkout the folder can be found by its own name, and each class would be there twice.
if __name__ != "mcutrain.codegen":
    raise ImportError("the package is mcutrain.codegen")
