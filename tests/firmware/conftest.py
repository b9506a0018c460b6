# SPDX-License-Identifier: Apache-2.0
"""The firmware on its native port, with a fake model, and its host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutrain.host.link.device import Device
from mcutrain.host.link.transport import SerialTransport
from mcutrain.host.simulation.simulator import simulate
from tests.support.fake_model.build import (
    BUILD_HASH,
    NUMERICS_HASH,
    build_native,
)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("native"))


@pytest.fixture
def port(elf: Path) -> Iterator[str]:
    with simulate("native", elf) as path:
        yield path


@pytest.fixture
def device(port: str) -> Iterator[Device]:
    with SerialTransport(port) as transport:
        yield Device.open(transport, BUILD_HASH, NUMERICS_HASH)
