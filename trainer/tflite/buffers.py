# SPDX-License-Identifier: Apache-2.0
"""What a buffer of a file holds: in its own table, or elsewhere in the file.

Files beyond 2 GB, and those of converters that write so always, keep data behind the FlatBuffer
and give its place by ``Buffer.offset``, from the beginning of the file, and ``Buffer.size``. Up to
1 both mean nothing (TFLite schema, version 3c).
"""

from __future__ import annotations

from typing import Any

from mcutrain.trainer.errors import ModelError

NO_PLACE = 1  # the greatest offset and size that mean nothing


def contents(file: Any, index: int, what: str) -> bytes:
    """The bytes of a buffer; ``what`` names it in messages. Raises ModelError."""
    if index >= file.BuffersLength():
        raise ModelError(f"{what} has no buffer")
    buffer = file.Buffers(index)
    inside = buffer.DataAsNumpy()
    offset, size = int(buffer.Offset()), int(buffer.Size())
    if offset <= NO_PLACE:
        if size > NO_PLACE:
            raise ModelError(f"{what} has {size} bytes of data, at no place in the file")
        return b"" if isinstance(inside, int) else bytes(inside.tobytes())
    if not isinstance(inside, int) and inside.size:
        raise ModelError(f"{what} has data twice: in its buffer, and at byte {offset} of the file")
    whole = file._tab.Bytes
    if offset + size > len(whole):
        raise ModelError(
            f"{what} has {size} bytes of data at byte {offset}; the file ends at {len(whole)}",
            "copy it again, or convert it to a file that is whole",
        )
    return bytes(whole[offset : offset + size])


def are_inside(file: Any) -> bool:
    """Whether all data lie in their buffers' own tables: tflite-micro looks nowhere else."""
    return all(file.Buffers(k).Offset() <= NO_PLACE for k in range(file.BuffersLength()))


def has_contents(file: Any, index: int) -> bool:
    """Whether a buffer holds anything, be it sound or not."""
    if index >= file.BuffersLength():
        return False
    buffer = file.Buffers(index)
    return bool(buffer.DataLength() or buffer.Size() > NO_PLACE)
