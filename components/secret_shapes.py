"""What an obvious secret looks like, so that it is refused where a declaration would spread it."""

import re

_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a Stripe key", re.compile(r"\b[rs]k_live_[0-9A-Za-z]{20,}")),
    ("a Pulumi token", re.compile(r"\bpul-[0-9a-f]{40}\b")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a model hub token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
)

CONTROLLER_VARIABLES = frozenset(
    {
        "LINODE_TOKEN",
        "VULTR_API_KEY",
        "PULUMI_ACCESS_TOKEN",
        "PULUMI_CONFIG_PASSPHRASE",
        "AWS_SECRET_ACCESS_KEY",
        "AZURE_CLIENT_SECRET",
    }
)
"""Credentials of the controller's environment that no node has any use for."""


def recognise(text: str) -> str:
    """What kind of secret `text` holds, in words; "" when none is obvious."""
    return next((name for name, shape in _SHAPES if shape.search(text)), "")
