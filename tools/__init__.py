# SPDX-License-Identifier: Apache-2.0
"""What is run by hand on the tree: packages to install, floors of the imports."""
