# SPDX-License-Identifier: Apache-2.0
"""The Python interface: what ``import mcutrain`` offers, a module for each concept.

Nothing here prints, reads ``sys.argv`` or needs a console. ``mcutrain/__init__.py`` lists the
names.
"""
