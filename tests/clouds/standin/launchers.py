"""Programs by the names under which the engine looks for the vendors' plugins on PATH, and which start stand-ins."""

import pathlib
import stat
import sys
from collections.abc import Iterable

from tests.stack.project import ROOT

VENDORS = ("linode", "vultr")
_SCRIPT = """#!/bin/sh
PYTHONPATH={root} exec {python} -m tests.clouds.standin.{vendor} "$@"
"""


def write(folder: pathlib.Path, vendors: Iterable[str] = VENDORS) -> None:
    """Write them into a folder, which is then to be put on PATH."""
    for vendor in vendors:
        path = folder / f"pulumi-resource-{vendor}"
        path.write_text(_SCRIPT.format(root=ROOT, python=sys.executable, vendor=vendor))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
