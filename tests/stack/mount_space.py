"""A mount namespace of its own: what is put over the machine's folders there, nobody else sees."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def mount_space(folder: pathlib.Path, *commands: str) -> Iterator[tuple[str, ...]]:
    """Run `commands` (each a shell line, as root) in a new mount namespace; yield what goes before one to enter it.

    What is run that way is run in `folder`.
    """
    script = "\n".join(["set -e", "mount --make-rprivate /", *commands, "echo ready", "exec cat"])
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n", "the namespace is prepared"
            yield ("nsenter", "--mount", f"--target={holder.pid}", "--", "env", f"--chdir={folder}")
        finally:
            # Its end ends the namespace, as soon as nobody else is in it.
            holder.communicate()
