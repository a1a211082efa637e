"""A start without OpenSSL, for the one verb whose start is a good part of the whole.

asyncio loads `ssl`, and hashlib OpenSSL's digests, for whoever may want them: 8 % of the time to the first connection.
gRPC brings TLS of its own. Both do without, as in a Python that was built without OpenSSL: then asyncio has no TLS,
and hashlib computes its digests by Python's own code.
"""

import sys

_MODULES = ("_ssl", "_hashlib")


def leave_out() -> None:
    """Let what is imported from here on find no OpenSSL."""
    for name in _MODULES:
        # None is how Python marks a module that is not to be found (language reference, 5.3.1).
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def let_in() -> None:
    """Let it be imported again; what was loaded meanwhile goes on without it."""
    for name in _MODULES:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]
