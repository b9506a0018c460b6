# SPDX-License-Identifier: Apache-2.0
"""What differs between systems: locks, processes and their groups, signals, ports that go away.

``here`` is the one module of this computer's; both have the same names, and all else that is not
the same everywhere is kept out of the other packages (tests/project/test_systems.py).
"""
