"""`python -m agent`: environment -> configuration -> agent -> exit code.

SIGHUP reads manifest, tokens and certificates anew; SIGTERM drains; a second one stops at once.
"""

import sys

from agent.core_log import CoreLog
from agent.hardening import hide_from_same_user


def main() -> int:
    """Serve until SIGTERM. Returns the exit code."""
    hide_from_same_user()
    # gRPC looks at its settings when it is loaded.
    core_log = CoreLog()
    from agent.process import run

    return run(core_log)


if __name__ == "__main__":
    sys.exit(main())
