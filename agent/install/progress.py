"""How far a long step of enrolment is: a line for whoever waits at the other end of the SSH connection."""

import contextlib
import os

PREFIX = "progress: "
"""What tells these lines of standard error from complaints; the controller knows it too."""


def say(text: str) -> None:
    """Say it; whether anybody still listens must not matter to the step itself."""
    with contextlib.suppress(OSError):
        os.write(2, f"{PREFIX}{text}\n".encode())
