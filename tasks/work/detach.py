"""Leave a run to a controller in the background, which outlives the terminal."""

import os
import subprocess
import sys

from tasks.work.run_folder import RunFolder

LOG = "controller.log"


def leave_behind(folder: RunFolder) -> int:
    """Start a controller for the run that belongs to no terminal; return its pid."""
    with (folder.path / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.cli.main", "runs", "attach", folder.id, "--background"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    return process.pid
