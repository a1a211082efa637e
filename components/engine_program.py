"""Which `pulumi` is run, by the commands and by our provider alike."""

import pathlib
import sys

from components.errors import GaxxError


def program() -> str:
    """The engine that set-up put beside this Python, else the one on PATH; raise GaxxError when there is none."""
    beside = pathlib.Path(sys.prefix) / "bin" / "pulumi"
    if beside.exists():
        return str(beside)
    import shutil  # with all its compression a part of every command's start

    found = shutil.which("pulumi")
    if found is None:
        message = "pulumi is neither beside this Python nor on PATH"
        raise GaxxError(message, hint="run `make setup`")
    return found
