# SPDX-License-Identifier: Apache-2.0
"""What the site has beside the pages in ``docs``: documents of other folders, and references that
are made from the sources. mkdocs.yml names ``hooks.py``."""
