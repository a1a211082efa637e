"""Leave a run to a controller in the background, which outlives the terminal."""

import os
import subprocess
import sys
import time

from components.errors import GaxxError
from tasks.work.run_folder import RunFolder

LOG = "controller.log"
_POLL_S = 0.02


def leave_behind(folder: RunFolder) -> int:
    """Start a controller for the run that belongs to no terminal; return its pid once it drives. Raise GaxxError."""
    with (folder.path / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.cli.main", "runs", "attach", folder.id, "--background"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    while not folder.driver():
        if process.poll() is not None:
            last = (folder.path / LOG).read_text(errors="replace").strip().splitlines()[-1:]
            message = f"the controller in the background ended at once: {' '.join(last) or 'without a word'}"
            raise GaxxError(message, hint=f"`gaxx runs attach {folder.id}` goes on with the run")
        time.sleep(_POLL_S)
    return process.pid
