# SPDX-License-Identifier: Apache-2.0
"""A linked program in this process: Unicorn executes the functions of the model that it holds."""
