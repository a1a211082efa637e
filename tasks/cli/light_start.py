"""A start without what libraries load for others, for the one verb whose start is a good part of the whole.

What Python's own modules, Click and gRPC load for options, sources and tracebacks that may never be wanted,
is a sixth of the time to the first connection. Here it is not found, as in a Python that was built without OpenSSL, or
something stands for it that loads the real one when it is used.
"""

import importlib
import sys
import types
import typing

_ABSENT = ("ssl", "_hashlib", "grpc_tools", "grpc_health", "grpc_reflection")
"""asyncio, hashlib and gRPC do without: gRPC brings TLS of its own, and Python has digests of its own."""


def _later(name: str, **given: object) -> types.ModuleType:
    """Make a module that has what is given, and for all else loads the one it is named after."""
    module = types.ModuleType(name, "Stands for the real one; see tasks.cli.light_start.")

    def load(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    vars(module).update(given, __getattr__=load)
    return module


def _untranslated(text: str) -> str:
    return text


def _untranslated_number(one: str, many: str, number: int) -> str:
    return one if number == 1 else many


_STAND_INS = {
    # Click: its messages are not translated, and an option that is a UUID is none of ours.
    "gettext": _later("gettext", gettext=_untranslated, ngettext=_untranslated_number),
    "uuid": _later("uuid", UUID=type("UUID", (), {})),
    # gRPC: what it wants of the first, Python itself has since 3.11; of the other, roots that are not ours.
    "typing_extensions": typing,
    "pkgutil": _later("pkgutil"),
    # urllib.parse, for addresses in brackets; subprocess, for text; inspect and traceback, for sources.
    "ipaddress": _later("ipaddress"),
    "locale": _later("locale"),
    "textwrap": _later("textwrap"),
    "tokenize": _later("tokenize"),
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
