"""Frames on the socket between agent and runner: a 4-byte big-endian length, then one message."""

import struct
from collections.abc import Iterator

from google.protobuf.message import Message

_LENGTH = struct.Struct(">I")
# More than any frame we make: a batch of items with their values, or the inline output of a turn.
FRAME_LIMIT_BYTES = 256 * 1024 * 1024


class FrameError(Exception):
    """The peer speaks something else: the connection is of no more use."""


def encode(message: Message) -> bytes:
    """Return one frame."""
    payload = message.SerializeToString()
    return _LENGTH.pack(len(payload)) + payload


class Decoder:
    """Cut a byte stream into the payloads of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each payload that `data` completes. Raises FrameError on an impossible length."""
        self._buffer += data
        at = 0
        size = len(self._buffer)
        try:
            while size - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if length > FRAME_LIMIT_BYTES:
                    message = f"a frame of {length} bytes; at most {FRAME_LIMIT_BYTES} are allowed"
                    raise FrameError(message)
                end = at + _LENGTH.size + length
                if end > size:
                    break
                payload = bytes(memoryview(self._buffer)[at + _LENGTH.size : end])
                at = end
                yield payload
        finally:
            del self._buffer[:at]
