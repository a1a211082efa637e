"""CI is an operator with a key of its own: `python -m tasks.ci.operator` puts it where `gaxx` looks for it.

The secret GAXX_OPERATOR holds the files of an operator's folder as one JSON value; `python -m tasks.ci.operator --pack
FOLDER` prints it, to be piped into the secrets of the repository.
"""

import json
import os
import pathlib
import sys

from components import places
from components.errors import GaxxError
from tasks import identity, private

_FILES = (identity.RECORD, identity.SSH_KEY, f"{identity.SSH_KEY}.pub", identity.TLS_KEY, identity.CSR)


def pack(folder: pathlib.Path) -> str:
    """The files of an operator's folder as one line; raise Refused where others can read the keys."""
    try:
        return json.dumps({name: private.read(folder / name) for name in _FILES})
    except FileNotFoundError as error:
        message = f"{error.filename} is missing"
        raise GaxxError(message, hint='`GAXX_OPERATOR_DIR=… eval "$(gaxx env)"` makes a folder of keys') from error


def unpack(text: str, folder: pathlib.Path) -> None:
    """Write the files, private from their first byte; raise GaxxError when they are no operator's."""
    try:
        files = json.loads(text)
        contents = {name: str(files[name]).encode() for name in _FILES}
    except (ValueError, KeyError, TypeError):
        # Whatever it is, it may be a key: it is not quoted.
        message = "GAXX_OPERATOR is not what `python -m tasks.ci.operator --pack FOLDER` prints"
        raise GaxxError(message) from None
    private.folder(folder)
    for name, content in contents.items():
        try:
            private.create(folder / name, content)
        except FileExistsError as error:
            message = f"{folder} holds an operator's key already"
            raise GaxxError(message) from error


def main(argv: list[str]) -> int:
    """Pack or unpack; without GAXX_OPERATOR there is nothing to do: a stack of local nodes needs none."""
    try:
        if argv[:1] == ["--pack"]:
            sys.stdout.write(pack(pathlib.Path(argv[1]) if argv[1:] else places.operator_dir()) + "\n")
        elif os.environ.get("GAXX_OPERATOR"):
            unpack(os.environ["GAXX_OPERATOR"], places.operator_dir())
    except GaxxError as error:
        sys.stderr.write(f"gaxx: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
