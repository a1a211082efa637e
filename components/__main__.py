"""The plugin's entry: the engine runs this folder as a program."""

import pathlib
import sys

# Python put this folder first; with it there our module names would shadow the standard library's.
sys.path[0] = str(pathlib.Path(__file__).resolve().parent.parent)

from components.provider.serve import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    main(sys.argv[1:])
