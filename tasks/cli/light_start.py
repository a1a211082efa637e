"""A start without what libraries load for others, for the one verb whose start is a good part of the whole.

asyncio loads `ssl`, and hashlib OpenSSL's digests, for whoever may want them; gRPC, which has TLS of its own, looks for
its companions; Click loads `uuid`, and with it `platform`, for options that are UUIDs: a seventh of the time to the
first connection. All do without: the first ones as in a Python that was built without OpenSSL.
"""

import sys
import types
import typing

_ABSENT = ("ssl", "_hashlib", "grpc_tools", "grpc_health", "grpc_reflection")


def _uuid() -> types.ModuleType:
    module = types.ModuleType("uuid", "Not loaded; see tasks.cli.light_start.")
    module.UUID = type("UUID", (), {})  # type: ignore[attr-defined]
    return module


_STAND_INS = {
    "uuid": _uuid(),
    # What gRPC wants of it, Python has itself since 3.11.
    "typing_extensions": typing,
}


def leave_out() -> None:
    """Let what is imported from here on not find them."""
    for name in _ABSENT:
        # None is how Python marks a module that is not to be found (language reference, 5.3.1).
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    for name, module in _STAND_INS.items():
        sys.modules.setdefault(name, module)


def let_in() -> None:
    """Let them be imported again; what was loaded meanwhile goes on without."""
    for name in _ABSENT:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]
    for name, module in _STAND_INS.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]
