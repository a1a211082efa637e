"""Images from elsewhere: each once on this computer, by its sha256, whole or not at all.

The files are this user's and nobody may write them: the account that machines run as only reads what all of them
boot from.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import pathlib
import stat
import time
import typing
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from components.errors import ImageError
from components.places import image_file
from components.qemu_machine.reference import Download, fetchable

SILENCE_LIMIT_S = 60.0
"""So long a server may say nothing."""
SIZE_LIMIT_BYTES = 64 * 1024**3
_CHUNK_BYTES = 1024 * 1024
_SAY_EVERY_S = 2.0
_MAGIC = b"QFI\xfb"
_MIB = 1024 * 1024
_AGAIN = "another `pulumi up` starts it again"


def fetch(wanted: Download, say: Callable[[str], None]) -> pathlib.Path:
    """Return the file with that sha256, downloaded unless it is there; raise ImageError. `say` is told the progress."""
    target = image_file(wanted.sha256)
    try:
        _make_folder(target.parent)
        if target.is_file():
            return target
        with _turn(target, say) as part:
            # Whoever had the turn before may have brought it.
            if not target.is_file():
                _download(wanted, part, say)
                _keep(part, target)
    except OSError as error:
        message = f"the image {wanted.url} cannot be kept: {error.strerror}: {error.filename or target.parent}"
        raise ImageError(message) from error
    return target


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows mirrors, but nowhere that the stack file itself could not name."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: typing.IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not fetchable(newurl):
            raise _failure(req.full_url, f"leads to {newurl}", "an https:// URL is fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(wanted: Download, part: typing.BinaryIO, say: Callable[[str], None]) -> None:
    name = wanted.url.rpartition("/")[2] or wanted.url
    say(f"downloading {name}")
    digest = hashlib.sha256()
    done, said_s = 0, time.monotonic()
    for chunk, length in _body(wanted.url):
        if done == 0 and not chunk.startswith(_MAGIC):
            raise _failure(wanted.url, "it is no qcow2", "a file that `qemu-img info` calls one is")
        part.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if done > SIZE_LIMIT_BYTES:
            raise _failure(wanted.url, f"it is larger than {SIZE_LIMIT_BYTES // _MIB} MiB")
        if time.monotonic() - said_s >= _SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"downloading {name}: {done // _MIB} of {length // _MIB or '?'} MiB")
    if digest.hexdigest() != wanted.sha256:
        raise _failure(
            wanted.url,
            f"it has sha256 {digest.hexdigest()}, and {wanted.sha256} is wanted",
            "correct the URL, or what stands behind #sha256=",
        )


def _body(url: str) -> Iterator[tuple[bytes, int]]:
    """What the server sends, and how many bytes it announced (0: it did not say)."""
    request = urllib.request.Request(url, headers={"User-Agent": "gaxx"})  # noqa: S310 - the scheme was judged
    # Without TLS it is this computer itself, to which no proxy leads.
    direct = () if url.startswith("https:") else (urllib.request.ProxyHandler({}),)
    try:
        with urllib.request.build_opener(_Redirects, *direct).open(request, timeout=SILENCE_LIMIT_S) as answer:
            length, done = answer.length or 0, 0
            while chunk := answer.read(_CHUNK_BYTES):
                done += len(chunk)
                yield chunk, length
    except urllib.error.HTTPError as error:
        error.close()
        raise _failure(url, f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _failure(url, f"not reached: {error.reason}") from error
    except TimeoutError as error:
        raise _failure(url, f"the server was silent for {SILENCE_LIMIT_S:.0f} s", _AGAIN) from error
    except (http.client.HTTPException, OSError) as error:
        raise _failure(url, f"the download broke off: {error}", _AGAIN) from error
    if done < max(length, 1):
        raise _failure(url, f"the download broke off after {done} of {length or '?'} bytes", _AGAIN)


def _failure(url: str, why: str, hint: str = "") -> ImageError:
    return ImageError(f"the image {url}: {why}", hint=hint)


def _make_folder(folder: pathlib.Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        # Whatever our umask: others must get to what is in it.
        folder.chmod(0o755)
    # The folder above is the account's that machines run as: it must not lead us to write elsewhere.
    for found in (folder.lstat(), folder.stat()):
        if found.st_uid != os.geteuid() or (not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o022):
            message = f"{folder} belongs to somebody else, or others may write to it"
            raise ImageError(message, hint="remove it, and it is made anew")


@contextlib.contextmanager
def _turn(target: pathlib.Path, say: Callable[[str], None]) -> Iterator[typing.BinaryIO]:
    """Wait until nobody else downloads the same; what was not kept is removed."""
    path = target.with_name(f".{target.name}.part")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w+b") as part:  # noqa: PTH123 - opened above, without following links
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("somebody else downloads this image already: waiting")
                fcntl.flock(part, fcntl.LOCK_EX)
            if not _is_at(part, path):
                # It has become the image, or was removed.
                continue
            part.truncate()
            try:
                yield part
            finally:
                if _is_at(part, path):
                    path.unlink()
            return


def _is_at(part: typing.BinaryIO, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(part.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _keep(part: typing.BinaryIO, target: pathlib.Path) -> None:
    """Put the whole file in its place, so that not even a power cut leaves half of it there."""
    part.flush()
    os.fchmod(part.fileno(), 0o444)
    os.fsync(part.fileno())
    target.with_name(f".{target.name}.part").rename(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
