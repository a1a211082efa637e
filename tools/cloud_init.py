"""cloud-init's own schema, which tests hold the user-data to; taken out of Debian's package, which is not installed.

Installed it would run at the machine's next boot, and this is somebody's own machine.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tools.machine import MachineError, apt

_SCHEMA = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"


def schema(venv: pathlib.Path) -> pathlib.Path:
    """Where the schema lies in a set-up clone."""
    return venv / "share" / "gaxx" / "cloud-init-schema.json"


def fetch(venv: pathlib.Path) -> None:
    """Take the schema out of the package, if it is not there yet. Raises MachineError."""
    target = schema(venv)
    if target.exists():
        return
    sys.stderr.write("gaxx: taking cloud-init's schema out of its package\n")
    # apt-get downloads as an account of its own, which has to get into the folder.
    with tempfile.TemporaryDirectory(prefix="gaxx-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        try:
            apt("download", "cloud-init", folder=folder)
        except MachineError:
            if os.geteuid() != 0:
                raise
            apt("update")
            apt("download", "cloud-init", folder=folder)
        package = next(folder.glob("cloud-init_*.deb"), None)
        if package is None:
            message = "apt-get download cloud-init left no package"
            raise MachineError(message)
        subprocess.run(("dpkg-deb", "-x", str(package), str(folder / "tree")), check=True, capture_output=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "tree" / _SCHEMA, target)
