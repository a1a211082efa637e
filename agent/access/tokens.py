"""Tokens as an agent knows them: their hashes only."""

import hashlib
from pathlib import Path


class Tokens:
    """Hashes of tokens that a token file or the environment gave, for nodes without a manifest's list.

    One raw token is good for every principal with a certificate; lines `<principal> sha256:<hex>` each for one.
    """

    def __init__(self, text: str) -> None:
        self.for_all: tuple[str, ...] = ()
        self.by_name: dict[str, tuple[str, ...]] = {}
        text = text.strip()
        if " " not in text:
            if text:
                self.for_all = (hashlib.sha256(text.encode()).hexdigest(),)
            return
        for line in text.splitlines():
            name, _, digest = line.strip().partition(" ")
            if not name or name.startswith("#"):
                continue
            kind, _, value = digest.strip().partition(":")
            if kind != "sha256" or len(value) != hashlib.sha256().digest_size * 2:
                message = f"the token of {name!r} is not written as sha256:<64 hex digits>"
                raise ValueError(message)
            self.by_name[name] = (*self.by_name.get(name, ()), value.lower())

    @classmethod
    def read(cls, token: str, token_file: Path | None) -> "Tokens":
        """Read them from where the configuration says. Raises OSError, ValueError; the text is never in a message."""
        tokens = cls(token_file.read_text(encoding="utf-8") if token_file is not None else token)
        if not tokens.for_all and not tokens.by_name:
            message = "the token is empty"
            raise ValueError(message)
        return tokens
