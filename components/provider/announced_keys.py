"""Host keys that nodes announced before they brought them into use: by them an enrolment that was killed goes on.

A node changes its host key in the middle of its enrolment. An engine that is killed there has told no state of the new
key, and where only SSH leads to the node nothing else could prove it. So the key, which came over the connection that
was strict from its first packet, is kept here as long as the machine lives.
"""

import contextlib
import glob
import pathlib
import shutil
from collections.abc import Iterable, Sequence

from components.authority import Authority
from components.places import private_dir


def keep(authorities: Sequence[Authority], machine_id: str, host_key: str) -> None:
    """Remember the key that a machine is about to bring into use, under the first of these alone."""
    for other in authorities[1:]:
        forget(other, machine_id)
    folder = _folder(authorities[0])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = folder / f".{machine_id}.new"
    new.write_text(host_key)
    new.replace(folder / machine_id)


def find(authorities: Iterable[Authority], machine_id: str) -> str:
    """The key that a machine announced under any of these; empty when it announced none to this computer."""
    for authority in authorities:
        with contextlib.suppress(FileNotFoundError):
            return (_folder(authority) / machine_id).read_text()
    return ""


def forget(authority: Authority, machine_id: str) -> None:
    """The machine is gone, or another authority's."""
    folder = _folder(authority)
    (folder / machine_id).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, or not there
        folder.rmdir()


def forget_machine(machine_id: str) -> None:
    """The machine is gone, and nobody knows under which authority it was."""
    for path in (private_dir() / "enrolling").glob(f"*/{glob.escape(machine_id)}"):
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            path.parent.rmdir()


def forget_all(authority: Authority) -> None:
    """The stack is gone."""
    shutil.rmtree(_folder(authority), ignore_errors=True)


def _folder(authority: Authority) -> pathlib.Path:
    return private_dir() / "enrolling" / authority.fingerprint[:24]
