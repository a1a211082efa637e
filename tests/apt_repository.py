"""A flat apt repository made here and served over HTTP on this computer's loopback, and packages to lie in it."""

import contextlib
import functools
import hashlib
import http.server
import os
import pathlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping

_EPOCH_S = 1_700_000_000


class Repository:
    """The folder of a repository; `deb [trusted=yes] <address> ./` is its line for apt."""

    def __init__(self, folder: pathlib.Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._changes = 0
        self.index()

    def line(self, host: str = "127.0.0.1") -> str:
        """What a sources.list says of it, for whom it is at `host`."""
        return f"deb [trusted=yes] http://{host}:{self.port} ./\n"

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        fields: str = "",
        files: Mapping[str, str] | None = None,
        scripts: Mapping[str, str] | None = None,
        conffiles: str = "",
    ) -> pathlib.Path:
        """Build a package and add it to the index."""
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
        control += f"Description: a probe\n{fields}"
        with tempfile.TemporaryDirectory() as work:
            tree = pathlib.Path(work)
            tree.chmod(0o755)
            content = {f"usr/share/{name}/version": f"{version}\n", **(files or {})}
            content |= {"DEBIAN/control": control, **({"DEBIAN/conffiles": conffiles} if conffiles else {})}
            content |= {f"DEBIAN/{script}": text for script, text in (scripts or {}).items()}
            for path, text in content.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                (tree / path).write_text(text)
            for script in scripts or {}:
                (tree / "DEBIAN" / script).chmod(0o755)
            made = self.folder / f"{name}_{version}_all.deb"
            argv = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(made)]
            subprocess.run(argv, check=True, capture_output=True)
        self.index()
        return made

    def index(self, *, size_bytes: int | None = None) -> None:
        """Write what it has; `size_bytes` is a lie about every package's size."""
        entries = []
        for path in sorted(self.folder.glob("*.deb")):
            argv = ["dpkg-deb", "--field", str(path)]
            fields = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            size = path.stat().st_size if size_bytes is None else size_bytes
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            entries.append(f"{fields.strip()}\nFilename: ./{path.name}\nSize: {size}\nSHA256: {digest}\n")
        index = self.folder / "Packages"
        index.write_text("\n".join(entries))
        # HTTP tells changes of the same second from each other only in this way.
        self._changes += 1
        os.utime(index, times=(_EPOCH_S + self._changes,) * 2)


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[Repository]:
    """An empty repository on a port of this computer's loopback, for as long as the block lasts."""
    folder.mkdir(exist_ok=True)
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Repository(folder, server.server_port)
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Nothing: a test's output is for its own words."""
