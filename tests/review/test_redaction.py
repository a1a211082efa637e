"""What looks like a credential is in no review, and what does not is left alone."""

import pytest

from tasks.review.page import Table, markdown, prose, terminal, text
from tasks.review.redaction import REDACTED, redacted, redacted_values

SECRETS = [
    "ghp_" + "Zz9" * 12,
    "AKIA" + "A1B2" * 4,
    "glpat-" + "a1b2" * 5,
    "eyJ" + "hbGciOiJI" * 2 + ".eyJ" + "zdWIiOiIx" * 2 + ".sig-nature",
    "0123456789abcdef" * 4,
    "ABCDEF0123456789ABCDEF0123456789ABCD",
    "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off",
    "v1:abcdefghijkl:bm9uY2Vub25jZQ==",
]
PLAIN = [
    "8 nodes, 8 replaced, $0.288 → $1.728/h",
    "agent aaaaaaaa → bbbbbbbb",
    "2001:db8::/48, 203.0.113.7/32",
    "files +/srv/token ~/srv/app.conf",
    "899594e409dc → 23db1f94bd52",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "https://example.org/path@1.2",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_credential_is_one_word_wherever_it_stands(secret: str) -> None:
    quoted = f"type: '{secret}' is no type of local"

    assert secret not in redacted(quoted)
    assert REDACTED in redacted(quoted)
    for drawn in (markdown, terminal):
        page = drawn([Table(("a", "b"), ((text((quoted,)), prose(quoted)),))])
        assert not any(line in page for line in secret.split("\n"))
    assert secret not in str(redacted_values({"a": [quoted], secret: 1}))


@pytest.mark.parametrize("words", PLAIN)
def test_what_is_none_is_left_alone(words: str) -> None:
    assert redacted(words) == words


def test_a_password_in_an_address_goes_and_the_address_stays() -> None:
    assert redacted("https://ada:hunter22@example.org/x") == f"https://{REDACTED}@example.org/x"
