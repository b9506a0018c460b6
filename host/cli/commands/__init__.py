# SPDX-License-Identifier: Apache-2.0
"""The commands, as typer registers them: a signature with help, and a body that calls the work.

All of these modules are imported for every command and for each help page. What needs NumPy or
more than the library is imported in a body.
"""
