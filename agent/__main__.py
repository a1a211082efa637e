"""`python -m agent`: environment -> configuration -> agent -> exit code.

SIGHUP reads manifest, tokens and certificates anew; SIGTERM drains; a second one stops at once.
"""

import os
import sys

from agent.core_log import CoreLog
from agent.hardening import hide_from_same_user

GRPC_EXPERIMENTS = "-event_engine_listener"
"""The listener that gRPC's own threads serve hands each step of a handshake to another of them: a third of all the
times that one short command makes this process change threads, and a fourteenth of its processor time."""


def main() -> int:
    """Serve until SIGTERM. Returns the exit code."""
    hide_from_same_user()
    # gRPC looks at its settings when it is loaded.
    core_log = CoreLog()
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)
    from agent.process import run

    return run(core_log)


if __name__ == "__main__":
    sys.exit(main())
