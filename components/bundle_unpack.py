"""The `__main__` of an agent bundle: `python3 <bundle> unpack DIR` on the node. Standard library only.

It runs after the bundle's signature has been verified. The folder appears whole or not at all, and only
when this machine's Python can import every module of the agent from it.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

# Imported as the one who installs, so that the compiled files are there for services that cannot write them.
_IMPORT_ALL = """
import importlib, pkgutil, agent
for module in pkgutil.walk_packages(agent.__path__, "agent."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""


def unpack(archive: pathlib.Path, target: pathlib.Path) -> None:
    """Unpack into `target`, which must not exist; raise OSError, BadZipFile or CalledProcessError."""
    if target.exists():
        raise FileExistsError(17, "it exists already", str(target))
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target.parent) as folder:
        tree = pathlib.Path(folder) / "tree"
        with zipfile.ZipFile(archive) as file:
            file.extractall(tree, [name for name in file.namelist() if name != "__main__.py"])
        subprocess.run(
            [sys.executable, "-s", "-c", _IMPORT_ALL],
            cwd=tree,
            env={"PYTHONPATH": str(tree), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
        shutil.move(tree, target)


def main() -> int:
    """Do what argv says; one line on stderr and status 1 when it cannot be done."""
    if len(sys.argv) != 3 or sys.argv[1] != "unpack":  # noqa: PLR2004 - program, verb, folder
        sys.stderr.write("usage: python3 BUNDLE unpack DIR\n")
        return 1
    try:
        unpack(pathlib.Path(sys.argv[0]).resolve(), pathlib.Path(sys.argv[2]).absolute())
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or [f"status {error.returncode}"]
        sys.stderr.write(f"this machine's Python cannot run the agent: {lines[-1]}\n")
        return 1
    except (OSError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
