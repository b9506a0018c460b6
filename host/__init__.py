# SPDX-License-Identifier: Apache-2.0
"""The tool on the computer."""

# In a checkout the folder can be found by its own name, and each class would be there twice.
if __name__ != "mcutrain.host":
    raise ImportError("the package is mcutrain.host")
