"""How a verb changes the stack file and then goes `up`: undone where the user declines, told where the update fails."""

import collections.abc
import contextlib
import pathlib

from components.errors import GaxxError
from tasks.updates.deploy import Declined

Up = collections.abc.Callable[[], None]
"""Runs `pulumi up` for the stack; raises GaxxError."""
Tell = collections.abc.Callable[[str], None]


@contextlib.contextmanager
def restored(file: pathlib.Path) -> collections.abc.Iterator[None]:
    """Put the stack file back as it was when the user declines the update in the block."""
    before = file.read_bytes()
    try:
        yield
    except Declined:
        file.write_bytes(before)
        raise


@contextlib.contextmanager
def saying(text: str, tell: Tell, *, although_declined: bool = False) -> collections.abc.Iterator[None]:
    """Say how things stand when the update in the block fails."""
    try:
        yield
    except GaxxError as error:
        if although_declined or not isinstance(error, Declined):
            tell(text)
        raise
