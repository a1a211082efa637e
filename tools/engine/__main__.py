"""`python3 -m tools.engine --venv .venv`: have an engine, put it into the venv, say which one it is."""

import argparse
import contextlib
import fcntl
import pathlib
import shutil
import sys
import typing
from collections.abc import Callable, Iterator, Sequence

from components import places
from tools.engine import build, download, path, venv
from tools.engine.errors import EngineError
from tools.engine.found import Engine, Source
from tools.engine.progress import Progress

ROOT = pathlib.Path(__file__).parent.parent.parent


@contextlib.contextmanager
def locked(cache: pathlib.Path) -> Iterator[None]:
    """One set-up at a time: two would build the same engine twice, into the same folder."""
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with Progress("gaxx: engine: another set-up is at work, waiting for it"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def have(target: pathlib.Path, sources: Sequence[Source]) -> Engine:
    """The engine of the first of `sources` that has one; each that has none says why on stderr, in one line.

    Raises EngineError when all have failed.
    """
    cache = places.cache_dir() / "engine"
    cache.mkdir(parents=True, exist_ok=True)
    version = build.pinned_version()
    uv = shutil.which("uv", path=str(target / "bin")) or shutil.which("uv")
    with locked(cache):
        # What an earlier set-up has left is had before anything is asked of the network.
        ready: dict[Source, Callable[[], Engine | None]] = {
            "path": path.find,
            "download": lambda: download.cached(cache, version),
            "build": lambda: build.cached(cache),
        }
        makers: dict[Source, Callable[[], Engine | None]] = {
            "download": lambda: download.fetch(cache, version, target / "bin" / "python"),
            "build": lambda: build.make(cache, uv),
        }
        for step in (ready, makers):
            for source in sources:
                try:
                    engine = step[source]() if source in step else None
                except EngineError as error:
                    sys.stderr.write(f"gaxx: engine: {source}: {error}\n")
                else:
                    if engine is not None:
                        return engine
    message = (
        f"no Pulumi engine from {' or '.join(sources)}; "
        f"install pulumi 3.200 or newer yourself (https://www.pulumi.com/docs/install/) and run this again"
    )
    raise EngineError(message)


def main(arguments: Sequence[str]) -> int:
    """Parse, have, link, say."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.engine", description=__doc__)
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / ".venv", help="the virtual environment")
    parser.add_argument(
        "--source",
        action="append",
        choices=typing.get_args(Source),
        help="where it may come from, in this order (may be repeated; default: all three)",
    )
    options = parser.parse_args(arguments)
    try:
        engine = have(options.venv, options.source or typing.get_args(Source))
        venv.link(engine, options.venv)
    except (EngineError, OSError) as error:
        sys.stderr.write(f"gaxx: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("gaxx: interrupted; run it again and it goes on where it stopped\n")
        return 130
    sys.stderr.write(f"gaxx: engine: Pulumi {engine.version} ({engine.source}: {engine.binary})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
