"""What looks like a credential, wherever a declaration would spread it."""

import re

_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a Stripe key", re.compile(r"\b[rs]k_live_[0-9A-Za-z]{20,}")),
    ("a Pulumi token", re.compile(r"\bpul-[0-9a-f]{40}\b")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a model hub token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
    ("a PyPI token", re.compile(r"\bpypi-[A-Za-z0-9_-]{50,}")),
    ("an age key", re.compile(r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
    ("a password in an address", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/:@]{4,}@")),
    ("a bearer token", re.compile(r"(?i)\bauthorization:\s*(?:bearer|basic)\s+[A-Za-z0-9+/=._-]{12,}")),
    ("a password's hash", re.compile(r"\$(?:1|2[aby]|5|6|y)\$[./A-Za-z0-9$=,]{16,}")),
)
_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_KEY|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)$"
)
_ASSIGNED = re.compile(
    r"(?im)^\s*(?:export\s+)?[\"']?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[\"']?\s*[:=]\s*[\"']?(?P<value>[A-Za-z0-9+/_.=~-]{12,})[\"']?\s*,?\s*$"
)


def recognise(text: str) -> str:
    """What kind of credential `text` holds, in words; empty when none can be told."""
    for words, shape in _SHAPES:
        if shape.search(text):
            return words
    for match in _ASSIGNED.finditer(text):
        if is_assigned(match["name"], match["value"]):
            return f"a value for {match['name']}"
    return ""


def is_assigned(name: str, value: str) -> bool:
    """Whether a variable that is called like a credential holds one, and not the path of a file with one."""
    if not _NAME.search(name.upper()) or value.startswith(("/", "~", "$")):
        return False
    return bool(value.strip())
