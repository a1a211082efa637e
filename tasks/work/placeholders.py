"""An item's command: an argv list whose placeholders are filled with the item's bytes, as GNU parallel means them.

`{}` the item · `{.}` without its last extension · `{/}` its base name · `{//}` its folder · `{/.}` base name
without extension · `{#}` its number, from 1. Items are data: nothing of them is ever parsed again.
"""

import collections.abc
import re

PLACEHOLDER = re.compile(rb"\{(?:|\.|/|//|/\.|#)\}")
_EXTENSION = re.compile(rb"\.[^/.]+\Z")


def fill(placeholder: bytes, item: bytes, number: int) -> bytes:
    """Return what one placeholder stands for; `number` is the item's position from 1."""
    match placeholder:
        case b"{}":
            return item
        case b"{.}":
            return _EXTENSION.sub(b"", item)
        case b"{/}":
            return item.rpartition(b"/")[2]
        case b"{//}":
            return _folder(item)
        case b"{/.}":
            return _EXTENSION.sub(b"", item.rpartition(b"/")[2])
        case _:
            return b"%d" % number


def _folder(item: bytes) -> bytes:
    folder, slash, _ = item.rpartition(b"/")
    if not slash:
        return b"."
    return folder.rstrip(b"/") or b"/"


class Template:
    """An argv with placeholders; `lines_delimiter` when an item is a chunk of lines.

    In a chunk, an argument with a placeholder is repeated, once for each line, and `{#}` is the chunk's number.
    """

    def __init__(self, argv: collections.abc.Sequence[bytes], *, lines_delimiter: bytes = b"") -> None:
        self.argv = tuple(argv)
        self._delimiter = lines_delimiter
        # Literal arguments stay bytes; others are split into literal, placeholder, literal, …
        self._parts: list[bytes | list[bytes]] = [
            re.split(rb"(\{(?:|\.|/|//|/\.|#)\})", argument) if PLACEHOLDER.search(argument) else argument
            for argument in self.argv
        ]

    @property
    def has_placeholder(self) -> bool:
        """Whether any argument depends on the item."""
        return any(isinstance(part, list) for part in self._parts)

    def command(self, item: bytes, index: int) -> list[bytes]:
        """Return the argv for the item at `index` (from 0)."""
        argv: list[bytes] = []
        for part in self._parts:
            if isinstance(part, bytes):
                argv.append(part)
            elif not self._delimiter or set(part[1::2]) == {b"{#}"}:
                argv.append(_join(part, item, index + 1))
            else:
                argv.extend(_join(part, line, index + 1) for line in item.split(self._delimiter))
        return argv


def _join(parts: list[bytes], item: bytes, number: int) -> bytes:
    if parts == [b"", b"{}", b""]:
        return item
    return b"".join(fill(part, item, number) if place % 2 else part for place, part in enumerate(parts))
