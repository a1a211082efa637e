"""No credential in what a review says, whoever put it where: a fault may quote what somebody wrote by mistake."""

import re
import typing

REDACTED = "[secret]"
_SHAPES = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|$)",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    r"\bglpat-[A-Za-z0-9_-]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\b[rs]k_live_[0-9A-Za-z]{16,}",
    r"\bpul-[0-9a-f]{32,}",
    r"\bnpm_[A-Za-z0-9]{30,}",
    r"\bhf_[A-Za-z0-9]{24,}",
    r"\bpypi-[A-Za-z0-9_-]{40,}",
    r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+)?",
    r"(?<=://)[^\s/:@]+:[^\s/@]{4,}(?=@)",
    r"\bv1:[A-Za-z0-9+/=]{12,}:[A-Za-z0-9+/=]{12,}",
)
"""Wider than the shapes that rules refuse: here a false alarm costs a word."""
_ANY = re.compile("|".join(f"(?:{shape})" for shape in _SHAPES), re.DOTALL)
# Vendors' tokens have no shape but their length; digests of ours are shorter, or in words that say so.
_LONG_HEX = re.compile(r"(?<![0-9a-zA-Z])[0-9a-fA-F]{64}(?![0-9a-zA-Z])|(?<![0-9A-Za-z])[A-Z0-9]{36}(?![0-9A-Za-z])")


def redacted(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    return _LONG_HEX.sub(REDACTED, _ANY.sub(REDACTED, text))


def redacted_values(value: typing.Any) -> typing.Any:
    """The same of every text inside of JSON values."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {redacted_values(key): redacted_values(item) for key, item in value.items()}
    return [redacted_values(item) for item in value] if isinstance(value, list | tuple) else value
