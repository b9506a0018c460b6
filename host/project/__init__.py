# SPDX-License-Identifier: Apache-2.0
"""A project of the user's own: a firmware that learns, for PlatformIO (`mcutrain new`)."""
