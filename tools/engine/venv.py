"""How an engine is put into a virtual environment, and the note of which one it is.

`<venv>/share/gaxx/engine.json` is `{"source": "path"|"download"|"build", "version": "3.259.0", "path": "/…/pulumi"}`;
`gaxx doctor` reads it.
"""

import json
import os
import pathlib
import shlex
import shutil
import tempfile

from tools.engine.found import Engine

HOST = pathlib.Path(__file__).parent / "language_host.py"
NAMES = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")


def note(venv: pathlib.Path) -> pathlib.Path:
    """The file that says which engine a virtual environment has."""
    return venv / "share" / "gaxx" / "engine.json"


def link(engine: Engine, venv: pathlib.Path) -> None:
    """Make `engine` the `pulumi` of `venv`, replacing the one before it. Safe to repeat."""
    binaries = venv / "bin"
    with tempfile.TemporaryDirectory(prefix=".engine-", dir=binaries) as folder:
        staged = pathlib.Path(folder)
        if engine.source == "build":
            # A hard link and not a symbolic one: the engine looks for its language hosts beside the file it was
            # started from, and complains when it meets another one on PATH first.
            _hard_link(engine.binary, staged / "pulumi")
            for name in ("pulumi-language-python-exec", "pulumi-resource-pulumi-python"):
                shutil.copy(engine.binary.with_name(name), staged / name)
            _write_launcher(venv, staged / "pulumi-language-python")
        else:
            # The official engine brings its own hosts, and finds them by resolving this link.
            (staged / "pulumi").symlink_to(engine.binary)
        for name in NAMES:
            if (staged / name).exists():
                (staged / name).replace(binaries / name)
            else:
                (binaries / name).unlink(missing_ok=True)
        text = json.dumps({"source": engine.source, "version": engine.version, "path": str(engine.binary)})
        (staged / "note").write_text(f"{text}\n")
        note(venv).parent.mkdir(parents=True, exist_ok=True)
        (staged / "note").replace(note(venv))


def _hard_link(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links: 115 MB it is.
        shutil.copy(source, target)


def _write_launcher(venv: pathlib.Path, target: pathlib.Path) -> None:
    # By way of sh: the path of a clone may be longer than what the kernel takes after #!.
    # -I: nothing in the program's folder or in PYTHONPATH may stand in for what the host imports.
    command = shlex.join((str(venv.absolute() / "bin" / "python"), "-I", str(HOST.absolute())))
    target.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    target.chmod(0o755)
