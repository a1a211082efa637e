"""How a stack file says which image machines of the `qemu` cloud boot from: by name, by path or by URL. Pure."""

import dataclasses
import pathlib
import re
import urllib.parse

EXAMPLES = "debian-12, /srv/images/debian-12.qcow2 or https://…/debian-12.qcow2#sha256=<64 hex digits>"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*[0-9][a-z0-9.-]*")
_PIN = re.compile(r"sha256=([0-9a-f]{64})")
_URL = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """An image that was built on this computer."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A file, or a folder of parts, that somebody put on this computer."""

    path: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """A file elsewhere, that is what its sha256 says or nothing."""

    url: str
    """Without the digest."""
    sha256: str
    """Hex."""


Reference = Named | Placed | Download


def parse(text: str) -> Reference:
    """Read `image` of a fleet; raise ValueError with what is wrong and what would be right."""
    if "://" in text:
        return _download(text)
    if text.startswith("/"):
        return _placed(text)
    if not _NAME.fullmatch(text) or _is_moving(text):
        message = f"{text[:60]!r} is no pinned image of qemu; {EXAMPLES} is"
        raise ValueError(message)
    return Named(text)


def fetchable(url: str) -> bool:
    """Whether we would ask there: over TLS, or on this computer itself."""
    parts = urllib.parse.urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname == "127.0.0.1")
    )


def _download(text: str) -> Download:
    url, _, fragment = text.partition("#")
    shown = repr(url if len(url) <= 80 else f"{url[:80]}…")  # noqa: PLR2004 - what fits a line
    try:
        parts = urllib.parse.urlsplit(url)
        good = _URL.fullmatch(url) is not None and fetchable(url) and parts.path != "" and parts.port != 0
        secret = "@" in parts.netloc
    except ValueError:
        good = secret = False
    if secret:
        # Not shown: stack files, states and logs are read by many.
        message = "the URL holds a login, which the stack file and the state would show; one without is accepted"
        raise ValueError(message)
    if not good:
        message = f"{shown} is not fetched: an https:// URL is (http:// from 127.0.0.1 alone)"
        raise ValueError(message)
    pin = _PIN.fullmatch(fragment)
    if pin is None:
        message = f"{shown} is not pinned; with #sha256=<64 hex digits, lower case> behind it, it is"
        raise ValueError(message)
    return Download(url, pin[1])


def _placed(text: str) -> Placed:
    path = pathlib.PurePosixPath(text)
    if str(path) != text or ".." in path.parts or not text.isprintable() or text == "/":
        message = f"{text[:60]!r} is no plain absolute path; /srv/images/debian-12.qcow2 is"
        raise ValueError(message)
    if _is_moving(text):
        message = f"{text[:60]!r} is not pinned; a path that names a version is"
        raise ValueError(message)
    return Placed(pathlib.Path(text))


def _is_moving(text: str) -> bool:
    return "latest" in text.lower()
