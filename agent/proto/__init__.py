"""The messages of agent.proto and runner.proto, and how they are loaded.

protobuf has two implementations, and where it uses the one in C it loads the one in Python none the less: 20 modules,
10 ms of every start, 1 MB of every process. Here a placeholder stands for it meanwhile; whoever asks for it later gets
the real one.
"""

import sys
import types

from google.protobuf.internal import api_implementation

_NAME = "google.protobuf.internal.python_message"


def _load_without_python_implementation() -> None:
    sys.modules[_NAME] = types.ModuleType(_NAME, "Not loaded; see agent.proto.")
    try:
        # These import it, and call it only for messages made in Python.
        import google.protobuf.descriptor_pool
        import google.protobuf.internal.builder
        import google.protobuf.symbol_database  # noqa: F401
    finally:
        del sys.modules[_NAME]


if api_implementation.Type() != "python" and _NAME not in sys.modules:
    _load_without_python_implementation()
