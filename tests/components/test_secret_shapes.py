"""What is recognised as a secret, and what must not be."""

import pytest

from components import secret_shapes

# Put together at run time: no scanner, and no reader, should take these for real ones.
SECRETS = {
    "a private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nAAAA",
    "an AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "a1" * 10,
    "a Slack token": "xoxb-" + "1234567890-abc",
    "a Google API key": "AIza" + "a" * 35,
    "a Stripe key": "sk_live_" + "a1" * 12,
    "a Pulumi token": "pul-" + "0a" * 20,
    "an npm token": "npm_" + "a1" * 18,
    "a model hub token": "hf_" + "a1" * 17,
}


@pytest.mark.parametrize(("name", "text"), SECRETS.items())
def test_a_secret_is_recognised_inside_other_text(name: str, text: str) -> None:
    assert secret_shapes.recognise(f"token = {text}\n") == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMeTsaigSqSor33Q3H4tGNu859G",
        "sha256:" + "0a" * 32,
        "the variable LINODE_TOKEN is read",
        "https://example.org/AKIA",
    ],
)
def test_what_is_public_is_not_taken_for_a_secret(text: str) -> None:
    assert secret_shapes.recognise(text) == ""
