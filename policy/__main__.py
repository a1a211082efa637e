"""Runs the pack for the engine, which starts this folder as a program."""

import pathlib
import sys

# Last, so that nothing beside this folder can stand in for a library. The folder is a package called policy.
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

from policy.pack import main

main()
