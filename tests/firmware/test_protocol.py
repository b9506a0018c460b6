# SPDX-License-Identifier: Apache-2.0
"""host/link/protocol.py and the firmware's headers say the same."""

from __future__ import annotations

import pytest

from mcutrain.host.errors import ProtocolError
from mcutrain.host.link import protocol
from mcutrain.host.link.protocol import Message, RamRegion, Status
from tests.support.headers import constants


def test_message_ids_are_those_of_the_header() -> None:
    ids = {message.name: message.value for message in Message}

    assert {**ids, "REPLY": protocol.REPLY} == constants("protocol.h", "MCT_MSG_")


def test_payload_sizes_are_those_of_the_header() -> None:
    requests = {f"{message.name}_BYTES": s.size for message, s in protocol.REQUESTS.items()}
    replies = {f"{message.name}_BYTES": s.size for message, s in protocol.REPLIES.items()}

    assert requests == constants("protocol.h", "MCT_REQUEST_")
    assert replies == constants("protocol.h", "MCT_REPLY_")


def test_version_and_flags_are_those_of_the_header() -> None:
    assert constants("protocol.h", "MCT_PROTOCOL_") == {"VERSION": protocol.VERSION}
    assert constants("protocol.h", "MCT_STEP_") == {"DIGEST": protocol.STEP_DIGEST}


def test_what_a_store_is_asked_to_do_is_that_of_the_header() -> None:
    actions = {action.name: action.value for action in protocol.StoreAction}

    assert actions == constants("protocol.h", "MCT_STORE_")


def test_status_codes_are_those_of_the_header() -> None:
    errors = {status.name: status.value for status in Status if status is not Status.OK}

    assert errors == constants("status.h", "MCT_ERR_")
    assert all(status.meaning for status in Status)


def test_regions_are_those_of_the_header() -> None:
    regions = constants("model.h", "MCT_REGION_")

    assert regions.pop("COUNT") == len(RamRegion)
    assert {region.name: region.value for region in RamRegion} == regions


@pytest.mark.parametrize("payload", [b"", b"\x7f", b"\x80abc"])
def test_a_reply_without_a_known_status_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="status"):
        protocol.split_reply(payload)


def test_a_reply_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ProtocolError, match="INFER with 3 bytes instead of 4"):
        protocol.unpack(Message.INFER, b"abc")
