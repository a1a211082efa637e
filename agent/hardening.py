"""What a process does to itself so that others of the same user learn nothing from it."""

import ctypes
import logging
import resource

_PR_SET_DUMPABLE = 4


def hide_from_same_user() -> None:
    """Leave no core, and close /proc/PID/environ, mem and fd to processes of our own user.

    On local nodes items run as the agent's user: without this they could read its token there.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        logging.getLogger("gaxx.agent").warning(
            "cannot hide from processes of the same user", extra={"event": "dumpable"}
        )
